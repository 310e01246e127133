"""Withdraws objects from the workers, because the user holds them, they have failed, or they must be prepared again.

There are three steps. The scheduler stops assigning work on the object; its requests are aborted; and when no thread
works on it any more, `settle_locked` carries out the decision, or returns a held object to the state "not started". The
bytes on disk are kept in every case.

A hold ends with the run and is not written to the resume file. Otherwise a session that is resumed days later, perhaps
on the command line, would wait because of a hold that the user has forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Set

from era5dl.engine.checkpoint import entry_bytes, entry_of
from era5dl.engine.events import FileFailed, FileRestarted, FileRetrying
from era5dl.engine.progress import FileState
from era5dl.engine.retry import Decision
from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Transfer
from era5dl.errors import Denied, Era5Error, ObjectChanged, Reaction
from era5dl.session.checkpoint import FailedObject

FAILED = Decision(Reaction.FAIL_OBJECT, 0.0, 0)


# Held by the user


def hold(run: RunState, indices: Collection[int]) -> None:
    """Pause these objects until `release`. Finished and failed ones are left as they are."""
    wanted = frozenset(indices)
    with run.locked():
        if run.is_over:
            return
        started = wanted & run.scheduler.transfers.keys()
        waiting = {index for index in wanted - started if run.counters.states[index] == FileState.WAITING}
        run.held |= waiting
        run.counters.set_states(waiting, FileState.WAITING, FileState.HELD)
        run.counters.held_bytes += run.scheduler.remove(waiting) - _saved_bytes(run, waiting)
        for index in started:
            transfer = run.scheduler.transfers[index]
            run.held.add(index)
            run.counters.set_state(index, FileState.HELD)
            transfer.releasing = True
            run.scheduler.withdraw(transfer)
            for job, abort in run.aborts.items():
                if job.transfer is transfer:
                    abort.trigger("held")
            settle_locked(run, transfer)
        run.update_state_locked()


def release(run: RunState, indices: Collection[int]) -> None:
    """Queue these held objects again, those with bytes on disk before all others."""
    with run.locked():
        released = run.held.intersection(indices)
        if not released:
            return
        run.held -= released
        released.difference_update(run.scheduler.transfers)  # a thread still works on these; `_hand_back` queues them
        partial = released & run.session_state.entries.keys()
        added = run.scheduler.add(sorted(partial), first=True) + run.scheduler.add(sorted(released - partial))
        run.counters.held_bytes -= added - _saved_bytes(run, released)
        run.counters.set_states(released, FileState.HELD, FileState.WAITING)
        run.update_state_locked()


def _saved_bytes(run: RunState, indices: Set[int]) -> int:
    """Return the number of bytes on disk of objects that this run has not started."""
    return sum(entry_bytes(run.session_state.entries[index]) for index in indices & run.session_state.entries.keys())


# Failed, or to be prepared again


def withdraw(run: RunState, transfer: Transfer, decision: Decision, error: Era5Error) -> None:
    """Stop all work on this object, so that `settle_locked` can carry out the decision. Call it under the lock.

    An earlier decision is kept, unless the new one is FAILED.
    """
    if transfer.decision is None or decision is FAILED:
        transfer.decision, transfer.is_temporary = decision, error.transient
        transfer.reason, transfer.remedy, transfer.kind = str(error), error.remedy, error.kind
    run.scheduler.withdraw(transfer)
    for piece in transfer.active:
        if piece in run.aborts:
            run.aborts[piece].trigger("work on the object was stopped")


# Both


def settle_locked(run: RunState, transfer: Transfer) -> None:
    """Carry out the decision on a withdrawn object, or return a held one, if no thread works on it any more."""
    index = transfer.index
    if transfer.decision is not None and transfer.idle and index in run.scheduler.transfers:
        _carry_out_decision(run, transfer, transfer.decision)
    busy = any(job.transfer is transfer for job in run.aborts)
    if transfer.releasing and not busy and run.scheduler.transfers.get(index) is transfer:
        _hand_back(run, transfer)


def _carry_out_decision(run: RunState, transfer: Transfer, decision: Decision) -> None:
    if transfer.prepared:
        entry = entry_of(transfer)
        if transfer.part is not None:
            transfer.done = transfer.part.synced(transfer.done)
        run.count_bytes_locked(transfer)
        if entry.done:
            run.session_state.entries[transfer.index] = entry  # this or a later run resumes from these bytes
    run.session_state.dirty = True
    if decision.reaction in (Reaction.RESTART, Reaction.REOPEN, Reaction.YIELD):
        _restart(run, transfer, decision)
    else:
        _fail(run, transfer)


def _restart(run: RunState, transfer: Transfer, decision: Decision) -> None:
    index, key = transfer.index, transfer.obj.key
    transfer.decision = None
    run.scheduler.restart(transfer, time.monotonic() + decision.delay if decision.delay else 0.0)
    if decision.reaction is Reaction.RESTART:
        # A reported change counts as a restart only when the server confirms it.
        transfer.recheck_version = transfer.kind == ObjectChanged.__name__
        if not transfer.recheck_version:
            transfer.restarts += 1
            run.events.put(FileRestarted(index, key, transfer.reason, transfer.kind))
    elif decision.reaction is Reaction.YIELD:
        transfer.claimed_by = transfer.reason
        run.events.put(FileRetrying(index, key, transfer.reason, 0, 0.0, transfer.kind))


def _fail(run: RunState, transfer: Transfer) -> None:
    index, key = transfer.index, transfer.obj.key
    run.scheduler.close(transfer)
    run.held.discard(index)
    run.counters.set_state(index, FileState.FAILED)
    failure = FailedObject(index, key, transfer.reason, transfer.remedy, time.time(), transfer.kind)
    run.session_state.record_failure(failure)
    if transfer.is_temporary:
        run.retry_rounds.add(index)
    elif transfer.kind == Denied.__name__:
        run.retry_rounds.denied.add(index)
        if run.server.denials.are_temporary:
            run.retry_rounds.retry_denied()
    run.events.put(FileFailed(index, key, transfer.reason, transfer.remedy, transfer.kind))


def _hand_back(run: RunState, transfer: Transfer) -> None:
    """Return a held object to the state "not started"; queue it if it has been released in the meantime."""
    index = transfer.index
    if transfer.done:
        run.session_state.entries[index] = entry_of(transfer)
    saved = entry_bytes(run.session_state.entries.get(index))
    run.counters.done_bytes += saved - transfer.counted_bytes
    run.scheduler.close(transfer)
    run.session_state.dirty = True
    if index in run.held:
        run.counters.held_bytes += run.scheduler.sizes[index] - saved
    else:
        run.scheduler.add([index], first=True)
        run.counters.set_state(index, FileState.WAITING)
