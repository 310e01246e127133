"""Detects whether the download folder is still the same one: deleted, moved, replaced, or its disk unmounted.

A disk that was unplugged leaves an empty mount point behind, and a download must not go on into that. The device and
the number of our own folder in it tell them apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from era5dl.errors import DiskAway, FolderVanished

_Identity = tuple[int, int]  # device and number


class Presence:
    """The chosen folder as it was found when this was made.

    own: our own folder in it. is_ours: whether what is found there now holds this session.
    """

    def __init__(self, folder: Path, own: Path, is_ours: Callable[[], bool]) -> None:
        self._folder, self._own, self._is_ours = folder, own, is_ours
        self._folder_was, self._own_was = _identity(folder), _identity(own)

    def check(self) -> None:
        """Raise FolderVanished when the folder was deleted, moved or exchanged, DiskAway when its disk is away or was.

        That our own folder was deleted from the same folder is no reason: it can be made again.
        """
        if self._own_was is not None and _identity(self._own) == self._own_was:
            return
        now, was = _identity(self._folder), self._folder_was
        if was is None or now == was:
            self._own_was = _identity(self._own)
        elif now is None:
            above = _identity(self._folder.parent)
            raise self._vanished() if above is not None and above[0] == was[0] else self._away()
        elif not self._is_ours():
            raise self._exchanged() if now[0] == was[0] else self._away()
        else:
            self._folder_was, self._own_was = now, _identity(self._own)
            if now[0] != was[0]:  # else a file system that gives a folder another number each time
                raise DiskAway(f"the disk that holds the folder {self._folder} was away")

    def _vanished(self) -> FolderVanished:
        return FolderVanished(f"the folder {self._folder} has vanished")

    def _exchanged(self) -> FolderVanished:
        return FolderVanished(f"another folder has taken the place of {self._folder}")

    def _away(self) -> DiskAway:
        return DiskAway(f"the disk that holds the folder {self._folder} is away")


def _identity(path: Path) -> _Identity | None:
    try:
        now = os.stat(path)  # noqa: PTH116 - once an object, for thousands of them
    except (OSError, ValueError):
        return None
    return now.st_dev, now.st_ino
