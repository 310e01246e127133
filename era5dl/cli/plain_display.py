"""Plain text display of a run: a progress line every ten seconds, important events, each failure, and the summary.

`PlainDisplay` is used for pipes and log files, `live_display.LiveDisplay` in terminals. Both use the texts here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from era5dl.catalog.key_names import display_name, name_and_key
from era5dl.cli.output import Output
from era5dl.engine.events import (
    Event,
    FetchedWhole,
    FewerWorkers,
    FileChanged,
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

PROGRESS_INTERVAL = 10.0  # seconds between progress lines
MAX_REASONS = 20  # listed reasons why files are not verified
MAX_NAMES = 5  # listed files per reason


class Display(Protocol):
    """Shows a run to the user. All methods are called on the thread that waits for the engine."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show_event(self, event: Event) -> None: ...

    def show_progress(self, snapshot: Snapshot) -> None: ...


class PlainDisplay:
    """Prints lines to stderr."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._next_progress = time.monotonic() + PROGRESS_INTERVAL
        self._filter = EventFilter()
        self._reported_failures: set[str] = set()  # not repeated when a retry round ends with the same failure
        self._last_fault: FileRetrying | None = None  # since bytes were last received

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show_event(self, event: Event) -> None:
        """Print the event, unless it is unimportant or repeats an earlier one."""
        line, now = event_line(event), time.monotonic()
        if isinstance(event, StateChanged) and not self._filter.should_report(event, now):
            return
        if isinstance(event, Throttled) and not self._filter.should_report_throttle(event, now):
            return
        if isinstance(event, FileRetrying):
            self._last_fault = event
        if isinstance(event, FileFailed):
            if line not in self._reported_failures:
                self._reported_failures.add(line)
                self._output.notice(line)
        elif line:
            self._output.info(line)

    def show_progress(self, snapshot: Snapshot) -> None:
        """Print a progress line every `PROGRESS_INTERVAL` seconds, with the last fault while nothing is received."""
        now = time.monotonic()
        if snapshot.speed:
            self._last_fault = None
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_INTERVAL
            stalled = snapshot.state is State.RUNNING and not snapshot.speed
            self._output.info(progress_line(snapshot) + (_fault_suffix(self._last_fault) if stalled else ""))


def event_line(event: Event) -> str:
    """Return the event as a line of text; "" for frequent events that are not shown."""
    match event:
        case FileFailed():
            remedy = f" ({event.remedy})" if event.remedy else ""
            return f"failed: {name_and_key(event.key)}: {_reason(event)}{remedy}"
        case FetchedWhole():
            return f"fetched whole, because it has {event.reason}: {name_and_key(event.key)}"
        case FileChanged():
            return (
                f"changed on disk after it was complete, its wrong bytes are fetched again: {name_and_key(event.key)}"
            )
        case FileRestarted():
            return f"restarted: {name_and_key(event.key)}: {_reason(event)}"
        case FileRetrying(kind=ClaimedElsewhere.__name__):
            return f"left to another session: {name_and_key(event.key)}: {_reason(event)}"
        case StateChanged(state=State.RUNNING):
            return "resumed" if event.reason == "" else f"resumed: {event.reason}"
        case RetryRoundScheduled():
            files = format_count(event.files, "failed file")
            return f"retrying {files} in {event.delay:.0f} s (round {event.round})"
        case StateChanged() if event.state not in (State.READY, State.ENDED, State.WAITING_TO_RETRY):
            return f"{event.state.value}: {event.reason}" if event.reason else str(event.state.value)
        case Throttled():
            return f"the server throttles: {format_count(event.workers, 'concurrent request')} for now"
        case FewerWorkers():
            fewer = format_count(event.workers, "worker")
            return f"only {fewer} instead of {event.wanted}: {event.reason} ({event.remedy})"
        case RangesIgnored():
            return (
                "a proxy or the server ignores Range requests: each file uses a single connection "
                "and starts over after an interruption"
            )
    return ""


def _reason(event: FileFailed | FileRestarted | FileRetrying) -> str:
    """Return the reason without the key, which precedes it in the line."""
    return event.reason.removeprefix(f"{event.key}: ")


def progress_line(snapshot: Snapshot) -> str:
    """Return a line such as "42 %: 5 of 12 files, 512 MB of 1.20 GB, 28.0 MB/s, 0:25 remaining"."""
    parts = [
        f"{snapshot.done_files:,} of {format_count(snapshot.total_files, 'file')}",
        f"{format_size(snapshot.done_bytes)} of {format_size(snapshot.total_bytes)}",
        format_speed(snapshot.speed),
    ]
    if snapshot.time_left is not None:
        parts.append(f"{format_duration(snapshot.time_left)} remaining")
    if snapshot.auto:
        parts.append(f"{format_count(snapshot.workers, 'worker')} (auto)")
    if snapshot.rate_limit is not None:
        parts.append(f"limited to {format_speed(snapshot.rate_limit)}")
    if snapshot.failed_files:
        parts.append(f"{snapshot.failed_files:,} failed")
    if complete := sum(one.proving and 0 < one.size <= one.done for one in snapshot.active):
        parts.append(f"{format_count(complete, 'file')} being checked or written")
    if snapshot.state is not State.RUNNING:
        parts.append(snapshot.state.value)
    return f"{percent(snapshot)} %: " + ", ".join(parts)


def _fault_suffix(fault: FileRetrying | None) -> str:
    """Return the last fault as "; 2 m temperature, Feb 2021: stalled, attempt 3"."""
    if fault is None:
        return ""
    return f"; {display_name(fault.key)}: {_reason(fault)}, attempt {fault.attempt + 1}"


def percent(snapshot: Snapshot) -> int:
    """Return the percentage of bytes on disk, rounded down: 100 only when the download is complete."""
    if snapshot.total_bytes:
        return snapshot.done_bytes * 100 // snapshot.total_bytes
    return 100 if snapshot.done_files == snapshot.total_files else 0


def checked_lines(groups: Sequence[CheckedGroup]) -> list[str]:
    """Return a line per reason: "3 files are checked, not verified: the server's ETag is not an MD5 (Temperature,
    1 Feb 2021; Temperature, 2 Feb 2021; Temperature, 3 Feb 2021)"."""
    lines = []
    for reason, keys in groups[:MAX_REASONS]:
        names = "; ".join(display_name(key) for key in keys[:MAX_NAMES])
        more = f" and {len(keys) - MAX_NAMES:,} more" if len(keys) > MAX_NAMES else ""
        are = "is" if len(keys) == 1 else "are"
        lines.append(f"{format_count(len(keys), 'file')} {are} checked, not verified: {reason} ({names}{more})")
    if rest := sum(len(group.keys) for group in groups[MAX_REASONS:]):
        lines.append(
            f"{format_count(rest, 'file')} more are checked, not verified, for other reasons; --json lists them"
        )
    return lines


def summary_line(ended: RunEnded, last: Snapshot, missing: int) -> str:
    """Return a line such as "12 files, 1.20 GB: 12 verified; took 0:42 at 28.0 MB/s"; if parts of files were written,
    with their size on disk."""
    counts = (
        (ended.verified, "verified"),
        (ended.checked, "checked"),
        (ended.checked_part, "checked (subsets)"),
        (ended.failed, "failed"),
        (missing, "missing in the bucket"),
        (ended.unfinished, "unfinished"),
    )
    what = ", ".join(f"{number:,} {word}" for number, word in counts if number) or "nothing to do"
    if last.fetched_bytes:
        pace = last.fetched_bytes / last.elapsed if last.elapsed > 0 else 0.0
        effort = f"took {format_duration(last.elapsed)} at {format_speed(pace)}"
    else:
        effort = f"took {format_duration(last.elapsed)}, nothing had to be downloaded"
    is_complete = last.done_files == last.total_files
    if ended.checked_part or (is_complete and last.written_bytes < last.total_bytes):
        size = format_size(last.written_bytes) + " on disk"
    else:
        size = format_size(last.total_bytes)
    return f"{format_count(last.total_files, 'file')}, {size}: {what}; {effort}"
