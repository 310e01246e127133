"""What a person chooses for the window as a whole: language, colours, and all that the settings dialog offers."""

from __future__ import annotations

import tkinter as tk
from dataclasses import dataclass

from era5dl.gui.backend.service import BackendService
from era5dl.gui.controllers.download import DownloadController
from era5dl.gui.controllers.monitoring import MonitoringController
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.pages.download import DownloadPage
from era5dl.gui.pages.header import Header
from era5dl.gui.text import i18n
from era5dl.gui.text.i18n import _
from era5dl.gui.theme import scaling
from era5dl.gui.theme.palette import PALETTES
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.banner import BannerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferencesController:
    """Each choice takes effect at once, wherever it is seen, and is kept."""

    root: tk.Tk
    theme: Theme
    store: PreferenceStore
    service: BackendService
    downloading: DownloadController
    watching: MonitoringController
    header: Header
    page: DownloadPage

    def switch_theme(self) -> None:
        """From light to dark, or back."""
        name = "light" if self.theme.palette.dark else "dark"
        self._paint(name)
        self.store.change(theme=name)

    def choose_language(self, code: str) -> None:
        """Speak it, unless there is no font for it."""
        if code != i18n.ENGLISH and not scaling.knows_chinese(self.root):
            self.page.banner.show(
                BannerKind.WARNING, _("No font with Chinese characters: install {fonts}.", fonts=scaling.CHINESE_FONTS)
            )
            self.header.show_language()
            return
        self.speak(code)
        self.store.change(language=code)

    def speak(self, code: str) -> None:
        """All texts in this language, for as long as the window is open."""
        i18n.switch(code)
        self.header.show_language()
        self.downloading.fill(self.downloading.fields)
        self.watching.retranslate()

    def set_workers(self, workers: int) -> None:
        """How many requests at once."""
        self.service.set_workers(workers)
        self.store.change(workers=workers)

    def set_limit(self, limit: int | None) -> None:
        """In bytes per second; None is no limit."""
        self.service.set_rate_limit(limit)
        self.store.change(rate_limit=limit or 0)

    def take(self, changed: Preferences) -> None:
        """What the settings dialog says now."""
        before = self.store.now
        self.store.take(changed)
        if changed.theme != self.theme.palette.name:
            self._paint(changed.theme)
        speech = changed.language or i18n.system_language()
        if speech != i18n.language() and (speech == i18n.ENGLISH or scaling.knows_chinese(self.root)):
            self.speak(speech)
        if (changed.workers, changed.rate_limit) != (before.workers, before.rate_limit):
            self.page.totals.show_settings(changed.workers, changed.rate_limit)
            self.service.set_workers(changed.workers)
            self.service.set_rate_limit(changed.rate_limit or None)
        if changed.folder != before.folder and changed.folder:
            self.page.request.set_folder(changed.folder)
        self.downloading.replan()

    def _paint(self, theme: str) -> None:
        self.theme.use(PALETTES[theme])
        self.header.show_theme(self.theme.palette.dark)
