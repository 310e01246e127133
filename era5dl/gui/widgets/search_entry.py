"""Search field with a magnifier icon, a placeholder text while it is empty, and a button that clears it."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable

from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.composite_field import CompositeField


class SearchEntry(CompositeField):
    """Search field. on_change: called with the text after each change. Escape clears the text."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        placeholder: str,
        on_change: Callable[[str], object],
        width: int = 20,
    ) -> None:
        super().__init__(master, theme, width=width)
        self._on_change = on_change
        self._placeholder = tk.Label(self, text=placeholder, anchor="w", borderwidth=0, cursor="xterm")
        self.add_icon("search", size=15).pack(side="left", padx=(theme.px(5), 0))
        self._clear = self.add_icon("cross", size=13)
        self._clear.on_click(self.clear)
        self.entry.pack(side="left", fill="both", expand=True)
        self._clear.pack(side="right", padx=(0, theme.px(6)))
        self._placeholder.bind("<Button-1>", lambda _: self.entry.focus_set())
        self.entry.bind("<Escape>", self._escape)
        self.variable.trace_add("write", lambda *_: self._changed())
        self.entry.bind("<FocusIn>", lambda _: self._arrange(), add="+")
        self.entry.bind("<FocusOut>", lambda _: self._arrange(), add="+")
        theme.follow(self, lambda palette: self._placeholder.configure(bg=palette.field, fg=palette.muted))
        self._arrange()

    def get(self) -> str:
        """Return the text without leading and trailing spaces."""
        return self.variable.get().strip()

    def set(self, text: str) -> None:
        """Enter this text."""
        self.variable.set(text)

    def clear(self) -> None:
        """Clear the text, and focus the entry."""
        self.variable.set("")
        self.entry.focus_set()

    def set_texts(self, *, placeholder: str) -> None:
        """Set the placeholder."""
        self._placeholder.configure(text=placeholder)

    def focus_set(self) -> None:
        """Focus the entry, and select its text."""
        self.entry.focus_set()
        self.entry.selection_range(0, "end")

    def _escape(self, _event: object) -> str | None:
        if not self.variable.get():
            return None  # let other widgets handle it, such as a dialog
        self.variable.set("")
        return "break"

    def _changed(self) -> None:
        self._arrange()
        self._on_change(self.get())

    def _arrange(self) -> None:
        empty = not self.variable.get()
        self._clear.show(None if empty else "cross")
        if empty:
            self._placeholder.place(in_=self.entry, x=self.theme.px(7), rely=0.5, anchor="w", relwidth=0.94)
        else:
            self._placeholder.place_forget()
