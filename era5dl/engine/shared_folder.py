"""Objects that another session in the same folder is fetching: deferred, and checked again every few seconds.

No worker waits for them. An object that is claimed elsewhere goes into the delay queue as one that was not opened, and
its worker takes another. When the other session has finished it, opening it finds the file and proves it; when the
other session is dead, its claim is void and the object is fetched here.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from typing import TYPE_CHECKING

from era5dl.engine.progress import FileState
from era5dl.engine.transfer import Transfer
from era5dl.formatting import format_count

if TYPE_CHECKING:
    from era5dl.engine.run import Run
    from era5dl.engine.scheduler import PrepareJob

LOOK_EVERY = (2.0, 4.0)  # seconds, drawn anew each time, so that sessions do not look all at once


def claim_object(run: Run, job: PrepareJob) -> bool:
    """Whether the object is this session's to fetch. If not, it is put back and looked at again later."""
    transfer = job.transfer
    who = run.session.claims.claim(transfer.index)
    if not who and not transfer.claimed_by:
        return True
    with run.locked():
        transfer.claimed_by = who
        if who:
            now = time.monotonic()
            run.aborts.pop(job, None)
            run.scheduler.requeue(job, now + random.uniform(*LOOK_EVERY), now)
            run.counters.set_state(transfer.index, FileState.WAITING)
        run.update_state_locked()
    if not who:
        _forget_absence(run.session.paths.final(transfer.index).parent)
    return not who


def left_to_others(run: Run) -> tuple[str, ...]:
    """Under the lock: who fetches all that this run has still to do; () while there is anything else to do."""
    under_way = run.scheduler.transfers.values()
    if run.scheduler.queue or not all(transfer.claimed_by for transfer in under_way):
        return ()
    return tuple(sorted({transfer.claimed_by for transfer in under_way}))


def told(files: int, others: tuple[str, ...]) -> str:
    """ "3 files are being fetched by another session: era5dl (process 123 on host x, since ...)" """
    who = "another session" if len(others) == 1 else "other sessions"
    return f"{format_count(files, 'file')} {'is' if files == 1 else 'are'} being fetched by {who}: {', '.join(others)}"


def release_finished(run: Run, transfer: Transfer) -> None:
    """If the run has done with this object, whatever came of it, let others have it."""
    if done_with(run, transfer.index):
        run.session.claims.release(transfer.index)


def done_with(run: Run, index: int) -> bool:
    """Whether others may have this object. A file that no MD5 proves is adopted by others only if this session's resume
    file speaks of it: so its claim is kept until that is written."""
    return index not in run.scheduler.transfers and run.counters.states[index] != FileState.CHECKED


def _forget_absence(folder: os.PathLike[str]) -> None:
    """Make NFS ask its server for what is in this folder: it may remember for a minute that a file is not there."""
    with contextlib.suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))  # on Windows, no folder can be opened
