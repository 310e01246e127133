"""Closing controller: asks for confirmation, stops everything, and destroys the window after the last checkpoint.

It polls instead of joining threads: a join on the Tk thread would block the window, possibly forever.
"""

from __future__ import annotations

import time
import tkinter as tk
from collections.abc import Callable

from era5dl.gui.backend.service import BackendService
from era5dl.gui.controllers import Controller
from era5dl.gui.dialogs.opener import DialogOpener

POLL_INTERVAL = 50  # ms
TIMEOUT = 1.6  # seconds to wait for the checkpoint, so that the window closes within 2


class ClosingController(Controller):
    """stop_all: stops all activity; called once, returns at once. before_destroy: called before the window closes."""

    def __init__(
        self,
        root: tk.Tk,
        service: BackendService,
        dialogs: DialogOpener,
        *,
        stop_all: Callable[[], object],
        before_destroy: Callable[[], object],
    ) -> None:
        self._root, self._service, self._dialogs = root, service, dialogs
        self._stop_all, self._before_destroy = stop_all, before_destroy
        self._closing_since: float | None = None

    def close(self) -> None:
        """Close the window. If a download is in progress, ask first."""
        if self._closing_since is not None or self._dialogs.question is not None:
            return
        if self._service.runs.busy:
            self._dialogs.ask_to_close(self.close_now)
        else:
            self.close_now()

    def close_now(self) -> None:
        """Close the window without asking."""
        self._closing_since = time.monotonic()
        self._stop_all()
        self._root.withdraw()
        self._destroy_when_safe(self._closing_since)

    def _destroy_when_safe(self, since: float) -> None:
        if self._service.safe_to_exit or time.monotonic() - since > TIMEOUT:
            self._before_destroy()
            self._root.destroy()
        else:
            self._root.after(POLL_INTERVAL, lambda: self._destroy_when_safe(since))
