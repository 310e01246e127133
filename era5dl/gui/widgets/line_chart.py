"""Line chart on a canvas: values over the last minutes or the last hour.

    chart = LineChart(card, theme, format_value=format_speed, span=3600, format_ago=...)
    chart.show([Series(_("Speed"), samples)], now=time.time())

Tk draws lines without anti-aliasing. Therefore each line has a wider one below it, in a colour between line and
background. Drawing 600 points takes about 2 ms, 3,600 about 21 ms; more are reduced. matplotlib is not used, because
importing it takes longer than opening the window, and it needs 70 MB.
"""

from __future__ import annotations

import math
import tkinter as tk
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from tkinter import font
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.palette import blend
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.canvas_batch import CanvasBatch
from era5dl.gui.widgets.chart_scale import Sample, runs, thin, ticks
from era5dl.gui.widgets.text_fitter import TextFitter

MAX_POINTS = 600


@dataclass(frozen=True, slots=True)
class Series:
    """One line. samples: (time in seconds, value), ordered by time. The value None is a gap."""

    name: str
    samples: Sequence[Sample]


class LineChart(tk.Canvas):
    """Chart that displays the values at the mouse. A single series has a filled area; several have a legend."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        format_value: Callable[[float], str],
        span: float = 3600,
        format_ago: Callable[[float], str] | None = None,
        title: str = "",
        empty: str = "",
        least: float = 1,
        width: float = 320,
        height: float = 120,
    ) -> None:
        """span: seconds from the left edge to now. format_ago(seconds): label of the time axis; None for no axis.

        least: minimum of the upper end of the scale. empty: text shown while there is nothing to draw.
        """
        super().__init__(master, width=theme.px(width), height=theme.px(height), highlightthickness=0, borderwidth=0)
        self._theme, self._format, self._ago, self._span, self._least = theme, format_value, format_ago, span, least
        self._title, self._empty = title, empty
        self._series: list[Series] = []
        self._now = 0.0
        small = font.nametofont(scaling.SMALL, root=self)
        self._measure = TextFitter(small.measure).measure
        self._line = small.metrics("linespace")
        self._wide = self._high = 1  # pixels
        self._batch = CanvasBatch(self)
        self._plot = (0, 0, 0, 0)  # left, top, right, bottom
        self._highest = 1.0
        self._mouse: int | None = None
        self.bind("<Configure>", self._resized)
        self.bind("<Motion>", self._moved)
        self.bind("<Leave>", self._left)
        theme.follow(self, lambda _: self._draw())

    def show(self, series: Sequence[Series], now: float) -> None:
        """Draw these series up to the time `now`, at the right edge."""
        first = now - self._span
        self._now = now
        self._series = [
            Series(one.name, thin([sample for sample in one.samples if sample[0] >= first], self._most()))
            for one in series
        ]
        self._draw()

    def set_texts(self, *, title: str = "", empty: str = "") -> None:
        """Set the texts, except the names of the series, which `show` sets."""
        self._title, self._empty = title, empty
        self._draw()

    def set_span(self, span: float) -> None:
        """Set the seconds from the left edge to now, for the next `show`."""
        self._span = span

    # --- drawing

    def _resized(self, event: tk.Event[Any]) -> None:
        self._wide, self._high = event.width, event.height
        self._draw()

    def _draw(self) -> None:
        batch = self._batch
        batch.clear()
        batch.delete("all")
        palette, px = self._theme.palette, self._theme.px
        batch.configure(background=palette.card)
        wide, high = self._wide, self._high
        values = [value for one in self._series for _, value in one.samples if value is not None]
        marks = ticks(max([self._least, *values]) * 1.02, 4 if high > px(90) else 2)
        self._highest = marks[-1]
        labels = [self._format(mark) for mark in marks]
        line = self._line
        head = line + px(13) if self._title or len(self._series) > 1 else line // 2 + px(1)
        foot = line + px(6) if self._ago else line // 2 + px(1)
        self._plot = (max(map(self._measure, labels)) + px(10), head, wide - px(6), high - foot)
        left, top, right, bottom = self._plot
        if right - left < px(40) or bottom - top < px(16):
            batch.send()
            return
        for mark, label in zip(marks, labels, strict=True):
            y = self._y(mark)
            if values or mark == 0:  # otherwise the label would overlap the text for an empty chart
                batch.create("line", left, y, right, y, fill=palette.border if mark == 0 else palette.line)
            self._batch.create("text", left - px(6), y, text=label, anchor="e", fill=palette.muted, font=scaling.SMALL)
        self._draw_times()
        self._draw_head()
        for number, one in enumerate(self._series):
            self._draw_series(number, one)
        if not values:
            place = ((left + right) // 2, (top + bottom) // 2)
            batch.create("text", *place, text=self._empty, fill=palette.muted, font=scaling.TEXT)
        batch.send()
        self._draw_reading()

    def _most(self) -> int:
        """Return the maximum number of points: more than one per two pixels would only make the line thicker."""
        return min(MAX_POINTS, max(60, self._wide // 2)) if self._wide > 1 else MAX_POINTS

    def _x(self, instant: float) -> float:
        left, _, right, _ = self._plot
        return right - (right - left) * (self._now - instant) / self._span

    def _y(self, value: float) -> float:
        _, top, _, bottom = self._plot
        return bottom - (bottom - top) * min(1.0, value / self._highest)

    def _draw_times(self) -> None:
        if self._ago is None:
            return
        px, palette = self._theme.px, self._theme.palette
        _, _, right, bottom = self._plot
        wide = max(self._measure(self._ago(self._span * part)) for part in (0.25, 1.0)) + px(12)
        room = right - self._plot[0]
        parts = (0.0, 0.25, 0.5, 0.75, 1.0) if 5 * wide < room else ((0.0, 0.5, 1.0) if 3 * wide < room else (0.0, 1.0))
        for part in parts:
            anchor = "ne" if part == 0 else ("nw" if part == 1 else "n")
            ago = self._span * part
            x = right - (right - self._plot[0]) * part
            self._batch.create("line", x, bottom, x, bottom + px(3), fill=palette.border)
            self._batch.create(
                "text", x, bottom + px(4), text=self._ago(ago), anchor=anchor, fill=palette.muted, font=scaling.SMALL
            )

    def _draw_head(self) -> None:
        px, palette = self._theme.px, self._theme.palette
        middle = self._line // 2
        self._batch.create("text", px(2), middle, text=self._title, anchor="w", fill=palette.text, font=scaling.TEXT)
        if len(self._series) < 2:
            return
        x = self._plot[2]
        for number, one in reversed(list(enumerate(self._series))):
            x -= self._measure(one.name)
            self._batch.create("text", x, middle, text=one.name, anchor="w", fill=palette.text, font=scaling.SMALL)
            x -= px(20)
            self._batch.create(
                "line", x, middle, x + px(14), middle, width=px(2.5), fill=self._colour(number), dash=_dash(number, px)
            )
            x -= px(14)

    def _colour(self, number: int) -> str:
        colours = self._theme.palette.series
        return colours[number % len(colours)]

    def _draw_series(self, number: int, one: Series) -> None:
        palette, px = self._theme.palette, self._theme.px
        alone = len(self._series) == 1
        colour = self._colour(number)
        background = palette.area if alone else palette.card
        thick = max(1, int(1.5 * self._theme.scale.factor))
        for run in runs(one.samples):
            points = [part for instant, value in run for part in (self._x(instant), self._y(value))]
            if len(run) == 1:
                x, y = points
                self._batch.create("oval", x - px(1), y - px(1), x + px(1), y + px(1), fill=colour, outline="")
                continue
            if alone:
                foot = self._y(0)
                self._batch.create("polygon", points[0], foot, *points, points[-2], foot, fill=palette.area, outline="")
            dash = _dash(number, px)
            if not dash:
                soft = blend(colour, background, 0.4)
                self._batch.create("line", *points, fill=soft, width=thick + 2, joinstyle="round", capstyle="round")
            self._batch.create(
                "line", *points, fill=colour, width=thick, joinstyle="round", capstyle="round", dash=dash
            )

    # --- mouse

    def _moved(self, event: tk.Event[Any]) -> None:
        self._mouse = event.x
        self._draw_reading()

    def _left(self, _event: object) -> None:
        self._mouse = None
        self._draw_reading()

    def reading(self, x: int) -> list[tuple[str, str]]:
        """Return the names and values of the samples near x, for the series that have one."""
        found = []
        for one in self._series:
            known = [(abs(self._x(instant) - x), value) for instant, value in one.samples if value is not None]
            away, value = min(known, default=(math.inf, 0.0))
            if away <= self._theme.px(12):
                found.append((one.name, self._format(value)))
        return found

    def _draw_reading(self) -> None:
        self.delete("reading")
        left, top, right, bottom = self._plot
        if self._mouse is None or not left <= self._mouse <= right:
            return
        found = self.reading(self._mouse)
        if not found:
            return
        palette, px = self._theme.palette, self._theme.px
        text = "\n".join(f"{name}  {value}" if name and len(found) > 1 else value for name, value in found)
        self.create_line(self._mouse, top, self._mouse, bottom, fill=palette.control, tags="reading")
        on_right = self._mouse < (left + right) / 2
        place = self._mouse + (px(10) if on_right else -px(10))
        item = self.create_text(place, top + px(5), text=text, anchor="nw" if on_right else "ne", fill=palette.card,
                                font=scaling.SMALL, tags="reading")  # fmt: skip
        x0, y0, x1, y1 = self.bbox(item)
        box = self.create_rectangle(
            x0 - px(6), y0 - px(3), x1 + px(6), y1 + px(3), fill=palette.text, width=0, tags="reading"
        )
        self.tag_lower(box, item)


def _dash(number: int, px: Callable[[float], int]) -> tuple[int, ...] | str:
    """Return the dash pattern of a line, so that lines differ not only in colour."""
    return ("", (px(6), px(3)), (px(2), px(3)), (px(8), px(3), px(2), px(3)))[number % 4]
