"""Composition of the window: creates models, pages, services and controllers, connects them, and starts the timer."""

from __future__ import annotations

import gc
import logging
import tkinter as tk
from pathlib import Path
from typing import Any

from era5dl.gui.actions import Actions, Controllers
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import Message
from era5dl.gui.backend.service import BackendService
from era5dl.gui.backend.tk_bridge import TkBridge
from era5dl.gui.controllers.archive import ArchiveController
from era5dl.gui.controllers.cds_request import CdsRequestController
from era5dl.gui.controllers.closing import ClosingController
from era5dl.gui.controllers.demo import DemoController
from era5dl.gui.controllers.download import DownloadController
from era5dl.gui.controllers.jobs import JobsController
from era5dl.gui.controllers.monitoring import MonitoringController
from era5dl.gui.controllers.preferences import PreferencesController
from era5dl.gui.controllers.preview import PreviewController
from era5dl.gui.controllers.request import RequestController
from era5dl.gui.controllers.sessions import SessionsController
from era5dl.gui.dialogs.opener import DialogOpener
from era5dl.gui.models import preferences, request_form
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.models.queue import QueueModel
from era5dl.gui.pages.archive import ArchiveCallbacks
from era5dl.gui.pages.diagnostics import DiagnosticsCallbacks
from era5dl.gui.pages.download import DownloadCallbacks
from era5dl.gui.pages.header import Header, HeaderCallbacks
from era5dl.gui.pages.jobs_panel import JobsCallbacks
from era5dl.gui.pages.log import LogCallbacks
from era5dl.gui.pages.queue_panel import QueueCallbacks
from era5dl.gui.pages.request_panel import RequestCallbacks
from era5dl.gui.pages.sessions import SessionsCallbacks
from era5dl.gui.pages.tabs import Tabs, TabsCallbacks
from era5dl.gui.pages.totals_panel import TotalsCallbacks
from era5dl.gui.shortcuts import bind_shortcuts
from era5dl.gui.startup_options import StartupOptions, demo_fields, demo_request_file
from era5dl.gui.text import i18n
from era5dl.gui.text.event_text import LogLevel
from era5dl.gui.text.i18n import _, follow
from era5dl.gui.text.system_language import system_language
from era5dl.gui.theme import scaling
from era5dl.gui.theme.app_icon import SIZES as ICON_SIZES
from era5dl.gui.theme.app_icon import app_icon
from era5dl.gui.theme.palette import PALETTES
from era5dl.gui.theme.theme import Theme
from era5dl.gui.window_geometry import place_window
from era5dl.log_file import log_path
from era5dl.redaction import redact_secrets

_log = logging.getLogger("era5dl")


class App:
    """The main window with all its parts."""

    def __init__(self, root: tk.Tk, options: StartupOptions, service: BackendService | None = None) -> None:
        self.root = root
        self.service = service or BackendService()
        saved = options.override(preferences.load())
        request_file = demo_request_file(saved.folder) if options.demo else None
        self.store = PreferenceStore(saved, root, root.geometry, request_file=request_file)
        i18n.switch(saved.language or system_language())
        root.withdraw()
        self.theme = Theme(root, PALETTES[saved.theme], options.scale)
        if i18n.language() != i18n.ENGLISH and not scaling.knows_chinese(root):
            i18n.switch(i18n.ENGLISH)
        self.queue = QueueModel()
        self.dialogs = DialogOpener(root, self.theme)
        self._refresh_step = 0
        self._prepare_root()
        self.header = self._make_header()
        self.pages = self._make_pages()
        self.bridge: TkBridge[Message] = TkBridge(root, self.service.poll, self.handle, self.refresh)
        self.controllers = self._make_controllers(options.demo)
        self.actions = Actions(
            root,
            self.header,
            self.pages,
            self.controllers,
            service=self.service,
            store=self.store,
            dialogs=self.dialogs,
        )
        bind_shortcuts(root, lambda action: getattr(self.actions, action)())
        self._start(options)
        root.deiconify()
        gc.freeze()  # existing objects live until the end, so garbage collection need not traverse them

    # --- composition

    def _prepare_root(self) -> None:
        root = self.root
        place_window(root, self.theme.px, self.store.current.geometry)
        self._icons = [tk.PhotoImage(master=root, data=app_icon(size)) for size in ICON_SIZES]
        root.iconphoto(True, *self._icons)
        root.protocol("WM_DELETE_WINDOW", lambda: self.actions.close())
        root.report_callback_exception = self._report_bug
        follow(root, lambda: root.title(_("ERA5 Downloader")))

    def _make_header(self) -> Header:
        px = self.theme.px
        header = Header(self.root, self.theme, self._header_callbacks())
        header.pack(fill="x", padx=px(22), pady=(px(12), px(4)))
        return header

    def _make_pages(self) -> Tabs:
        px = self.theme.px
        pages = Tabs(self.root, self.theme, self.queue, self._page_callbacks(), self.store.current)
        pages.notebook.pack(fill="both", expand=True, padx=px(14), pady=(0, px(14)))
        return pages

    def _make_controllers(self, demo: bool) -> Controllers:
        service, store, pages = self.service, self.store, self.pages
        request = RequestController(pages.download, self.queue, service, store, self.root)
        download = DownloadController(pages.download, self.queue, service.runs, store, request, demo=demo)
        settings = PreferencesController(
            self.root,
            self.theme,
            self.header,
            pages.download,
            runs=service.runs,
            store=store,
            request=request,
            retranslate_all=self._retranslate,
            demo=demo,
        )
        return Controllers(
            request=request,
            cds_request=CdsRequestController(service.planning, self.dialogs, request),
            download=download,
            jobs=JobsController(pages, service, store, request),
            sessions=SessionsController(
                pages.sessions,
                service,
                store,
                self.dialogs,
                download,
                show_download=lambda: self.actions.show_download(),
            ),
            archive=ArchiveController(
                pages.archive,
                service,
                store,
                self.dialogs,
                start=lambda plan, folder: self.actions.download_plan(plan, folder),
                copy=lambda text: self.actions.copy(text),
            ),
            monitoring=MonitoringController(pages.diagnostics, pages.log, service, store),
            preferences=settings,
            preview=PreviewController(self.root, self.theme, service.previews, service.runs.file_path),
            demo=DemoController(pages.download, service.sessions, request, settings),
            closing=ClosingController(
                self.root, service, self.dialogs, stop_all=self._stop_all, before_destroy=self.bridge.stop
            ),
        )

    def _header_callbacks(self) -> HeaderCallbacks:
        """Connect the header. Actions and controllers do not exist yet, so each callback looks them up."""
        return HeaderCallbacks(
            menu=lambda: self.actions.show_menu(),
            help=lambda: self.actions.show_help(),
            settings=lambda: self.actions.show_settings(),
            toggle_theme=lambda: self.actions.switch_theme(),
            language=lambda code: self.controllers.preferences.choose_language(code),
        )

    def _page_callbacks(self) -> TabsCallbacks:
        """Connect the pages. Actions and controllers do not exist yet, so each callback looks them up."""
        runs, sessions, jobs = self.service.runs, self.service.sessions, self.service.jobs
        return TabsCallbacks(
            download=DownloadCallbacks(
                request=RequestCallbacks(
                    changed=lambda fields: self.controllers.request.change(fields),
                    start=lambda: self.actions.start(),
                    choose_folder=lambda: self.actions.choose_folder(),
                    show_missing=lambda: self.controllers.request.show_missing(),
                    show_grid=lambda: self.pages.download.show_grid(),
                    show_subset=lambda: self.pages.download.show_subset(),
                    paste=lambda: self.actions.paste_cds_request(),
                ),
                queue=QueueCallbacks(
                    retry=lambda indices: self.controllers.download.retry(indices),
                    promote=runs.promote,
                    hold=runs.hold,
                    release=runs.release,
                    open_folder=lambda index: self.controllers.download.open_folder_of(index),
                    show_map=lambda index: self.controllers.preview.show_index(index),
                    follow_map=lambda index: self.controllers.preview.follow_index(index),
                    copy=lambda text: self.actions.copy(text),
                    view_changed=lambda grouped, keys: self.store.update(queue_grouped=grouped, queue_keys=keys),
                ),
                totals=TotalsCallbacks(
                    pause=runs.pause,
                    resume=runs.resume,
                    stop=lambda: self.actions.stop(),
                    workers=lambda workers: self.controllers.preferences.set_workers(workers),
                    limit=lambda limit: self.controllers.preferences.set_rate_limit(limit),
                ),
                resized=lambda width: self.store.update(request_width=width),
            ),
            sessions=SessionsCallbacks(
                resume=lambda folder, session_id: self.actions.resume_session(folder, session_id),
                update=lambda folder, session_id: self.actions.update_session(folder, session_id),
                verify=lambda folder, session_id: self.controllers.sessions.verify(folder, session_id),
                stop_verifying=sessions.stop_verifying,
                open_folder=lambda folder: self.controllers.download.open_folder(folder),
                forget=sessions.forget,
                add_folder=lambda: self.actions.open_folder(),
                jobs=JobsCallbacks(
                    run=lambda: self.actions.run_queue(),
                    stop=lambda: self.actions.stop(),
                    move=jobs.move,
                    pause=jobs.pause,
                    resume=jobs.resume,
                    remove=jobs.remove,
                ),
                write_manifest=lambda folder: self.actions.write_manifest(folder),
                cite=lambda folder: self.controllers.archive.cite(folder),
            ),
            archive=ArchiveCallbacks(
                choose_folder=lambda: self.controllers.archive.choose_folder(),
                refresh=lambda: self.controllers.archive.look_again(),
                fetch_gaps=lambda: self.controllers.archive.fetch_gaps(),
                save_csv=lambda: self.controllers.archive.save_csv(),
                write_manifest=lambda: self.controllers.archive.write_manifest(),
                cite=lambda: self.controllers.archive.cite(),
            ),
            diagnostics=DiagnosticsCallbacks(
                lambda: self.controllers.monitoring.test_network(), lambda: self.actions.save_report()
            ),
            log=LogCallbacks(
                lambda: self.controllers.download.open_folder(log_path().parent),
                lambda: self.controllers.monitoring.log.clear(),
            ),
        )

    def _start(self, options: StartupOptions) -> None:
        """Fill in the latest request, and start the timer and the sampling of metrics."""
        do, current = self.controllers, self.store.current
        fields = request_form.from_text(current.selection, current.folder)
        if options.demo:
            fields = demo_fields(current.folder)
            self.service.jobs.use_folder(Path(current.folder).with_name("jobs"))
            do.demo.start(Path(current.folder).with_name("server"), self.service.post)
        do.request.fill(fields)
        self.bridge.start()
        do.monitoring.start()
        self.service.sessions.request_list()
        self.service.jobs.request_list()
        do.preferences.show_server()
        if options.folder is not None:
            do.download.resume_session(options.folder, None)

    # --- while the window is open

    def handle(self, message: Message) -> None:
        """Pass a message from the backend to all controllers."""
        match message:
            case messages.PlanProgressed() | messages.PlanReady() | messages.SessionOpened():
                gc.freeze()  # a collection that looks at a hundred thousand files again blocks the window for 150 ms
        for controller in self.controllers.all:
            controller.handle(message)

    def refresh(self) -> None:
        """Refresh a part of the window, 40 times a second: the Download page at three of four calls."""
        self._refresh_step = (self._refresh_step + 1) % 4
        if self._refresh_step < 3:
            self.controllers.download.refresh()
        else:
            self.controllers.sessions.refresh()
            self.controllers.archive.refresh()
            self.controllers.monitoring.refresh()

    def _retranslate(self) -> None:
        for controller in self.controllers.all:
            controller.retranslate()

    def _report_bug(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """Log an exception of a callback; the window stays open."""
        _log.error("in a handler of the window", exc_info=(kind, error, trace))
        self.controllers.monitoring.log.add(LogLevel.ERROR, redact_secrets(f"{kind.__name__}: {error}"))

    def _stop_all(self) -> None:
        """Save the preferences and stop all activity, before the window closes. Returns at once."""
        self.store.save()
        self.service.close()
        self.controllers.request.close()
        self.controllers.monitoring.close()
        self.controllers.download.close()
        self.controllers.preview.close()
        self.controllers.demo.close()
