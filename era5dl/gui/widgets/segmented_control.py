"""A few choices side by side, one of them taken."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Mapping
from tkinter import ttk

from era5dl.gui.theme.theme import Theme


class SegmentedControl(ttk.Frame):
    """Left and Right move between the choices and take them; a click takes one."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        choices: Mapping[str, str],
        value: str,
        on_change: Callable[[str], object],
    ) -> None:
        """choices: their texts by the values that `on_change` gets, in order."""
        super().__init__(master, style="Segments.TFrame", padding=theme.px(3))
        self._variable = tk.StringVar(self, value=value)
        self._on_change = on_change
        self._told = value
        self._buttons: dict[str, ttk.Radiobutton] = {}
        for column, (name, text) in enumerate(choices.items()):
            button = ttk.Radiobutton(
                self,
                text=text,
                value=name,
                variable=self._variable,
                style="Segment.TRadiobutton",
                command=self._chosen,
            )
            button.grid(row=0, column=column, sticky="nsew", padx=(theme.px(2) if column else 0, 0))
            button.bind("<Left>", lambda _, by=-1: self._move(by))  # type: ignore[misc]
            button.bind("<Right>", lambda _, by=1: self._move(by))  # type: ignore[misc]
            self.columnconfigure(column, weight=1, uniform="segment")
            self._buttons[name] = button
        self._arrange()

    def get(self) -> str:
        """The value taken."""
        return self._variable.get()

    def set(self, value: str) -> None:
        """Take this one without telling anybody."""
        self._variable.set(value)
        self._told = value
        self._arrange()

    def set_texts(self, choices: Mapping[str, str]) -> None:
        """The same choices in other words."""
        for name, text in choices.items():
            self._buttons[name].configure(text=text)

    def _move(self, by: int) -> str:
        names = list(self._buttons)
        place = min(len(names) - 1, max(0, names.index(self.get()) + by))
        button = self._buttons[names[place]]
        button.focus_set()
        button.invoke()
        return "break"

    def _chosen(self) -> None:
        self._arrange()
        if self._told != self.get():
            self._told = self.get()
            self._on_change(self._told)

    def _arrange(self) -> None:
        """Tab goes to the one that is taken only."""
        for name, button in self._buttons.items():
            button.configure(takefocus=name == self.get())
