"""Store of the current preferences, which are saved to disk a second after the last change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from era5dl.folder.atomic_write import write_atomically
from era5dl.gui.backend.tk_bridge import Timer
from era5dl.gui.models import preferences
from era5dl.gui.models.preferences import Preferences

SAVE_DELAY = 1000  # ms from the last change until the preferences are saved


class PreferenceStore:
    """Preferences of one window.

    geometry: returns size and position of the window, which are saved, too. request_file: for a demo, which must not
    change the user's saved preferences; only the request is saved, into this file.
    """

    def __init__(
        self, initial: Preferences, timer: Timer, geometry: Callable[[], str], *, request_file: Path | None = None
    ) -> None:
        self._current, self._timer, self._geometry, self._request_file = initial, timer, geometry, request_file
        self._scheduled: str | None = None

    @property
    def current(self) -> Preferences:
        return self._current

    def update(self, **changes: Any) -> None:
        """Change these fields of `Preferences`, and save."""
        self.replace(dataclasses.replace(self._current, **changes))

    def replace(self, changed: Preferences) -> None:
        """Replace the preferences, and save them."""
        self._current = changed
        if self._scheduled is not None:
            self._timer.after_cancel(self._scheduled)
        self._scheduled = self._timer.after(SAVE_DELAY, self.save)

    def override(self, **changes: Any) -> None:
        """Change these fields without saving."""
        self._current = dataclasses.replace(self._current, **changes)

    def save(self) -> None:
        """Save at once."""
        if self._scheduled is not None:
            self._timer.after_cancel(self._scheduled)
            self._scheduled = None
        if self._request_file is not None:
            with suppress(OSError):  # as the preferences, which are not saved either if the disk is full
                write_atomically(self._request_file, [self._current.selection.encode("utf-8", "replace")])
        else:
            preferences.save(dataclasses.replace(self._current, geometry=self._geometry()))
