"""What a failed attempt means: for its piece, for its object, for everybody. All of it under the engine's lock.

`era5dl.engine.retry` says what to do and when; here it is done.
"""

from __future__ import annotations

import random
import time

from era5dl.engine.claims import claim
from era5dl.engine.events import FileFailed, FileRestarted, FileRetrying, Throttled
from era5dl.engine.holding import let_go
from era5dl.engine.ledger import FileState
from era5dl.engine.retry import Decision, decide
from era5dl.engine.run import Run
from era5dl.engine.scheduler import Job
from era5dl.engine.transfer import Piece, Transfer
from era5dl.errors import (
    BadResponse,
    BucketRefused,
    Denied,
    DiskError,
    Era5Error,
    Interrupted,
    Reaction,
    StaleConnection,
    Untrusted,
)
from era5dl.session.checkpoint import Failure

MOST_RESTARTS = 2  # times an object may change upstream before it has failed
STRANGE_ANSWERS = 5  # in a row, on whatever objects: something answers in the bucket's place
DENIALS = 5  # different objects in a row: it is the bucket that says no

FAILED = Decision(Reaction.FAIL_OBJECT, 0.0, 0)


def attempt_failed(run: Run, job: Job, error: Era5Error, *, progressed: bool) -> None:
    """This attempt has ended with this error. progressed: it brought new bytes first."""
    abort = run.aborts.get(job)
    if isinstance(error, Interrupted | StaleConnection) and not progressed and (abort is None or not abort.why):
        run.bucket.drop_idle_connections()  # one was dead: so, most likely, are those that have been idle beside it
    with run.locked():
        transfer, now = job.transfer, time.monotonic()
        run.aborts.pop(job, None)
        if isinstance(job, Piece):
            run.scheduler.ended(job)
        else:
            transfer.proving = False
        if abort is None or not abort.why:
            _consider(run, job, error, progressed, now)
        elif transfer.decision is None and not transfer.leaving:  # we ended it ourselves: nobody's fault
            run.scheduler.put_back(job, now, now)
        if isinstance(job, Piece):
            run.scheduler.prove_when_complete(transfer)
        _when_idle(run, transfer)
        let_go(run, transfer)
        run.wake_locked()


def settle(run: Run, transfer: Transfer) -> None:
    """A job has come to its end. It may be the one that a decision on its object, or a hold, was waiting for."""
    if transfer.decision is not None or transfer.leaving:
        with run.locked():
            _when_idle(run, transfer)
            let_go(run, transfer)
            run.wake_locked()


def _when_idle(run: Run, transfer: Transfer) -> None:
    """Carry out the decision on an object once no thread works on it any more."""
    if transfer.decision is None or not transfer.idle or transfer.index not in run.scheduler.open:
        return
    index, key = transfer.index, transfer.obj.key
    if transfer.decision.reaction is Reaction.RESTART:
        transfer.decision = None
        transfer.restarts += 1
        transfer.changed = True
        run.scheduler.begin_anew(transfer)
        run.outbox.put(FileRestarted(index, key, transfer.reason, transfer.kind))
        return
    if transfer.opened and transfer.done:
        run.claims[index] = claim(transfer)  # a later run goes on from here
    run.scheduler.close(transfer)
    run.held.discard(index)
    run.ledger.set_state(index, FileState.FAILED)
    run.failures.append(Failure(index, key, transfer.reason, transfer.remedy, time.time(), transfer.kind))
    run.dirty = True
    run.outbox.put(FileFailed(index, key, transfer.reason, transfer.remedy, transfer.kind))


def _consider(run: Run, job: Job, error: Era5Error, progressed: bool, now: float) -> None:
    transfer = job.transfer
    decision = _decide(run, job, error, progressed, now)
    run.ledger.barren_attempts += not progressed
    match decision.reaction:
        case Reaction.FAIL_SESSION:
            run.end_locked(error)
        case Reaction.PAUSE if isinstance(error, Untrusted) and not run.answered_once:
            run.end_locked(error)  # wrong from the start: waiting would not help
        case Reaction.RESTART if transfer.restarts < MOST_RESTARTS:
            _doom(run, transfer, decision, error)
        case Reaction.FAIL_OBJECT | Reaction.STOP | Reaction.RESTART:
            _doom(run, transfer, FAILED, error)
            _count_denial(run, transfer, error)
        case Reaction.PAUSE if isinstance(error, DiskError):
            run.scheduler.put_back(job, now, now)
            run.disk_trouble_locked(error)
        case Reaction.PAUSE | Reaction.WAIT_FOR_NETWORK:
            run.scheduler.put_back(job, now + decision.delay, now)
            run.network_trouble_locked(error, transfer.obj.key)
        case _:
            _retry(run, job, error, decision, now)


def _decide(run: Run, job: Job, error: Era5Error, progressed: bool, now: float) -> Decision:
    """What to do, and what it costs the budget of the piece (or that of opening and proving the object)."""
    counter = job if isinstance(job, Piece) else job.transfer
    barren, retries = counter.barren, run.settings.retries
    # Twice not let in while others are served: something in between allows only so many connections at once. That says
    # nothing about this object and costs it nothing. With the last one left the budget counts again.
    crowded = isinstance(error, StaleConnection) and not progressed and barren >= 1 and bool(run.aborts)
    if crowded:
        run.throttle.fit(now, len(run.aborts))
        retries += 1
    if error.reaction is Reaction.DOUBT and not job.transfer.doubted:
        barren = 0  # other troubles before it do not make a first refusal more credible
    job.transfer.doubted = error.reaction is Reaction.DOUBT or (job.transfer.doubted and not progressed)
    decision = decide(error, progressed=progressed, barren=barren, retries=retries, draw=random.uniform)
    counter.barren = 1 if crowded else decision.barren
    return decision


def _retry(run: Run, job: Job, error: Era5Error, decision: Decision, now: float) -> None:
    transfer = job.transfer
    run.ledger.retries += 1
    run.scheduler.put_back(job, now + decision.delay, now)
    run.outbox.put(
        FileRetrying(transfer.index, transfer.obj.key, str(error), decision.barren, decision.delay, error.kind)
    )
    if decision.reaction is Reaction.THROTTLE:
        if run.throttle.refused(now, decision.delay):
            run.outbox.put(Throttled(run.throttle.allowed, decision.delay))
    elif isinstance(error, BadResponse):
        run.strange_answers += 1
        if run.strange_answers >= STRANGE_ANSWERS:
            run.strange_answers = 0
            run.network_trouble_locked(error, transfer.obj.key)  # the prober finds out whether it is the bucket


def _doom(run: Run, transfer: Transfer, decision: Decision, error: Era5Error) -> None:
    """Its other pieces are ended first; then `_when_idle` carries the decision out."""
    if transfer.decision is None or decision is FAILED:
        transfer.decision, transfer.reason, transfer.remedy = decision, str(error), error.remedy
        transfer.kind = error.kind
    run.scheduler.withdraw(transfer)
    for piece in transfer.active:
        if piece in run.aborts:
            run.aborts[piece].trip("its object cannot go on")


def _count_denial(run: Run, transfer: Transfer, error: Era5Error) -> None:
    if isinstance(error, Denied):
        run.denied.add(transfer.index)
        if len(run.denied) >= DENIALS:
            run.end_locked(BucketRefused(f"the bucket refuses one object after the other: {error}"))
