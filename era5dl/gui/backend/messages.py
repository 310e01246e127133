"""What the conductor tells the window: frozen values, free of exceptions, made on any thread and read on Tk's.

(An exception holds its traceback, that holds frames, and those hold sockets and locks: only its words are passed on.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.diagnosis.network_test import NetworkTest
from era5dl.engine.events import Event, RunEnded
from era5dl.engine.progress import Snapshot
from era5dl.engine.verify_files import FileReport
from era5dl.errors import Era5Error
from era5dl.formatting import plain
from era5dl.planner import Missing, Plan
from era5dl.redaction import without_secrets
from era5dl.session import SessionSummary


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as values. kind: `Era5Error.kind`, for `words.explain`; detail: what it said itself."""

    kind: str
    detail: str
    remedy: str = ""

    @classmethod
    def of(cls, error: BaseException) -> ErrorInfo:
        if isinstance(error, Era5Error):
            return cls(error.kind, _sayable(str(error)), error.remedy)
        return cls("Era5Error", _sayable(f"{type(error).__name__}: {str(error)[:300]}"))


def _sayable(text: str) -> str:
    """What a server, a lock or a file has put into it can neither draw nor tell a password."""
    return "\n".join(map(plain, without_secrets(text).split("\n")))


@dataclass(frozen=True, slots=True)
class PlanProgressed:
    """A plan is being made: so many listings are done, of so many."""

    number: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PlanReady:
    """The answer to request `number`."""

    number: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class PlanFailed:
    """There is no answer to request `number`."""

    number: int
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class FolderInspected:
    """What there is about a folder. free: bytes; None where the error says why it is not known."""

    folder: Path
    free: int | None
    sessions: tuple[SessionSummary, ...] = ()
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A session is open and about to run. partial: bytes on disk of unfinished ones."""

    session_id: str
    folder: Path
    title: str
    objects: tuple[ObjectInfo, ...]
    missing: tuple[Missing, ...]
    partial: dict[int, int]
    notes: tuple[str, ...]
    only: frozenset[int] | None  # of what is not finished, nothing but these is fetched
    elsewhere: str = ""  # the server that the session names, where it is neither Amazon's nor that of the settings


@dataclass(frozen=True, slots=True)
class SessionNotOpened:
    """There is nothing to run."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class ConsentRequired:
    """A session names a server that nobody has agreed to: its URL. It is closed again, and nothing was asked there."""

    session_id: str
    folder: Path
    address: str
    verifying: bool = False  # it was to be looked at; else to be gone on with


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """An event of the engine, passed on."""

    event: Event


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run has ended and its session is closed. Exactly once after each Opened."""

    session_id: str
    folder: Path
    ended: RunEnded
    last: Snapshot
    states: bytes
    missing: int


@dataclass(frozen=True, slots=True)
class VerifyProgressed:
    """So many files of a session have been looked at, of so many."""

    session_id: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class VerifyFinished:
    """A session's files have been proven, or not: each of them, in the plan's order."""

    session_id: str
    folder: Path
    examined: tuple[FileReport, ...]


@dataclass(frozen=True, slots=True)
class VerifyFailed:
    """A session could not be looked at, or it was stopped."""

    session_id: str
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class SessionsListed:
    """The sessions that are known on this computer, newest first."""

    sessions: tuple[SessionSummary, ...]


@dataclass(frozen=True, slots=True)
class SessionForgotten:
    """It is off the list; with a error, what it left in its folder could not be removed."""

    session_id: str
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class NetworkTested:
    """The network test has ended."""

    network_test: NetworkTest


@dataclass(frozen=True, slots=True)
class DemoProgressed:
    """The demo's files are being made: so many, of so many."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class DemoReady:
    """The demo's bucket listens."""

    endpoint_url: str
    bucket: str


@dataclass(frozen=True, slots=True)
class DemoFailed:
    """There is no demo."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class TaskCrashed:
    """A bug in a thread of the conductor: told, logged, survived."""

    where: str
    error: ErrorInfo


Message = (
    PlanProgressed
    | PlanReady
    | PlanFailed
    | FolderInspected
    | SessionOpened
    | SessionNotOpened
    | ConsentRequired
    | EngineEvent
    | RunFinished
    | VerifyProgressed
    | VerifyFinished
    | VerifyFailed
    | SessionsListed
    | SessionForgotten
    | NetworkTested
    | DemoProgressed
    | DemoReady
    | DemoFailed
    | TaskCrashed
)
