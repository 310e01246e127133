"""What the engine says: rare facts, in the past tense, a dozen a second at most. Progress is not told, it is asked for.

A listener gets them on whatever thread they happened, must return at once and must not raise.

`kind`, wherever there is a reason, is the name of the class of `era5dl.errors` behind it, such as "NotFound": by it a
face finds words of its own. It is "" where no error is behind it; the reason is always English.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """How far one object is proven, or why it is not here."""

    VERIFIED = "verified"  # the MD5 of every byte matches the server's ETag
    CHECKED = "checked"  # size, ranges and file structure are right; the ETag is no MD5
    FAILED = "failed"


class State(Enum):
    """What a run is doing as a whole."""

    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"  # by the user, or because all that is left is held by the user
    WAITING_FOR_NETWORK = "waiting for the network"
    WAITING_FOR_DISK = "waiting for the disk"
    WAITING_FOR_ROOM = "waiting for room on the disk"
    WAITING_FOR_TRUST = "waiting for a trusted certificate"
    WAITING_TO_RETRY = "waiting to try failed files again"  # at the end of a run
    WAITING_FOR_SESSION = "waiting for another session"  # all that is left is being fetched by others in this folder
    STOPPING = "stopping"
    ENDED = "ended"


TROUBLES = frozenset(  # the run waits for something that is not as it should be
    (
        State.WAITING_FOR_NETWORK,
        State.WAITING_FOR_DISK,
        State.WAITING_FOR_ROOM,
        State.WAITING_FOR_TRUST,
        State.WAITING_TO_RETRY,
    )
)
WAITS = TROUBLES | {State.WAITING_FOR_SESSION}  # all states in which the run waits
ONLY_HELD = "only held files are left"  # reason of PAUSED


@dataclass(frozen=True, slots=True)
class FileStarted:
    index: int  # place in the plan
    key: str
    size: int
    resumed_bytes: int  # already on disk from an earlier run


@dataclass(frozen=True, slots=True)
class FileRetrying:
    index: int
    key: str
    reason: str
    attempt: int  # attempts in a row that brought no new byte
    delay: float  # seconds until the next attempt
    kind: str = ""


@dataclass(frozen=True, slots=True)
class FileRestarted:
    """The object was replaced upstream; what had come of the old version is thrown away."""

    index: int
    key: str
    reason: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class FileDone:
    index: int
    key: str
    size: int
    path: str
    outcome: Outcome  # VERIFIED or CHECKED
    reason: str  # for CHECKED: why no more could be proven; else ""
    adopted: bool  # it was on disk already, whole; no byte of it was fetched in this run


@dataclass(frozen=True, slots=True)
class FileFailed:
    index: int
    key: str
    reason: str
    remedy: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class StateChanged:
    state: State
    reason: str  # for people; "" when the state says it all
    kind: str = ""


@dataclass(frozen=True, slots=True)
class SecondChance:
    """All else is done; files that failed for a reason that time may heal are tried again in `delay` seconds."""

    round: int  # from 1
    files: int
    delay: float


@dataclass(frozen=True, slots=True)
class Throttled:
    """The server asked to slow down; `workers` is how many requests at once are allowed now."""

    workers: int
    delay: float


@dataclass(frozen=True, slots=True)
class FewerWorkers:
    """The system gives no threads for as many workers as are wanted; `workers` do it all."""

    workers: int
    wanted: int
    reason: str
    remedy: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class RangesIgnored:
    """Something in between answers with whole objects where parts are asked for: each file comes over one connection,
    and an interruption starts it again. Once per run."""

    index: int  # of the object that showed it
    key: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Exactly once per run, as its last event, also after a stop or a bug."""

    verified: int
    checked: int
    failed: int
    unfinished: int  # left for the next run
    stopped: bool  # by the user
    error: str  # what ended the whole run before its time; "" when nothing did
    remedy: str
    kind: str = ""  # of that error


Event = (
    FileStarted
    | FileRetrying
    | FileRestarted
    | FileDone
    | FileFailed
    | StateChanged
    | SecondChance
    | Throttled
    | FewerWorkers
    | RangesIgnored
    | RunEnded
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not listen."""
