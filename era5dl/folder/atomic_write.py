"""Files that change all at once or not at all: temp file in the same folder, fsync, os.replace, fsync of the folder.

On Windows a virus scanner or an indexer opens every fresh file for a moment, and a rename fails with "access denied"
or "sharing violation" meanwhile. Those renames are tried again, for ten seconds in all. Elsewhere such an answer is
final, and nothing waits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from era5dl.folder.directory_handles import Place

_PATIENCE = 10.0 if os.name == "nt" else 0.0  # seconds a rename may take
_NOT_DURABLE = {  # a disk or a server that fails; whatever else a folder's sync says: this file system has none
    errno.EIO,
    errno.ENOSPC,
    errno.EROFS,
    errno.ENXIO,
    errno.ENODEV,
    errno.ENOENT,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ETIMEDOUT,
    getattr(errno, "EDQUOT", errno.ENOSPC),
    getattr(errno, "ESTALE", errno.EIO),
    getattr(errno, "EREMOTEIO", errno.EIO),
}
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def replace(source: Path, target: Path) -> None:
    """Give `source` the name `target`, in place of what bore it, so that a power cut leaves one of the two whole.

    The bytes of `source` must be synced already. Raises OSError.
    """
    rename(source, target)
    sync_folder(target.parent)


def rename(source: Path | Place, target: Path | Place) -> None:
    """os.replace with the patience Windows needs; the folder itself is not synced. Raises OSError."""
    here, there = Place.of(source), Place.of(target)
    if here.has_folders and here.same_folder(there):
        _patiently(lambda: here.rename(there.name))
    else:
        _patiently(lambda: os.replace(Path(source), Path(target)))  # noqa: PTH105 - the name everybody knows


def _patiently(act: Callable[[], None]) -> None:
    give_up = time.monotonic() + _PATIENCE
    delay = 0.1
    while True:
        try:
            act()
            return
        except PermissionError:  # noqa: PERF203
            if time.monotonic() + delay > give_up:
                raise
            time.sleep(delay)
            delay = min(2.0, 2 * delay)


def sync_folder(folder: Path | Place) -> None:
    """Make renames in `folder`, or in the folder of a place, survive a power cut, where the system lets us (Windows and
    some shares do not).

    Raises OSError when the disk fails: then nobody knows which name means what after a power cut.
    """
    if os.name == "nt":
        return
    place = folder if isinstance(folder, Place) else Place.of(folder / "_")
    try:
        with place.folder() as at:
            at.sync()
    except OSError as error:
        if error.errno in _NOT_DURABLE:
            raise OSError(error.errno, error.strerror, str(Path(place).parent)) from error


def drop_page_cache(fd: int) -> None:
    """Let the next reading of this file come from the disk, where the system can: what is synced leaves the cache."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def write_temp(target: Path, chunks: Iterable[bytes], mode: int = 0o666) -> Path:
    """Write `chunks` to TARGET.tmp beside `target`, synced; give its path. For one writer at a time per target.
    mode: the rights of the file, less those that the umask takes.

    Never follows a link planted under that name: what is there is unlinked, then created exclusively. Raises OSError;
    then no temp file is left, so that a full disk does not become fuller.
    """
    temp = target.with_name(target.name + ".tmp")
    place = Place.of(temp)
    place.unlink(missing_ok=True)
    fd = place.open(_FLAGS, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    return temp


def write_atomically(target: Path, chunks: Iterable[bytes], mode: int = 0o666) -> None:
    """Put a file with these bytes at `target`: whoever looks sees the old one or the new one. Raises OSError."""
    replace(write_temp(target, chunks, mode), target)
