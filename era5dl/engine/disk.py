"""Disk failures and free space: retries one file or suspends the whole run, and monitors the disk until it recovers.

An error of one file is retried a few times; then the file has failed, and the others continue. When the disk or the
folder itself fails, or space runs out, all workers wait (see `era5dl.engine.outage`).

In both cases bytes written since the last successful sync are considered lost, and MD5s computed on arrival are
discarded. The object is prepared again, as after a restart of the program, and its bytes are read from the disk.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable

from era5dl.engine.events import FileRetrying, State
from era5dl.engine.retry import Decision
from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Transfer
from era5dl.engine.withdrawal import FAILED, settle_locked, withdraw
from era5dl.errors import DiskAway, DiskError, DiskFull, Era5Error, FileInUse, FolderVanished, Reaction
from era5dl.folder.free_space import check_free, free_bytes, is_writable
from era5dl.folder.paths import OWN_FOLDER
from era5dl.formatting import format_size
from era5dl.hdf5.superblock import MAX_SIZE, end_of_file_address

log = logging.getLogger("era5dl")

DELAYS = (0.2, 1.0, 3.0)  # seconds before each retry of one file; starts again when more of its bytes are synced
IN_USE_DELAYS = (1.0, 5.0, 15.0, *(30.0,) * 38)  # the same while another program has the file open: 20 minutes
MAX_TRIAL = 1 << 24  # bytes of a trial write, which is the only way to detect a quota
CHECK_EVERY = 2.0  # seconds between checks of the folder and free space
VANISHED_LIMIT = 60.0  # seconds to wait for a folder that somebody has moved or deleted
REMEDY_VANISHED = "Move the folder back, or run era5dl resume with its new location."

_AT_ONCE = Decision(Reaction.REOPEN, 0.0, 0)


def classify(run: RunState, transfer: Transfer, error: DiskError) -> tuple[DiskError, bool]:
    """Return the error to report, and whether it concerns only this object. Does I/O: call it without the lock.

    A problem of the folder itself takes precedence over the error of a file in it.
    """
    if transfer.decision is not None:
        return error, True  # already handled
    if isinstance(error, DiskAway):  # raised when the disk is back; concerns all objects
        return error, False
    try:
        run.check_folder()
        if error.reaction is not Reaction.PAUSE:
            return error, True
        folder, trial = run.session.folder, 0
        if isinstance(error, DiskFull):
            trial = run.scheduler.sizes[transfer.index] - transfer.counted_bytes + run.written_bytes(transfer.index)
            if free_bytes(folder) < trial + run.settings.disk_reserve:
                return error, False
    except DiskError as other:
        return other, False
    return error, not run.outage.is_disk and is_writable(folder, min(trial, MAX_TRIAL))


def object_failed(run: RunState, transfer: Transfer, error: DiskError) -> None:
    """Retry an object that could not be written or read although the disk works, or let it fail. Call it under the
    lock."""
    if transfer.decision is not None:
        return
    synced = transfer.part.synced(transfer.done).total() if transfer.part is not None else 0
    if synced > transfer.synced_bytes:
        transfer.synced_bytes, transfer.disk_failures = synced, 0
    delays = IN_USE_DELAYS if isinstance(error, FileInUse) else DELAYS
    if transfer.disk_failures >= len(delays):
        withdraw(run, transfer, FAILED, error)
        return
    delay = delays[transfer.disk_failures]
    transfer.disk_failures += 1
    run.counters.retries += 1
    log.warning("%s: %s; continuing from %d synced bytes", transfer.obj.key, error, synced)
    run.events.put(
        FileRetrying(transfer.index, transfer.obj.key, str(error), transfer.disk_failures, delay, error.kind)
    )
    withdraw(run, transfer, Decision(Reaction.REOPEN, delay, transfer.disk_failures), error)


def disk_failed(run: RunState, error: DiskError) -> None:
    """Let all objects wait because the disk does not work; later they continue from their synced bytes. Call it under
    the lock.

    Only the first error is reported, because every worker gets the same error for another file.
    """
    for transfer in list(run.scheduler.transfers.values()):
        if transfer.prepared and transfer.decision is None:
            withdraw(run, transfer, _AT_ONCE, error)
            settle_locked(run, transfer)
    if not run.outage.is_disk:
        log.warning("%s; unsynced bytes are fetched again", error)
        run.disk_outage_locked(error)


def sync_failed(run: RunState, transfer: Transfer, error: DiskError) -> None:
    """Handle a failed sync of the maintenance thread. Call it without the lock."""
    error, alone = classify(run, transfer, error)
    with run.locked():
        if run.scheduler.transfers.get(transfer.index) is not transfer:
            return
        if alone:
            object_failed(run, transfer, error)
            settle_locked(run, transfer)
        else:
            disk_failed(run, error)
        run.notify_locked()


def hash_from_disk(transfer: Transfer) -> None:
    """Discard the MD5s of bytes hashed on arrival, so that verification reads the whole part file from the disk."""
    part, digest = transfer.part, transfer.digest
    if part is None or digest is None:
        return
    if transfer.unverifiable:  # there is no ETag to compare with: compare with the MD5s computed on arrival
        known = {**digest.part_md5s(), **transfer.recorded_md5s}
        unknown = dict.fromkeys(range(len(digest.parts)), "") if part.changed_by_others else {}
        transfer.recorded_md5s = {**unknown, **known}
    part.bypass_page_cache()
    transfer.digest = digest.fresh()


class DiskMonitor:
    """Monitors the folder and free space of a run. Called by the maintenance thread without the lock.

    on_return: called when a disk or folder is available again.
    """

    def __init__(self, run: RunState, on_return: Callable[[], None]) -> None:
        self._run = run
        self._on_return = on_return
        self._checked_at = time.monotonic()
        self._vanished_since: float | None = None

    def check_space_for_run(self) -> None:
        """End the run with an error if the remaining bytes do not fit on the disk. Called once, at its start."""
        run = self._run
        needed = run.needed_bytes()
        try:
            if needed + run.settings.disk_reserve > free_bytes(run.session.folder):
                needed -= self._existing_bytes()
            check_free(run.session.folder, needed, run.settings.disk_reserve)
        except DiskError as error:
            with run.locked():
                run.end_with_error_locked(error)
            return
        with run.locked():
            run.space_checked = True
            run.notify_locked()

    def check(self, now: float) -> None:
        """Check the folder and free space, if CHECK_EVERY has passed since the previous check."""
        if now - self._checked_at < CHECK_EVERY:
            return
        self._checked_at = now
        run = self._run
        try:
            run.check_folder()
            if run.session.restore_files():
                log.warning("%s was deleted and is created again", run.session.folder / OWN_FOLDER)
                run.session_state.dirty = True
            free = free_bytes(run.session.folder)
            if free < run.settings.disk_reserve:
                self._wait_for_space(free)
            elif not run.outage.is_disk:
                self._vanished_since = None
            elif is_writable(run.session.folder):
                self._disk_recovered()
        except DiskError as error:
            self._wait_for_folder(error)

    def _existing_bytes(self) -> int:
        """Return the size of all files that already have their final name and size but were not recorded by a run."""
        with self._run.lock:
            unfinished = list(self._run.scheduler.queue)
        return sum(self._run.scheduler.sizes[index] for index in unfinished if status_on_disk(self._run, index))

    def _wait_for_space(self, free: int) -> None:
        """Let the run wait for free space. No write has failed, so the bytes written so far are kept."""
        with self._run.locked():
            if not self._run.outage.is_disk:
                self._run.disk_outage_locked(DiskFull(f"only {format_size(free)} are free on the disk"))

    def _wait_for_folder(self, error: DiskError) -> None:
        """Let the run wait for the folder: without limit for a missing disk, VANISHED_LIMIT seconds for a folder that
        was moved or deleted."""
        run, now = self._run, time.monotonic()
        if not isinstance(error, FolderVanished) or run.paused_by_user or self._vanished_since is None:
            self._vanished_since = now
        with run.locked():
            disk_failed(run, error)
            run.disk_outage_locked(error)  # the folder's error is more informative than that of a file in it
            if now - self._vanished_since >= VANISHED_LIMIT:
                run.end_with_error_locked(FolderVanished(str(error), remedy=REMEDY_VANISHED))

    def _disk_recovered(self) -> None:
        """Continue the run, after checking that the finished files still exist."""
        run = self._run
        self._vanished_since = None
        with run.locked():
            was_away = run.outage.state is State.WAITING_FOR_DISK
            run.audited = run.audited and not was_away
            run.outage.disk_recovered()
            run.update_state_locked()
        if was_away:
            self._on_return()


def status_on_disk(run: RunState, index: int) -> os.stat_result | None:
    """Return the status of the file of this object if it exists under its final name with the right size.

    That of a subset has to be the one that the file has according to its HDF5 header.
    """
    paths = run.session.paths
    try:
        final = paths.final(index)
        found = final.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        size = run.object(index).size
        if not paths.subset(index).is_everything:
            with paths.place(final).open_for_reading() as opened:
                size = end_of_file_address(opened.read(MAX_SIZE)) or -1
        return found if size == found.st_size else None
    except (OSError, Era5Error):
        return None
