"""Lock file: one program at a time on a session, without locking anybody out after a crash or kill -9.

It combines two mechanisms, because each alone fails somewhere:

1. The operating system's lock on the file (flock, or LockFile on Windows). The system drops it when the process ends,
   in whatever way, and two programs cannot both get it. But Lustre is often mounted without it, and on some network
   shares it is only valid on one computer.
2. The content of the file: computer, process, start time of the process, a random token. It names the holder to
   people, and it decides where 1 cannot. Under the same kernel, a holder whose process has ended is dead. Elsewhere
   that cannot be known, so a lock is valid until its file has not been touched for a minute of the file server's clock.

While the lock is held, a thread touches the file every HEARTBEAT_INTERVAL seconds, whatever the program is busy with.
A holder that was frozen (a suspended computer, a stopped process, an unreachable server) may have lost the lock:
`ensure_held` raises then, before anything is written. It costs nothing while the last heartbeat is recent.

Where mechanism 1 is missing, the file is created exclusively. The file of a dead owner is renamed away first, checked
once more, and linked back if it has become another program's. `renew` before each save notices when a lock was lost
all the same.

Remaining risk: a program that freezes between `ensure_held` and the following write, for longer than STALE_AFTER.
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
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_folder_errors
from era5dl.locks.acquire import acquire, held_tokens, is_stale
from era5dl.locks.owner import STALE_AFTER, Owner, read_lock_file, read_owner
from era5dl.validation import Malformed

HEARTBEAT_INTERVAL = 10.0  # seconds
LEASE = 35.0  # seconds after a heartbeat in which the holder need not check: nobody takes over before STALE_AFTER
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Lock:
    """A lock that is held, from `acquire` to `release`. Thread-safe.

    lapses: how often the lease had run out when it was renewed, so that others may have taken over meanwhile.
    """

    def __init__(self, path: Path, fd: int, owner: Owner) -> None:
        """Use `acquire`."""
        self.path = path
        self.token = owner.token
        self.lapses = 0
        self._fd = fd
        self._released = False
        self._stop_heartbeat = threading.Event()
        self._renewing = threading.RLock()
        self._renewed = _clocks()
        self._server_time = (os.fstat(fd).st_mtime, time.monotonic())  # the file server's clock, and our clock then
        held_tokens.add(owner.token)
        self._touch()

    @classmethod
    def acquire(cls, path: Path, token: str = "") -> Lock:
        """Acquire the lock, from a dead owner too. Raises SessionBusy, which names the holder, or a DiskError.

        token: identifies this lock; random by default.
        """
        with translate_folder_errors(path):
            return cls(path, *acquire(path, token or secrets.token_hex(8)))

    def start_heartbeat(self) -> None:
        """Touch the file every HEARTBEAT_INTERVAL seconds, in a thread that ends with `release`.

        Raises OutOfThreads; the lock is released then, since others would consider it stale before long.
        """
        try:
            thread_registry.start_thread(
                threading.Thread(target=self._heartbeat, name="era5dl-heartbeat", daemon=True), self._stop_heartbeat.set
            )
        except OutOfThreads:
            self.release()
            raise

    def renew(self) -> None:
        """Check that the lock is still ours and touch it. A lock file that was deleted or emptied is made again.

        Raises SessionBusy when another program took it over, FolderUnusable when its folder is gone.
        """
        with self._renewing, translate_folder_errors(self.path):
            before = _clocks()
            owner = read_owner(self.path)
            if owner is not None and owner.token != self.token:
                raise _taken_over_error(owner)
            if self._released:
                raise SessionError("this session is closed")
            if owner is None or self._fd < 0:  # deleted; or let go when it was, and now its folder is back
                self._acquire_again(owner)
            self._touch_and_note(before)

    def ensure_held(self) -> None:
        """Raise what `renew` raises if the lock may have been lost. To be called before each write."""
        if _seconds_since(self._renewed) > LEASE:
            self.renew()

    def server_time(self) -> float:
        """Return the time by the file server's clock, in seconds since 1970."""
        server, ours = self._server_time
        return server + time.monotonic() - ours

    def release(self) -> None:
        """Release the lock; may be called again. If the disk fails now, a lock file with a dead owner remains."""
        self._released = True
        self._stop_heartbeat.set()
        self._let_go()

    def _let_go(self) -> None:
        """Give the lock up, whether or not it is acquired again."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        held_tokens.discard(self.token)
        owner = read_owner(self.path)
        is_ours = owner is not None and owner.token == self.token
        with contextlib.suppress(OSError):
            if is_ours and os.name != "nt":  # while we hold it: nobody else's lock can have this name
                ConfinedPath.from_path(self.path).unlink()
            elif is_ours:
                os.ftruncate(fd, 0)
        os.close(fd)
        if is_ours and os.name == "nt":  # fails, as it should, when another program has opened it by now
            with contextlib.suppress(OSError):
                ConfinedPath.from_path(self.path).unlink()

    def _acquire_again(self, owner: Owner | None) -> None:
        self._let_go()
        if owner is None or owner.kernel:
            self._fd = Lock.acquire(self.path, self.token)._fd
        else:
            self._fd = ConfinedPath.from_path(self.path).open(os.O_RDWR)  # no system lock: the name is the lock
            held_tokens.add(self.token)

    def _heartbeat(self) -> None:
        """Run the heartbeat thread. It repairs nothing: the next save makes a deleted lock file again."""
        while not self._stop_heartbeat.wait(HEARTBEAT_INTERVAL):
            with self._renewing:
                before = _clocks()
                owner = read_owner(self.path)
                if owner is not None and owner.token != self.token:
                    return  # the next write finds out
                if owner is not None and not self._stop_heartbeat.is_set():
                    self._touch_and_note(before)

    def _touch_and_note(self, before: tuple[float, float]) -> None:
        """Touch the file; the lease then counts from `before`, which was read ahead of checking the owner."""
        if _seconds_since(self._renewed) > LEASE:
            self.lapses += 1
        if self._touch():
            self._renewed = before

    def _touch(self) -> bool:
        """Touch the file; return whether the file server recorded it."""
        try:
            ConfinedPath.from_path(self.path).utime()
            self._server_time = (ConfinedPath.from_path(self.path).lstat().st_mtime, time.monotonic())
        except OSError:
            return False
        return True


def current_owner(path: Path) -> Owner | None:
    """Return who holds the lock, as far as that can be told without changing anything. For lists, not for decisions."""
    try:
        owner, modified = read_lock_file(path)
    except (OSError, Malformed):
        return None
    return owner if owner is not None and not is_stale(owner, abs(time.time() - modified)) else None


def _taken_over_error(owner: Owner) -> SessionBusy:
    return SessionBusy(
        f"{owner} has taken this session over: this program gave no sign of life for more than {STALE_AFTER:.0f} "
        "seconds",
        remedy="Let it finish. Nothing is lost; what this program had not yet saved is fetched again.",
    )


def _clocks() -> tuple[float, float]:
    """Return two clocks, at least one of which counts while a computer sleeps; setting the time looks like sleep."""
    return (time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)), time.time()


def _seconds_since(then: tuple[float, float]) -> float:
    """Return the seconds since `then`, by the clock that shows more of them."""
    now = _clocks()
    return max(now[0] - then[0], abs(now[1] - then[1]))
