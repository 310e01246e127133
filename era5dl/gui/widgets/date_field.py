"""Date entry field: the user types the date, changes it with keys, or selects it in a drop-down calendar."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from datetime import date, timedelta
from tkinter import ttk
from typing import Any

from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.composite_field import CompositeField
from era5dl.gui.widgets.date_input import DateTexts, date_error, months_later, parse_date
from era5dl.gui.widgets.month_view import MonthView


class DateField(CompositeField):
    """Up and Down change the date by a day, PgUp and PgDn by a month, Ctrl with these by a year.

    Alt+Down or F4 opens the calendar. A text that is not a valid date gets a red ring, and `error` explains it.
    If the texts have a word for the newest data, it may be entered, too, and the calendar has a button for it.
    `on_change` is called after each change of the text; `get` and `error` return the new state.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        first: date,
        last: date,
        texts: DateTexts,
        value: date | None = None,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(master, theme, width=11)
        self._first, self._last, self._texts, self._on_change = first, last, texts, on_change
        self._popup: tk.Toplevel | None = None
        self._outside_binding: str | None = None  # closes the calendar
        self.month: MonthView | None = None
        self.error = ""
        self.button = self.add_icon("calendar")
        self.button.on_click(self.toggle)
        self.button.pack(side="right", padx=(0, theme.px(7)))
        self.entry.pack(side="left", fill="both", expand=True)
        self.variable.set(value.isoformat() if value else "")
        self._validate()
        self.variable.trace_add("write", lambda *_: self._text_changed())
        self._bind_events()

    # --- interface

    def get(self) -> date | None:
        """Return the date, or None if there is an error."""
        return None if self.error else parse_date(self.variable.get())

    def set(self, day: date) -> None:
        """Enter this date, limited to the bounds."""
        self.variable.set(min(max(day, self._first), self._last).isoformat())

    def set_bounds(self, first: date, last: date) -> None:
        """Set the first and last valid day, and validate the text again."""
        if (first, last) != (self._first, self._last):
            self._first, self._last = first, last
            self._text_changed()

    def set_texts(self, texts: DateTexts) -> None:
        """Set the texts in another language, including that of `error`."""
        self.close()
        self._texts = texts
        self._validate()

    @property
    def is_open(self) -> bool:
        """Whether the calendar is open."""
        return self._popup is not None

    def toggle(self) -> None:
        """Open or close the calendar."""
        if self._popup is not None:
            self.close()
        else:
            self.open()

    def open(self) -> None:
        """Open the calendar and focus it."""
        if self._popup is not None:
            return
        day = parse_date(self.variable.get()) or min(max(date.today(), self._first), self._last)
        popup = self._popup = tk.Toplevel(self, background=self.theme.palette.border)
        popup.withdraw()
        popup.overrideredirect(True)
        popup.transient(self.winfo_toplevel())
        self.month = MonthView(
            popup,
            self.theme,
            day=day,
            first=self._first,
            last=self._last,
            texts=self._texts,
            on_pick=self._pick,
            on_leave=self.close,
        )
        self.month.pack(padx=self.theme.px(1), pady=self.theme.px(1))
        if self._texts.latest:
            button = ttk.Button(popup, text=self._texts.pick_latest, style="Ghost.TButton", command=self._pick_latest)
            button.pack(fill="x", padx=self.theme.px(1), pady=(0, self.theme.px(1)))
        self.month.bind("<FocusOut>", lambda _: self.after_idle(self._close_without_focus))
        self._place(popup)
        popup.deiconify()
        popup.lift()
        self.month.focus_force()
        self._outside_binding = self.winfo_toplevel().bind("<Button-1>", self._click_outside, add="+")

    def close(self, *, refocus: bool = True) -> None:
        """Close the calendar. refocus: focus the entry."""
        if self._popup is None:
            return
        popup, self._popup, self.month = self._popup, None, None
        if self._outside_binding is not None:
            _unbind(self.winfo_toplevel(), "<Button-1>", self._outside_binding)
            self._outside_binding = None
        popup.destroy()
        if refocus:
            self.entry.focus_force()

    def destroy(self) -> None:
        """Destroy the calendar, too."""
        self.close(refocus=False)
        super().destroy()

    # --- calendar

    def _place(self, popup: tk.Toplevel) -> None:
        """Place the calendar below the field; above it if there is too little room."""
        popup.update_idletasks()
        width, height, gap = popup.winfo_reqwidth(), popup.winfo_reqheight(), self.theme.px(3)
        x = max(0, min(self.winfo_rootx(), self.winfo_screenwidth() - width))
        y = self.winfo_rooty() + self.winfo_height() + gap
        if y + height > self.winfo_screenheight():
            y = max(0, self.winfo_rooty() - height - gap)
        popup.geometry(f"+{x}+{y}")

    def _pick(self, day: date) -> None:
        self.close()
        self.set(day)
        self.entry.icursor("end")

    def _pick_latest(self) -> None:
        self.close()
        self.variable.set(self._texts.latest)
        self.entry.icursor("end")

    def _click_outside(self, event: tk.Event[Any]) -> None:
        if event.widget not in (self.month, self.button):
            self.close(refocus=False)

    def _close_without_focus(self) -> None:
        """Close the calendar if another program has the focus, because it would cover that program's window."""
        if self._popup is not None and self.focus_displayof() is None:
            self.close(refocus=False)

    # --- entry

    def _bind_events(self) -> None:
        entry = self.entry
        entry.bind("<Up>", lambda _: self._step(lambda day: day + timedelta(1)))
        entry.bind("<Down>", lambda _: self._step(lambda day: day - timedelta(1)))
        for key, months in (("Prior", 1), ("Next", -1), ("Control-Prior", 12), ("Control-Next", -12)):
            entry.bind(f"<{key}>", lambda _, months=months: self._step(lambda day: months_later(day, months)))  # type: ignore[misc]
        for key in ("<Alt-Down>", "<F4>"):
            entry.bind(key, lambda _: self._open_by_key())
        entry.bind("<FocusOut>", lambda _: self._normalise(), add="+")
        entry.bind("<Return>", lambda _: self._normalise(), add="+")

    def _open_by_key(self) -> str:
        self.open()
        return "break"

    def _step(self, step: Callable[[date], date]) -> str:
        day = parse_date(self.variable.get())
        if day is not None:
            self.set(step(day))
        return "break"

    def _normalise(self) -> None:
        """Rewrite a valid date as YYYY-MM-DD."""
        day = self.get()
        if day is not None and self.variable.get() != day.isoformat():
            self.variable.set(day.isoformat())

    def _text_changed(self) -> None:
        self._validate()
        self._on_change()

    def _validate(self) -> None:
        self.error = date_error(self.variable.get(), self._first, self._last, self._texts)
        self.mark_invalid(bool(self.error))


def _unbind(widget: tk.Misc, sequence: str, funcid: str) -> None:
    """Remove one of several bindings. Before Python 3.13 `unbind` removes all of them."""
    script = str(widget.tk.call("bind", str(widget), sequence))
    kept = "\n".join(line for line in script.split("\n") if funcid not in line)
    widget.tk.call("bind", str(widget), sequence, kept)
    widget.deletecommand(funcid)
