"""Handles failed attempts: retries the piece, lets its object fail, or ends or suspends the whole run.

`retry` decides from the error what to do and when; this module carries out the decision. `disk` handles disk errors.
"""

from __future__ import annotations

import random
import time

from era5dl.bucket.cancellation import Abort
from era5dl.engine import retry
from era5dl.engine.disk import classify, disk_failed, object_failed
from era5dl.engine.events import FileRetrying, Throttled
from era5dl.engine.job_queue import Job
from era5dl.engine.retry import FEW_RETRIES, Decision, decide, max_delay
from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Piece, Transfer
from era5dl.engine.withdrawal import FAILED, settle_locked, withdraw
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

MAX_RESTARTS = 2  # times an object may be replaced in the bucket; the next time it has failed
MAX_UNEXPECTED_ANSWERS = 5  # in a row, for any objects; then probably something other than the bucket answers
MAX_CLOSED_CONNECTIONS = 4  # new ones in a row, while others are served; then probably their number is limited


def record_failure(run: RunState, job: Job, error: Era5Error, *, progressed: bool) -> None:
    """Handle the error that ended an attempt. progressed: the attempt had received new bytes."""
    abort = run.aborts.get(job)
    was_open = abort is None or not (abort.reason or abort.connected)
    if isinstance(error, Interrupted | StaleConnection) and not progressed and was_open:
        run.bucket.drop_idle_connections()  # if one connection is dead, the other idle ones most likely are, too
    this_object_only = True
    if isinstance(error, DiskError):
        error, this_object_only = classify(run, job.transfer, error)
    with run.locked():
        transfer, now = job.transfer, time.monotonic()
        run.aborts.pop(job, None)
        if isinstance(job, Piece):
            run.scheduler.piece_ended(job)
            job.failures = 0 if progressed else job.failures
        else:
            transfer.verifying = False
        if isinstance(error, DiskError) and error.reaction is Reaction.PAUSE:  # also when we aborted the attempt
            run.counters.barren_attempts += not progressed
            object_failed(run, transfer, error) if this_object_only else _suspend_for_disk(run, transfer, error)
        elif abort is None or not abort.reason or isinstance(error, DiskError | ProofError):
            _handle(run, job, abort, error, progressed, now)
        elif transfer.decision is None and not transfer.releasing:  # we aborted it: not a failed attempt
            run.scheduler.requeue(job, now, now)
        if isinstance(job, Piece):
            run.scheduler.verify_when_complete(transfer)
        settle_locked(run, transfer)
        run.notify_locked()


def _suspend_for_disk(run: RunState, transfer: Transfer, error: DiskError) -> None:
    if transfer.decision is None:  # `disk_failed` skips objects that are being prepared, and this may be one of them
        withdraw(run, transfer, Decision(Reaction.REOPEN, 0.0, 0), error)
    disk_failed(run, error)


def _handle(run: RunState, job: Job, abort: Abort | None, error: Era5Error, progressed: bool, now: float) -> None:
    """Decide what to do about the error, and do it."""
    transfer = job.transfer
    run.counters.barren_attempts += not progressed
    if isinstance(error, Denied):
        run.server.denials.record_denial(transfer.index, now)
        if run.server.denials.bucket_denied(now, run.server.last_byte_at):
            run.scheduler.requeue(job, now, now)
            run.end_with_error_locked(BucketRefused(f"the bucket refuses one object after the other: {error}"))
            return
        decision = _decide_denied(run, job, error)
    else:
        limited = isinstance(error, StaleConnection) and abort is not None and _limit_connections(run, abort, now)
        decision = _decide(run, job, error, progressed, limited)
    match decision.reaction:
        case Reaction.FAIL_SESSION:
            run.end_with_error_locked(error)
        case Reaction.PAUSE if isinstance(error, Untrusted) and not run.server.has_answered:
            run.end_with_error_locked(error)  # never trusted in this run: waiting would not help
        case Reaction.YIELD:
            withdraw(run, transfer, decision, error)
        case Reaction.RESTART if transfer.restarts < MAX_RESTARTS:
            withdraw(run, transfer, decision, error)
        case Reaction.FAIL_OBJECT | Reaction.STOP | Reaction.RESTART:
            withdraw(run, transfer, FAILED, error)
        case Reaction.PAUSE | Reaction.WAIT_FOR_NETWORK:
            run.scheduler.requeue(job, now + decision.delay, now)
            run.network_outage_locked(error, transfer.obj.key)
        case _:
            _retry(run, job, error, decision, now)


def _decide(run: RunState, job: Job, error: Era5Error, progressed: bool, limited: bool) -> Decision:
    """Return the decision, and count the failure for the piece, or for the object if it is prepared or verified."""
    counter = job if isinstance(job, Piece) else job.transfer
    failures, retries = counter.failures, _retry_budget(run, job)
    if limited:  # the error was caused by a limit of connections, not by this object: it costs no retry
        failures, retries = 1, retries + 2
    decision = decide(error, progressed=progressed, failures=failures, retries=retries, draw=random.uniform)
    counter.failures = 1 if limited else decision.failures
    return decision


def _decide_denied(run: RunState, job: Job, error: Denied) -> Decision:
    """Like `_decide`, for a 403 response, which may be temporary (see `retry.AccessDenials`)."""
    counter = job if isinstance(job, Piece) else job.transfer
    retries, denials = _retry_budget(run, job), counter.denials
    few_retries = retries if run.server.denials.are_temporary else FEW_RETRIES
    decision = decide(
        error, progressed=False, failures=denials, retries=retries, draw=random.uniform, few_retries=few_retries
    )
    if not decision.again and run.server.denials.many:
        return Decision(error.reaction, random.uniform(0.0, max_delay(denials + 1)), denials)
    counter.denials = decision.failures
    return decision


def _retry_budget(run: RunState, job: Job) -> int:
    retries = run.settings.retries
    return min(retries, retry.ROUND_RETRIES) if job.transfer.index in run.retry_rounds.retried else retries


def _limit_connections(run: RunState, abort: Abort, now: float) -> bool:
    """Reduce the number of requests if the server or a proxy seems to limit connections. Return whether it does.

    The sign is that several new connections in a row were closed before an answer, while others are served. An open
    connection that the server closes between requests does not count. If no connection is served, the cause is not a
    limit, and the failure counts against the retry budget.
    """
    if not abort.connected:
        return False
    run.server.closed_connections += 1
    served = sum(not other.connected or (isinstance(job, Piece) and job.answered) for job, other in run.aborts.items())
    if run.server.closed_connections < MAX_CLOSED_CONNECTIONS or not served:
        return False
    run.throttle.limit_connections(now, max(served, run.server.peak_requests.value(now)))
    return True


def _retry(run: RunState, job: Job, error: Era5Error, decision: Decision, now: float) -> None:
    transfer = job.transfer
    run.counters.retries += 1
    run.scheduler.requeue(job, now + decision.delay, now)
    run.events.put(
        FileRetrying(transfer.index, transfer.obj.key, str(error), decision.failures, decision.delay, error.kind)
    )
    if decision.reaction is Reaction.THROTTLE:
        if run.throttle.record_throttled(now, decision.delay):
            run.events.put(Throttled(run.throttle.allowed, decision.delay))
    elif isinstance(error, BadResponse) or _is_silence(job, error):
        run.server.unexpected_answers += 1
        if run.server.unexpected_answers >= MAX_UNEXPECTED_ANSWERS:
            run.server.unexpected_answers = 0
            run.network_outage_locked(error, transfer.obj.key)  # the prober finds out when the bucket itself answers


def _is_silence(job: Job, error: Era5Error) -> bool:
    """Whether the connection was established but no response was received."""
    return isinstance(error, Interrupted) and not (isinstance(job, Piece) and job.answered)
