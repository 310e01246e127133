"""Content of the next checkpoint: finished objects, entries of part files, replaced versions and failures.

`RunState.save_checkpoint` writes it to the resume file (`era5dl.session.resume_file`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.events import Outcome
from era5dl.engine.transfer import Transfer
from era5dl.ranges import RangeSet
from era5dl.session.checkpoint import Checkpoint, FailedObject, UnfinishedObject
from era5dl.session.finished_files import FinishedFile

MAX_FAILURES = 200  # records kept; they have texts and no exceptions, which would keep sockets open


class SessionState:
    """Progress of a session that the next checkpoint will save. Objects are identified by their index in the plan.

    Changed under the run's lock. dirty: something has changed since the last checkpoint.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.verified, self.checked = checkpoint.verified.copy(), checkpoint.checked.copy()
        self.checked_part, self.cropped = checkpoint.checked_part.copy(), checkpoint.cropped.copy()
        self.entries = {entry.index: entry for entry in checkpoint.unfinished}  # of objects without a transfer
        self.replaced: dict[int, ObjectInfo] = dict(checkpoint.replaced)  # new versions, since the plan was made
        self.failures: deque[FailedObject] = deque(maxlen=MAX_FAILURES)
        self.new_files: list[FinishedFile] = []  # since the last checkpoint
        self.dirty = True

    def is_finished(self, index: int) -> bool:
        """Whether the object has its final file."""
        return any(index in members for members in (self.verified, self.checked, self.checked_part))

    def mark_finished(self, index: int, outcome: Outcome, *, cropped: bool = False) -> None:
        """Record that the object has its final file. cropped: it was fetched whole, and a subset of it was written."""
        sets = {Outcome.VERIFIED: self.verified, Outcome.CHECKED: self.checked, Outcome.CHECKED_PART: self.checked_part}
        sets[outcome].add(index, index + 1)
        if cropped:
            self.cropped.add(index, index + 1)
        self.entries.pop(index, None)
        self.forget_failures((index,))
        self.dirty = True

    def record_file(self, file: FinishedFile) -> None:
        """Record what later runs compare a finished file with."""
        self.new_files.append(file)
        self.dirty = True

    def mark_unfinished(self, index: int) -> None:
        """Record that the object is not finished after all and has to be examined again."""
        for members in (self.verified, self.checked, self.checked_part, self.cropped):
            members.remove(index, index + 1)
        self.dirty = True

    def finished(self) -> RangeSet:
        """Return the indices of all finished objects."""
        return RangeSet([*self.verified, *self.checked, *self.checked_part])

    def forget_failures(self, indices: Collection[int]) -> None:
        """Drop the failures of these objects."""
        if any(failure.index in indices for failure in self.failures):
            kept = [failure for failure in self.failures if failure.index not in indices]
            self.failures = deque(kept, maxlen=MAX_FAILURES)

    def record_failure(self, failure: FailedObject) -> None:
        """Record this failure. It replaces an earlier one of the same object."""
        self.forget_failures((failure.index,))
        self.failures.append(failure)
        self.dirty = True

    def to_checkpoint(
        self, transfers: Iterable[Transfer], *, done_bytes: int, ended: bool, total_bytes: int = 0
    ) -> Checkpoint:
        """Return a checkpoint of the current progress. transfers: the objects being downloaded."""
        unfinished = [entry for t in transfers if t.prepared and (entry := entry_of(t)).done]
        return Checkpoint(
            verified=self.verified.copy(),
            checked=self.checked.copy(),
            unfinished=(*unfinished, *self.entries.values()),
            failures=tuple(self.failures),
            replaced=dict(self.replaced),
            done_bytes=done_bytes,
            ended=ended,
            checked_part=self.checked_part.copy(),
            total_bytes=total_bytes,
            cropped=self.cropped.copy(),
        )


def entry_of(transfer: Transfer) -> UnfinishedObject:
    """Return the checkpoint entry of an unfinished object. It lists only bytes that are synced to the disk, because a
    power cut may lose bytes that were written after the last sync."""
    digest, part = transfer.digest, transfer.part
    done = tuple(part.stored(part.synced(transfer.done)) if part is not None else transfer.done)
    layout = part.layout if part is not None else ""
    if digest is None or not (transfer.multipart or transfer.unverifiable):
        return UnfinishedObject(transfer.index, done, layout=layout)
    return UnfinishedObject(transfer.index, done, {**transfer.recorded_md5s, **digest.part_md5s()}, digest.parts[0][1])


def entry_bytes(entry: UnfinishedObject | None) -> int:
    """Return the number of bytes on disk according to this entry; 0 for None."""
    return sum(stop - start for start, stop in entry.done) if entry else 0
