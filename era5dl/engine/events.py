"""Events of a run: their types, and the queue that delivers them to the listener.

Events are rare, at most a dozen per second. Progress is not an event; callers poll `Engine.snapshot`. A listener is
called on any thread, must return at once and must not raise.

Events with a `reason`, which is always in English, also have a `kind`: the class name of the error in `era5dl.errors`,
such as "NotFound", or "" if the reason is not an error. User interfaces can choose their own text by it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

log = logging.getLogger("era5dl")


class Outcome(Enum):
    """The result for one object."""

    VERIFIED = "verified"  # the MD5 of every byte matches the server's ETag
    CHECKED = "checked"  # size, ranges and file structure are right, but no MD5 could be compared
    CHECKED_PART = "checked-part"  # a subset of the file: its version, ranges, structure and every checksum are right
    FAILED = "failed"


class State(Enum):
    """The state of a run."""

    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"  # by the user, or because all remaining files are held by the user
    WAITING_FOR_NETWORK = "waiting for the network"
    WAITING_FOR_DISK = "waiting for the disk"
    WAITING_FOR_ROOM = "waiting for room on the disk"
    WAITING_FOR_TRUST = "waiting for a trusted certificate"
    WAITING_TO_RETRY = "waiting to try failed files again"  # at the end of a run, before a retry round
    WAITING_FOR_SESSION = "waiting for another session"  # other sessions are fetching all remaining files
    STOPPING = "stopping"
    ENDED = "ended"


PROBLEM_STATES = frozenset(  # the run waits because of a problem
    (
        State.WAITING_FOR_NETWORK,
        State.WAITING_FOR_DISK,
        State.WAITING_FOR_ROOM,
        State.WAITING_FOR_TRUST,
        State.WAITING_TO_RETRY,
    )
)
WAITING_STATES = PROBLEM_STATES | {State.WAITING_FOR_SESSION}
ONLY_HELD = "all remaining files are held"  # reason of State.PAUSED


@dataclass(frozen=True, slots=True)
class FileStarted:
    """An object has been prepared; now its bytes are fetched."""

    index: int  # position in the plan
    key: str
    size: int
    resumed_bytes: int  # already on disk from an earlier run


@dataclass(frozen=True, slots=True)
class FileRetrying:
    """An attempt failed and is repeated, or the file waits for another session."""

    index: int
    key: str
    reason: str
    attempt: int  # attempts in a row without a new byte
    delay: float  # seconds until the next attempt
    kind: str = ""


@dataclass(frozen=True, slots=True)
class FileRestarted:
    """The object was replaced in the bucket; the bytes of the old version are discarded."""

    index: int
    key: str
    reason: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class FileChanged:
    """A finished file has changed on disk, and has wrong bytes now; those are fetched again."""

    index: int
    key: str


@dataclass(frozen=True, slots=True)
class FetchedWhole:
    """A subset of the object is wanted, but it cannot be fetched alone, so the whole file is fetched."""

    index: int
    key: str
    reason: str  # what the object has


@dataclass(frozen=True, slots=True)
class FileDone:
    """A file has its final name."""

    index: int
    key: str
    size: int  # of the file
    path: str
    outcome: Outcome  # not FAILED
    reason: str  # why the file could not be verified; "" if VERIFIED
    adopted: bool  # the file was complete on disk; no byte was fetched in this run


@dataclass(frozen=True, slots=True)
class FileFailed:
    """An object could not be downloaded. A retry round may still succeed."""

    index: int
    key: str
    reason: str
    remedy: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The state of the run, or the reason for it, has changed."""

    state: State
    reason: str  # "" if the state needs no reason
    kind: str = ""


@dataclass(frozen=True, slots=True)
class RetryRoundScheduled:
    """A retry round is scheduled: files that failed for a temporary reason are retried in `delay` seconds."""

    round: int  # from 1
    files: int
    delay: float


@dataclass(frozen=True, slots=True)
class Throttled:
    """The server throttles. workers: concurrent requests allowed now. delay: seconds without requests."""

    workers: int
    delay: float


@dataclass(frozen=True, slots=True)
class FewerWorkers:
    """The system could not start all `wanted` threads; the run continues with `workers`."""

    workers: int
    wanted: int
    reason: str
    remedy: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class RangesIgnored:
    """Responses contain whole objects instead of the requested ranges, probably because of a proxy. So each file uses a
    single connection and starts again after an interruption. This event occurs at most once per run."""

    index: int  # of the first such object
    key: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event of each run, exactly once, also after a stop or an internal error."""

    verified: int
    checked: int
    failed: int
    unfinished: int  # remaining for the next run
    stopped: bool  # by the user
    error: str  # why the run ended early; "" if it did not
    remedy: str
    kind: str = ""  # of the error
    checked_part: int = 0


Event = (
    FileStarted
    | FileRetrying
    | FileRestarted
    | FileChanged
    | FetchedWhole
    | FileDone
    | FileFailed
    | StateChanged
    | RetryRoundScheduled
    | Throttled
    | FewerWorkers
    | RangesIgnored
    | RunEnded
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing: the default listener."""


class EventQueue:
    """Queues events under the engine's lock and delivers them in order after its release. Thread-safe.

    Delivery without the lock lets a listener call back into the engine.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._waiting: deque[Event] = deque()
        self._delivery_lock = threading.RLock()

    def put(self, event: Event) -> None:
        """Add an event. Does not call the listener."""
        self._waiting.append(event)

    def deliver(self) -> None:
        """Pass all waiting events to the listener. Must not be called with the engine's lock held."""
        if not self._waiting:  # usually; another thread may add an event now, and will deliver it itself
            return
        with self._delivery_lock:
            while self._waiting:
                event = self._waiting.popleft()
                try:
                    self._listener(event)
                except Exception:  # a bug in a listener must not end a download
                    log.exception("a listener failed on %s", type(event).__name__)


class LockThenDeliver:
    """Context manager: holds the lock, then delivers the queued events, unless an exception is raised. Reusable."""

    def __init__(self, lock: threading.RLock, queue: EventQueue) -> None:
        self._lock, self._queue = lock, queue

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._lock.release()
        if error is None:
            self._queue.deliver()
