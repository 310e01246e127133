"""What the operating system says about a disk, in our words. The one place where an OSError of a file becomes ours.

Three kinds, because the engine reacts differently: no room, the folder cannot be used (for both it finds out whether
that is so for this file alone), and this one name or size cannot be a file here (that object fails, the rest goes on).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from era5dl.errors import DiskError, DiskFull, Era5Error, FileTooLarge, FolderUnusable, UnsafeKey
from era5dl.folder.paths import LeadsOut

_NO_ROOM = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NO_HANDLES = {errno.EMFILE, errno.ENFILE}
_BAD_NAME = {  # the fault of one name, not of the folder
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.EILSEQ,
}
_WINDOWS_BAD_NAME = {123, 206}  # ERROR_INVALID_NAME, ERROR_FILENAME_EXCED_RANGE: winerror values


def as_disk_error(exc: OSError, path: str | os.PathLike[str]) -> Era5Error:
    """The error of our tree that says the same as `exc`, which happened while working on `path`."""
    where = exc.filename if isinstance(exc.filename, str) else os.fspath(path)
    what = exc.strerror or type(exc).__name__
    if isinstance(exc, LeadsOut):
        return UnsafeKey(
            f"{where} is a link that leads out of {exc.root}",
            remedy="Remove the link, or download into another folder.",
        )
    if exc.errno in _NO_ROOM:
        return DiskFull(f"no room left on the disk that holds {where} ({what})")
    if exc.errno in _NO_HANDLES:
        return DiskError(
            f"{where}: {what}", remedy="Use fewer workers, or raise the limit of open files (ulimit -n), and go on."
        )
    if exc.errno == errno.EFBIG:
        return FileTooLarge(f"{where} is larger than this disk's file system or your limit takes ({what})")
    if exc.errno in (errno.ENOTDIR, errno.EEXIST):
        return UnsafeKey(
            f"{where} cannot be made: a file exists where a folder is needed, or a folder where a file is ({what})",
            remedy="Move what is in the way, or download into another folder.",
        )
    if exc.errno in _BAD_NAME or getattr(exc, "winerror", None) in _WINDOWS_BAD_NAME:
        return UnsafeKey(f"{where} cannot be a file on this disk ({what})")
    return FolderUnusable(f"{where}: {what}")


class disk_errors:
    """Inside, an OSError leaves as one of the errors above or a plain DiskError; `path` names the place."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            raise as_disk_error(error, self._path) from error


@contextmanager
def folder_errors(folder: str | os.PathLike[str]) -> Iterator[None]:
    """The same for work on the chosen folder itself: there a name that cannot be is the folder's fault, no object's."""
    try:
        with disk_errors(folder):
            yield
    except UnsafeKey as exc:
        raise FolderUnusable(str(exc), remedy=exc.remedy) from exc
