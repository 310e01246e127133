"""The Download page: the request to the left, the queue to the right, the totals below, and a banner above all."""

from __future__ import annotations

import tkinter as tk
from dataclasses import dataclass
from tkinter import ttk

from era5dl.gui.form import Fields, Outlook, Period
from era5dl.gui.i18n import follow
from era5dl.gui.look.palette import Palette
from era5dl.gui.look.theme import Look
from era5dl.gui.pages.grid_panel import GridPanel
from era5dl.gui.pages.queue_panel import QueueCallbacks, QueuePanel
from era5dl.gui.pages.request_panel import RequestCallbacks, RequestPanel
from era5dl.gui.pages.totals_panel import TotalsCallbacks, TotalsPanel
from era5dl.gui.queue_model import QueueModel
from era5dl.gui.widgets.banner import Banner


@dataclass(frozen=True, slots=True)
class DownloadCallbacks:
    """What the page asks for, panel by panel."""

    request: RequestCallbacks
    queue: QueueCallbacks
    totals: TotalsCallbacks


class DownloadPage(ttk.Frame):
    """The panels are public: each has its own `show`."""

    def __init__(
        self,
        master: tk.Misc,
        look: Look,
        model: QueueModel,
        callbacks: DownloadCallbacks,
        *,
        workers: int,
        limit: int,
    ) -> None:
        super().__init__(master, style="Page.TFrame")
        px = look.px
        self.banner = Banner(self, look, on_close=lambda: None)
        self.request = RequestPanel(self, look, callbacks.request)
        self.queue = QueuePanel(self, look, model, callbacks.queue)
        self.grid_panel = GridPanel(self, look, on_change=self.request.show_grid_choice, on_close=self.hide_grid)
        self.totals = TotalsPanel(self, look, callbacks.totals, workers=workers, limit=limit)
        self.banner.grid(row=0, column=0, columnspan=2, sticky="ew")
        self.request.grid(row=1, column=0, rowspan=2, sticky="nsew", padx=(0, px(10)))
        self.queue.grid(row=1, column=1, sticky="nsew", pady=(0, px(10)))
        self.totals.grid(row=2, column=1, sticky="ew")
        self.columnconfigure(1, weight=1)
        self.rowconfigure(1, weight=1)
        follow(self, self.retranslate)

    def show_fields(self, fields: Fields) -> None:
        """Fill in all fields."""
        self.request.show_fields(fields)
        self.grid_panel.show(fields.years, fields.months, fields.days)

    def show_outlook(self, outlook: Outlook) -> None:
        """What comes of what is chosen."""
        self.request.show(outlook)
        if self.request.fields.period is not Period.GRID:
            self.hide_grid()

    def search(self, *, again: bool) -> None:
        """Go to the search of the variables; from there, or with `again`, to that of the files."""
        variables, files, now = self.request.search, self.queue.search, self.focus_get()
        onward = (now is variables.entry or again) and now is not files.entry
        (files if onward else variables).focus_set()

    def show_grid(self) -> None:
        """Choose years, months and days in the place of the queue."""
        fields = self.request.fields
        self.grid_panel.show(fields.years, fields.months, fields.days)
        self.grid_panel.grid(row=1, column=1, sticky="nsew", pady=self.queue.grid_info()["pady"])
        self.grid_panel.lift()
        self.grid_panel.years.canvas.focus_set()

    def hide_grid(self) -> None:
        """Back to the queue."""
        self.grid_panel.grid_forget()

    def restyle(self, palette: Palette) -> None:
        """The widgets follow the look by themselves."""

    def retranslate(self) -> None:
        """All texts in the language of now."""
        for panel in (self.request, self.queue, self.grid_panel, self.totals):
            panel.retranslate()
