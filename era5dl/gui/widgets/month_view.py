"""Calendar of one month on a canvas, used as the drop-down of a date field.

tkcalendar is not used: its licence is the GPL, and Escape does not close its pop-up.
"""

from __future__ import annotations

import calendar
import tkinter as tk
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.control_images import rounded_box
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.date_input import DateTexts, months_later

_CELL = 36  # width of a day, in unscaled pixels
_ROW = 30
_MARGIN = 10
_TOP = 44  # height of the title
_NAMES = 24  # height of the names of the weekdays


class MonthView(tk.Canvas):
    """Arrow keys move by days and weeks, PgUp and PgDn by months or with Ctrl by years, Home and End within the month.

    on_pick(day): called for Return, Space or a click. on_leave(): called for Escape or Tab.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        day: date,
        first: date,
        last: date,
        texts: DateTexts,
        on_pick: Callable[[date], object],
        on_leave: Callable[[], object],
        today: date | None = None,
    ) -> None:
        px = theme.px
        self._cell, self._row = px(_CELL), px(_ROW)
        width = 7 * self._cell + 2 * px(_MARGIN)
        height = px(_TOP) + px(_NAMES) + 6 * self._row + px(_MARGIN)
        super().__init__(master, width=width, height=height, highlightthickness=0, borderwidth=0, takefocus=1)
        self._theme, self._texts = theme, texts
        self._first, self._last, self._today = first, last, today or date.today()
        self._on_pick = on_pick
        self.day = min(max(day, first), last)
        self._month = self.day.replace(day=1)  # the visible month; the mouse changes it without changing the day
        self._hovered: object = None
        self._places: list[
            tuple[int, int, int, int, object]
        ] = []  # boxes that can be clicked, each with a date, or the months to browse
        self._bind_events(on_leave)
        theme.follow(self, lambda _: self._draw())

    def centre_of(self, day: date) -> tuple[int, int]:
        """Return the centre of a day on the canvas; for tests."""
        for left, top, right, bottom, what in self._places:
            if what == day:
                return (left + right) // 2, (top + bottom) // 2
        raise LookupError(day)

    # --- drawing

    def _draw(self) -> None:
        px, p = self._theme.px, self._theme.palette
        self.delete("all")
        self.configure(background=p.card)
        self._places = []
        wide = int(self["width"])
        title = self._texts.month_title(self._month.year, self._month.month)
        self.create_text(wide // 2, px(_TOP) // 2 + px(2), text=title, fill=p.text, font=scaling.HEAD)
        for icon, place, months in (("left2", 20, -12), ("left", 48, -1), ("right", -48, 1), ("right2", -20, 12)):
            self._arrow(icon, px(place) if place > 0 else wide + px(place), months)
        for column, name in enumerate(self._texts.weekdays):
            x = px(_MARGIN) + column * self._cell + self._cell // 2
            self.create_text(x, px(_TOP) + px(_NAMES) // 2, text=name, fill=p.muted, font=scaling.SMALL)
        for row, week in enumerate(self._weeks()):
            for column, day in enumerate(week):
                if day is not None:
                    self._draw_day(day, row, column)

    def _weeks(self) -> list[list[date | None]]:
        """Return the weeks of the month, with None for days of other months."""
        year, month = self._month.year, self._month.month
        weeks = calendar.Calendar(0).monthdays2calendar(year, month)
        return [[date(year, month, number) if number else None for number, _ in week] for week in weeks]

    def _arrow(self, icon: str, x: int, months: int) -> None:
        px, p = self._theme.px, self._theme.palette
        y, half = px(_TOP) // 2 + px(2), px(13)
        possible = self._month_at(months) is not None
        if self._hovered == months and possible:
            picture = rounded_box(self._theme.images, 2 * half, 2 * half, p.hover, p.hover, background=p.card)
            self.create_image(x - half, y - half, image=picture, anchor="nw")
        self.create_image(x, y, image=self._theme.icon(icon, "text" if possible else "line", 14))
        if possible:
            self._places.append((x - half, y - half, x + half, y + half, months))

    def _draw_day(self, day: date, row: int, column: int) -> None:
        px, p = self._theme.px, self._theme.palette
        left = px(_MARGIN) + column * self._cell
        top = px(_TOP) + px(_NAMES) + row * self._row
        wide, high = self._cell - px(4), self._row - px(3)
        possible = self._first <= day <= self._last
        ink = p.text if possible else p.faint
        colours: tuple[str, str] | None = None
        if day == self.day:
            colours, ink = (p.accent, p.accent), p.on_accent
        elif self._hovered == day and possible:
            colours = (p.hover, p.hover)
        elif day == self._today and possible:
            colours = (p.card, p.accent)
        if colours:
            box = rounded_box(self._theme.images, wide, high, *colours, background=p.card)
            self.create_image(left + px(2), top + px(1), image=box, anchor="nw")
        self.create_text(left + self._cell // 2, top + self._row // 2, text=str(day.day), fill=ink, font=scaling.TEXT)
        if possible:
            self._places.append((left, top, left + self._cell - 1, top + self._row - 1, day))

    # --- mouse and keyboard

    def _month_at(self, months: int) -> date | None:
        """Return the first day of the month `months` later, within the bounds; None if that is the visible month."""
        target = months_later(self._month, months)
        target = min(max(target, self._first.replace(day=1)), self._last.replace(day=1))
        return target if target != self._month else None

    def _move_to(self, day: date) -> str:
        self.day = min(max(day, self._first), self._last)
        self._month = self.day.replace(day=1)
        self._draw()
        return "break"

    def _move_by(self, count: int) -> str:
        try:
            return self._move_to(self.day + timedelta(count))
        except OverflowError:
            return "break"

    def _bind_events(self, on_leave: Callable[[], object]) -> None:
        for key, days in (("Left", -1), ("Right", 1), ("Up", -7), ("Down", 7)):
            self.bind(f"<{key}>", lambda _, days=days: self._move_by(days))  # type: ignore[misc]
        for key, months in (("Prior", -1), ("Next", 1), ("Control-Prior", -12), ("Control-Next", 12)):
            self.bind(f"<{key}>", lambda _, months=months: self._move_to(months_later(self.day, months)))  # type: ignore[misc]
        self.bind("<Home>", lambda _: self._move_to(self.day.replace(day=1)))
        self.bind("<End>", lambda _: self._move_to(_last_of_month(self.day)))
        for key in ("<Return>", "<KP_Enter>", "<space>"):
            self.bind(key, lambda _: self._on_pick(self.day))
        self.bind("<Escape>", lambda _: on_leave())
        self.bind("<Tab>", lambda _: on_leave())
        self.bind("<Button-1>", self._click)
        self.bind("<Motion>", self._motion)
        self.bind("<Leave>", lambda _: self._hover(None))
        self.bind("<Button-4>", lambda _: self._browse(-1))
        self.bind("<Button-5>", lambda _: self._browse(1))
        self.bind("<MouseWheel>", lambda event: self._browse(-1 if event.delta > 0 else 1))

    def _browse(self, months: int) -> None:
        target = self._month_at(months)
        if target is not None:
            self._month = target
            self._draw()

    def _at(self, event: tk.Event[Any]) -> object:
        for left, top, right, bottom, what in self._places:
            if left <= event.x <= right and top <= event.y <= bottom:
                return what
        return None

    def _click(self, event: tk.Event[Any]) -> None:
        what = self._at(event)
        if isinstance(what, date):
            self._on_pick(what)
        elif isinstance(what, int):
            self._browse(what)

    def _motion(self, event: tk.Event[Any]) -> None:
        self._hover(self._at(event))

    def _hover(self, what: object) -> None:
        if what != self._hovered:
            self._hovered = what
            self._draw()


def _last_of_month(day: date) -> date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])
