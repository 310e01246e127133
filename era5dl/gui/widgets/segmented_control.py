"""Segmented control: a few choices side by side, one of which is selected."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Mapping
from tkinter import ttk

from era5dl.gui.theme.theme import Theme


class SegmentedControl(ttk.Frame):
    """A click, or the keys Left and Right, select a choice."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        choices: Mapping[str, str],
        value: str,
        on_change: Callable[[str], object],
    ) -> None:
        """choices: texts by value, in order. on_change: called with the new value."""
        super().__init__(master, style="Segments.TFrame", padding=theme.px(3))
        self._variable = tk.StringVar(self, value=value)
        self._on_change = on_change
        self._reported = value
        self._buttons: dict[str, ttk.Radiobutton] = {}
        for column, (name, text) in enumerate(choices.items()):
            button = ttk.Radiobutton(
                self,
                text=text,
                value=name,
                variable=self._variable,
                style="Segment.TRadiobutton",
                command=self._changed,
            )
            button.grid(row=0, column=column, sticky="nsew", padx=(theme.px(2) if column else 0, 0))
            button.bind("<Left>", lambda _, by=-1: self._move(by))  # type: ignore[misc]
            button.bind("<Right>", lambda _, by=1: self._move(by))  # type: ignore[misc]
            self.columnconfigure(column, weight=1, uniform="segment")
            self._buttons[name] = button
        self._set_tab_stop()

    def get(self) -> str:
        """Return the selected value."""
        return self._variable.get()

    def set(self, value: str) -> None:
        """Select a value. `on_change` is not called."""
        self._variable.set(value)
        self._reported = value
        self._set_tab_stop()

    def set_texts(self, choices: Mapping[str, str]) -> None:
        """Set the texts of the choices."""
        for name, text in choices.items():
            self._buttons[name].configure(text=text)

    def _move(self, by: int) -> str:
        names = list(self._buttons)
        index = min(len(names) - 1, max(0, names.index(self.get()) + by))
        button = self._buttons[names[index]]
        button.focus_set()
        button.invoke()
        return "break"

    def _changed(self) -> None:
        self._set_tab_stop()
        if self._reported != self.get():
            self._reported = self.get()
            self._on_change(self._reported)

    def _set_tab_stop(self) -> None:
        """Let Tab stop at the selected choice only."""
        for name, button in self._buttons.items():
            button.configure(takefocus=name == self.get())
