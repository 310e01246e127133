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
from era5dl.engine.access_denied import Refusals
from era5dl.engine.checkpoint import claimed
from era5dl.engine.counters import OUTCOMES, FileState, Ledger
from era5dl.engine.event_queue import Locked, Outbox
from era5dl.engine.events import (
    ONLY_HELD,
    FileDone,
    FileRestarted,
    FileRetrying,
    FileStarted,
    Listener,
    Outcome,
    RangesIgnored,
    State,
    StateChanged,
)
from era5dl.engine.outage import Trouble
from era5dl.engine.part_size import Cuts
from era5dl.engine.rate_limit import Peak, RateLimit, Throttle
from era5dl.engine.retry_rounds import Rounds
from era5dl.engine.scheduler import Job, Open, Prove, Scheduler
from era5dl.engine.shared_folder import left_to_others, told
from era5dl.engine.transfer import Piece, Transfer
from era5dl.engine.verification import UNMATCHED, EtagTrust, Proof, to_fetch_again
from era5dl.errors import ClaimedElsewhere, Era5Error, OutOfThreads, ProofError
from era5dl.folder.folder_identity import Presence
from era5dl.folder.paths import OWN_FOLDER
from era5dl.proof.etag import checksum
from era5dl.ranges import RangeSet
from era5dl.session import Session
from era5dl.session.checkpoint import Checkpoint, Failure
from era5dl.session.part_digests import Digests
from era5dl.settings import Settings

MOST_FAILURES = 200  # records kept: text, never exceptions, which would keep their sockets
IDLE_WAIT = 0.5  # seconds after which an idle worker looks again for something to take over


class Run:
    """One run of one session. Every public method takes the lock itself unless its name says `_locked`."""

    def __init__(
        self, bucket: Bucket, session: Session, settings: Settings, on_event: Listener, only: Collection[int] | None
    ) -> None:
        self.bucket, self.session, self.settings = bucket, session, settings
        lock = threading.RLock()
        self.changed = threading.Condition(lock)  # there may be work for those who wait for some
        self.ending = threading.Condition(lock)  # the run is over
        self._idle = 0  # workers that wait
        self.rate = RateLimit(settings.rate_limit)
        self.throttle = Throttle(settings.workers)
        self.workers = settings.workers
        self.state = State.READY
        self.reason = ""
        self.user_paused = False
        self.held: set[int] = set()  # objects that the user holds
        self._told: tuple[State, str, tuple[str, ...]] = (State.READY, "", ())  # the state that was told last
        self.stopping = False
        self.error = ""  # what ended the run before its time
        self.remedy = self.kind = ""  # of that error
        self.cleared = False  # what is to come has room on the disk
        self.audited = False  # the files of earlier runs have been looked at
        self.dirty = True  # there is something to write into the resume file
        self.saving = threading.Lock()  # one thread at a time writes it
        self.aborts: dict[Job, Abort] = {}
        self.failures: deque[Failure] = deque(maxlen=MOST_FAILURES)
        self.rounds = Rounds(enabled=settings.retries > 0)
        self.outbox = Outbox(on_event)
        self._locked = Locked(self.changed, self.outbox)
        self.trouble = Trouble(bucket, self._probed)
        self.answered_once = False
        self.strange_answers = 0  # in a row
        self.whole_answers = 0  # answers that were a whole object where a part was asked for
        self.refusals = Refusals()
        self.last_byte = 0.0  # when one came, monotonic
        self.served = Peak()  # requests that were answered and not at their end, at once
        self.shut_out = 0  # new connections in a row that were closed before an answer
        self._presence = Presence(session.folder, session.folder / OWN_FOLDER, lambda: session.is_there)
        self.cuts = Cuts(bucket)
        self.digests = Digests(session.folder / OWN_FOLDER / f"{session.id}.digests.jsonl")
        self._load(session.checkpoint, only)

    def _load(self, checkpoint: Checkpoint, only: Collection[int] | None) -> None:
        self.verified, self.checked = checkpoint.verified.copy(), checkpoint.checked.copy()
        self.claims = {u.index: u for u in checkpoint.unfinished}
        self.replaced = dict(checkpoint.replaced)
        verified = (index for run in self.verified for index in range(*run))
        self.trust = EtagTrust(opaque=self.settings.opaque_etags, verified=map(self.object, verified))
        self.doubted = self._doubted()
        for index in self.doubted:
            self.checked.remove(index, index + 1)
        sizes = [obj.size for obj in self.session.plan.objects]
        for index, obj in self.replaced.items():
            sizes[index] = obj.size
        self.ledger = Ledger(sizes, time.monotonic())
        finished = RangeSet([*self.verified, *self.checked])
        for state, done in ((FileState.VERIFIED, self.verified), (FileState.CHECKED, self.checked)):
            for start, stop in done:
                for index in range(start, stop):
                    self.ledger.set_state(index, state)
                    self.ledger.done_bytes += sizes[index]
        for claim in self.claims.values():
            self.ledger.done_bytes += sum(stop - start for start, stop in claim.done)
        todo = [i for start, stop in finished.missing(0, len(sizes)) for i in range(start, stop)]
        if only is not None:
            todo = [i for i in todo if i in only]
        todo.sort(key=lambda i: i not in self.claims)  # what was begun comes first
        self.scheduler = Scheduler(todo, sizes, most_open=max(32, 4 * self.workers))

    def locked(self) -> Locked:
        """Change it; then tell what happened."""
        return self._locked

    # What workers do

    def next_job(self, number: int, last: Transfer | None, abort: Abort) -> Job | None:
        """The next job for worker `number`; waits for one. None: there is none any more for this worker."""
        with self.locked():
            while True:
                now = time.monotonic()
                if self.over or number >= self.workers:
                    return None
                if self._may_ask(now):
                    job = self.scheduler.take(now, self.workers, last, self._make)
                    if job is not None:
                        self.aborts[job] = abort
                        self._end_overtaken()
                        self.ledger.set_state(job.transfer.index, FileState.ACTIVE)
                        return job
                self._idle += 1
                self.changed.wait(self._patience(now))
                self._idle -= 1

    def replace(self, transfer: Transfer, obj: ObjectInfo) -> None:
        """Another version of the object is upstream: what came of the old one counts no more."""
        with self.locked():
            if transfer.changed:
                transfer.restarts += 1
                self.outbox.put(FileRestarted(transfer.index, obj.key, transfer.reason, transfer.kind))
            self.ledger.resized(transfer.obj.size, obj.size)
            self.replaced[transfer.index] = transfer.obj = obj
            self.claims.pop(transfer.index, None)
            transfer.done, transfer.recorded = RangeSet(), {}
            transfer.rounds = []
            self.recount_locked(transfer)
            self.dirty = True

    def opened(self, job: Open, proof: Proof | None) -> None:
        """It is known what is on disk of an object; with a proof, that all of it is."""
        with self.locked():
            transfer = job.transfer
            self.aborts.pop(job, None)
            self.claims.pop(transfer.index, None)
            if proof is not None:
                self._finish(transfer, proof, adopted=True)
                return
            resumed = transfer.done.total()
            self.recount_locked(transfer)
            self.outbox.put(FileStarted(transfer.index, transfer.obj.key, transfer.obj.size, resumed))
            self.scheduler.opened(transfer)
            self.wake_locked()

    def fetched(self, piece: Piece) -> None:
        """A piece is there to its end."""
        with self.locked():
            self.aborts.pop(piece, None)
            self.scheduler.ended(piece, time.monotonic())
            self.scheduler.prove_when_complete(piece.transfer)
            self.wake_locked()

    def proven(self, job: Prove, proof: Proof) -> None:
        """The file has its final name."""
        with self.locked():
            self.aborts.pop(job, None)
            self._finish(job.transfer, proof, adopted=False)

    def refetch(self, job: Prove) -> None:
        """All bytes are there, and they do not match the ETag. Raises ProofError when that was so often enough."""
        with self.locked():
            transfer = job.transfer
            ranges = to_fetch_again(transfer, etag_is_md5=self.trust.has_matched(transfer.obj.etag))
            self.aborts.pop(job, None)
            transfer.proving = False
            for start, stop in ranges:
                transfer.done.remove(start, stop)
            self.recount_locked(transfer)
            self.scheduler.refetch(transfer)
            self.outbox.put(
                FileRetrying(
                    transfer.index, transfer.obj.key, UNMATCHED, len(transfer.rounds), 0.0, ProofError.__name__
                )
            )
            self.wake_locked()

    def discard_bytes(self, transfer: Transfer) -> None:
        """Its part file is gone: nothing of it is on disk."""
        with self.changed:
            transfer.done, transfer.rounds = RangeSet(), []
            self.recount_locked(transfer)
            self.dirty = True

    def reopen_locked(self, index: int) -> None:
        """A finished object is to be looked at again: its file is gone, or its proof does not hold any more."""
        for finished in (self.verified, self.checked):
            finished.remove(index, index + 1)
        self.ledger.set_state(index, FileState.WAITING)
        self.ledger.done_bytes -= self.object(index).size
        self.scheduler.add([index])
        self.dirty = True
        self.wake_locked()

    def answered(self, piece: Piece) -> None:
        """The bucket gives bytes: no portal, no ban, and it is not too busy."""
        with self.changed:
            piece.answered = self.answered_once = True
            self.strange_answers = 0
            self.refusals.answered(piece.transfer.index)
            if self.refusals.passing and self.rounds.refused:
                self.rounds.refusals_pass()
            self.throttle.answered()
            self.served.note(time.monotonic(), sum(one.answered for one in self.scheduler.active))
            if (abort := self.aborts.get(piece)) is not None and abort.connected:
                self.shut_out = 0
                self.throttle.let_in()

    def whole_came_locked(self, piece: Piece) -> bool:
        """All of the object comes, though only this piece of it was asked for. Whether this connection is to bring all
        that is missing: not if another one has begun to."""
        if not self.whole_answers:
            self.outbox.put(RangesIgnored(piece.transfer.index, piece.transfer.obj.key))
        self.whole_answers += 1
        sole = self.scheduler.gather(piece)
        self._end_overtaken()
        return sole

    def wake_locked(self) -> None:
        """Something has changed: whoever waits for work looks again, and at the end the keeper does. Waking nobody
        costs nothing, and most of the time everybody is busy."""
        if self.held and self.state is State.RUNNING and self.only_held:
            self.set_state_locked()
        if self._idle:
            self.changed.notify_all()
        if self.over:
            self.ending.notify_all()

    def forget_failure_locked(self, index: int) -> None:
        """That this object failed is true no more, or is going to be said anew."""
        if any(failure.index == index for failure in self.failures):
            self.failures = deque((one for one in self.failures if one.index != index), maxlen=MOST_FAILURES)

    def recount_locked(self, transfer: Transfer) -> None:
        """Bring the ledger to what is on disk of this object."""
        done = transfer.done.total()
        self.ledger.done_bytes += done - transfer.counted
        transfer.counted = done

    # Questions, under the lock

    @property
    def over(self) -> bool:
        """No worker gets anything any more."""
        left = not self.audited or not self.scheduler.finished or self.held or self.rounds.pending
        return self.stopping or bool(self.error) or not left

    @property
    def only_held(self) -> bool:
        """All that is left is held by the user: nothing goes on, and the run does not end."""
        return bool(self.held) and self.audited and self.scheduler.finished and not self.rounds.pending

    def check_folder(self) -> None:
        """Raise FolderVanished when the folder is gone or exchanged, DiskAway when its disk is away or was."""
        self._presence.check()

    def object(self, index: int) -> ObjectInfo:
        """The version of this object that is wanted now."""
        return self.replaced.get(index) or self.session.plan.objects[index]

    # Troubles that hold up everybody

    def set_state_locked(self) -> None:
        """Tell the state that follows from what is known, if it is another one."""
        if self.state is State.ENDED:
            return
        reason = kind = ""
        others: tuple[str, ...] = ()
        if self.stopping:
            state = State.STOPPING
        elif self.user_paused:
            state = State.PAUSED
        elif self.trouble.state is not None:
            state, reason, kind = self.trouble.state, self.trouble.reason, self.trouble.kind
        elif self.rounds.due is not None and self.scheduler.finished:
            state, reason = State.WAITING_TO_RETRY, self.rounds.told
        elif self.only_held:
            state, reason = State.PAUSED, ONLY_HELD
        elif others := left_to_others(self):
            state, kind = State.WAITING_FOR_SESSION, ClaimedElsewhere.__name__
            reason = told(len(self.scheduler.open), others)
        else:
            state = State.RUNNING
        self.reason = reason
        news = (state, kind or reason, others)  # a figure in a reason may change all the time, and is no news
        if news != self._told:
            self._told, self.state = news, state
            self.ledger.pause(time.monotonic())
            self.outbox.put(StateChanged(state, reason, kind))
        self.wake_locked()

    def network_trouble_locked(self, error: Era5Error, key: str) -> None:
        """The bucket is not to be had: nobody asks for anything until the prober, asking for `key`, has an answer."""
        if not self.over:
            try:
                self.trouble.network(error, key)
            except OutOfThreads as none:
                self.end_locked(none)
            self.set_state_locked()

    def disk_trouble_locked(self, error: Era5Error) -> None:
        """The disk does not take bytes: everybody stops, nobody is to blame."""
        self.trouble.disk(error)
        self.abort_locked("the disk")
        self.set_state_locked()

    def abort_locked(self, why: str) -> None:
        """End what is under way; its bytes are kept, and it is not counted against anybody."""
        for abort in self.aborts.values():
            abort.trip(why)

    def end_locked(self, error: Era5Error) -> None:
        """The whole run cannot go on."""
        if not self.error:
            self.error, self.remedy, self.kind = str(error) or "unknown error", error.remedy, error.kind
        self.abort_locked("the run ends")
        self.wake_locked()

    # Inside

    def _doubted(self) -> set[int]:
        """Objects that were finished as `checked` though their ETags look like MD5s: without verification, by an
        earlier version, or while ETags were said to be no MD5s. Where that is not said they are looked at again."""
        if not self.settings.verify:
            return set()
        finished = (index for run in self.checked for index in range(*run))
        return {i for i in finished if checksum(etag := self.object(i).etag) and self.trust.binds(etag)}

    def _make(self, index: int) -> Transfer:
        return Transfer(index, self.object(index), counted=claimed(self.claims.get(index)))

    def _may_ask(self, now: float) -> bool:
        if not self.cleared or self.user_paused or self.trouble.state is not None or now < self.throttle.hold_until:
            return False
        return len(self.aborts) < self.throttle.allowed

    def _end_overtaken(self) -> None:
        """A faster connection fetches all that was left to them."""
        while self.scheduler.overtaken:
            piece = self.scheduler.overtaken.pop()
            if piece in self.aborts:
                self.aborts[piece].trip("another connection fetches the rest")

    def _patience(self, now: float) -> float:
        """Seconds until there may be something to do without anybody saying so."""
        due = [IDLE_WAIT]
        if (wake := self.scheduler.next_wake()) is not None:
            due.append(wake - now)
        if self.throttle.hold_until > now:
            due.append(self.throttle.hold_until - now)
        return max(0.01, min(due))

    def _finish(self, transfer: Transfer, proof: Proof, *, adopted: bool) -> None:
        index, obj = transfer.index, transfer.obj
        transfer.proving = False
        transfer.done = RangeSet([(0, obj.size)])
        self.recount_locked(transfer)
        self.scheduler.close(transfer)
        self.claims.pop(index, None)
        finished = self.verified if proof.outcome is Outcome.VERIFIED else self.checked
        finished.add(index, index + 1)
        self.held.discard(index)
        self.forget_failure_locked(index)
        self.ledger.set_state(index, OUTCOMES[proof.outcome])
        self.dirty = True
        self.doubted.discard(index)
        self.outbox.put(FileDone(index, obj.key, obj.size, str(transfer.final), proof.outcome, proof.reason, adopted))
        doubtful: Collection[int] = ()
        if proof.outcome is Outcome.VERIFIED and self.trust.matched(obj.etag):
            doubtful = self._doubted()
        elif proof.reason.startswith(UNMATCHED) and self.trust.binds(obj.etag):  # it did not when this was examined
            doubtful = (index,)
        for one in doubtful:
            self.doubted.add(one)
            self.reopen_locked(one)
        self.wake_locked()

    def _probed(self, error: Era5Error | None, failures: int) -> None:
        """News of the prober. If it never failed, the network was not to blame, and nobody is forgiven."""
        with self.locked():
            if error is not None:
                self.trouble.still(error)
            else:
                self.trouble.network_is_back()
                if failures:
                    self.scheduler.forgive()
            self.set_state_locked()
