"""Private files of the user: created with mode 0600, in folders with mode 0700.

Files and folders of an earlier version that other users can read are restricted when they are written next. A folder
that also has other files (if ERA5DL_STATE_DIR is set to such a folder) keeps its permissions. Nothing is done on
Windows, where other users cannot read a user's folders.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from era5dl.folder.atomic_write import missing_folders

FILE_MODE = 0o600
FOLDER_MODE = 0o700
# all names in our state folders start with one of these
_OWN_PREFIXES = ("sessions.", "jobs.", "window.json", "logs", "era5dl.log")
_MAX_OWN_FILES = 100  # a folder with more entries does not have only our files
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing ancestors for this user only; restrict an existing folder with only our files.

    Raises OSError if a folder cannot be created. If the permissions of an existing folder cannot be changed, that is
    not an error.
    """
    missing = missing_folders(folder)
    for path in missing:
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if os.name == "posix" and not missing:
        with suppress(OSError):
            _restrict_own_folder(folder)


def _restrict_own_folder(folder: Path) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or not status.st_mode & 0o077:
        return
    if _holds_only_own_files(folder):
        folder.chmod(FOLDER_MODE)


def _holds_only_own_files(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= _MAX_OWN_FILES or not entry.name.startswith(_OWN_PREFIXES):
                return False
    return True


def open_private(path: str | os.PathLike[str]) -> int:
    """Return a descriptor for appending to a file that only this user can read; create it if needed. Raises OSError."""
    fd = os.open(path, _APPEND, FILE_MODE)
    restrict_files([path])
    return fd


def restrict_files(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Remove the permissions of other users from these files, if possible. Never raises."""
    if os.name != "posix":
        return
    for path in paths:
        with suppress(OSError):
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
                os.chmod(path, FILE_MODE)  # noqa: PTH101 - a str or a Path
