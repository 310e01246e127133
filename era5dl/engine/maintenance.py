"""Maintenance thread of a run: checkpoints, disk and connection monitors, retry rounds, and the end of the run.

The thread runs from the start to the end of the run and always emits RunEnded, also after an internal error.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from era5dl.engine.concurrency_monitor import ConcurrencyMonitor
from era5dl.engine.connection_monitor import ConnectionMonitor
from era5dl.engine.disk import DiskMonitor, disk_failed, status_on_disk, sync_failed
from era5dl.engine.events import RunEnded, State
from era5dl.engine.progress import FileState
from era5dl.engine.run_state import RunState
from era5dl.engine.shared_folder import may_release
from era5dl.engine.transfer import Transfer
from era5dl.engine.withdrawal import release
from era5dl.errors import DiskError, Era5Error, SessionError
from era5dl.folder.free_space import is_writable
from era5dl.redaction import redact_secrets

log = logging.getLogger("era5dl")

TICK = 0.25  # seconds between rounds of the thread
CHECKPOINT_SHARE = 0.05  # share of the time for checkpoints; most of it is spent waiting for the disk
LONG_CHECKPOINT = 0.05  # seconds; longer checkpoints slow down the writes of the workers
LONG_CHECKPOINT_SHARE = 0.02  # share of the time for long checkpoints
CHECKPOINT_CPU_SHARE = 0.02  # share of the time for the CPU time of checkpoints
MIN_CHECKPOINT_PAUSE = 0.1  # seconds between checkpoints on a fast disk; a kill loses the bytes of this time
MAX_CHECKPOINT_PAUSE = 5.0  # seconds between checkpoints on a slow disk
UNSAVED_LIMIT = 60.0  # seconds without a successful checkpoint before the run ends
GRACE = 1.0  # seconds to wait for the workers after a stop; the network may block a worker for longer


class Maintenance:
    """The maintenance thread of one run, and the audit of files that earlier runs have finished.

    workers_ended: set while no worker thread is alive. set_workers: changes the number of workers.
    """

    def __init__(self, run: RunState, workers_ended: threading.Event, set_workers: Callable[[int], None]) -> None:
        self._run = run
        self._workers_ended = workers_ended
        self._checkpoint_at = time.monotonic()
        self._unsaved_since: float | None = None  # since when no checkpoint could be written
        self._disk = DiskMonitor(run, on_return=self.audit)
        self._connections = ConnectionMonitor(run)
        self._concurrency = ConcurrencyMonitor(run, set_workers)

    def run(self) -> None:
        """Body of the maintenance thread, from the start of the run to RunEnded."""
        try:
            self._disk.check_space_for_run()
            while not self._is_over():
                self._tick()
        except Exception as bug:  # noqa: BLE001 - the run must end and report the error
            self._end_with_bug(bug)
        finally:
            self._finish()

    def audit(self) -> None:
        """Body of the audit thread: check that files finished by earlier runs still exist and have not changed since.

        Missing ones are queued again, and so are changed ones whose bytes can be verified.

        A run does not end successfully before the audit is complete.
        """
        try:
            self._audit()
        except Exception as bug:  # noqa: BLE001 - otherwise the run would never end
            self._end_with_bug(bug)

    def _end_with_bug(self, bug: Exception) -> None:
        log.exception("a thread of the run failed")
        with self._run.locked():
            text = f"internal error: {type(bug).__name__}: {redact_secrets(str(bug))}"
            self._run.end_with_error_locked(Era5Error(text))

    def _audit(self) -> None:
        run = self._run
        run.session.claims.remove_stale()
        with run.lock:
            finished = run.session_state.finished()
        recorded = run.session.finished_files()
        for start, stop in finished:
            for index in range(start, stop):
                if run.is_over:
                    return
                status = status_on_disk(run, index)
                changed = status is not None and index in recorded and not recorded.is_unchanged(index, status)
                if status is None or (changed and run.can_verify(index)):
                    with run.locked():
                        if run.session_state.is_finished(index):  # otherwise it has already been requeued
                            if changed:
                                run.changed.add(index)
                            run.requeue_finished_locked(index)
                elif index not in recorded:  # of an earlier version; later changes shall be noticed
                    with run.lock:
                        run.session_state.record_file(run.finished_file(index, status))
        with run.locked():
            run.audited = True
            run.notify_locked()

    def _is_over(self) -> bool:
        with self._run.lock:
            return self._run.is_over

    def _tick(self) -> None:
        run = self._run
        with run.lock:
            until_checkpoint = self._checkpoint_at - time.monotonic()
            run.run_over.wait(until_checkpoint if 0.0 < until_checkpoint < TICK else TICK)
            now = time.monotonic()
            run.counters.sample(now)
            run.throttle.recover(now)
            for piece in run.scheduler.active_pieces:
                piece.add_sample(now)
        run.session.claims.release_where(lambda index: may_release(run, index))
        self._manage_retry_rounds(now)
        self._connections.check(now)
        self._concurrency.check(now)
        self._disk.check(now)
        if run.session_state.dirty and not run.outage.is_disk and time.monotonic() >= self._checkpoint_at:
            self.checkpoint()

    def _manage_retry_rounds(self, now: float) -> None:
        """Schedule or start a retry round if it is time."""
        run = self._run
        rounds = run.retry_rounds
        with run.locked():
            if run.stopping or run.error or not rounds.pending:
                return
            if rounds.due is None and run.audited and run.scheduler.finished:
                if event := rounds.schedule(
                    now, run.counters.finished, run.counters.total_bytes - run.counters.done_bytes
                ):
                    run.events.put(event)
                run.update_state_locked()
            elif rounds.due is not None and now >= rounds.due and not run.paused_by_user and run.outage.state is None:
                chosen = rounds.start()
                run.counters.set_states(chosen, FileState.FAILED, FileState.WAITING)
                run.scheduler.add(chosen)
                run.update_state_locked()

    def checkpoint(self) -> None:
        """Write the resume file, and set the time of the next checkpoint by the cost of this one."""
        began, cpu_began = time.monotonic(), time.thread_time()
        self._write_checkpoint()
        ended = time.monotonic()
        duration, cpu = ended - began, time.thread_time() - cpu_began
        share = CHECKPOINT_SHARE if duration <= LONG_CHECKPOINT else LONG_CHECKPOINT_SHARE
        pause = max(duration / share, cpu / CHECKPOINT_CPU_SHARE)
        self._checkpoint_at = ended + min(max(pause, MIN_CHECKPOINT_PAUSE), MAX_CHECKPOINT_PAUSE)

    def _write_checkpoint(self) -> None:
        """Sync the part files first, then write the resume file that lists their bytes."""
        run = self._run
        with run.lock:
            run.session_state.dirty = False
            transfers = list(run.scheduler.transfers.values())
        for transfer in transfers:
            self._sync(transfer)
        try:
            checkpoint = run.save_checkpoint()
            self._unsaved_since = None
            run.session.claims.release_where(
                lambda index: index in checkpoint.checked or index in checkpoint.checked_part
            )
        except DiskError as error:
            run.session_state.dirty = True
            self._checkpoint_failed(error)
        except SessionError as error:  # another program has taken over the session
            with run.locked():
                run.end_with_error_locked(error)

    def _sync(self, transfer: Transfer) -> None:
        try:
            if transfer.prepared and transfer.part is not None:
                transfer.part.sync()
        except DiskError as error:
            sync_failed(self._run, transfer, error)

    def _checkpoint_failed(self, error: DiskError) -> None:
        """Handle a resume file that could not be written; the previous one is still valid. If other files can be
        written, the run continues for at most UNSAVED_LIMIT seconds."""
        run, now = self._run, time.monotonic()
        try:
            run.check_folder()
            works = is_writable(run.session.folder)
        except DiskError as folder:
            error, works = folder, False
        if self._unsaved_since is None:
            self._unsaved_since = now
        log.warning("the resume file could not be written: %s", error)
        with run.locked():
            if run.is_over:
                return
            if not works:
                disk_failed(run, error)
            elif now - self._unsaved_since >= UNSAVED_LIMIT:
                run.end_with_error_locked(error)

    def _finish(self) -> None:
        run = self._run
        with run.locked():
            run.abort_all_locked("the run ends")
            run.outage.stop_probing()
            run.notify_locked()
        self._workers_ended.wait(GRACE)
        with contextlib.suppress(Exception):  # RunEnded must be emitted even if the last checkpoint fails
            self.checkpoint()
        run.session.claims.release_all()
        release(run, frozenset(run.held))  # a hold ends with its run
        with run.locked():
            counts = run.counters.counts
            run.state = State.ENDED
            run.events.put(
                RunEnded(
                    verified=counts[FileState.VERIFIED],
                    checked=counts[FileState.CHECKED],
                    failed=counts[FileState.FAILED],
                    unfinished=counts[FileState.WAITING] + counts[FileState.ACTIVE],
                    stopped=run.stopping,
                    error=run.error,
                    remedy=run.remedy,
                    kind=run.kind,
                    checked_part=counts[FileState.CHECKED_PART],
                )
            )
