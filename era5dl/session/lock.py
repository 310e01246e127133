"""One program at a time on a session: a lock file that survives kill -9 without locking anybody out.

Two things together, because each alone fails somewhere:

1. The operating system's own lock on the file (flock, or LockFile on Windows). The kernel drops it when the process
   ends, in whatever way, and two takers cannot both get it. But Lustre is often mounted without it, and on some
   network shares it holds on one computer only.
2. What the file says: computer, process, when that process began, a random token. It names the holder to people, and
   it decides where 1 cannot: under the same kernel a holder whose process is gone is dead. Elsewhere that cannot be
   known, so its lock counts until the file has not been touched for a minute of the file server's own clock.

While it is held a thread touches it every BEAT seconds, whatever the program is busy with. A holder that was frozen
(a suspended computer, a stopped process, a server out of reach) may have lost it: `assure`, which costs nothing as long
as the last touch is recent, says so before anything is written.

Where there is no lock of kind 1 the file is created exclusively; a dead one is renamed away first, looked at once more
and put back if meanwhile it was somebody else's. `confirm` before each save finds out when one was lost all the same.

What remains: a program that is frozen between `assure` and the write that follows it, for longer than SILENCE.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from dataclasses import asdict
from pathlib import Path

from era5dl import threads
from era5dl.errors import OutOfThreads, SessionBusy, SessionError
from era5dl.folder.faults import folder_errors
from era5dl.folder.handles import Place
from era5dl.folder.paths import LeadsOut
from era5dl.session.oslock import Unsupported, try_lock
from era5dl.session.owner import SILENCE, Owner, look, read_owner
from era5dl.session.untrusted import Malformed

BEAT = 10.0  # seconds between two touches
LEASE = 35.0  # seconds after a touch for which the holder need not look: nobody may take the lock over before SILENCE
_FRESH = 60.0  # seconds for which a file that says nothing may be one that is being written
_FLAGS = os.O_RDWR
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_ours: set[str] = set()  # tokens of the locks this process holds


class Lock:
    """A lock that is held. `take` makes one; `release` ends it. Threads may share it.

    lapses: how often the last touch was so long ago that others may have believed its owner dead.
    """

    def __init__(self, path: Path, fd: int, me: Owner) -> None:
        self.path = path
        self.token = me.token
        self.lapses = 0
        self._fd = fd
        self._released = False
        self._quiet = threading.Event()  # no more touches
        self._touching = threading.RLock()
        self._touched = _clocks()
        self._server = (os.fstat(fd).st_mtime, time.monotonic())  # the file server's time, and when it was that
        _ours.add(me.token)
        self._touch()

    @classmethod
    def take(cls, path: Path, token: str = "") -> Lock:
        """Take the lock, also over from a dead owner. Raises SessionBusy, which says who holds it, or a DiskError.

        token: the one to sign with; a new one when it is not given.
        """
        with folder_errors(path):
            kernel, now = _probe(path)
            attempt = _take_open if kernel else _take_by_name
            for _ in range(20):  # a round is lost only when somebody else got on
                taken = attempt(path, now, token or secrets.token_hex(8))
                if taken is not None:
                    return cls(path, *taken)
        raise SessionBusy(f"several programs are trying to take {path} at once", remedy="Try again in a moment.")

    def keep_alive(self) -> None:
        """Touch it every BEAT seconds from now on, in a thread that ends with `release`.

        Raises OutOfThreads, and then the lock is released: one that is not touched is not held for long.
        """
        try:
            threads.start(threading.Thread(target=self._beat, name="era5dl-heartbeat", daemon=True), self._quiet.set)
        except OutOfThreads:
            self.release()
            raise

    def confirm(self) -> None:
        """Make sure that the lock is still ours, and touch it. A lock file that was deleted or emptied is made again.

        Raises SessionBusy when another program took it over, FolderUnusable when its folder is gone.
        """
        with self._touching, folder_errors(self.path):
            before = _clocks()
            owner = read_owner(self.path)
            if owner is not None and owner.token != self.token:
                raise _taken_over(owner)
            if self._released:
                raise SessionError("this session is closed")
            if owner is None:
                self._let_go()
                fresh = Lock.take(self.path, self.token)
                self._fd = fresh._fd
            if _since(self._touched) > LEASE:
                self.lapses += 1
            if self._touch():
                self._touched = before

    def assure(self) -> None:
        """Raise what `confirm` raises if the lock may have been lost. To be called before each write."""
        if _since(self._touched) > LEASE:
            self.confirm()

    def now(self) -> float:
        """The time by the file server's clock, in seconds since 1970."""
        there, here = self._server
        return there + time.monotonic() - here

    def release(self) -> None:
        """Let go. What is left on a disk that fails now is a lock whose owner is dead. May be called again."""
        self._released = True
        self._quiet.set()
        self._let_go()

    def _let_go(self) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        _ours.discard(self.token)
        owner = read_owner(self.path)
        mine = owner is not None and owner.token == self.token
        with contextlib.suppress(OSError):
            if mine and os.name != "nt":  # while we hold it: nobody else's lock can be under this name
                Place.of(self.path).unlink()
            elif mine:
                os.ftruncate(fd, 0)
        os.close(fd)
        if mine and os.name == "nt":  # fails, as it should, when somebody has opened it by now
            with contextlib.suppress(OSError):
                Place.of(self.path).unlink()

    def _beat(self) -> None:
        """Body of the heartbeat's thread. It repairs nothing: a deleted lock file is made again by the next save."""
        while not self._quiet.wait(BEAT):
            with self._touching:
                before = _clocks()
                owner = read_owner(self.path)
                if owner is not None and owner.token != self.token:
                    return  # whoever writes next finds out
                if owner is not None and not self._quiet.is_set():
                    if _since(self._touched) > LEASE:
                        self.lapses += 1
                    if self._touch():
                        self._touched = before

    def _touch(self) -> bool:
        """Whether the file server has noted a sign of life."""
        try:
            _touch(self.path)
            self._server = (Place.of(self.path).lstat().st_mtime, time.monotonic())
        except OSError:
            return False
        return True


def is_ours(token: str) -> bool:
    """Whether this process holds the lock of that token."""
    return token in _ours


def holder(path: Path) -> Owner | None:
    """Who holds the lock as far as one can tell without touching anything. For lists, not for decisions."""
    try:
        owner, touched = look(path)
    except (OSError, Malformed):
        return None
    return owner if owner is not None and _alive(owner, abs(time.time() - touched)) else None


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


def _taken_over(owner: Owner) -> SessionBusy:
    return SessionBusy(
        f"{owner} has taken this session over: for more than {SILENCE:.0f} seconds this program gave no sign of life",
        remedy="Let it finish. Nothing is lost; what this program had not yet saved is fetched again.",
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
        proven_dead = owner is None or (owner.kernel and owner.same_kernel and owner.token not in _ours)
        if owner is not None and not proven_dead and _alive(owner, _silence(path, now, touched)):
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
        if _alive(seen, silence) if seen is not None else silence < _FRESH:
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


def _alive(owner: Owner, silence: float) -> bool:
    """Whether the owner may still be at work; in doubt, yes."""
    if owner.token in _ours or owner.running:
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


def _clocks() -> tuple[float, float]:
    """Clocks of which one at least counts the seconds of a computer's sleep; setting the time looks like a sleep."""
    return (time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)), time.time()


def _since(then: tuple[float, float]) -> float:
    """Seconds since, by the clock that counts most."""
    now = _clocks()
    return max(now[0] - then[0], abs(now[1] - then[1]))


def _still_named(path: Path, fd: int) -> bool:
    """Whether `path` still leads to the file we have open: its owner may have deleted it before we got the lock."""
    try:
        return os.path.samestat(Place.of(path).lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False
