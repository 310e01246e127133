"""Demo controller: starts the demo server in the background, and shows its progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from era5dl.gui.backend import messages
from era5dl.gui.backend.demo_server import DemoServerThread
from era5dl.gui.backend.messages import Message
from era5dl.gui.backend.sessions import SessionService
from era5dl.gui.controllers import Controller
from era5dl.gui.controllers.preferences import PreferencesController
from era5dl.gui.controllers.request import RequestController
from era5dl.gui.pages.download import DownloadPage
from era5dl.gui.text.i18n import _
from era5dl.gui.widgets.banner import BannerKind


class DemoController(Controller):
    """Inactive until `start`, which is called if the window was opened with --demo."""

    def __init__(
        self,
        page: DownloadPage,
        sessions: SessionService,
        request: RequestController,
        preferences: PreferencesController,
    ) -> None:
        self._page, self._sessions, self._request, self._preferences = page, sessions, request, preferences
        self._server: DemoServerThread | None = None

    def start(self, folder: Path, post: Callable[[Message], None]) -> None:
        """Create the demo files in this folder, unless they exist, and serve them."""
        self._request.set_preparing(True)
        self._server = DemoServerThread(folder, post)
        self._server.start()

    def close(self) -> None:
        if self._server is not None:
            self._server.stop()

    def handle(self, message: Message) -> None:
        match message:
            case messages.DemoProgressed():
                text = _("Creating the demo files: {done} of {total}", done=message.done, total=message.total)
                self._page.banner.show(BannerKind.INFO, text)
            case messages.DemoReady():
                self._preferences.use_demo_server(message.endpoint_url, message.bucket)
                self._page.banner.hide(at_once=True)
                self._request.set_preparing(False)
                self._sessions.request_list()
            case messages.DemoFailed():
                self._page.banner.show(BannerKind.DANGER, f"{message.error.detail} {message.error.remedy}")
            case _:
                return
