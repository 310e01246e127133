"""All that one run knows, under one lock, and the rules by which an attempt's end changes it.

Workers take jobs here and settle them here; the keeper reads it to write checkpoints; whoever draws takes numbers out.
Events are put in an outbox under the lock and told after it is released, in order, so that a listener may call back.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterator

from era5dl.bucket.abort import Abort
from era5dl.bucket.store import Bucket, ObjectInfo
from era5dl.engine.events import (
    Event,
    FileDone,
    FileFailed,
    FileRestarted,
    FileRetrying,
    FileStarted,
    Listener,
    Outcome,
    State,
    StateChanged,
    Throttled,
)
from era5dl.engine.ledger import OUTCOMES, FileState, Ledger
from era5dl.engine.outage import Prober
from era5dl.engine.pacing import RateLimit, Throttle
from era5dl.engine.proving import Proof
from era5dl.engine.retry import Verdict, judge
from era5dl.engine.scheduler import Job, Open, Prove, Scheduler
from era5dl.engine.transfer import Piece, Transfer
from era5dl.errors import BadResponse, Denied, DiskError, Era5Error, Reaction, Untrusted
from era5dl.folder.paths import OWN_FOLDER
from era5dl.ranges import Range, RangeSet
from era5dl.session import Session
from era5dl.session.checkpoint import Checkpoint, Failure, Unfinished
from era5dl.session.digests import Digests
from era5dl.settings import Settings

log = logging.getLogger("era5dl")

MOST_FAILURES = 200  # records kept: text, never exceptions, which would keep their sockets
MOST_RESTARTS = 2  # times an object may change upstream before it has failed
STRANGE_ANSWERS = 5  # in a row, on whatever objects: something answers in the bucket's place
DENIALS = 5  # different objects in a row: it is the bucket that says no
IDLE_WAIT = 0.5  # seconds after which an idle worker looks again for something to take over


class Run:
    """One run of one session. Every public method takes the lock itself unless its name says `_locked`."""

    def __init__(self, bucket: Bucket, session: Session, settings: Settings, on_event: Listener) -> None:
        self.bucket, self.session, self.settings = bucket, session, settings
        self.changed = threading.Condition()
        self.rate = RateLimit(settings.rate_limit)
        self.throttle = Throttle(settings.workers)
        self.workers = settings.workers
        self.state = State.READY
        self.reason = ""
        self.user_paused = False
        self.stopping = False
        self.error = ""  # what ended the run before its time
        self.remedy = ""
        self.audited = False  # the files of earlier runs have been looked at
        self.dirty = True  # there is something to write into the resume file
        self.aborts: dict[Job, Abort] = {}
        self.failures: deque[Failure] = deque(maxlen=MOST_FAILURES)
        self._on_event = on_event
        self._outbox: deque[Event] = deque()
        self._speaking = threading.RLock()
        self._trouble: State | None = None
        self._prober: Prober | None = None
        self._answered = False
        self._strange = 0
        self._denied: set[int] = set()
        self.digests = Digests(session.folder / OWN_FOLDER / f"{session.id}.digests.jsonl")
        self._load(session.checkpoint)

    def _load(self, checkpoint: Checkpoint) -> None:
        self.verified, self.checked = checkpoint.verified.copy(), checkpoint.checked.copy()
        self.claims = {u.index: u for u in checkpoint.unfinished}
        self.replaced = dict(checkpoint.replaced)
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
        todo.sort(key=lambda i: i not in self.claims)  # what was begun comes first
        self.scheduler = Scheduler(todo, sizes, most_open=max(32, 4 * self.workers))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Change it; then tell what happened."""
        with self.changed:
            yield
        self._speak()

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
                        self.ledger.set_state(job.transfer.index, FileState.ACTIVE)
                        return job
                self.changed.wait(self._patience(now))

    def replace(self, transfer: Transfer, obj: ObjectInfo) -> None:
        """Another version of the object is upstream: what came of the old one counts no more."""
        with self.changed:
            self.ledger.resized(transfer.obj.size, obj.size)
            self.replaced[transfer.index] = transfer.obj = obj
            self.claims.pop(transfer.index, None)
            transfer.done = RangeSet()
            transfer.rounds = []
            self._recount(transfer)
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
            self._recount(transfer)
            self._outbox.append(FileStarted(transfer.index, transfer.obj.key, transfer.obj.size, resumed))
            self.scheduler.opened(transfer)
            self.changed.notify_all()

    def fetched(self, piece: Piece) -> None:
        """A piece is there to its end."""
        with self.locked():
            self.aborts.pop(piece, None)
            self.scheduler.ended(piece)
            self.scheduler.prove_when_complete(piece.transfer)
            self._when_idle(piece.transfer)
            self.changed.notify_all()

    def proven(self, job: Prove, proof: Proof) -> None:
        """The file has its final name."""
        with self.locked():
            self.aborts.pop(job, None)
            self._finish(job.transfer, proof, adopted=False)

    def refetch(self, job: Prove, ranges: list[Range]) -> None:
        """All bytes are there, but these are not the server's."""
        with self.locked():
            transfer = job.transfer
            self.aborts.pop(job, None)
            transfer.proving = False
            for start, stop in ranges:
                transfer.done.remove(start, stop)
            self._recount(transfer)
            self.scheduler.refetch(transfer)
            self._outbox.append(
                FileRetrying(transfer.index, transfer.obj.key, "the MD5 does not match", len(transfer.rounds), 0.0)
            )
            self.changed.notify_all()

    def failed(self, job: Job, error: Era5Error, *, progressed: bool) -> None:
        """An attempt has ended with this error; what it means for everybody else is decided here."""
        with self.locked():
            abort = self.aborts.pop(job, None)
            now = time.monotonic()
            transfer = job.transfer
            if isinstance(job, Piece):
                self.scheduler.ended(job)
            else:
                transfer.proving = False
            if abort is not None and abort.why:  # we ended it ourselves: nobody's fault
                if transfer.verdict is None:
                    self.scheduler.put_back(job, now, now)
            else:
                self._judge(job, error, progressed, now)
            if isinstance(job, Piece):
                self.scheduler.prove_when_complete(transfer)
            self._when_idle(transfer)
            self.changed.notify_all()

    # What `fetch` asks of the run

    def claim(self, piece: Piece, count: int) -> int:
        with self.changed:
            kept = max(0, min(count, piece.left))
            piece.at += kept
            self.ledger.fetched_bytes += count
            return kept

    def unclaim(self, piece: Piece, count: int) -> None:
        with self.changed:
            piece.at -= count

    def written(self, piece: Piece, start: int, count: int) -> None:
        with self.changed:
            piece.transfer.done.add(start, start + count)
            self._recount(piece.transfer)
            piece.barren = 0
            piece.sample(time.monotonic())
            self.dirty = True

    def received(self, count: int) -> float:
        return self.rate.spend(count, time.monotonic()) if self.rate.rate else 0.0

    def linger(self, seconds: float, abort: Abort) -> None:
        until = time.monotonic() + seconds
        rate = self.rate.rate
        while (left := until - time.monotonic()) > 0 and not abort.why and self.rate.rate == rate:
            time.sleep(min(left, 0.05))

    def answered(self) -> None:
        """The bucket gives bytes: no portal, no ban."""
        self._answered = True
        self._strange = 0
        self._denied.clear()

    # Questions, under the lock

    @property
    def over(self) -> bool:
        """No worker gets anything any more."""
        return self.stopping or bool(self.error) or (self.audited and self.scheduler.finished)

    def object(self, index: int) -> ObjectInfo:
        """The version of this object that is wanted now."""
        return self.replaced.get(index) or self.session.plan.objects[index]

    def checkpoint_locked(self) -> tuple[Checkpoint, list[Transfer]]:
        """What may be claimed as soon as the part files of these transfers are synced."""
        transfers = [t for t in self.scheduler.open.values() if t.opened]
        unfinished = [claim(t) for t in transfers if t.done]
        unfinished += self.claims.values()
        return Checkpoint(
            verified=self.verified.copy(),
            checked=self.checked.copy(),
            unfinished=tuple(unfinished),
            failures=tuple(self.failures),
            replaced=dict(self.replaced),
            done_bytes=self.ledger.done_bytes,
            ended=not self.error and not self.stopping and self.audited and self.scheduler.finished,
        ), transfers

    # Troubles that hold up everybody

    def set_state_locked(self) -> None:
        """Tell the state that follows from what is known, if it is another one."""
        if self.state is State.ENDED:
            return
        if self.stopping:
            state, reason = State.STOPPING, ""
        elif self.user_paused:
            state, reason = State.PAUSED, ""
        elif self._trouble is not None:
            state, reason = self._trouble, self._trouble_reason
        else:
            state, reason = State.RUNNING, ""
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self.ledger.pause(time.monotonic())
            self._outbox.append(StateChanged(state, reason))
        self.changed.notify_all()

    def trouble_locked(self, state: State, reason: str) -> None:
        """Nobody asks for anything until it is over."""
        self._trouble, self._trouble_reason = state, reason
        if state is State.WAITING_FOR_DISK:
            self.abort_locked("the disk")
        elif self._prober is None and not self.stopping:
            key = next((t.obj.key for t in self.scheduler.open.values()), self.session.plan.objects[0].key)
            self._prober = Prober(self.bucket, key, random.uniform, self._still_away, self._back)
            self._prober.start()
        self.set_state_locked()

    @property
    def waits_for_disk(self) -> bool:
        return self._trouble is State.WAITING_FOR_DISK

    def disk_is_back_locked(self) -> None:
        """There is room again, and the folder takes files."""
        self._trouble = None
        self.set_state_locked()

    def abort_locked(self, why: str) -> None:
        """End what is under way; its bytes are kept, and it is not counted against anybody."""
        for abort in self.aborts.values():
            abort.trip(why)

    def end_locked(self, error: str, remedy: str = "") -> None:
        """The whole run cannot go on."""
        if not self.error:
            self.error, self.remedy = error or "unknown error", remedy
        self.abort_locked("the run ends")
        self.changed.notify_all()

    def stop_prober_locked(self) -> None:
        if self._prober is not None:
            self._prober.stop()

    def say_locked(self, event: Event) -> None:
        self._outbox.append(event)

    # Inside

    def _make(self, index: int) -> Transfer:
        return Transfer(index, self.object(index), counted=_claimed(self.claims.get(index)))

    def _may_ask(self, now: float) -> bool:
        if self.user_paused or self._trouble is not None or now < self.throttle.hold_until:
            return False
        return len(self.aborts) < self.throttle.allowed

    def _patience(self, now: float) -> float:
        """Seconds until there may be something to do without anybody saying so."""
        due = [IDLE_WAIT]
        if (wake := self.scheduler.next_wake()) is not None:
            due.append(wake - now)
        if self.throttle.hold_until > now:
            due.append(self.throttle.hold_until - now)
        return max(0.01, min(due))

    def _judge(self, job: Job, error: Era5Error, progressed: bool, now: float) -> None:
        transfer = job.transfer
        holder = job if isinstance(job, Piece) else transfer
        verdict = judge(
            error, progressed=progressed, barren=holder.barren, retries=self.settings.retries, draw=random.uniform
        )
        holder.barren = verdict.barren
        self.ledger.barren_attempts += not progressed
        reason = str(error)
        if isinstance(error, BadResponse):
            self._strange += 1
        match verdict.reaction:
            case Reaction.FAIL_SESSION:
                self.end_locked(reason, error.remedy)
            case Reaction.FAIL_OBJECT | Reaction.STOP:
                self._doom(transfer, Verdict(Reaction.FAIL_OBJECT, 0, 0), reason, error.remedy)
                if isinstance(error, Denied):
                    self._denied.add(transfer.index)
                    if len(self._denied) >= DENIALS:
                        self.end_locked("the bucket refuses one object after the other", reason)
            case Reaction.RESTART if transfer.restarts >= MOST_RESTARTS:
                self._doom(transfer, Verdict(Reaction.FAIL_OBJECT, 0, 0), f"{reason}, again and again", "")
            case Reaction.RESTART:
                self._doom(transfer, verdict, reason, "")
            case Reaction.PAUSE if isinstance(error, DiskError):
                self.scheduler.put_back(job, now, now)
                self.trouble_locked(State.WAITING_FOR_DISK, f"{reason}. {error.remedy}")
            case Reaction.PAUSE if isinstance(error, Untrusted) and not self._answered:
                self.end_locked(reason, error.remedy)
            case Reaction.PAUSE:
                self.scheduler.put_back(job, now, now)
                self.trouble_locked(State.WAITING_FOR_TRUST, f"{reason}. {error.remedy}")
            case Reaction.WAIT_FOR_NETWORK:
                self.scheduler.put_back(job, now + verdict.delay, now)
                self.trouble_locked(State.WAITING_FOR_NETWORK, reason)
            case _:
                self.ledger.retries += 1
                self.scheduler.put_back(job, now + verdict.delay, now)
                self._outbox.append(
                    FileRetrying(transfer.index, transfer.obj.key, reason, verdict.barren, verdict.delay)
                )
                if verdict.reaction is Reaction.THROTTLE:
                    self.throttle.slow_down(now, verdict.delay)
                    self._outbox.append(Throttled(self.throttle.allowed, verdict.delay))
                elif self._strange >= STRANGE_ANSWERS:
                    self._strange = 0
                    self.trouble_locked(State.WAITING_FOR_NETWORK, f"{reason}. {error.remedy}")

    def _doom(self, transfer: Transfer, verdict: Verdict, reason: str, remedy: str) -> None:
        """Its other pieces end first; then `_when_idle` carries the verdict out."""
        if transfer.verdict is None:
            transfer.verdict, transfer.reason, transfer.remedy = verdict, reason, remedy
        for piece in transfer.active:
            if piece in self.aborts:
                self.aborts[piece].trip("its object cannot go on")

    def _when_idle(self, transfer: Transfer) -> None:
        """Carry out a verdict once no thread works on the object."""
        if transfer.verdict is None or not transfer.idle or transfer.index not in self.scheduler.open:
            return
        index, key = transfer.index, transfer.obj.key
        if transfer.verdict.reaction is Reaction.RESTART:
            transfer.verdict = None
            transfer.restarts += 1
            transfer.changed = True
            self.scheduler.begin_anew(transfer)
            self._outbox.append(FileRestarted(index, key, transfer.reason))
            return
        if transfer.opened and transfer.done:
            self.claims[index] = claim(transfer)
        self.scheduler.close(transfer)
        self.ledger.set_state(index, FileState.FAILED)
        self.failures.append(Failure(index, key, transfer.reason, transfer.remedy, time.time()))
        self.dirty = True
        self._outbox.append(FileFailed(index, key, transfer.reason, transfer.remedy))

    def _finish(self, transfer: Transfer, proof: Proof, *, adopted: bool) -> None:
        index, obj = transfer.index, transfer.obj
        transfer.proving = False
        transfer.done = RangeSet([(0, obj.size)])
        self._recount(transfer)
        self.scheduler.close(transfer)
        self.claims.pop(index, None)
        finished = self.verified if proof.outcome is Outcome.VERIFIED else self.checked
        finished.add(index, index + 1)
        self.ledger.set_state(index, OUTCOMES[proof.outcome])
        self.dirty = True
        path = str(self.session.final_path(index))
        self._outbox.append(FileDone(index, obj.key, obj.size, path, proof.outcome, proof.reason, adopted))
        self.changed.notify_all()

    def _recount(self, transfer: Transfer) -> None:
        """Bring the ledger to what is on disk of this object."""
        done = transfer.done.total()
        self.ledger.done_bytes += done - transfer.counted
        transfer.counted = done

    def _still_away(self, error: Era5Error) -> None:
        with self.locked():
            if self._trouble is not None and not self.waits_for_disk:
                untrusted = isinstance(error, Untrusted)
                self._trouble = State.WAITING_FOR_TRUST if untrusted else State.WAITING_FOR_NETWORK
                self._trouble_reason = f"{error}. {error.remedy}".strip()
                self.set_state_locked()

    def _back(self, failures: int) -> None:
        """The prober got an answer. If it never failed, the network was not to blame, and nobody is forgiven."""
        with self.locked():
            self._prober = None
            if not self.waits_for_disk:
                self._trouble = None
            if failures:
                self.scheduler.forgive()
            self.set_state_locked()

    def _speak(self) -> None:
        with self._speaking:
            while self._outbox:
                event = self._outbox.popleft()
                try:
                    self._on_event(event)
                except Exception:  # a listener's bug must not end a download of days
                    log.exception("a listener failed on %s", type(event).__name__)


def claim(transfer: Transfer) -> Unfinished:
    """What is there of an object, as the resume file will say it once its part file is synced."""
    digest = transfer.digest
    keep = digest is not None and transfer.multipart and not transfer.guesses
    return Unfinished(transfer.index, tuple(transfer.done), digest.whole_parts() if digest and keep else {})


def _claimed(claim: Unfinished | None) -> int:
    return sum(stop - start for start, stop in claim.done) if claim else 0
