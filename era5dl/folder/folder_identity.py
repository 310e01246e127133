"""Detects whether the download folder is still the same, was deleted, moved or replaced, or its disk was unmounted.

An unplugged disk leaves an empty mount point behind, and a download must not continue into that. These cases are
distinguished by the device and inode numbers of the folder and of our subfolder in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from era5dl.errors import DiskAway, FolderVanished

_Identity = tuple[int, int]  # device and inode number


class FolderIdentity:
    """Identity of the download folder at the time when this object is created.

    own: our subfolder in it. is_ours: returns whether the folder that exists now contains this session.
    """

    def __init__(self, folder: Path, own: Path, is_ours: Callable[[], bool]) -> None:
        self._folder, self._own, self._is_ours = folder, own, is_ours
        self._expected, self._own_expected = _identity(folder), _identity(own)

    def check(self) -> None:
        """Raise FolderVanished if the folder was deleted, moved or replaced; DiskAway if its disk is or was missing.

        If only our subfolder was deleted, that is not an error, since it can be created again.
        """
        if self._own_expected is not None and _identity(self._own) == self._own_expected:
            return
        now, expected = _identity(self._folder), self._expected
        if expected is None or now == expected:
            self._own_expected = _identity(self._own)
        elif now is None:
            parent = _identity(self._folder.parent)
            if parent is not None and parent[0] == expected[0]:
                raise FolderVanished(f"the folder {self._folder} has been deleted or moved")
            raise self._disk_away()
        elif not self._is_ours():
            if now[0] == expected[0]:
                raise FolderVanished(f"the folder {self._folder} has been replaced by another folder")
            raise self._disk_away()
        else:
            self._expected, self._own_expected = now, _identity(self._own)
            if now[0] != expected[0]:  # the same device: a file system that assigns new inode numbers each time
                raise DiskAway(f"the disk with the folder {self._folder} was temporarily disconnected")

    def _disk_away(self) -> DiskAway:
        return DiskAway(f"the disk with the folder {self._folder} is not connected")


def _identity(path: Path) -> _Identity | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - fast: called once per object
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
