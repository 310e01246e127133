"""How a run looks in a terminal: a total bar with speed and time left, the active files, failures scrolling above.

`picture` is a pure function of a snapshot. Keys become Text objects, never markup, and lose their control characters.
"""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from era5dl.cli.output import Voice
from era5dl.cli.plain_display import line_for, percent
from era5dl.engine.events import Event, FileFailed, State, StateChanged, Throttled
from era5dl.engine.progress import ActiveFile, Snapshot
from era5dl.formatting import format_count, format_duration, format_size, format_speed, printable

FRAME = 0.12  # seconds between two pictures


class Live:
    """The picture on stderr, redrawn in place; it stays on the screen when the run has ended."""

    def __init__(self, voice: Voice, console: Console | None = None) -> None:
        self._voice = voice
        self._console = console or Console(stderr=True, highlight=False, emoji=False, markup=False)
        self._live = RichLive(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, transient=True
        )
        self._next = 0.0
        self._told: set[str] = set()  # failures: a round that ends as the one before is no news

    def __enter__(self) -> Live:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def event(self, event: Event) -> None:
        if isinstance(event, (StateChanged, Throttled)):
            return  # the picture shows these as long as they last
        line, failed = line_for(event), isinstance(event, FileFailed)
        if line and line not in self._told:
            self._console.print(Text(printable(line), style="red" if failed else "yellow"))
        if failed:
            self._told.add(line)

    def draw(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + FRAME
            self._live.update(picture(snapshot, self._console.width, self._console.height), refresh=True)


def picture(snapshot: Snapshot, width: int, height: int) -> RenderableType:
    """The whole display, never higher than the terminal."""
    room = max(1, min(len(snapshot.active), height - 6))
    parts: list[RenderableType] = [_total(snapshot), _counts(snapshot)]
    if snapshot.state is not State.RUNNING:
        parts.append(_trouble(snapshot))
    if snapshot.active:
        parts.append(_files(snapshot.active[:room], width))
    if len(snapshot.active) > room:
        parts.append(Text(f"  and {len(snapshot.active) - room} more", style="dim"))
    return Group(*parts)


def _total(snapshot: Snapshot) -> Table:
    left = f"{format_duration(snapshot.time_left)} left" if snapshot.time_left is not None else ""
    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(ratio=1)
    for width in (5, 18, 9, 12):  # as wide as the usual texts, so that the bar does not wobble
        row.add_column(justify="right", no_wrap=True, min_width=width)
    bar = ProgressBar(total=max(1, snapshot.total_bytes), completed=snapshot.done_bytes)
    row.add_row(
        bar,
        Text(f"{percent(snapshot)} %", style="bold"),
        Text(f"{format_size(snapshot.done_bytes)} of {format_size(snapshot.total_bytes)}"),
        Text(format_speed(snapshot.speed), style="green"),
        Text(left),
    )
    return row


def _counts(snapshot: Snapshot) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{snapshot.done_files:,} of {format_count(snapshot.total_files, 'file')}")
    if snapshot.checked_files:
        line.append(f", {snapshot.verified_files:,} verified, {snapshot.checked_files:,} checked", style="dim")
    if snapshot.failed_files:
        line.append(f", {snapshot.failed_files:,} failed", style="red")
    line.append(f", {format_count(snapshot.in_flight, 'request')} under way", style="dim")
    if snapshot.allowed < snapshot.workers:
        line.append(f" (the server allows {snapshot.allowed})", style="yellow")
    if snapshot.rate_limit is not None:
        line.append(f", limited to {format_speed(snapshot.rate_limit)}", style="dim")
    return line


def _trouble(snapshot: Snapshot) -> Text:
    """Why it does not run, on a line of its own: it must not be cut off."""
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
            Text("  " + printable(file.key.rpartition("/")[2] or file.key), style="cyan"),
            ProgressBar(total=max(1, file.size), completed=file.done),
            Text(f"{share} %"),
            Text("proving" if file.proving else format_speed(file.speed), style="dim"),
        )
    return table
