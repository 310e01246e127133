"""Acquires a lock file: with the operating system's lock (flock) where there is one, else by exclusive creation.

`era5dl.locks.lock_file` explains why there are both. Every function raises OSError when the disk fails.
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
from era5dl.locks.owner import STALE_AFTER, Owner, read_lock_file, read_owner
from era5dl.validation import Malformed

_BEING_WRITTEN = 60.0  # seconds for which an unreadable lock file may be one that is just being written
_ATTEMPTS = 20  # an attempt fails only when another program made progress
_FLAGS = os.O_RDWR
_HELD_BY_OTHERS = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_UNSUPPORTED = {
    errno.ENOSYS,  # Lustre mounted without -o flock
    errno.ENOLCK,  # NFS without its lock daemon
    errno.EINVAL,
    errno.EOPNOTSUPP,
    getattr(errno, "ENOTSUP", errno.EOPNOTSUPP),
}
held_tokens: set[str] = set()  # tokens of the locks that this process holds


class LockUnsupported(OSError):
    """This file system does not support the operating system's file locks."""


def acquire(path: Path, token: str) -> tuple[int, Owner]:
    """Acquire the lock, from a dead owner too; return the open lock file and this process as its owner.

    token: identifies this lock; it is written into the file. Raises SessionBusy, which names the holder.
    """
    os_locks, now = _probe_folder(path)
    attempt = _acquire_with_os_lock if os_locks else _acquire_by_creation
    for _ in range(_ATTEMPTS):
        acquired = attempt(path, now, token)
        if acquired is not None:
            return acquired
    raise SessionBusy(f"several programs are trying to lock {path} at once", remedy="Try again in a moment.")


def held_by_this_process(token: str) -> bool:
    """Return whether this process holds the lock of that token."""
    return token in held_tokens


def is_stale(owner: Owner, age: float) -> bool:
    """Return whether a lock may be taken over from `owner`: its process is dead, or its heartbeat stopped.

    age: seconds since the last heartbeat; it decides only where the process cannot be examined.
    """
    if owner.token in held_tokens or owner.is_running:
        return False
    return owner.is_dead or age >= STALE_AFTER


def try_lock(fd: int) -> bool:
    """Take the operating system's lock on an open file; return False when somebody else has it.

    The system drops the lock by itself when the process ends, in whatever way. Two open files of one process count as
    two owners. Raises LockUnsupported; OSError when the disk fails.
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
        """Lock one byte far behind the text, since on Windows nobody else can read a locked byte."""
        os.lseek(fd, 2**30, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        """Use flock: fcntl locks are lost as soon as any other descriptor of the file is closed."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _busy_error(owner: Owner | None) -> SessionBusy:
    """Return the error that names the holder of the lock and says what can be done."""
    if owner is None:
        return SessionBusy("another program has just begun to work on this session", remedy="Let it finish.")
    if held_by_this_process(owner.token) or (owner.same_pid_namespace and owner.pid == os.getpid()):
        return SessionBusy("this program itself is already working on this session", remedy="Close it there first.")
    if owner.same_pid_namespace:
        return SessionBusy(f"{owner} is working on this session", remedy="Let it finish, or stop it first.")
    return SessionBusy(
        f"{owner} is working on this session",
        remedy=f"Let it finish, or stop it there. If that computer is gone, try again in {STALE_AFTER:.0f} seconds.",
    )


def _acquire_with_os_lock(path: Path, now: float, token: str) -> tuple[int, Owner] | None:
    """Acquire with the operating system's lock. Returns None when the file was replaced meanwhile: try again."""
    fd = ConfinedPath.from_path(path).open(_FLAGS | os.O_CREAT)
    try:
        if not try_lock(fd):
            raise _busy_error(read_owner(path))
        if not _is_still_at(path, fd):
            os.close(fd)
            return None
        owner, modified = _read_lock_file(path)
        lost_os_lock = owner is None or (owner.kernel and owner.same_kernel and owner.token not in held_tokens)
        if owner is not None and not lost_os_lock and not is_stale(owner, _heartbeat_age(path, now, modified)):
            raise _busy_error(owner)
        if os.fstat(fd).st_nlink > 1:  # nobody holds it, but writing to it would change a file somewhere else
            ConfinedPath.from_path(path).unlink()
            os.close(fd)
            return None
        return fd, _write_owner(fd, token, kernel=True)
    except BaseException:
        os.close(fd)
        raise


def _acquire_by_creation(path: Path, now: float, token: str) -> tuple[int, Owner] | None:
    """Acquire by creating the file exclusively. Returns None when another program was faster: try again."""
    try:
        fd = ConfinedPath.from_path(path).open(_FLAGS | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        _remove_stale(path, now)
        return None
    try:
        return fd, _write_owner(fd, token, kernel=False)
    except BaseException:
        os.close(fd)
        ConfinedPath.from_path(path).unlink(missing_ok=True)
        raise


def _remove_stale(path: Path, now: float) -> None:
    """Remove the lock file of a dead owner. Raises SessionBusy when its owner may be alive.

    The file is renamed before it is removed, and linked back if it turns out to be another program's new lock.
    """
    try:
        seen, modified = _read_lock_file(path)
        age = _heartbeat_age(path, now, modified)
        if not is_stale(seen, age) if seen is not None else age < _BEING_WRITTEN:
            raise _busy_error(seen)
        renamed = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        if ConfinedPath.from_path(path).is_nested:
            ConfinedPath.from_path(path).rename(renamed.name)
        else:
            os.rename(path, renamed)  # noqa: PTH104
    except FileNotFoundError:
        return  # its owner released it, or another program removed it
    place = ConfinedPath.from_path(renamed)
    if read_owner(renamed) != seen:  # it was taken over between our reading and our renaming
        with contextlib.suppress(OSError):
            place.link(path.name)
    place.unlink()


def _read_lock_file(path: Path) -> tuple[Owner | None, float]:
    """Like `read_lock_file`, but anything else than a regular file has no owner. Raises OSError."""
    try:
        return read_lock_file(path)
    except Malformed:
        return None, ConfinedPath.from_path(path).lstat().st_mtime


def _probe_folder(path: Path) -> tuple[bool, float]:
    """Return whether the operating system locks files in this folder, and the time by its file server's clock."""
    probe = path.with_name(f"{path.name}.{secrets.token_hex(4)}.trial")
    try:
        fd = ConfinedPath.from_path(probe).open(_FLAGS | os.O_CREAT | os.O_EXCL)
    except OSError as exc:
        if isinstance(exc, LinkLeadsOut):
            raise
        raise OSError(exc.errno, exc.strerror, str(path)) from exc  # a message without the random file name
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


def _write_owner(fd: int, token: str, *, kernel: bool) -> Owner:
    """Write this process into the lock file as its owner, and return it."""
    owner = Owner.this_process(token, kernel=kernel)
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, json.dumps(asdict(owner)).encode("ascii") + b"\n")
    return owner


def _heartbeat_age(path: Path, now: float, modified: float) -> float:
    """Return the seconds since the last heartbeat.

    A modification time in the future cannot come from this file server's clock, and would lock everybody out until
    then. So the file is touched once: a living owner stays safe, a dead one loses its lock after STALE_AFTER.
    """
    if modified > now + STALE_AFTER:
        with contextlib.suppress(OSError):
            ConfinedPath.from_path(path).utime()
    return now - modified


def _is_still_at(path: Path, fd: int) -> bool:
    """Return whether `path` still names the open file: its owner may have deleted it before we got the lock."""
    try:
        return os.path.samestat(ConfinedPath.from_path(path).lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False
