"""Withdraws an object from the queue: fails, restarts or reopens it once no thread works on it (under the lock)."""

from __future__ import annotations

import time

from era5dl.engine.checkpoint import claim
from era5dl.engine.events import FileFailed, FileRestarted, FileRetrying
from era5dl.engine.progress import FileState
from era5dl.engine.retry import Decision
from era5dl.engine.run import Run
from era5dl.engine.transfer import Transfer
from era5dl.errors import Denied, Era5Error, ObjectChanged, Reaction
from era5dl.ranges import RangeSet
from era5dl.session.checkpoint import Failure

FAILED = Decision(Reaction.FAIL_OBJECT, 0.0, 0)


def withdraw(run: Run, transfer: Transfer, decision: Decision, error: Era5Error) -> None:
    """Give nothing more of it out and end its other pieces; then `when_idle` carries the decision out."""
    if transfer.decision is None or decision is FAILED:
        transfer.decision, transfer.reason, transfer.remedy = decision, str(error), error.remedy
        transfer.kind = error.kind
        transfer.error_is_temporary = error.transient
    run.scheduler.withdraw(transfer)
    for piece in transfer.active:
        if piece in run.aborts:
            run.aborts[piece].trip("its object cannot go on")


def when_idle(run: Run, transfer: Transfer) -> None:
    """Carry out the decision on an object once no thread works on it any more."""
    decision, index, key = transfer.decision, transfer.index, transfer.obj.key
    if decision is None or not transfer.idle or index not in run.scheduler.transfers:
        return
    if transfer.prepared:
        found = claim(transfer)
        transfer.done = RangeSet(found.done)
        run.count_bytes_locked(transfer)
        if found.done:
            run.entries[index] = found  # it, or a later run, goes on from here
    run.dirty = True
    if decision.reaction in (Reaction.RESTART, Reaction.REOPEN, Reaction.YIELD):
        transfer.decision = None
        run.scheduler.restart(transfer, time.monotonic() + decision.delay if decision.delay else 0.0)
        if decision.reaction is Reaction.RESTART:
            transfer.recheck_version = transfer.kind == ObjectChanged.__name__  # counted when it is confirmed
            if not transfer.recheck_version:
                transfer.restarts += 1
                run.events.put(FileRestarted(index, key, transfer.reason, transfer.kind))
        elif decision.reaction is Reaction.YIELD:
            transfer.claimed_by = transfer.reason
            run.events.put(FileRetrying(index, key, transfer.reason, 0, 0.0, transfer.kind))
        return
    run.scheduler.close(transfer)
    run.held.discard(index)
    run.counters.set_state(index, FileState.FAILED)
    run.forget_failure_locked(index)
    run.failures.append(Failure(index, key, transfer.reason, transfer.remedy, time.time(), transfer.kind))
    if transfer.error_is_temporary:
        run.retry_rounds.add(index)
    elif transfer.kind == Denied.__name__:
        run.retry_rounds.denied.add(index)
        if run.denials.are_temporary:
            run.retry_rounds.retry_denied()
    run.events.put(FileFailed(index, key, transfer.reason, transfer.remedy, transfer.kind))
