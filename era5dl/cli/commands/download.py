"""Commands `download` and `resume`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.cli.arguments import look_up, open_bucket, plan_from, settings_from, subset_from
from era5dl.cli.cds_requests import selections_from_cds
from era5dl.cli.commands.plan import record_plan
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.merging import check_merge_flags, merge_flags, merge_session
from era5dl.cli.output import Output
from era5dl.cli.run_session import RunResult, report_result, run_session
from era5dl.cli.subset_lines import subset_lines
from era5dl.errors import OtherEndpoint, SessionNotFound, UsageError
from era5dl.formatting import format_count, format_size

if TYPE_CHECKING:
    from era5dl.bucket.interface import Bucket
    from era5dl.planner import Plan
    from era5dl.session import Session
    from era5dl.session.blocks import Run
    from era5dl.session.info import SessionInfo
    from era5dl.settings import Settings


def download(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Plan and download a selection. With the same arguments again, an interrupted download continues."""
    from era5dl.folder.free_space import check_creatable
    from era5dl.subset import import_writer

    settings = settings_from(arguments)
    check_creatable(arguments.out)
    if arguments.cds is not None:
        return _download_cds(arguments, settings, output, interrupts)
    subset = subset_from(arguments)
    check_merge_flags(arguments, subset)
    if arguments.only_days or not subset.is_everything:
        import_writer()  # its absence must not be noticed after hours
    bucket = open_bucket(settings)
    plan = plan_from(arguments, settings, bucket, output, interrupts)
    return _run(bucket, plan, arguments, settings, output, interrupts)


def _download_cds(arguments: argparse.Namespace, settings: Settings, output: Output, interrupts: Interrupts) -> int:
    """Download the selections of --cds one after the other, until one is interrupted or cannot continue."""
    from era5dl.subset import import_writer

    selections, code = selections_from_cds(arguments, output)
    for selection in selections:
        check_merge_flags(arguments, selection.subset)
        if not selection.subset.is_everything:
            import_writer()
    bucket = open_bucket(settings)
    for selection in selections:
        plan = look_up(selection, bucket, output, interrupts)
        code = max(code, _run(bucket, plan, arguments, settings, output, interrupts))
        if code > ExitCode.INCOMPLETE:
            break
    return code


def _run(
    bucket: Bucket,
    plan: Plan,
    arguments: argparse.Namespace,
    settings: Settings,
    output: Output,
    interrupts: Interrupts,
) -> ExitCode:
    """Download a plan, and merge its files if requested. Return the exit code."""
    from era5dl.session import Session

    report_plan(plan, arguments.out, output)
    cluster = getattr(arguments, "dask", None)
    with Session.begin(arguments.out, plan, settings, keep_blocks=bool(cluster)) as session:
        result = _download(bucket, session, cluster, settings, output, interrupts)
        code = report_result(result, plan.missing, session, output, merge_flags(arguments))
        return merge_session(arguments, session, result, code, output, interrupts)


def _download(
    bucket: Bucket, session: Session, cluster: str | None, settings: Settings, output: Output, interrupts: Interrupts
) -> RunResult:
    """Download the files of a session here, or on a cluster."""
    if not cluster:
        return run_session(bucket, session, settings, output, interrupts)
    from era5dl.cli.run_on_cluster import run_on_cluster

    return run_on_cluster(session, cluster, settings, output, interrupts)


def report_plan(plan: Plan, out: Path, output: Output) -> None:
    """Say what will be downloaded into a folder."""
    from era5dl.planner import estimate_plan

    estimate = estimate_plan(plan)
    record_plan(plan, estimate, output, out)
    missing = f", {len(plan.missing):,} missing in the bucket" if plan.missing else ""
    output.info(f"Planned: {format_count(len(plan.objects), 'file')}, {format_size(plan.total_bytes)}{missing}")
    for line in subset_lines(plan, estimate):
        output.info(line)


def download_plan(
    bucket: Bucket,
    plan: Plan,
    out: Path,
    settings: Settings,
    output: Output,
    interrupts: Interrupts,
    *,
    cluster: str | None = None,
) -> int:
    """Download a plan into a folder, with `cluster` on that Dask cluster. Returns the exit code."""
    from era5dl.session import Session

    with Session.begin(out, plan, settings, keep_blocks=bool(cluster)) as session:
        result = _download(bucket, session, cluster, settings, output, interrupts)
        return report_result(result, plan.missing, session, output)


def resume(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Resume a session with its stored plan; the bucket is not listed again."""
    from era5dl.session import Session

    with Session.open(*find_session(arguments.session)) as session:
        settings = session_settings(session, arguments, output)
        check_merge_flags(arguments, session.plan.subset)
        if settings.endpoint_url:
            output.info(f"The files of this session come from {settings.endpoint_url}, not from Amazon.")
        result = run_session(open_bucket(settings), session, settings, output, interrupts)
        code = report_result(result, session.plan.missing, session, output, merge_flags(arguments))
        return merge_session(arguments, session, result, code, output, interrupts)


def session_settings(session: Session | Run, arguments: argparse.Namespace, output: Output) -> Settings:
    """Return the settings of an open session, see `stored_settings`."""
    return stored_settings(session.info, arguments, output)


def stored_settings(info: SessionInfo, arguments: argparse.Namespace, output: Output) -> Settings:
    """Return the settings of a stored session. Flags change how the bucket is accessed, never where files are saved.

    Raises OtherEndpoint if neither the settings nor the user at the terminal allows the server of the session.
    """
    from era5dl.session.origin import check_origin

    settings = settings_from(arguments, endpoint_url=info.endpoint_url, region=info.region, verify=info.verify)
    settings = replace(settings, bucket=info.bucket, flat=info.flat)
    try:
        check_origin(settings, settings_from(arguments), arguments.allow_endpoint)
    except OtherEndpoint as other:
        if not output.confirm(f"{other}. Download from there?"):
            raise
    return settings


def find_session(name: str) -> tuple[Path, str | None]:
    """Return (folder, session id) for a folder, a session id, or the first characters of one.

    A folder takes precedence; the id is then None, which stands for its newest unfinished session.
    """
    from era5dl.session import known_sessions

    if Path(name).is_dir():
        return Path(name), None
    found = [known for known in known_sessions() if known.id.startswith(name)] if name else []
    if len({known.id for known in found}) > 1:
        raise UsageError(f"More than one session id starts with {name}.", remedy="Give more characters of the id.")
    if not found:
        raise SessionNotFound(
            f"There is no folder and no session {name}.", remedy="`era5dl sessions` lists the known sessions."
        )
    return found[0].folder, found[0].id
