"""Queue of waiting downloads on the Sessions page: a table in their order, and buttons to run, move and remove them."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from tkinter import ttk

from era5dl.gui.models.jobs import JobRow, runner_text
from era5dl.gui.text.i18n import _
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.table import VirtualTable
from era5dl.gui.widgets.table_model import Column, Row, Show, StatusStyle
from era5dl.jobs.job import JobState

_COLUMNS = (
    Column("name", "", 220, stretch=True, least=140),
    Column("period", "", 220, least=90, muted=True),
    Column("folder", "", 220, least=90, middle=True, muted=True),
    Column("status", "", 150, show=Show.STATUS, least=100),
)
_STATUS_STYLES = {
    JobState.WAITING: StatusStyle.WAITING,
    JobState.RUNNING: StatusStyle.ACTIVE,
    JobState.PAUSED: StatusStyle.PAUSED,
    JobState.DONE: StatusStyle.DONE,
    JobState.FAILED: StatusStyle.FAILED,
    JobState.INCOMPLETE: StatusStyle.WARNING,
}


@dataclass(frozen=True, slots=True)
class JobsCallbacks:
    """Callbacks of the panel. Each must return at once. Jobs are given by their numbers."""

    run: Callable[[], object]
    stop: Callable[[], object]
    move: Callable[[int, str], object]  # "up" or "down"
    pause: Callable[[int], object]
    resume: Callable[[int], object]
    remove: Callable[[int], object]


class JobTableModel:
    """Rows of the table, as `TableModel` describes them."""

    def __init__(self) -> None:
        self.rows: Sequence[JobRow] = ()
        self._indices: dict[Hashable, int] = {}

    def show(self, rows: Sequence[JobRow]) -> None:
        """Set the rows."""
        self.rows = rows
        self._indices = {row.number: index for index, row in enumerate(rows)}

    def row_count(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> Row:
        row = self.rows[index]
        return Row((row.name, row.period, row.folder, row.status), 0.0, _STATUS_STYLES[row.state])

    def row_id(self, index: int) -> Hashable:
        return self.rows[index].number

    def row_ids(self) -> Iterable[Hashable]:
        return self._indices

    def index_of(self, row_id: Hashable) -> int | None:
        return self._indices.get(row_id)


class JobsPanel(Card):
    """Alt+Up and Alt+Down move the selected job, Space pauses or resumes it, Delete removes it."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: JobsCallbacks) -> None:
        super().__init__(master, theme)
        self._theme, self._callbacks = theme, callbacks
        self._model = JobTableModel()
        self._runner, self._busy, self._running, self._is_resume = "", False, False, False
        px = theme.px
        head = ttk.Frame(self)
        head.pack(fill="x", pady=(0, px(8)))
        self._title = ttk.Label(head, style="Head.TLabel")
        self._title.pack(side="left")
        self._hint = ttk.Label(head, style="Muted.TLabel")
        self._hint.pack(side="left", padx=px(8))
        self.run = self._button(head, "play", self._run_or_stop)
        self.run.pack(side="right")
        line = ttk.Frame(self)
        line.pack(side="bottom", fill="x", pady=(px(8), 0))
        self.up = self._button(line, "up", lambda: self._move("up"))
        self.down = self._button(line, "down", lambda: self._move("down"))
        self.pause = self._button(line, "pause", self._pause_or_resume)
        self.remove = self._button(line, "trash", self._remove)
        for button in (self.up, self.down, self.pause):
            button.pack(side="left", padx=(0, px(8)))
        self.remove.pack(side="right")
        self._reason = ttk.Label(self, style="Muted.TLabel", justify="left")
        self.bind("<Configure>", lambda event: self._reason.configure(wraplength=event.width - px(40)), add="+")
        self.table = VirtualTable(
            self,
            theme,
            columns=_COLUMNS,
            model=self._model,
            on_select=lambda _ids: self._update(),
            on_open=lambda _id: self._pause_or_resume(),
            height=4,
        )
        self.table.pack(fill="both", expand=True)
        canvas = self.table.canvas
        canvas.bind("<Alt-Up>", lambda _event: self._by_key(lambda: self._move("up")))
        canvas.bind("<Alt-Down>", lambda _event: self._by_key(lambda: self._move("down")))
        canvas.bind("<Delete>", lambda _event: self._by_key(self._remove))
        canvas.bind("<space>", lambda _event: self._by_key(self._pause_or_resume))

    def show(self, rows: Sequence[JobRow], *, runner: str, busy: bool, running: bool) -> None:
        """Show these jobs. runner: another program that runs them. busy: a download is in progress. running: this
        window runs the jobs."""
        self._runner, self._busy = runner, busy
        if running != self._running:
            self._running = running
            self._show_run()
        self._model.show(rows)
        self.table.refresh()
        self._update()

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self._title.configure(text=_("Waiting downloads"))
        self._show_run()
        self.up.configure(text=_("Up"))
        self.down.configure(text=_("Down"))
        self.remove.configure(text=_("Remove"))
        self.table.set_texts([_("Download"), _("Period"), _("Folder"), _("Status")], "")
        self._update()

    @property
    def chosen(self) -> JobRow | None:
        """The selected job; None unless exactly one is selected."""
        if len(self.table.selection) != 1:
            return None
        index = self._model.index_of(next(iter(self.table.selection)))
        return None if index is None else self._model.rows[index]

    # --- inside

    def _button(self, master: tk.Misc, icon: str, command: Callable[[], object]) -> ttk.Button:
        button = ttk.Button(master, command=command, compound="left")
        self._theme.set_icon(button, icon, "text", 15)
        return button

    def _update(self) -> None:
        row = self.chosen
        rows = self._model.rows
        place = None if row is None else rows.index(row)
        can_change = row is not None and row.can_change
        waiting = sum(one.state is JobState.WAITING for one in rows)
        is_paused = row is not None and row.can_resume
        self.pause.configure(text=_("Resume") if is_paused else _("Pause"))
        if is_paused != self._is_resume:
            self._is_resume = is_paused
            self._theme.set_icon(self.pause, "play" if is_paused else "pause", "text", 15)
        for button, possible in (
            (self.run, self._running or (waiting and not self._busy and not self._runner)),
            (self.up, can_change and place),
            (self.down, can_change and place is not None and place < len(rows) - 1),
            (self.pause, row is not None and (row.can_pause or row.can_resume)),
            (self.remove, can_change),
        ):
            button.state(["!disabled" if possible else "disabled"])
        self._hint.configure(text=runner_text(self._runner))
        reason = row.reason if row is not None else ""
        self._reason.configure(text=reason)
        if reason:
            self._reason.pack(side="bottom", anchor="w", pady=(self._theme.px(6), 0), before=self.table)
        else:
            self._reason.pack_forget()

    def _show_run(self) -> None:
        self.run.configure(text=_("Stop the queue") if self._running else _("Run the queue"))
        self._theme.set_icon(self.run, "stop" if self._running else "play", "text", 15)

    def _run_or_stop(self) -> None:
        (self._callbacks.stop if self._running else self._callbacks.run)()

    def _move(self, where: str) -> None:
        row = self.chosen
        if row is not None and row.can_change:
            self._callbacks.move(row.number, where)

    def _pause_or_resume(self) -> None:
        row = self.chosen
        if row is not None and row.can_pause:
            self._callbacks.pause(row.number)
        elif row is not None and row.can_resume:
            self._callbacks.resume(row.number)

    def _remove(self) -> None:
        row = self.chosen
        if row is not None and row.can_change:
            self._callbacks.remove(row.number)

    def _by_key(self, command: Callable[[], object]) -> str:
        command()
        return "break"
