"""A field for a date: typed, stepped with the keys, or chosen in a calendar that drops down."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets import date_text
from era5dl.gui.widgets.composite_field import CompositeField
from era5dl.gui.widgets.date_text import DateWords, months_later
from era5dl.gui.widgets.month_view import MonthView


class DateField(CompositeField):
    """Up and Down step by a day, PgUp and PgDn by a month, with Ctrl by a year; Alt+Down or F4 drops the calendar.

    A date that is none is ringed red; `problem` says why, for a label beside it. `on_change` hears of every change of
    what is written, good or bad: ask `get()` and `problem`.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        value: date | None,
        first: date,
        last: date,
        words: DateWords = date_text.ENGLISH,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(master, theme, width=11)
        self._first, self._last, self._words, self._on_change = first, last, words, on_change
        self._popup: tk.Toplevel | None = None
        self._outside: str | None = None  # the binding that closes the calendar
        self.month: MonthView | None = None
        self.problem = ""
        button = self.picture("calendar")
        button.on_click(self.toggle)
        self.button = button
        button.pack(side="right", padx=(0, theme.px(7)))
        self.entry.pack(side="left", fill="both", expand=True)
        self.variable.set(value.isoformat() if value else "")
        self._check()
        self.variable.trace_add("write", lambda *_: self._written())
        self._bind_events()

    # --- for those who use it

    def get(self) -> date | None:
        """The date, or None while there is a problem."""
        return None if self.problem else date_text.read(self.variable.get())

    def set(self, day: date) -> None:
        """Write this date, put within the bounds."""
        self.variable.set(min(max(day, self._first), self._last).isoformat())

    def set_bounds(self, first: date, last: date) -> None:
        """Other bounds; what is written stays, and is checked again."""
        if (first, last) != (self._first, self._last):
            self._first, self._last = first, last
            self._written()

    def set_texts(self, words: DateWords) -> None:
        """Another language; `problem` is said in it at once."""
        self.close()
        self._words = words
        self._check()

    @property
    def is_open(self) -> bool:
        """Whether the calendar is down."""
        return self._popup is not None

    def toggle(self) -> None:
        """Open the calendar, or close it."""
        if self._popup is not None:
            self.close()
        else:
            self.open()

    def open(self) -> None:
        """Drop the calendar, the keyboard in it."""
        if self._popup is not None:
            return
        day = date_text.read(self.variable.get()) or min(max(date.today(), self._first), self._last)
        popup = self._popup = tk.Toplevel(self, background=self.theme.palette.border)
        popup.withdraw()
        popup.overrideredirect(True)
        popup.transient(self.winfo_toplevel())
        self.month = MonthView(popup, self.theme, day=day, first=self._first, last=self._last, words=self._words,
                               on_pick=self._picked, on_leave=self.close)  # fmt: skip
        self.month.pack(padx=self.theme.px(1), pady=self.theme.px(1))
        self.month.bind("<FocusOut>", lambda _: self.after_idle(self._focus_gone))
        self._place(popup)
        popup.deiconify()
        popup.lift()
        self.month.focus_force()
        self._outside = self.winfo_toplevel().bind("<Button-1>", self._clicked_outside, add="+")

    def close(self, *, refocus: bool = True) -> None:
        """Take the calendar away and give the keyboard back to the entry."""
        if self._popup is None:
            return
        popup, self._popup, self.month = self._popup, None, None
        if self._outside is not None:
            _unbind(self.winfo_toplevel(), "<Button-1>", self._outside)
            self._outside = None
        popup.destroy()
        if refocus:
            self.entry.focus_force()

    def destroy(self) -> None:
        """With its calendar."""
        self.close(refocus=False)
        super().destroy()

    # --- the calendar

    def _place(self, popup: tk.Toplevel) -> None:
        """Below the field, or above it where there is no room."""
        popup.update_idletasks()
        wide, high, gap = popup.winfo_reqwidth(), popup.winfo_reqheight(), self.theme.px(3)
        x = max(0, min(self.winfo_rootx(), self.winfo_screenwidth() - wide))
        y = self.winfo_rooty() + self.winfo_height() + gap
        if y + high > self.winfo_screenheight():
            y = max(0, self.winfo_rooty() - high - gap)
        popup.geometry(f"+{x}+{y}")

    def _picked(self, day: date) -> None:
        self.close()
        self.set(day)
        self.entry.icursor("end")

    def _clicked_outside(self, event: tk.Event[Any]) -> None:
        if event.widget not in (self.month, self.button):
            self.close(refocus=False)

    def _focus_gone(self) -> None:
        """Another window has the keyboard now: a calendar must not lie over it."""
        if self._popup is not None and self.focus_displayof() is None:
            self.close(refocus=False)

    # --- the entry

    def _bind_events(self) -> None:
        entry = self.entry
        entry.bind("<Up>", lambda _: self._step(lambda day: day + timedelta(1)))
        entry.bind("<Down>", lambda _: self._step(lambda day: day - timedelta(1)))
        for key, months in (("Prior", 1), ("Next", -1), ("Control-Prior", 12), ("Control-Next", -12)):
            entry.bind(f"<{key}>", lambda _, months=months: self._step(lambda day: months_later(day, months)))  # type: ignore[misc]
        for key in ("<Alt-Down>", "<F4>"):
            entry.bind(key, lambda _: self._open_by_key())
        entry.bind("<FocusOut>", lambda _: self._tidy(), add="+")
        entry.bind("<Return>", lambda _: self._tidy(), add="+")

    def _open_by_key(self) -> str:
        self.open()
        return "break"

    def _step(self, later: Callable[[date], date]) -> str:
        day = date_text.read(self.variable.get())
        if day is not None:
            self.set(later(day))
        return "break"

    def _tidy(self) -> None:
        """A good date is written as all others are."""
        day = self.get()
        if day is not None and self.variable.get() != day.isoformat():
            self.variable.set(day.isoformat())

    def _written(self) -> None:
        self._check()
        self._on_change()

    def _check(self) -> None:
        self.problem = date_text.problem(self.variable.get(), self._first, self._last, self._words)
        self.mark_invalid(bool(self.problem))


def _unbind(widget: tk.Misc, sequence: str, funcid: str) -> None:
    """Take away one of several bindings; Python's own `unbind` before 3.13 takes them all."""
    script = str(widget.tk.call("bind", str(widget), sequence))
    kept = "\n".join(line for line in script.split("\n") if funcid not in line)
    widget.tk.call("bind", str(widget), sequence, kept)
    widget.deletecommand(funcid)
