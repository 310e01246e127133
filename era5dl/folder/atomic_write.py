"""Atomic, durable file writes: temporary file in the same folder, fsync, os.replace, fsync of the folder.

On Windows a virus scanner or an indexer may briefly open every new file, and renaming it then fails with "access
denied" or "sharing violation". Such renames are retried for up to ten seconds. On other systems the cause of this error
is permanent, so it is raised at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from era5dl.folder.confined_path import ConfinedPath

_RETRY_SECONDS = 10.0 if os.name == "nt" else 0.0  # how long a rename is retried
_SYNC_FAILURES = {  # disk or server errors; any other error means that this file system cannot sync folders
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
_EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def replace(source: Path, target: Path) -> None:
    """Replace `target` by `source` durably: after a power cut `target` is either the old or the new file, complete.

    The content of `source` must already be synced. Raises OSError.
    """
    rename(source, target)
    sync_folder(target.parent)


def rename(source: Path | ConfinedPath, target: Path | ConfinedPath) -> None:
    """Rename like os.replace, with retries on Windows. Does not sync the folder. Raises OSError."""
    old, new = ConfinedPath.from_path(source), ConfinedPath.from_path(target)
    if old.is_nested and old.same_folder(new):
        _retry_while_denied(lambda: old.rename(new.name))
    else:
        _retry_while_denied(lambda: os.replace(Path(source), Path(target)))  # noqa: PTH105 - the well-known name


def _retry_while_denied(act: Callable[[], None]) -> None:
    deadline = time.monotonic() + _RETRY_SECONDS
    delay = 0.1
    while True:
        try:
            act()
            return
        except PermissionError:  # noqa: PERF203
            if time.monotonic() + delay > deadline:
                raise
            time.sleep(delay)
            delay = min(2.0, 2 * delay)


def sync_folder(folder: Path | ConfinedPath) -> None:
    """Make renames in `folder`, or in the folder of a ConfinedPath, durable.

    Does nothing if the system does not support that (Windows and some network shares). Raises OSError if the disk
    fails; then a power cut may undo renames.
    """
    if os.name == "nt":
        return
    path = folder if isinstance(folder, ConfinedPath) else ConfinedPath.from_path(folder / "_")
    try:
        with path.open_folder() as handle:
            handle.sync()
    except OSError as error:
        if error.errno in _SYNC_FAILURES:
            raise OSError(error.errno, error.strerror, str(Path(path).parent)) from error


def drop_page_cache(fd: int) -> None:
    """Drop the synced pages of this file from the page cache, so that the next read is from the disk. Does nothing if
    the system does not support that."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def write_temp(target: Path, chunks: Iterable[bytes], mode: int = 0o666) -> Path:
    """Write `chunks` to the file TARGET.tmp, sync it, and return its path. Only one thread may do so per target.

    mode: file permissions before the umask is applied. An existing file is deleted and the new one created exclusively,
    so that nothing is written through a symbolic link with this name. Raises OSError; then the temporary file has been
    deleted, because the disk may be full.
    """
    temp = target.with_name(target.name + ".tmp")
    path = ConfinedPath.from_path(temp)
    path.unlink(missing_ok=True)
    fd = path.open(_EXCLUSIVE, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return temp


def write_atomically(target: Path, chunks: Iterable[bytes], mode: int = 0o666) -> None:
    """Write a file so that readers see either the old or the new content, never a mixture. Raises OSError."""
    replace(write_temp(target, chunks, mode), target)


def missing_folders(folder: Path) -> list[Path]:
    """Return those of `folder` and its ancestors that do not exist, topmost first."""
    missing = []
    path = folder
    while not path.is_dir() and path != path.parent:
        missing.append(path)
        path = path.parent
    return missing[::-1]


def make_folders(folder: Path) -> None:
    """Create a folder and its missing ancestors, and sync the parent of each new one. Raises OSError.

    Some file systems do not make new folders durable by themselves. There a power cut could remove the folder together
    with the files in it.
    """
    for path in missing_folders(folder):
        path.mkdir(exist_ok=True)  # another thread may create it at the same time
        try:
            sync_folder(path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                path.rmdir()  # so that the next attempt creates it again and syncs
            raise
