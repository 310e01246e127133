"""Store of the current preferences, which are saved to disk a second after the last change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from era5dl.gui.backend.tk_bridge import Timer
from era5dl.gui.models import preferences
from era5dl.gui.models.preferences import Preferences

SAVE_DELAY = 1000  # ms from the last change until the preferences are saved


class PreferenceStore:
    """Preferences of one window.

    geometry: returns size and position of the window, which are saved, too. on_disk: False for a demo, which must not
    change the user's saved preferences.
    """

    def __init__(self, initial: Preferences, timer: Timer, geometry: Callable[[], str], *, on_disk: bool) -> None:
        self._current, self._timer, self._geometry, self._on_disk = initial, timer, geometry, on_disk
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
        if self._on_disk:
            preferences.save(dataclasses.replace(self._current, geometry=self._geometry()))
