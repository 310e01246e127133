"""Sessions controller: the list of sessions, their verification, and the user's consent to their servers."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from era5dl.engine.events import State
from era5dl.engine.verify_files import FileCondition
from era5dl.errors import UsageError
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import Message
from era5dl.gui.backend.service import BackendService
from era5dl.gui.backend.sessions import VERIFYING
from era5dl.gui.controllers import Controller
from era5dl.gui.controllers.download import DownloadController
from era5dl.gui.dialogs.opener import DialogOpener
from era5dl.gui.models import sessions
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.pages.sessions import SessionsPage
from era5dl.gui.text import error_text
from era5dl.gui.text.i18n import _
from era5dl.gui.widgets.banner import BannerKind
from era5dl.session.summary import SessionSummary

LIST_INTERVAL = 2.0  # seconds between two updates of the list while the page is visible

_log = logging.getLogger("era5dl")


class SessionsController(Controller):
    """download: resumes and updates sessions. show_download: shows the Download page."""

    def __init__(
        self,
        page: SessionsPage,
        service: BackendService,
        store: PreferenceStore,
        dialogs: DialogOpener,
        download: DownloadController,
        show_download: Callable[[], object] = lambda: None,
    ) -> None:
        self._page, self._service, self._store = page, service, store
        self._dialogs, self._download, self._show_download = dialogs, download, show_download
        self._sessions: tuple[SessionSummary, ...] = ()
        self._running: tuple[str, Path] | None = None
        self._next_list = 0.0

    # --- actions

    def verify(self, folder: Path, session_id: str) -> None:
        """Verify the files of a session."""
        try:
            self._service.sessions.verify(folder, session_id, self._store.current.to_settings())
        except UsageError as error:
            self._page.show_message(error_text.explain(error).sentence)

    def update(self, folder: Path, session_id: str) -> None:
        """Fetch what has appeared in the bucket since a session ended."""
        if self._service.busy:
            self._page.show_message(_("A download is in progress."), BannerKind.INFO)
            return
        try:
            settings = self._store.current.to_settings()
        except UsageError as error:
            self._page.show_message(error_text.explain(error).sentence)
            return
        self._page.show_message(_("Looking for new files…"), BannerKind.INFO)
        self._service.sessions.look_for_update(folder, session_id, settings)

    # --- messages

    def handle(self, message: Message) -> None:
        match message:
            case messages.SessionsListed():
                self._sessions = message.sessions
                self._show()
            case messages.VerifyProgressed():
                self._page.show_verifying(message.done, message.total)
            case messages.VerifyFinished():
                count = Counter(one.condition for one in message.examined)
                verified, checked = count[FileCondition.VERIFIED], count[FileCondition.CHECKED]
                parts = count[FileCondition.CHECKED_PART]
                self._page.show_verified(verified, checked, count.total() - verified - checked - parts, parts)
                self._service.sessions.request_list()
            case messages.VerifyFailed():
                self._page.show_message(error_text.explain(message.error.kind).text, BannerKind.WARNING)
            case messages.TaskCrashed() if message.task == VERIFYING:
                self._page.show_message(
                    f"{error_text.explain(message.error.kind).text}\n({message.error.detail})", BannerKind.DANGER
                )
            case messages.UpdateFound():
                self._update_found(message)
            case messages.UpdateFailed():
                self._page.show_message(error_text.explain(message.error.kind).text)
            case messages.SessionForgotten():
                if message.error is not None:
                    self._page.show_message(error_text.explain(message.error.kind).text)
                self._service.sessions.request_list()
            case messages.SessionOpened():
                self._running = (message.session_id, message.folder)
                self._service.sessions.request_list()
            case messages.RunFinished():
                self._running = None
                self._service.sessions.request_list()
            case messages.ConsentRequired():
                self._dialogs.ask_for_server(message.address, lambda: self._trust(message))
            case _:
                return

    def refresh(self) -> None:
        """Update the lists regularly while the page is visible: other programs change sessions and jobs, too."""
        now = time.monotonic()
        if now >= self._next_list and self._page.winfo_viewable():
            self._next_list = now + LIST_INTERVAL
            self._service.sessions.request_list()
            self._service.jobs.request_list()

    def retranslate(self) -> None:
        self._show()

    # --- inside

    def _show(self) -> None:
        """Show the list, including the state of the run in this window."""
        snapshot = self._service.runs.snapshot()
        running: dict[tuple[str, Path], State] = {}
        if self._running is not None and snapshot is not None:
            running[self._running] = snapshot.state
        self._page.show(sessions.rows(self._sessions, running))

    def _update_found(self, found: messages.UpdateFound) -> None:
        """Download what is new. Ask before files are replaced by new versions."""
        if found.replaced:
            self._page.hide_message()
            self._dialogs.ask_for_replaced(
                found.replaced,
                on_yes=lambda: self._fetch_update(found, take_replaced=True),
                on_no=lambda: self._fetch_update(found, take_replaced=False),
            )
        else:
            self._fetch_update(found, take_replaced=False)

    def _fetch_update(self, found: messages.UpdateFound, *, take_replaced: bool) -> None:
        plan = found.take if take_replaced else found.keep
        if plan is None:
            text = _("There are no new files on the server.")
            if found.newest is not None:
                text += " " + _("The newest day there is {date}.", date=found.newest)
            self._page.show_message(text, BannerKind.OK)
            return
        self._page.hide_message()
        settings = replace(found.settings, verify=found.settings.verify or take_replaced)
        self._show_download()
        self._download.start_update(plan, found.folder, settings)

    def _trust(self, request: messages.ConsentRequired) -> None:
        """Remember the user's consent to a server, and resume or verify the session that needs it."""
        _log.info("the user allows the server %s of a session", request.address)
        self._service.trust_server(request.address)
        if request.updating:
            self.update(request.folder, request.session_id)
        elif request.verifying:
            self.verify(request.folder, request.session_id)
        else:
            self._download.resume_session(request.folder, request.session_id)
