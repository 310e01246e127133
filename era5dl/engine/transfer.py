"""One object on its way from the bucket to its final name, and the pieces it is fetched in.

Plain state, changed only under the engine's lock.  The wanted bytes are a list of ranges, [(0, size)] for a whole file:
nothing here assumes that all of an object is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.retry import Decision
from era5dl.folder.part_file import PartFile
from era5dl.proof.object_digest import ObjectDigest
from era5dl.ranges import Range, RangeSet

SPEED_WINDOW = 15.0  # seconds over which a connection's speed is measured


@dataclass(eq=False, slots=True)
class Piece:
    """Bytes [start, stop) of one object: the unit of work.

    position: up to here the bytes are on their way into the part file; what lies beyond may be given to another worker.
    """

    transfer: Transfer
    position: int
    stop: int
    failed_attempts: int = 0  # attempts in a row that brought no byte
    written: int = 0  # bytes that this attempt has put on disk
    denials: int = 0  # answers of 403 since its last byte
    progress_shift: int = 0  # to be added to `at`: bytes skipped over in this attempt, less those that it jumped
    not_before: float = 0.0  # monotonic
    abort: Abort | None = None  # while it is in flight
    started: float = 0.0  # when this attempt began, monotonic
    answered: bool = False  # in this attempt, with the right headers
    samples: list[tuple[float, int]] = field(default_factory=list)  # (moment, offset), at most one a second

    @property
    def remaining(self) -> int:
        return self.stop - self.position

    @property
    def progress(self) -> int:
        """`at`, as it would be if every byte that came were written."""
        return self.position + self.progress_shift

    def add_sample(self, now: float) -> None:
        """Remember how far it is, for its speed."""
        if not self.samples or now - self.samples[-1][0] >= 1.0:
            self.samples.append((now, self.progress))
            while now - self.samples[0][0] > SPEED_WINDOW:
                self.samples.pop(0)

    def speed(self, now: float) -> float:
        """Bytes per second of this attempt, over its last seconds."""
        if not self.samples:
            return 0.0
        then, offset = self.samples[0]
        return (self.progress - offset) / (now - then) if now - then >= 0.5 else 0.0


@dataclass(eq=False, slots=True)
class Transfer:
    """One object being fetched."""

    index: int  # place in the plan
    obj: ObjectInfo
    wanted: list[Range] = field(default_factory=list)
    done: RangeSet = field(default_factory=RangeSet)  # bytes in the part file
    gaps: list[Range] = field(default_factory=list)  # wanted, not there, and given to no piece yet
    active: set[Piece] = field(default_factory=set)  # pieces in flight
    ranges_ignored: bool = False  # whatever part is asked for, all of it comes: one connection at a time
    exclusive_piece: Piece | None = None  # with `ranges_ignored`: the one piece that may be fetched
    final: Path | None = None  # where it belongs
    part: PartFile | None = None
    digest: ObjectDigest | None = None  # None when the ETag is no MD5, or nobody wants proof
    unverifiable: str = ""  # why the ETag proves nothing; then `digest`, if any, is of blocks of our own
    recorded_md5s: dict[int, str] = field(default_factory=dict)  # part MD5s of an earlier run
    multipart: bool = False
    failed_attempts: int = 0  # attempts in a row to open or prove it that failed
    denials: int = 0  # answers of 403 to that since its last byte
    restarts: int = 0  # times the object changed upstream
    disk_failures: int = 0  # in a row that brought nothing more onto the disk
    synced_bytes: int = 0  # the most bytes that were on the disk itself when it failed
    mismatches: list[dict[int, str]] = field(default_factory=list)  # MD5s of each mismatched fetch
    disk_corruptions: int = 0  # times that the disk gave other bytes than had been written
    part_size_guesses: list[int] = field(default_factory=list)  # `digest`'s first; empty: certain
    verifying: bool = False
    prepared: bool = False  # `wanted`, `done` and `digest` are known
    withdrawn: bool = False  # nothing more of it is given out
    releasing: bool = False  # the user holds it: as soon as no thread works on it, it is as if nobody had begun it
    claimed_by: str = ""  # the session that is fetching it into the same folder, as a person would name it
    recheck_version: bool = False  # upstream: ask for its version again before anything else
    counted_bytes: int = 0  # bytes of it that the counters counts as done
    decision: Decision | None = None  # what happens to it as soon as it is idle, and why
    error_is_temporary: bool = False  # the error of that decision: `Era5Error.transient`
    reason: str = ""
    remedy: str = ""
    kind: str = ""  # `Era5Error.kind`

    @property
    def complete(self) -> bool:
        """All wanted bytes are in the part file."""
        return self.prepared and all(self.done.covers(start, stop) for start, stop in self.wanted)

    @property
    def idle(self) -> bool:
        """No thread works on it."""
        return not self.active and not self.verifying

    def set_part_size(self, part_size: int) -> None:
        """The size of its parts is certain now. Digests of other parts are worthless; the bytes are hashed again."""
        if self.digest is not None and self.digest.parts[0][1] != part_size:
            self.recorded_md5s, self.mismatches = {}, []
            self.digest = ObjectDigest(self.obj.size, part_size)
        self.part_size_guesses = []

    def reset_gaps(self) -> None:
        """Every wanted byte that is not there is to be given out again."""
        self.gaps = [gap for start, stop in self.wanted for gap in self.done.missing(start, stop)]
