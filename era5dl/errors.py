"""Exception hierarchy: everything that can go wrong, one class per reaction of the engine and remedy for the user.

Each error carries the engine's reaction (`reaction`) and what the user can do (`remedy`), so that no code has to match
message texts. Exceptions of botocore and urllib3 do not leave `era5dl.bucket`; they are translated to these.

Era5Error
├── UsageError                  the request is invalid
│   ├── UnknownName
│   ├── AmbiguousName
│   ├── BadSelection
│   └── UnsafeKey               a key that cannot be a file inside the download folder
├── BucketError                 a request to the bucket failed
│   ├── Interrupted             the body ended early, stalled or was reset
│   ├── StaleConnection         the server had closed a pooled connection
│   ├── BadResponse             a success status with headers that do not match the requested range or version
│   ├── ServerBusy              503, 429: the server throttles
│   ├── ServerFault             500, 502, 504, 408
│   ├── Unreachable             no network, no DNS, connection refused
│   ├── Untrusted               TLS certificate verification failed
│   ├── ObjectChanged           the object was replaced in the bucket
│   ├── Contradiction           responses disagree on an object's size or version
│   ├── NotFound
│   ├── Denied
│   ├── Refused                 any other response that a retry will not change
│   ├── BucketRefused           the bucket or the proxy rejects every request
│   └── OutOfSockets            the limit of open files is reached
├── ProofError                  downloaded bytes do not match the server's MD5, repeatedly
├── DiskError
│   ├── DiskFull
│   ├── WillNotFit              the remaining bytes need more space than there is
│   ├── FileTooLarge            for the file system, or for the user's limit
│   ├── FileInUse               another program has the file open (Windows)
│   ├── FolderUnusable          read-only, or no permission
│   │   ├── DiskAway            its disk is, or was, disconnected
│   │   └── FolderVanished      deleted, moved or replaced
│   └── PartLost                the part file was deleted or replaced
├── SessionError
│   ├── SessionBusy             another program uses it
│   │   └── BlocksBusy          programs of a cluster are downloading blocks of it
│   ├── ClaimedElsewhere        another session is downloading this object into the same folder
│   ├── SessionDamaged          the resume file cannot be read
│   ├── OtherEndpoint           it uses a server that the user has not allowed
│   └── SessionNotFound
├── ClusterError                the computers of a cluster cannot be used
│   ├── NodeUnfit               a computer where the download folder is not that of the run
│   ├── NoWorkers
│   ├── WorkersLost             the workers of the cluster ended again and again
│   └── VersionDiffers          of era5dl, on the computers of the cluster
├── OutOfThreads                the system starts no more threads for this process
└── Stopped                     requested by the user; never a failure
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum


class Reaction(Enum):
    """How the engine reacts when an error ends an attempt."""

    RETRY = "retry"  # immediately if the attempt brought new bytes, else after a backoff
    RETRY_ONCE = "retry once"  # the first time immediately, then after a backoff
    FEW_RETRIES = "few retries"  # like BACKOFF; with fewer attempts while nothing suggests a temporary cause
    BACKOFF = "backoff"
    THROTTLE = "throttle"  # after a delay; when many requests are affected, all workers slow down together
    RESTART = "restart"  # request the object's current version and download it again from the beginning
    REOPEN = "reopen"  # reopen the files and continue from what is on the disk, as after a restart of the program
    FAIL_OBJECT = "fail object"
    FAIL_SESSION = "fail session"
    WAIT_FOR_NETWORK = "wait for network"  # does not count as a failed attempt
    YIELD = "yield"  # leave the object to the other session, and look again later
    PAUSE = "pause"  # until the cause is gone or the user resumes
    STOP = "stop"


class Era5Error(Exception):
    """Base class of all errors. `str()` is what happened; `remedy` is what the user can do, and may be empty.

    Without a message of its own, an error has the first line of its class's docstring.
    """

    reaction = Reaction.FAIL_OBJECT
    remedy = ""
    transient = False  # an object that failed with it may succeed later

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        if remedy:
            self.remedy = remedy

    @property
    def kind(self) -> str:
        """Class name, as stored in events and resume files. The window looks up its translated text by it."""
        return type(self).__name__


class UsageError(Era5Error):
    """The request is invalid."""

    reaction = Reaction.FAIL_SESSION


class UnknownName(UsageError):
    """No product or variable has this name.

    candidates: the most similar names that exist.
    """

    def __init__(self, message: str, *, candidates: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.candidates = tuple(candidates)


class AmbiguousName(UsageError):
    """More than one variable has this name.

    candidates: their full names.
    """

    def __init__(self, message: str, *, candidates: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.candidates = tuple(candidates)


class BadSelection(UsageError):
    """These variables and dates do not form a valid selection."""


class UnsafeKey(UsageError):
    """This object key cannot be saved as a file in the download folder."""

    reaction = Reaction.FAIL_OBJECT


class BucketError(Era5Error):
    """A request to the bucket failed."""

    transient = True
    remedy = "Try again later. `era5dl diagnose` tests the connection."


class Interrupted(BucketError):
    """The connection ended before all bytes were received.

    stalled: the connection was closed by us because its throughput was too low.
    """

    reaction = Reaction.RETRY

    def __init__(self, message: str = "", *, stalled: bool = False) -> None:
        super().__init__(message)
        self.stalled = stalled


class StaleConnection(BucketError):
    """The server had closed this idle connection."""

    reaction = Reaction.RETRY_ONCE


class BadResponse(BucketError):
    """The response is not the requested part of the object."""

    reaction = Reaction.BACKOFF
    remedy = "If it happens repeatedly, a proxy or a login page is answering instead of the bucket."


class ServerBusy(BucketError):
    """The server asks for fewer requests.

    retry_after: the delay that the server asks for, in seconds; None if it names none.
    """

    reaction = Reaction.THROTTLE

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerFault(BucketError):
    """The server reported an internal error."""

    reaction = Reaction.BACKOFF


class Unreachable(BucketError):
    """The bucket cannot be reached."""

    reaction = Reaction.WAIT_FOR_NETWORK
    remedy = "Check the network connection, the endpoint URL and the proxy settings."


class Untrusted(BucketError):
    """The server's TLS certificate is not trusted."""

    reaction = Reaction.PAUSE
    remedy = (
        "Check this computer's clock. If your institute inspects TLS traffic, specify its CA file with --ca-bundle. "
        "On a network with a login page, log in first."
    )


class ObjectChanged(BucketError):
    """The object was replaced in the bucket while it was being downloaded."""

    transient = False
    reaction = Reaction.RESTART
    remedy = "Run the same command again to download the new version."


class Contradiction(BucketError):
    """The server's responses disagree on the size or version of this object."""

    reaction = Reaction.BACKOFF
    remedy = "Probably several servers or caches are out of sync. Try again later."


class NotFound(BucketError):
    """There is no such object in the bucket."""

    transient = False
    remedy = "Check the spelling of the key. Recent data may not be published yet."


class Denied(BucketError):
    """The server denies access to this object."""

    transient = False
    remedy = "Check the key and the bucket. If other objects can be downloaded, leave this one out or try again later."
    reaction = Reaction.FEW_RETRIES  # firewalls and overloaded servers also answer 403, temporarily


class Refused(BucketError):
    """The server rejects this request."""

    remedy = "Check the key, the bucket name and the endpoint URL."


class BucketRefused(BucketError):
    """The server rejects every request."""

    reaction = Reaction.FAIL_SESSION
    remedy = "Check the bucket name, the region and the endpoint URL."


class OutOfSockets(BucketError):
    """The system does not allow this program to open more connections."""

    reaction = Reaction.FAIL_SESSION
    remedy = "Use fewer workers, or raise the limit of open files (ulimit -n)."


class ProofError(Era5Error):
    """The downloaded bytes do not match the checksum of the server."""


class DiskError(Era5Error):
    """A file cannot be read or written."""

    transient = True
    reaction = Reaction.PAUSE


class DiskFull(DiskError):
    """There is no space left on the disk."""

    remedy = "Free some disk space; the download then continues automatically."


class WillNotFit(DiskError):
    """There is not enough disk space for the rest of the download."""

    transient = False
    reaction = Reaction.FAIL_OBJECT
    remedy = "Free some disk space, select less data, or choose a folder on another disk."


class FileTooLarge(DiskError):
    """The file system does not support files of this size."""

    transient = False
    reaction = Reaction.FAIL_OBJECT
    remedy = (
        "Choose a folder on another disk (FAT32, for example, is limited to 4 GB per file), or raise the limit of the "
        "file size (ulimit -f)."
    )


class FileInUse(DiskError):
    """Another program has the file open, so that it cannot be replaced now (Windows)."""

    remedy = "Close the file in the other program; the download of the file then finishes automatically."


class FolderUnusable(DiskError):
    """The folder cannot be written to."""

    remedy = "Check that the folder exists, that its disk is connected and that you may write there."


class DiskAway(FolderUnusable):
    """The disk with the download folder is or was disconnected; unsynced bytes may be lost."""

    remedy = "Reconnect the disk; the download then continues automatically."


class FolderVanished(FolderUnusable):
    """The download folder was deleted or moved."""

    remedy = (
        "Put the folder back and the download continues; or stop it, and run `era5dl resume` with the new location."
    )


class PartLost(DiskError):
    """The part file was deleted or replaced during the download."""

    reaction = Reaction.RESTART


class SessionError(Era5Error):
    """A session cannot be used."""

    reaction = Reaction.FAIL_SESSION


class SessionBusy(SessionError):
    """Another program is using this session."""


class BlocksBusy(SessionBusy):
    """Programs of a cluster are downloading blocks of this session."""

    remedy = "Let them finish (`era5dl gather DIR --watch` shows their progress), or cancel their job first."


class ClaimedElsewhere(SessionError):
    """Another session is downloading this object into the same folder."""

    reaction = Reaction.YIELD


class SessionDamaged(SessionError):
    """The resume file of this session cannot be read."""


class OtherEndpoint(SessionError):
    """This session uses a server that you have not allowed.

    address: URL of the server.
    """

    remedy = "If you trust that server, allow it with --allow-endpoint. If not, download into another folder."

    def __init__(self, message: str = "", *, address: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.address = address


class SessionNotFound(SessionError):
    """There is no such session."""


class ClusterError(Era5Error):
    """The computers of a cluster cannot be used for this download."""

    reaction = Reaction.FAIL_SESSION


class NodeUnfit(ClusterError):
    """The download folder on this computer is not that of the run."""

    remedy = (
        "Mount the shared folder on this computer, or run `era5dl prepare` for it first; or leave the computer out."
    )


class NoWorkers(ClusterError):
    """The cluster has no worker."""

    remedy = "Start workers (dask worker SCHEDULER-ADDRESS), and run the same command again."


class WorkersLost(ClusterError):
    """Workers of the cluster ended again and again."""

    remedy = (
        "Look at the logs of the workers: memory limits and time limits end workers. Then run the same command again."
    )


class VersionDiffers(ClusterError):
    """Computers of the cluster have another version of era5dl."""

    remedy = "Install the same version of era5dl on all computers, best in one environment in the shared folder."


class OutOfThreads(Era5Error):
    """The system does not allow this program to start more threads."""

    reaction = Reaction.FAIL_SESSION
    remedy = (
        "Use fewer workers, close other programs, or raise the limit of processes and threads (ulimit -u; in a "
        "container or batch job, its process limit)."
    )


class Stopped(Era5Error):
    """Stopped by the user."""

    reaction = Reaction.STOP
