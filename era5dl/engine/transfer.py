"""State of one object while it is downloaded (Transfer), and of the byte ranges it is fetched in (Piece).

A transfer is prepared (the existing bytes on disk are found), its missing bytes are fetched in pieces, and the complete
part file is verified and gets its final name. The wanted bytes are a list of ranges, [(0, size)] for a whole file:
nothing here assumes that all bytes of an object are wanted.

Plain data without a lock of its own: read and changed under the run's lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.retry import Decision
from era5dl.folder.part_file import PartFile
from era5dl.proof.object_digest import ObjectDigest
from era5dl.ranges import Range, RangeSet
from era5dl.subset.ranges import FileSubset
from era5dl.subset.selection import Subset

SPEED_WINDOW = 15.0  # seconds over which the speed of a connection is measured
SAMPLE_EVERY = 1.0  # seconds between samples for the speed


@dataclass(eq=False, slots=True)
class Piece:
    """The byte range [position, stop) of one object: the unit of work of one worker.

    position: bytes before it are written or about to be written. stop: may decrease while the piece is fetched, because
    an idle worker takes over the end of the piece. The "current attempt" is the GET request that fetches the piece.
    """

    transfer: Transfer
    position: int
    stop: int
    failures: int = 0  # in a row, without a new byte
    written: int = 0  # bytes that the current attempt has written
    denials: int = 0  # 403 responses since its last new byte
    progress_shift: int = 0  # `progress` minus `position`
    started: float = 0.0  # start of the current attempt, monotonic seconds
    answered: bool = False  # the current attempt got a response with valid headers
    samples: list[tuple[float, int]] = field(default_factory=list)  # (time, progress) of the current attempt

    @property
    def remaining(self) -> int:
        """Bytes still to be fetched."""
        return self.stop - self.position

    @property
    def progress(self) -> int:
        """Number of received bytes, counted from an arbitrary start; the speed is measured by it. It differs from
        `position` if a whole object is received and bytes that are on disk already are skipped."""
        return self.position + self.progress_shift

    def add_sample(self, now: float) -> None:
        """Record the progress, at most once per SAMPLE_EVERY."""
        if not self.samples or now - self.samples[-1][0] >= SAMPLE_EVERY:
            self.samples.append((now, self.progress))
            while now - self.samples[0][0] > SPEED_WINDOW:
                self.samples.pop(0)

    def speed(self, now: float, window: float = SPEED_WINDOW) -> float:
        """Bytes per second of the current attempt, over the last `window` seconds, at most SPEED_WINDOW."""
        if not self.samples:
            return 0.0
        old_enough = (sample for sample in reversed(self.samples) if now - sample[0] >= window)
        then, progress = next(old_enough, self.samples[0])
        return (self.progress - progress) / (now - then) if now - then >= 0.5 else 0.0


@dataclass(eq=False, slots=True)
class Transfer:
    """One object being downloaded."""

    index: int  # position in the plan
    obj: ObjectInfo

    # Byte ranges
    wanted: list[Range] = field(default_factory=list)
    done: RangeSet = field(default_factory=RangeSet)  # written to the part file
    gaps: list[Range] = field(default_factory=list)  # wanted, not written and not assigned to a piece
    active: dict[Piece, None] = field(default_factory=dict)  # being fetched now, in the order of their starts
    # Responses contain the whole object, whatever range is requested. Then only one piece is fetched at a time.
    ranges_ignored: bool = False
    exclusive_piece: Piece | None = None  # with `ranges_ignored`: the only piece that may be fetched
    counted_bytes: int = 0  # bytes of this object that `Counters.done_bytes` includes

    # Only a subset of the object is wanted
    crop: Subset | None = None  # the whole object is fetched, and this subset of it is written
    subset: FileSubset | None = None  # its chunks; None if the whole object is fetched
    whole_because: str = ""  # what the object has, so that it is fetched whole
    index_bytes: dict[int, dict[int, bytes]] = field(default_factory=dict)  # received before the index was complete
    damaged_chunks: dict[Range, int] = field(default_factory=dict)  # how often each was found damaged

    # Files
    final: Path | None = None  # path of the finished file
    part: PartFile | None = None

    # Verification
    digest: ObjectDigest | None = None  # MD5s of its parts; None if none are computed
    unverifiable: str = ""  # why the ETag cannot be compared; then `digest`, if any, has the MD5s of our own blocks
    multipart: bool = False  # the ETag is the MD5 of the MD5s of its parts
    part_size_guesses: list[int] = field(default_factory=list)  # `digest` uses the first; empty if the size is known
    recorded_md5s: dict[int, str] = field(default_factory=dict)  # part MD5s of an earlier run, to compare with the disk
    mismatches: list[dict[int, str]] = field(default_factory=list)  # part MD5s after each fetch that did not match
    disk_corruptions: int = 0  # times that the disk returned other bytes than were written

    # Progress through its steps
    prepared: bool = False  # `wanted`, `done` and `digest` are set
    verifying: bool = False
    withdrawn: bool = False  # no more work on it is assigned
    releasing: bool = False  # held by the user: returned to "not started" as soon as no thread works on it
    claimed_by: str = ""  # description of another session that is fetching it into the same folder
    recheck_version: bool = False  # request its current version before anything else

    # Failures
    failures: int = 0  # consecutive ones, of preparing or verifying it
    denials: int = 0  # 403 responses while preparing or verifying it, since its last new byte
    restarts: int = 0  # times it was replaced in the bucket
    disk_failures: int = 0  # consecutive ones, without more bytes synced to the disk
    synced_bytes: int = 0  # maximum of the bytes that were synced at a disk failure
    decision: Decision | None = None  # to be carried out as soon as it is idle
    reason: str = ""  # reason of the decision; `remedy`, `kind` and `is_temporary` also belong to it
    remedy: str = ""
    kind: str = ""  # `Era5Error.kind`
    is_temporary: bool = False  # retrying later may help

    @property
    def complete(self) -> bool:
        """Whether all wanted bytes are in the part file."""
        return self.prepared and all(self.done.covers(start, stop) for start, stop in self.wanted)

    @property
    def writes_subset(self) -> bool:
        """Whether the final file is written from the part file, not the part file itself."""
        return self.subset is not None or self.crop is not None

    @property
    def wanted_bytes(self) -> int:
        """The number of bytes of the object that are to be fetched, including those that are written."""
        return sum(stop - start for start, stop in self.wanted)

    @property
    def idle(self) -> bool:
        """Whether no piece of it is being fetched and it is not being verified."""
        return not self.active and not self.verifying

    def set_part_size(self, part_size: int) -> None:
        """Set the part size, which is now known. MD5s of parts of another size are dropped."""
        if self.digest is not None and self.digest.parts[0][1] != part_size:
            self.recorded_md5s, self.mismatches = {}, []
            self.digest = ObjectDigest(self.obj.size, part_size)
        self.part_size_guesses = []

    def reset_gaps(self) -> None:
        """Set `gaps` to all wanted bytes that are not written."""
        self.gaps = [gap for start, stop in self.wanted for gap in self.done.missing(start, stop)]
