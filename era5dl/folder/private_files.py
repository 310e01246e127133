"""Private files of the user: mode 0600, in folders of mode 0700.

What an earlier version left open to others is closed when it is next written. A folder that holds other things as
well (somebody set ERA5DL_STATE_DIR to a folder of their own) keeps the rights it has. Windows needs none of this: a
user's folders are closed to others there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from era5dl.folder.make_folders import missing_folders

FILE = 0o600
FOLDER = 0o700
_OURS = ("sessions.", "window.json", "logs", "era5dl.log")  # how the names of what we keep begin
_MOST_NAMES = 100  # in such a folder; whoever has more keeps something else there
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone; close one that is ours. Raises OSError.

    Where the rights of an existing folder cannot be changed it is used as it is.
    """
    missing = missing_folders(folder)
    for path in missing:
        path.mkdir(mode=FOLDER, exist_ok=True)
    if os.name == "posix" and not missing:
        with suppress(OSError):
            _close(folder)


def _close(folder: Path) -> None:
    now = folder.lstat()
    if not stat.S_ISDIR(now.st_mode) or now.st_uid != os.geteuid() or not now.st_mode & 0o077:
        return
    if _holds_only_ours(folder):
        folder.chmod(FOLDER)


def _holds_only_ours(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= _MOST_NAMES or not entry.name.startswith(_OURS):
                return False
    return True


def open_private(path: str | os.PathLike[str]) -> int:
    """A descriptor that appends to a file of this user alone, which is made where there is none. Raises OSError."""
    fd = os.open(path, _FLAGS, FILE)
    close_files([path])
    return fd


def close_files(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Take the rights of others off these files, where they exist and are this user's. Raises nothing."""
    if os.name != "posix":
        return
    for path in paths:
        with suppress(OSError):
            now = os.lstat(path)
            if stat.S_ISREG(now.st_mode) and now.st_mode & 0o077:
                os.chmod(path, FILE)  # noqa: PTH101 - a str or a Path
