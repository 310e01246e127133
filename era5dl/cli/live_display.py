"""Live progress display in a terminal (rich): total progress bar, active files, and failures scrolling above.

`render` is a pure function of a snapshot. Keys are rendered as Text objects, never as markup, without control
characters.
"""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from era5dl.catalog.key_names import display_name
from era5dl.cli.plain_display import event_line, percent
from era5dl.engine.events import Event, FileFailed, State, StateChanged, Throttled
from era5dl.engine.progress import ActiveFile, Snapshot
from era5dl.formatting import format_count, format_duration, format_size, format_speed, printable

FRAME_INTERVAL = 0.12  # seconds


class LiveDisplay:
    """Display on stderr that is redrawn in place, and removed at the end of the run."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, emoji=False, markup=False)
        self._live = RichLive(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, transient=True
        )
        self._next_frame = 0.0
        self._reported_failures: set[str] = set()  # not repeated when a retry round ends with the same failure

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show_event(self, event: Event) -> None:
        """Print the event above the display, unless the display itself shows it."""
        if isinstance(event, (StateChanged, Throttled)):
            return  # part of the display
        line, failed = event_line(event), isinstance(event, FileFailed)
        if line and line not in self._reported_failures:
            self._console.print(Text(printable(line), style="red" if failed else "yellow"))
        if failed:
            self._reported_failures.add(line)

    def show_progress(self, snapshot: Snapshot) -> None:
        """Redraw, at most once per `FRAME_INTERVAL`."""
        now = time.monotonic()
        if now >= self._next_frame:
            self._next_frame = now + FRAME_INTERVAL
            self._live.update(render(snapshot, self._console.width, self._console.height), refresh=True)


def render(snapshot: Snapshot, width: int, height: int) -> RenderableType:
    """Return the whole display, never higher than the terminal (width x height characters)."""
    shown = max(1, min(len(snapshot.active), height - 6))
    parts: list[RenderableType] = [_total(snapshot), _counts(snapshot)]
    if snapshot.state is not State.RUNNING:
        parts.append(_state(snapshot))
    if snapshot.active:
        parts.append(_files(snapshot.active[:shown], width))
    if len(snapshot.active) > shown:
        parts.append(Text(f"  and {len(snapshot.active) - shown} more", style="dim"))
    return Group(*parts)


def _total(snapshot: Snapshot) -> Table:
    remaining = f"{format_duration(snapshot.time_left)} remaining" if snapshot.time_left is not None else ""
    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(ratio=1)
    for width in (5, 18, 9, 17):  # width of the usual texts, so that the length of the bar does not change
        row.add_column(justify="right", no_wrap=True, min_width=width)
    bar = ProgressBar(total=max(1, snapshot.total_bytes), completed=snapshot.done_bytes)
    row.add_row(
        bar,
        Text(f"{percent(snapshot)} %", style="bold"),
        Text(f"{format_size(snapshot.done_bytes)} of {format_size(snapshot.total_bytes)}"),
        Text(format_speed(snapshot.speed), style="green"),
        Text(remaining),
    )
    return row


def _counts(snapshot: Snapshot) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{snapshot.done_files:,} of {format_count(snapshot.total_files, 'file')}")
    if snapshot.checked_files:
        line.append(f", {snapshot.verified_files:,} verified, {snapshot.checked_files:,} checked", style="dim")
    if snapshot.checked_part_files:
        line.append(f", {snapshot.checked_part_files:,} parts of files checked", style="dim")
    if snapshot.failed_files:
        line.append(f", {snapshot.failed_files:,} failed", style="red")
    line.append(f", {format_count(snapshot.in_flight, 'active request')}", style="dim")
    if snapshot.auto:
        line.append(f" (auto: {snapshot.workers})", style="dim")
    if snapshot.allowed < snapshot.workers:
        line.append(f" (the server allows {snapshot.allowed})", style="yellow")
    if snapshot.rate_limit is not None:
        line.append(f", limited to {format_speed(snapshot.rate_limit)}", style="dim")
    return line


def _state(snapshot: Snapshot) -> Text:
    """Return the state of a run that waits, and the reason."""
    reason = f": {printable(snapshot.reason)}" if snapshot.reason else ""
    return Text(f"{snapshot.state.value}{reason}", style="bold yellow", no_wrap=True, overflow="ellipsis")


def _files(active: tuple[ActiveFile, ...], width: int) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(width=20 if width >= 80 else 8)
    table.add_column(justify="right", no_wrap=True, min_width=5)
    table.add_column(justify="right", no_wrap=True, min_width=9)
    for file in active:
        share = file.done * 100 // file.size if file.size else 100
        table.add_row(
            Text("  " + printable(display_name(file.key)), style="cyan"),
            ProgressBar(total=max(1, file.size), completed=file.done),
            Text(f"{share} %"),
            Text("verifying" if file.proving else format_speed(file.speed), style="dim"),
        )
    return table
