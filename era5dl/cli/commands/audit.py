"""Command `audit`: lists what an archive has and what lacks, with the reason. It sends no requests."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.archive.audit import audit_folder, restrict
from era5dl.archive.describe import CSV_COLUMNS, describe_cause, describe_part, file_times, period_of, problems, to_csv
from era5dl.archive.gaps import GAPS_MARK, gap_lists, gap_paths
from era5dl.archive.states import Audit, State
from era5dl.cli.arguments import keys_from, selection_from, settings_from
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output, table
from era5dl.cli.output_file import write_output_file
from era5dl.cli.run_session import MAX_LISTED
from era5dl.errors import UsageError
from era5dl.formatting import format_count, format_size

if TYPE_CHECKING:
    from era5dl.days import Days
    from era5dl.selection import Selection

_DATES = ("start", "end", "years", "months", "days")
_PARTS = ("hours", "levels", "area", "point", "points", "only_days")


def audit(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Audit a folder. Returns the exit code: 0 if all wanted files are there."""
    keys = keys_from(arguments, settings_from(arguments))
    selection, names, days = _wanted(arguments) if not keys else (None, (), ())
    stopped = interrupts.requested.is_set
    found = interrupts.run_in_background(
        lambda: audit_folder(arguments.folder, selection, keys=keys, deep=arguments.deep, stopped=stopped)
    )
    result = restrict(found, names, days)
    if not result.files:
        raise UsageError(
            f"There are no ERA5 files in {found.folder}, and no session that asks for any.",
            remedy="Give the folder of an archive, or say what it should have: --variable 2t --years 2020.",
        )
    _report(result, output)
    if arguments.csv is not None:
        write_output_file(arguments.csv, to_csv(result), ",".join(CSV_COLUMNS).encode())
        output.info(f"table of all files: {arguments.csv}")
    if arguments.gaps is not None:
        _write_gaps(result, arguments.gaps, output)
    return ExitCode.OK if result.is_complete else ExitCode.INCOMPLETE


def _wanted(arguments: argparse.Namespace) -> tuple[Selection | None, tuple[str, ...], Days]:
    """Return the selection; or, with only variables or only dates, what restricts the result."""
    from era5dl.api_select import select
    from era5dl.days import FIRST_DAY, LAST_DAY, select_days

    has_names = bool(arguments.variable or arguments.product or arguments.preset)
    has_dates = any(getattr(arguments, name) for name in _DATES)
    if has_names and has_dates:
        return selection_from(arguments), (), ()
    if parts := [f"--{name.replace('_', '-')}" for name in _PARTS if getattr(arguments, name)]:
        raise UsageError(
            f"{', '.join(parts)}: only with variables and dates.",
            remedy="Give --variable, and --start and --end, or omit them.",
        )
    names: tuple[str, ...] = ()
    if has_names:
        chosen = (arguments.variable, arguments.product, arguments.preset)
        every = select(chosen[0], product=chosen[1], preset=chosen[2], start=FIRST_DAY, end=LAST_DAY)
        names = tuple(variable.name for variable in every.variables)
    dates = {name: getattr(arguments, name) for name in _DATES}
    return None, names, select_days(**dates) if has_dates else ()


def _report(audit: Audit, output: Output) -> None:
    for session, reason in audit.unreadable:
        output.notice(f"session {session} cannot be read: {reason}")
    for file in audit.files:
        first, last = file_times(file)
        output.record(
            "audited",
            key=file.key,
            variable=file.variable,
            first=first or None,
            last=last or None,
            state=file.state.value,
            reason=describe_cause(file),
            part=describe_part(file) or None,
            path=file.path,
            size=file.size if file.path else None,
            session=file.session or None,
        )
    for (variable, month), summary in audit.months.items():
        states = {state.value: count for state, count in summary.counts.items()}
        output.record("audited-month", variable=variable, month=month or None, files=summary.files, states=states)
    output.results(_table(audit))
    listed = list(problems(audit))
    for problem in listed[:MAX_LISTED]:
        output.result(str(problem))
    if len(listed) > MAX_LISTED:
        output.result(f"... and {len(listed) - MAX_LISTED:,} more; --csv FILE and --json list them all")
    if audit.others:
        output.info(f"ignored: {format_count(audit.others, 'other file')}, such as {audit.passed_over[0][0]}")
    counts = ", ".join(f"{count:,} {state.value}" for state, count in audit.counts.items())
    files = format_count(len(audit.files), "file")
    output.notice(f"{audit.folder}: {files}: {counts}; {format_size(audit.size)} on disk")
    output.record(
        "audit-summary",
        folder=audit.folder,
        files=len(audit.files),
        bytes=audit.size,
        complete=audit.is_complete,
        states={state.value: audit.counts.get(state, 0) for state in State},
    )


def _table(audit: Audit) -> list[str]:
    """Return the lines of a table with a row for each variable and a column for each state."""
    states = list(audit.counts)
    rows = []
    for variable in audit.variables:
        files = [file for file in audit.files if file.variable == variable]
        first, last = period_of(files[0]), period_of(files[-1])
        numbers = [sum(file.state is state for file in files) for state in states]
        period = first if first == last else f"{first} to {last}"
        rows.append((variable, period, f"{len(files):,}", *(f"{number:,}" if number else "-" for number in numbers)))
    head = ("VARIABLE", "PERIOD", "FILES", *(state.value.upper() for state in states))
    return table(rows, head=head, right=range(2, len(head)))


def _write_gaps(audit: Audit, path: Path, output: Output) -> None:
    """Write the keys of what lacks: one list for each subset."""
    lists = gap_lists(audit.gaps)
    for gaps, place in zip(lists, gap_paths(path, len(lists)), strict=True):
        write_output_file(place, gaps.text(place, audit.folder).encode("utf-8", "surrogateescape"), GAPS_MARK)
        command = gaps.command(place, audit.folder)
        output.record("gaps", path=place, files=len(gaps.keys), subset=gaps.subset.to_json() or None, command=command)
        output.notice(f"{format_count(len(gaps.keys), 'file')} to fetch: {command}")
    if not lists:
        write_output_file(path, b"# no files to fetch\n", GAPS_MARK)
        output.info("there are no gaps to fetch")
