"""Claim files: of several sessions in one folder, one fetches an object at a time.

A claim is OUT/.era5dl/NAME.claim, created exclusively; NAME is a digest of the object's path below OUT. It names the
session and the token of the lock that session holds. Whether its owner is alive is told by that lock: one heartbeat
covers all claims. A claim whose lock names another token, or whose owner is dead or has been silent for SILENCE, is
void, and the next one takes it over.

Claims of a session are hard links to one file, where the disk has such: one costs 7 microseconds, and as a file of its
own more than 100 (ext4).

Claims save work. They protect nothing: two sessions that fetch one object have a part file each, and only proven bytes
get the final name. So where a claim cannot be made, on whatever disk, the object is fetched without one.
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
from era5dl.folder.directory_handles import Place
from era5dl.locks.acquire import is_ours
from era5dl.locks.lock_file import Lock
from era5dl.locks.owner import SILENCE, Owner, look
from era5dl.validation import Fields, Malformed, open_regular, parse_json

SUFFIX = ".claim"
SOMEBODY = "another session"  # whoever has just created a claim and not yet signed it
_LIMIT = 1024
_KNOWN_FOR = 1.0  # seconds for which a look at another session's lock is good
_LOST = -1  # in place of the lock's lapses: until it is taken anew, the object is somebody else's
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a claim file says; ("", "") when nothing can be read."""

    session: str = ""
    token: str = ""


@dataclass(slots=True)
class _Watched:
    """Another session's lock: what it says, and since when it has not changed, by our own clock."""

    looked: float
    touched: float
    since: float
    who: str


class ObjectClaims:
    """The claims of one session. Threads may share it.

    path_of: place in the plan -> the object's path below the folder, as text.
    """

    def __init__(self, home: Path, session: str, lock: Lock, path_of: Callable[[int], str]) -> None:
        self._home = home
        self._lock = lock
        self._path_of = path_of
        self._mine = _Claim(session, lock.token)
        self._text = json.dumps({"session": session, "token": lock.token}).encode("ascii")
        self._held: dict[int, int] = {}  # place in the plan -> the lock's lapses when it was last known to be ours
        self._signed = str(home / f"{session}{SUFFIX}")  # what the claims are links to
        self._links: bool | None = None  # whether links can be made; None before the first
        self._watched: dict[_Claim, _Watched] = {}
        self._guard = threading.Lock()

    def take(self, index: int) -> str:
        """Claim this object. Returns "" when it is ours, else who is fetching it. Never fails."""
        path = self._file(index)
        lapses = self._lock.lapses
        for _ in range(4):  # a round is lost only when somebody else got on
            try:
                self._create(path)
            except FileExistsError:
                found, who = self._examine(path)
                if found == self._mine:
                    break
                if who:
                    self._held.pop(index, None)
                    return who
                try:
                    with self._removing():
                        _remove(path, found)
                except SessionBusy:  # somebody else is about it
                    return SOMEBODY
                except (OSError, Era5Error):  # the system does not let us: it may be another user's
                    return ""
                continue
            except OSError:  # what is wrong with the disk is told by those who write the object
                return ""
            break
        else:
            return SOMEBODY
        self._held[index] = lapses
        return ""

    def assure(self, index: int) -> None:
        """Raise SessionBusy or a DiskError when the session is not ours any more, ClaimedElsewhere when this object is
        not. To be called before each write; looks at the disk only after this program gave no sign of life for long."""
        self._lock.assure()
        lapses = self._lock.lapses
        if self._held.get(index, lapses) == lapses:
            return
        found, who = self._examine(self._file(index))
        if found == self._mine:
            self._held[index] = lapses
            return
        self._held[index] = _LOST  # whoever took it over may even have finished it by now
        raise ClaimedElsewhere(
            f"{self._path_of(index)}: {who or SOMEBODY} has taken this file over: "
            f"this program gave no sign of life for more than {SILENCE:.0f} seconds"
        )

    def release(self, index: int) -> None:
        """Let others have it. For an object that is not claimed nothing happens."""
        lapses = self._held.pop(index, None)
        if lapses is None:
            return
        path = self._file(index)
        if lapses != self._lock.lapses and _read(path) != self._mine:
            return
        try:
            os.unlink(path)  # noqa: PTH108 - once an object, for thousands of them
        except PermissionError:  # on Windows somebody is just reading it: `release_those` comes by again
            self._held[index] = lapses
        except OSError:
            pass

    def release_those(self, done_with: Callable[[int], bool] = lambda _: True) -> None:
        """Let others have all, or those of which this says so."""
        for index in list(self._held):
            if done_with(index):
                self.release(index)

    def sweep(self) -> None:
        """Remove the claims that dead sessions have left."""
        try:
            files = [str(path) for path in self._home.glob(f"*{SUFFIX}")]
            void = [(path, found) for path in files for found, who in [self._examine(path)] if not who]
            void = [(path, found) for path, found in void if found != self._mine]
            if void:
                with self._removing():
                    for path, found in void:
                        with contextlib.suppress(OSError):
                            _remove(path, found)
        except (OSError, Era5Error):
            pass  # the next session will do it

    @contextlib.contextmanager
    def _removing(self) -> Iterator[None]:
        """One at a time removes void claims: else the second might remove the claim of whoever came after the first.

        Raises SessionBusy while another one does, or a DiskError.
        """
        lock = Lock.take(self._home / "claims.lock")
        try:
            yield
        finally:
            lock.release()

    def close(self) -> None:
        """Let others have all of them, and leave nothing behind. May be called again."""
        self.release_those()
        with self._guard, contextlib.suppress(OSError):
            if self._links is not None:
                self._links = None
                os.unlink(self._signed)  # noqa: PTH108

    def _file(self, index: int) -> str:
        path = self._path_of(index)
        if not path.isascii():
            path = unicodedata.normalize("NFC", path)
        path = path.casefold()  # one file where case makes no difference
        return f"{self._home}{os.sep}{hashlib.sha256(path.encode('utf-8', 'surrogatepass')).hexdigest()}{SUFFIX}"

    def _create(self, path: str) -> None:
        """Make the claim. Raises FileExistsError, or another OSError when none can be made here."""
        if self._links is None:
            with self._guard:
                self._links = self._sign() if self._links is None else self._links
        if self._links:
            try:
                os.link(self._signed, path)
            except FileExistsError:
                raise
            except OSError:
                self._links = False  # no links on this disk, or somebody has deleted the file
            else:
                return
        self._write(path)

    def _sign(self) -> bool:
        """Make the file that claims are links to; whether it could be made."""
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._signed)  # noqa: PTH108 - of a run that was killed
            self._write(self._signed)
        except OSError:
            return False
        return True

    def _write(self, path: str) -> None:
        fd = Place.of(Path(path)).open(_FLAGS)  # it would be made elsewhere if our folder had become a link
        try:
            os.write(fd, self._text)
        finally:
            os.close(fd)

    def _examine(self, path: str) -> tuple[_Claim, str]:
        """What the claim file says, and who holds it: "" when nobody does, so that it may be removed."""
        found = _read(path)
        if found.session:
            return found, self._holder(found)
        try:
            silence = self._lock.now() - os.lstat(path).st_mtime
        except OSError:
            return found, ""
        return found, SOMEBODY if abs(silence) < SILENCE else ""

    def _holder(self, claim: _Claim) -> str:
        """Who holds this claim; "" when its owner is dead, silent or has let go."""
        with self._guard:
            now = time.monotonic()
            known = self._watched.get(claim)
            if known is not None and now - known.looked < _KNOWN_FOR:
                return known.who
            owner, touched = self._look(claim)
            since = known.since if known is not None and known.touched == touched else now
            # A touch in the future tells nothing by itself; that it does not change does.
            silence = max(self._lock.now() - touched if touched else 0.0, now - since)
            alive = silence < SILENCE or is_ours(claim.token)
            if owner is not None:
                alive = alive and owner.token == claim.token and not owner.gone
            who = str(owner or SOMEBODY) if alive else ""
            self._watched[claim] = _Watched(now, touched, since, who)
            return who

    def _look(self, claim: _Claim) -> tuple[Owner | None, float]:
        """Who holds the lock of this claim's session, and when it was touched: 0 when that cannot be seen."""
        try:
            owner, touched = look(self._home / f"{claim.session}.lock")
        except (FileNotFoundError, Malformed):
            return None, 1.0  # long ago
        except OSError:  # somebody else's, that we may not read
            return None, 0.0
        return owner, touched if owner is not None else 1.0


def _remove(path: str, found: _Claim) -> None:
    """Remove a void claim if it still says what was found. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if _read(path) == found:
            os.unlink(path)  # noqa: PTH108


def _read(path: str) -> _Claim:
    try:
        with open_regular(Path(path)) as file:
            item = Fields(parse_json(file.read(_LIMIT)))
        return _Claim(item.hex("session", 12), item.hex("token", 16))
    except (OSError, Malformed):
        return _Claim()
