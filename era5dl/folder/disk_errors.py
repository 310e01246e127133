"""Translates OSErrors of file operations to the errors of `era5dl.errors`. No other module does this.

There are three kinds for the engine: no space left and folder unusable, for which it checks whether only this file is
affected, and a name or size that the file system does not support, for which the object fails and the others continue.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from era5dl.errors import DiskError, DiskFull, Era5Error, FileTooLarge, FolderUnusable, UnsafeKey
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
_WINDOWS_BAD_NAME = {123, 206}  # ERROR_INVALID_NAME, ERROR_FILENAME_EXCED_RANGE: winerror values


def to_disk_error(exc: OSError, path: str | os.PathLike[str]) -> Era5Error:
    """Return the Era5Error for `exc`, which was raised by an operation on `path`."""
    shown = exc.filename if isinstance(exc.filename, str) else os.fspath(path)
    what = exc.strerror or type(exc).__name__
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
    if exc.errno in (errno.ENOTDIR, errno.EEXIST):
        return UnsafeKey(
            f"{shown} cannot be created: a file exists where a folder is needed, or a folder where a file is ({what})",
            remedy="Move that file or folder away, or download into another folder.",
        )
    if exc.errno in _BAD_NAME or getattr(exc, "winerror", None) in _WINDOWS_BAD_NAME:
        return UnsafeKey(f"{shown} is not a possible file name on this disk ({what})")
    return FolderUnusable(f"{shown}: {what}")


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
