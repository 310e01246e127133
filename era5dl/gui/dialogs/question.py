"""A question in a small window over the main one: two buttons, and no waiting for the answer."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import ttk

from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.dialog_position import show_over

_WIDE = 400


class QuestionDialog(tk.Toplevel):
    """`on_yes` or `on_no` is called once, when it is gone. Escape and the cross are no.

    cautious: the keyboard is at no, so that a key that was meant for something else does not say yes.
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
        super().__init__(master)
        self.withdraw()
        self._on_yes, self._on_no = on_yes, on_no
        px = theme.px
        theme.follow(self, lambda palette: self.configure(background=palette.card))
        self.title(title)
        frame = ttk.Frame(self, padding=px(20))
        frame.pack(fill="both", expand=True)
        ttk.Label(frame, text=title, style="Head.TLabel").pack(anchor="w")
        ttk.Label(frame, text=text, wraplength=px(_WIDE), justify="left").pack(anchor="w", pady=(px(8), px(18)))
        buttons = ttk.Frame(frame)
        buttons.pack(anchor="e")
        self.no = ttk.Button(buttons, text=no, command=self._no)
        self.no.pack(side="left", padx=px(8))
        self.yes = ttk.Button(buttons, text=yes, style="Accent.TButton", command=self._yes)
        self.yes.pack(side="left")
        self.protocol("WM_DELETE_WINDOW", self._no)
        self.bind("<Escape>", lambda _event: self._no(), add="+")
        self.resizable(width=False, height=False)
        show_over(self, master.winfo_toplevel())
        self.lift()
        (self.no if cautious else self.yes).focus_force()

    def _yes(self) -> None:
        self.destroy()
        self._on_yes()

    def _no(self) -> None:
        self.destroy()
        self._on_no()
