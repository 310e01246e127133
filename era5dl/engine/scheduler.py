"""Who does what next. Pure bookkeeping under the engine's lock, with the time passed in: no thread, no clock, no I/O.

A worker stays with its object, so that files come in order and their MD5 is computed as they stream.  Objects go out
one to a worker while there are enough of them; what is left at the end is shared: an idle worker takes as much of the
piece that will take longest as lets both end at the same time, and all of it where its connection only crawls.  A piece
that has to wait goes into the delay queue, and its worker takes something else.

The size of a piece is its share of all that is left, so that few files are cut as coarsely as they can be without
leaving a worker idle, and the pieces get smaller only towards the end.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import filterfalse
from math import inf

from era5dl.engine.transfer import Piece, Transfer
from era5dl.ranges import Range, RangeSet

MIB = 1 << 20
MIN_PIECE = 8 * MIB
MIN_STEAL = MIB // 16  # bytes that are worth a request of their own
MIN_GAIN = 0.5  # seconds that splitting a piece must save: its connection is lost, and another one begins
SPEED_SAMPLE = 1 * MIB  # bytes after which a connection has shown its speed
STALLED_SPEED = 1024.0  # bytes per second; what brings less is as good as dead
MAX_SUPERSEDED = 2  # connections in a row that dripped over the same bytes: the next one's error must tell why
WHOLE_OBJECT_GRACE = 5.0  # seconds that it gets where another one would have to begin the object again
SPEED_GRACE = 1.0  # seconds that a connection gets before its speed is believed


@dataclass(frozen=True, slots=True, eq=False)
class PrepareJob:
    """Find out what is on disk of this object and how it can be proven."""

    transfer: Transfer


@dataclass(frozen=True, slots=True, eq=False)
class VerifyJob:
    """All bytes are there: hash what has not been hashed, compare, give the final name."""

    transfer: Transfer


Job = PrepareJob | VerifyJob | Piece
Make = Callable[[int], Transfer]
"""index in the plan -> a transfer of that object, not opened yet"""


class Scheduler:
    """The queue of objects, the objects under way, and the pieces that wait."""

    def __init__(self, indices: Iterable[int], sizes: list[int], max_transfers: int) -> None:
        self.queue = deque(indices)  # objects that nobody has begun
        self.transfers: dict[int, Transfer] = {}  # objects begun and not ended
        self.max_transfers = max_transfers  # objects begun at once, waiting ones included
        self.unassigned_bytes = sum(sizes[i] for i in self.queue)  # bytes that no piece has been made of yet
        self._sizes = sizes
        self._ready: deque[Job] = deque()
        self._delayed: list[tuple[float, int, Job]] = []
        self._order = 0
        self.active_pieces: set[Piece] = set()
        self.superseded: list[Piece] = []  # in flight with nothing left to do: for the caller to end
        self._typical_speed = 0.0  # bytes per second of the connections that ended lately; 0 while nobody knows

    @property
    def finished(self) -> bool:
        """Nothing left to do."""
        return not self.queue and not self.transfers

    @property
    def _begun(self) -> int:
        """Objects begun and not ended, without those that other sessions are fetching."""
        return sum(not transfer.claimed_by for transfer in self.transfers.values())

    def next_job(self, now: float, workers: int, last: Transfer | None, make: Make) -> Job | None:
        """The next thing to do for a worker that last worked on `last`; None when there is nothing now."""
        self._wake(now)
        if last is not None and _has_work(last):
            return self._cut(last, workers, now)
        if self._ready:
            return self._begin(self._ready.popleft(), now)
        if self.queue and (len(self.transfers) < self.max_transfers or self._begun < self.max_transfers):
            index = self.queue.popleft()
            transfer = self.transfers[index] = make(index)
            return PrepareJob(transfer)
        with_gaps = [t for t in self.transfers.values() if _has_work(t)]
        if with_gaps:
            return self._cut(max(with_gaps, key=lambda t: sum(b - a for a, b in t.gaps)), workers, now)
        return self._steal(now)

    def next_due(self) -> float | None:
        """When the next waiting job is due (monotonic); None when none waits."""
        return self._delayed[0][0] if self._delayed else None

    def prepared(self, transfer: Transfer) -> None:
        """Its gaps are known now."""
        transfer.prepared = True
        if transfer.withdrawn:
            return
        transfer.reset_gaps()
        self.unassigned_bytes += sum(b - a for a, b in transfer.gaps) - self._sizes[transfer.index]
        self._sizes[transfer.index] = transfer.obj.size
        if transfer.complete:
            self._ready.append(VerifyJob(transfer))

    def requeue(self, job: Job, not_before: float, now: float) -> None:
        """Do it again at `not_before` (monotonic), or as soon as a worker is free."""
        if isinstance(job, Piece):
            job.not_before = not_before
            self.piece_ended(job)
            if job.remaining <= 0 or self._given_back(job):
                return
        self._put(job, not_before if not_before > now else 0.0)

    def piece_ended(self, piece: Piece, now: float | None = None) -> None:
        """This piece is no longer in flight. now: given when it came to its end, so that its speed tells something."""
        if now is not None and piece.samples and (came := piece.progress - piece.samples[0][1]) >= SPEED_SAMPLE:
            pace = came / max(now - piece.samples[0][0], 1e-3)
            self._typical_speed = (self._typical_speed + pace) / 2 if self._typical_speed else pace
        self.active_pieces.discard(piece)
        piece.transfer.active.discard(piece)
        if piece.transfer.exclusive_piece is piece:
            piece.transfer.exclusive_piece = None

    def make_exclusive(self, piece: Piece) -> bool:
        """The answer to this piece brings all of its object. Make what is missing of it gaps, those of other pieces
        that have brought nothing yet included, for `next_gap` to give them out; and no other piece is made meanwhile.
        False when another one brings bytes already."""
        transfer = piece.transfer
        transfer.ranges_ignored = True
        others = transfer.active - {piece}
        if transfer.exclusive_piece in others or transfer.withdrawn:
            return False
        if any(other.written and other.remaining > 0 for other in others):
            return False
        transfer.exclusive_piece = piece
        waiting = [job for job in self._take_out(transfer) if isinstance(job, Piece)]
        piece.failed_attempts = max(one.failed_attempts for one in (piece, *others, *waiting))
        for other in (piece, *others, *waiting):
            self._add_gap(other)
        self.superseded += others
        return True

    def range_answered(self, piece: Piece) -> None:
        """The answer to this piece is what was asked for, and less than all of the object: others may be made again."""
        transfer = piece.transfer
        if (piece.position, piece.stop) != (0, transfer.obj.size):
            transfer.ranges_ignored, transfer.exclusive_piece = False, None

    def assign_next_gap(self, piece: Piece, at: int) -> bool:
        """Let this piece, the sole one of its object, be the first gap at or after `at`. False: there is none."""
        transfer = piece.transfer
        if transfer.withdrawn:
            return False
        for place, (start, stop) in enumerate(transfer.gaps):
            if stop > at:
                piece.progress_shift += piece.position - max(start, at)
                piece.position, piece.stop = max(start, at), stop
                transfer.gaps[place : place + 1] = [(start, at)] if start < at else []
                self.unassigned_bytes -= piece.remaining
                return True
        return False

    def _given_back(self, piece: Piece) -> bool:
        """Where another piece is the only one of its object that may be under way, the bytes of this one are gaps."""
        transfer = piece.transfer
        if not transfer.ranges_ignored or transfer.withdrawn:
            return False
        if transfer.exclusive_piece is None and not transfer.active:
            transfer.exclusive_piece = piece
            return False
        self._add_gap(piece)
        return True

    def _add_gap(self, piece: Piece) -> None:
        """What is left of this piece is a gap again."""
        transfer = piece.transfer
        transfer.gaps = list(RangeSet([*transfer.gaps, (piece.position, piece.stop)]))
        self.unassigned_bytes += max(piece.remaining, 0)
        piece.stop = piece.position

    def verify_when_complete(self, transfer: Transfer) -> None:
        """Ask for the proof if that was the last piece."""
        if transfer.complete and transfer.idle and transfer.index in self.transfers and not transfer.withdrawn:
            self._ready.append(VerifyJob(transfer))

    def reassign_missing(self, transfer: Transfer) -> None:
        """Bytes that were there count no more: what is missing now, and in no piece, is given out again. Where nothing
        is missing, as of an empty object, it is proven once more."""
        if transfer.withdrawn or not transfer.prepared:
            return
        self._ready = deque(job for job in self._ready if not _proves(job, transfer))
        self._delayed = [entry for entry in self._delayed if not _proves(entry[2], transfer)]
        heapq.heapify(self._delayed)
        self.unassigned_bytes -= sum(b - a for a, b in transfer.gaps)
        taken = transfer.done.copy()
        waiting = [job for job in self._ready if isinstance(job, Piece)]
        waiting += [entry[2] for entry in self._delayed if isinstance(entry[2], Piece)]
        for piece in (*transfer.active, *(piece for piece in waiting if piece.transfer is transfer)):
            taken.add(piece.position, piece.stop)
        transfer.gaps = [gap for start, stop in transfer.wanted for gap in taken.missing(start, stop)]
        self.unassigned_bytes += sum(b - a for a, b in transfer.gaps)
        self.verify_when_complete(transfer)

    def withdraw(self, transfer: Transfer) -> None:
        """Give out nothing more of it."""
        self._drop(transfer)
        transfer.withdrawn = True

    def restart(self, transfer: Transfer, not_before: float = 0.0) -> None:
        """Forget its pieces; it will be opened again, at `not_before` (monotonic) at the earliest."""
        self._drop(transfer)
        transfer.prepared = transfer.withdrawn = False
        self.unassigned_bytes += transfer.obj.size
        self._sizes[transfer.index] = transfer.obj.size
        self._put(PrepareJob(transfer), not_before)

    def close(self, transfer: Transfer) -> None:
        """It is done or has failed."""
        self._drop(transfer)
        self.transfers.pop(transfer.index, None)
        self._sizes[transfer.index] = transfer.obj.size

    def add(self, indices: Sequence[int], *, first: bool = False) -> int:
        """More objects to fetch, after all others or before them. Returns their bytes."""
        if first:
            self.queue.extendleft(reversed(indices))
        else:
            self.queue.extend(indices)
        added = sum(map(self._sizes.__getitem__, indices))
        self.unassigned_bytes += added
        return added

    def remove(self, indices: Collection[int]) -> int:
        """These objects, which nobody has begun, are not to be fetched. Returns their bytes."""
        if not indices:
            return 0
        self.queue = deque(filterfalse(indices.__contains__, self.queue))
        removed = sum(map(self._sizes.__getitem__, indices))
        self.unassigned_bytes -= removed
        return removed

    def promote(self, indices: Collection[int]) -> None:
        """Of the objects that nobody has begun, take these first, in the order they have."""
        first = [index for index in self.queue if index in indices]
        if first:
            self.queue = deque(first + [index for index in self.queue if index not in indices])

    def reset_failures(self) -> None:
        """The network was at fault: nothing that waits has used up its budget, and nothing waits any longer."""
        for _, _, job in sorted(self._delayed):
            if isinstance(job, Piece):
                job.failed_attempts = 0
            job.transfer.failed_attempts = 0
            self._ready.append(job)
        self._delayed.clear()

    def _put(self, job: Job, not_before: float) -> None:
        if not not_before:
            self._ready.append(job)
        else:
            self._order += 1
            heapq.heappush(self._delayed, (not_before, self._order, job))

    def _drop(self, transfer: Transfer) -> None:
        if not transfer.withdrawn:
            unassigned = sum(b - a for a, b in transfer.gaps) if transfer.prepared else self._sizes[transfer.index]
            self.unassigned_bytes -= unassigned
        transfer.gaps, transfer.exclusive_piece = [], None
        self._take_out(transfer)

    def _take_out(self, transfer: Transfer) -> list[Job]:
        """The jobs of this object that wait; they do so no longer."""
        found = [job for job in self._ready if job.transfer is transfer]
        found += [job for _, _, job in self._delayed if job.transfer is transfer]
        self._ready = deque(job for job in self._ready if job.transfer is not transfer)
        self._delayed = [entry for entry in self._delayed if entry[2].transfer is not transfer]
        heapq.heapify(self._delayed)
        return found

    def _wake(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            self._ready.append(heapq.heappop(self._delayed)[2])

    def _begin(self, job: Job, now: float) -> Job:
        transfer = job.transfer
        if isinstance(job, Piece):
            self._launch(job, now)
        elif isinstance(job, VerifyJob):
            transfer.verifying = True
        return job

    def _launch(self, piece: Piece, now: float) -> Piece:
        piece.started, piece.answered = now, False
        piece.written = piece.progress_shift = 0
        piece.samples = [(now, piece.position)]
        if piece.transfer.ranges_ignored:
            piece.transfer.exclusive_piece = piece
        self.active_pieces.add(piece)
        piece.transfer.active.add(piece)
        return piece

    def _cut(self, transfer: Transfer, workers: int, now: float) -> Piece:
        """A piece from the front of its first gap."""
        left = self.unassigned_bytes + sum(piece.remaining for piece in self.active_pieces)
        start, stop = transfer.gaps.pop(0)
        cut = stop if transfer.ranges_ignored else piece_end((start, stop), left // max(workers, 1))
        if cut < stop:
            transfer.gaps.insert(0, (cut, stop))
        self.unassigned_bytes -= cut - start
        return self._launch(Piece(transfer, start, cut), now)

    def _steal(self, now: float) -> Piece | None:
        """The end of the piece that will take longest, so much of it that both will be done at the same time."""
        lasting = [p for p in self.active_pieces if not p.transfer.withdrawn]
        lasting = [p for p in lasting if p.failed_attempts < MAX_SUPERSEDED or p.speed(now) >= STALLED_SPEED]
        lasting = [p for p in lasting if not p.transfer.ranges_ignored or self._crawls(p, now)]
        victim = max(lasting, key=lambda p: self._seconds_left(p, now), default=None)
        if victim is None:
            return None
        lasts, mine = self._seconds_left(victim, now), self._typical_speed
        its = victim.remaining / lasts if lasts else 0.0
        kept = victim.remaining // 2
        if mine and its > 1.0:  # of one that brings nothing half is enough: its timeout must tell what is wrong
            kept = int(victim.remaining * its / (its + mine))
            kept = kept if kept >= MIN_STEAL else 0
        if victim.transfer.ranges_ignored:
            kept = 0
        taken = victim.remaining - kept
        gain = lasts - max(kept / max(its, 1.0), taken / max(mine, its, 1.0))
        if taken < MIN_STEAL or gain < MIN_GAIN:
            return None
        failed = victim.failed_attempts + (not kept) if its < STALLED_SPEED else 0
        stolen = Piece(victim.transfer, victim.position + kept, victim.stop, failed_attempts=failed)
        victim.stop = stolen.position
        if not kept:
            self.superseded.append(victim)
        return self._launch(stolen, now)

    def _crawls(self, piece: Piece, now: float) -> bool:
        """Whether all of the object again over a usual connection is there in half the time that its rest takes."""
        usual = piece.transfer.obj.size / self._typical_speed if self._typical_speed else inf
        return now - piece.started >= WHOLE_OBJECT_GRACE and usual < self._seconds_left(piece, now) / 2

    def _seconds_left(self, piece: Piece, now: float) -> float:
        """How long it will take. One that has only just begun is taken for a usual one; 0 when nobody knows."""
        if now - piece.started < SPEED_GRACE:
            return piece.remaining / self._typical_speed if self._typical_speed else 0.0
        return piece.remaining / max(piece.speed(now), 1.0)


def _has_work(transfer: Transfer) -> bool:
    """Whether a piece of it may be given out."""
    if transfer.ranges_ignored and (transfer.exclusive_piece is not None or transfer.active):
        return False
    return bool(transfer.gaps)


def _proves(job: Job, transfer: Transfer) -> bool:
    return isinstance(job, VerifyJob) and job.transfer is transfer


def piece_end(gap: Range, share: int) -> int:
    """Where a piece that begins with `gap` ends: after its share, but not so soon that a request would not pay.

    A remainder too small to be worth a request of its own is not left over.
    """
    start, stop = gap
    end = start + max(share, MIN_PIECE)
    return stop if stop - end < MIN_PIECE // 2 else end
