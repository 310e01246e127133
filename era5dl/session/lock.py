"""One program at a time on a session: a lock file that survives kill -9 without locking anybody out.

Two things together, because each alone fails somewhere:

1. The operating system's own lock on the file (flock, or LockFile on Windows). The kernel drops it when the process
   ends, in whatever way, and two takers cannot both get it. But Lustre is often mounted without it, and on some
   network shares it holds on one computer only.
2. What the file says: computer, process, when that process began, a random token. It names the holder to people, and
   it decides where 1 cannot: on the same computer a holder whose process is gone is dead. On another one that cannot
   be known, so its lock counts until the file has not been touched for ten minutes of the file server's own clock;
   the holder touches it with every save and in `refresh`.

Where there is no lock of kind 1 the file is created exclusively; a dead one is renamed away first, looked at once more
and put back if meanwhile it was somebody else's. `confirm` before each save finds out when one was lost all the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from era5dl.errors import SessionBusy
from era5dl.folder.faults import folder_errors
from era5dl.session.oslock import Unsupported, try_lock
from era5dl.session.untrusted import Fields, Malformed, parse_json, read_regular

SILENCE = 600.0  # seconds without a sign of life after which the lock of another computer is taken over
_FRESH = 60.0  # seconds for which a file that says nothing may be one that is being written
_START_SLACK = 2.0  # seconds by which the start of one process may seem to differ: clocks are set
_LIMIT = 16 * 1024
_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_ours: set[str] = set()  # tokens of the locks this process holds


@dataclass(frozen=True, slots=True)
class Owner:
    """Who says that a lock is theirs."""

    pid: int
    host: str
    started: float  # when the process began
    since: float  # when it took the lock
    program: str
    token: str
    kernel: bool  # it holds the operating system's lock, too

    @classmethod
    def parse(cls, data: bytes) -> Owner:
        item = Fields(parse_json(data))
        return cls(
            item.whole("pid", 1, 2**40),
            item.text("host", 255),
            item.instant("started"),
            item.instant("since"),
            item.text("program", 255),
            item.hex("token", 16),
            item.flag("kernel"),
        )

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{self.program} (process {self.pid} on {self.host}, since {since})"


class Lock:
    """A lock that is held. `take` makes one; `release` ends it."""

    def __init__(self, path: Path, fd: int, me: Owner) -> None:
        self.path = path
        self._fd = fd
        self._token = me.token
        _ours.add(me.token)

    @classmethod
    def take(cls, path: Path) -> Lock:
        """Take the lock, also over from a dead owner. Raises SessionBusy, which says who holds it, or a DiskError."""
        with folder_errors(path):
            kernel, now = _probe(path)
            attempt = _take_open if kernel else _take_by_name
            for _ in range(20):  # a round is lost only when somebody else got on
                taken = attempt(path, now)
                if taken is not None:
                    return cls(path, *taken)
        raise SessionBusy(f"several programs are trying to take {path} at once", remedy="Try again in a moment.")

    def confirm(self) -> None:
        """Make sure that the lock is still ours, and touch it. A lock file that was deleted or emptied is made again.

        Raises SessionBusy when another program took it over, FolderUnusable when its folder is gone.
        """
        with folder_errors(self.path):
            owner = read_owner(self.path)
            if owner is not None and owner.token != self._token:
                raise busy(self.path, owner)
            if owner is None:
                self.release()
                fresh = Lock.take(self.path)
                self._fd, self._token = fresh._fd, fresh._token
        self.refresh()

    def refresh(self) -> None:
        """A sign of life for other computers. Never fails: it is the saving that must notice a lost disk."""
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def release(self) -> None:
        """Let go. What is left on a disk that fails now is a lock whose owner is dead. May be called again."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        _ours.discard(self._token)
        owner = read_owner(self.path)
        mine = owner is not None and owner.token == self._token
        with contextlib.suppress(OSError):
            if mine and os.name != "nt":  # while we hold it: nobody else's lock can be under this name
                self.path.unlink()
            elif mine:
                os.ftruncate(fd, 0)
        os.close(fd)
        if mine and os.name == "nt":  # fails, as it should, when somebody has opened it by now
            with contextlib.suppress(OSError):
                self.path.unlink()


def read_owner(path: Path) -> Owner | None:
    """Who the lock file names; None when it is not there or says nothing that can be read."""
    try:
        return Owner.parse(read_regular(path, _LIMIT))
    except (OSError, Malformed):
        return None


def holder(path: Path) -> Owner | None:
    """Who holds the lock as far as one can tell without touching anything. For lists, not for decisions."""
    owner = read_owner(path)
    try:
        return owner if owner is not None and _alive(owner, path, time.time()) else None
    except OSError:
        return None


def busy(path: Path, owner: Owner | None) -> SessionBusy:
    """The error that says who holds the lock and what can be done."""
    if owner is None:
        return SessionBusy("another program has just begun to work on this session", remedy="Let it finish.")
    if owner.host == socket.gethostname():
        if owner.pid == os.getpid():
            return SessionBusy("this program itself is working on this session already", remedy="Close it there first.")
        return SessionBusy(f"{owner} is working on this session", remedy="Let it finish, or stop it first.")
    return SessionBusy(
        f"{owner} is working on this session",
        remedy=f"Let it finish, or stop it there. If that computer is gone, wait {SILENCE / 60:.0f} minutes from its "
        f"last sign of life, or delete {path}.",
    )


def _take_open(path: Path, now: float) -> tuple[int, Owner] | None:
    """With the kernel's lock. None: the file was exchanged under us, try again."""
    fd = os.open(path, _FLAGS | os.O_CREAT, 0o666)
    try:
        if not try_lock(fd):
            raise busy(path, read_owner(path))
        if not _still_named(path, fd):
            os.close(fd)
            return None
        owner = read_owner(path)
        proven_dead = owner is None or (owner.kernel and _here(owner) and owner.token not in _ours)
        if owner is not None and not proven_dead and _alive(owner, path, now):
            raise busy(path, owner)
        if os.fstat(fd).st_nlink > 1:  # signing it would write into a file somewhere else; nobody holds it
            path.unlink()
            os.close(fd)
            return None
        return fd, _sign(fd, kernel=True)
    except BaseException:
        os.close(fd)
        raise


def _take_by_name(path: Path, now: float) -> tuple[int, Owner] | None:
    """By being the one who creates the file. None: somebody else was quicker, look again."""
    try:
        fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        _remove_dead(path, now)
        return None
    try:
        return fd, _sign(fd, kernel=False)
    except BaseException:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise


def _remove_dead(path: Path, now: float) -> None:
    """Take a dead lock out of the way. Raises SessionBusy when it is not dead."""
    seen = read_owner(path)
    try:
        if seen is not None and _alive(seen, path, now):
            raise busy(path, seen)
        if seen is None and now - path.stat().st_mtime < _FRESH:
            raise busy(path, None)
        aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        os.rename(path, aside)  # noqa: PTH104
    except FileNotFoundError:
        return  # its owner let go, or another taker was quicker
    if read_owner(aside) != seen:  # between our look and our rename somebody else had taken it over
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink()


def _probe(path: Path) -> tuple[bool, float]:
    """Whether the kernel locks files in this folder, and what time its file server has. Raises OSError."""
    trial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.trial")
    fd = os.open(trial, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.write(fd, b"?")
        now = os.fstat(fd).st_mtime
        try:
            return try_lock(fd), now
        except Unsupported:
            return False, now
    finally:
        os.close(fd)
        trial.unlink(missing_ok=True)


def _sign(fd: int, *, kernel: bool) -> Owner:
    """Write our name into the lock file."""
    started = _process_start(os.getpid()) or 0.0
    program = Path(sys.argv[0]).name[:100] if sys.argv and sys.argv[0] else "python"
    me = Owner(os.getpid(), socket.gethostname(), started, time.time(), program, secrets.token_hex(8), kernel)
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, json.dumps(asdict(me)).encode("ascii") + b"\n")
    return me


def _alive(owner: Owner, path: Path, now: float) -> bool:
    """Whether the owner may still be at work; in doubt, yes."""
    if owner.token in _ours:
        return True
    if not _here(owner):
        return now - path.stat().st_mtime < SILENCE
    started = _process_start(owner.pid)
    return started is not None and abs(started - owner.started) <= _START_SLACK


def _here(owner: Owner) -> bool:
    return owner.host == socket.gethostname()


def _process_start(pid: int) -> float | None:
    """When the process of that number began; None when there is none (a dead one nobody has waited for is none)."""
    import psutil  # not needed to import this package

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _still_named(path: Path, fd: int) -> bool:
    """Whether `path` still leads to the file we have open: its owner may have deleted it before we got the lock."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(fd))  # noqa: PTH116
    except FileNotFoundError:
        return False
