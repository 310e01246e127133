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
import os
import secrets
import threading
import time
from pathlib import Path

from era5dl import thread_registry
from era5dl.errors import OutOfThreads, SessionBusy, SessionError
from era5dl.folder.directory_handles import Place
from era5dl.folder.disk_errors import folder_errors
from era5dl.locks.acquire import held_tokens, may_be_alive, take
from era5dl.locks.owner import SILENCE, Owner, look, read_owner
from era5dl.validation import Malformed

BEAT = 10.0  # seconds between two touches
LEASE = 35.0  # seconds after a touch for which the holder need not look: nobody may take the lock over before SILENCE
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


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
        held_tokens.add(me.token)
        self._touch()

    @classmethod
    def take(cls, path: Path, token: str = "") -> Lock:
        """Take the lock, also over from a dead owner. Raises SessionBusy, which says who holds it, or a DiskError.

        token: the one to sign with; a new one when it is not given.
        """
        with folder_errors(path):
            return cls(path, *take(path, token or secrets.token_hex(8)))

    def keep_alive(self) -> None:
        """Touch it every BEAT seconds from now on, in a thread that ends with `release`.

        Raises OutOfThreads, and then the lock is released: one that is not touched is not held for long.
        """
        try:
            thread_registry.start(
                threading.Thread(target=self._beat, name="era5dl-heartbeat", daemon=True), self._quiet.set
            )
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
            if owner is None or self._fd < 0:  # gone, or let go when it was, and its folder is back with it
                self._take_again(owner)
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
        held_tokens.discard(self.token)
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

    def _take_again(self, owner: Owner | None) -> None:
        self._let_go()
        if owner is None or owner.kernel:
            self._fd = Lock.take(self.path, self.token)._fd
        else:
            self._fd = Place.of(self.path).open(os.O_RDWR)  # its name is the lock
            held_tokens.add(self.token)

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
            Place.of(self.path).utime()
            self._server = (Place.of(self.path).lstat().st_mtime, time.monotonic())
        except OSError:
            return False
        return True


def holder(path: Path) -> Owner | None:
    """Who holds the lock as far as one can tell without touching anything. For lists, not for decisions."""
    try:
        owner, touched = look(path)
    except (OSError, Malformed):
        return None
    return owner if owner is not None and may_be_alive(owner, abs(time.time() - touched)) else None


def _taken_over(owner: Owner) -> SessionBusy:
    return SessionBusy(
        f"{owner} has taken this session over: for more than {SILENCE:.0f} seconds this program gave no sign of life",
        remedy="Let it finish. Nothing is lost; what this program had not yet saved is fetched again.",
    )


def _clocks() -> tuple[float, float]:
    """Clocks of which one at least counts the seconds of a computer's sleep; setting the time looks like a sleep."""
    return (time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)), time.time()


def _since(then: tuple[float, float]) -> float:
    """Seconds since, by the clock that counts most."""
    now = _clocks()
    return max(now[0] - then[0], abs(now[1] - then[1]))
