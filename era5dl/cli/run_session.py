"""One session driven to its end: engine, display, records, interrupts. download, resume and demo all come here."""

from __future__ import annotations

import gc
import os
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from era5dl.cli import CANNOT_GO_ON, FINE, INCOMPLETE, INTERRUPTED
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Voice
from era5dl.cli.plain_display import Face, Lines, checked_lines, summary_line
from era5dl.engine.events import Event, RunEnded
from era5dl.engine.progress import Snapshot
from era5dl.engine.reporting import CheckedFiles, CheckedGroup, group_by_reason
from era5dl.errors import OtherEndpoint, UsageError
from era5dl.formatting import format_count, format_size, printable

if TYPE_CHECKING:
    from era5dl.bucket.interface import Bucket
    from era5dl.planner import Missing
    from era5dl.session import Session
    from era5dl.settings import Settings

TURN = 0.1  # seconds between two looks at the engine; short, so that Ctrl-C is heard on Windows too
NAMED = 200  # keys named one by one before the rest is only counted


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended, and its last figures."""

    ended: RunEnded
    last: Snapshot
    checked: Sequence[CheckedGroup] = ()


def drive(
    bucket: Bucket,
    session: Session,
    settings: Settings,
    voice: Voice,
    interrupts: Interrupts,
    *,
    only: Collection[int] | None = None,
) -> Finished:
    """Fetch what is not there yet: look at the engine ten times a second until it has ended, or has had its time.

    only: of that, nothing but these objects (places in the plan).
    """
    from era5dl.engine.engine import Engine

    _announce(session, voice)
    events: SimpleQueue[Event] = SimpleQueue()
    checked = CheckedFiles()
    engine = Engine(bucket, session, settings, events.put, only=only)
    stopping = False
    gc.freeze()  # what stands now stands until the end: nothing for the collections of days to look at
    with interrupts.gracefully(), _face(voice) as face:
        engine.start()
        try:
            while not engine.wait(TURN) and not interrupts.out_of_patience:
                _tell(events, face, voice, checked)
                snapshot = engine.snapshot()
                face.draw(snapshot)
                if voice.records is not None:
                    voice.records.progress(snapshot)
                if interrupts.asked.is_set() and not stopping:
                    stopping = True
                    engine.stop()
            _tell(events, face, voice, checked)
        except BaseException:
            engine.stop()
            engine.wait(1.0)
            raise
    last = engine.snapshot()
    if voice.records is not None:
        voice.records.progress(last, at_once=True)
    groups = group_by_reason(checked.reasons(engine.states()), [obj.key for obj in session.plan.objects])
    return Finished(engine.result or _unfinished_business(last), last, groups)


def conclude(finished: Finished, missing: Sequence[Missing], session: Session, voice: Voice) -> int:
    """Say how it went and what is missing upstream; give the exit code."""
    ended, last = finished.ended, finished.last
    for absent in missing[:NAMED]:
        voice.insist(f"missing upstream: {absent.key}: {absent.reason}")
    if len(missing) > NAMED:
        voice.insist(f"missing upstream: {len(missing) - NAMED:,} more; --json names them all")
    for absent in missing:
        voice.record("missing", key=absent.key, reason=absent.reason)
    voice.insist(summary_line(ended, last, len(missing)))
    for line in checked_lines(finished.checked):
        voice.insist(line)
    _say_what_next(ended, session, voice)
    voice.record(
        "summary",
        files=last.total_files,
        bytes=last.total_bytes,
        verified=ended.verified,
        checked=ended.checked,
        checked_because=[
            {"reason": group.reason, "files": len(group.keys), "keys": group.keys[:NAMED]}
            for group in finished.checked[:NAMED]
        ],
        failed=ended.failed,
        missing=len(missing),
        unfinished=ended.unfinished,
        stopped=ended.stopped,
        error=ended.error,
        remedy=ended.remedy,
        kind=ended.kind,
        fetched_bytes=last.fetched_bytes,
        elapsed=last.elapsed,
    )
    return exit_code(ended, len(missing))


def exit_code(ended: RunEnded, missing: int) -> int:
    """
    the run was ended by        left over                     -> code
    an error                    anything                      -> 3
    the user                    something                     -> 130
    itself                      failed, missing, unfinished   -> 1
    itself                      nothing                       -> 0
    """
    if ended.error:
        return CANNOT_GO_ON
    if ended.stopped and ended.unfinished:
        return INTERRUPTED
    return INCOMPLETE if ended.failed or missing or ended.unfinished else FINE


def _tell(events: SimpleQueue[Event], face: Face, voice: Voice, checked: CheckedFiles) -> None:
    """Pass on what has happened since the last look."""
    while True:
        try:
            event = events.get_nowait()
        except Empty:
            return
        face.event(event)
        checked.record(event)
        if voice.records is not None:
            voice.records.event(event)


def _unfinished_business(last: Snapshot) -> RunEnded:
    """The result of an engine that did not end in time; its last checkpoint stands."""
    left = last.total_files - last.done_files - last.failed_files
    return RunEnded(last.verified_files, last.checked_files, last.failed_files, left, True, "", "")


def _face(voice: Voice) -> Face:
    if voice.live:
        from era5dl.cli.live_display import Live

        return Live(voice)
    return Lines(voice)


def _announce(session: Session, voice: Voice) -> None:
    objects = session.plan.objects
    total = sum(obj.size for obj in objects)
    done = session.checkpoint.done_bytes
    voice.record(
        "session",
        session=session.id,
        folder=str(session.folder),
        files=len(objects),
        bytes=total,
        done_bytes=done,
    )
    for note in session.notes:
        voice.insist(note)
    there = f"; {format_size(done)} came earlier" if done else ""
    voice.say(f"Fetching {format_count(len(objects), 'file')}, {format_size(total)}, into {session.folder}{there}")


def _can_be_shown(text: str) -> bool:
    """Whether it appears on stderr as it is, so that a person can copy it."""
    try:
        text.encode(sys.stderr.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return printable(text) == text


def _say_what_next(ended: RunEnded, session: Session, voice: Voice) -> None:
    if ended.error:
        voice.insist(f"era5dl: {ended.error}")
    if ended.remedy:
        voice.insist(f"  {ended.remedy}")
    if ended.unfinished:
        voice.insist(f"Go on with: {_resume_command(session)}")
    elif ended.failed:
        voice.insist(f"Try the failed ones again with: {_resume_command(session)}")


def _resume_command(session: Session) -> str:
    """What goes on with this session; where only a flag named its server, that has to be said again."""
    from era5dl.session.origin import check_origin
    from era5dl.settings import Settings

    folder = shlex.quote(str(session.folder)) if os.name == "posix" else f'"{session.folder}"'
    if not _can_be_shown(folder):
        folder = session.id
    command = f"era5dl resume {folder}"
    try:
        here = Settings(endpoint_url=session.info.endpoint_url, bucket=session.info.bucket, region=session.info.region)
        check_origin(here, Settings.from_environment(os.environ), ())
    except OtherEndpoint as other:
        return f"{command} --allow-endpoint {other.address}"
    except UsageError:
        pass  # the environment will be complained of when it is used
    return command
