"""Folders that a power cut does not take away: each new one is entered in the folder above it, and that one synced.

Journalling file systems do this by themselves; the others owe it to nobody, and what is in a lost folder is lost too.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from era5dl.folder.atomic_write import sync_folder


def missing_folders(folder: Path) -> list[Path]:
    """A folder and those above it, from the topmost down, as far as they do not exist."""
    missing = []
    at = folder
    while not at.is_dir() and at != at.parent:
        missing.append(at)
        at = at.parent
    return missing[::-1]


def make_folders(folder: Path) -> None:
    """Make a folder and those above it that are missing. Raises OSError."""
    for path in missing_folders(folder):
        path.mkdir(exist_ok=True)  # another thread may need it, too
        try:
            sync_folder(path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                path.rmdir()  # so that the next attempt makes it, and syncs that
            raise
