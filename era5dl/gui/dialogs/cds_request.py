"""Dialog for a request of the Climate Data Store: its text, and what each variable of it is in the bucket."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from tkinter import ttk
from typing import Any

from era5dl.gui.dialogs.dialog import Dialog
from era5dl.gui.models.cds_form import EXAMPLE, Line
from era5dl.gui.text.i18n import _, follow
from era5dl.gui.theme import scaling
from era5dl.gui.theme.palette import Palette
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card

_DEBOUNCE = 250  # ms from the last change of the text until it is read
_COLUMNS, _ROWS = 44, 18  # of each text, in characters
_MOST = 1 << 21  # characters that are taken from the clipboard


@dataclass(frozen=True, slots=True)
class CdsCallbacks:
    """Callbacks of the dialog. changed: with the text. use: with the number of a selection, from 0."""

    changed: Callable[[str], object]
    use: Callable[[int], object]
    closed: Callable[[], object]


class CdsRequestDialog(Dialog):
    """`show` displays what the text is. The button uses the chosen selection. Text in the clipboard is pasted."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: CdsCallbacks) -> None:
        super().__init__(master, theme)
        self._callbacks = callbacks
        self._scheduled = ""
        self._selections = 0
        px = theme.px
        card = Card(self, theme)
        card.pack(fill="both", expand=True, padx=px(10), pady=px(10))
        for column in (0, 1):
            card.columnconfigure(column, weight=1, uniform="half")
        card.rowconfigure(1, weight=1)
        self._left = ttk.Label(card, style="Head.TLabel")
        self._left.grid(row=0, column=0, sticky="w")
        self._right = ttk.Label(card, style="Head.TLabel")
        self._right.grid(row=0, column=1, sticky="w", padx=(px(14), 0))
        self.text = self._create_text(card, column=0)
        self.answer = self._create_text(card, column=1)
        self.answer.configure(state="disabled", cursor="arrow", takefocus=True)
        self.choice = ttk.Combobox(card, state="readonly")
        self._hint = ttk.Label(card, style="Small.TLabel", justify="left", wraplength=px(330))
        self._hint.grid(row=2, column=0, sticky="nw", pady=(px(8), 0))
        buttons = ttk.Frame(card)
        buttons.grid(row=3, column=0, columnspan=2, sticky="ew", pady=(px(12), 0))
        self.example = ttk.Button(buttons, command=lambda: self._replace(EXAMPLE))
        self.example.pack(side="left")
        self._cancel = ttk.Button(buttons, command=self.close)
        self.ok = ttk.Button(buttons, style="Accent.TButton", command=self._use)
        self.ok.pack(side="right")
        self._cancel.pack(side="right", padx=px(8))
        self.ok.state(["disabled"])
        theme.follow(self, self._restyle)
        follow(self, self.retranslate)
        self.text.bind("<<Modified>>", self._modified, add="+")
        self.text.bind("<Tab>", self._leave_text, add="+")
        self.text.bind("<Control-a>", self._select_all, add="+")
        self.bind("<Control-Return>", lambda _event: self._use(), add="+")
        self._paste()
        self.resizable(width=True, height=True)
        self.open()
        self.text.focus_set()

    # --- interface

    def show(self, lines: Iterable[Line], selections: list[str], *, marked: int = 0) -> None:
        """Show what the text is, and which selections of it can be used. marked: the line with an error; 0 for none."""
        self._selections = len(selections)
        self.text.tag_remove("wrong", "1.0", "end")
        if marked:
            self.text.tag_add("wrong", f"{marked}.0", f"{marked + 1}.0")
        self.answer.configure(state="normal")
        self.answer.delete("1.0", "end")
        for style, text in lines:
            self.answer.insert("end", text + "\n", style)
        self.answer.configure(state="disabled")
        self.choice.configure(values=selections)
        if len(selections) > 1:
            self.choice.current(0)
            self.choice.grid(row=2, column=1, sticky="new", padx=(self._theme.px(14), 0), pady=(self._theme.px(8), 0))
        else:
            self.choice.grid_remove()
        self.ok.state(["!disabled" if selections else "disabled"])

    def close(self) -> None:
        """Close the dialog, and call `closed`."""
        if self._scheduled:
            self.after_cancel(self._scheduled)
        self.destroy()
        self._callbacks.closed()

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self.title(_("CDS request"))
        self._left.configure(text=_("CDS request"))
        self._right.configure(text=_("In this bucket"))
        self._hint.configure(text=_("JSON, a Python dict or a whole script. Scripts are read, never executed."))
        self.example.configure(text=_("Example"))
        self._cancel.configure(text=_("Cancel"))
        self.ok.configure(text=_("Use this request"))

    # --- inside

    def _create_text(self, card: ttk.Frame, *, column: int) -> tk.Text:
        px = self._theme.px
        frame = ttk.Frame(card)
        frame.grid(row=1, column=column, sticky="nsew", padx=(px(14) if column else 0, 0), pady=(px(6), 0))
        text = tk.Text(
            frame, wrap="word" if column else "char", borderwidth=0, highlightthickness=1, width=_COLUMNS,
            height=_ROWS, padx=px(6), pady=px(4), spacing3=px(3) if column else 0, undo=not column,
            font=scaling.TEXT if column else "TkFixedFont",
        )  # fmt: skip
        bar = ttk.Scrollbar(frame, orient="vertical", command=text.yview)
        text.configure(yscrollcommand=bar.set)
        text.pack(side="left", fill="both", expand=True)
        bar.pack(side="left", fill="y")
        return text

    def _paste(self) -> None:
        """Take the text of the clipboard if it looks like a request."""
        with suppress(tk.TclError):  # the clipboard is empty, or has no text
            text = self.clipboard_get()
            if "variable" in text and len(text) < _MOST:
                self.text.insert("1.0", text)

    def _replace(self, text: str) -> None:
        self.text.delete("1.0", "end")
        self.text.insert("1.0", text)

    def _modified(self, _event: tk.Event[Any]) -> None:
        if self.text.edit_modified():
            self.text.edit_modified(False)
            if self._scheduled:
                self.after_cancel(self._scheduled)
            self._scheduled = self.after(_DEBOUNCE, self._changed)

    def _changed(self) -> None:
        self._scheduled = ""
        self.ok.state(["disabled"])
        self._callbacks.changed(self.text.get("1.0", "end-1c"))

    def _leave_text(self, _event: tk.Event[Any]) -> str:
        """Move the focus, as Tab does elsewhere, instead of inserting a tab."""
        following = self.text.tk_focusNext()
        if following is not None:
            following.focus_set()
        return "break"

    def _select_all(self, _event: tk.Event[Any]) -> str:
        self.text.tag_add("sel", "1.0", "end-1c")
        return "break"

    def _use(self) -> None:
        if self._selections and not self.ok.instate(["disabled"]):
            number = max(self.choice.current(), 0) if self._selections > 1 else 0
            self.close()
            self._callbacks.use(number)

    def _restyle(self, palette: Palette) -> None:
        for text, background in ((self.text, palette.field), (self.answer, palette.card)):
            text.configure(
                background=background, foreground=palette.text, insertbackground=palette.text,
                selectbackground=palette.select, selectforeground=palette.select_text,
                inactiveselectbackground=palette.quiet_select,
                highlightbackground=palette.border, highlightcolor=palette.accent,
            )  # fmt: skip
        colours = {"found": palette.text, "absent": palette.danger, "note": palette.muted, "muted": palette.muted}
        for style, colour in colours.items():
            self.answer.tag_configure(style, foreground=colour, lmargin2=self._theme.px(12))
        self.answer.tag_configure("head", foreground=palette.text, font=scaling.HEAD)
        self.text.tag_configure("wrong", background=palette.danger_tint)
        for text in (self.text, self.answer):
            text.tag_raise("sel")
