"""Acquires a lock file: with the operating system's file lock (flock) if supported, else by exclusive creation.

`era5dl.locks.lock_file` explains why both are needed, and `era5dl.locks.owner` decides whether a lock is stale. All
functions raise OSError if the disk fails.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import sys
from dataclasses import asdict
from pathlib import Path

from era5dl.errors import SessionBusy
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.paths import LinkLeadsOut
from era5dl.locks.network_locks import are_locks_shared
from era5dl.locks.owner import (
    NO_GRANT,
    STALE_AFTER,
    Grant,
    Owner,
    held_by_this_process,
    held_tokens,
    is_stale,
    read_lock_file,
    read_owner,
)
from era5dl.validation import Malformed

_BEING_WRITTEN = 60.0  # seconds; an unreadable lock file that is newer may still be being written
_ATTEMPTS = 20  # an attempt fails only if another program has changed the file at the same time
_FLAGS = os.O_RDWR
_HELD_BY_OTHERS = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_UNSUPPORTED = {
    errno.ENOSYS,  # Lustre mounted without -o flock
    errno.ENOLCK,  # NFS without its lock daemon
    errno.EINVAL,
    errno.EOPNOTSUPP,
    getattr(errno, "ENOTSUP", errno.EOPNOTSUPP),
}


class LockUnsupported(OSError):
    """This file system does not support the operating system's file locks."""


def acquire(path: Path, token: str, grant: Grant = NO_GRANT) -> tuple[int, Owner]:
    """Acquire the lock, or take it over from a dead owner; return the open lock file and this process as its owner.

    token: identifies this lock in the file. grant: who gave this work to us; an owner with the same grant is dead.
    Raises SessionBusy, which describes the holder.
    """
    os_locks, now = _probe_folder(path)
    attempt = _acquire_with_os_lock if os_locks else _acquire_by_creation
    for _ in range(_ATTEMPTS):
        acquired = attempt(path, now, token, grant)
        if acquired is not None:
            return acquired
    raise SessionBusy(f"several programs are trying to lock {path} at once", remedy="Try again in a moment.")


def try_lock(fd: int) -> bool:
    """Acquire the operating system's lock on an open file; return False if it is held by another owner.

    The system releases the lock when the process ends, even if it is killed. Two open files of one process count as two
    owners. Raises LockUnsupported; OSError if the disk fails.
    """
    try:
        _lock(fd)
    except OSError as exc:
        if exc.errno in _HELD_BY_OTHERS:
            return False
        if exc.errno in _UNSUPPORTED:
            raise LockUnsupported(exc.errno, exc.strerror) from exc
        raise
    return True


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        """Lock one byte far behind the content, since on Windows other programs cannot read a locked byte."""
        os.lseek(fd, 2**30, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        """Use flock: fcntl locks are lost as soon as any other descriptor of the file is closed."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _busy_error(owner: Owner | None) -> SessionBusy:
    """Return an error that describes the holder of the lock, with a remedy."""
    if owner is None:
        return SessionBusy("another program has just started to work on this session", remedy="Let it finish.")
    if held_by_this_process(owner.token) or (owner.same_pid_namespace and owner.pid == os.getpid()):
        return SessionBusy("this program itself is already working on this session", remedy="Close it there first.")
    if owner.same_pid_namespace:
        return SessionBusy(f"{owner} is working on this session", remedy="Let it finish, or stop it first.")
    return SessionBusy(
        f"{owner} is working on this session",
        remedy=f"Let it finish, or stop it there. If that computer is gone, try again in {STALE_AFTER:.0f} seconds.",
    )


def _acquire_with_os_lock(path: Path, now: float, token: str, grant: Grant) -> tuple[int, Owner] | None:
    """Acquire with the operating system's lock. Return None if the file was replaced in the meantime: try again."""
    fd = ConfinedPath.from_path(path).open(_FLAGS | os.O_CREAT)
    try:
        if not try_lock(fd):
            raise _busy_error(read_owner(path))
        if not _is_still_at(path, fd):
            os.close(fd)
            return None
        owner, modified = _read_lock_file(path)
        shared = are_locks_shared(path)
        lost_os_lock = owner is None or _has_lost_os_lock(owner, shared=shared) or grant.supersedes(owner)
        if owner is not None and not lost_os_lock and not is_stale(owner, _heartbeat_age(path, now, modified)):
            raise _busy_error(owner)
        if os.fstat(fd).st_nlink > 1:  # nobody holds it, but writing would change a file in another folder, too
            ConfinedPath.from_path(path).unlink()
            os.close(fd)
            return None
        return fd, _write_owner(fd, Owner.this_process(token, kernel=True, shared=shared, grant=grant))
    except BaseException:
        os.close(fd)
        raise


def _acquire_by_creation(path: Path, now: float, token: str, grant: Grant) -> tuple[int, Owner] | None:
    """Acquire by creating the file exclusively. Return None if it exists and was stale: try again."""
    try:
        fd = ConfinedPath.from_path(path).open(_FLAGS | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        _remove_stale(path, now, grant)
        return None
    try:
        return fd, _write_owner(fd, Owner.this_process(token, kernel=False, grant=grant))
    except BaseException:
        os.close(fd)
        ConfinedPath.from_path(path).unlink(missing_ok=True)
        raise


def _has_lost_os_lock(owner: Owner, *, shared: bool) -> bool:
    """Whether the operating system's lock, which we hold now, shows that its owner is gone.

    It does if the lock is valid for both computers: they are the same one, or both use locks that all computers share.
    """
    return owner.kernel and (owner.same_kernel or (shared and owner.shared)) and owner.token not in held_tokens


def _remove_stale(path: Path, now: float, grant: Grant) -> None:
    """Remove the lock file of a dead owner. Raises SessionBusy if its owner may be alive.

    The file is renamed before it is removed. If it turns out to be another program's new lock, it is linked back.
    """
    try:
        seen, modified = _read_lock_file(path)
        age = _heartbeat_age(path, now, modified)
        is_superseded = seen is not None and grant.supersedes(seen)
        if not is_superseded and (not is_stale(seen, age) if seen is not None else age < _BEING_WRITTEN):
            raise _busy_error(seen)
        renamed = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        if ConfinedPath.from_path(path).is_nested:
            ConfinedPath.from_path(path).rename(renamed.name)
        else:
            os.rename(path, renamed)  # noqa: PTH104
    except FileNotFoundError:
        return  # its owner released it, or another program removed it
    place = ConfinedPath.from_path(renamed)
    if read_owner(renamed) != seen:  # another program took it over after it was read and before it was renamed
        with contextlib.suppress(OSError):
            place.link(path.name)
    place.unlink()


def _read_lock_file(path: Path) -> tuple[Owner | None, float]:
    """Like `read_lock_file`, but return no owner for anything other than a regular file. Raises OSError."""
    try:
        return read_lock_file(path)
    except Malformed:
        return None, ConfinedPath.from_path(path).lstat().st_mtime


def _probe_folder(path: Path) -> tuple[bool, float]:
    """Return whether the operating system's locks work in this folder, and the current time of its file server."""
    probe = path.with_name(f"{path.name}.{secrets.token_hex(4)}.trial")
    try:
        fd = ConfinedPath.from_path(probe).open(_FLAGS | os.O_CREAT | os.O_EXCL)
    except OSError as exc:
        if isinstance(exc, LinkLeadsOut):
            raise
        raise OSError(exc.errno, exc.strerror, str(path)) from exc  # without the random file name
    try:
        os.write(fd, b"?")
        now = os.fstat(fd).st_mtime
        try:
            return try_lock(fd), now
        except LockUnsupported:
            return False, now
    finally:
        os.close(fd)
        ConfinedPath.from_path(probe).unlink(missing_ok=True)


def _write_owner(fd: int, owner: Owner) -> Owner:
    """Write the owner into the lock file, and return it."""
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, json.dumps(asdict(owner)).encode("ascii") + b"\n")
    return owner


def _heartbeat_age(path: Path, now: float, modified: float) -> float:
    """Return the seconds since the last heartbeat.

    A modification time in the future does not come from this file server's clock, and the lock would not become stale
    until that time. So the file is touched once: a living owner keeps the lock, a dead one loses it after STALE_AFTER.
    """
    if modified > now + STALE_AFTER:
        with contextlib.suppress(OSError):
            ConfinedPath.from_path(path).utime()
    return now - modified


def _is_still_at(path: Path, fd: int) -> bool:
    """Return whether `path` is still the open file. Its owner may have deleted it before we acquired the lock."""
    try:
        return os.path.samestat(ConfinedPath.from_path(path).lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False
