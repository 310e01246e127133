"""Entry field for a whole number, with buttons to decrease and increase it."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable

from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.composite_field import CompositeField

_STEPS = {"<Up>": 1, "<Down>": -1, "<Button-4>": 1, "<Button-5>": -1, "<Prior>": 5, "<Next>": -5}


class NumberField(CompositeField):
    """Field for typing; buttons, Up, Down, PgUp, PgDn and the wheel change the number.

    on_change: called with each new valid number.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        value: int,
        least: int,
        most: int,
        on_change: Callable[[int], object] = lambda _value: None,
        width: int = 4,
    ) -> None:
        super().__init__(master, theme, width=width)
        self.least, self.most, self._on_change = least, most, on_change
        self._value = value
        self.entry.configure(justify="center")
        for side, icon, step in (("left", "minus", -1), ("right", "plus", 1)):
            button = self.add_icon(icon, size=13)
            button.on_click(lambda step=step: self._click(step))  # type: ignore[misc]
            button.pack(side=side, padx=theme.px(5))  # type: ignore[arg-type]
        self.entry.pack(fill="both", expand=True)
        for key, step in _STEPS.items():
            self.entry.bind(key, lambda _, step=step: self._step(step))  # type: ignore[misc]
        self.entry.bind("<MouseWheel>", lambda event: self._step(1 if event.delta > 0 else -1))
        self.entry.bind("<FocusOut>", lambda _: self.set(self._value), add="+")
        self.entry.bind("<Return>", lambda _: self.set(self._value))
        self.set(value)
        self.variable.trace_add("write", lambda *_: self._text_changed())

    def get(self) -> int:
        """Return the last valid number."""
        return self._value

    def set(self, value: int) -> None:
        """Show this number, limited to the bounds."""
        self._value = min(self.most, max(self.least, value))
        if self.variable.get() != str(self._value):
            self.variable.set(str(self._value))

    @property
    def valid(self) -> bool:
        """Whether the text is a number within the bounds."""
        text = self.variable.get().strip()
        return text.isascii() and text.isdigit() and self.least <= int(text) <= self.most

    def _step(self, step: int) -> str:
        self._change(min(self.most, max(self.least, self._value + step)))
        return "break"

    def _click(self, step: int) -> None:
        self.entry.focus_set()
        self._step(step)

    def _text_changed(self) -> None:
        self.mark_invalid(not self.valid)
        if self.valid:
            self._change(int(self.variable.get()))

    def _change(self, value: int) -> None:
        if value == self._value:
            return
        self._value = value
        if self.variable.get().strip() != str(value):
            self.variable.set(str(value))
        self._on_change(value)
