"""Totals on the Download page: progress, speed, remaining time, Pause, Stop, number of workers and rate limit."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from tkinter import ttk
from typing import Literal

from era5dl.engine.events import PROBLEM_STATES, State
from era5dl.engine.progress import Snapshot
from era5dl.formatting import format_size, format_speed
from era5dl.gui.models.request_form import FieldError, read_limit
from era5dl.gui.text import status_text
from era5dl.gui.text.i18n import _, ngettext
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.auto_number_field import AutoNumberField
from era5dl.gui.widgets.basic_widgets import Card, UpdatingLabel
from era5dl.gui.widgets.chart_scale import Sample
from era5dl.gui.widgets.line_chart import LineChart, Series
from era5dl.gui.widgets.tooltip import Tooltip
from era5dl.settings import AUTO, MAX_AUTO_WORKERS

_CHART = 300  # minimum width of the chart beside the buttons, in unscaled pixels; if narrower, it is above them
_FIGURES = 270  # width of the numbers beside the chart if it is above the buttons
SPAN = 180.0  # seconds that the chart shows
_SHORT_SPAN = 30.0  # the same at the start of a run


@dataclass(frozen=True, slots=True)
class TotalsCallbacks:
    """Callbacks of the panel.

    workers: called with a number or "auto". limit: called with bytes per second or a timetable; None for no limit.
    """

    pause: Callable[[], object]
    resume: Callable[[], object]
    stop: Callable[[], object]
    workers: Callable[[int | Literal["auto"]], object]
    limit: Callable[[int | str | None], object]


class TotalsPanel(Card):
    """Shows snapshots of a run. `show` is called ten times a second."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        callbacks: TotalsCallbacks,
        *,
        workers: int | Literal["auto"],
        limit: int | str,
    ) -> None:
        super().__init__(master, theme)
        self._theme, self._callbacks = theme, callbacks
        self._state: State | None = None
        self._last: Snapshot | None = None
        self._bar_shows: tuple[int, str] = (0, "Horizontal.TProgressbar")
        self._buttons_for: State | None = State.ENDED  # the state for which the buttons are set
        px = theme.px
        self._figures = left = ttk.Frame(self)
        line = ttk.Frame(left)
        line.pack(fill="x")
        self._percent = UpdatingLabel(line, style="Figure.TLabel")
        self._percent.pack(side="left")
        self._left = UpdatingLabel(line, style="Head.TLabel")
        self._left.pack(side="right", anchor="s", pady=(0, px(2)))
        self.bar = ttk.Progressbar(left, maximum=1000)
        self.bar.pack(fill="x", pady=(px(5), px(5)))
        self._detail = UpdatingLabel(left, style="Muted.TLabel")
        self._detail.pack(fill="x", pady=(0, px(9)))
        self._buttons = line = ttk.Frame(self)
        self.pause = ttk.Button(line, command=self._pause_or_resume)
        self.stop = ttk.Button(line, style="Danger.TButton", command=callbacks.stop)
        theme.set_icon(self.stop, "stop", "danger", 14)
        self.pause.pack(side="left")
        self.stop.pack(side="left", padx=px(8))
        self.limit = ttk.Entry(line, width=10)
        self.limit.pack(side="right")
        self._show_limit(limit)
        for key in ("<Return>", "<FocusOut>"):
            self.limit.bind(key, lambda _event: self._set_limit(), add="+")
        Tooltip(
            self.limit,
            theme,
            lambda: _(
                "For example 5 MB/s or 500 kB/s, for all connections together, or a timetable such as "
                "08:00,1M 20:00,off. Leave it empty for no limit."
            ),
        )
        self._limit_title = ttk.Label(line, style="Muted.TLabel")
        self._limit_title.pack(side="right", padx=(px(14), px(6)))
        self.workers = AutoNumberField(
            line,
            value=None if workers == AUTO else workers,
            least=1,
            most=MAX_AUTO_WORKERS,
            usual=(4, 8, 16, 32, 64),
            on_change=lambda number: callbacks.workers(AUTO if number is None else number),
        )
        self.workers.pack(side="right")
        Tooltip(self.workers, theme, self._describe_workers)
        self._workers_title = ttk.Label(line, style="Muted.TLabel")
        self._workers_title.pack(side="right", padx=(0, px(6)))
        self.chart = LineChart(self, theme, format_value=format_speed, span=SPAN, least=100_000, height=84, width=160)
        for part in (self, line, *line.winfo_children()):
            part.bind("<Configure>", lambda _event: self._place(), add="+")
        self._narrow: bool | None = None
        self._place()
        self.retranslate()

    # --- interface

    def show(self, snapshot: Snapshot | None, active: bool) -> None:
        """Show a snapshot of the run; None if there is none yet. active: the run has not ended."""
        self._last = snapshot
        self.workers.show_found(snapshot.workers if snapshot is not None and snapshot.auto and active else None)
        self._state = snapshot.state if snapshot is not None and active else None
        self._arrange()
        if snapshot is None:
            self._percent.show("–")
            self._detail.show(_("No download in progress."))
            self._left.show("")
            self._fill(0, "Horizontal.TProgressbar")
            return
        share = snapshot.done_bytes / snapshot.total_bytes if snapshot.total_bytes else 0.0
        whole = snapshot.done_files == snapshot.total_files
        self._percent.show("100 %" if whole else f"{min(int(share * 1000) / 10, 99.9):.1f} %")
        parts = [
            _("{done} of {total}", done=format_size(snapshot.done_bytes), total=format_size(snapshot.total_bytes)),
            ngettext(
                "{done:,} of {n:,} file", "{done:,} of {n:,} files", snapshot.total_files, done=snapshot.done_files
            ),
        ]
        if snapshot.failed_files:
            parts.append(_("{n:,} failed", n=snapshot.failed_files))
        if snapshot.held_files:
            parts.append(_("{n:,} held", n=snapshot.held_files))
        if self._by_timetable and snapshot.rate_limit and active:
            parts.append(_("limited to {speed}", speed=format_speed(snapshot.rate_limit)))
        self._detail.show(" · ".join(parts))
        self._left.show(self._speed_and_time(snapshot) if active else "")
        self._fill(round(share * 1000), _bar_style(self._state, snapshot, whole))

    def show_speeds(self, samples: list[Sample], now: float) -> None:
        """Show the speed of the last minutes. `now` and the times of the samples are from the same clock."""
        self.chart.set_span(min(SPAN, max(_SHORT_SPAN, now - samples[0][0])) if samples else SPAN)
        self.chart.show([Series(_("Speed"), samples)], now)

    def show_settings(self, workers: int | Literal["auto"], limit: int | str) -> None:
        """Show settings that were changed elsewhere."""
        self.workers.set_value(None if workers == AUTO else workers)
        self._show_limit(limit)

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self.stop.configure(text=_("Stop"), compound="left")
        self._workers_title.configure(text=_("Workers"))
        self.workers.set_texts(_("Auto"))
        self._limit_title.configure(text=_("Limit"))
        self.chart.set_texts(empty=_("The speed appears here."))
        self._buttons_for = State.ENDED
        self.show(self._last, self._state is not None)

    # --- inside

    def _describe_workers(self) -> str:
        """Return the tooltip of the number of workers: why it is what it is."""
        last = self._last
        if self.workers.get_value() is None and last is not None and last.auto and self._state is not None:
            return status_text.workers_reason(last.workers, last.workers_reason)
        return _("Simultaneous requests. Auto finds the best number by measuring, and adapts it to the connection.")

    @property
    def can_resume(self) -> bool:
        """Whether the user has paused the run."""
        return self._state is State.PAUSED

    def _fill(self, permille: int, style: str) -> None:
        if (permille, style) != self._bar_shows:
            self._bar_shows = (permille, style)
            self.bar.configure(value=permille, style=style)

    def _pause_or_resume(self) -> None:
        (self._callbacks.resume if self.can_resume else self._callbacks.pause)()

    def _show_limit(self, limit: int | str) -> None:
        self.limit.delete(0, "end")
        self._shown_limit = limit if isinstance(limit, str) else format_speed(limit) if limit else ""
        self.limit.insert(0, self._shown_limit)
        self._by_timetable = isinstance(limit, str)

    def _set_limit(self) -> None:
        if self.limit.get() == self._shown_limit:
            return  # it may be rounded, so that reading it would change the limit
        limit = read_limit(self.limit.get())
        self.limit.state(["invalid" if isinstance(limit, FieldError) else "!invalid"])
        if not isinstance(limit, FieldError):
            self._shown_limit, self._by_timetable = self.limit.get(), isinstance(limit, str)
            self._callbacks.limit(limit)

    def _arrange(self) -> None:
        if self._buttons_for is self._state:
            return
        self._buttons_for = self._state
        going = self._state not in (None, State.STOPPING, State.ENDED)
        self.pause.state(["!disabled" if going else "disabled"])
        self.stop.state(["!disabled" if going else "disabled"])
        text, icon = (_("Resume"), "play") if self.can_resume else (_("Pause"), "pause")
        self.pause.configure(text=text, compound="left")
        self._theme.set_icon(self.pause, icon, "text", 14)

    def _place(self) -> None:
        """Place the chart at the right; above the buttons if there is too little room beside them."""
        gap, words = self._theme.px(18), self._buttons.winfo_reqwidth()
        narrow = self.winfo_width() < words + gap + self._theme.px(_CHART)
        self.columnconfigure(0, weight=1, minsize=self._theme.px(_FIGURES) if narrow else words + gap)
        self.columnconfigure(1, weight=1 if narrow else 2)
        if narrow is self._narrow:
            return
        self._narrow = narrow
        self._figures.grid(row=0, column=0, sticky="new", padx=(0, gap))
        self._buttons.grid(row=1, column=0, columnspan=1 + narrow, sticky="sew", padx=(0, 0 if narrow else gap))
        self.chart.grid(
            row=0, column=1, rowspan=2 - narrow, sticky="nsew", pady=(0, self._theme.px(8) if narrow else 0)
        )

    def _speed_and_time(self, snapshot: Snapshot) -> str:
        if snapshot.state is not State.RUNNING:
            return status_text.state(snapshot.state).name
        pace = format_speed(snapshot.speed)
        if snapshot.time_left is None:
            return pace if snapshot.speed else ""
        return f"{pace} · " + _("{time} left", time=status_text.duration(snapshot.time_left))


def _bar_style(state: State | None, snapshot: Snapshot, whole: bool) -> str:
    if state in PROBLEM_STATES:
        return "Warn.Horizontal.TProgressbar"
    if whole:
        return "Ok.Horizontal.TProgressbar"
    if state is None and snapshot.failed_files:
        return "Danger.Horizontal.TProgressbar"
    return "Horizontal.TProgressbar"
