"""Handles disk errors: does the error concern one file or the whole disk?

One file is retried a few times and then fails with its reason, while the others go on. For the disk, everything waits.

Either way nothing that was written since the last good sync counts any more, neither as bytes nor as hashed from the
stream: the object is opened again, as after a restart of the program, and what is on the disk is read from there.
"""

from __future__ import annotations

from era5dl.engine.event_queue import log
from era5dl.engine.events import FileRetrying
from era5dl.engine.retry import Decision
from era5dl.engine.run import Run
from era5dl.engine.transfer import Transfer
from era5dl.engine.withdrawal import FAILED, when_idle, withdraw
from era5dl.errors import DiskAway, DiskError, DiskFull, Reaction
from era5dl.folder.free_space import free_bytes, is_writable

DELAYS = (0.2, 1.0, 3.0)  # seconds before each new attempt of one file, while nothing more of it reaches the disk
MOST_TRIAL = 1 << 24  # bytes written to see whether there is room: a quota shows only so

_AT_ONCE = Decision(Reaction.REOPEN, 0.0, 0)


def judge(run: Run, transfer: Transfer, error: DiskError) -> tuple[DiskError, bool]:
    """The error to be told, and whether it is about this object alone. Reads and writes on the disk: without the lock.

    What the folder itself is missing comes before what a file in it says.
    """
    if transfer.decision is not None:
        return error, True  # judged already
    if isinstance(error, DiskAway):  # told only once where the disk is back, but true of all objects
        return error, False
    try:
        run.check_folder()
        if error.reaction is not Reaction.PAUSE:
            return error, True
        folder, trial = run.session.folder, 0
        if isinstance(error, DiskFull):
            trial = transfer.obj.size - transfer.counted_bytes
            if free_bytes(folder) < trial + run.settings.disk_reserve:
                return error, False
    except DiskError as other:
        return other, False
    return error, not run.outage.is_disk and is_writable(folder, min(trial, MOST_TRIAL))


def one_failed(run: Run, transfer: Transfer, error: DiskError) -> None:
    """Under the lock: this object could not be written or read, though the disk works."""
    if transfer.decision is not None:
        return
    kept = transfer.part.safe(transfer.done).total() if transfer.part is not None else 0
    if kept > transfer.synced_bytes:
        transfer.synced_bytes, transfer.disk_failures = kept, 0
    if transfer.disk_failures == len(DELAYS):
        withdraw(run, transfer, FAILED, error)
        return
    delay = DELAYS[transfer.disk_failures]
    transfer.disk_failures += 1
    run.counters.retries += 1
    log.warning("%s: %s; it goes on from %d bytes that are on the disk", transfer.obj.key, error, kept)
    run.events.put(
        FileRetrying(transfer.index, transfer.obj.key, str(error), transfer.disk_failures, delay, error.kind)
    )
    withdraw(run, transfer, Decision(Reaction.REOPEN, delay, transfer.disk_failures), error)


def all_failed(run: Run, error: DiskError) -> None:
    """Under the lock: the disk does not work. Everybody waits, and goes on from what is on the disk. What was said
    first stands: each worker meets the same trouble at another file."""
    for transfer in list(run.scheduler.transfers.values()):
        if transfer.prepared and transfer.decision is None:
            withdraw(run, transfer, _AT_ONCE, error)
            when_idle(run, transfer)
    if not run.outage.is_disk:
        log.warning("%s; what was not synced before is fetched again", error)
        run.disk_outage_locked(error)


def sync_failed(run: Run, transfer: Transfer, error: DiskError) -> None:
    """A sync has failed that no worker asked for."""
    error, alone = judge(run, transfer, error)
    with run.locked():
        if run.scheduler.transfers.get(transfer.index) is not transfer:
            return
        if alone:
            one_failed(run, transfer, error)
            when_idle(run, transfer)
        else:
            all_failed(run, error)
        run.notify_locked()


def hash_again(transfer: Transfer) -> None:
    """Believe nothing that was hashed as it came: the next proof reads all of the part file from the disk."""
    part, digest = transfer.part, transfer.digest
    if part is None or digest is None:
        return
    if transfer.unverifiable:  # no ETag will tell: what was hashed as it came has to
        known = {**digest.whole_parts(), **transfer.recorded_md5s}
        unknown = dict.fromkeys(range(len(digest.parts)), "") if part.touched else {}
        transfer.recorded_md5s = {**unknown, **known}
    part.read_from_disk()
    transfer.digest = digest.anew()
