"""Queue on the Download page: a table of the planned files, with filter, search and context menu."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import date
from tkinter import ttk

from era5dl.engine.progress import FINISHED, FileState
from era5dl.gui.menus import QUEUE, QUEUE_VIEW, accelerator
from era5dl.gui.models.queue import FileFilter, QueueModel
from era5dl.gui.models.queue_rows import FileRow as File
from era5dl.gui.models.sort_filter import SortKey
from era5dl.gui.pages.queue_table import COLUMNS, QueueRows, titles
from era5dl.gui.text import error_text, key_text, status_text
from era5dl.gui.text.i18n import N_, _, ngettext, translate
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card, UpdatingLabel
from era5dl.gui.widgets.search_entry import SearchEntry
from era5dl.gui.widgets.table import VirtualTable

_SHOWS = {
    FileFilter.ALL: N_("All files"),
    FileFilter.ACTIVE: N_("Downloading"),
    FileFilter.WAITING: N_("Queued"),
    FileFilter.HELD: N_("Held"),
    FileFilter.DONE: N_("Done"),
    FileFilter.FAILED: N_("Failed"),
}
_DESCENDING_FIRST = (
    SortKey.SIZE,
    SortKey.SPEED,
    SortKey.PROGRESS,
    SortKey.ATTEMPTS,
)  # sorted in descending order first


@dataclass(frozen=True, slots=True)
class QueueCallbacks:
    """Callbacks of the panel. They receive files as indices in the plan."""

    retry: Callable[[Sequence[int]], object]
    promote: Callable[[Sequence[int]], object]
    hold: Callable[[Sequence[int]], object]
    release: Callable[[Sequence[int]], object]
    open_folder: Callable[[int], object]
    show_map: Callable[[int], object]
    follow_map: Callable[[int], object]  # a finished file was selected
    copy: Callable[[str], object]
    view_changed: Callable[[bool, bool], object] = lambda _grouped, _keys: None  # see `Preferences`


class QueuePanel(Card):
    """Shows a `QueueModel`. Call `refresh` after each change of the model."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        model: QueueModel,
        callbacks: QueueCallbacks,
        *,
        grouped: bool = False,
        keys: bool = False,
    ) -> None:
        """grouped: group the files by variable. keys: show the column of keys."""
        super().__init__(master, theme)
        self._grouped, self._keys = tk.BooleanVar(self, grouped), tk.BooleanVar(self, keys)
        self._theme, self._files, self._callbacks = theme, model, callbacks
        self._started = False
        self._filters: list[str] = []  # texts of the filter, with the current numbers
        px = theme.px
        head = ttk.Frame(self)
        head.pack(fill="x", pady=(0, px(8)))
        self._title = ttk.Label(head, style="Head.TLabel")
        self._title.pack(side="left")
        self._count = UpdatingLabel(head, style="Muted.TLabel")
        self._count.pack(side="left", padx=px(8))
        self._filter = ttk.Combobox(head, state="readonly", width=17)
        self._filter.bind("<<ComboboxSelected>>", lambda _event: self._choose_filter(), add="+")
        self._filter.pack(side="right")
        self.search = SearchEntry(head, theme, placeholder="", on_change=self._search, width=20)
        self.search.pack(side="right", padx=px(8))
        self._detail = UpdatingLabel(self, style="Small.TLabel")
        self._detail.pack(side="bottom", fill="x", pady=(px(6), 0))
        self.table = VirtualTable(
            self,
            theme,
            columns=COLUMNS,
            model=QueueRows(model, self._status_text),
            on_sort=self._sort_by,
            on_select=lambda _ids: self._selected(),
            on_menu=self._show_menu,
            on_open=self._open,
            on_view_menu=self._show_view_menu,
            on_copy=self._copy_keys,
            height=8,
        )
        self.table.pack(fill="both", expand=True)
        model.group(grouped)
        self.table.header.hide(() if keys else ("key",))
        self.retranslate()

    # --- interface

    def begin(self, started: bool) -> None:
        """Show the new files of the model. started: their download has started; otherwise they are only planned."""
        self._started = started
        self.table.select(())
        self.refresh()

    def refresh(self) -> None:
        """Update the table after changes of the model."""
        counts = self._files.counts()
        shown, total = self._files.files_shown, counts[FileFilter.ALL]
        self.table.set_empty_text(
            _("No matching files.")
            if total
            else _("Choose variables and a period, and the files appear here with their sizes.")
        )
        self.table.refresh()
        self._count.show(f"{total:,}" if shown == total else f"{shown:,} / {total:,}")
        texts = [f"{translate(text)} ({counts[show]:,})" for show, text in _SHOWS.items()]
        if self._filters != texts:
            self._filters = texts
            self._filter.configure(values=texts)
            self._filter.set(texts[list(_SHOWS).index(self._files.shown)])
        self._show_detail()

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self._title.configure(text=_("Queue"))
        self.search.set_texts(placeholder=_("Search files"))
        self.table.header.keep_visible("period", key_text.days(date(2020, 12, 16), date(2020, 12, 31)))
        self.table.set_texts(titles())
        self._files.retranslate()
        self.refresh()

    def choose_show(self, show: FileFilter) -> None:
        """Set the filter."""
        self._files.filter(show)
        self._filter.set(self._filters[list(_SHOWS).index(show)])
        self.refresh()

    @property
    def selected(self) -> list[int]:
        """Indices in the plan of the selected files; a selected heading stands for the files below it."""
        return self._files.files_of(self.table.selection)

    def hold_or_release(self) -> None:
        """Hold the selected files that can be held. If there are none, release the selected held files."""
        holdable = self._holdable(self.selected)
        if holdable:
            self._callbacks.hold(holdable)
        else:
            self._callbacks.release(self._files.in_states(self.selected, FileState.HELD))

    # --- inside

    def _holdable(self, chosen: Sequence[int]) -> list[int]:
        return self._files.in_states(chosen, FileState.WAITING, FileState.ACTIVE) if self._started else []

    def _status_text(self, file: File) -> str:
        if not self._started:
            return _("Planned")
        if file.state is FileState.ACTIVE and file.reason:
            return _("Retrying")
        return status_text.file_state(file.state, proving=file.proving).name

    def _choose_filter(self) -> None:
        self._filter.selection_clear()
        self._files.filter(list(_SHOWS)[self._filter.current()])
        self.refresh()

    def _search(self, text: str) -> None:
        self._files.search(text)
        self.refresh()

    def _sort_by(self, column: str) -> None:
        """Sort at the first click on a column, reverse at the second, return to the usual order at the third."""
        order = SortKey(column)
        descending_first = order in _DESCENDING_FIRST
        model = self._files
        if model.sort_key is not order:
            model.sort(order, descending=descending_first)
        elif model.descending is descending_first:
            model.sort(order, descending=not descending_first)
        else:
            model.sort_as_usual()
        self._show_sort()

    def _show_sort(self) -> None:
        model = self._files
        self.table.show_sort(None if model.sorted_as_usual else model.sort_key.value, descending=model.descending)
        self.refresh()

    def _change_view(self) -> None:
        """Use the choices of the menu: groups, and the column of keys."""
        grouped, keys = self._grouped.get(), self._keys.get()
        if grouped != self._files.grouped:
            self._files.group(grouped)
        self.table.hide_columns(() if keys else ("key",))
        self._show_sort()
        self._callbacks.view_changed(grouped, keys)

    def _show_detail(self) -> None:
        """Show the key or the error of the selected file, or the number of selected files."""
        selected = len(self.table.selection)  # must be fast: called ten times a second, with up to 100,000 files
        chosen = [one for one in self.table.selection if isinstance(one, int) and one >= 0] if selected == 1 else []
        text, style = "", "Small.TLabel"
        if selected > 1:
            text = ngettext("{n:,} file selected", "{n:,} files selected", selected)
        elif chosen and chosen[0] < len(self._files.objects):
            file = self._files.file(chosen[0])
            text = file.key
            if file.state is FileState.FAILED:
                explanation = error_text.explain(file.kind or "Era5Error")
                text, style = f"{explanation.sentence} {explanation.hint}", "Danger.TLabel"
            elif file.reason and file.state is FileState.ACTIVE:
                text = error_text.explain_reason(file.kind, file.reason).sentence
            elif file.state is FileState.HELD:
                text = status_text.file_state(file.state).hint
            elif file.state is FileState.CHECKED_PART:
                text = f"{file.key} · {status_text.file_state(file.state).hint}"
            elif file.checked_because:
                text = f"{file.key} · {status_text.not_verified_reason(file.checked_because)}"
        if self._detail.show(text, style):
            self._detail.configure(wraplength=max(200, self.winfo_width() - self._theme.px(40)))

    def _selected(self) -> None:
        self._show_detail()
        chosen = self._finished(self.selected)
        if len(self.table.selection) == 1 and chosen:
            self._callbacks.follow_map(chosen[0])

    def _open(self, row_id: Hashable) -> None:
        """Show the map of a finished file, or the folder of another one."""
        if isinstance(row_id, int) and row_id >= 0:  # not a heading
            is_finished = bool(self._finished([row_id]))
            (self._callbacks.show_map if is_finished else self._callbacks.open_folder)(row_id)

    def _finished(self, chosen: Sequence[int]) -> list[int]:
        return self._files.in_states(chosen, *FINISHED) if self._started else []

    def _copy_keys(self) -> None:
        chosen = self.selected
        if chosen:
            self._callbacks.copy("\n".join(self._files.objects[index].key for index in chosen))

    def _show_menu(self, x: int, y: int) -> None:
        chosen = self.selected
        if not chosen:
            return
        model, do = self._files, self._callbacks
        failed = model.in_states(chosen, FileState.FAILED)
        waiting = model.in_states(chosen, FileState.WAITING) if self._started else []
        holdable, held = self._holdable(chosen), model.in_states(chosen, FileState.HELD)
        failures = [model.errors_by_file[index] for index in chosen if index in model.errors_by_file]
        actions: dict[str, tuple[Callable[[], object], bool]] = {
            "retry": (lambda: do.retry(failed), bool(failed)),
            "promote": (lambda: do.promote(waiting), bool(waiting)),
            "hold": (lambda: do.hold(holdable), bool(holdable)),
            "release": (lambda: do.release(held), bool(held)),
            "show_map": (lambda: do.show_map(chosen[0]), len(chosen) == 1 and bool(self._finished(chosen))),
            "open_folder": (lambda: do.open_folder(chosen[0]), len(chosen) == 1),
            "copy_key": (self._copy_keys, True),
            "copy_error": (lambda: do.copy("\n".join(one.reason for one in failures)), bool(failures)),
        }
        menu = self._theme.menu(self)
        for item in QUEUE:
            if item is None:
                menu.add_separator()
                continue
            command, possible = actions[item.action]
            menu.add_command(
                label=translate(item.label),
                command=command,
                accelerator=accelerator(item.key),
                state="normal" if possible else "disabled",
            )
        menu.add_separator()
        self._add_switches(menu)
        menu.tk_popup(x, y)

    def _show_view_menu(self, x: int, y: int) -> None:
        menu = self._theme.menu(self)
        self._add_switches(menu)
        menu.tk_popup(x, y)

    def _add_switches(self, menu: tk.Menu) -> None:
        for item, variable in zip(QUEUE_VIEW, (self._grouped, self._keys), strict=True):
            menu.add_checkbutton(label=translate(item.label), variable=variable, command=self._change_view)
