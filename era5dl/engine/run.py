"""All that one run knows, under one lock, and the rules by which an attempt's end changes it.

Workers take jobs here and settle them here; the keeper reads it to write checkpoints; whoever draws takes numbers out.
Events are put in an outbox under the lock and told after it is released, in order, so that a listener may call back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.engine.checkpoint import claimed
from era5dl.engine.events import (
    ONLY_HELD,
    EventQueue,
    FileDone,
    FileRestarted,
    FileRetrying,
    FileStarted,
    Listener,
    LockThenDeliver,
    Outcome,
    RangesIgnored,
    State,
    StateChanged,
)
from era5dl.engine.outage import Outage
from era5dl.engine.prepare import PartSizes
from era5dl.engine.progress import OUTCOMES, Counters, FileState
from era5dl.engine.rate_limit import RateLimiter, RecentPeak, Throttle
from era5dl.engine.retry import AccessDenials, RetryRounds
from era5dl.engine.scheduler import Job, PrepareJob, Scheduler, VerifyJob
from era5dl.engine.shared_folder import left_to_others, told
from era5dl.engine.transfer import Piece, Transfer
from era5dl.engine.verification import ETAG_MISMATCH, EtagTrust, VerificationResult, ranges_to_refetch
from era5dl.errors import ClaimedElsewhere, Era5Error, OutOfThreads, ProofError
from era5dl.folder.folder_identity import FolderIdentity
from era5dl.folder.paths import OWN_FOLDER
from era5dl.proof.etag import etag_md5
from era5dl.ranges import RangeSet
from era5dl.session import Session
from era5dl.session.checkpoint import Checkpoint, Failure
from era5dl.session.part_digests import PartDigests
from era5dl.settings import Settings

MOST_FAILURES = 200  # records kept: text, never exceptions, which would keep their sockets
IDLE_WAIT = 0.5  # seconds after which an idle worker looks again for something to take over


class Run:
    """One run of one session. Every public method takes the lock itself unless its name says `_locked`."""

    def __init__(
        self, bucket: Bucket, session: Session, settings: Settings, on_event: Listener, only: Collection[int] | None
    ) -> None:
        self.bucket, self.session, self.settings = bucket, session, settings
        self.lock = threading.RLock()
        self.work_available = threading.Condition(self.lock)  # there may be work for those who wait for some
        self.run_over = threading.Condition(self.lock)  # the run is over
        self._idle = 0  # workers that wait
        self.rate_limit = RateLimiter(settings.rate_limit)
        self.throttle = Throttle(settings.workers)
        self.workers = settings.workers
        self.state = State.READY
        self.reason = ""
        self.paused_by_user = False
        self.held: set[int] = set()  # objects that the user holds
        self._told: tuple[State, str, tuple[str, ...]] = (State.READY, "", ())  # the state that was told last
        self.stopping = False
        self.error = ""  # what ended the run before its time
        self.remedy = self.kind = ""  # of that error
        self.space_checked = False  # what is to come has room on the disk
        self.audited = False  # the files of earlier runs have been looked at
        self.dirty = True  # there is something to write into the resume file
        self.save_lock = threading.Lock()  # one thread at a time writes it
        self.aborts: dict[Job, Abort] = {}
        self.failures: deque[Failure] = deque(maxlen=MOST_FAILURES)
        self.retry_rounds = RetryRounds(enabled=settings.retries > 0)
        self.events = EventQueue(on_event)
        self._locked = LockThenDeliver(self.lock, self.events)
        self.outage = Outage(bucket, self._probed)
        self.server_answered = False
        self.unexpected_answers = 0  # in a row
        self.whole_object_answers = 0  # answers that were a whole object where a part was asked for
        self.denials = AccessDenials()
        self.last_byte_at = 0.0  # when one came, monotonic
        self.peak_requests = RecentPeak()  # requests that were answered and not at their end, at once
        self.closed_connections = 0  # new connections in a row that were closed before an answer
        self._presence = FolderIdentity(session.folder, session.folder / OWN_FOLDER, lambda: session.exists_on_disk)
        self.part_sizes = PartSizes(bucket)
        self.part_digests = PartDigests(session.folder / OWN_FOLDER / f"{session.id}.digests.jsonl")
        self._load(session.checkpoint, only)

    def _load(self, checkpoint: Checkpoint, only: Collection[int] | None) -> None:
        self.verified, self.checked = checkpoint.verified.copy(), checkpoint.checked.copy()
        self.entries = {u.index: u for u in checkpoint.unfinished}
        self.replaced = dict(checkpoint.replaced)
        verified = (index for run in self.verified for index in range(*run))
        self.etag_trust = EtagTrust(opaque=self.settings.opaque_etags, verified=map(self.object, verified))
        self.recheck = self._doubted()
        for index in self.recheck:
            self.checked.remove(index, index + 1)
        sizes = [obj.size for obj in self.session.plan.objects]
        for index, obj in self.replaced.items():
            sizes[index] = obj.size
        self.counters = Counters(sizes, time.monotonic())
        finished = RangeSet([*self.verified, *self.checked])
        for state, done in ((FileState.VERIFIED, self.verified), (FileState.CHECKED, self.checked)):
            for start, stop in done:
                for index in range(start, stop):
                    self.counters.set_state(index, state)
                    self.counters.done_bytes += sizes[index]
        for claim in self.entries.values():
            self.counters.done_bytes += sum(stop - start for start, stop in claim.done)
        todo = [i for start, stop in finished.missing(0, len(sizes)) for i in range(start, stop)]
        if only is not None:
            todo = [i for i in todo if i in only]
        todo.sort(key=lambda i: i not in self.entries)  # what was begun comes first
        self.scheduler = Scheduler(todo, sizes, max_transfers=max(32, 4 * self.workers))

    def locked(self) -> LockThenDeliver:
        """Change it; then tell what happened."""
        return self._locked

    # What workers do

    def next_job(self, number: int, last: Transfer | None, abort: Abort) -> Job | None:
        """The next job for worker `number`; waits for one. None: there is none any more for this worker."""
        with self.locked():
            while True:
                now = time.monotonic()
                if self.is_over or number >= self.workers:
                    return None
                if self._may_ask(now):
                    job = self.scheduler.next_job(now, self.workers, last, self._make)
                    if job is not None:
                        self.aborts[job] = abort
                        self._end_overtaken()
                        self.counters.set_state(job.transfer.index, FileState.ACTIVE)
                        return job
                self._idle += 1
                self.work_available.wait(self._patience(now))
                self._idle -= 1

    def replace_version(self, transfer: Transfer, obj: ObjectInfo) -> None:
        """Another version of the object is upstream: what came of the old one counts no more."""
        with self.locked():
            if transfer.recheck_version:
                transfer.restarts += 1
                self.events.put(FileRestarted(transfer.index, obj.key, transfer.reason, transfer.kind))
            self.counters.resized(transfer.obj.size, obj.size)
            self.replaced[transfer.index] = transfer.obj = obj
            self.entries.pop(transfer.index, None)
            transfer.done, transfer.recorded_md5s = RangeSet(), {}
            transfer.mismatches = []
            self.count_bytes_locked(transfer)
            self.dirty = True

    def record_prepared(self, job: PrepareJob, proof: VerificationResult | None) -> None:
        """It is known what is on disk of an object; with a proof, that all of it is."""
        with self.locked():
            transfer = job.transfer
            self.aborts.pop(job, None)
            self.entries.pop(transfer.index, None)
            if proof is not None:
                self._finish(transfer, proof, adopted=True)
                return
            resumed = transfer.done.total()
            self.count_bytes_locked(transfer)
            self.events.put(FileStarted(transfer.index, transfer.obj.key, transfer.obj.size, resumed))
            self.scheduler.prepared(transfer)
            self.notify_locked()

    def record_fetched(self, piece: Piece) -> None:
        """A piece is there to its end."""
        with self.locked():
            self.aborts.pop(piece, None)
            self.scheduler.piece_ended(piece, time.monotonic())
            self.scheduler.verify_when_complete(piece.transfer)
            self.notify_locked()

    def record_verified(self, job: VerifyJob, proof: VerificationResult) -> None:
        """The file has its final name."""
        with self.locked():
            self.aborts.pop(job, None)
            self._finish(job.transfer, proof, adopted=False)

    def refetch(self, job: VerifyJob) -> None:
        """All bytes are there, and they do not match the ETag. Raises ProofError when that was so often enough."""
        with self.locked():
            transfer = job.transfer
            ranges = ranges_to_refetch(transfer, etag_is_md5=self.etag_trust.has_matched(transfer.obj.etag))
            self.aborts.pop(job, None)
            transfer.verifying = False
            for start, stop in ranges:
                transfer.done.remove(start, stop)
            self.count_bytes_locked(transfer)
            self.scheduler.reassign_missing(transfer)
            self.events.put(
                FileRetrying(
                    transfer.index, transfer.obj.key, ETAG_MISMATCH, len(transfer.mismatches), 0.0, ProofError.__name__
                )
            )
            self.notify_locked()

    def discard_bytes(self, transfer: Transfer) -> None:
        """Its part file is gone: nothing of it is on disk."""
        with self.lock:
            transfer.done, transfer.mismatches = RangeSet(), []
            self.count_bytes_locked(transfer)
            self.dirty = True

    def requeue_finished_locked(self, index: int) -> None:
        """A finished object is to be looked at again: its file is gone, or its proof does not hold any more."""
        for finished in (self.verified, self.checked):
            finished.remove(index, index + 1)
        self.counters.set_state(index, FileState.WAITING)
        self.counters.done_bytes -= self.object(index).size
        self.scheduler.add([index])
        self.dirty = True
        self.notify_locked()

    def record_answer(self, piece: Piece) -> None:
        """The bucket gives bytes: no portal, no ban, and it is not too busy."""
        with self.lock:
            piece.answered = self.server_answered = True
            self.unexpected_answers = 0
            self.denials.record_answer(piece.transfer.index)
            if self.denials.are_temporary and self.retry_rounds.denied:
                self.retry_rounds.retry_denied()
            self.throttle.record_answer()
            self.peak_requests.update(time.monotonic(), sum(one.answered for one in self.scheduler.active_pieces))
            if (abort := self.aborts.get(piece)) is not None and abort.connected:
                self.closed_connections = 0
                self.throttle.connection_accepted()

    def make_exclusive_locked(self, piece: Piece) -> bool:
        """All of the object comes, though only this piece of it was asked for. Whether this connection is to bring all
        that is missing: not if another one has begun to."""
        if not self.whole_object_answers:
            self.events.put(RangesIgnored(piece.transfer.index, piece.transfer.obj.key))
        self.whole_object_answers += 1
        sole = self.scheduler.make_exclusive(piece)
        self._end_overtaken()
        return sole

    def notify_locked(self) -> None:
        """Something has changed: whoever waits for work looks again, and at the end the keeper does. Waking nobody
        costs nothing, and most of the time everybody is busy."""
        if self.held and self.state is State.RUNNING and self.only_held:
            self.update_state_locked()
        if self._idle:
            self.work_available.notify_all()
        if self.is_over:
            self.run_over.notify_all()

    def forget_failure_locked(self, index: int) -> None:
        """That this object failed is true no more, or is going to be said anew."""
        if any(failure.index == index for failure in self.failures):
            self.failures = deque((one for one in self.failures if one.index != index), maxlen=MOST_FAILURES)

    def count_bytes_locked(self, transfer: Transfer) -> None:
        """Bring the counters to what is on disk of this object."""
        done = transfer.done.total()
        self.counters.done_bytes += done - transfer.counted_bytes
        transfer.counted_bytes = done

    # Questions, under the lock

    @property
    def is_over(self) -> bool:
        """No worker gets anything any more."""
        left = not self.audited or not self.scheduler.finished or self.held or self.retry_rounds.pending
        return self.stopping or bool(self.error) or not left

    @property
    def only_held(self) -> bool:
        """All that is left is held by the user: nothing goes on, and the run does not end."""
        return bool(self.held) and self.audited and self.scheduler.finished and not self.retry_rounds.pending

    def check_folder(self) -> None:
        """Raise FolderVanished when the folder is gone or exchanged, DiskAway when its disk is away or was."""
        self._presence.check()

    def object(self, index: int) -> ObjectInfo:
        """The version of this object that is wanted now."""
        return self.replaced.get(index) or self.session.plan.objects[index]

    # Troubles that hold up everybody

    def update_state_locked(self) -> None:
        """Tell the state that follows from what is known, if it is another one."""
        if self.state is State.ENDED:
            return
        reason = kind = ""
        others: tuple[str, ...] = ()
        if self.stopping:
            state = State.STOPPING
        elif self.paused_by_user:
            state = State.PAUSED
        elif self.outage.state is not None:
            state, reason, kind = self.outage.state, self.outage.reason, self.outage.kind
        elif self.retry_rounds.due is not None and self.scheduler.finished:
            state, reason = State.WAITING_TO_RETRY, self.retry_rounds.description
        elif self.only_held:
            state, reason = State.PAUSED, ONLY_HELD
        elif others := left_to_others(self):
            state, kind = State.WAITING_FOR_SESSION, ClaimedElsewhere.__name__
            reason = told(len(self.scheduler.transfers), others)
        else:
            state = State.RUNNING
        self.reason = reason
        news = (state, kind or reason, others)  # a figure in a reason may change all the time, and is no news
        if news != self._told:
            self._told, self.state = news, state
            self.counters.pause(time.monotonic())
            self.events.put(StateChanged(state, reason, kind))
        self.notify_locked()

    def network_outage_locked(self, error: Era5Error, key: str) -> None:
        """The bucket is not to be had: nobody asks for anything until the prober, asking for `key`, has an answer."""
        if not self.is_over:
            try:
                self.outage.network_failed(error, key)
            except OutOfThreads as none:
                self.end_with_error_locked(none)
            self.update_state_locked()

    def disk_outage_locked(self, error: Era5Error) -> None:
        """The disk does not take bytes: everybody stops, nobody is to blame."""
        self.outage.disk_failed(error)
        self.abort_all_locked("the disk")
        self.update_state_locked()

    def abort_all_locked(self, why: str) -> None:
        """End what is under way; its bytes are kept, and it is not counted against anybody."""
        for abort in self.aborts.values():
            abort.trip(why)

    def end_with_error_locked(self, error: Era5Error) -> None:
        """The whole run cannot go on."""
        if not self.error:
            self.error, self.remedy, self.kind = str(error) or "unknown error", error.remedy, error.kind
        self.abort_all_locked("the run ends")
        self.notify_locked()

    # Inside

    def _doubted(self) -> set[int]:
        """Objects that were finished as `checked` though their ETags look like MD5s: without verification, by an
        earlier version, or while ETags were said to be no MD5s. Where that is not said they are looked at again."""
        if not self.settings.verify:
            return set()
        finished = (index for run in self.checked for index in range(*run))
        return {i for i in finished if etag_md5(etag := self.object(i).etag) and self.etag_trust.is_binding(etag)}

    def _make(self, index: int) -> Transfer:
        return Transfer(index, self.object(index), counted_bytes=claimed(self.entries.get(index)))

    def _may_ask(self, now: float) -> bool:
        if not self.space_checked or self.paused_by_user or self.outage.state is not None:
            return False
        if now < self.throttle.paused_until:
            return False
        return len(self.aborts) < self.throttle.allowed

    def _end_overtaken(self) -> None:
        """A faster connection fetches all that was left to them."""
        while self.scheduler.superseded:
            piece = self.scheduler.superseded.pop()
            if piece in self.aborts:
                self.aborts[piece].trip("another connection fetches the rest")

    def _patience(self, now: float) -> float:
        """Seconds until there may be something to do without anybody saying so."""
        due = [IDLE_WAIT]
        if (wake := self.scheduler.next_due()) is not None:
            due.append(wake - now)
        if self.throttle.paused_until > now:
            due.append(self.throttle.paused_until - now)
        return max(0.01, min(due))

    def _finish(self, transfer: Transfer, proof: VerificationResult, *, adopted: bool) -> None:
        index, obj = transfer.index, transfer.obj
        transfer.verifying = False
        transfer.done = RangeSet([(0, obj.size)])
        self.count_bytes_locked(transfer)
        self.scheduler.close(transfer)
        self.entries.pop(index, None)
        finished = self.verified if proof.outcome is Outcome.VERIFIED else self.checked
        finished.add(index, index + 1)
        self.held.discard(index)
        self.forget_failure_locked(index)
        self.counters.set_state(index, OUTCOMES[proof.outcome])
        self.dirty = True
        self.recheck.discard(index)
        self.events.put(FileDone(index, obj.key, obj.size, str(transfer.final), proof.outcome, proof.reason, adopted))
        doubtful: Collection[int] = ()
        if proof.outcome is Outcome.VERIFIED and self.etag_trust.record_match(obj.etag):
            doubtful = self._doubted()
        elif proof.reason.startswith(ETAG_MISMATCH) and self.etag_trust.is_binding(obj.etag):  # not so at examination
            doubtful = (index,)
        for one in doubtful:
            self.recheck.add(one)
            self.requeue_finished_locked(one)
        self.notify_locked()

    def _probed(self, error: Era5Error | None, failures: int) -> None:
        """News of the prober. If it never failed, the network was not to blame, and nobody is forgiven."""
        with self.locked():
            if error is not None:
                self.outage.update_reason(error)
            else:
                self.outage.network_recovered()
                if failures:
                    self.scheduler.reset_failures()
            self.update_state_locked()
