"""Combo box for a whole number or "Auto". It shows the number that was found automatically: "Auto (23)"."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from contextlib import suppress
from tkinter import ttk


class AutoNumberField(ttk.Combobox):
    """The list offers Auto and some usual numbers; others can be typed. None stands for Auto.

    on_change: called with a new value when it was chosen from the list, or typed and confirmed by Return or by leaving
    the field. `variable` is the text as entered. An invalid text is replaced by the last value.
    """

    def __init__(
        self,
        master: tk.Misc,
        *,
        value: int | None,
        least: int,
        most: int,
        usual: Sequence[int] = (),
        on_change: Callable[[int | None], object] = lambda _value: None,
        width: int = 9,
    ) -> None:
        self.variable = tk.StringVar(master)
        super().__init__(master, textvariable=self.variable, width=width, justify="center", height=12)
        self._least, self._most, self._usual, self._on_change = least, most, usual, on_change
        self._value = value
        self._found: int | None = None
        self._auto = "Auto"
        self._shown = ""  # the text unless the user is editing it
        self.bind("<<ComboboxSelected>>", lambda _event: self._confirm(), add="+")
        self.bind("<Return>", lambda _event: self._confirm(), add="+")
        self.bind("<FocusOut>", lambda _event: self._confirm(), add="+")
        self.variable.trace_add("write", lambda *_names: self._text_changed())
        self.set_texts(self._auto)

    def get_value(self) -> int | None:
        """Return the last valid number; None for Auto."""
        return self._value

    def set_value(self, value: int | None) -> None:
        """Show this value, limited to the bounds. `on_change` is not called."""
        self._value = None if value is None else min(self._most, max(self._least, value))
        self._show()

    def enter(self, text: str) -> None:
        """Show this text as if it were typed: it may be invalid."""
        try:
            self.set_value(self.read(text))
        except ValueError:
            self.variable.set(text)

    def show_found(self, number: int | None) -> None:
        """Show the number that was found automatically beside Auto; None for no number. Does not disturb typing."""
        if number != self._found:
            self._found = number
            if self._value is None and self.variable.get() == self._shown:
                self._show()

    def set_texts(self, auto: str) -> None:
        """Set the word for Auto."""
        self._auto = auto
        self.configure(values=[auto, *map(str, self._usual)])
        self._show()

    def read(self, text: str) -> int | None:
        """Return the value of a text; None for Auto. Raises ValueError if it is not valid."""
        bare = text.strip().casefold()
        if any(bare.startswith(word.casefold()) for word in (self._auto, "auto")):
            return None
        if not (bare.isascii() and bare.isdigit() and self._least <= int(bare[:9]) <= self._most):
            raise ValueError(text)
        return int(bare)

    def _show(self) -> None:
        found = f" ({self._found})" if self._found is not None else ""
        self._shown = f"{self._auto}{found}" if self._value is None else str(self._value)
        if self.variable.get() != self._shown:
            self.variable.set(self._shown)

    def _text_changed(self) -> None:
        try:
            self.read(self.variable.get())
        except ValueError:
            self.state(["invalid"])
        else:
            self.state(["!invalid"])

    def _confirm(self) -> None:
        before = self._value
        with suppress(ValueError):
            self._value = self.read(self.variable.get())
        self._show()
        if self._value != before:
            self._on_change(self._value)
