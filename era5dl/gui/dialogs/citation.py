"""Citation dialog: how to cite the data in a folder, as text or BibTeX, with a button that copies it."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import ttk

from era5dl.gui.dialogs.dialog import Dialog
from era5dl.gui.text.i18n import _, follow
from era5dl.gui.theme import scaling
from era5dl.gui.theme.palette import Palette
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.segmented_control import SegmentedControl

_TEXT, _BIBTEX = "text", "bibtex"


class CitationDialog(Dialog):
    """text, bibtex: the two forms, which are English in all languages. copy: copies a text to the clipboard."""

    def __init__(
        self, master: tk.Misc, theme: Theme, folder: str, text: str, bibtex: str, copy: Callable[[str], object]
    ) -> None:
        super().__init__(master, theme)
        self._forms = {_TEXT: text, _BIBTEX: bibtex}
        self._form, self._copy_text = _TEXT, copy
        px = theme.px
        outer = ttk.Frame(self, style="Page.TFrame", padding=px(14))
        outer.pack(fill="both", expand=True)
        head = ttk.Frame(outer, style="Page.TFrame")
        head.pack(fill="x", pady=(0, px(10)))
        ttk.Label(head, text=folder, style="Page.Muted.TLabel").pack(side="left")
        self._choice = SegmentedControl(
            head, theme, choices={_TEXT: "", _BIBTEX: "BibTeX"}, value=_TEXT, on_change=self._choose
        )
        self._choice.pack(side="right")
        self.field = tk.Text(
            outer, width=92, height=24, wrap="word", borderwidth=0, highlightthickness=1, font=scaling.TEXT,
            padx=px(10), pady=px(8),
        )  # fmt: skip
        self.field.pack(fill="both", expand=True)
        line = ttk.Frame(outer, style="Page.TFrame")
        line.pack(fill="x", pady=(px(12), 0))
        self._close = ttk.Button(line, style="Page.TButton", command=self.close)
        self._close.pack(side="right")
        self._copy = ttk.Button(line, style="Page.Accent.TButton", command=self._copy_shown, compound="left")
        theme.set_icon(self._copy, "copy", "on_accent", 15)
        self._copy.pack(side="right", padx=px(8))
        theme.follow(self.field, self._paint_field)
        follow(self, self.retranslate)
        self._show()
        self.open()
        self._copy.focus_set()

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self.title(_("How to cite these data"))
        self._close.configure(text=_("Close"))
        self._copy.configure(text=_("Copy"))
        self._choice.set_texts({_TEXT: _("Text")})

    def _choose(self, form: str) -> None:
        self._form = form
        self._show()

    def _show(self) -> None:
        self.field.configure(state="normal")
        self.field.delete("1.0", "end")
        self.field.insert("1.0", self._forms[self._form])
        self.field.configure(state="disabled")

    def _copy_shown(self) -> None:
        self._copy_text(self._forms[self._form])
        self._copy.configure(text=_("Copied"))

    def _paint_field(self, palette: Palette) -> None:
        self.field.configure(
            background=palette.field,
            foreground=palette.text,
            highlightbackground=palette.border,
            highlightcolor=palette.accent,
            selectbackground=palette.select,
            selectforeground=palette.select_text,
        )
