"""Work scheduler: decides which job a worker does next, and tracks every byte range of every object.

Objects are started in the order of the plan. A worker stays with its object, so that files finish in order and their
MD5 is computed while the bytes arrive. While there are enough objects, each worker has its own. Towards the end several
workers share the missing ranges of an object, and idle workers take over parts of slow pieces (see `work_stealing`).
The size of a piece is the remaining bytes divided by the number of workers, so that large files are cut into few pieces
and only the last pieces are small.

A job that has to wait, for example after a failed attempt, is put into a delay queue, and its worker does another job.

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

MIN_PIECE = 8 * MIB  # bytes
SPEED_SAMPLE = 1 * MIB  # bytes that a connection must have received to be used for `Scheduler._typical_speed`


MakeTransfer = Callable[[int], Transfer]
"""Creates a transfer, not yet prepared, of the object with this index in the plan."""


class Scheduler:
    """Holds the objects that are not started, the transfers in progress, and the jobs that wait for a worker.

    indices: the objects to fetch. sizes: bytes to fetch, of all objects of the plan. max_transfers: maximum of
    transfers in progress, including those whose jobs are delayed.
    """

    def __init__(self, indices: Iterable[int], sizes: list[int], max_transfers: int) -> None:
        self.queue = deque(indices)  # objects that are not started
        self.transfers: dict[int, Transfer] = {}  # objects in progress, by their index
        self.max_transfers = max_transfers
        self.sizes = sizes  # bytes to fetch of every object of the plan; of subsets only estimates before `prepared`
        self.unassigned_bytes = sum(sizes[i] for i in self.queue)  # not assigned to any piece
        # Pieces being fetched. A dict, since a set would break ties between pieces by their addresses in memory.
        self.active_pieces: dict[Piece, None] = {}
        self.round_trip = 0.0  # seconds from a request to its response; 0 while unknown
        self.superseded: list[Piece] = []  # active without remaining bytes; the caller ends their connections
        self._waiting = JobQueue()
        self._typical_speed = 0.0  # bytes per second of connections that ended recently; 0 while unknown

    @property
    def finished(self) -> bool:
        """Whether no object remains."""
        return not self.queue and not self.transfers

    # Assigning jobs

    def next_job(self, now: float, workers: int, last: Transfer | None, make_transfer: MakeTransfer) -> Job | None:
        """Return the next job for a worker whose last job belonged to `last`; None if there is no job now."""
        self._waiting.wake(now)
        if last is not None and _has_assignable_gap(last):
            return self._cut_piece(last, workers, now)
        if (job := self._waiting.pop_ready(self._may_begin)) is not None:
            return self._begin(job, now)
        if self.queue and (len(self.transfers) < self.max_transfers or self._own_transfers < self.max_transfers):
            index = self.queue.popleft()
            transfer = self.transfers[index] = make_transfer(index)
            return PrepareJob(transfer)
        with_gaps = [transfer for transfer in self.transfers.values() if _has_assignable_gap(transfer)]
        if with_gaps:
            return self._cut_piece(max(with_gaps, key=_gap_bytes), workers, now)
        return self._steal(now)

    def next_due(self) -> float | None:
        """Return when the next delayed job is due; None if there is none."""
        return self._waiting.next_due()

    def waits_for_sessions(self) -> tuple[str, ...]:
        """Return the other sessions that are fetching all remaining objects; () if this session still has work."""
        if self.queue or not all(transfer.claimed_by for transfer in self.transfers.values()):
            return ()
        return tuple(sorted({transfer.claimed_by for transfer in self.transfers.values()}))

    @property
    def _own_transfers(self) -> int:
        """Number of transfers in progress, without objects that other sessions are fetching."""
        return sum(not transfer.claimed_by for transfer in self.transfers.values())

    def _may_begin(self, job: Job) -> bool:
        """Whether this job may begin now. Only one subset is written at a time: that takes memory, and the writer has
        threads of its own and holds a lock of its library."""
        if not isinstance(job, VerifyJob) or not job.transfer.writes_subset:
            return True
        return not any(other.verifying and other.writes_subset for other in self.transfers.values())

    def _begin(self, job: Job, now: float) -> Job:
        if isinstance(job, Piece):
            self._launch(job, now)
        elif isinstance(job, VerifyJob):
            job.transfer.verifying = True
        return job

    def _cut_piece(self, transfer: Transfer, workers: int, now: float) -> Piece:
        """Make a piece of the beginning of the first gap."""
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
        """Record that the transfer is prepared: its wanted and written ranges are known."""
        self.resize(transfer, transfer.wanted_bytes)
        transfer.prepared = True
        if transfer.withdrawn:
            return
        transfer.reset_gaps()
        self.unassigned_bytes += _gap_bytes(transfer) - self.sizes[transfer.index]
        if transfer.complete:
            self._waiting.put(VerifyJob(transfer))

    def resize(self, transfer: Transfer, size: int) -> None:
        """Record how many bytes of an object that is not prepared are to be fetched."""
        if not transfer.withdrawn:
            self.unassigned_bytes += size - self.sizes[transfer.index]
        self.sizes[transfer.index] = size

    def requeue(self, job: Job, not_before: float, now: float) -> None:
        """Queue this job again, to be done at `not_before` at the earliest."""
        if isinstance(job, Piece):
            self.piece_ended(job)
            if job.remaining <= 0 or self._returned_to_gaps(job):
                return
        self._waiting.put(job, not_before if not_before > now else 0.0)

    def piece_ended(self, piece: Piece, now: float | None = None) -> None:
        """Record that the piece is no longer being fetched. now: given if it was fetched completely."""
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
        """Make gaps of all missing bytes that no piece has, after written bytes were discarded. If none is missing, as
        for an empty object, queue the verification again."""
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

    # Servers or proxies that answer a range request with the whole object

    def make_exclusive(self, piece: Piece) -> bool:
        """Let this piece, whose response contains the whole object, fetch all missing bytes of the object.

        All missing bytes become gaps, which `assign_next_gap` assigns to this piece one after the other. Other pieces
        are superseded, and no other piece of the object is assigned for now. Return False if another piece is already
        receiving bytes.
        """
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
        """Record that the response to this piece contains only the requested range, so that several pieces of the
        object may be fetched at once again."""
        transfer = piece.transfer
        if (piece.position, piece.stop) != (0, transfer.obj.size):
            transfer.ranges_ignored, transfer.exclusive_piece = False, None

    def assign_next_gap(self, piece: Piece, position: int) -> bool:
        """Move the exclusive piece to the first gap at or after `position`. Return False if there is none."""
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
        """If only one piece may be fetched and this is another one, turn its bytes into a gap and return True."""
        transfer = piece.transfer
        if not transfer.ranges_ignored or transfer.withdrawn:
            return False
        if transfer.exclusive_piece is None and not transfer.active:
            transfer.exclusive_piece = piece
            return False
        self._return_to_gaps(piece)
        return True

    def _return_to_gaps(self, piece: Piece) -> None:
        """Turn the remaining bytes of this piece into a gap."""
        transfer = piece.transfer
        transfer.gaps = list(RangeSet([*transfer.gaps, (piece.position, piece.stop)]))
        self.unassigned_bytes += max(piece.remaining, 0)
        piece.stop = piece.position

    # Objects

    def withdraw(self, transfer: Transfer) -> None:
        """Assign no more work on this object, and drop its waiting jobs."""
        self._drop(transfer)
        transfer.withdrawn = True

    def restart(self, transfer: Transfer, not_before: float = 0.0) -> None:
        """Drop the pieces of this object and prepare it again, at `not_before` at the earliest."""
        self._drop(transfer)
        transfer.prepared = transfer.withdrawn = False
        self.unassigned_bytes += self.sizes[transfer.index]
        self._waiting.put(PrepareJob(transfer), not_before)

    def close(self, transfer: Transfer) -> None:
        """Remove this object, which is finished or has failed."""
        self._drop(transfer)
        self.transfers.pop(transfer.index, None)

    def add(self, indices: Sequence[int], *, first: bool = False) -> int:
        """Queue more objects, after all others or before them. Return their size in bytes."""
        if first:
            self.queue.extendleft(reversed(indices))
        else:
            self.queue.extend(indices)
        added = sum(map(self.sizes.__getitem__, indices))
        self.unassigned_bytes += added
        return added

    def remove(self, indices: Collection[int]) -> int:
        """Remove these objects, none of which is started, from the queue. Return their size in bytes."""
        if not indices:
            return 0
        self.queue = deque(filterfalse(indices.__contains__, self.queue))
        removed = sum(map(self.sizes.__getitem__, indices))
        self.unassigned_bytes -= removed
        return removed

    def promote(self, indices: Collection[int]) -> None:
        """Move these objects to the front of the queue, without changing their order."""
        first = [index for index in self.queue if index in indices]
        if first:
            self.queue = deque(first + [index for index in self.queue if index not in indices])

    def reset_failures(self) -> None:
        """After a network outage: make delayed jobs ready, and do not count their failed attempts."""
        for job in self._waiting.wake_all():
            if isinstance(job, Piece):
                job.failures = 0
            job.transfer.failures = 0

    def _drop(self, transfer: Transfer) -> None:
        if not transfer.withdrawn:
            self.unassigned_bytes -= _gap_bytes(transfer) if transfer.prepared else self.sizes[transfer.index]
        transfer.gaps, transfer.exclusive_piece = [], None
        self._waiting.remove(transfer)


def piece_end(gap: Range, share: int) -> int:
    """Return the end of a piece that begins with `gap`. Its size is `share` bytes, but at least MIN_PIECE.

    A remainder of the gap that is too small for a request of its own becomes part of the piece.
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
