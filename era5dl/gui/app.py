"""The window: it makes the pages and the conductor, wires them, and closes. The only place that knows them all."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import tkinter as tk
from dataclasses import replace
from pathlib import Path
from typing import Any

from era5dl import thread_registry
from era5dl.errors import OutOfThreads
from era5dl.gui.backend import desktop, messages
from era5dl.gui.backend.demo_server import DemoServerThread
from era5dl.gui.backend.messages import Message
from era5dl.gui.backend.service import BackendService
from era5dl.gui.backend.tk_bridge import TkBridge
from era5dl.gui.controllers.closing import ClosingController
from era5dl.gui.controllers.dialogs import Dialogs
from era5dl.gui.controllers.download import DownloadController, SuspendDetector
from era5dl.gui.controllers.monitoring import MonitoringController, Pages
from era5dl.gui.controllers.preferences import PreferencesController
from era5dl.gui.dialogs.question import QuestionDialog
from era5dl.gui.models import preferences, request_form
from era5dl.gui.models.log import Level
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.models.queue import QueueModel
from era5dl.gui.models.request_form import Fields
from era5dl.gui.pages.diagnostics import DiagnosticsCallbacks
from era5dl.gui.pages.download import DownloadCallbacks
from era5dl.gui.pages.header import Header, HeaderCallbacks
from era5dl.gui.pages.log import LogCallbacks
from era5dl.gui.pages.queue_panel import QueueCallbacks
from era5dl.gui.pages.request_panel import RequestCallbacks
from era5dl.gui.pages.sessions import SessionsCallbacks
from era5dl.gui.pages.tabs import Tabs, TabsCallbacks
from era5dl.gui.pages.totals_panel import TotalsCallbacks
from era5dl.gui.shortcuts import bind_keys
from era5dl.gui.startup_options import Options, demo_fields
from era5dl.gui.text import i18n
from era5dl.gui.text.i18n import _, follow
from era5dl.gui.theme import scaling
from era5dl.gui.theme.palette import PALETTES
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.banner import BannerKind
from era5dl.log_file import log_file
from era5dl.redaction import without_login, without_secrets
from era5dl.settings import Settings

_log = logging.getLogger("era5dl")


class App:
    """One window. Actions of menus and keys are methods without arguments."""

    def __init__(self, root: tk.Tk, options: Options, service: BackendService | None = None) -> None:
        self.root, self.options = root, options
        self.service = service or BackendService()
        self.store = PreferenceStore(root, options.preset(preferences.load()), on_disk=not options.demo)
        i18n.switch(self.preferences.language or i18n.system_language())
        root.withdraw()
        self.theme = Theme(root, PALETTES[self.preferences.theme], options.scale)
        if i18n.language() != i18n.ENGLISH and not scaling.knows_chinese(root):
            i18n.switch(i18n.ENGLISH)
        self.model = QueueModel()
        self.awake = desktop.SleepInhibitor()
        self.demo: DemoServerThread | None = None
        self.dialogs = Dialogs(root, self.theme)
        self._phase = 0
        around = SuspendDetector(
            settings=lambda: self.preferences.to_settings(),
            timer=root,
            open_folder=self._open,
            remember=self._remember,
            running=self._running,
            ended=self._ended,
        )
        self.downloading = DownloadController(self.service, self.model, around)
        self.watching = MonitoringController(self.service, around.settings)
        self._make_window()
        bind_keys(root, lambda action: getattr(self, action)())
        self.downloading.attach(self.download)
        self.watching.attach(Pages(self.sessions, self.diagnostics, self.log))
        self.bridge: TkBridge[Message] = TkBridge(root, self.service.poll, self.hear, self.draw)
        self.closing = ClosingController(root, self.service, self.dialogs, self._let_go, self.bridge.stop)
        self._begin()
        root.deiconify()
        gc.freeze()  # what stands now stands until the end: nothing for a collection to look at

    @property
    def preferences(self) -> Preferences:
        """As they are now."""
        return self.store.now

    @property
    def question(self) -> QuestionDialog | None:
        """What is asked before the window closes."""
        return self.dialogs.question

    # --- making

    def _make_window(self) -> None:
        root, theme, px = self.root, self.theme, self.theme.px
        self.store.place_window(px)
        root.protocol("WM_DELETE_WINDOW", self.close)
        root.report_callback_exception = self._bug
        self.header = Header(
            root,
            theme,
            HeaderCallbacks(
                self.show_menu, self.show_help, self.show_settings, self.switch_theme, self._choose_language
            ),
        )
        self.header.pack(fill="x", padx=px(22), pady=(px(12), px(4)))
        self._pages = Tabs(root, theme, self.model, self._callbacks(), self.preferences)
        self.download, self.sessions, self.diagnostics, self.log = self._pages.pages
        self.tabs = self._pages.notebook
        self.tabs.pack(fill="both", expand=True, padx=px(14), pady=(0, px(14)))
        self.choices = PreferencesController(
            root=root,
            theme=theme,
            store=self.store,
            service=self.service,
            downloading=self.downloading,
            watching=self.watching,
            header=self.header,
            page=self.download,
        )
        follow(root, lambda: root.title(_("ERA5 Downloader")))

    def _callbacks(self) -> TabsCallbacks:
        """What the pages ask for, and who does it."""
        do, service = self.downloading, self.service
        return TabsCallbacks(
            DownloadCallbacks(
                RequestCallbacks(
                    do.changed, self.start, self._choose_folder, do.show_missing, lambda: self.download.show_grid()
                ),
                QueueCallbacks(
                    retry=lambda chosen: do.retry(list(chosen)),
                    promote=service.promote,
                    hold=service.hold,
                    release=service.release,
                    open_folder=self._open_file,
                    copy=self._copy,
                ),
                TotalsCallbacks(service.pause, service.resume, self.stop, self._set_workers, self._set_limit),
                lambda width: self.store.change(request_width=width),
            ),
            SessionsCallbacks(
                resume=self._resume_session,
                verify=self.watching.verify,
                stop_verifying=service.stop_verifying,
                open_folder=self._open,
                forget=service.forget,
                add_folder=self.open_folder,
            ),
            DiagnosticsCallbacks(self.watching.test, self._save_report),
            LogCallbacks(lambda: self._open(log_file().parent), self.watching.book.clear),
        )

    def _begin(self) -> None:
        options = self.options
        fields = request_form.from_text(self.preferences.selection, self.preferences.folder)
        if options.demo:
            fields = demo_fields(self.preferences.folder)
            self.downloading.demo = True
            self.downloading.prepare(True)
            self.demo = DemoServerThread(Path(self.preferences.folder).with_name("server"), self.service.tell)
            self.demo.start()
        self.downloading.fill(fields)
        self.bridge.start()
        self.watching.metrics.start()
        self.service.list_sessions()
        self._show_where()
        if options.folder is not None:
            self.downloading.resume_session(options.folder, None)

    # --- the pulse

    def hear(self, fact: Message) -> None:
        """A fact, on Tk's thread."""
        match fact:
            case messages.DemoProgressed():
                text = _("Making the demo's files: {done} of {total}", done=fact.done, total=fact.total)
                self.download.banner.show(BannerKind.INFO, text)
            case messages.DemoReady():
                self.store.now = replace(
                    self.preferences, endpoint_url=fact.endpoint_url, bucket=fact.bucket, proxy="", ca_bundle=""
                )
                self.download.banner.hide(at_once=True)
                self._show_where()
                self.downloading.prepare(False)
                self.service.list_sessions()
            case messages.DemoFailed():
                self.download.banner.show(BannerKind.DANGER, f"{fact.error.detail} {fact.error.remedy}")
            case messages.PlanProgressed() | messages.PlanReady() | messages.SessionOpened():
                gc.freeze()  # a collection that looks at a hundred thousand files again holds the window up for 150 ms
            case messages.ConsentRequired():
                self.dialogs.ask_for_server(fact.address, lambda: self._allow(fact))
            case messages.TaskCrashed():
                _log.error("%s: %s", fact.where, fact.error.detail)
        self.watching.hear(fact)
        if not (isinstance(fact, messages.SessionsListed) and self.downloading.preparing):
            self.downloading.hear(fact)

    def draw(self) -> None:
        """Forty times a second, a quarter of what is seen each time."""
        self._phase = (self._phase + 1) % 4
        if self._phase < 3:
            self.downloading.draw(self._phase)
        else:
            self.watching.draw(self._pages.visible)

    # --- actions

    def start(self) -> None:
        self.show_download()
        self.downloading.start()

    def stop(self) -> None:
        self.service.stop()

    def pause_or_resume(self) -> None:
        self.downloading.pause_or_resume()

    def retry_all(self) -> None:
        self.downloading.retry()

    def hold_or_release(self) -> None:
        self.download.queue.hold_or_release()

    def show_download(self) -> None:
        self._pages.turn_to(self.download)

    def show_sessions(self) -> None:
        self.service.list_sessions()
        self._pages.turn_to(self.sessions)

    def show_diagnostics(self) -> None:
        self._pages.turn_to(self.diagnostics)

    def show_log(self) -> None:
        self._pages.turn_to(self.log)

    def search(self) -> None:
        """The search of the page that is seen; on the first one the variables', then the files'."""
        visible = self._pages.visible
        if visible is self.log:
            self.log.search.focus_set()
        elif visible is self.download:
            self.download.search(again=self.service.occupied)

    def switch_theme(self) -> None:
        self.choices.switch_theme()

    def show_help(self) -> None:
        self.dialogs.show_help(self.downloading.fields.folder)

    def show_settings(self) -> None:
        self.dialogs.show_settings(self.preferences, self._settings_changed)

    def show_menu(self) -> None:
        self.header.pop_up(self)

    def open_folder(self) -> None:
        """A folder that holds a session."""
        chosen = self.dialogs.choose_session_folder(self.preferences.folder)
        if chosen:
            self._resume_session(Path(chosen), None)

    def close(self) -> None:
        self.closing.close()

    # --- inside

    def _let_go(self) -> None:
        """The window closes: nothing goes on any more."""
        self.store.save()
        self.service.close()
        self.downloading.close()
        self.watching.metrics.stop()
        self.awake.release()
        if self.demo is not None:
            self.demo.stop()

    def _bug(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """A handler has failed: that is logged, and the window goes on."""
        _log.error("in a handler of the window", exc_info=(kind, error, trace))
        self.watching.book.add(Level.ERROR, without_secrets(f"{kind.__name__}: {error}"))

    def _show_where(self) -> None:
        """The bucket, if it is not the usual one."""
        here, text = self.preferences, ""
        if self.options.demo:
            text = _("Demo: a bucket on this computer")
        elif here.endpoint_url or here.bucket != Settings().bucket:
            text = f"{without_login(here.endpoint_url)}/{here.bucket}".lstrip("/")
        self.header.show_where(text)

    def _choose_folder(self) -> None:
        chosen = self.dialogs.choose_folder(self.downloading.fields.folder)
        if chosen:
            self.download.request.set_folder(chosen)

    def _open(self, folder: Path) -> None:
        if not desktop.open_folder(folder):
            self.download.banner.show(BannerKind.INFO, str(folder))

    def _open_file(self, index: int) -> None:
        folder = self.downloading.folder_of(index)
        if folder is not None:
            self._open(folder)

    def _copy(self, text: str) -> None:
        self.root.clipboard_clear()
        self.root.clipboard_append(text)

    def _resume_session(self, folder: Path, session_id: str | None) -> None:
        self.show_download()
        self.downloading.resume_session(folder, session_id)

    def _allow(self, fact: messages.ConsentRequired) -> None:
        """The person agrees to the server of a session: what was asked for is done."""
        _log.info("a session may ask %s", fact.address)
        self.service.allow(fact.address)
        if fact.verifying:
            self.watching.verify(fact.folder, fact.session_id)
        else:
            self.downloading.resume_session(fact.folder, fact.session_id)

    def _choose_language(self, code: str) -> None:
        self.choices.choose_language(code)

    def _set_workers(self, workers: int) -> None:
        self.choices.set_workers(workers)

    def _set_limit(self, limit: int | None) -> None:
        self.choices.set_limit(limit)

    def _settings_changed(self, changed: Preferences) -> None:
        self.choices.take(changed)
        self._show_where()

    def _save_report(self) -> None:
        from era5dl.gui.models.report_vocabulary import vocabulary

        with contextlib.suppress(OutOfThreads):  # then it is done when it is needed
            thread_registry.start(
                threading.Thread(target=vocabulary, name="era5dl-words", daemon=True)
            )  # while one chooses
        name = self.dialogs.choose_report()
        if name:
            self.watching.save_report(Path(name), self.preferences)

    def _remember(self, fields: Fields) -> None:
        self.store.change(selection=request_form.to_text(fields), folder=fields.folder)

    def _running(self, running: bool) -> None:
        (self.awake.hold if running else self.awake.release)()

    def _ended(self, text: str) -> None:
        if self.preferences.notifications:
            desktop.notify(_("ERA5 Downloader"), text)
