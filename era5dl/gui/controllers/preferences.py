"""Preferences controller: applies and saves changes of language, theme, server and all other settings."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from typing import Literal

from era5dl.gui.backend.runs import RunService
from era5dl.gui.controllers import Controller
from era5dl.gui.controllers.request import RequestController
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.pages.download import DownloadPage
from era5dl.gui.pages.header import Header
from era5dl.gui.text import i18n
from era5dl.gui.text.i18n import _
from era5dl.gui.text.system_language import system_language
from era5dl.gui.theme import scaling
from era5dl.gui.theme.palette import PALETTES
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.banner import BannerKind
from era5dl.redaction import strip_credentials
from era5dl.settings import Settings


class PreferencesController(Controller):
    """retranslate_all: called after a change of language, to set all texts again."""

    def __init__(
        self,
        root: tk.Tk,
        theme: Theme,
        header: Header,
        page: DownloadPage,
        *,
        runs: RunService,
        store: PreferenceStore,
        request: RequestController,
        retranslate_all: Callable[[], object],
        demo: bool = False,
    ) -> None:
        self._root, self._theme, self._header, self._page = root, theme, header, page
        self._runs, self._store, self._request = runs, store, request
        self._retranslate_all, self._demo = retranslate_all, demo

    # --- actions

    def switch_theme(self) -> None:
        """Switch between light and dark."""
        name = "light" if self._theme.palette.dark else "dark"
        self._use_theme(name)
        self._store.update(theme=name)

    def choose_language(self, code: str) -> None:
        """Use this language, if there is a font for it."""
        if code != i18n.ENGLISH and not scaling.knows_chinese(self._root):
            self._page.banner.show(
                BannerKind.WARNING,
                _("No font with Chinese characters was found. Install {fonts}.", fonts=scaling.CHINESE_FONTS),
            )
            self._header.show_language()
            return
        self.use_language(code)
        self._store.update(language=code)

    def set_workers(self, workers: int | Literal["auto"]) -> None:
        """Change the number of simultaneous requests, or find it automatically."""
        self._runs.set_workers(workers)
        self._store.update(workers=workers)

    def set_rate_limit(self, limit: int | str | None) -> None:
        """Change the rate limit: bytes per second, or a timetable; None is no limit."""
        self._runs.set_rate_limit(limit)
        self._store.update(rate_limit=limit or 0)

    def apply(self, changed: Preferences) -> None:
        """Use these preferences, which the user has changed in the settings dialog."""
        before = self._store.current
        self._store.replace(changed)
        if changed.theme != self._theme.palette.name:
            self._use_theme(changed.theme)
        language = changed.language or system_language()
        if language != i18n.language() and (language == i18n.ENGLISH or scaling.knows_chinese(self._root)):
            self.use_language(language)
        if (changed.workers, changed.rate_limit) != (before.workers, before.rate_limit):
            self._page.totals.show_settings(changed.workers, changed.rate_limit)
            self._runs.set_workers(changed.workers)
            self._runs.set_rate_limit(changed.rate_limit or None)
        if changed.folder != before.folder and changed.folder:
            self._page.request.set_folder(changed.folder)
        self._request.replan()
        self.show_server()

    # --- for other controllers

    def use_language(self, code: str) -> None:
        """Show all texts in this language until the window is closed."""
        i18n.switch(code)
        self._header.show_language()
        self.show_server()
        self._retranslate_all()

    def use_demo_server(self, endpoint_url: str, bucket: str) -> None:
        """Use the demo server until the window is closed."""
        self._store.override(endpoint_url=endpoint_url, bucket=bucket, proxy="", ca_bundle="")
        self.show_server()

    def show_server(self) -> None:
        """Show the server in the header, if it is not the default one."""
        current, text = self._store.current, ""
        if self._demo:
            text = _("Demo: a bucket on this computer")
        elif current.endpoint_url or current.bucket != Settings().bucket:
            text = f"{strip_credentials(current.endpoint_url)}/{current.bucket}".lstrip("/")
        self._header.show_server(text)

    def _use_theme(self, name: str) -> None:
        self._theme.use(PALETTES[name])
        self._header.show_theme(self._theme.palette.dark)
