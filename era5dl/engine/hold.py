"""Single objects paused by the user: held ones get no worker, whatever has come of them is kept, nobody waits for them.

What waits is out of the queue at once.  What is under way is let go: its attempts are aborted, and as soon as no thread
works on it any more, it is again an object that nobody has begun, with its bytes recorded.

A hold belongs to the run, not to the session: it is not written into the resume file, since whoever goes on with a
session tomorrow, perhaps from the command line, must not find a run that waits for somebody who has forgotten why.
"""

from __future__ import annotations

from collections.abc import Collection, Set

from era5dl.engine.checkpoint import claim, claimed
from era5dl.engine.progress import FileState
from era5dl.engine.run import Run
from era5dl.engine.transfer import Transfer


def hold(run: Run, indices: Collection[int]) -> None:
    """Give these objects to nobody. Finished and failed ones are left as they are."""
    wanted = frozenset(indices)
    with run.locked():
        if run.is_over:
            return
        under_way = wanted & run.scheduler.transfers.keys()
        states = run.counters.states
        waiting = {index for index in wanted - under_way if states[index] == FileState.WAITING}
        run.held |= waiting
        run.counters.set_states(waiting, FileState.WAITING, FileState.HELD)
        run.counters.held_bytes += run.scheduler.remove(waiting) - _here(run, waiting)
        for index in under_way:
            transfer = run.scheduler.transfers[index]
            run.held.add(index)
            run.counters.set_state(index, FileState.HELD)
            transfer.releasing = True
            run.scheduler.withdraw(transfer)
            for job, abort in run.aborts.items():
                if job.transfer is transfer:
                    abort.trip("held")
            let_go(run, transfer)
        run.update_state_locked()


def release(run: Run, indices: Collection[int]) -> None:
    """Let these objects have their turn again: those of which something is here before all others."""
    with run.locked():
        back = run.held.intersection(indices)
        if not back:
            return
        run.held -= back
        back.difference_update(run.scheduler.transfers)  # not let go yet: they will be given back as soon as they are
        begun = back & run.entries.keys()
        added = run.scheduler.add(sorted(begun), first=True) + run.scheduler.add(sorted(back - begun))
        run.counters.held_bytes -= added - _here(run, back)
        run.counters.set_states(back, FileState.HELD, FileState.WAITING)
        run.update_state_locked()


def let_go(run: Run, transfer: Transfer) -> None:
    """Under the lock: if it is to leave the hands of the workers and no thread works on it, it does."""
    index = transfer.index
    busy = any(job.transfer is transfer for job in run.aborts)
    if not transfer.releasing or busy or run.scheduler.transfers.get(index) is not transfer:
        return
    if transfer.done:
        run.entries[index] = claim(transfer)
    here = claimed(run.entries.get(index))
    run.counters.done_bytes += here - transfer.counted_bytes
    run.scheduler.close(transfer)
    run.dirty = True
    if index in run.held:
        run.counters.held_bytes += transfer.obj.size - here
    else:  # released meanwhile
        run.scheduler.add([index], first=True)
        run.counters.set_state(index, FileState.WAITING)


def _here(run: Run, indices: Set[int]) -> int:
    """Bytes on disk of objects that nobody works on."""
    return sum(claimed(run.entries[index]) for index in indices & run.entries.keys())
