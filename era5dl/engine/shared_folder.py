"""Sharing a folder with other sessions: objects that another session is fetching are deferred, not fetched twice.

No worker waits for them. The PrepareJob of such an object is delayed and repeated every few seconds. When the other
session has finished the object, preparing it finds the file and verifies it. If the other session has died, its claim
is no longer valid, and this session fetches the object.
"""

from __future__ import annotations

import contextlib
import os
import random
import time

from era5dl.engine.job_queue import PrepareJob
from era5dl.engine.progress import FileState
from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Transfer

RECHECK_EVERY = (2.0, 4.0)  # seconds; drawn from this range, so that sessions do not all check at the same time
_ONLY_CHECKED = (FileState.CHECKED, FileState.CHECKED_PART)


def claim_object(run: RunState, job: PrepareJob) -> bool:
    """Claim the object for this session. If another session has claimed it, delay the job and return False."""
    transfer = job.transfer
    other = run.session.claims.claim(transfer.index)
    if not other and not transfer.claimed_by:
        return True
    with run.locked():
        transfer.claimed_by = other
        if other:
            now = time.monotonic()
            run.aborts.pop(job, None)
            run.scheduler.requeue(job, now + random.uniform(*RECHECK_EVERY), now)
            run.counters.set_state(transfer.index, FileState.WAITING)
        run.update_state_locked()
    if not other:
        _refresh_directory(run.session.paths.final(transfer.index).parent)
    return not other


def release_if_done(run: RunState, transfer: Transfer) -> None:
    """Release the claim on an object that is finished or has failed in this run."""
    if may_release(run, transfer.index):
        run.session.claims.release(transfer.index)


def may_release(run: RunState, index: int) -> bool:
    """Whether the claim on this object can be released. Other sessions accept a file that is only checked because this
    session's resume file lists it, so the claim on such a file is kept until the resume file has been written."""
    return index not in run.scheduler.transfers and run.counters.states[index] not in _ONLY_CHECKED


def _refresh_directory(folder: os.PathLike[str]) -> None:
    """Make an NFS client request the content of this folder from its server, since it may cache for a minute that a
    file does not exist. Does nothing on Windows, where a folder cannot be opened."""
    with contextlib.suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
