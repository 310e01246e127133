"""Work scheduler: decides which job a worker does next, and accounts for every byte range of every object.

Objects are begun in the order of the plan. A worker stays with its object, so that files finish in order and their MD5
is computed while the bytes arrive. While there are enough objects, each worker has its own; towards the end the
missing ranges of an object are shared, and idle workers take over parts of slow pieces (see `work_stealing`). A piece
is as large as its share of all remaining bytes: large files are cut into few pieces, and only the last ones are small.

A job that has to wait, after a failed attempt for example, goes into a delay queue, and its worker does something else.

Pure logic: no threads, no clock, no I/O. Callers hold the run's lock and pass in the time (monotonic seconds).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import filterfalse

from era5dl.engine.job_queue import Job, JobQueue, PrepareJob, VerifyJob
from era5dl.engine.transfer import Piece, Transfer
from era5dl.engine.work_stealing import MIB, best_split
from era5dl.ranges import Range, RangeSet

MIN_PIECE = 8 * MIB
SPEED_SAMPLE = 1 * MIB  # bytes after which the speed of a connection is used for `Scheduler._typical_speed`


MakeTransfer = Callable[[int], Transfer]
"""Called with an index of the plan; returns a transfer of that object that is not prepared yet."""


class Scheduler:
    """The objects not begun, the transfers begun and not ended, and the jobs that wait for a worker.

    indices: the objects to fetch. sizes: in bytes, of all objects of the plan. max_transfers: objects begun at once,
    including those whose jobs wait.
    """

    def __init__(self, indices: Iterable[int], sizes: list[int], max_transfers: int) -> None:
        self.queue = deque(indices)  # objects not begun
        self.transfers: dict[int, Transfer] = {}  # objects begun and not ended
        self.max_transfers = max_transfers
        self.unassigned_bytes = sum(sizes[i] for i in self.queue)  # not assigned to any piece
        # Being fetched now. A dict, so that ties between pieces are decided by their order and not by their addresses.
        self.active_pieces: dict[Piece, None] = {}
        self.round_trip = 0.0  # seconds from a request to its response; 0 while unknown
        self.superseded: list[Piece] = []  # active with nothing left to fetch: the caller ends their connections
        self._sizes = sizes
        self._waiting = JobQueue()
        self._typical_speed = 0.0  # bytes per second of connections that ended recently; 0 when unknown

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return not self.queue and not self.transfers

    # Assigning jobs

    def next_job(self, now: float, workers: int, last: Transfer | None, make_transfer: MakeTransfer) -> Job | None:
        """Return the next job for a worker whose last job belonged to `last`; None when there is nothing to do now."""
        self._waiting.wake(now)
        if last is not None and _has_assignable_gap(last):
            return self._cut_piece(last, workers, now)
        if self._waiting.ready:
            return self._begin(self._waiting.ready.popleft(), now)
        if self.queue and (len(self.transfers) < self.max_transfers or self._own_transfers < self.max_transfers):
            index = self.queue.popleft()
            transfer = self.transfers[index] = make_transfer(index)
            return PrepareJob(transfer)
        with_gaps = [transfer for transfer in self.transfers.values() if _has_assignable_gap(transfer)]
        if with_gaps:
            return self._cut_piece(max(with_gaps, key=_gap_bytes), workers, now)
        return self._steal(now)

    def next_due(self) -> float | None:
        """Return when the next delayed job is due; None when none is delayed."""
        return self._waiting.next_due()

    def waits_for_sessions(self) -> tuple[str, ...]:
        """Return the other sessions that are fetching everything that is left; () while there is anything else."""
        if self.queue or not all(transfer.claimed_by for transfer in self.transfers.values()):
            return ()
        return tuple(sorted({transfer.claimed_by for transfer in self.transfers.values()}))

    @property
    def _own_transfers(self) -> int:
        """Number of objects begun, without those that other sessions are fetching."""
        return sum(not transfer.claimed_by for transfer in self.transfers.values())

    def _begin(self, job: Job, now: float) -> Job:
        if isinstance(job, Piece):
            self._launch(job, now)
        elif isinstance(job, VerifyJob):
            job.transfer.verifying = True
        return job

    def _cut_piece(self, transfer: Transfer, workers: int, now: float) -> Piece:
        """Make a piece from the front of the first gap."""
        remaining = self.unassigned_bytes + sum(piece.remaining for piece in self.active_pieces)
        start, stop = transfer.gaps.pop(0)
        end = stop if transfer.ranges_ignored else piece_end((start, stop), remaining // max(workers, 1))
        if end < stop:
            transfer.gaps.insert(0, (end, stop))
        self.unassigned_bytes -= end - start
        return self._launch(Piece(transfer, start, end), now)

    def _steal(self, now: float) -> Piece | None:
        split = best_split(self.active_pieces, self._typical_speed, now, self.round_trip)
        if split is None:
            return None
        victim = split.piece
        stolen = Piece(victim.transfer, split.position, victim.stop, failures=split.failures)
        victim.stop = split.position
        if not victim.remaining:
            self.superseded.append(victim)
        return self._launch(stolen, now)

    def _launch(self, piece: Piece, now: float) -> Piece:
        piece.started, piece.answered = now, False
        piece.written = piece.progress_shift = 0
        piece.samples = [(now, piece.position)]
        if piece.transfer.ranges_ignored:
            piece.transfer.exclusive_piece = piece
        self.active_pieces[piece] = None
        piece.transfer.active[piece] = None
        return piece

    # Results of jobs

    def prepared(self, transfer: Transfer) -> None:
        """Record that its wanted and its written ranges are known now."""
        transfer.prepared = True
        if transfer.withdrawn:
            return
        transfer.reset_gaps()
        self.unassigned_bytes += _gap_bytes(transfer) - self._sizes[transfer.index]
        self._sizes[transfer.index] = transfer.obj.size
        if transfer.complete:
            self._waiting.put(VerifyJob(transfer))

    def requeue(self, job: Job, not_before: float, now: float) -> None:
        """Do this job again at `not_before`, or as soon as a worker is free."""
        if isinstance(job, Piece):
            self.piece_ended(job)
            if job.remaining <= 0 or self._returned_to_gaps(job):
                return
        self._waiting.put(job, not_before if not_before > now else 0.0)

    def piece_ended(self, piece: Piece, now: float | None = None) -> None:
        """Record that the piece is no longer being fetched. now: given when it was fetched to its end."""
        if now is not None and piece.samples:
            began, progress = piece.samples[0]
            if (received := piece.progress - progress) >= SPEED_SAMPLE:
                speed = received / max(now - began, 1e-3)
                self._typical_speed = (self._typical_speed + speed) / 2 if self._typical_speed else speed
        self.active_pieces.pop(piece, None)
        piece.transfer.active.pop(piece, None)
        if piece.transfer.exclusive_piece is piece:
            piece.transfer.exclusive_piece = None

    def verify_when_complete(self, transfer: Transfer) -> None:
        """Queue the verification if all bytes are written and no piece is being fetched."""
        if transfer.complete and transfer.idle and transfer.index in self.transfers and not transfer.withdrawn:
            self._waiting.put(VerifyJob(transfer))

    def reassign_missing(self, transfer: Transfer) -> None:
        """Written bytes were discarded: assign again what is missing now and in no piece. Where nothing is missing, as
        of an empty object, verify it again."""
        if transfer.withdrawn or not transfer.prepared:
            return
        self._waiting.remove(transfer, only_verify=True)
        self.unassigned_bytes -= _gap_bytes(transfer)
        assigned = transfer.done.copy()
        for piece in (*transfer.active, *self._waiting.pieces(transfer)):
            assigned.add(piece.position, piece.stop)
        transfer.gaps = [gap for start, stop in transfer.wanted for gap in assigned.missing(start, stop)]
        self.unassigned_bytes += _gap_bytes(transfer)
        self.verify_when_complete(transfer)

    # Servers that answer a range request with the whole object

    def make_exclusive(self, piece: Piece) -> bool:
        """The response to this piece contains the whole object. Turn everything that is missing into gaps, which
        `assign_next_gap` then assigns to this piece, and assign no other piece of the object meanwhile. Pieces that
        have not received anything are superseded. Return False when another piece receives bytes already."""
        transfer = piece.transfer
        transfer.ranges_ignored = True
        others = [other for other in transfer.active if other is not piece]
        if transfer.exclusive_piece in others or transfer.withdrawn:
            return False
        if any(other.written and other.remaining > 0 for other in others):
            return False
        transfer.exclusive_piece = piece
        waiting = self._waiting.pieces(transfer)
        self._waiting.remove(transfer)
        piece.failures = max(one.failures for one in (piece, *others, *waiting))
        for one in (piece, *others, *waiting):
            self._return_to_gaps(one)
        self.superseded += others
        return True

    def range_answered(self, piece: Piece) -> None:
        """The response to this piece contains just the requested range: several pieces may be fetched again."""
        transfer = piece.transfer
        if (piece.position, piece.stop) != (0, transfer.obj.size):
            transfer.ranges_ignored, transfer.exclusive_piece = False, None

    def assign_next_gap(self, piece: Piece, position: int) -> bool:
        """Move this piece, the exclusive one, to the first gap at or after `position`. False when there is none."""
        transfer = piece.transfer
        if transfer.withdrawn:
            return False
        for place, (start, stop) in enumerate(transfer.gaps):
            if stop > position:
                begin = max(start, position)
                piece.progress_shift += piece.position - begin
                piece.position, piece.stop = begin, stop
                transfer.gaps[place : place + 1] = [(start, position)] if start < position else []
                self.unassigned_bytes -= piece.remaining
                return True
        return False

    def _returned_to_gaps(self, piece: Piece) -> bool:
        """Where only one piece may be fetched and this is not it, turn its bytes into a gap. Return whether it was."""
        transfer = piece.transfer
        if not transfer.ranges_ignored or transfer.withdrawn:
            return False
        if transfer.exclusive_piece is None and not transfer.active:
            transfer.exclusive_piece = piece
            return False
        self._return_to_gaps(piece)
        return True

    def _return_to_gaps(self, piece: Piece) -> None:
        """Turn what remains of this piece into a gap."""
        transfer = piece.transfer
        transfer.gaps = list(RangeSet([*transfer.gaps, (piece.position, piece.stop)]))
        self.unassigned_bytes += max(piece.remaining, 0)
        piece.stop = piece.position

    # Objects

    def withdraw(self, transfer: Transfer) -> None:
        """Assign no more work on it."""
        self._drop(transfer)
        transfer.withdrawn = True

    def restart(self, transfer: Transfer, not_before: float = 0.0) -> None:
        """Forget its pieces and prepare it again, at `not_before` at the earliest."""
        self._drop(transfer)
        transfer.prepared = transfer.withdrawn = False
        self.unassigned_bytes += transfer.obj.size
        self._sizes[transfer.index] = transfer.obj.size
        self._waiting.put(PrepareJob(transfer), not_before)

    def close(self, transfer: Transfer) -> None:
        """It is finished or has failed."""
        self._drop(transfer)
        self.transfers.pop(transfer.index, None)
        self._sizes[transfer.index] = transfer.obj.size

    def add(self, indices: Sequence[int], *, first: bool = False) -> int:
        """Queue more objects, after all others or before them. Return their size in bytes."""
        if first:
            self.queue.extendleft(reversed(indices))
        else:
            self.queue.extend(indices)
        added = sum(map(self._sizes.__getitem__, indices))
        self.unassigned_bytes += added
        return added

    def remove(self, indices: Collection[int]) -> int:
        """Remove these objects, none of which is begun, from the queue. Return their size in bytes."""
        if not indices:
            return 0
        self.queue = deque(filterfalse(indices.__contains__, self.queue))
        removed = sum(map(self._sizes.__getitem__, indices))
        self.unassigned_bytes -= removed
        return removed

    def promote(self, indices: Collection[int]) -> None:
        """Move these objects to the front of the queue, in their present order."""
        first = [index for index in self.queue if index in indices]
        if first:
            self.queue = deque(first + [index for index in self.queue if index not in indices])

    def reset_failures(self) -> None:
        """The network was at fault: delayed jobs are due now, and their failed attempts do not count."""
        for job in self._waiting.wake_all():
            if isinstance(job, Piece):
                job.failures = 0
            job.transfer.failures = 0

    def _drop(self, transfer: Transfer) -> None:
        if not transfer.withdrawn:
            self.unassigned_bytes -= _gap_bytes(transfer) if transfer.prepared else self._sizes[transfer.index]
        transfer.gaps, transfer.exclusive_piece = [], None
        self._waiting.remove(transfer)


def piece_end(gap: Range, share: int) -> int:
    """Return where a piece that begins with `gap` ends: after `share` bytes, but not before MIN_PIECE bytes.

    A remainder that is too small for a request of its own becomes part of the piece.
    """
    start, stop = gap
    end = start + max(share, MIN_PIECE)
    return stop if stop - end < MIN_PIECE // 2 else end


def _has_assignable_gap(transfer: Transfer) -> bool:
    if transfer.ranges_ignored and (transfer.exclusive_piece is not None or transfer.active):
        return False
    return bool(transfer.gaps)


def _gap_bytes(transfer: Transfer) -> int:
    return sum(stop - start for start, stop in transfer.gaps)
