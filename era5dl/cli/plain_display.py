"""How a run is told in plain lines: a line at the start, one now and then, each failure, the summary.

What `Lines` prints suits a log file; `terminal.Live` replaces it where a person watches. The sentences are shared.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from era5dl.cli.output import Voice
from era5dl.engine.events import (
    Event,
    FewerWorkers,
    FileFailed,
    FileRestarted,
    FileRetrying,
    RangesIgnored,
    RetryRoundScheduled,
    RunEnded,
    State,
    StateChanged,
    Throttled,
)
from era5dl.engine.progress import Snapshot
from era5dl.engine.reporting import CheckedGroup, EventFilter
from era5dl.errors import ClaimedElsewhere
from era5dl.formatting import format_count, format_duration, format_size, format_speed

EVERY = 10.0  # seconds between two progress lines
MOST_REASONS = 20  # and names with each, of files that are checked and not verified
MOST_NAMES = 5


class Face(Protocol):
    """Shows a run to a person. All methods are called from the thread that waits for the engine."""

    def __enter__(self) -> Face: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def event(self, event: Event) -> None: ...

    def draw(self, snapshot: Snapshot) -> None: ...


class Lines:
    """Plain lines on stderr."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._next = time.monotonic() + EVERY
        self._news = EventFilter()
        self._told: set[str] = set()  # failures: a round that ends as the one before is no news
        self._fault: FileRetrying | None = None  # the last one since bytes came

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def event(self, event: Event) -> None:
        line, now = line_for(event), time.monotonic()
        if isinstance(event, StateChanged) and not self._news.should_report(event, now):
            return
        if isinstance(event, Throttled) and not self._news.should_report_throttle(event, now):
            return
        if isinstance(event, FileRetrying):
            self._fault = event
        if isinstance(event, FileFailed):
            if line not in self._told:
                self._told.add(line)
                self._voice.insist(line)
        elif line:
            self._voice.say(line)

    def draw(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if snapshot.speed:
            self._fault = None
        if now >= self._next:
            self._next = now + EVERY
            held_up = snapshot.state is State.RUNNING and not snapshot.speed
            self._voice.say(progress_line(snapshot) + (_held_up_by(self._fault) if held_up else ""))


def line_for(event: Event) -> str:
    """The event as a sentence; "" for what happens all the time and needs no line of its own."""
    match event:
        case FileFailed():
            return f"failed: {event.key}: {_reason(event)}" + (f" ({event.remedy})" if event.remedy else "")
        case FileRestarted():
            return f"begun anew: {event.key}: {_reason(event)}"
        case FileRetrying(kind=ClaimedElsewhere.__name__):
            return f"left to another session: {event.key}: {_reason(event)}"
        case StateChanged(state=State.RUNNING):
            return "going on" if event.reason == "" else f"going on: {event.reason}"
        case RetryRoundScheduled():
            files = format_count(event.files, "failed file")
            return f"trying {files} again in {event.delay:.0f} s (round {event.round})"
        case StateChanged() if event.state not in (State.READY, State.ENDED, State.WAITING_TO_RETRY):
            return f"{event.state.value}: {event.reason}" if event.reason else str(event.state.value)
        case Throttled():
            return f"the server asks to slow down: {format_count(event.workers, 'request')} at once for now"
        case FewerWorkers():
            fewer = format_count(event.workers, "worker")
            return f"only {fewer} instead of {event.wanted}: {event.reason} ({event.remedy})"
        case RangesIgnored():
            return (
                "a proxy or the server ignores Range requests: each file comes over one connection, "
                "and an interruption starts it again"
            )
    return ""


def _reason(event: FileFailed | FileRestarted | FileRetrying) -> str:
    """Why, without the key, which stands before it."""
    return event.reason.removeprefix(f"{event.key}: ")


def progress_line(snapshot: Snapshot) -> str:
    """ "42 %: 5 of 12 files, 512 MB of 1.20 GB, 28.0 MB/s, 0:25 left" """
    parts = [
        f"{snapshot.done_files:,} of {format_count(snapshot.total_files, 'file')}",
        f"{format_size(snapshot.done_bytes)} of {format_size(snapshot.total_bytes)}",
        format_speed(snapshot.speed),
    ]
    if snapshot.time_left is not None:
        parts.append(f"{format_duration(snapshot.time_left)} left")
    if snapshot.failed_files:
        parts.append(f"{snapshot.failed_files:,} failed")
    if snapshot.state is not State.RUNNING:
        parts.append(snapshot.state.value)
    return f"{percent(snapshot)} %: " + ", ".join(parts)


def _held_up_by(fault: FileRetrying | None) -> str:
    """ "; 2t.nc: stalled, attempt 3": why nothing comes, as far as the last fault tells."""
    if fault is None:
        return ""
    return f"; {fault.key.rpartition('/')[2]}: {_reason(fault)}, attempt {fault.attempt + 1}"


def percent(snapshot: Snapshot) -> int:
    """Whole percent of the bytes, rounded down: 100 only when all is there."""
    if snapshot.total_bytes:
        return snapshot.done_bytes * 100 // snapshot.total_bytes
    return 100 if snapshot.done_files == snapshot.total_files else 0


def checked_lines(groups: Sequence[CheckedGroup]) -> list[str]:
    """ "3 files are checked, not verified: the server's ETag is not an MD5 (a.nc, b.nc, c.nc)", one for each reason"""
    lines = []
    for reason, keys in groups[:MOST_REASONS]:
        names = ", ".join(key.rpartition("/")[2] for key in keys[:MOST_NAMES])
        more = f" and {len(keys) - MOST_NAMES:,} more" if len(keys) > MOST_NAMES else ""
        are = "is" if len(keys) == 1 else "are"
        lines.append(f"{format_count(len(keys), 'file')} {are} checked, not verified: {reason} ({names}{more})")
    if rest := sum(len(group.keys) for group in groups[MOST_REASONS:]):
        lines.append(f"{format_count(rest, 'file')} more: checked, not verified, for other reasons; --json names them")
    return lines


def summary_line(ended: RunEnded, last: Snapshot, missing: int) -> str:
    """ "12 files, 1.20 GB: 12 verified; took 0:42 at 28.0 MB/s" """
    counts = (
        (ended.verified, "verified"),
        (ended.checked, "checked"),
        (ended.failed, "failed"),
        (missing, "missing upstream"),
        (ended.unfinished, "left for the next run"),
    )
    what = ", ".join(f"{number:,} {word}" for number, word in counts if number) or "nothing to do"
    if last.fetched_bytes:
        pace = last.fetched_bytes / last.elapsed if last.elapsed > 0 else 0.0
        effort = f"took {format_duration(last.elapsed)} at {format_speed(pace)}"
    else:
        effort = f"took {format_duration(last.elapsed)}, nothing had to be fetched"
    return f"{format_count(last.total_files, 'file')}, {format_size(last.total_bytes)}: {what}; {effort}"
