"""Everything that can go wrong, as one tree.

An error knows what the engine does about it (`reaction`) and what a person can do about it (`remedy`); nobody matches
message texts. No class of boto3, botocore or urllib3 leaves `era5dl.bucket`: it arrives here as one of these.

Era5Error
├── UsageError                  the person asked for something that cannot be
│   ├── UnknownName
│   ├── AmbiguousName
│   ├── BadSelection
│   └── UnsafeKey               a key that would leave the chosen folder
├── BucketError                 what a request came back with
│   ├── Interrupted             the body ended early, stalled or was reset
│   ├── StaleConnection         a pooled connection turned out to be dead
│   ├── BadResponse             a success whose headers do not prove that these are our bytes
│   ├── ServerBusy              503, 429: asked to slow down
│   ├── ServerFault             500, 502, 504, 408
│   ├── Unreachable             no network, no DNS, nobody listening
│   ├── Untrusted               the certificate is not the one it should be
│   ├── ObjectChanged           another version of the object is upstream now
│   ├── Contradiction           the server says that it has changed, and that it has not
│   ├── NotFound
│   ├── Denied
│   ├── Refused                 any other answer that asking again will not change
│   ├── BucketRefused           the whole bucket or the proxy says no
│   └── OutOfSockets            this process may open no more files
├── ProofError                  the bytes that came, several times, do not match the server's MD5
├── DiskError
│   ├── DiskFull
│   ├── WillNotFit              more is to come than there is room for
│   ├── FileTooLarge            for the file system, or for the user's limit
│   ├── FolderUnusable          read-only, not permitted
│   │   ├── DiskAway            its disk is away, or was
│   │   └── FolderVanished      deleted, moved away or exchanged
│   └── PartLost                somebody took the part file away
├── SessionError
│   ├── SessionBusy             another program holds it
│   ├── ClaimedElsewhere        another session fetches this object into the same folder
│   ├── SessionDamaged          the resume file cannot be read
│   ├── OtherEndpoint           it names a server that nobody has agreed to
│   └── SessionNotFound
├── OutOfThreads                this process may start no more threads
└── Stopped                     said by the user; never a failure
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum


class Reaction(Enum):
    """What the engine does when an error ends an attempt."""

    RETRY = "retry"  # at once if the attempt brought new bytes, else after a backoff
    RETRY_ONCE = "retry once"  # the first time at once, then after a backoff
    FEW_RETRIES = "few retries"  # like BACKOFF, but with fewer attempts, where nothing shows that it passes
    BACKOFF = "backoff"
    THROTTLE = "throttle"  # later; where it is one of many, all workers slow down together
    RESTART = "restart"  # ask for the object's version again and begin anew
    REOPEN = "reopen"  # go on from what is on the disk itself, as after a restart of the program
    FAIL_OBJECT = "fail object"
    FAIL_SESSION = "fail session"
    WAIT_FOR_NETWORK = "wait for network"  # costs no budget
    YIELD = "yield"  # leave the object to another session, and look again later
    PAUSE = "pause"  # until the cause is gone or the user says go
    STOP = "stop"


class Era5Error(Exception):
    """Root of the tree. `str()` says what happened; `remedy` says what to do, and may be empty."""

    reaction = Reaction.FAIL_OBJECT
    remedy = ""
    transient = False  # an object that has failed by it may be had some time later

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        if remedy:
            self.remedy = remedy

    @property
    def kind(self) -> str:
        """The name of its class: what events and resume files carry, and by which a face finds its own words."""
        return type(self).__name__


class UsageError(Era5Error):
    """The request itself is wrong."""

    reaction = Reaction.FAIL_SESSION


class UnknownName(UsageError):
    """No product or variable has this name. `candidates` are the nearest that exist."""

    def __init__(self, message: str, *, candidates: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.candidates = tuple(candidates)


class AmbiguousName(UsageError):
    """More than one variable has this name. `candidates` are their full names."""

    def __init__(self, message: str, *, candidates: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.candidates = tuple(candidates)


class BadSelection(UsageError):
    """The dates or the set of variables make no sense together."""


class UnsafeKey(UsageError):
    """This key cannot become a file inside the chosen folder."""

    reaction = Reaction.FAIL_OBJECT


class BucketError(Era5Error):
    """A request to the bucket failed."""

    transient = True
    remedy = "Try again later; era5dl diagnose shows what stands in the way."


class Interrupted(BucketError):
    """The connection ended before all bytes had come. `stalled`: by us, since what came was next to nothing."""

    reaction = Reaction.RETRY

    def __init__(self, message: str = "", *, stalled: bool = False) -> None:
        super().__init__(message)
        self.stalled = stalled


class StaleConnection(BucketError):
    """The server had already closed this connection."""

    reaction = Reaction.RETRY_ONCE


class BadResponse(BucketError):
    """The answer is not the part of the object that was asked for."""

    reaction = Reaction.BACKOFF
    remedy = "If this goes on, a proxy or a login page stands between this computer and the bucket."


class ServerBusy(BucketError):
    """The server asks to slow down. `retry_after` is its wish in seconds, if it said one."""

    reaction = Reaction.THROTTLE

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerFault(BucketError):
    """The server failed to answer."""

    reaction = Reaction.BACKOFF


class Unreachable(BucketError):
    """The bucket cannot be reached."""

    reaction = Reaction.WAIT_FOR_NETWORK
    remedy = "Check the network connection, the endpoint URL and the proxy settings."


class Untrusted(BucketError):
    """The server's certificate cannot be trusted."""

    reaction = Reaction.PAUSE
    remedy = (
        "Check this computer's clock. If your institute inspects TLS traffic, name its CA file with --ca-bundle. "
        "On a network with a login page, log in first."
    )


class ObjectChanged(BucketError):
    """The object was replaced upstream while it was being fetched."""

    transient = False
    reaction = Reaction.RESTART
    remedy = "Run the same command again: it fetches the new version."


class Contradiction(BucketError):
    """One answer of the server contradicts another one about the size or the version of an object."""

    reaction = Reaction.BACKOFF
    remedy = "Most likely servers or caches that do not agree answer in turn; try again later."


class NotFound(BucketError):
    """There is no such object in the bucket."""

    transient = False
    remedy = "Check how its key is written; what is recent may not be published yet."


class Denied(BucketError):
    """The server does not give this object away."""

    transient = False
    remedy = "Check the key and the bucket; if other objects come, leave this one out or try it again later."
    reaction = Reaction.FEW_RETRIES  # firewalls and servers under load say so, too, and do not mean it


class Refused(BucketError):
    """The server refuses this request."""

    remedy = "Check the key, the bucket name and the endpoint URL."


class BucketRefused(BucketError):
    """The server refuses every request."""

    reaction = Reaction.FAIL_SESSION
    remedy = "Check the bucket name, the region and the endpoint URL."


class OutOfSockets(BucketError):
    """This program may open no more connections."""

    reaction = Reaction.FAIL_SESSION
    remedy = "Use fewer workers, or raise the limit of open files (ulimit -n)."


class ProofError(Era5Error):
    """The bytes on disk are not the server's."""


class DiskError(Era5Error):
    """The disk does not take or give the bytes."""

    transient = True
    reaction = Reaction.PAUSE


class DiskFull(DiskError):
    """There is no room left on the disk."""

    remedy = "Make room on the disk; the download goes on by itself."


class WillNotFit(DiskError):
    """More is to come than there is room for on the disk."""

    transient = False
    reaction = Reaction.FAIL_OBJECT
    remedy = "Make room on the disk, ask for less, or choose a folder on another disk."


class FileTooLarge(DiskError):
    """The file system takes no file of this size."""

    transient = False
    reaction = Reaction.FAIL_OBJECT
    remedy = (
        "Choose a folder on another disk (FAT32, for one, takes no file above 4 GB), or raise your limit of file sizes "
        "(ulimit -f)."
    )


class FolderUnusable(DiskError):
    """The folder cannot be written to."""

    remedy = "Check that the folder still exists, that the disk is connected and that you may write there."


class DiskAway(FolderUnusable):
    """The disk that holds the folder is away, or was: what was not synced may be lost."""

    remedy = "Connect it again; the download goes on by itself."


class FolderVanished(FolderUnusable):
    """The folder was deleted or moved away."""

    remedy = "Put it back and the download goes on; or end it, and go on in its new place with era5dl resume."


class PartLost(DiskError):
    """The part file has vanished while it was being filled."""

    reaction = Reaction.RESTART


class SessionError(Era5Error):
    """A session cannot be used."""

    reaction = Reaction.FAIL_SESSION


class SessionBusy(SessionError):
    """Another program is working on this session."""


class ClaimedElsewhere(SessionError):
    """Another session is fetching this object into the same folder."""

    reaction = Reaction.YIELD


class SessionDamaged(SessionError):
    """The resume file of this session cannot be read."""


class OtherEndpoint(SessionError):
    """This session names a server that nobody has agreed to. `address` is its URL."""

    remedy = "If you trust that server, name it with --allow-endpoint. If you do not, download into another folder."

    def __init__(self, message: str = "", *, address: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.address = address


class SessionNotFound(SessionError):
    """There is no such session."""


class OutOfThreads(Era5Error):
    """The system gives this program no more threads."""

    reaction = Reaction.FAIL_SESSION
    remedy = (
        "Use fewer workers, end other programs, or raise the limit of processes and threads "
        "(ulimit -u; in a container or a batch job, its limit of processes)."
    )


class Stopped(Era5Error):
    """Stopped by the user."""

    reaction = Reaction.STOP
