"""Runs one session with the engine and reports it: display, JSON records, signals, final summary.

Used by the commands download, resume, verify --repair and demo.
"""

from __future__ import annotations

import gc
import os
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from era5dl.catalog.key_names import name_and_key
from era5dl.cli import exit_codes
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.cli.plain_display import Display, PlainDisplay, checked_lines, summary_line
from era5dl.engine.events import Event, RunEnded
from era5dl.engine.progress import Snapshot
from era5dl.engine.reporting import CheckedFiles, CheckedGroup, group_by_reason
from era5dl.errors import OtherEndpoint, UsageError
from era5dl.formatting import format_count, format_size, printable
from era5dl.planner import estimate_plan
from era5dl.subset import import_writer

if TYPE_CHECKING:
    from era5dl.bucket.interface import Bucket, ObjectInfo
    from era5dl.planner import Missing
    from era5dl.session import Session
    from era5dl.settings import Settings

POLL_INTERVAL = 0.1  # seconds between polls of the engine; Windows handles Ctrl-C only between them
MAX_LISTED = 200  # keys that are listed; the others are only counted


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended, its last snapshot, and the files that are checked but not verified, grouped by reason.

    objects: of the plan, in their current versions. states: the FileState of each, one byte per object.
    """

    ended: RunEnded
    last: Snapshot
    checked: Sequence[CheckedGroup] = ()
    objects: Sequence[ObjectInfo] = ()
    states: bytes = b""


def run_session(
    bucket: Bucket,
    session: Session,
    settings: Settings,
    output: Output,
    interrupts: Interrupts,
    *,
    only: Collection[int] | None = None,
) -> RunResult:
    """Download the remaining objects of a session. Returns when the engine has ended, or after an interrupt.

    only: restrict the run to these objects (indices in the plan). Raises UsageError for a subset without h5py.
    """
    from era5dl.engine.engine import Engine

    if not session.plan.subset.is_everything:
        import_writer()
    _report_start(session, output)
    events: SimpleQueue[Event] = SimpleQueue()
    checked = CheckedFiles()
    engine = Engine(bucket, session, settings, events.put, only=only)
    stopping = False
    gc.freeze()  # existing objects live until the end, so garbage collection need not traverse them
    with interrupts.gracefully(), make_display(output) as display:
        engine.start()
        try:
            while not engine.wait(POLL_INTERVAL) and not interrupts.grace_expired:
                _report_events(events, display, output, checked)
                snapshot = engine.snapshot()
                display.show_progress(snapshot)
                if output.json_writer is not None:
                    output.json_writer.progress(snapshot)
                if interrupts.requested.is_set() and not stopping:
                    stopping = True
                    engine.stop()
            _report_events(events, display, output, checked)
        except BaseException:
            engine.stop()
            engine.wait(1.0)
            raise
    last = engine.snapshot()
    if output.json_writer is not None:
        output.json_writer.progress(last, force=True)
    groups = group_by_reason(checked.reasons(engine.states()), [obj.key for obj in session.plan.objects])
    ended = engine.result or _result_of_unfinished_run(last)
    return RunResult(ended, last, groups, engine.objects(), engine.states())


def report_result(
    result: RunResult, missing: Sequence[Missing], session: Session, output: Output, flags: str = ""
) -> ExitCode:
    """Print the summary, what is missing in the bucket, and how to continue. Return the exit code.

    flags: further flags for the command that continues, such as " --merge year".
    """
    ended, last = result.ended, result.last
    for absent in missing[:MAX_LISTED]:
        output.notice(f"missing in the bucket: {name_and_key(absent.key)}: {absent.reason}")
    if len(missing) > MAX_LISTED:
        output.notice(f"missing in the bucket: {len(missing) - MAX_LISTED:,} more; --json lists them all")
    for absent in missing:
        output.record("missing", key=absent.key, reason=absent.reason)
    output.notice(summary_line(ended, last, len(missing)))
    for line in checked_lines(result.checked):
        output.notice(line)
    _report_next_step(ended, session, output, flags)
    output.record(
        "summary",
        files=last.total_files,
        bytes=last.total_bytes,
        verified=ended.verified,
        checked=ended.checked,
        checked_part=ended.checked_part,
        checked_because=[
            {"reason": group.reason, "files": len(group.keys), "keys": group.keys[:MAX_LISTED]}
            for group in result.checked[:MAX_LISTED]
        ],
        failed=ended.failed,
        missing=len(missing),
        unfinished=ended.unfinished,
        stopped=ended.stopped,
        error=ended.error,
        remedy=ended.remedy,
        kind=ended.kind,
        fetched_bytes=last.fetched_bytes,
        written_bytes=last.written_bytes,
        elapsed=last.elapsed,
    )
    return exit_codes.for_run(ended, len(missing))


def _report_events(events: SimpleQueue[Event], display: Display, output: Output, checked: CheckedFiles) -> None:
    """Report the events since the last call."""
    while True:
        try:
            event = events.get_nowait()
        except Empty:
            return
        display.show_event(event)
        checked.record(event)
        if output.json_writer is not None:
            output.json_writer.event(event)


def _result_of_unfinished_run(last: Snapshot) -> RunEnded:
    """Return the result for an engine that did not stop in time. Its last checkpoint is on disk."""
    unfinished = last.total_files - last.done_files - last.failed_files
    return RunEnded(
        verified=last.verified_files,
        checked=last.checked_files,
        failed=last.failed_files,
        unfinished=unfinished,
        stopped=True,
        error="",
        remedy="",
        checked_part=last.checked_part_files,
    )


def make_display(output: Output) -> Display:
    """Return the display for a terminal, or for a file or a pipe."""
    if output.supports_live_display:
        from era5dl.cli.live_display import LiveDisplay

        return LiveDisplay()
    return PlainDisplay(output)


def _report_start(session: Session, output: Output) -> None:
    plan, done = session.plan, session.checkpoint.done_bytes
    estimate = estimate_plan(plan).total
    fetch = session.checkpoint.total_bytes or estimate.fetched  # exact for what an earlier run has fetched
    output.record(
        "session",
        session=session.id,
        folder=str(session.folder),
        files=len(plan.objects),
        bytes=fetch,
        done_bytes=done,
    )
    for note in session.notes:
        output.notice(note)
    existing = f" ({format_size(done)} are already there)" if done else ""
    size = format_size(estimate.size)
    if not plan.subset.is_everything:
        size = f"about {format_size(fetch)} of {size}"
    output.info(f"Downloading {format_count(len(plan.objects), 'file')}, {size}, into {session.folder}{existing}")


def _report_next_step(ended: RunEnded, session: Session, output: Output, flags: str) -> None:
    if ended.error:
        output.notice(f"era5dl: {ended.error}")
    if ended.remedy:
        output.notice(f"  {ended.remedy}")
    if ended.unfinished:
        output.notice(f"To resume: {_resume_command(session)}{flags}")
    elif ended.failed:
        output.notice(f"To retry the failed files: {_resume_command(session)}{flags}")


def _resume_command(session: Session) -> str:
    """Return the command that resumes this session, with --allow-endpoint if only a flag specified the server."""
    from era5dl.session.origin import check_origin
    from era5dl.settings import Settings

    folder = shlex.quote(str(session.folder)) if os.name == "posix" else f'"{session.folder}"'
    if not _is_displayable(folder) and not session.run:
        folder = session.id
    command = f"era5dl work {folder} --run {session.run}" if session.run else f"era5dl resume {folder}"
    try:
        own = Settings(endpoint_url=session.info.endpoint_url, bucket=session.info.bucket, region=session.info.region)
        check_origin(own, Settings.from_environment(os.environ), ())
    except OtherEndpoint as other:
        return f"{command} --allow-endpoint {other.address}"
    except UsageError:
        pass  # an invalid environment variable is reported when it is used
    return command


def _is_displayable(text: str) -> bool:
    """Return whether the text appears unchanged on stderr, so that the user can copy it."""
    try:
        text.encode(sys.stderr.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return printable(text) == text
