"""Merging for the commands `merge`, `download` and `resume`: flags, reports and JSON records."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING

from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.engine.progress import FINISHED
from era5dl.errors import UsageError
from era5dl.formatting import format_count
from era5dl.subset.merge_plan import moment_of, plan_groups
from era5dl.subset.merging import MergeOutcome, describe_outcome, merge_groups

if TYPE_CHECKING:
    from era5dl.cli.run_session import RunResult
    from era5dl.session import Session
    from era5dl.subset.selection import Subset


def check_merge_flags(arguments: argparse.Namespace, subset: Subset) -> None:
    """Check --merge and --csv before anything is downloaded. Raises UsageError, also without h5py."""
    from era5dl.subset import import_writer

    if arguments.merge:
        import_writer()
    if arguments.csv and not (arguments.merge and subset.points):
        raise UsageError(
            "--csv is for merged files with points.", remedy="Use it together with --merge, and --point or --points."
        )


def merge_flags(arguments: argparse.Namespace) -> str:
    """Return the flags for the command that continues this download, with a space before each."""
    return (f" --merge {arguments.merge}" if arguments.merge else "") + (" --csv" if arguments.csv else "")


def merge_session(
    arguments: argparse.Namespace,
    session: Session,
    result: RunResult,
    code: ExitCode,
    output: Output,
    interrupts: Interrupts,
) -> ExitCode:
    """Merge the files of a session as --merge says, unless its run was stopped. Return the exit code of the command.

    code: that of the run.
    """
    from era5dl.session.merge_parts import session_parts

    if not arguments.merge or code in (ExitCode.FAILED, ExitCode.INTERRUPTED):
        return code
    parts = session_parts(session, result.objects, lambda index: result.states[index] in FINISHED)
    groups, errors = plan_groups(parts, arguments.merge)
    stopped = interrupts.requested.is_set
    outcomes = merge_groups(session.folder, groups, errors, only_complete=True, csv=arguments.csv, stopped=stopped)
    return max(code, report_merge(outcomes, output, interrupts))


def report_merge(outcomes: Iterator[MergeOutcome], output: Output, interrupts: Interrupts) -> ExitCode:
    """Report each outcome as soon as it is there, and the summary. Return the exit code. Raises KeyboardInterrupt."""
    finished: SimpleQueue[MergeOutcome] = SimpleQueue()
    counts = {"merged": 0, "kept": 0, "failed": 0}

    def work() -> None:
        for outcome in outcomes:
            finished.put(outcome)

    def report() -> None:
        while not finished.empty():  # this thread alone takes from it
            outcome = finished.get_nowait()
            counts["failed" if outcome.file is None else "kept" if outcome.file.kept else "merged"] += 1
            _report(outcome, output)

    interrupts.run_in_background(work, report)
    report()
    output.record("merge-summary", **counts)
    kept = f", {counts['kept']:,} kept" if counts["kept"] else ""
    failed = f", {counts['failed']:,} not merged" if counts["failed"] else ""
    output.notice(f"Merged: {format_count(counts['merged'], 'new file')}{kept}{failed}")
    return ExitCode.INCOMPLETE if counts["failed"] else ExitCode.OK


def _report(outcome: MergeOutcome, output: Output) -> None:
    file = outcome.file
    for line in describe_outcome(outcome):
        (output.notice if file is None or file.missing else output.info)(line)
    if file is None:
        output.record("not-merged", name=outcome.name, reason=outcome.error, remedy=outcome.remedy, kind=outcome.kind)
        return
    output.record(
        "merged",
        path=str(file.path),
        size=file.size,
        files=file.files,
        times=file.times,
        first=_stamp(file.first),
        last=_stamp(file.last),
        missing=[{"first": _stamp(first), "last": _stamp(last)} for first, last in file.missing],
        kept=file.kept,
        csv=None if outcome.csv is None else str(outcome.csv),
    )


def _stamp(time: int) -> str:
    return f"{moment_of(time):%Y-%m-%dT%H}"
