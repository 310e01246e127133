"""User actions: one method for each menu item, each keyboard shortcut, and each command that several pages share."""

from __future__ import annotations

import threading
import tkinter as tk
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from era5dl import thread_registry
from era5dl.errors import OutOfThreads
from era5dl.gui.backend.service import BackendService
from era5dl.gui.controllers import Controller
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
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.pages.header import Header
from era5dl.gui.pages.tabs import Tabs
from era5dl.planner.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Controllers:
    """All controllers of the window."""

    request: RequestController
    cds_request: CdsRequestController
    download: DownloadController
    jobs: JobsController
    sessions: SessionsController
    archive: ArchiveController
    monitoring: MonitoringController
    preferences: PreferencesController
    demo: DemoController
    preview: PreviewController
    closing: ClosingController

    @property
    def all(self) -> tuple[Controller, ...]:
        """All controllers, in the order in which they receive messages."""
        return (
            self.request,
            self.cds_request,
            self.download,
            self.jobs,
            self.sessions,
            self.archive,
            self.monitoring,
            self.preferences,
            self.demo,
            self.preview,
            self.closing,
        )


class Actions:
    """Executes the actions. Each method without arguments is the action of the same name in `menus.MENUS`."""

    def __init__(
        self,
        root: tk.Tk,
        header: Header,
        pages: Tabs,
        controllers: Controllers,
        *,
        service: BackendService,
        store: PreferenceStore,
        dialogs: DialogOpener,
    ) -> None:
        self._root, self._header, self._pages, self._do = root, header, pages, controllers
        self._service, self._store, self._dialogs = service, store, dialogs

    # --- download

    def start(self) -> None:
        """Start the planned download; while one is in progress, add it to the queue."""
        self.show_download()
        if self._service.busy:
            self._do.jobs.add()
        else:
            self._do.download.start()

    def add_to_queue(self) -> None:
        self.show_download()
        self._do.jobs.add()

    def run_queue(self) -> None:
        self._do.jobs.run()

    def stop(self) -> None:
        """Stop the download in progress, and run no further job of the queue."""
        self._service.jobs.stop()
        self._service.runs.stop()

    def pause_or_resume(self) -> None:
        self._do.download.pause_or_resume()

    def retry_all(self) -> None:
        self._do.download.retry()

    def hold_or_release(self) -> None:
        self._pages.download.queue.hold_or_release()

    def open_folder(self) -> None:
        """Resume the session in a folder that the user chooses."""
        chosen = self._dialogs.choose_session_folder(self._store.current.folder)
        if chosen:
            self.resume_session(Path(chosen), None)

    def resume_session(self, folder: Path, session_id: str | None) -> None:
        self.show_download()
        self._do.download.resume_session(folder, session_id)

    def download_plan(self, plan: Plan, folder: Path) -> None:
        """Download a plan that was made on another page than the Download page."""
        self.show_download()
        self._do.download.start_plan(plan, folder)

    def write_manifest(self, folder: Path) -> None:
        """Write the manifest of a folder; the Archive page reports it."""
        self._do.archive.look_at(folder)
        self.show_archive()
        self._do.archive.write_manifest(folder)

    def choose_folder(self) -> None:
        """Choose the folder of the next download."""
        chosen = self._dialogs.choose_folder(self._do.request.fields.folder)
        if chosen:
            self._pages.download.request.set_folder(chosen)

    # --- view

    def show_download(self) -> None:
        self._pages.show_page(self._pages.download)

    def update_session(self, folder: Path, session_id: str) -> None:
        self._do.sessions.update(folder, session_id)

    def show_sessions(self) -> None:
        self._service.sessions.request_list()
        self._pages.show_page(self._pages.sessions)

    def show_archive(self) -> None:
        self._pages.show_page(self._pages.archive)

    def show_diagnostics(self) -> None:
        self._pages.show_page(self._pages.diagnostics)

    def show_log(self) -> None:
        self._pages.show_page(self._pages.log)

    def search(self) -> None:
        """Focus the search field of the visible page; on the Download page the variables' first, then the files'."""
        visible = self._pages.visible
        if visible is self._pages.log:
            self._pages.log.search.focus_set()
        elif visible is self._pages.download:
            self._pages.download.search(again=self._service.runs.busy)

    def switch_theme(self) -> None:
        self._do.preferences.switch_theme()

    # --- dialogs

    def show_menu(self) -> None:
        self._header.pop_up(self)

    def show_help(self) -> None:
        self._dialogs.show_help(self._do.request.fields.folder)

    def show_settings(self) -> None:
        self._dialogs.show_settings(self._store.current, self._do.preferences.apply)

    def paste_cds_request(self) -> None:
        """Fill in the request from a script for the Climate Data Store."""
        self.show_download()
        self._do.cds_request.open()

    def save_report(self) -> None:
        """Ask for a file and write the support report to it."""
        from era5dl.gui.models.report_vocabulary import vocabulary

        with suppress(OutOfThreads):  # computing the vocabulary takes half a second: do it while the user chooses
            thread_registry.start_thread(threading.Thread(target=vocabulary, name="era5dl-words", daemon=True))
        name = self._dialogs.choose_report()
        if name:
            self._do.monitoring.save_report(Path(name))

    # --- other actions

    def copy(self, text: str) -> None:
        """Copy a text to the clipboard."""
        self._root.clipboard_clear()
        self._root.clipboard_append(text)

    def close(self) -> None:
        self._do.closing.close()
