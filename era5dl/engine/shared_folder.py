"""Sharing a folder with other sessions: objects that another session is fetching are deferred, not fetched twice.

No worker waits for them. An object that another session has claimed goes into the delay queue as one that is not
prepared, and is looked at again every few seconds. When the other session has finished it, preparing it finds the file
and verifies it; when the other session is dead, its claim is void and the object is fetched here.
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

RECHECK_EVERY = (2.0, 4.0)  # seconds; drawn anew each time, so that sessions do not look all at once


def claim_object(run: RunState, job: PrepareJob) -> bool:
    """Claim the object for this session. If another session has it, defer it and return False."""
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
    """Release the claim on an object that this run has finished with, successfully or not."""
    if may_release(run, transfer.index):
        run.session.claims.release(transfer.index)


def may_release(run: RunState, index: int) -> bool:
    """Whether other sessions may have this object. Others accept a file without a verified MD5 only because this
    session's resume file lists it: the claim on such a file is kept until the resume file is written."""
    return index not in run.scheduler.transfers and run.counters.states[index] != FileState.CHECKED


def _refresh_directory(folder: os.PathLike[str]) -> None:
    """Make NFS ask its server for the content of this folder: its client may cache for a minute that a file is not
    there. Does nothing on Windows, where a folder cannot be opened."""
    with contextlib.suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
