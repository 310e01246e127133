"""Folders that a power cut does not take away: each new one is entered in the folder above it, and that one synced.

Journalling file systems do this by themselves; the others owe it to nobody, and what is in a lost folder is lost too.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from era5dl.folder.replace import sync_folder


def make_folders(folder: Path) -> None:
    """Make a folder and those above it that are missing. Raises OSError."""
    missing = []
    at = folder
    while not at.is_dir() and at != at.parent:
        missing.append(at)
        at = at.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)  # another thread may need it, too
        try:
            sync_folder(path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                path.rmdir()  # so that the next attempt makes it, and syncs that
            raise
