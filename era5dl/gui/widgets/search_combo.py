"""Combo box that is searched by typing: its list contains what matches the text."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from tkinter import ttk


class SearchCombo(ttk.Combobox):
    """Typing narrows the list, Down opens it, and Return chooses the first match. Leaving it restores the last choice.

    search: returns the texts that match; on_choose: called with the chosen text. An empty text shows the placeholder.
    """

    def __init__(
        self,
        master: tk.Misc,
        *,
        search: Callable[[str], Sequence[str]],
        on_choose: Callable[[str], object],
        width: int = 24,
    ) -> None:
        self.variable = tk.StringVar(master)
        super().__init__(master, textvariable=self.variable, width=width, height=16)
        self._search, self._on_choose = search, on_choose
        self._chosen, self._placeholder = "", ""
        self.configure(postcommand=self._fill)
        self.bind("<<ComboboxSelected>>", lambda _event: self._choose(self.variable.get()), add="+")
        self.bind("<Return>", lambda _event: self._choose_first(), add="+")
        self.bind("<KP_Enter>", lambda _event: self._choose_first(), add="+")
        self.bind("<Escape>", lambda _event: self._show(), add="+")
        self.bind("<FocusIn>", lambda _event: self._begin(), add="+")
        self.bind("<FocusOut>", lambda _event: self._show(), add="+")
        self.bind("<ButtonRelease-1>", lambda _event: self._clicked(), add="+")

    def show_choice(self, value: str) -> None:
        """Show this choice; "" for none. `on_choose` is not called."""
        self._chosen = value
        self._show()

    def set_texts(self, placeholder: str) -> None:
        """Set the text that is shown while nothing is chosen."""
        self._placeholder = placeholder
        self._show()

    def _show(self) -> None:
        self.variable.set(self._chosen or self._placeholder)
        if self.instate(["focus"]):
            self._begin()
        else:
            self.selection_clear()

    def _begin(self) -> None:
        """Let the user type over the text, also over the placeholder."""
        self.selection_range(0, "end")

    def _clicked(self) -> None:
        """Select the text again, which the click has deselected: otherwise letters are typed into the placeholder."""
        if self.variable.get() in (self._chosen, self._placeholder) and not self.selection_present():
            self._begin()

    def _fill(self) -> None:
        """Fill the list: with all texts while nothing has been typed."""
        typed = self.variable.get()
        self.configure(values=list(self._search("" if typed in (self._chosen, self._placeholder) else typed)))

    def _choose_first(self) -> str:
        typed = self.variable.get().strip()
        found = list(self._search(typed)) if typed and typed not in (self._chosen, self._placeholder) else []
        if found:
            self._choose(found[0])
        else:
            self._show()
        return "break"

    def _choose(self, text: str) -> None:
        self._chosen = text
        self._show()
        self._on_choose(text)
