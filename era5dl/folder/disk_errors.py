"""Translates OSErrors of file operations to the errors of `era5dl.errors`. No other module does this.

There are three kinds for the engine: no space left and folder unusable, for which it checks whether only this file is
affected, and a name or size that the file system does not support, for which the object fails and the others continue.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from era5dl.errors import DiskError, DiskFull, Era5Error, FileInUse, FileTooLarge, FolderUnusable, UnsafeKey
from era5dl.folder.paths import LinkLeadsOut

_NO_SPACE = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_TOO_MANY_OPEN_FILES = {errno.EMFILE, errno.ENFILE}
_BAD_NAME = {  # caused by one name, not by the folder
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.EILSEQ,
}
# winerror values
_WINDOWS_BAD_NAME = {123, 206}  # ERROR_INVALID_NAME, ERROR_FILENAME_EXCED_RANGE
_WINDOWS_IN_USE = {32, 33}  # ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION
_WINDOWS_ACCESS_DENIED = 5


def to_disk_error(exc: OSError, path: str | os.PathLike[str]) -> Era5Error:
    """Return the Era5Error for `exc`, which was raised by an operation on `path`."""
    shown = exc.filename if isinstance(exc.filename, str) else os.fspath(path)
    what = exc.strerror or type(exc).__name__
    winerror = getattr(exc, "winerror", None)
    if isinstance(exc, LinkLeadsOut):
        return UnsafeKey(
            f"{shown} is a link that leads out of {exc.root}",
            remedy="Remove the link, or download into another folder.",
        )
    if exc.errno in _NO_SPACE:
        return DiskFull(f"no space left on the disk that holds {shown} ({what})")
    if exc.errno in _TOO_MANY_OPEN_FILES:
        return DiskError(
            f"{shown}: {what}",
            remedy="Use fewer workers, or raise the limit of open files (ulimit -n), then resume.",
        )
    if exc.errno == errno.EFBIG:
        return FileTooLarge(f"{shown} exceeds the maximum file size of this file system or your limit ({what})")
    if winerror in _WINDOWS_IN_USE or (winerror == _WINDOWS_ACCESS_DENIED and _replaces(exc, os.path.isfile)):
        return FileInUse(f"another program has {exc.filename2 or shown} open, or it is write-protected ({what})")
    if exc.errno in (errno.ENOTDIR, errno.EEXIST) or (
        winerror == _WINDOWS_ACCESS_DENIED and _replaces(exc, os.path.isdir)
    ):
        return UnsafeKey(
            f"{shown} cannot be created: a file exists where a folder is needed, or a folder where a file is ({what})",
            remedy="Move that file or folder away, or download into another folder.",
        )
    if exc.errno in _BAD_NAME or winerror in _WINDOWS_BAD_NAME:
        return UnsafeKey(f"{shown} is not a possible file name on this disk ({what})")
    return FolderUnusable(f"{shown}: {what}")


def _replaces(exc: OSError, is_kind: Callable[[str], bool]) -> bool:
    """Whether `exc` was raised by a rename to a path at which there is a file or folder of this kind."""
    return isinstance(exc.filename2, str) and is_kind(exc.filename2)


class translate_disk_errors:
    """Context manager: converts an OSError of the block with `to_disk_error`.

    path: the file or folder that the block uses, for errors without a path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            raise to_disk_error(error, self._path) from error


@contextmanager
def translate_folder_errors(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Context manager: like `translate_disk_errors`, for operations on the download folder itself.

    An UnsafeKey is converted to FolderUnusable, because it does not concern a single object.
    """
    try:
        with translate_disk_errors(folder):
            yield
    except UnsafeKey as exc:
        raise FolderUnusable(str(exc), remedy=exc.remedy) from exc
