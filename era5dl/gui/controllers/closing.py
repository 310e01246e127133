"""How the window closes: by asking, never by joining. It waits for the checkpoint, but not for ever."""

from __future__ import annotations

import time
import tkinter as tk
from collections.abc import Callable

from era5dl.gui.backend.service import BackendService
from era5dl.gui.controllers.dialogs import Dialogs

POLL = 50  # ms between two looks whether everything is saved
PATIENCE = 1.6  # seconds; the window is gone within 2


class ClosingController:
    """let_go: called once, ends all that goes on, and returns at once. last: called just before the window goes."""

    def __init__(
        self,
        root: tk.Tk,
        service: BackendService,
        dialogs: Dialogs,
        let_go: Callable[[], object],
        last: Callable[[], object],
    ) -> None:
        self._root, self._service, self._dialogs = root, service, dialogs
        self._let_go, self._last = let_go, last
        self._since: float | None = None

    def close(self) -> None:
        """Ask once while something is being downloaded; then stop, wait for the checkpoint, and go."""
        if self._since is not None or self._dialogs.question is not None:
            return
        if self._service.occupied:
            self._dialogs.ask_to_close(self.end)
        else:
            self.end()

    def end(self) -> None:
        """Without a question."""
        self._since = time.monotonic()
        self._let_go()
        self._root.withdraw()
        self._wait_for_rest(self._since)

    def _wait_for_rest(self, since: float) -> None:
        """Never a join: a look every now and then."""
        if self._service.at_rest or time.monotonic() - since > PATIENCE:
            self._last()
            self._root.destroy()
        else:
            self._root.after(POLL, lambda: self._wait_for_rest(since))
