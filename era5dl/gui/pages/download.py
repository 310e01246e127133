"""Download page: request panel at the left, queue at the right, totals below the queue, banner at the top.

The editors of the date grid and of parts of files are shown in place of the queue."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from tkinter import ttk
from typing import Literal

from era5dl.gui.models.plan_state import PlanState
from era5dl.gui.models.queue import QueueModel
from era5dl.gui.models.request_form import Fields, Period, chosen_variables
from era5dl.gui.models.subset_form import SubsetFields, has_levels, missing_package
from era5dl.gui.pages.date_grid_panel import DateGridPanel
from era5dl.gui.pages.queue_panel import QueueCallbacks, QueuePanel
from era5dl.gui.pages.request_panel import RequestCallbacks, RequestPanel
from era5dl.gui.pages.subset_panel import SubsetPanel
from era5dl.gui.pages.totals_panel import TotalsCallbacks, TotalsPanel
from era5dl.gui.text.i18n import follow
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.banner import Banner
from era5dl.gui.widgets.splitter import Splitter

_DEFAULT, _LEAST, _LEAST_RIGHT = 364.0, 336.0, 570.0  # widths of request panel and queue, in unscaled pixels


@dataclass(frozen=True, slots=True)
class DownloadCallbacks:
    """Callbacks of each panel. resized: called with the width of the request panel in unscaled pixels (0: default)."""

    request: RequestCallbacks
    queue: QueueCallbacks
    totals: TotalsCallbacks
    resized: Callable[[int], object] = lambda _width: None


class DownloadPage(ttk.Frame):
    """Composes the panels, which are public; each has its own `show`."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        model: QueueModel,
        callbacks: DownloadCallbacks,
        *,
        workers: int | Literal["auto"],
        limit: int | str,
        request_width: int = 0,
        queue_view: tuple[bool, bool] = (False, False),
    ) -> None:
        """request_width: width of the request panel in unscaled pixels; 0 for the default.

        queue_view: whether the queue is grouped by variable, and shows keys.
        """
        super().__init__(master, style="Page.TFrame")
        self._theme, self._on_resize = theme, callbacks.resized
        self._subset_shown: tuple[SubsetFields, bool] | None = None  # in the editor
        self._wanted_width = theme.px(request_width or _DEFAULT)  # in pixels; the window may be too narrow for it
        px = theme.px
        self.banner = Banner(self, theme, on_close=lambda: None)
        self.request = RequestPanel(self, theme, callbacks.request)
        self.splitter = Splitter(self, theme, on_move=self._move, on_release=self._save_width, on_reset=self._reset)
        self.queue = QueuePanel(self, theme, model, callbacks.queue, grouped=queue_view[0], keys=queue_view[1])
        self.grid_panel = DateGridPanel(self, theme, on_change=self.request.show_grid_choice, on_close=self.hide_grid)
        self.subset_panel = SubsetPanel(
            self, theme, on_change=self.request.show_subset_choice, on_close=self._close_subset
        )
        self.totals = TotalsPanel(self, theme, callbacks.totals, workers=workers, limit=limit)
        self.banner.grid(row=0, column=0, columnspan=3, sticky="ew")
        self.request.grid(row=1, column=0, rowspan=2, sticky="nsew")
        self.splitter.grid(row=1, column=1, rowspan=2, sticky="ns")
        self.queue.grid(row=1, column=2, sticky="nsew", pady=(0, px(10)))
        self.totals.grid(row=2, column=2, sticky="ew")
        self.columnconfigure(2, weight=1)
        self.rowconfigure(1, weight=1)
        self._set_width()
        self.bind("<Configure>", lambda _event: self._set_width(), add="+")
        follow(self, self.retranslate)

    def show_fields(self, fields: Fields) -> None:
        """Fill in all fields."""
        self.request.show_fields(fields)
        self.grid_panel.show(fields.years, fields.months, fields.days)
        self._fill_subset_panel()

    def show_plan_state(self, plan_state: PlanState) -> None:
        """Show the state of the download that the fields describe."""
        self.request.show(plan_state)
        if self.request.fields.period is not Period.GRID:
            self.hide_grid()
        if self.subset_panel.winfo_manager():
            self._fill_subset_panel()

    def search(self, *, again: bool) -> None:
        """Focus the search of the variables; if it has the focus, or with `again`, that of the files."""
        variables, files, now = self.request.search, self.queue.search, self.focus_get()
        onward = (now is variables.entry or again) and now is not files.entry
        (files if onward else variables).focus_set()

    def show_grid(self) -> None:
        """Show the date grid in place of the queue."""
        fields = self.request.fields
        self.hide_subset()
        self.grid_panel.show(fields.years, fields.months, fields.days)
        self.grid_panel.grid(row=1, column=2, sticky="nsew", pady=self.queue.grid_info()["pady"])
        self.grid_panel.lift()
        self.grid_panel.years.canvas.focus_set()

    def hide_grid(self) -> None:
        """Show the queue again."""
        self.grid_panel.grid_forget()

    def show_subset(self) -> None:
        """Show the editor for parts of files in place of the queue and the totals."""
        self.hide_grid()
        self._fill_subset_panel()
        self.subset_panel.show_missing_package(missing_package())
        self.subset_panel.grid(row=1, rowspan=2, column=2, sticky="nsew")
        self.subset_panel.lift()
        self.subset_panel.region.map.focus_set()

    def hide_subset(self) -> None:
        """Show the queue and the totals again."""
        self.subset_panel.grid_forget()

    def _close_subset(self) -> None:
        self.hide_subset()
        self.request.focus_subset()

    def _fill_subset_panel(self) -> None:
        """Show the fields in the editor. Called ten times a second during planning, when nothing changes."""
        fields = self.request.fields
        wanted = (fields.subset, has_levels(chosen_variables(fields.variables)))
        if wanted != self._subset_shown:
            self._subset_shown = wanted
            self.subset_panel.show(wanted[0], levels=wanted[1])

    # --- width of the request panel

    @property
    def request_width(self) -> int:
        """Width of the request panel in pixels: the wanted one, unless it would make either side too narrow."""
        px = self._theme.px
        most = self.winfo_width() - self.splitter.winfo_reqwidth() - px(_LEAST_RIGHT)
        return max(px(_LEAST), min(self._wanted_width, most))

    def _set_width(self) -> None:
        self.columnconfigure(0, minsize=self.request_width)

    def _move(self, pixels: int) -> None:
        self._wanted_width = self.request_width + pixels
        self._set_width()

    def _save_width(self) -> None:
        self._wanted_width = self.request_width
        self._on_resize(round(self._wanted_width / self._theme.scale.factor))

    def _reset(self) -> None:
        self._wanted_width = self._theme.px(_DEFAULT)
        self._set_width()
        self._on_resize(0)

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        for panel in (self.request, self.queue, self.grid_panel, self.subset_panel, self.totals):
            panel.retranslate()
