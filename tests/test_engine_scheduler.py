"""Tests of the scheduler: every byte is assigned exactly once, whatever fails, and the byte counts stay right."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.job_queue import Job, PrepareJob, VerifyJob
from era5dl.engine.retry import Decision
from era5dl.engine.scheduler import MIN_PIECE, Scheduler, piece_end
from era5dl.engine.transfer import Piece, Transfer
from era5dl.engine.work_stealing import MIB, MIN_STEAL, SPEED_GRACE
from era5dl.errors import Reaction
from era5dl.ranges import RangeSet

GIB = 1 << 30
START = 1000.0


class Scene:
    """A scheduler with objects of these sizes, a clock, and the calls that workers make."""

    def __init__(self, *sizes: int, max_transfers: int = 99, workers: int = 4) -> None:
        self.sizes, self.workers, self.now = list(sizes), workers, START
        self.scheduler = Scheduler(range(len(sizes)), list(sizes), max_transfers)

    def make(self, index: int) -> Transfer:
        return Transfer(index, ObjectInfo(f"{index}.nc", self.sizes[index], '"e"'))

    def take(self, last: Transfer | None = None) -> Job | None:
        return self.scheduler.next_job(self.now, self.workers, last, self.make)

    def prepare(self, job: Job | None, done: RangeSet | None = None) -> Transfer:
        """Report the object of this job as prepared, with these bytes on disk."""
        assert isinstance(job, PrepareJob)
        transfer = job.transfer
        transfer.wanted, transfer.done = [(0, transfer.obj.size)], done or RangeSet()
        self.scheduler.prepared(transfer)
        return transfer

    def piece(self, last: Transfer | None = None) -> Piece:
        job = self.take(last)
        assert isinstance(job, Piece)
        return job

    def advance(self, piece: Piece, count: int) -> None:
        """Receive the next bytes of the piece."""
        piece.transfer.done.add(piece.position, piece.position + count)
        piece.position += count

    def finish(self, piece: Piece) -> None:
        self.advance(piece, piece.remaining)
        self.scheduler.piece_ended(piece, self.now)
        self.scheduler.verify_when_complete(piece.transfer)


# -- one object -------------------------------------------------------------------------------------------------------


def test_an_object_is_prepared_fetched_verified_and_closed() -> None:
    scene = Scene(5 * MIB)
    transfer = scene.prepare(scene.take())
    piece = scene.piece(transfer)
    assert (piece.position, piece.stop) == (0, 5 * MIB)
    assert scene.take() is None  # no other work, and the piece has just started
    scene.finish(piece)
    proof = scene.take()
    assert isinstance(proof, VerifyJob)
    assert transfer.verifying
    assert scene.take() is None
    transfer.verifying = False
    scene.scheduler.close(transfer)
    assert scene.scheduler.finished
    assert scene.scheduler.unassigned_bytes == 0


@pytest.mark.parametrize("size", [0, 100])
def test_a_complete_object_is_verified_at_once(size: int) -> None:
    scene = Scene(size)
    scene.prepare(scene.take(), done=RangeSet([(0, size)]))
    assert isinstance(scene.take(), VerifyJob)
    assert scene.take() is None


def test_only_what_is_missing_is_fetched() -> None:
    scene = Scene(100 * MIB, workers=1)
    transfer = scene.prepare(scene.take(), done=RangeSet([(0, MIB), (50 * MIB, 99 * MIB)]))
    spans = [(p.position, p.stop) for p in (scene.piece(transfer), scene.piece(transfer))]
    assert spans == [(MIB, 50 * MIB), (99 * MIB, 100 * MIB)]


def test_only_the_last_of_several_pieces_queues_the_verification() -> None:
    scene = Scene(32 * MIB, workers=4)
    transfer = scene.prepare(scene.take())
    pieces = [scene.piece(transfer) for _ in range(4)]
    for piece in pieces:
        scene.advance(piece, piece.remaining)
    for piece in pieces[:-1]:
        scene.finish(piece)
        assert scene.take() is None  # all bytes are written, but a piece is still active
    scene.finish(pieces[-1])
    assert isinstance(scene.take(), VerifyJob)
    assert scene.take() is None


# -- assignment -------------------------------------------------------------------------------------------------------


def test_objects_begin_in_the_order_of_the_plan_one_per_worker() -> None:
    scene = Scene(GIB, GIB, GIB)
    opened = [scene.prepare(scene.take()) for _ in range(3)]
    assert [t.index for t in opened] == [0, 1, 2]


def test_a_worker_stays_with_its_object() -> None:
    scene = Scene(GIB, GIB, GIB, workers=9)
    first, second = scene.prepare(scene.take()), scene.prepare(scene.take())
    for _ in range(3):
        assert scene.piece(first).transfer is first
        assert scene.piece(second).transfer is second
    assert isinstance(scene.take(), PrepareJob)  # a worker without an object begins the next


def test_without_other_objects_the_one_with_most_missing_bytes_is_shared() -> None:
    scene = Scene(100 * MIB, 300 * MIB, 200 * MIB)
    for _ in range(3):
        scene.prepare(scene.take())
    assert scene.piece().transfer.index == 1


def test_delayed_objects_count_against_max_transfers() -> None:
    scene = Scene(*[MIB] * 5, max_transfers=2)
    first = scene.prepare(scene.take())
    second = scene.prepare(scene.take())
    pieces = [scene.piece(first), scene.piece(second)]
    assert scene.take() is None
    scene.scheduler.requeue(pieces[0], START + 60, START)
    assert scene.take() is None
    scene.finish(pieces[1])
    assert isinstance(scene.take(), VerifyJob)
    scene.scheduler.close(second)
    assert isinstance(scene.take(), PrepareJob)


# -- piece sizes ------------------------------------------------------------------------------------------------------


def test_pieces_are_shares_of_the_remaining_bytes_and_get_smaller() -> None:
    scene = Scene(GIB, workers=4)
    transfer = scene.prepare(scene.take())
    lengths = []
    while transfer.gaps:
        piece = scene.piece(transfer)
        lengths.append(piece.remaining)
        scene.finish(piece)
    assert lengths[0] == GIB // 4
    assert lengths[:-1] == sorted(lengths[:-1], reverse=True)
    assert lengths[-2] == MIN_PIECE
    assert sum(lengths) == GIB


def test_many_files_are_fetched_in_one_piece_each() -> None:
    scene = Scene(*[100 * MIB] * 50, workers=8)
    transfer = scene.prepare(scene.take())
    piece = scene.piece(transfer)
    assert (piece.position, piece.stop) == (0, 100 * MIB)


def test_one_worker_fetches_a_file_in_one_piece() -> None:
    scene = Scene(GIB, workers=1)
    assert scene.piece(scene.prepare(scene.take())).remaining == GIB


@given(st.integers(0, 4 * GIB), st.integers(1, 4 * GIB), st.integers(0, GIB))
def test_a_piece_is_within_its_gap_and_leaves_no_small_remainder(start: int, length: int, share: int) -> None:
    stop = start + length
    end = piece_end((start, stop), share)
    assert start < end <= stop
    assert end == stop or end - start == max(share, MIN_PIECE)
    assert end == stop or stop - end >= MIN_PIECE // 2


# -- work stealing ----------------------------------------------------------------------------------------------------


def two_pieces(left: int = 64 * MIB) -> tuple[Scene, Piece, Piece]:
    """Two objects of one piece each, active for ten seconds. The first received half as many bytes as the second."""
    scene = Scene(left + MIB, left + 2 * MIB, workers=1)
    slow, fast = (scene.piece(scene.prepare(scene.take())) for _ in range(2))
    scene.now += 10
    scene.advance(slow, MIB)
    scene.advance(fast, 2 * MIB)
    return scene, slow, fast


def test_an_idle_worker_takes_half_of_the_piece_that_takes_longest() -> None:
    scene, slow, fast = two_pieces()
    stolen = scene.piece()
    assert stolen.transfer is slow.transfer
    assert (slow.stop, stolen.position, stolen.stop) == (33 * MIB, 33 * MIB, 65 * MIB)
    assert fast.remaining == 64 * MIB
    assert stolen in scene.scheduler.active_pieces
    assert scene.scheduler.unassigned_bytes == 0


def test_a_piece_without_bytes_is_split_first() -> None:
    scene, _, fast = two_pieces()
    fast.position -= 2 * MIB  # no bytes in ten seconds
    assert scene.piece().transfer is fast.transfer


def test_a_piece_that_has_just_started_is_not_split() -> None:
    scene = Scene(64 * MIB, workers=1)
    piece = scene.piece(scene.prepare(scene.take()))
    scene.now += SPEED_GRACE - 0.01
    assert scene.take() is None
    scene.now += 0.02
    assert scene.take() is not None
    assert piece.remaining == 32 * MIB


def test_a_piece_that_is_nearly_done_is_not_split() -> None:
    scene = Scene(65 * MIB, workers=1)
    piece = scene.piece(scene.prepare(scene.take()))
    scene.now += 10
    scene.advance(piece, 60 * MIB)  # the rest takes less than a second
    assert scene.take() is None


def slow_piece(left: int, speed: float, usual: float = 8 * MIB) -> tuple[Scene, Piece]:
    """One piece with so many bytes remaining, active for ten seconds at `speed` bytes per second; the typical speed of
    other connections is `usual`."""
    scene = Scene(80 * MIB, left + int(10 * speed), workers=1)
    ended, slow = (scene.piece(scene.prepare(scene.take())) for _ in range(2))
    for _ in range(10):
        scene.now += 1
        scene.advance(ended, int(usual))
        scene.advance(slow, int(speed))
        for piece in (ended, slow):
            piece.add_sample(scene.now)
    scene.finish(ended)
    assert isinstance(scene.take(), VerifyJob)
    assert slow.remaining == left
    return scene, slow


def test_a_slow_connection_keeps_what_it_can_fetch_in_the_same_time() -> None:
    scene, slow = slow_piece(64 * MIB, speed=MIB)
    stolen = scene.piece()
    assert (slow.stop, stolen.stop) == (stolen.position, 74 * MIB)
    assert slow.remaining / MIB == pytest.approx(stolen.remaining / (8 * MIB), rel=0.01)
    assert scene.scheduler.superseded == []


def test_a_nearly_stalled_connection_is_superseded() -> None:
    scene, slow = slow_piece(64 * MIB, speed=2000)
    stolen = scene.piece()
    assert (stolen.position, stolen.remaining, slow.remaining) == (slow.position, 64 * MIB, 0)
    assert scene.scheduler.superseded == [slow]


def test_a_connection_without_bytes_keeps_half_so_that_its_timeout_is_reported() -> None:
    scene, stalled = slow_piece(64 * MIB, speed=0)
    assert scene.piece().remaining == stalled.remaining == 32 * MIB
    assert scene.scheduler.superseded == []


def test_several_idle_workers_share_a_piece_that_was_just_taken_over() -> None:
    scene, _ = slow_piece(64 * MIB, speed=2000)
    sizes = sorted(scene.piece().remaining for _ in range(4))
    assert sum(piece.remaining for piece in scene.scheduler.active_pieces) == 64 * MIB
    assert sizes[-1] == 64 * MIB  # as taken; it has been split since
    assert {piece.remaining for piece in scene.scheduler.active_pieces if piece.remaining} == {16 * MIB}


@pytest.mark.parametrize(("left", "cut"), [(7 * MIB, False), (9 * MIB, True)])
def test_a_piece_is_split_only_if_that_saves_enough_time(left: int, cut: bool) -> None:
    scene, piece = slow_piece(left, speed=8 * MIB)
    assert (scene.take() is not None) == cut
    assert (piece.remaining < left) == cut


@pytest.mark.parametrize("left", [2 * MIN_STEAL - 2, 2 * MIN_STEAL])
def test_a_small_piece_is_not_split(left: int) -> None:
    scene, _, _ = two_pieces(left)
    stolen = scene.take()
    assert (stolen is not None) == (left == 2 * MIN_STEAL)


# -- delays -----------------------------------------------------------------------------------------------------------


def test_delayed_jobs_are_assigned_in_the_order_they_are_due() -> None:
    scene = Scene(*[MIN_STEAL] * 5)
    pieces = [scene.piece(scene.prepare(scene.take())) for _ in range(5)]
    for piece, delay in zip(pieces, (30, 10, 20, 10, 0), strict=True):
        scene.scheduler.requeue(piece, START + delay, START)
    assert scene.scheduler.next_due() == START + 10
    assert scene.take() is pieces[4]
    assert scene.take() is None
    scene.now = START + 9.9
    assert scene.take() is None
    scene.now = START + 10
    assert scene.take() is pieces[1]
    scene.now = START + 60
    assert [scene.take() for _ in range(3)] == [pieces[3], pieces[2], pieces[0]]
    assert scene.scheduler.next_due() is None


def test_a_complete_piece_that_failed_is_not_fetched_again() -> None:
    scene = Scene(MIB)
    piece = scene.piece(scene.prepare(scene.take()))
    scene.advance(piece, piece.remaining)
    scene.scheduler.requeue(piece, START, START)
    assert scene.take() is None
    scene.scheduler.verify_when_complete(piece.transfer)
    assert isinstance(scene.take(), VerifyJob)


def test_after_an_outage_delayed_jobs_are_ready_and_failures_are_reset() -> None:
    scene = Scene(MIB, MIB, MIB)
    pieces = [scene.piece(scene.prepare(scene.take())) for _ in range(2)]
    opening = scene.take()
    assert opening is not None
    opening.transfer.failures = 5
    for job, delay in ((pieces[0], 60), (opening, 40), (pieces[1], 50)):
        if isinstance(job, Piece):
            job.failures = 5
        scene.scheduler.requeue(job, START + delay, START)
    scene.scheduler.reset_failures()
    assert [scene.take() for _ in range(3)] == [opening, pieces[1], pieces[0]]
    assert [piece.failures for piece in pieces] == [0, 0]
    assert opening.transfer.failures == 0
    assert scene.scheduler.next_due() is None


# -- withdrawn and restarted objects ----------------------------------------------------------------------------------


def test_an_unprepared_object_that_is_closed_is_subtracted_once() -> None:
    scene = Scene(GIB, GIB)
    job = scene.take()
    assert job is not None
    scene.scheduler.withdraw(job.transfer)
    scene.scheduler.close(job.transfer)
    assert scene.scheduler.unassigned_bytes == GIB


def test_an_unprepared_object_that_is_restarted_is_counted_once() -> None:
    scene = Scene(GIB)
    job = scene.take()
    assert job is not None
    scene.scheduler.withdraw(job.transfer)
    scene.scheduler.restart(job.transfer)
    assert scene.scheduler.unassigned_bytes == GIB
    assert isinstance(scene.take(), PrepareJob)


@pytest.mark.parametrize("delay", [0, 5])
def test_no_job_of_a_withdrawn_object_is_assigned(delay: float) -> None:
    scene = Scene(64 * MIB, workers=4)
    transfer = scene.prepare(scene.take())
    waiting, active = scene.piece(transfer), scene.piece(transfer)
    scene.scheduler.requeue(waiting, START + delay, START)
    scene.scheduler.withdraw(transfer)
    scene.now += delay
    assert scene.take(transfer) is None
    scene.scheduler.piece_ended(active)
    assert scene.take(transfer) is None
    assert (scene.scheduler.unassigned_bytes, scene.scheduler.next_due()) == (0, None)


def test_pieces_of_a_withdrawn_object_are_not_split() -> None:
    """Its pieces are being aborted: half of one, assigned to an idle worker at that moment, would go on alone."""
    scene, slow, fast = two_pieces()
    for piece in (slow, fast):
        piece.transfer.decision = Decision(Reaction.FAIL_OBJECT, 0.0, 0)
        scene.scheduler.withdraw(piece.transfer)
    assert scene.take() is None


def test_a_restarted_object_is_prepared_again_with_its_new_size() -> None:
    scene = Scene(64 * MIB, workers=2)
    transfer = scene.prepare(scene.take())
    waiting, active = scene.piece(transfer), scene.piece(transfer)
    scene.scheduler.requeue(waiting, START + 5, START)
    scene.scheduler.withdraw(transfer)
    scene.scheduler.piece_ended(active)
    scene.scheduler.restart(transfer)
    again = scene.take()
    assert isinstance(again, PrepareJob)
    transfer.obj = replace(transfer.obj, size=MIB)
    scene.prepare(again)
    assert scene.scheduler.unassigned_bytes == MIB
    scene.now += 60  # the piece of the old version is gone
    scene.finish(scene.piece())
    assert isinstance(scene.take(), VerifyJob)
    assert scene.take() is None


@pytest.mark.parametrize("delay", [0, 5])
def test_bytes_lost_while_the_verification_waits_are_fetched_first(delay: int) -> None:
    scene = Scene(2 * MIB)
    transfer = scene.prepare(scene.take())
    scene.finish(scene.piece(transfer))
    proof = scene.take()
    assert isinstance(proof, VerifyJob)
    transfer.verifying = False
    scene.scheduler.requeue(proof, START + delay, START)
    transfer.done.remove(MIB, 2 * MIB)
    scene.scheduler.reassign_missing(transfer)
    scene.now += delay
    piece = scene.piece()
    assert (piece.position, piece.stop) == (MIB, 2 * MIB)
    scene.finish(piece)
    assert isinstance(scene.take(), VerifyJob)
    assert scene.take() is None


def test_an_empty_object_that_does_not_match_is_verified_again() -> None:
    """None of its bytes can be fetched again, so no piece would queue the verification."""
    scene = Scene(0)
    transfer = scene.prepare(scene.take())
    assert isinstance(scene.take(), VerifyJob)
    transfer.verifying = False
    scene.scheduler.reassign_missing(transfer)
    assert isinstance(scene.take(), VerifyJob)
    assert scene.take() is None


# -- random operations ------------------------------------------------------------------------------------------------


class SchedulerMachine(RuleBasedStateMachine):
    """Workers take, advance, finish and fail jobs at random. After every step each wanted byte of a prepared object
    is in exactly one of the part file, an active piece, a waiting piece and a gap, and `unassigned_bytes` equals a
    recount of the gaps and the unprepared objects.
    """

    WORKERS = 4

    @initialize(
        sizes=st.lists(st.integers(0, 80).map(lambda n: n * MIB + n % 3), min_size=1, max_size=6),
        max_transfers=st.integers(1, 4),
    )
    def begin(self, sizes: list[int], max_transfers: int) -> None:
        self.scene = Scene(*sizes, max_transfers=max_transfers, workers=self.WORKERS)
        self.scheduler = self.scene.scheduler
        self.jobs: dict[int, Job] = {}  # of each worker
        self.last: dict[int, Transfer] = {}
        self.waiting: dict[Piece, float] = {}  # -> when it is due
        self.queued = dict(enumerate(sizes))  # index -> size that the scheduler knows
        self.unprepared: dict[Transfer, int] = {}  # the same for transfers that are not prepared
        self.withdrawn: dict[Transfer, str] = {}  # -> "restart" or "close"
        self.ended: list[int] = []

    def _take(self, worker: int) -> None:
        job = self.scene.take(self.last.get(worker))
        if job is None:
            return
        transfer = job.transfer
        assert transfer not in self.withdrawn, "assigned although it was withdrawn"
        if isinstance(job, PrepareJob):
            if transfer.index in self.queued:
                self.unprepared[transfer] = self.queued.pop(transfer.index)
            assert not transfer.prepared
        elif isinstance(job, VerifyJob):
            assert transfer.complete
            assert transfer.idle or (transfer.verifying and not transfer.active)
            assert job not in self.jobs.values()
            assert not any(isinstance(other, VerifyJob) and other.transfer is transfer for other in self.jobs.values())
        else:
            assert job.remaining > 0
            assert job in self.scheduler.active_pieces
            assert self.waiting.pop(job, START) <= self.scene.now
        self.jobs[worker] = job
        self.last[worker] = transfer

    def _end_job(self, worker: int) -> Job:
        job = self.jobs.pop(worker)
        if isinstance(job, VerifyJob):
            job.transfer.verifying = False
        return job

    def _requeue(self, job: Job, delay: float) -> None:
        due = self.scene.now + delay
        if job.transfer in self.withdrawn:
            if isinstance(job, Piece):
                self.scheduler.piece_ended(job)
        else:
            if isinstance(job, Piece) and job.remaining:
                self.waiting[job] = due
            self.scheduler.requeue(job, due, self.scene.now)
        if isinstance(job, Piece):
            self.scheduler.verify_when_complete(job.transfer)
        self._settle(job.transfer)

    def _withdraw(self, transfer: Transfer, fate: str) -> None:
        self.withdrawn[transfer] = fate
        transfer.decision = Decision(Reaction.FAIL_OBJECT, 0.0, 0)
        self.scheduler.withdraw(transfer)
        self.unprepared.pop(transfer, None)
        self.waiting = {piece: due for piece, due in self.waiting.items() if piece.transfer is not transfer}
        self._settle(transfer)

    def _settle(self, transfer: Transfer) -> None:
        """Restart or close a withdrawn object as soon as no worker has a job of it."""
        busy = any(job.transfer is transfer for job in self.jobs.values())
        if transfer not in self.withdrawn or busy:
            return
        transfer.decision = None
        if self.withdrawn.pop(transfer) == "restart":
            self.scheduler.restart(transfer)
            self.unprepared[transfer] = transfer.obj.size
        else:
            self._close(transfer)

    def _close(self, transfer: Transfer) -> None:
        self.scheduler.close(transfer)
        self.unprepared.pop(transfer, None)
        self.scene.sizes[transfer.index] = transfer.obj.size
        self.ended.append(transfer.index)

    # operations

    @rule(worker=st.integers(0, WORKERS - 1))
    def take(self, worker: int) -> None:
        if worker not in self.jobs:
            self._take(worker)

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.scene.now += seconds
        for piece in self.scheduler.active_pieces:
            piece.add_sample(self.scene.now)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), share=st.floats(0, 1))
    def receive_bytes(self, data: st.DataObject, share: float) -> None:
        job = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        if isinstance(job, Piece):
            self.scene.advance(job, int(job.remaining * share))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), there=st.lists(st.tuples(st.integers(0, 80), st.integers(1, 80)), max_size=3))
    def finish(self, data: st.DataObject, there: list[tuple[int, int]]) -> None:
        job = self._end_job(data.draw(st.sampled_from(sorted(self.jobs))))
        transfer = job.transfer
        if isinstance(job, PrepareJob) and transfer not in self.withdrawn:
            if transfer.restarts % 2:  # restarted with another size upstream
                transfer.obj = replace(transfer.obj, size=transfer.obj.size // 2 + 5)
            transfer.restarts += 1
            done = RangeSet((at * MIB, min((at + n) * MIB, transfer.obj.size)) for at, n in there)
            self.scene.prepare(job, done)
            self.unprepared.pop(transfer)
        elif isinstance(job, PrepareJob):
            self.scheduler.prepared(transfer)  # too late: no more of it is assigned
        elif isinstance(job, Piece):
            self.scene.finish(job)
        elif isinstance(job, VerifyJob) and transfer not in self.withdrawn:
            self._close(transfer)
        self._settle(transfer)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.0, 1.0, 5.0, 60.0]))
    def fail(self, data: st.DataObject, delay: float) -> None:
        self._requeue(self._end_job(data.draw(st.sampled_from(sorted(self.jobs)))), delay)

    @precondition(lambda self: any(isinstance(job, VerifyJob) for job in self.jobs.values()))
    @rule(data=st.data())
    def verification_fails(self, data: st.DataObject) -> None:
        workers = [
            w for w, job in self.jobs.items() if isinstance(job, VerifyJob) and job.transfer not in self.withdrawn
        ]
        if workers:
            transfer = self._end_job(data.draw(st.sampled_from(workers))).transfer
            transfer.done.remove(transfer.obj.size // 2, transfer.obj.size)
            self.scheduler.reassign_missing(transfer)

    @precondition(lambda self: any(self._prepared()))
    @rule(data=st.data(), at=st.integers(0, 80), count=st.integers(0, 80))
    def written_bytes_are_lost(self, data: st.DataObject, at: int, count: int) -> None:
        """At any moment: pieces may be active or wait, and so may the verification."""
        transfer = data.draw(st.sampled_from(sorted(self._prepared(), key=lambda t: t.index)))
        if not transfer.verifying:
            transfer.done.remove(at * MIB, (at + count) * MIB)
            self.scheduler.reassign_missing(transfer)

    def _prepared(self) -> list[Transfer]:
        return [t for t in self.scheduler.transfers.values() if t.prepared and t not in self.withdrawn]

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), fate=st.sampled_from(["restart", "close"]))
    def withdraw(self, data: st.DataObject, fate: str) -> None:
        job = self._end_job(data.draw(st.sampled_from(sorted(self.jobs))))
        if isinstance(job, Piece):
            self.scheduler.piece_ended(job)
        if job.transfer in self.withdrawn:
            self._settle(job.transfer)
        else:
            self._withdraw(job.transfer, fate)

    @precondition(lambda self: self.ended)
    @rule(first=st.booleans())
    def add_again(self, first: bool) -> None:
        index = self.ended.pop()
        assert self.scheduler.add([index], first=first) == self.scene.sizes[index]
        assert self.scheduler.queue[0 if first else -1] == index
        self.queued[index] = self.scene.sizes[index]

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        held = data.draw(st.sets(st.sampled_from(sorted(self.queued)), min_size=1))
        assert self.scheduler.remove(held) == sum(self.queued.pop(index) for index in held)
        self.ended += held

    @rule()
    def outage_ends(self) -> None:
        self.scheduler.reset_failures()
        self.waiting = dict.fromkeys(self.waiting, START)

    # invariants

    @invariant()
    def every_byte_is_in_exactly_one_place(self) -> None:
        for transfer in self.scheduler.transfers.values():
            if not transfer.prepared or transfer in self.withdrawn:
                continue
            held = [*transfer.done, *transfer.gaps]
            held += [(p.position, p.stop) for p in self.scheduler.active_pieces if p.transfer is transfer]
            held += [(p.position, p.stop) for p in self.waiting if p.transfer is transfer]
            held = sorted(span for span in held if span[0] < span[1])
            assert sum(b - a for a, b in held) == transfer.obj.size
            assert RangeSet(held) == RangeSet(transfer.wanted)

    @invariant()
    def unassigned_bytes_equal_a_recount(self) -> None:
        gaps = sum(b - a for t in self.scheduler.transfers.values() for a, b in t.gaps)
        assert self.scheduler.unassigned_bytes == sum(self.queued.values()) + sum(self.unprepared.values()) + gaps

    @invariant()
    def active_pieces_are_those_of_the_workers(self) -> None:
        active = {job for job in self.jobs.values() if isinstance(job, Piece)}
        assert self.scheduler.active_pieces.keys() == active
        for transfer in self.scheduler.transfers.values():
            assert transfer.active.keys() == {piece for piece in active if piece.transfer is transfer}

    @invariant()
    def max_transfers_is_respected(self) -> None:
        assert len(self.scheduler.transfers) <= self.scheduler.max_transfers
        assert self.scheduler.finished == (not self.queued and not self.scheduler.transfers)

    def teardown(self) -> None:
        """From any state, workers that do not fail finish everything."""
        if not hasattr(self, "scene"):
            return
        for worker in list(self.jobs):
            self._requeue(self._end_job(worker), 0.0)
        for _ in range(2000):
            if self.scheduler.finished:
                break
            self.scene.now += 10
            self._take(0)
            if 0 in self.jobs:
                job = self._end_job(0)
                if isinstance(job, PrepareJob):
                    self.scene.prepare(job)
                    self.unprepared.pop(job.transfer)
                elif isinstance(job, Piece):
                    self.scene.finish(job)
                else:
                    self._close(job.transfer)
            self.every_byte_is_in_exactly_one_place()
            self.unassigned_bytes_equal_a_recount()
        assert self.scheduler.finished
        assert self.scheduler.unassigned_bytes == 0


SchedulerMachine.TestCase.settings = hypothesis_settings(max_examples=150, stateful_step_count=60, deadline=None)
TestSchedulerMachine = pytest.mark.slow(SchedulerMachine.TestCase)
