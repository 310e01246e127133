"""Log page: one line for each event, filtered by level and search."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from tkinter import ttk

from era5dl.gui.models.log import LogLine, LogModel
from era5dl.gui.text.event_text import LogLevel
from era5dl.gui.text.i18n import N_, _, follow, translate
from era5dl.gui.theme import scaling
from era5dl.gui.theme.palette import Palette
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.search_entry import SearchEntry

_WORDS = {
    LogLevel.DETAIL: N_("Detail"),
    LogLevel.INFO: N_("Info"),
    LogLevel.WARNING: N_("Warning"),
    LogLevel.ERROR: N_("Error"),
}
_CHOICES = {
    LogLevel.DETAIL: N_("All messages"),
    LogLevel.INFO: N_("Info and above"),
    LogLevel.WARNING: N_("Warnings and errors"),
    LogLevel.ERROR: N_("Errors only"),
}


@dataclass(frozen=True, slots=True)
class LogCallbacks:
    """Callbacks of the page. Each must return at once."""

    open_log_folder: Callable[[], object]
    clear: Callable[[], object]


class LogPage(ttk.Frame):
    """`show` may be called at any time: only new lines are written."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: LogCallbacks) -> None:
        super().__init__(master, style="Page.TFrame")
        self._theme = theme
        self._log = LogModel()
        self._level = LogLevel.INFO
        self._next = 0  # number of the first line not shown yet
        self._numbers: list[int] = []  # of the lines that are shown
        px = theme.px
        card = Card(self, theme)
        card.pack(fill="both", expand=True)
        head = ttk.Frame(card)
        head.pack(fill="x", pady=(0, px(10)))
        self._title = ttk.Label(head, style="Head.TLabel")
        self._title.pack(side="left")
        self._count = ttk.Label(head, style="Muted.TLabel")
        self._count.pack(side="left", padx=px(8))
        self._choice = ttk.Combobox(head, state="readonly", width=20)
        self._choice.bind("<<ComboboxSelected>>", lambda _event: self._choose_level(), add="+")
        self._choice.pack(side="right")
        self.search = SearchEntry(head, theme, placeholder="", on_change=lambda _text: self._rewrite(), width=24)
        self.search.pack(side="right", padx=px(8))
        self._make_foot(card, callbacks)
        body = ttk.Frame(card)
        body.pack(fill="both", expand=True)
        self.text = tk.Text(
            body, wrap="word", borderwidth=0, highlightthickness=0, font=scaling.TEXT, state="disabled", width=40,
            height=8, padx=px(4), pady=px(2), spacing1=px(2), spacing3=px(2), cursor="arrow",
        )  # fmt: skip
        self._bar = ttk.Scrollbar(body, orient="vertical", command=self.text.yview)
        self.text.configure(yscrollcommand=self._bar.set)
        self.text.pack(side="left", fill="both", expand=True)
        self._bar.pack(side="left", fill="y")
        self.text.bind("<Control-c>", lambda _event: self._copy(), add="+")
        self.text.bind("<Control-a>", lambda _event: self._select_all(), add="+")
        self.text.bind("<Button-1>", lambda _event: self.text.focus_set(), add="+")
        self._empty = ttk.Label(body, style="Muted.TLabel", justify="center")
        theme.follow(self, self._restyle)
        follow(self, self.retranslate)

    def _make_foot(self, card: ttk.Frame, callbacks: LogCallbacks) -> None:
        px, theme = self._theme.px, self._theme
        foot = ttk.Frame(card)
        foot.pack(side="bottom", fill="x", pady=(px(10), 0))
        self._copy_button = ttk.Button(foot, command=self._copy)
        theme.set_icon(self._copy_button, "copy", "text", 15)
        self._copy_button.pack(side="left")
        self._folder_button = ttk.Button(foot, command=callbacks.open_log_folder)
        theme.set_icon(self._folder_button, "folder", "text", 15)
        self._folder_button.pack(side="left", padx=px(8))
        self._clear_button = ttk.Button(foot, style="Ghost.TButton", command=callbacks.clear)
        self._clear_button.pack(side="right")

    # --- interface

    def show(self, log: LogModel) -> None:
        """Show the lines of a log. The page follows new lines only while it is scrolled to the end."""
        self._log = log
        if log.count < self._next or (self._numbers and not log.lines(since=self._numbers[-1])):
            self._rewrite()  # it was cleared
            return
        if log.count == self._next:
            return
        at_end = self.text.yview()[1] >= 0.999
        new = log.lines(self._level, self.search.get(), since=self._next)
        self._next = log.count
        self._write(new)
        self._drop_old()
        if at_end:
            self.text.see("end")
        self._show_count()

    def _restyle(self, palette: Palette) -> None:
        """Apply the colours of a palette."""
        self.text.configure(
            background=palette.card, foreground=palette.text, insertbackground=palette.text,
            selectbackground=palette.select, selectforeground=palette.select_text,
            inactiveselectbackground=palette.quiet_select,
        )  # fmt: skip
        px = self._theme.px
        self.text.tag_configure("clock", foreground=palette.muted, font=scaling.SMALL)
        hang = px(150)
        for level, colour in (
            (LogLevel.DETAIL, palette.muted),
            (LogLevel.INFO, palette.text),
            (LogLevel.WARNING, palette.warn),
            (LogLevel.ERROR, palette.danger),
        ):
            self.text.tag_configure(level.name, foreground=colour)
        self.text.tag_configure("line", lmargin2=hang, tabs=(px(72), hang))
        self.text.tag_raise("sel")

    def retranslate(self) -> None:
        """Set all texts in the current language, except existing lines."""
        self._title.configure(text=_("Log"))
        self._choice.configure(values=[translate(text) for text in _CHOICES.values()])
        self._choice.current(int(self._level))
        self.search.set_texts(placeholder=_("Search the log"))
        self._copy_button.configure(text=_("Copy"), compound="left")
        self._folder_button.configure(text=_("Open log folder"), compound="left")
        self._clear_button.configure(text=_("Clear"))
        self._rewrite()

    # --- inside

    def _choose_level(self) -> None:
        self._level = list(_CHOICES)[self._choice.current()]
        self._choice.selection_clear()
        self._rewrite()

    def _rewrite(self) -> None:
        """Write all lines again, and scroll to the end."""
        self.text.configure(state="normal")
        self.text.delete("1.0", "end")
        self.text.configure(state="disabled")
        self._numbers = []
        self._next = self._log.count
        self._write(self._log.lines(self._level, self.search.get()))
        self.text.see("end")
        self._show_count()

    def _write(self, lines: list[LogLine]) -> None:
        if not lines:
            return
        self.text.configure(state="normal")
        parts: list[object] = []
        for line in lines:
            tags = (line.level.name, "line")
            parts += [f"{line.clock}\t", ("clock", "line"), f"{translate(_WORDS[line.level])}\t{line.text}\n", tags]
        self.text.insert("end", *parts)  # type: ignore[arg-type]
        self._numbers += [line.number for line in lines]
        self.text.configure(state="disabled")

    def _drop_old(self) -> None:
        """Remove the lines that the log has dropped."""
        count = 0
        while count < len(self._numbers) and self._numbers[count] < self._log.first:
            count += 1
        if count:
            self.text.configure(state="normal")
            self.text.delete("1.0", f"{count + 1}.0")
            self.text.configure(state="disabled")
            del self._numbers[:count]

    def _show_count(self) -> None:
        number = len(self._numbers)
        self._count.configure(text=f"{number:,}" if number else "")
        if number:
            self._empty.place_forget()
            return
        searched = bool(self.search.get()) or self._log.count > 0
        self._empty.configure(text=_("No matching entries.") if searched else _("Events of the download appear here."))
        self._empty.place(relx=0.5, rely=0.3, anchor="center")

    def _copy(self) -> str:
        """Copy the selection, or all visible lines if there is none."""
        try:
            text = self.text.get("sel.first", "sel.last")
        except tk.TclError:  # nothing is selected
            text = self.text.get("1.0", "end-1c")
        self.clipboard_clear()
        self.clipboard_append(text)
        return "break"

    def _select_all(self) -> str:
        self.text.tag_add("sel", "1.0", "end-1c")
        return "break"
