"""Messages from the backend to the window: frozen dataclasses, each named after an event.

They are created on any thread and read on the Tk thread. They contain `ErrorInfo` instead of exceptions, because the
traceback of an exception would keep frames, and their sockets and locks, alive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from era5dl.archive.calendar import Calendar
from era5dl.archive.states import Audit
from era5dl.bucket.interface import ObjectInfo
from era5dl.cds import Translation
from era5dl.diagnosis.network_test import NetworkTest
from era5dl.engine.events import Event, RunEnded
from era5dl.engine.progress import Snapshot
from era5dl.engine.verify_files import FileReport
from era5dl.errors import Era5Error
from era5dl.formatting import printable
from era5dl.jobs.job import Job
from era5dl.planner import Missing, Plan, PlanEstimate
from era5dl.preview.shown_map import MapRequest, ShownMap
from era5dl.redaction import redact_secrets
from era5dl.session import SessionSummary
from era5dl.settings import Settings


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as plain values. kind: `Era5Error.kind`, the key of its explanation. detail: its message."""

    kind: str
    detail: str
    remedy: str = ""

    @classmethod
    def of(cls, error: BaseException) -> ErrorInfo:
        if isinstance(error, Era5Error):
            return cls(error.kind, _safe_text(str(error)), error.remedy)
        return cls("Era5Error", _safe_text(f"{type(error).__name__}: {str(error)[:300]}"))


def _safe_text(text: str) -> str:
    """Remove control characters and passwords: the text may come from a server, a lock or a file."""
    return "\n".join(map(printable, redact_secrets(text).split("\n")))


# --- planning


@dataclass(frozen=True, slots=True)
class PlanProgressed:
    """`done` of `total` listings for plan request `number` are complete."""

    number: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PlanReady:
    """The plan of plan request `number` is ready.

    estimate: what a subset fetches and writes; None for whole files. sizes: about how many bytes are fetched of each
    file, where these are not all. newest: the last published day, if the selection ends in "latest".
    """

    number: int
    plan: Plan
    estimate: PlanEstimate | None = None
    newest: date | None = None
    sizes: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanEstimated:
    """The indexes of the files of plan request `number` have been read: what a subset fetches is now known exactly."""

    number: int
    estimate: PlanEstimate


@dataclass(frozen=True, slots=True)
class PlanFailed:
    """Plan request `number` has failed."""

    number: int
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class CdsTranslated:
    """What text `number` of the dialog for CDS requests is in the bucket, or why it is no request."""

    number: int
    translation: Translation | None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class FolderInspected:
    """Free space and sessions of a folder. free: bytes; None if unknown, and `error` is the reason."""

    folder: Path
    free: int | None
    sessions: tuple[SessionSummary, ...] = ()
    error: ErrorInfo | None = None


# --- runs


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A session is open and its run starts.

    partial_bytes: bytes on disk of unfinished files, by index in the plan. sizes: of files of which only a part is
    wanted, see `Engine.subset_sizes`. only: indices of the files that this run downloads; None means all. other_server:
    the session's endpoint URL if it is neither Amazon's nor the configured one.
    """

    session_id: str
    folder: Path
    title: str
    objects: tuple[ObjectInfo, ...]
    missing: tuple[Missing, ...]
    partial_bytes: dict[int, int]
    sizes: dict[int, int]
    notes: tuple[str, ...]
    only: frozenset[int] | None
    other_server: str = ""


@dataclass(frozen=True, slots=True)
class SessionNotOpened:
    """The session could not be opened, and no run starts."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class ConsentRequired:
    """A session uses a server that needs the user's consent. The session was closed, and the server not contacted.

    address: URL of that server. verifying, updating: the session was to be verified, or updated; otherwise it was to be
    resumed.
    """

    session_id: str
    folder: Path
    address: str
    verifying: bool = False
    updating: bool = False


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """An event of the engine."""

    event: Event


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run has ended and its session is closed. Posted exactly once after each SessionOpened.

    states: one `FileState` as a byte for each file. missing: number of planned files that the server does not have.
    """

    session_id: str
    folder: Path
    result: RunEnded
    snapshot: Snapshot
    states: bytes
    missing: int


# --- sessions


@dataclass(frozen=True, slots=True)
class SessionsListed:
    """The sessions known on this computer, newest first."""

    sessions: tuple[SessionSummary, ...]


@dataclass(frozen=True, slots=True)
class SessionForgotten:
    """A session was removed from the list. With an error, some of its files could not be removed."""

    session_id: str
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class VerifyProgressed:
    """`done` of `total` files of a session have been verified."""

    session_id: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class VerifyFinished:
    """All files of a session have been verified; the results are in the order of the plan."""

    session_id: str
    folder: Path
    examined: tuple[FileReport, ...]


@dataclass(frozen=True, slots=True)
class VerifyFailed:
    """A verification has failed, or was stopped."""

    session_id: str
    error: ErrorInfo


# --- jobs and updates


@dataclass(frozen=True, slots=True)
class JobsListed:
    """The jobs of the queue, in their order. notes: about the file of the list. runner: another program that is running
    jobs; "" if none is."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...] = ()
    runner: str = ""


@dataclass(frozen=True, slots=True)
class JobStarted:
    """This window has begun to run a job: it is planned, then downloaded."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobWaits:
    """The next job cannot be planned, because the server cannot be reached. It is tried again and again."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class JobsEnded:
    """This window runs no more jobs."""


@dataclass(frozen=True, slots=True)
class JobsFailed:
    """The queue could not be read or changed."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class UpdateFound:
    """What is different in the bucket for a session.

    replaced: number of finished files that have new versions. keep, take: plans that keep the old versions, or take the
    new ones; None if nothing would be fetched. newest: the last published day. settings: for the download.
    """

    session_id: str
    folder: Path
    replaced: int
    keep: Plan | None
    take: Plan | None
    newest: date | None
    settings: Settings


@dataclass(frozen=True, slots=True)
class UpdateFailed:
    """It could not be found out what is different in the bucket."""

    session_id: str
    error: ErrorInfo


# --- archives


@dataclass(frozen=True, slots=True)
class ArchiveAudited:
    """A folder was compared with what its sessions have asked for."""

    folder: Path
    audit: Audit
    calendar: Calendar


@dataclass(frozen=True, slots=True)
class ArchiveFailed:
    """Something about an archive has failed. is_audit: there is no audit of the folder."""

    folder: Path
    error: ErrorInfo
    is_audit: bool = False


@dataclass(frozen=True, slots=True)
class GapsPlanned:
    """The plan for what an archive lacks. more: how many kinds of parts lack besides."""

    folder: Path
    plan: Plan
    more: int


@dataclass(frozen=True, slots=True)
class ArchiveFileWritten:
    """A table of all files was written."""

    path: Path
    files: int


@dataclass(frozen=True, slots=True)
class ManifestProgressed:
    """`done` of `total` bytes have been read for the sums of a manifest."""

    folder: Path
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ManifestWritten:
    """A manifest was written. unsummed: bytes of files without a SHA-256. changed: files that are not as they were."""

    folder: Path
    path: Path
    files: int
    unsummed: int
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CitationMade:
    """The citation for the data in a folder."""

    folder: Path
    text: str
    bibtex: str


# --- maps of files


@dataclass(frozen=True, slots=True)
class MapReady:
    """A map has been made."""

    request: MapRequest
    shown: ShownMap


@dataclass(frozen=True, slots=True)
class MapFailed:
    """A map could not be made."""

    request: MapRequest
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class PictureSaved:
    """A picture of a map was written to a file; with an error, it was not."""

    path: Path
    error: ErrorInfo | None = None


# --- network test, demo, crashes


@dataclass(frozen=True, slots=True)
class NetworkTested:
    """The network test has ended."""

    network_test: NetworkTest


@dataclass(frozen=True, slots=True)
class DemoProgressed:
    """`done` of `total` files of the demo have been created."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class DemoReady:
    """The demo server is running."""

    endpoint_url: str
    bucket: str


@dataclass(frozen=True, slots=True)
class DemoFailed:
    """The demo server could not be started."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class TaskCrashed:
    """An unexpected exception (a bug) in the background task or thread with this name."""

    task: str
    error: ErrorInfo


Message = (
    PlanProgressed
    | PlanReady
    | PlanEstimated
    | PlanFailed
    | CdsTranslated
    | FolderInspected
    | SessionOpened
    | SessionNotOpened
    | ConsentRequired
    | EngineEvent
    | RunFinished
    | SessionsListed
    | SessionForgotten
    | VerifyProgressed
    | VerifyFinished
    | VerifyFailed
    | JobsListed
    | JobStarted
    | JobWaits
    | JobsEnded
    | JobsFailed
    | UpdateFound
    | UpdateFailed
    | ArchiveAudited
    | ArchiveFailed
    | GapsPlanned
    | ArchiveFileWritten
    | ManifestProgressed
    | ManifestWritten
    | CitationMade
    | MapReady
    | MapFailed
    | PictureSaved
    | NetworkTested
    | DemoProgressed
    | DemoReady
    | DemoFailed
    | TaskCrashed
)
