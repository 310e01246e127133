"""Command `update`: downloads what has appeared in the bucket since, for downloads that end in "latest"."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from era5dl.cli.arguments import look_up, open_bucket, settings_from
from era5dl.cli.commands.download import stored_settings
from era5dl.cli.commands.plan import record_latest
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.merging import check_merge_flags, merge_flags, merge_session
from era5dl.cli.output import Output
from era5dl.cli.run_session import report_result, run_session
from era5dl.errors import Era5Error, FolderUnusable, SessionNotFound, Stopped, UsageError
from era5dl.formatting import format_count, format_size
from era5dl.jobs.update import Archive, Update, archives_of, compare
from era5dl.jobs.wait_for_network import retry_while_unreachable

if TYPE_CHECKING:
    from era5dl.bucket.interface import Bucket
    from era5dl.planner import Plan
    from era5dl.settings import Settings

_MAX_LISTED = 50  # replaced files that are listed; --json lists all of them


def update(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Update the downloads of a folder that end in "latest". Exit code 1 if replaced files were not taken."""
    if arguments.schedule:
        from era5dl.cli.commands.schedule import schedule

        return schedule(arguments, output)
    if arguments.install:
        raise UsageError("--install needs --schedule.", remedy="Use, for example, --schedule monthly --install.")
    if not arguments.folder.is_dir():
        raise FolderUnusable(f"{arguments.folder} is not a folder.", remedy="Give the folder of a download.")
    found, errors = archives_of(arguments.folder, extend=arguments.extend)
    for error in errors:
        output.error(error)
    if not found and not errors:
        raise SessionNotFound(
            f"No download in {arguments.folder} ends in latest.",
            remedy="Start one with --end latest, or use --extend to continue those that are there.",
        )
    worst = ExitCode.FAILED if errors else ExitCode.OK
    for archive in found:
        try:
            code = _update_archive(archive, arguments, output, interrupts)
        except Stopped:
            raise
        except Era5Error as error:
            if len(found) == 1:
                raise
            output.error(error)
            code = ExitCode.FAILED
        if code is ExitCode.INTERRUPTED:
            return code
        worst = max(worst, code)
    return worst


def _update_archive(
    archive: Archive, arguments: argparse.Namespace, output: Output, interrupts: Interrupts
) -> ExitCode:
    """Update one download. Return the exit code."""
    from era5dl.session import Session

    check_merge_flags(arguments, archive.selection.subset)
    settings = _settings(archive, arguments, output)
    bucket = open_bucket(settings)
    plan = _plan(archive, bucket, arguments, output, interrupts)
    changes = compare(archive, plan)
    take = arguments.take_replaced or (bool(changes.replaced) and output.confirm(_question(changes)))
    _report(archive, changes, output, take=take)
    code = ExitCode.INCOMPLETE if changes.new_missing or (changes.replaced and not take) else ExitCode.OK
    if not changes.to_fetch(take_replaced=take):
        for absent in changes.new_missing:
            output.notice(f"missing in the bucket: {absent.key}: {absent.reason}")
            output.record("missing", key=absent.key, reason=absent.reason)
        return code
    if take and changes.replaced:
        settings = replace(settings, verify=True)  # else files of the same size would count as the new version
    with Session.begin(archive.folder, changes.plan_to_fetch(take_replaced=take), settings) as session:
        result = run_session(bucket, session, settings, output, interrupts)
        ended = report_result(result, changes.new_missing, session, output, merge_flags(arguments))
        return max(code, merge_session(arguments, session, result, ended, output, interrupts))


def _plan(
    archive: Archive, bucket: Bucket, arguments: argparse.Namespace, output: Output, interrupts: Interrupts
) -> Plan:
    """Plan the selection of an archive, with --wait-for-network as soon as the server can be reached."""
    if not arguments.wait_for_network:
        return look_up(archive.selection, bucket, output, interrupts)
    return retry_while_unreachable(
        lambda: look_up(archive.selection, bucket, output, interrupts),
        interrupts.wait,
        lambda error: output.info(f"{error}. Waiting until the server can be reached."),
    )


def _settings(archive: Archive, arguments: argparse.Namespace, output: Output) -> Settings:
    """Return the settings of the sessions, whose server needs the consent of the user, as for `resume`."""
    from era5dl.session.origin import check_origin

    info = archive.info
    settings = stored_settings(info, arguments, output)
    if not arguments.endpoint_url and settings.endpoint_url != info.endpoint_url:
        settings = replace(settings, endpoint_url=info.endpoint_url)  # else it would be another session
        check_origin(settings, settings_from(arguments), arguments.allow_endpoint)
    return settings


def _report(archive: Archive, changes: Update, output: Output, *, take: bool) -> None:
    """Say what is new and what was replaced."""
    new_bytes = sum(obj.size for obj in changes.new)
    output.record(
        "update",
        title=archive.info.title,
        folder=archive.folder,
        session=archive.info.id,
        new=len(changes.new),
        new_bytes=new_bytes,
        unfinished=len(changes.unfinished),
        replaced=len(changes.replaced),
        withdrawn=len(changes.withdrawn),
        missing=len(changes.new_missing),
    )
    record_latest(changes.plan, output)
    for one in changes.replaced:
        old, now = one.recorded, one.current
        output.record(
            "replaced",
            key=now.key,
            size=now.size,
            etag=now.etag,
            last_modified=now.last_modified,
            recorded_size=old.size,
            recorded_etag=old.etag,
            taken=take,
        )
    for obj in changes.withdrawn:
        output.record("withdrawn", key=obj.key, size=obj.size, etag=obj.etag)
    parts = [f"{format_count(len(changes.new), 'new file')}, {format_size(new_bytes)}" if changes.new else ""]
    parts.append(f"{format_count(len(changes.unfinished), 'file')} unfinished" if changes.unfinished else "")
    text = ", ".join(filter(None, parts)) or "nothing new"
    output.info(f"{archive.info.title}: {text}")
    if changes.replaced and not take:
        output.notice(f"{_replaced(changes)} The downloaded files stay as they are:")
        for one in changes.replaced[:_MAX_LISTED]:
            output.notice(f"  {one.current.key}")
        if len(changes.replaced) > _MAX_LISTED:
            output.notice(f"  and {len(changes.replaced) - _MAX_LISTED:,} more; --json lists all of them")
        output.notice("  --take-replaced downloads the new versions.")
    if changes.withdrawn:
        output.info(
            f"{format_count(len(changes.withdrawn), 'downloaded file')} of it cannot be found in the bucket any more; "
            "the downloaded files stay."
        )


def _replaced(changes: Update) -> str:
    number = len(changes.replaced)
    was = "was" if number == 1 else "were"
    return f"{format_count(number, 'file')} {was} replaced in the bucket after the download."


def _question(changes: Update) -> str:
    return f"{_replaced(changes)} Download the new versions?"
