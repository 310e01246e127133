"""Diagnostics page: diagnoses in words, the network test, and six charts of the last hour."""

from __future__ import annotations

import math
import time
import tkinter as tk
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from tkinter import ttk

from era5dl.formatting import format_size, format_speed
from era5dl.gui.models.charts import ChartData
from era5dl.gui.text.diagnosis_text import DiagnosisText, NetworkTestRow, Severity
from era5dl.gui.text.i18n import N_, _, follow, translate
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.banner import Banner, BannerKind
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.line_chart import LineChart, Series

_ICONS = {
    Severity.GOOD: ("done", "ok"),
    Severity.NOTE: ("info", "accent"),
    Severity.WARNING: ("warning", "warn"),
    Severity.BAD: ("danger", "danger"),
}
TYPICAL = 6.0  # seconds that a network test takes
_MOST = 3  # diagnoses shown at once
_LEFT = 420  # width of the left column, in unscaled pixels
_TIMINGS = (N_("Mean"), N_("Min"), N_("Max"), N_("Jitter"), N_("Loss"))


@dataclass(frozen=True, slots=True)
class DiagnosticsCallbacks:
    """Callbacks of the page. Each must return at once."""

    test: Callable[[], object]
    save_report: Callable[[], object]


class DiagnosticsPage(ttk.Frame):
    """`show` draws the charts, every two seconds; the other `show_` methods are called when something changed."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: DiagnosticsCallbacks) -> None:
        super().__init__(master, style="Page.TFrame")
        self._theme, self._callbacks = theme, callbacks
        self._diagnoses: tuple[DiagnosisText, ...] = ()
        self._steps: tuple[NetworkTestRow, ...] = ()
        self._testing = False
        self._began = 0.0
        self._hour = ChartData(now=0.0)
        self._banner = Banner(self, theme, on_close=lambda: None)
        self._banner.grid(row=0, column=0, columnspan=2, sticky="ew")
        self._create_left()
        self._create_charts()
        self.columnconfigure(1, weight=1)
        self.rowconfigure(1, weight=1)
        follow(self, self.retranslate)

    def _create_left(self) -> None:
        px, theme = self._theme.px, self._theme
        left = ttk.Frame(self, style="Page.TFrame", width=px(_LEFT))
        left.grid(row=1, column=0, sticky="ns", padx=(0, px(10)))
        left.columnconfigure(0, weight=1, minsize=px(_LEFT))
        left.rowconfigure(1, weight=1)
        diagnosis = Card(left, theme)
        diagnosis.grid(row=0, column=0, sticky="ew", pady=(0, px(10)))
        diagnosis.columnconfigure(1, weight=1)
        self._diagnosis_title = ttk.Label(diagnosis, style="Muted.TLabel")
        self._diagnosis_title.grid(row=0, column=0, columnspan=2, sticky="w", pady=(0, px(6)))
        self._diagnosis_rows: list[tuple[ttk.Label, ttk.Label, ttk.Label]] = []
        for number in range(_MOST):
            mark = ttk.Label(diagnosis)
            name = ttk.Label(diagnosis, style="Head.TLabel", wraplength=px(_LEFT - 64), justify="left")
            hint = ttk.Label(diagnosis, wraplength=px(_LEFT - 64), justify="left", style="Muted.TLabel")
            mark.grid(row=2 * number + 1, column=0, padx=(0, px(10)), sticky="n", pady=(px(3), 0))
            name.grid(row=2 * number + 1, column=1, sticky="w")
            hint.grid(row=2 * number + 2, column=1, sticky="w", pady=(px(2), px(6)))
            self._diagnosis_rows.append((mark, name, hint))
        self._create_test(left)

    def _create_test(self, left: ttk.Frame) -> None:
        px, theme = self._theme.px, self._theme
        card = Card(left, theme)
        card.grid(row=1, column=0, sticky="nsew")
        self._test_title = ttk.Label(card, style="Head.TLabel")
        self._test_title.pack(anchor="w")
        self._test_hint = ttk.Label(card, style="Muted.TLabel", wraplength=px(_LEFT - 32), justify="left")
        self._test_hint.pack(anchor="w", pady=(px(3), px(8)))
        self._table = ttk.Frame(card)
        self._table.pack(fill="both", expand=True)
        self._table.columnconfigure(0, weight=1)
        self._cells: list[ttk.Label] = []
        self._progress = ttk.Progressbar(card, maximum=1000)
        buttons = self._buttons = ttk.Frame(card)
        buttons.pack(side="bottom", fill="x", pady=(px(10), 0))
        self._test = ttk.Button(buttons, style="Accent.TButton", command=self._callbacks.test)
        self._test.pack(side="left")
        self._report = ttk.Button(buttons, command=self._callbacks.save_report)
        theme.set_icon(self._report, "download", "text", 15)
        self._report.pack(side="right")

    def _create_charts(self) -> None:
        px, theme = self._theme.px, self._theme
        card = Card(self, theme)
        card.grid(row=1, column=1, sticky="nsew")
        self._hour_title = ttk.Label(card, style="Head.TLabel")
        self._hour_title.grid(row=0, column=0, columnspan=2, sticky="w", pady=(0, px(6)))
        formats: tuple[tuple[Callable[[float], str], float], ...] = (
            (format_speed, 1000.0),
            (_whole, 4.0),
            (_milliseconds, 0.01),
            (_whole, 4.0),
            (format_size, 50e6),
            (_whole, 20.0),
        )
        self.charts: list[LineChart] = []
        for number, (formatted, least) in enumerate(formats):
            chart = LineChart(
                card, theme, format_value=formatted, format_ago=_ago, least=least, width=260, height=110, title=" "
            )
            row, column = divmod(number, 2)
            chart.grid(
                row=row + 1, column=column, sticky="nsew", padx=(px(14) if column else 0, 0), pady=(px(4), px(6))
            )
            self.charts.append(chart)
        for column in (0, 1):
            card.columnconfigure(column, weight=1, uniform="chart")
        for row in (1, 2, 3):
            card.rowconfigure(row, weight=1, uniform="chart")

    # --- interface

    def show(self, hour: ChartData) -> None:
        """Draw the charts; each takes some milliseconds. Call this every two seconds, while the page is visible."""
        self._hour = hour
        lines = (
            ((_("Throughput"), hour.speed),),
            ((_("established"), hour.established), (_("in flight"), hour.in_flight), (_("workers"), hour.workers)),
            ((_("median"), hour.first_byte_p50), (_("slowest 5 %"), hour.first_byte_p95)),
            ((_("retries"), hour.retries), (_("throttled"), hour.throttles)),
            ((_("Memory"), hour.memory),),
            ((_("Open files"), hour.open_files),),
        )
        self._show_span()
        for chart, series in zip(self.charts, lines, strict=True):
            chart.set_span(hour.span)
            chart.show([Series(name, points) for name, points in series], hour.now)

    def show_diagnoses(self, diagnoses: Sequence[DiagnosisText]) -> None:
        """Show the diagnoses, given in order of importance."""
        if tuple(diagnoses[:_MOST]) == self._diagnoses:
            return
        self._diagnoses = tuple(diagnoses[:_MOST])
        for place, (mark, name, hint) in enumerate(self._diagnosis_rows):
            if place < len(self._diagnoses):
                diagnosis = self._diagnoses[place]
                self._theme.set_icon(mark, *_ICONS[diagnosis.severity], 20)
                name.configure(text=diagnosis.name)
                hint.configure(text=diagnosis.hint)
            for part in (mark, name, hint):
                if place < len(self._diagnoses):
                    part.grid()
                else:
                    part.grid_remove()

    def show_steps(self, steps: Sequence[NetworkTestRow]) -> None:
        """Show the results of a network test."""
        self._steps = tuple(steps)
        for cell in self._cells:
            cell.destroy()
        self._cells = []
        if not steps:
            return
        for column, title in enumerate(_TIMINGS, 1):
            self._cell(translate(title), 0, column, "Small.TLabel", "e")
        self._cell("ms", 0, 0, "Small.TLabel", "w")
        for row, step in enumerate(steps, 1):
            self._cell(step.name, row, 0, "TLabel" if step.good else "Warn.TLabel", "w", icon=not step.good)
            style = "Muted.TLabel" if step.good else "Warn.TLabel"
            if step.timings is None:
                fact = self._cell(step.value, row, 1, style, "e", span=5)
                fact.configure(wraplength=self._theme.px(_LEFT - 160), justify="right")
            else:
                for column, text in enumerate(step.timings, 1):
                    self._cell(text, row, column, "TLabel" if step.good else style, "e")

    def _cell(
        self, text: str, row: int, column: int, style: str, anchor: str, *, span: int = 1, icon: bool = False
    ) -> ttk.Label:
        px = self._theme.px
        label = ttk.Label(self._table, text=text, style=style)
        if icon:
            self._theme.set_icon(label, "warning", "warn", 14)
        side = (0, 0) if column == 0 else (px(12), 0)
        label.grid(row=row, column=column, columnspan=span, sticky=anchor, padx=side, pady=px(3))
        self._cells.append(label)
        return label

    def show_testing(self, testing: bool) -> None:
        """Show whether a network test is running."""
        if testing == self._testing:
            return
        self._testing = testing
        self._test.state(["disabled" if testing else "!disabled"])
        if testing:
            self._progress.pack(side="bottom", fill="x", pady=(self._theme.px(10), 0), after=self._buttons)
            self._began = time.monotonic()
            self._advance()
        else:
            self._progress.pack_forget()
        self._set_test_texts()

    def show_message(self, text: str, kind: BannerKind = BannerKind.INFO) -> None:
        """Show a message about the support report."""
        self._banner.show(kind, text)

    def retranslate(self) -> None:
        """Set the texts of the page itself; the controller shows diagnoses and results of the test again."""
        self._diagnosis_title.configure(text=_("Summary"))
        self._test_title.configure(text=_("Network test"))
        self._report.configure(text=_("Save support report…"), compound="left")
        self._set_test_texts()
        empty = _("No data yet")
        titles = (
            _("Throughput"),
            _("Connections"),
            _("Time to first byte"),
            _("Retries per minute"),
            _("Memory"),
            _("Open files"),
        )
        for chart, title in zip(self.charts, titles, strict=True):
            chart.set_texts(title=title, empty=empty)
        self.show(self._hour)
        self.show_steps(self._steps)

    def _show_span(self) -> None:
        minutes = round(self._hour.span / 60)
        text = _("The last hour") if minutes == 60 else _("The last {minutes} minutes", minutes=minutes)
        self._hour_title.configure(text=text)

    def _set_test_texts(self) -> None:
        hint = _(
            "Sends ten small requests one after another, and measures name lookup, connection, encryption, first "
            "byte and speed."
        )
        if self._testing:
            hint = _("Measuring the connection to the server. This takes a few seconds to a minute.")
        self._test_hint.configure(text=hint)
        self._test.configure(text=_("Testing…") if self._testing else _("Run network test"))

    def _advance(self) -> None:
        """Let the bar approach its end without reaching it, because the duration of a test is not known."""
        if self._testing:
            share = 1 - math.exp(-(time.monotonic() - self._began) / TYPICAL)
            self._progress.configure(value=950 * share)
            self.after(100, self._advance)


def _whole(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms" if seconds < 10 else f"{seconds:,.0f} s"


def _ago(seconds: float) -> str:
    return _("now") if seconds < 30 else _("−{minutes} min", minutes=round(seconds / 60))
