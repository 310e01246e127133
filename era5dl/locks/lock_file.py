"""Lock file: only one program at a time works on a session. After a crash or kill -9 the session can be locked again.

It combines two mechanisms, because each one alone is not sufficient:

1. The operating system's lock on the file (flock, or LockFile on Windows). The system releases it when the process
   ends, even if it is killed, and two programs cannot both have it. But Lustre is often mounted without it, and on some
   network shares it is valid only on one computer.
2. The content of the file: computer, process, start time of the process, a random token. It describes the holder in
   messages, and is used if mechanism 1 does not work. Under the same kernel, a holder whose process has ended is dead.
   On other computers that is not known, so a lock is stale if its file was not touched for STALE_AFTER seconds by the
   file server's clock. There are two exceptions, in which nobody waits: mechanism 1 works between the computers
   (`era5dl.locks.network_locks`), or the same task of a batch system or a cluster was given out again (`Grant`).

While the lock is held, a thread touches the file every HEARTBEAT_INTERVAL seconds. A holder that was frozen (a
suspended computer, a stopped process, an unreachable server) may have lost the lock. Then `ensure_held` raises an error
before anything is written. It does no I/O if the last heartbeat is recent.

Without mechanism 1 the file is created exclusively. The file of a dead owner is renamed first, checked again, and
linked back if another program has taken it over. In addition, `renew` before each save detects that a lock was lost.

Remaining risk: a program freezes for longer than STALE_AFTER between `ensure_held` and the following write.
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
from era5dl.locks.acquire import acquire
from era5dl.locks.owner import NO_GRANT, STALE_AFTER, Grant, Owner, held_tokens, is_stale, read_lock_file, read_owner
from era5dl.validation import Malformed

HEARTBEAT_INTERVAL = 10.0  # seconds
LEASE = 35.0  # seconds after a heartbeat in which the lock is certainly held: others take it over after STALE_AFTER
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Lock:
    """A lock that is held, from `acquire` to `release`. Thread-safe.

    lapses: how often the lease was renewed after it had run out, so that others may have had the lock in between.
    """

    def __init__(self, path: Path, fd: int, owner: Owner) -> None:
        """Use `acquire`."""
        self.path = path
        self.token = owner.token
        self._grant = Grant(owner.grant, owner.epoch)
        self.lapses = 0
        self._fd = fd
        self._released = False
        self._stop_heartbeat = threading.Event()
        self._renewing = threading.RLock()
        self._renewed = _clocks()
        self._server_time = (os.fstat(fd).st_mtime, time.monotonic())  # file server's clock and ours, at the same time
        held_tokens.add(owner.token)
        self._touch()

    @classmethod
    def acquire(cls, path: Path, token: str = "", grant: Grant = NO_GRANT) -> Lock:
        """Acquire the lock, or take it over from a dead owner. Raises SessionBusy, which describes the holder, or a
        DiskError.

        token: identifies this lock; random by default. grant: who gave this work to us, if not a person.
        """
        with translate_folder_errors(path):
            return cls(path, *acquire(path, token or secrets.token_hex(8), grant))

    def start_heartbeat(self) -> None:
        """Touch the file every HEARTBEAT_INTERVAL seconds, in a thread that ends with `release`.

        Raises OutOfThreads. Then the lock is released, because it would become stale.
        """
        try:
            thread_registry.start_thread(
                threading.Thread(target=self._heartbeat, name="era5dl-heartbeat", daemon=True), self._stop_heartbeat.set
            )
        except OutOfThreads:
            self.release()
            raise

    def renew(self) -> None:
        """Check that the lock is still ours and touch the file. If it was deleted or emptied, create it again.

        Raises SessionBusy if another program has taken it over, FolderUnusable if its folder is missing.
        """
        with self._renewing, translate_folder_errors(self.path):
            before = _clocks()
            owner = read_owner(self.path)
            if owner is not None and owner.token != self.token:
                raise _taken_over_error(owner)
            if self._released:
                raise SessionError("this session is closed")
            if owner is None or self._fd < 0:  # the file was deleted, or the lock was lost and its folder is back
                self._acquire_again(owner)
            self._touch_and_note(before)

    def ensure_held(self) -> None:
        """Renew the lock if it may have been lost. Call this before each write. Raises the errors of `renew`."""
        if _seconds_since(self._renewed) > LEASE:
            self.renew()

    def server_time(self) -> float:
        """Return the current time of the file server's clock, in seconds since 1970."""
        server, ours = self._server_time
        return server + time.monotonic() - ours

    def release(self) -> None:
        """Release the lock; can be called again. If the disk fails, the lock file remains, with a dead owner."""
        self._released = True
        self._stop_heartbeat.set()
        self._let_go()

    def _let_go(self) -> None:
        """Release the lock file, for good or to acquire it again."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        held_tokens.discard(self.token)
        owner = read_owner(self.path)
        is_ours = owner is not None and owner.token == self.token
        with contextlib.suppress(OSError):
            if is_ours and os.name != "nt":  # before the file is closed, so that it cannot be another owner's
                ConfinedPath.from_path(self.path).unlink()
            elif is_ours:
                os.ftruncate(fd, 0)
        os.close(fd)
        if is_ours and os.name == "nt":  # fails, as intended, if another program has opened the file
            with contextlib.suppress(OSError):
                ConfinedPath.from_path(self.path).unlink()

    def _acquire_again(self, owner: Owner | None) -> None:
        self._let_go()
        if owner is None or owner.kernel:
            self._fd = Lock.acquire(self.path, self.token, self._grant)._fd
        else:
            self._fd = ConfinedPath.from_path(self.path).open(os.O_RDWR)  # without mechanism 1 the file is the lock
            held_tokens.add(self.token)

    def _heartbeat(self) -> None:
        """Body of the heartbeat thread. It does not create a deleted lock file again; the next save does."""
        while not self._stop_heartbeat.wait(HEARTBEAT_INTERVAL):
            with self._renewing:
                before = _clocks()
                owner = read_owner(self.path)
                if owner is not None and owner.token != self.token:
                    return  # `ensure_held` or `renew` will report it
                if owner is not None and not self._stop_heartbeat.is_set():
                    self._touch_and_note(before)

    def _touch_and_note(self, before: tuple[float, float]) -> None:
        """Touch the file and renew the lease, which counts from `before`, the time before the owner was checked."""
        if _seconds_since(self._renewed) > LEASE:
            self.lapses += 1
        if self._touch():
            self._renewed = before

    def _touch(self) -> bool:
        """Touch the file; return whether that succeeded."""
        try:
            ConfinedPath.from_path(self.path).utime()
            self._server_time = (ConfinedPath.from_path(self.path).lstat().st_mtime, time.monotonic())
        except OSError:
            return False
        return True


def current_owner(path: Path) -> Owner | None:
    """Return the owner of the lock, None if it seems to be free. Only reads, so the result may be wrong: use it for
    display only."""
    try:
        owner, modified = read_lock_file(path)
    except (OSError, Malformed):
        return None
    return owner if owner is not None and not is_stale(owner, abs(time.time() - modified)) else None


def _taken_over_error(owner: Owner) -> SessionBusy:
    return SessionBusy(
        f"{owner} has taken this session over, because this program did not respond for more than {STALE_AFTER:.0f} "
        "seconds",
        remedy="Let it finish. Bytes that this program had not yet saved are fetched again.",
    )


def _clocks() -> tuple[float, float]:
    """Return two clocks, at least one of which continues while the computer is suspended. A change of the system time
    looks like a suspend."""
    return (time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)), time.time()


def _seconds_since(then: tuple[float, float]) -> float:
    """Return the seconds since `then`, by the clock with the larger difference."""
    now = _clocks()
    return max(now[0] - then[0], abs(now[1] - then[1]))
