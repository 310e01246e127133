"""The preferences as they are now, and their way to the disk."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from era5dl.gui.models import preferences
from era5dl.gui.models.preferences import GEOMETRY, Preferences

DELAY = 1000  # ms from the last change to the disk
_GRIP = 50  # pixels of a window that must be on the screen, for it to be moved


@dataclass(frozen=True, slots=True)
class Screen:
    """The area that windows can be seen in, in pixels; of several monitors what they span together."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, root: tk.Misc) -> Screen:
        """Where `root` is shown."""
        return cls(root.winfo_vrootx(), root.winfo_vrooty(), root.winfo_vrootwidth(), root.winfo_vrootheight())

    def fit(self, geometry: str) -> str:
        """A remembered place as Tk takes it: not larger than the screen, which may be another one now, and without the
        position where the window could not be taken hold of. "" for what is no place: a wild size ends the program,
        since the X server has no memory for it."""
        found = GEOMETRY.fullmatch(geometry)
        if found is None:
            return ""
        wide, high = min(int(found[1]), self.width), min(int(found[2]), self.height)
        size = f"{wide}x{high}"
        if found[3] is None:
            return size
        x, y = int(found[3].removeprefix("+")), int(found[4].removeprefix("+"))
        seen = self.left - wide + _GRIP <= x <= self.left + self.width - _GRIP
        seen = seen and self.top - _GRIP <= y <= self.top + self.height - _GRIP
        return f"{size}+{x}+{y}" if seen else size


class PreferenceStore:
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
        place = Screen.of(root).fit(self.now.geometry)
        if place:
            root.geometry(place)

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
