"""Tabs with the five pages of the window."""

from __future__ import annotations

import tkinter as tk
from dataclasses import dataclass
from tkinter import ttk
from typing import Any

from era5dl.gui.models.preferences import Preferences
from era5dl.gui.models.queue import QueueModel
from era5dl.gui.pages.archive import ArchiveCallbacks, ArchivePage
from era5dl.gui.pages.diagnostics import DiagnosticsCallbacks, DiagnosticsPage
from era5dl.gui.pages.download import DownloadCallbacks, DownloadPage
from era5dl.gui.pages.log import LogCallbacks, LogPage
from era5dl.gui.pages.sessions import SessionsCallbacks, SessionsPage
from era5dl.gui.text.i18n import _, follow
from era5dl.gui.theme.theme import Theme


@dataclass(frozen=True, slots=True)
class TabsCallbacks:
    """Callbacks of each page."""

    download: DownloadCallbacks
    sessions: SessionsCallbacks
    archive: ArchiveCallbacks
    diagnostics: DiagnosticsCallbacks
    log: LogCallbacks


class Tabs:
    """notebook: the ttk widget. pages: the pages in the order of the tabs."""

    def __init__(
        self, master: tk.Misc, theme: Theme, model: QueueModel, callbacks: TabsCallbacks, begin: Preferences
    ) -> None:
        self.notebook: Any = ttk.Notebook(master)  # its methods have no types
        holders = [ttk.Frame(self.notebook, style="Page.TFrame", padding=(0, theme.px(12), 0, 0)) for _page in range(5)]
        self.download = DownloadPage(
            holders[0],
            theme,
            model,
            callbacks.download,
            workers=begin.workers,
            limit=begin.rate_limit,
            request_width=begin.request_width,
            queue_view=(begin.queue_grouped, begin.queue_keys),
        )
        self.sessions = SessionsPage(holders[1], theme, callbacks.sessions)
        self.archive = ArchivePage(holders[2], theme, callbacks.archive)
        self.diagnostics = DiagnosticsPage(holders[3], theme, callbacks.diagnostics)
        self.log = LogPage(holders[4], theme, callbacks.log)
        self.pages = (self.download, self.sessions, self.archive, self.diagnostics, self.log)
        for holder, page in zip(holders, self.pages, strict=True):
            page.pack(fill="both", expand=True)
            self.notebook.add(holder)
        follow(self.notebook, self._set_titles)

    @property
    def visible(self) -> ttk.Frame:
        """The visible page."""
        return self.pages[self.notebook.index("current")]

    def show_page(self, page: ttk.Frame) -> None:
        """Show this page."""
        self.notebook.select(self.pages.index(page))

    def _set_titles(self) -> None:
        for index, text in enumerate((_("Download"), _("Sessions"), _("Archive"), _("Diagnostics"), _("Log"))):
            self.notebook.tab(index, text=text)
