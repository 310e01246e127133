"""Tests of the scheduler: every byte is assigned exactly once, whatever fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.retry import Decision
from era5dl.engine.scheduler import (
    MIB,
    MIN_PIECE,
    MIN_STEAL,
    SPEED_GRACE,
    Job,
    PrepareJob,
    Scheduler,
    VerifyJob,
    piece_end,
)
from era5dl.engine.transfer import Piece, Transfer
from era5dl.errors import Reaction
from era5dl.ranges import RangeSet

GIB = 1 << 30
START = 1000.0


class Scene:
    """A scheduler with objects of these sizes, and the moves of its users for tests that tell one story."""

    def __init__(self, *sizes: int, max_transfers: int = 99, workers: int = 4) -> None:
        self.sizes, self.workers, self.now = list(sizes), workers, START
        self.scheduler = Scheduler(range(len(sizes)), list(sizes), max_transfers)

    def make(self, index: int) -> Transfer:
        return Transfer(index, ObjectInfo(f"{index}.nc", self.sizes[index], '"e"'))

    def take(self, last: Transfer | None = None) -> Job | None:
        return self.scheduler.next_job(self.now, self.workers, last, self.make)

    def opened(self, job: Job | None, done: RangeSet | None = None) -> Transfer:
        """The object of this job has been opened; so much of it is there."""
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
        """So many bytes of it have come."""
        piece.transfer.done.add(piece.position, piece.position + count)
        piece.position += count

    def finish(self, piece: Piece) -> None:
        self.advance(piece, piece.remaining)
        self.scheduler.piece_ended(piece, self.now)
        self.scheduler.verify_when_complete(piece.transfer)


# -- the story of one object -----------------------------------------------------------------------------------------


def test_an_object_is_opened_fetched_proven_and_closed() -> None:
    scene = Scene(5 * MIB)
    transfer = scene.opened(scene.take())
    piece = scene.piece(transfer)
    assert (piece.position, piece.stop) == (0, 5 * MIB)
    assert scene.take() is None  # nothing else, and the piece is too young to be shared
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
def test_an_object_that_is_all_there_goes_straight_to_its_proof(size: int) -> None:
    scene = Scene(size)
    scene.opened(scene.take(), done=RangeSet([(0, size)]))
    assert isinstance(scene.take(), VerifyJob)
    assert scene.take() is None


def test_only_what_is_missing_is_fetched() -> None:
    scene = Scene(100 * MIB, workers=1)
    transfer = scene.opened(scene.take(), done=RangeSet([(0, MIB), (50 * MIB, 99 * MIB)]))
    spans = [(p.position, p.stop) for p in (scene.piece(transfer), scene.piece(transfer))]
    assert spans == [(MIB, 50 * MIB), (99 * MIB, 100 * MIB)]


def test_the_last_of_several_pieces_asks_for_the_proof_and_only_it() -> None:
    scene = Scene(32 * MIB, workers=4)
    transfer = scene.opened(scene.take())
    pieces = [scene.piece(transfer) for _ in range(4)]
    for piece in pieces:
        scene.advance(piece, piece.remaining)
    for piece in pieces[:-1]:
        scene.finish(piece)
        assert scene.take() is None  # all bytes are there, but somebody is still at it
    scene.finish(pieces[-1])
    assert isinstance(scene.take(), VerifyJob)
    assert scene.take() is None


# -- who gets what ---------------------------------------------------------------------------------------------------


def test_objects_begin_in_the_order_of_the_plan_one_to_a_worker() -> None:
    scene = Scene(GIB, GIB, GIB)
    opened = [scene.opened(scene.take()) for _ in range(3)]
    assert [t.index for t in opened] == [0, 1, 2]


def test_a_worker_stays_with_its_object() -> None:
    scene = Scene(GIB, GIB, GIB, workers=9)
    first, second = scene.opened(scene.take()), scene.opened(scene.take())
    for _ in range(3):
        assert scene.piece(first).transfer is first
        assert scene.piece(second).transfer is second
    assert isinstance(scene.take(), PrepareJob)  # one that has none begins the next


def test_with_nothing_else_left_the_object_with_most_to_do_is_shared() -> None:
    scene = Scene(100 * MIB, 300 * MIB, 200 * MIB)
    for _ in range(3):
        scene.opened(scene.take())
    assert scene.piece().transfer.index == 1


def test_no_more_objects_are_open_than_allowed_waiting_ones_included() -> None:
    scene = Scene(*[MIB] * 5, max_transfers=2)
    first = scene.opened(scene.take())
    second = scene.opened(scene.take())
    pieces = [scene.piece(first), scene.piece(second)]
    assert scene.take() is None
    scene.scheduler.requeue(pieces[0], START + 60, START)
    assert scene.take() is None
    scene.finish(pieces[1])
    assert isinstance(scene.take(), VerifyJob)
    scene.scheduler.close(second)
    assert isinstance(scene.take(), PrepareJob)


# -- how large a piece is --------------------------------------------------------------------------------------------


def test_pieces_are_shares_of_what_is_left_and_get_smaller_towards_the_end() -> None:
    scene = Scene(GIB, workers=4)
    transfer = scene.opened(scene.take())
    lengths = []
    while transfer.gaps:
        piece = scene.piece(transfer)
        lengths.append(piece.remaining)
        scene.finish(piece)
    assert lengths[0] == GIB // 4
    assert lengths[:-1] == sorted(lengths[:-1], reverse=True)
    assert lengths[-2] == MIN_PIECE
    assert sum(lengths) == GIB


def test_many_files_are_not_cut_at_all() -> None:
    scene = Scene(*[100 * MIB] * 50, workers=8)
    transfer = scene.opened(scene.take())
    piece = scene.piece(transfer)
    assert (piece.position, piece.stop) == (0, 100 * MIB)


def test_one_worker_fetches_a_file_in_one_piece() -> None:
    scene = Scene(GIB, workers=1)
    assert scene.piece(scene.opened(scene.take())).remaining == GIB


@given(st.integers(0, 4 * GIB), st.integers(1, 4 * GIB), st.integers(0, GIB))
def test_a_piece_is_within_its_gap_not_small_and_leaves_no_crumbs(start: int, length: int, share: int) -> None:
    stop = start + length
    end = piece_end((start, stop), share)
    assert start < end <= stop
    assert end == stop or end - start == max(share, MIN_PIECE)
    assert end == stop or stop - end >= MIN_PIECE // 2


# -- taking over -----------------------------------------------------------------------------------------------------


def two_pieces(left: int = 64 * MIB) -> tuple[Scene, Piece, Piece]:
    """Two objects of one piece each, in flight for ten seconds: the first came half as far as the second."""
    scene = Scene(left + MIB, left + 2 * MIB, workers=1)
    slow, fast = (scene.piece(scene.opened(scene.take())) for _ in range(2))
    scene.now += 10
    scene.advance(slow, MIB)
    scene.advance(fast, 2 * MIB)
    return scene, slow, fast


def test_an_idle_worker_takes_half_of_what_will_take_longest() -> None:
    scene, slow, fast = two_pieces()
    stolen = scene.piece()
    assert stolen.transfer is slow.transfer
    assert (slow.stop, stolen.position, stolen.stop) == (33 * MIB, 33 * MIB, 65 * MIB)
    assert fast.remaining == 64 * MIB
    assert stolen in scene.scheduler.active_pieces
    assert scene.scheduler.unassigned_bytes == 0


def test_a_piece_that_brings_nothing_is_halved_first() -> None:
    scene, _, fast = two_pieces()
    fast.position -= 2 * MIB  # has brought nothing in ten seconds
    assert scene.piece().transfer is fast.transfer


def test_a_young_piece_keeps_what_it_has() -> None:
    scene = Scene(64 * MIB, workers=1)
    piece = scene.piece(scene.opened(scene.take()))
    scene.now += SPEED_GRACE - 0.01
    assert scene.take() is None
    scene.now += 0.02
    assert scene.take() is not None
    assert piece.remaining == 32 * MIB


def test_a_piece_that_is_nearly_done_is_left_alone() -> None:
    scene = Scene(65 * MIB, workers=1)
    piece = scene.piece(scene.opened(scene.take()))
    scene.now += 10
    scene.advance(piece, 60 * MIB)  # the rest will be here in less than a second
    assert scene.take() is None


def racing(left: int, slow: float, usual: float = 8 * MIB) -> tuple[Scene, Piece]:
    """One piece with so much left, in flight for ten seconds at `slow` bytes a second; others had the usual speed."""
    scene = Scene(80 * MIB, left + int(10 * slow), workers=1)
    ended, crawling = (scene.piece(scene.opened(scene.take())) for _ in range(2))
    for _ in range(10):
        scene.now += 1
        scene.advance(ended, int(usual))
        scene.advance(crawling, int(slow))
        for piece in (ended, crawling):
            piece.add_sample(scene.now)
    scene.finish(ended)
    assert isinstance(scene.take(), VerifyJob)
    assert crawling.remaining == left
    return scene, crawling


def test_a_slow_connection_keeps_what_it_can_do_in_the_time_the_rest_takes() -> None:
    scene, crawling = racing(64 * MIB, slow=MIB)
    stolen = scene.piece()
    assert (crawling.stop, stolen.stop) == (stolen.position, 74 * MIB)
    assert crawling.remaining / MIB == pytest.approx(stolen.remaining / (8 * MIB), rel=0.01)
    assert scene.scheduler.superseded == []


def test_of_a_connection_that_crawls_everything_is_taken_and_it_is_ended() -> None:
    scene, crawling = racing(64 * MIB, slow=2000)
    stolen = scene.piece()
    assert (stolen.position, stolen.remaining, crawling.remaining) == (crawling.position, 64 * MIB, 0)
    assert scene.scheduler.superseded == [crawling]


def test_of_one_that_brings_nothing_half_is_taken_so_that_its_timeout_can_tell_why() -> None:
    scene, stalled = racing(64 * MIB, slow=0)
    assert scene.piece().remaining == stalled.remaining == 32 * MIB
    assert scene.scheduler.superseded == []


def test_many_idle_workers_share_at_once_what_one_has_just_taken_over() -> None:
    scene, _ = racing(64 * MIB, slow=2000)
    sizes = sorted(scene.piece().remaining for _ in range(4))
    assert sum(piece.remaining for piece in scene.scheduler.active_pieces) == 64 * MIB
    assert sizes[-1] == 64 * MIB  # as it was taken; by now it has been cut
    assert {piece.remaining for piece in scene.scheduler.active_pieces if piece.remaining} == {16 * MIB}


@pytest.mark.parametrize(("left", "cut"), [(7 * MIB, False), (9 * MIB, True)])
def test_a_piece_is_cut_only_if_it_then_ends_sooner_by_enough(left: int, cut: bool) -> None:
    scene, piece = racing(left, slow=8 * MIB)
    assert (scene.take() is not None) == cut
    assert (piece.remaining < left) == cut


@pytest.mark.parametrize("left", [2 * MIN_STEAL - 2, 2 * MIN_STEAL])
def test_what_is_too_small_for_two_is_not_cut(left: int) -> None:
    scene, _, _ = two_pieces(left)
    stolen = scene.take()
    assert (stolen is not None) == (left == 2 * MIN_STEAL)


# -- waiting ---------------------------------------------------------------------------------------------------------


def test_what_waits_comes_back_in_the_order_in_which_it_is_due() -> None:
    scene = Scene(*[MIN_STEAL] * 5)
    pieces = [scene.piece(scene.opened(scene.take())) for _ in range(5)]
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


def test_a_piece_that_came_to_its_end_before_it_failed_is_not_fetched_again() -> None:
    scene = Scene(MIB)
    piece = scene.piece(scene.opened(scene.take()))
    scene.advance(piece, piece.remaining)
    scene.scheduler.requeue(piece, START, START)
    assert scene.take() is None
    scene.scheduler.verify_when_complete(piece.transfer)
    assert isinstance(scene.take(), VerifyJob)


def test_when_the_network_is_back_nothing_waits_any_longer_and_all_is_forgiven() -> None:
    scene = Scene(MIB, MIB, MIB)
    pieces = [scene.piece(scene.opened(scene.take())) for _ in range(2)]
    opening = scene.take()
    assert opening is not None
    opening.transfer.failed_attempts = 5
    for job, delay in ((pieces[0], 60), (opening, 40), (pieces[1], 50)):
        if isinstance(job, Piece):
            job.failed_attempts = 5
        scene.scheduler.requeue(job, START + delay, START)
    scene.scheduler.reset_failures()
    assert [scene.take() for _ in range(3)] == [opening, pieces[1], pieces[0]]
    assert [piece.failed_attempts for piece in pieces] == [0, 0]
    assert opening.transfer.failed_attempts == 0
    assert scene.scheduler.next_due() is None


# -- giving up and beginning anew ------------------------------------------------------------------------------------


def test_an_object_that_cannot_be_opened_is_taken_out_of_the_books_once() -> None:
    scene = Scene(GIB, GIB)
    job = scene.take()
    assert job is not None
    scene.scheduler.withdraw(job.transfer)
    scene.scheduler.close(job.transfer)
    assert scene.scheduler.unassigned_bytes == GIB


def test_an_object_that_changed_before_it_was_open_is_in_the_books_once() -> None:
    scene = Scene(GIB)
    job = scene.take()
    assert job is not None
    scene.scheduler.withdraw(job.transfer)
    scene.scheduler.restart(job.transfer)
    assert scene.scheduler.unassigned_bytes == GIB
    assert isinstance(scene.take(), PrepareJob)


@pytest.mark.parametrize("delay", [0, 5])
def test_nothing_is_given_out_of_an_object_that_was_withdrawn(delay: float) -> None:
    scene = Scene(64 * MIB, workers=4)
    transfer = scene.opened(scene.take())
    waiting, flying = scene.piece(transfer), scene.piece(transfer)
    scene.scheduler.requeue(waiting, START + delay, START)
    scene.scheduler.withdraw(transfer)
    scene.now += delay
    assert scene.take(transfer) is None
    scene.scheduler.piece_ended(flying)
    assert scene.take(transfer) is None
    assert (scene.scheduler.unassigned_bytes, scene.scheduler.next_due()) == (0, None)


def test_nothing_is_taken_over_from_an_object_that_was_withdrawn() -> None:
    """Its pieces are being ended; half of one, given to an idle worker in that moment, would go on alone."""
    scene, slow, fast = two_pieces()
    for piece in (slow, fast):
        piece.transfer.decision = Decision(Reaction.FAIL_OBJECT, 0.0, 0)
        scene.scheduler.withdraw(piece.transfer)
    assert scene.take() is None


def test_begun_anew_it_is_opened_again_with_its_new_size() -> None:
    scene = Scene(64 * MIB, workers=2)
    transfer = scene.opened(scene.take())
    waiting, flying = scene.piece(transfer), scene.piece(transfer)
    scene.scheduler.requeue(waiting, START + 5, START)
    scene.scheduler.withdraw(transfer)
    scene.scheduler.piece_ended(flying)
    scene.scheduler.restart(transfer)
    again = scene.take()
    assert isinstance(again, PrepareJob)
    transfer.obj = replace(transfer.obj, size=MIB)
    scene.opened(again)
    assert scene.scheduler.unassigned_bytes == MIB
    scene.now += 60  # the piece of the old version is gone
    scene.finish(scene.piece())
    assert isinstance(scene.take(), VerifyJob)
    assert scene.take() is None


@pytest.mark.parametrize("delay", [0, 5])
def test_bytes_lost_while_the_proof_waits_are_fetched_before_it(delay: int) -> None:
    scene = Scene(2 * MIB)
    transfer = scene.opened(scene.take())
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


def test_an_empty_object_that_is_not_proven_is_looked_at_again() -> None:
    """Nothing of it can be fetched again; it must not be left with nobody responsible."""
    scene = Scene(0)
    transfer = scene.opened(scene.take())
    assert isinstance(scene.take(), VerifyJob)
    transfer.verifying = False
    scene.scheduler.reassign_missing(transfer)
    assert isinstance(scene.take(), VerifyJob)
    assert scene.take() is None


# -- anything, in any order ------------------------------------------------------------------------------------------


class Books(RuleBasedStateMachine):
    """Workers take, advance, finish and fail jobs at random. After every step the books must balance:

    each wanted byte of an open object is in the part file, in a piece in flight, in a piece that waits or in a gap,
    and in exactly one of them; and `unassigned` is what a recount of gaps and unopened objects gives.
    """

    WORKERS = 4

    @initialize(
        sizes=st.lists(st.integers(0, 80).map(lambda n: n * MIB + n % 3), min_size=1, max_size=6),
        max_transfers=st.integers(1, 4),
    )
    def begin(self, sizes: list[int], max_transfers: int) -> None:
        self.scene = Scene(*sizes, max_transfers=max_transfers, workers=self.WORKERS)
        self.scheduler = self.scene.scheduler
        self.jobs: dict[int, Job] = {}  # worker -> what it is at
        self.last: dict[int, Transfer] = {}
        self.waiting: dict[Piece, float] = {}  # -> when it is due
        self.queued = dict(enumerate(sizes))  # index -> size that the scheduler reckons with
        self.unopened: dict[Transfer, int] = {}  # the same for objects begun and not opened
        self.doomed: dict[Transfer, str] = {}  # withdrawn, and what is to become of them
        self.ended: list[int] = []

    def _take(self, worker: int) -> None:
        job = self.scene.take(self.last.get(worker))
        if job is None:
            return
        transfer = job.transfer
        assert transfer not in self.doomed, "given out though it was withdrawn"
        if isinstance(job, PrepareJob):
            if transfer.index in self.queued:
                self.unopened[transfer] = self.queued.pop(transfer.index)
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

    def _leave(self, worker: int) -> Job:
        job = self.jobs.pop(worker)
        if isinstance(job, VerifyJob):
            job.transfer.verifying = False
        return job

    def _put_back(self, job: Job, delay: float) -> None:
        due = self.scene.now + delay
        if job.transfer in self.doomed:
            if isinstance(job, Piece):
                self.scheduler.piece_ended(job)
        else:
            if isinstance(job, Piece) and job.remaining:
                self.waiting[job] = due
            self.scheduler.requeue(job, due, self.scene.now)
        if isinstance(job, Piece):
            self.scheduler.verify_when_complete(job.transfer)
        self._settle(job.transfer)

    def _doom(self, transfer: Transfer, fate: str) -> None:
        self.doomed[transfer] = fate
        transfer.decision = Decision(Reaction.FAIL_OBJECT, 0.0, 0)
        self.scheduler.withdraw(transfer)
        self.unopened.pop(transfer, None)
        self.waiting = {piece: due for piece, due in self.waiting.items() if piece.transfer is not transfer}
        self._settle(transfer)

    def _settle(self, transfer: Transfer) -> None:
        """Carry out what was decided about an object as soon as nobody works on it."""
        busy = any(job.transfer is transfer for job in self.jobs.values())
        if transfer not in self.doomed or busy:
            return
        transfer.decision = None
        if self.doomed.pop(transfer) == "anew":
            self.scheduler.restart(transfer)
            self.unopened[transfer] = transfer.obj.size
        else:
            self._close(transfer)

    def _close(self, transfer: Transfer) -> None:
        self.scheduler.close(transfer)
        self.unopened.pop(transfer, None)
        self.scene.sizes[transfer.index] = transfer.obj.size
        self.ended.append(transfer.index)

    # the moves

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
    def bytes_come(self, data: st.DataObject, share: float) -> None:
        job = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        if isinstance(job, Piece):
            self.scene.advance(job, int(job.remaining * share))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), there=st.lists(st.tuples(st.integers(0, 80), st.integers(1, 80)), max_size=3))
    def finish(self, data: st.DataObject, there: list[tuple[int, int]]) -> None:
        job = self._leave(data.draw(st.sampled_from(sorted(self.jobs))))
        transfer = job.transfer
        if isinstance(job, PrepareJob) and transfer not in self.doomed:
            if transfer.restarts % 2:  # begun anew, and another size upstream
                transfer.obj = replace(transfer.obj, size=transfer.obj.size // 2 + 5)
            transfer.restarts += 1
            done = RangeSet((at * MIB, min((at + n) * MIB, transfer.obj.size)) for at, n in there)
            self.scene.opened(job, done)
            self.unopened.pop(transfer)
        elif isinstance(job, PrepareJob):
            self.scheduler.prepared(transfer)  # too late: nothing more of it is given out
        elif isinstance(job, Piece):
            self.scene.finish(job)
        elif isinstance(job, VerifyJob) and transfer not in self.doomed:
            self._close(transfer)
        self._settle(transfer)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.0, 1.0, 5.0, 60.0]))
    def fail(self, data: st.DataObject, delay: float) -> None:
        self._put_back(self._leave(data.draw(st.sampled_from(sorted(self.jobs)))), delay)

    @precondition(lambda self: any(isinstance(job, VerifyJob) for job in self.jobs.values()))
    @rule(data=st.data())
    def bytes_turn_out_wrong(self, data: st.DataObject) -> None:
        workers = [w for w, job in self.jobs.items() if isinstance(job, VerifyJob) and job.transfer not in self.doomed]
        if workers:
            transfer = self._leave(data.draw(st.sampled_from(workers))).transfer
            transfer.done.remove(transfer.obj.size // 2, transfer.obj.size)
            self.scheduler.reassign_missing(transfer)

    @precondition(lambda self: any(self._begun()))
    @rule(data=st.data(), at=st.integers(0, 80), count=st.integers(0, 80))
    def bytes_are_lost(self, data: st.DataObject, at: int, count: int) -> None:
        """At any moment: pieces may be under way, or wait, and so may the proof."""
        transfer = data.draw(st.sampled_from(sorted(self._begun(), key=lambda t: t.index)))
        if not transfer.verifying:
            transfer.done.remove(at * MIB, (at + count) * MIB)
            self.scheduler.reassign_missing(transfer)

    def _begun(self) -> list[Transfer]:
        return [t for t in self.scheduler.transfers.values() if t.prepared and t not in self.doomed]

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), fate=st.sampled_from(["anew", "fails"]))
    def give_up(self, data: st.DataObject, fate: str) -> None:
        job = self._leave(data.draw(st.sampled_from(sorted(self.jobs))))
        if isinstance(job, Piece):
            self.scheduler.piece_ended(job)
        if job.transfer in self.doomed:
            self._settle(job.transfer)
        else:
            self._doom(job.transfer, fate)

    @precondition(lambda self: self.ended)
    @rule(first=st.booleans())
    def once_more(self, first: bool) -> None:
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
    def the_network_is_back(self) -> None:
        self.scheduler.reset_failures()
        self.waiting = dict.fromkeys(self.waiting, START)

    # what must hold

    @invariant()
    def every_byte_is_in_one_place(self) -> None:
        for transfer in self.scheduler.transfers.values():
            if not transfer.prepared or transfer in self.doomed:
                continue
            held = [*transfer.done, *transfer.gaps]
            held += [(p.position, p.stop) for p in self.scheduler.active_pieces if p.transfer is transfer]
            held += [(p.position, p.stop) for p in self.waiting if p.transfer is transfer]
            held = sorted(span for span in held if span[0] < span[1])
            assert sum(b - a for a, b in held) == transfer.obj.size
            assert RangeSet(held) == RangeSet(transfer.wanted)

    @invariant()
    def unassigned_is_what_a_recount_gives(self) -> None:
        gaps = sum(b - a for t in self.scheduler.transfers.values() for a, b in t.gaps)
        assert self.scheduler.unassigned_bytes == sum(self.queued.values()) + sum(self.unopened.values()) + gaps

    @invariant()
    def it_knows_who_is_at_work(self) -> None:
        flying = {job for job in self.jobs.values() if isinstance(job, Piece)}
        assert self.scheduler.active_pieces == flying
        for transfer in self.scheduler.transfers.values():
            assert transfer.active == {piece for piece in flying if piece.transfer is transfer}

    @invariant()
    def not_too_many_are_open(self) -> None:
        assert len(self.scheduler.transfers) <= self.scheduler.max_transfers
        assert self.scheduler.finished == (not self.queued and not self.scheduler.transfers)

    def teardown(self) -> None:
        """From wherever it stands, workers that do not fail come to the end."""
        if not hasattr(self, "scene"):
            return
        for worker in list(self.jobs):
            self._put_back(self._leave(worker), 0.0)
        for _ in range(2000):
            if self.scheduler.finished:
                break
            self.scene.now += 10
            self._take(0)
            if 0 in self.jobs:
                job = self._leave(0)
                if isinstance(job, PrepareJob):
                    self.scene.opened(job)
                    self.unopened.pop(job.transfer)
                elif isinstance(job, Piece):
                    self.scene.finish(job)
                else:
                    self._close(job.transfer)
            self.every_byte_is_in_one_place()
            self.unassigned_is_what_a_recount_gives()
        assert self.scheduler.finished
        assert self.scheduler.unassigned_bytes == 0


Books.TestCase.settings = hypothesis_settings(max_examples=150, stateful_step_count=60, deadline=None)
TestBooks = pytest.mark.slow(Books.TestCase)
