"""What a failed attempt means: for its piece, for its object, for everybody. All of it under the engine's lock.

`era5dl.engine.retry` says what to do and when; here it is done.
"""

from __future__ import annotations

import random
import time

from era5dl.bucket.cancellation import Abort
from era5dl.engine import retry
from era5dl.engine.disk import classify, disk_failed, object_failed
from era5dl.engine.events import FileRetrying, Throttled
from era5dl.engine.hold import let_go
from era5dl.engine.retry import DOUBTS, Decision, decide, max_delay
from era5dl.engine.run import Run
from era5dl.engine.scheduler import Job
from era5dl.engine.transfer import Piece, Transfer
from era5dl.engine.withdrawal import FAILED, when_idle, withdraw
from era5dl.errors import (
    BadResponse,
    BucketRefused,
    Denied,
    DiskError,
    Era5Error,
    Interrupted,
    ProofError,
    Reaction,
    StaleConnection,
    Untrusted,
)

MOST_RESTARTS = 2  # times an object may change upstream before it has failed
STRANGE_ANSWERS = 5  # in a row, or silences, on whatever objects: it is not the bucket that answers
SHUT_OUT = 4  # new connections in a row, closed before an answer while others serve: there may be no more of them


def attempt_failed(run: Run, job: Job, error: Era5Error, *, progressed: bool) -> None:
    """This attempt has ended with this error. progressed: it brought new bytes first."""
    abort = run.aborts.get(job)
    was_open = abort is None or not (abort.why or abort.connected)
    if isinstance(error, Interrupted | StaleConnection) and not progressed and was_open:
        run.bucket.drop_idle_connections()  # one was dead: so, most likely, are those that have been idle beside it
    alone = True
    if isinstance(error, DiskError):
        error, alone = classify(run, job.transfer, error)
    with run.locked():
        transfer, now = job.transfer, time.monotonic()
        run.aborts.pop(job, None)
        if isinstance(job, Piece):
            run.scheduler.piece_ended(job)
            job.failed_attempts = 0 if progressed else job.failed_attempts
        else:
            transfer.verifying = False
        if isinstance(error, DiskError) and error.reaction is Reaction.PAUSE:  # also where we ended the attempt
            run.counters.barren_attempts += not progressed
            object_failed(run, transfer, error) if alone else _disk_failed(run, transfer, error)
        elif abort is None or not abort.why or isinstance(error, DiskError | ProofError):
            _consider(run, job, abort, error, progressed, now)
        elif transfer.decision is None and not transfer.releasing:  # we ended it ourselves: nobody's fault
            run.scheduler.requeue(job, now, now)
        if isinstance(job, Piece):
            run.scheduler.verify_when_complete(transfer)
        when_idle(run, transfer)
        let_go(run, transfer)
        run.notify_locked()


def settle(run: Run, transfer: Transfer) -> None:
    """A job has come to its end. It may be the one that a decision on its object, or a hold, was waiting for."""
    if transfer.decision is not None or transfer.releasing:
        with run.locked():
            when_idle(run, transfer)
            let_go(run, transfer)
            run.notify_locked()


def _disk_failed(run: Run, transfer: Transfer, error: DiskError) -> None:
    if transfer.decision is None:  # one that is being opened, too
        withdraw(run, transfer, Decision(Reaction.REOPEN, 0.0, 0), error)
    disk_failed(run, error)


def _consider(run: Run, job: Job, abort: Abort | None, error: Era5Error, progressed: bool, now: float) -> None:
    transfer = job.transfer
    run.counters.barren_attempts += not progressed
    if isinstance(error, Denied):
        run.denials.record_denial(transfer.index, now)
        if run.denials.bucket_denied(now, run.last_byte_at):
            run.scheduler.requeue(job, now, now)
            run.end_with_error_locked(BucketRefused(f"the bucket refuses one object after the other: {error}"))
            return
        decision = _doubt(run, job, error)
    else:
        crowded = isinstance(error, StaleConnection) and abort is not None and _is_crowded(run, abort, now)
        decision = _decide(run, job, error, progressed, crowded)
    match decision.reaction:
        case Reaction.FAIL_SESSION:
            run.end_with_error_locked(error)
        case Reaction.PAUSE if isinstance(error, Untrusted) and not run.server_answered:
            run.end_with_error_locked(error)  # wrong from the start: waiting would not help
        case Reaction.YIELD:
            withdraw(run, transfer, decision, error)
        case Reaction.RESTART if transfer.restarts < MOST_RESTARTS:
            withdraw(run, transfer, decision, error)
        case Reaction.FAIL_OBJECT | Reaction.STOP | Reaction.RESTART:
            withdraw(run, transfer, FAILED, error)
        case Reaction.PAUSE | Reaction.WAIT_FOR_NETWORK:
            run.scheduler.requeue(job, now + decision.delay, now)
            run.network_outage_locked(error, transfer.obj.key)
        case _:
            _retry(run, job, error, decision, now)


def _decide(run: Run, job: Job, error: Era5Error, progressed: bool, crowded: bool) -> Decision:
    """What to do, and what it costs the budget of the piece (or that of opening and proving the object)."""
    counter = job if isinstance(job, Piece) else job.transfer
    barren, retries = counter.failed_attempts, _budget(run, job)
    if crowded:  # that says nothing about this object and costs it nothing
        barren, retries = 1, retries + 2
    decision = decide(error, progressed=progressed, barren=barren, retries=retries, draw=random.uniform)
    counter.failed_attempts = 1 if crowded else decision.barren
    return decision


def _budget(run: Run, job: Job) -> int:
    retries = run.settings.retries
    return min(retries, retry.ROUND_RETRIES) if job.transfer.index in run.retry_rounds.retried else retries


def _is_crowded(run: Run, abort: Abort, now: float) -> bool:
    """Whether something in between allows only so many connections at once: new ones are closed before they are
    answered, one after the other, while those that were there before serve. An open connection that the server closes
    between two requests is nothing of that kind. With the last one left the budget counts again."""
    if not abort.connected:
        return False
    run.closed_connections += 1
    working = sum(not other.connected or (isinstance(job, Piece) and job.answered) for job, other in run.aborts.items())
    if run.closed_connections < SHUT_OUT or not working:
        return False
    run.throttle.limit_connections(now, max(working, run.peak_requests.value(now)))
    return True


def _doubt(run: Run, job: Job, error: Denied) -> Decision:
    """The same for an answer of 403: see `era5dl.engine.retry`."""
    counter = job if isinstance(job, Piece) else job.transfer
    retries, barren = _budget(run, job), counter.denials
    doubts = retries if run.denials.are_temporary else DOUBTS
    decision = decide(error, progressed=False, barren=barren, retries=retries, draw=random.uniform, doubts=doubts)
    if not decision.again and run.denials.many:
        return Decision(error.reaction, random.uniform(0.0, max_delay(barren + 1)), barren)
    counter.denials = decision.barren
    return decision


def _is_silence(job: Job, error: Era5Error) -> bool:
    """Whether the connection stood, and no answer came over it."""
    return isinstance(error, Interrupted) and not (isinstance(job, Piece) and job.answered)


def _retry(run: Run, job: Job, error: Era5Error, decision: Decision, now: float) -> None:
    transfer = job.transfer
    run.counters.retries += 1
    run.scheduler.requeue(job, now + decision.delay, now)
    run.events.put(
        FileRetrying(transfer.index, transfer.obj.key, str(error), decision.barren, decision.delay, error.kind)
    )
    if decision.reaction is Reaction.THROTTLE:
        if run.throttle.record_throttled(now, decision.delay):
            run.events.put(Throttled(run.throttle.allowed, decision.delay))
    elif isinstance(error, BadResponse) or _is_silence(job, error):
        run.unexpected_answers += 1
        if run.unexpected_answers >= STRANGE_ANSWERS:
            run.unexpected_answers = 0
            run.network_outage_locked(error, transfer.obj.key)  # the prober finds out whether it is the bucket
