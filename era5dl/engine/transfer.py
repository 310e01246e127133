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
from era5dl.proof.object_digest import Digest
from era5dl.ranges import Range, RangeSet

SPEED_WINDOW = 15.0  # seconds over which a connection's speed is measured


@dataclass(eq=False, slots=True)
class Piece:
    """Bytes [start, stop) of one object: the unit of work.

    at: up to here the bytes are on their way into the part file; what lies beyond may be given to another worker.
    """

    transfer: Transfer
    at: int
    stop: int
    barren: int = 0  # attempts in a row that brought no byte
    brought: int = 0  # bytes that this attempt has put on disk
    refused: int = 0  # answers of 403 since its last byte
    shift: int = 0  # to be added to `at`: bytes skipped over in this attempt, less those that it jumped
    not_before: float = 0.0  # monotonic
    abort: Abort | None = None  # while it is in flight
    started: float = 0.0  # when this attempt began, monotonic
    answered: bool = False  # in this attempt, with the right headers
    samples: list[tuple[float, int]] = field(default_factory=list)  # (moment, offset), at most one a second

    @property
    def left(self) -> int:
        return self.stop - self.at

    @property
    def reached(self) -> int:
        """`at`, as it would be if every byte that came were written."""
        return self.at + self.shift

    def sample(self, now: float) -> None:
        """Remember how far it is, for its speed."""
        if not self.samples or now - self.samples[-1][0] >= 1.0:
            self.samples.append((now, self.reached))
            while now - self.samples[0][0] > SPEED_WINDOW:
                self.samples.pop(0)

    def speed(self, now: float) -> float:
        """Bytes per second of this attempt, over its last seconds."""
        if not self.samples:
            return 0.0
        then, offset = self.samples[0]
        return (self.reached - offset) / (now - then) if now - then >= 0.5 else 0.0


@dataclass(eq=False, slots=True)
class Transfer:
    """One object being fetched."""

    index: int  # place in the plan
    obj: ObjectInfo
    wanted: list[Range] = field(default_factory=list)
    done: RangeSet = field(default_factory=RangeSet)  # bytes in the part file
    gaps: list[Range] = field(default_factory=list)  # wanted, not there, and given to no piece yet
    active: set[Piece] = field(default_factory=set)  # pieces in flight
    whole_only: bool = False  # whatever part is asked for, all of it comes: one connection at a time
    sole: Piece | None = None  # with `whole_only`: the piece, in flight or waiting, that is to bring what is missing
    final: Path | None = None  # where it belongs
    part: PartFile | None = None
    digest: Digest | None = None  # None when the ETag is no MD5, or nobody wants proof
    unproven: str = ""  # why the ETag proves nothing; then `digest`, if any, is of blocks of our own
    recorded: dict[int, str] = field(default_factory=dict)  # part MD5s of an earlier run, to be compared with the disk
    multipart: bool = False
    barren: int = 0  # attempts in a row to open or prove it that failed
    refused: int = 0  # answers of 403 to that since its last byte
    restarts: int = 0  # times the object changed upstream
    disk_failures: int = 0  # in a row that brought nothing more onto the disk
    on_disk: int = 0  # the most bytes that were on the disk itself when it failed
    rounds: list[dict[int, str]] = field(default_factory=list)  # part MD5s after each fetch that did not match the ETag
    rotten: int = 0  # times that the disk gave other bytes than had been written
    guesses: list[int] = field(default_factory=list)  # part sizes it may have, `digest`'s first; empty: that is certain
    proving: bool = False
    opened: bool = False  # `wanted`, `done` and `digest` are known
    withdrawn: bool = False  # nothing more of it is given out
    leaving: bool = False  # the user holds it: as soon as no thread works on it, it is as if nobody had begun it
    elsewhere: str = ""  # the session that is fetching it into the same folder, as a person would name it
    changed: bool = False  # upstream: ask for its version again before anything else
    counted: int = 0  # bytes of it that the ledger counts as done
    decision: Decision | None = None  # what happens to it as soon as it is idle, and why
    heals: bool = False  # the error of that decision: `Era5Error.heals`
    reason: str = ""
    remedy: str = ""
    kind: str = ""  # `Era5Error.kind`

    @property
    def complete(self) -> bool:
        """All wanted bytes are in the part file."""
        return self.opened and all(self.done.covers(start, stop) for start, stop in self.wanted)

    @property
    def idle(self) -> bool:
        """No thread works on it."""
        return not self.active and not self.proving

    def was_cut(self, part_size: int) -> None:
        """The size of its parts is certain now. Digests of other parts are worthless; the bytes are hashed again."""
        if self.digest is not None and self.digest.parts[0][1] != part_size:
            self.recorded, self.rounds = {}, []
            self.digest = Digest(self.obj.size, part_size)
        self.guesses = []

    def reset_gaps(self) -> None:
        """Every wanted byte that is not there is to be given out again."""
        self.gaps = [gap for start, stop in self.wanted for gap in self.done.missing(start, stop)]
