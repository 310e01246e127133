"""Object claims: if several sessions download into one folder, only one of them fetches an object at a time.

A claim is the file OUT/.era5dl/NAME.claim, created exclusively; NAME is a digest of the object's path below OUT. It
contains the id of the session and the token of its lock. The lock shows whether the owner is alive, so one heartbeat
covers all claims. A claim is stale, and another session may take it over, if the lock has another token, or if its
owner is dead or had no heartbeat for STALE_AFTER.

If the disk supports hard links, the claims of a session are links to one file: a link takes 7 microseconds, a new file
more than 100 (ext4).

Claims avoid double work; data are safe without them. Two sessions that fetch the same object have separate part files,
and only verified bytes get the final name. So if a claim cannot be created, the object is fetched without one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from era5dl.errors import ClaimedElsewhere, Era5Error, SessionBusy
from era5dl.folder.confined_path import ConfinedPath
from era5dl.locks.lock_file import Lock
from era5dl.locks.owner import STALE_AFTER, Owner, held_by_this_process, read_lock_file
from era5dl.validation import JsonObject, Malformed, open_regular_file, parse_json

SUFFIX = ".claim"
UNKNOWN_OWNER = "another session"  # used if the owner is not known, for example while it writes the claim
_ATTEMPTS = 4  # an attempt fails only if another session has changed the claim at the same time
_READ_LIMIT = 1024  # bytes
_LOCK_CACHE_TIME = 1.0  # seconds for which the state of another session's lock is cached
_LOST = -1  # in place of the lock's lapses: another session has taken over the claim
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@dataclass(frozen=True, slots=True)
class _Claim:
    """The content of a claim file; empty if it is unreadable."""

    session: str = ""
    token: str = ""


@dataclass(slots=True)
class _KnownLock:
    """Cached state of another session's lock. Times by our own clock, except `modified`."""

    read_at: float
    modified: float  # by the file server's clock
    unchanged_since: float
    holder: str  # "" if nobody holds it


class ObjectClaims:
    """The claims of one session. Thread-safe.

    path_of: returns the path below the folder of the object with this index in the plan.
    """

    def __init__(self, home: Path, session: str, lock: Lock, path_of: Callable[[int], str]) -> None:
        self._home = home
        self._lock = lock
        self._path_of = path_of
        self._own = _Claim(session, lock.token)
        self._content = json.dumps({"session": session, "token": lock.token}).encode("ascii")
        self._held: dict[int, int] = {}  # by index in the plan: the lock's lapses when the claim was last confirmed
        self._link_target = str(home / f"{session}{SUFFIX}")  # the file that the claims are links to
        self._use_links: bool | None = None  # None before the first claim
        self._known_locks: dict[_Claim, _KnownLock] = {}
        self._guard = threading.Lock()

    def claim(self, index: int) -> str:
        """Claim an object. Return "", or a description of the session that has claimed it. Never fails."""
        path = self._claim_file(index)
        lapses = self._lock.lapses
        for _ in range(_ATTEMPTS):
            try:
                self._create(path)
            except FileExistsError:
                found, holder = self._examine(path)
                if found == self._own:
                    break
                if holder:
                    self._held.pop(index, None)
                    return holder
                try:
                    with self._removal_lock():
                        _remove(path, found)
                except SessionBusy:  # another session is removing stale claims
                    return UNKNOWN_OWNER
                except (OSError, Era5Error):  # no permission: the file may belong to another user
                    return ""
                continue
            except OSError:  # if the disk has failed, writing the object will report that
                return ""
            break
        else:
            return UNKNOWN_OWNER
        self._held[index] = lapses
        return ""

    def ensure_held(self, index: int) -> None:
        """Check that this session may write the object. Call this before each write.

        Reads the disk only if the lock's lease had run out. Raises SessionBusy or a DiskError if the session has lost
        its lock, ClaimedElsewhere if another session has taken over this object.
        """
        self._lock.ensure_held()
        lapses = self._lock.lapses
        if self._held.get(index, lapses) == lapses:
            return
        found, holder = self._examine(self._claim_file(index))
        if found == self._own:
            self._held[index] = lapses
            return
        self._held[index] = _LOST  # the other session may already have finished the object
        raise ClaimedElsewhere(
            f"{self._path_of(index)}: {holder or UNKNOWN_OWNER} has taken this file over, because "
            f"this program did not respond for more than {STALE_AFTER:.0f} seconds"
        )

    def release(self, index: int) -> None:
        """Release the claim on an object, if there is one."""
        lapses = self._held.pop(index, None)
        if lapses is None:
            return
        path = self._claim_file(index)
        if lapses != self._lock.lapses and _read(path) != self._own:
            return
        try:
            os.unlink(path)  # noqa: PTH108 - once per object, for thousands of them
        except PermissionError:  # on Windows, while another program reads it; `release_where` will try again
            self._held[index] = lapses
        except OSError:
            pass

    def release_where(self, is_done: Callable[[int], bool]) -> None:
        """Release the claims on all objects for which `is_done`, called with the index in the plan, returns true."""
        for index in list(self._held):
            if is_done(index):
                self.release(index)

    def release_all(self) -> None:
        """Release the claims on all objects."""
        self.release_where(lambda _: True)

    def remove_stale(self) -> None:
        """Remove the claims of dead sessions. Never fails."""
        try:
            files = [str(path) for path in self._home.glob(f"*{SUFFIX}")]
            stale = [(path, found) for path in files for found, holder in [self._examine(path)] if not holder]
            stale = [(path, found) for path, found in stale if found != self._own]
            if stale:
                with self._removal_lock():
                    for path, found in stale:
                        with contextlib.suppress(OSError):
                            _remove(path, found)
        except (OSError, Era5Error):
            pass  # the next session will remove them

    def close(self) -> None:
        """Release all claims and remove the file they link to. Can be called again."""
        self.release_all()
        with self._guard, contextlib.suppress(OSError):
            if self._use_links is not None:
                self._use_links = None
                os.unlink(self._link_target)  # noqa: PTH108

    @contextlib.contextmanager
    def _removal_lock(self) -> Iterator[None]:
        """Context manager: only one session at a time removes stale claims.

        Otherwise, after one session has removed a stale claim and a third one has claimed the object, the second
        session could remove that new claim. Raises SessionBusy while another session holds the lock, or a DiskError.
        """
        lock = Lock.acquire(self._home / "claims.lock")
        try:
            yield
        finally:
            lock.release()

    def _claim_file(self, index: int) -> str:
        path = self._path_of(index)
        if not path.isascii():
            path = unicodedata.normalize("NFC", path)
        path = path.casefold()  # on some disks names that differ only in case are the same file
        return f"{self._home}{os.sep}{hashlib.sha256(path.encode('utf-8', 'surrogatepass')).hexdigest()}{SUFFIX}"

    def _create(self, path: str) -> None:
        """Create the claim file. Raises FileExistsError, or another OSError if it cannot be created."""
        if self._use_links is None:
            with self._guard:
                self._use_links = self._create_link_target() if self._use_links is None else self._use_links
        if self._use_links:
            try:
                os.link(self._link_target, path)
            except FileExistsError:
                raise
            except OSError:
                self._use_links = False  # the disk has no hard links, or somebody has deleted the target
            else:
                return
        self._write(path)

    def _create_link_target(self) -> bool:
        """Create the file that claims are links to; return whether that succeeded."""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._link_target)  # noqa: PTH108 - from a run that was killed
            self._write(self._link_target)
        except OSError:
            return False
        return True

    def _write(self, path: str) -> None:
        fd = ConfinedPath.from_path(Path(path)).open(_FLAGS)  # does not follow a link in place of our folder
        try:
            os.write(fd, self._content)
        finally:
            os.close(fd)

    def _examine(self, path: str) -> tuple[_Claim, str]:
        """Return the content of a claim file and a description of its holder; "" if it is stale and may be removed."""
        found = _read(path)
        if found.session:
            return found, self._holder(found)
        try:
            age = self._lock.server_time() - os.lstat(path).st_mtime
        except OSError:
            return found, ""
        return found, UNKNOWN_OWNER if abs(age) < STALE_AFTER else ""

    def _holder(self, claim: _Claim) -> str:
        """Return a description of the holder of this claim; "" if its owner is dead or has released its lock."""
        with self._guard:
            now = time.monotonic()
            known = self._known_locks.get(claim)
            if known is not None and now - known.read_at < _LOCK_CACHE_TIME:
                return known.holder
            owner, modified = self._read_lock(claim)
            unchanged_since = known.unchanged_since if known is not None and known.modified == modified else now
            # If the modification time is in the future, the age is the time for which it has not changed.
            age = max(self._lock.server_time() - modified if modified else 0.0, now - unchanged_since)
            alive = age < STALE_AFTER or held_by_this_process(claim.token)
            if owner is not None:
                alive = alive and owner.token == claim.token and not owner.is_dead
            holder = str(owner or UNKNOWN_OWNER) if alive else ""
            self._known_locks[claim] = _KnownLock(now, modified, unchanged_since, holder)
            return holder

    def _read_lock(self, claim: _Claim) -> tuple[Owner | None, float]:
        """Return the owner of the claiming session's lock, and its modification time; 0 if it is not readable."""
        long_ago = 1.0
        try:
            owner, modified = read_lock_file(self._home / f"{claim.session}.lock")
        except (FileNotFoundError, Malformed):
            return None, long_ago
        except OSError:  # it belongs to another user
            return None, 0.0
        return owner, modified if owner is not None else long_ago


def _remove(path: str, found: _Claim) -> None:
    """Remove a stale claim if its content is still `found`. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if _read(path) == found:
            os.unlink(path)  # noqa: PTH108


def _read(path: str) -> _Claim:
    try:
        with open_regular_file(Path(path)) as file:
            item = JsonObject(parse_json(file.read(_READ_LIMIT)))
        return _Claim(item.hex("session", 12), item.hex("token", 16))
    except (OSError, Malformed):
        return _Claim()
