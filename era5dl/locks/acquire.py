"""Acquires a lock file: by the kernel's lock where there is one, else by creating the file exclusively.

`era5dl.locks.lock_file` says why there are both. Every function raises OSError where the disk does
not do what it should.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path

from era5dl.errors import SessionBusy
from era5dl.folder.directory_handles import Place
from era5dl.folder.paths import LeadsOut
from era5dl.locks.os_lock import Unsupported, try_lock
from era5dl.locks.owner import SILENCE, Owner, look, read_owner
from era5dl.validation import Malformed

_FRESH = 60.0  # seconds for which a file that says nothing may be one that is being written
_FLAGS = os.O_RDWR
held_tokens: set[str] = set()  # tokens of the locks that this process holds


def take(path: Path, token: str) -> tuple[int, Owner]:
    """The lock file, open and signed with `token`; taken over where its owner is dead. Raises SessionBusy, which says
    who holds it."""
    kernel, now = _probe(path)
    attempt = _take_open if kernel else _take_by_name
    for _ in range(20):  # a round is lost only when somebody else got on
        taken = attempt(path, now, token)
        if taken is not None:
            return taken
    raise SessionBusy(f"several programs are trying to take {path} at once", remedy="Try again in a moment.")


def is_ours(token: str) -> bool:
    """Whether this process holds the lock of that token."""
    return token in held_tokens


def busy(owner: Owner | None) -> SessionBusy:
    """The error that says who holds the lock and what can be done."""
    if owner is None:
        return SessionBusy("another program has just begun to work on this session", remedy="Let it finish.")
    if is_ours(owner.token) or (owner.same_pids and owner.pid == os.getpid()):
        return SessionBusy("this program itself is working on this session already", remedy="Close it there first.")
    if owner.same_pids:
        return SessionBusy(f"{owner} is working on this session", remedy="Let it finish, or stop it first.")
    return SessionBusy(
        f"{owner} is working on this session",
        remedy=f"Let it finish, or stop it there. If that computer is gone, try again {SILENCE:.0f} seconds from now.",
    )


def _take_open(path: Path, now: float, token: str) -> tuple[int, Owner] | None:
    """With the kernel's lock. None: the file was exchanged under us, try again."""
    fd = Place.of(path).open(_FLAGS | os.O_CREAT)
    try:
        if not try_lock(fd):
            raise busy(read_owner(path))
        if not _still_named(path, fd):
            os.close(fd)
            return None
        owner, touched = _look(path)
        proven_dead = owner is None or (owner.kernel and owner.same_kernel and owner.token not in held_tokens)
        if owner is not None and not proven_dead and may_be_alive(owner, _silence(path, now, touched)):
            raise busy(owner)
        if os.fstat(fd).st_nlink > 1:  # signing it would write into a file somewhere else; nobody holds it
            Place.of(path).unlink()
            os.close(fd)
            return None
        return fd, _sign(fd, token, kernel=True)
    except BaseException:
        os.close(fd)
        raise


def _take_by_name(path: Path, now: float, token: str) -> tuple[int, Owner] | None:
    """By being the one who creates the file. None: somebody else was quicker, look again."""
    try:
        fd = Place.of(path).open(_FLAGS | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        _remove_dead(path, now)
        return None
    try:
        return fd, _sign(fd, token, kernel=False)
    except BaseException:
        os.close(fd)
        Place.of(path).unlink(missing_ok=True)
        raise


def _remove_dead(path: Path, now: float) -> None:
    """Take a dead lock out of the way. Raises SessionBusy when it is not dead."""
    try:
        seen, touched = _look(path)
        silence = _silence(path, now, touched)
        if may_be_alive(seen, silence) if seen is not None else silence < _FRESH:
            raise busy(seen)
        aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        if Place.of(path).has_folders:
            Place.of(path).rename(aside.name)
        else:
            os.rename(path, aside)  # noqa: PTH104
    except FileNotFoundError:
        return  # its owner let go, or another taker was quicker
    place = Place.of(aside)
    if read_owner(aside) != seen:  # between our look and our rename somebody else had taken it over
        with contextlib.suppress(OSError):
            place.link(path.name)
    place.unlink()


def _look(path: Path) -> tuple[Owner | None, float]:
    """As `owner.look`; something else than a plain file names nobody. Raises OSError."""
    try:
        return look(path)
    except Malformed:
        return None, Place.of(path).lstat().st_mtime


def _probe(path: Path) -> tuple[bool, float]:
    """Whether the kernel locks files in this folder, and what time its file server has. Raises OSError."""
    trial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.trial")
    try:
        fd = Place.of(trial).open(_FLAGS | os.O_CREAT | os.O_EXCL)
    except OSError as exc:  # what is said of it must not change with each attempt
        if isinstance(exc, LeadsOut):
            raise
        raise OSError(exc.errno, exc.strerror, str(path)) from exc
    try:
        os.write(fd, b"?")
        now = os.fstat(fd).st_mtime
        try:
            return try_lock(fd), now
        except Unsupported:
            return False, now
    finally:
        os.close(fd)
        Place.of(trial).unlink(missing_ok=True)


def _sign(fd: int, token: str, *, kernel: bool) -> Owner:
    """Write our name into the lock file."""
    me = Owner.this_process(token, kernel=kernel)
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, json.dumps(asdict(me)).encode("ascii") + b"\n")
    return me


def may_be_alive(owner: Owner, silence: float) -> bool:
    """Whether the owner may still be at work; in doubt, yes."""
    if owner.token in held_tokens or owner.running:
        return True
    return not owner.gone and silence < SILENCE


def _silence(path: Path, now: float, touched: float) -> float:
    """Seconds since the last touch.

    A touch in the future is none that anybody made with this file server's clock. Its file is touched instead, once:
    so a living owner is safe, and from a dead one the lock is to be had after SILENCE.
    """
    if touched > now + SILENCE:
        with contextlib.suppress(OSError):
            _touch(path)
    return now - touched


def _touch(path: Path) -> None:
    Place.of(path).utime()


def _still_named(path: Path, fd: int) -> bool:
    """Whether `path` still leads to the file we have open: its owner may have deleted it before we got the lock."""
    try:
        return os.path.samestat(Place.of(path).lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False
