"""Archive page: a calendar of what a folder has and what lacks, the hours of a month, and what can be made of it."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tkinter import ttk

from era5dl.archive.calendar import Calendar
from era5dl.archive.states import Audit, AuditedFile, State
from era5dl.formatting import format_size
from era5dl.gui.text import archive_text, key_text
from era5dl.gui.text.i18n import _, follow, ngettext
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.banner import Banner
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.hour_grid import HourGrid
from era5dl.gui.widgets.month_grid import MonthGrid
from era5dl.gui.widgets.state_cells import CellStyle
from era5dl.gui.widgets.state_legend import StateLegend

STYLES: Mapping[str, CellStyle] = {
    State.PROVEN.value: CellStyle("ok"),
    State.UNPROVEN.value: CellStyle("part", "-"),
    State.PARTIAL.value: CellStyle("warn", "½"),
    State.REPLACED.value: CellStyle("accent", "R"),
    State.MISSING.value: CellStyle("danger_tint", "M", "danger", "danger"),
    State.FAILED.value: CellStyle("danger", "!"),
    State.TRUNCATED.value: CellStyle("danger", "D"),
    State.NOT_IN_BUCKET.value: CellStyle("track", "×", "text"),
    State.NOT_PUBLISHED.value: CellStyle("card", "·", "text", "control"),
    State.NOT_ASKED.value: CellStyle("stripe", "?", "text", "line"),
}
_MOST_REASONS = 4


@dataclass(frozen=True, slots=True)
class ArchiveCallbacks:
    """Callbacks of the page. Each must return at once."""

    choose_folder: Callable[[], object]
    refresh: Callable[[], object]
    fetch_gaps: Callable[[], object]
    save_csv: Callable[[], object]
    write_manifest: Callable[[], object]
    cite: Callable[[], object]


class ArchivePage(ttk.Frame):
    """`show` displays an audit; `show_busy` says that one is made."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: ArchiveCallbacks) -> None:
        super().__init__(master, style="Page.TFrame")
        self._theme, self._callbacks = theme, callbacks
        self._audit: Audit | None = None
        self._calendar: Calendar | None = None
        self._folder: Path | None = None
        self._busy = False
        self._opened: tuple[str, str] | None = None  # variable and month whose hours are shown
        px = theme.px
        self.banner = Banner(self, theme, on_close=lambda: None)
        self.banner.pack(fill="x")
        card = Card(self, theme)
        card.pack(fill="both", expand=True)
        self._create_head(card)
        self._create_buttons(card)
        self._legend = StateLegend(card, theme, STYLES)
        self._legend.pack(side="bottom", fill="x", pady=(px(6), 0))
        self._detail = self._create_detail(card)
        self.grid_widget = MonthGrid(card, theme, STYLES, on_move=self._moved, on_open=self._open)
        self.grid_widget.pack(side="left", fill="both", expand=True)
        follow(self, self.retranslate)

    def _create_head(self, card: ttk.Frame) -> None:
        px = self._theme.px
        head = ttk.Frame(card)
        head.pack(fill="x", pady=(0, px(8)))
        self._title = ttk.Label(head, style="Head.TLabel")
        self._title.pack(side="left")
        self._refresh = self._button(head, "retry", self._callbacks.refresh)
        self._refresh.pack(side="right")
        self._choose = self._button(head, "folder", self._callbacks.choose_folder)
        self._choose.pack(side="right", padx=px(8))
        self._summary = ttk.Label(head, style="Muted.TLabel")
        self._summary.pack(side="left", padx=px(8), fill="x", expand=True)

    def _create_buttons(self, card: ttk.Frame) -> None:
        px = self._theme.px
        line = ttk.Frame(card)
        line.pack(side="bottom", fill="x", pady=(px(10), 0))
        self._gaps = self._button(line, "download", self._callbacks.fetch_gaps, "Accent.TButton", "on_accent")
        self._csv = self._button(line, "calendar", self._callbacks.save_csv)
        self._manifest = self._button(line, "check", self._callbacks.write_manifest)
        self._cite = self._button(line, "copy", self._callbacks.cite)
        for button in (self._gaps, self._csv, self._manifest, self._cite):
            button.pack(side="left", padx=(0, px(8)))
        self._cell_text = ttk.Label(line, style="Muted.TLabel")
        self._cell_text.pack(side="left", padx=px(8))

    def _create_detail(self, card: ttk.Frame) -> ttk.Frame:
        px = self._theme.px
        detail = ttk.Frame(card)
        detail.pack(side="right", fill="y", padx=(px(14), 0))
        self._detail_title = ttk.Label(detail, style="Head.TLabel", wraplength=px(220), justify="left")
        self._detail_title.pack(anchor="w")
        self._hours = HourGrid(detail, self._theme, STYLES)
        self._hours.pack(anchor="w", pady=(px(4), 0))
        self._reasons = ttk.Label(detail, style="Muted.TLabel", wraplength=px(220), justify="left")
        self._reasons.pack(anchor="w", pady=(px(4), 0))
        return detail

    def _button(
        self, master: tk.Misc, icon: str, command: Callable[[], object], style: str = "TButton", colour: str = "text"
    ) -> ttk.Button:
        button = ttk.Button(master, style=style, command=command, compound="left")
        self._theme.set_icon(button, icon, colour, 15)
        return button

    # --- interface

    def show_busy(self, folder: Path) -> None:
        """Show that this folder is being looked at."""
        if folder != self._folder:
            self._audit = self._calendar = self._opened = None
        self._folder, self._busy = folder, True
        self._update()

    def show(self, folder: Path, audit: Audit | None, calendar: Calendar | None) -> None:
        """Show the audit of a folder; None if there is none, which the banner explains."""
        self._folder, self._busy, self._audit, self._calendar = folder, False, audit, calendar
        if calendar is None or self._opened not in {(v, m) for v in calendar.variables for m in calendar.months}:
            self._opened = None
        self._update()

    @property
    def audit(self) -> Audit | None:
        """The audit that is shown."""
        return self._audit

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self._title.configure(text=_("Archive"))
        self._choose.configure(text=_("Choose folder…"))
        self._refresh.configure(text=_("Refresh"))
        self._gaps.configure(text=_("Fetch the gaps"))
        self._csv.configure(text=_("Save as CSV…"))
        self._manifest.configure(text=_("Manifest…"))
        self._cite.configure(text=_("Cite…"))
        self._update()

    # --- inside

    def _update(self) -> None:
        audit, calendar = self._audit, self._calendar
        has_files = audit is not None and bool(audit.files)
        gaps = audit is not None and bool(audit.gaps)
        for button, possible in (
            (self._gaps, gaps), (self._csv, has_files), (self._manifest, has_files), (self._cite, has_files),
            (self._refresh, self._folder is not None and not self._busy),
        ):  # fmt: skip
            button.state(["!disabled" if possible and not self._busy else "disabled"])
        self._summary.configure(text=self._summary_text())
        shown = calendar or Calendar((), (), ())
        self.grid_widget.show(
            [archive_text.variable(name) for name in shown.variables],
            shown.months,
            [[state.value if state else None for state in row] for row in shown.states],
            "" if self._busy else self._empty_text(),
        )
        states = [one for one in State if audit is not None and one in audit.counts]
        counts = audit.counts if audit is not None else {}
        self._legend.show([(one.value, archive_text.count(one, counts[one])) for one in states])
        self._show_opened()
        self._cell_text.configure(text="")

    def _summary_text(self) -> str:
        if self._folder is None:
            return ""
        if self._busy:
            return _("Looking at {folder} …", folder=self._folder)
        if self._audit is None:
            return str(self._folder)
        number = sum(file.path is not None for file in self._audit.files)
        files = ngettext("{n:,} file", "{n:,} files", number)
        return f"{self._folder} · {files} · {format_size(self._audit.size)}"

    def _empty_text(self) -> str:
        return _(
            "Choose the folder of an archive: of downloads with this program, or of files that other programs have "
            "stored. The calendar shows what is there in each month, and what lacks and why."
        )

    def _moved(self, row: int, column: int) -> None:
        """Show a line about the cell with the cursor."""
        calendar = self._calendar
        if calendar is None:
            return
        state = calendar.states[row][column]
        place = _place(calendar.variables[row], calendar.months[column])
        self._cell_text.configure(text=f"{place}: {archive_text.state(state or State.NOT_ASKED).name}")

    def _open(self, row: int, column: int) -> None:
        """Show the hours of a month."""
        if self._calendar is not None:
            self._opened = (self._calendar.variables[row], self._calendar.months[column])
            self._moved(row, column)
            self._show_opened()

    def _show_opened(self) -> None:
        audit = self._audit
        if audit is None or self._opened is None:
            hint = _("Click a month, or press Enter, to see its days and hours.") if audit and audit.files else ""
            self._detail_title.configure(text=hint, style="Muted.TLabel")
            self._reasons.configure(text="")
            self._hours.show([])
            return
        variable, month = self._opened
        self._detail_title.configure(text=_place(variable, month), style="Head.TLabel")
        days = audit.days(variable, month) if month else ()
        self._hours.show([[state.value if state else None for state in hours] for _day, hours in days])
        self._reasons.configure(text=_reasons(audit.by_month.get(self._opened, ())))


def _place(variable: str, month: str) -> str:
    return _("{variable}, {period}", variable=archive_text.variable(variable), period=archive_text.month(month))


def _reasons(files: Sequence[AuditedFile]) -> str:
    """Return the files of a month that are not proven, with the reason, those in the same state together."""
    lines: dict[str, list[AuditedFile]] = {}
    for file in files:
        if reason := archive_text.reason(file):
            lines.setdefault(f"{archive_text.state(file.state).name}: {reason}", []).append(file)
    found = []
    for text, members in list(lines.items())[:_MOST_REASONS]:
        if len(files) == 1:
            found.append(text)
        elif len(members) == 1:
            found.append(f"{key_text.name(members[0].key)} – {text}")
        else:
            found.append(ngettext("{n:,} file", "{n:,} files", len(members)) + f" – {text}")
    if not files:
        found.append(_("No file of this month was asked for."))
    return "\n".join(found)
