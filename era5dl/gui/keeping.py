"""The preferences as they are now, and their way to the disk."""

from __future__ import annotations

import logging
import tkinter as tk
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from era5dl.gui import preferences
from era5dl.gui.preferences import Preferences

DELAY = 1000  # ms from the last change to the disk
_log = logging.getLogger("era5dl")


class Keeping:
    """One for the life of the window. on_disk: False for a demo, which leaves no trace in what a person has set."""

    def __init__(self, root: tk.Tk, first: Preferences, *, on_disk: bool) -> None:
        self._root, self._on_disk = root, on_disk
        self._armed: str | None = None
        self.now = first

    def place_window(self, px: Callable[[float], int]) -> None:
        """Where it was, or as large as is good; px: from our units to pixels."""
        root = self._root
        wide, high = root.winfo_screenwidth(), root.winfo_screenheight()
        root.minsize(min(px(960), wide), min(px(640), high))
        root.geometry(f"{min(px(1280), wide)}x{min(px(820), high)}")
        if self.now.geometry:
            try:
                root.geometry(self.now.geometry)
            except tk.TclError:
                _log.warning("the place of the window is not understood")

    def change(self, **changes: Any) -> None:
        """Other values of these fields of `Preferences`."""
        self.take(replace(self.now, **changes))

    def take(self, changed: Preferences) -> None:
        """These from now on; written a second after the last change."""
        self.now = changed
        if self._armed is not None:
            self._root.after_cancel(self._armed)
        self._armed = self._root.after(DELAY, self.save)

    def save(self) -> None:
        """Write them at once, with the place of the window."""
        if self._armed is not None:
            self._root.after_cancel(self._armed)
            self._armed = None
        if self._on_disk:
            preferences.save(replace(self.now, geometry=self._root.geometry()))
