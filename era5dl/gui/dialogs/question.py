"""Dialog with a question and two buttons. It does not block; callbacks report the answer."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import ttk

from era5dl.gui.dialogs.dialog import Dialog
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card

_WIDTH = 400  # of the text, in unscaled pixels


class QuestionDialog(Dialog):
    """Calls `on_yes` or `on_no` once, after it is closed. Escape and the window manager's close button mean no.

    cautious: "no" has the keyboard focus, so that a key press intended for another window cannot mean yes.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        title: str,
        text: str,
        yes: str,
        no: str,
        on_yes: Callable[[], object],
        on_no: Callable[[], object] = lambda: None,
        cautious: bool = False,
    ) -> None:
        super().__init__(master, theme)
        self._on_yes, self._on_no = on_yes, on_no
        px = theme.px
        self.title(title)
        card = Card(self, theme)
        card.pack(fill="both", expand=True, padx=px(10), pady=px(10))
        ttk.Label(card, text=title, style="Head.TLabel").pack(anchor="w")
        ttk.Label(card, text=text, wraplength=px(_WIDTH), justify="left").pack(anchor="w", pady=(px(8), px(18)))
        buttons = ttk.Frame(card)
        buttons.pack(anchor="e")
        self.no = ttk.Button(buttons, text=no, command=self.close)
        self.no.pack(side="left", padx=px(8))
        self.yes = ttk.Button(buttons, text=yes, style="Accent.TButton", command=self._answer_yes)
        self.yes.pack(side="left")
        self.open()
        self.lift()
        (self.no if cautious else self.yes).focus_force()

    def close(self) -> None:
        """Answer no."""
        self.destroy()
        self._on_no()

    def _answer_yes(self) -> None:
        self.destroy()
        self._on_yes()
