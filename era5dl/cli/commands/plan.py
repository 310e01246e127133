"""Command `plan`: shows what a download would fetch, and what is missing in the bucket; exports it to other tools."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from era5dl.catalog.key_names import name_and_key
from era5dl.cli.arguments import look_up, open_bucket, plan_from, settings_from
from era5dl.cli.cds_requests import selections_from_cds
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output, table
from era5dl.cli.subset_lines import subset_lines
from era5dl.formatting import format_count, format_size
from era5dl.settings import AUTO

if TYPE_CHECKING:
    from pathlib import Path

    from era5dl.planner import Missing, Plan, PlanEstimate
    from era5dl.settings import Settings

MAX_GROUPS = 40  # groups of missing files that are listed; the others are only counted

_HEADS = {"files": "FILES", "bytes": "SIZE", "fetch_bytes": "TO FETCH", "write_bytes": "ON DISK", "missing": "MISSING"}


def plan(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Look up a selection in the bucket; print files and sizes. Exit code 1 if a file is missing in the bucket.

    The requests of --cds can be several selections, each with its own plan.
    """
    settings = settings_from(arguments)
    bucket = open_bucket(settings)
    if arguments.export is not None:
        from era5dl.cli.plan_export import export

        return export(arguments, settings, bucket, output, interrupts)
    if arguments.cds is None:
        return _show(plan_from(arguments, settings, bucket, output, interrupts), arguments, output, interrupts)
    selections, code = selections_from_cds(arguments, output)
    for number, selection in enumerate(selections):
        if number:
            output.result()
        code = max(code, _show(look_up(selection, bucket, output, interrupts), arguments, output, interrupts))
    return code


def _show(plan: Plan, arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> ExitCode:
    """Print a plan. Return the exit code."""
    from era5dl.planner import estimate_plan

    settings = settings_from(arguments)
    is_exact = arguments.exact and not plan.subset.is_everything
    estimate = _exact_estimate(plan, settings, output, interrupts) if is_exact else estimate_plan(plan)
    record_plan(plan, estimate, output, arguments.out)
    if output.json_writer is not None:
        for obj in plan.objects:
            output.record("object", key=obj.key, size=obj.size, etag=obj.etag, last_modified=obj.last_modified)
        for absent in plan.missing:
            output.record("missing", key=absent.key, reason=absent.reason)
    output.results(_products_table(plan, estimate))
    if lines := subset_lines(plan, estimate):
        output.result()
        output.results(lines)
    if plan.missing:
        output.result()
        output.results(missing_lines(plan.missing))
    if arguments.cds is None and arguments.preset is not None:
        _show_wrf(plan, arguments, settings, output)
    free = _free_bytes(arguments.out)
    if free is not None:
        output.result()
        output.result(free_space_line(estimate.total.written, free, settings.disk_reserve, arguments.out))
    return ExitCode.INCOMPLETE if plan.missing else ExitCode.OK


def _show_wrf(plan: Plan, arguments: argparse.Namespace, settings: Settings, output: Output) -> None:
    """For the preset wrf: print what era5_to_int finds of the plan."""
    from era5dl.planner.wrf import check_wrf, is_wrf, wrf_lines

    check = check_wrf(plan) if is_wrf(arguments.preset) else None
    if check is None:
        return
    command = check.command(arguments.out, flat=settings.flat)
    output.record(
        "wrf", files=check.expected, lacking=check.lacking, first_hour=check.first_hour, last_hour=check.last_hour,
        finds_files=not check.is_subset, command=command,
    )  # fmt: skip
    output.result()
    output.results(wrf_lines(check, arguments.out, flat=settings.flat))


def _exact_estimate(plan: Plan, settings: Settings, output: Output, interrupts: Interrupts) -> PlanEstimate:
    """Return the estimate computed from the files' indexes. Report files that are fetched whole or cannot be read."""
    from era5dl.session.origin import address_of
    from era5dl.subset.exact_plan import exact_plan
    from era5dl.subset.index_cache import shared_cache

    output.info(f"Reading the indexes of {format_count(len(plan.objects), 'file')} ...")
    bucket = open_bucket(replace(settings, workers=AUTO))  # keeps more connections than a download needs
    with interrupts.gracefully():
        found = exact_plan(plan, bucket, shared_cache(address_of(settings)), cancelled=interrupts.requested.is_set)
    for kind, reasons in (
        ("fetched whole", [file.reason for file in found.files if file.reason]),
        ("estimated, because the index could not be read", [file.error for file in found.files if file.error]),
    ):
        if reasons:
            output.notice(f"{kind}: {format_count(len(reasons), 'file')} ({reasons[0]})")
    return found.estimate


def record_plan(plan: Plan, estimate: PlanEstimate, output: Output, out: Path | None) -> None:
    """Write the `plan` record of --json, and say how far an open selection reaches. out: download folder."""
    record_latest(plan, output)
    if output.json_writer is not None:
        total = estimate.total
        output.record(
            "plan",
            files=len(plan.objects),
            bytes=plan.total_bytes,
            missing=len(plan.missing),
            passed_over=len(plan.passed_over),
            products=_per_product(plan, estimate),
            free_bytes=_free_bytes(out),
            subset=None if plan.subset.is_everything else plan.subset.to_json(),
            fetch_bytes=total.fetched,
            write_bytes=total.written,
            exact=estimate.is_exact,
        )


def record_latest(plan: Plan, output: Output) -> None:
    """Say until which day each product is published, if the selection ends in "latest"."""
    from era5dl.planner.latest import ends_in_latest, newest_days

    if not ends_in_latest(plan.request):
        return
    for found in newest_days(plan.objects):
        output.info(f"latest: {found.product} until {found.last_day}, {format_count(found.lag_days, 'day')} ago")
        output.record("latest", product=found.product, last_day=found.last_day, lag_days=found.lag_days)


def _per_product(plan: Plan, estimate: PlanEstimate) -> list[dict[str, Any]]:
    """Return one JSON object per product, with its files, bytes and missing files, in the order of the plan."""
    rows: dict[str, dict[str, Any]] = {}
    for obj in plan.objects:
        _row(rows, obj.key)["files"] += 1
    for absent in plan.missing:
        _row(rows, absent.key)["missing"] += 1
    for name, sums in estimate.products.items():
        rows[name] |= {"bytes": sums.size, "fetch_bytes": sums.fetched, "write_bytes": sums.written}
    return [{"product": name, **row} for name, row in rows.items()]


def _row(rows: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
    from era5dl.planner.estimate import product_folder

    empty = {"files": 0, "bytes": 0, "missing": 0, "fetch_bytes": 0, "write_bytes": 0}
    return rows.setdefault(product_folder(key), empty)


def _products_table(plan: Plan, estimate: PlanEstimate) -> list[str]:
    """Return a table with a line per product and the total; with a subset also what is fetched and written."""
    total = estimate.total
    rows = _per_product(plan, estimate)
    rows.append(
        {
            "product": "total",
            "files": len(plan.objects),
            "bytes": total.size,
            "fetch_bytes": total.fetched,
            "write_bytes": total.written,
            "missing": len(plan.missing),
        }
    )
    names = ["files", "bytes", "missing"] if plan.subset.is_everything else list(rows[-1])[1:]
    lines = [
        (
            row["product"] or "(no folder)",
            *(format_size(row[name]) if name.endswith("bytes") else f"{row[name]:,}" for name in names),
        )
        for row in rows
    ]
    head = ("PRODUCT", *(_HEADS[name] for name in names))
    return table(lines, head=head, right=range(1, len(head)))


def missing_lines(missing: Sequence[Missing]) -> list[str]:
    """Return one or two lines per variable (or folder) and reason, so that thousands of files take few lines."""
    by_group: dict[tuple[str, str], list[Missing]] = {}
    for absent in missing:
        by_group.setdefault((_variable_or_folder(absent.key), absent.reason), []).append(absent)
    groups = list(by_group.values())
    lines = [f"missing in the bucket: {format_count(len(missing), 'file')}"]
    for group in groups[:MAX_GROUPS]:
        first, last = group[0], group[-1]
        if len(group) == 1:
            lines.append(f"  {name_and_key(first.key)}: {first.reason}")
        else:
            lines.append(f"  {_variable_or_folder(first.key)}: {format_count(len(group), 'file')}, {first.reason}:")
            lines.append(f"    {_file_name(first.key)} ... {_file_name(last.key)}")
    if len(groups) > MAX_GROUPS:
        rest = sum(len(group) for group in groups[MAX_GROUPS:])
        lines.append(f"  and {format_count(rest, 'file')} more; --json lists all of them")
    return lines


def free_space_line(needed: int, free: int, reserve: int, folder: Path) -> str:
    """Return a line that says whether the download fits on the disk. Files already in the folder are not considered."""
    lacking = needed + reserve - free
    comparison = f"{format_size(lacking)} too little" if lacking > 0 else "enough"
    return f"free in {folder}: {format_size(free)}, {comparison} ({format_size(reserve)} are kept free)"


def _free_bytes(folder: Path | None) -> int | None:
    from era5dl.folder.free_space import free_bytes

    return None if folder is None else free_bytes(folder)


def _variable_or_folder(key: str) -> str:
    """Return the variable of an ERA5 key, or the folder of any other key."""
    from era5dl.catalog import parse_key

    known = parse_key(key)
    return f"{known.product.name}/{known.short}" if known else key.rpartition("/")[0] or "(no folder)"


def _file_name(key: str) -> str:
    return key.rpartition("/")[2]
