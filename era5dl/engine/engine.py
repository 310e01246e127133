"""The download engine: one run of one session on threads, its commands and its snapshot.

    plan -> scheduler -> job -> worker thread -> bucket -> part file -> verification -> final file

Threads: worker threads do the jobs that the scheduler assigns (`worker`, `dispatch`); a maintenance thread writes
checkpoints and ends the run (`maintenance`); an audit thread checks once that the files of earlier runs still exist;
and during a network outage a prober requests an object until the bucket answers (`outage`). They share a `RunState`
under one lock. All are daemon threads, and no command joins them: a thread may be blocked in a DNS look-up, which
cannot be interrupted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Literal

from era5dl import thread_registry
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.engine import withdrawal
from era5dl.engine.concurrency import AutoConcurrency
from era5dl.engine.events import Event, FewerWorkers, Listener, RunEnded, State, ignore
from era5dl.engine.maintenance import Maintenance
from era5dl.engine.progress import FINISHED, ActiveFile, FileState, Snapshot
from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Transfer
from era5dl.engine.worker import work
from era5dl.errors import OutOfThreads
from era5dl.session import Session
from era5dl.settings import AUTO, MAX_AUTO_WORKERS, Settings


class Engine:
    """One run of one session. To run the session again, create a new engine.

    bucket: the source of the objects. session: what to download into which folder, and its progress; the caller keeps
    it open until the run has ended. settings: the engine uses workers, rate_limit, retries, verify, opaque_etags,
    read_back and disk_reserve. on_event: called on any thread; see `era5dl.engine.events`. only: indices in the plan of
    the objects to download, if they are not finished; None for all.

    Commands return at once. They do not raise errors of the network or the disk: events report these.
    """

    def __init__(
        self,
        bucket: Bucket,
        session: Session,
        settings: Settings,
        on_event: Listener = ignore,
        *,
        only: Collection[int] | None = None,
    ) -> None:
        self._listener = on_event
        self._run = RunState(bucket, session, settings, self._on_event, only)
        self._started = False
        self._workers: set[int] = set()  # numbers of the worker threads that are alive
        self._no_workers = threading.Event()
        self._no_workers.set()
        self._ended = threading.Event()
        self._maintenance = Maintenance(self._run, self._no_workers, self._apply_workers)
        self.result: RunEnded | None = None

    # Commands

    def start(self) -> None:
        """Start the run; it continues from the session's progress. Commands given before stay in effect.

        Raises OutOfThreads if not even the maintenance thread can be started. If only some of the workers can be
        started, the run continues with fewer workers.
        """
        with self._run.locked():
            if self._started:
                return
            self._started = True
            self._start_thread(self._maintenance.run, "maintenance")  # first, because it reports the end of the run
            self._run.update_state_locked()
            try:
                self._start_thread(self._maintenance.audit, "audit")
                self._start_workers_locked()
            except OutOfThreads as error:
                self._run.end_with_error_locked(error)

    def pause(self) -> None:
        """Make no requests until `resume`. The bytes received so far are kept."""
        with self._run.locked():
            self._run.paused_by_user = True
            self._run.abort_all_locked("paused")
            self._run.update_state_locked()

    def resume(self) -> None:
        """Continue after `pause`. If only held objects remain, release them."""
        if self._run.state is State.PAUSED and self._run.only_held:
            self.release(self._run.held)
        with self._run.locked():
            if self._run.paused_by_user:
                self._run.paused_by_user = False
                self._run.update_state_locked()

    def stop(self) -> None:
        """End the run; a later run can resume the session. When `wait` returns, the resume file has been written."""
        with self._run.locked():
            self._run.stopping = True
            self._run.abort_all_locked("stopped")
            self._run.update_state_locked()

    def retry_failed(self, only: Collection[int] | None = None) -> None:
        """Queue the failed objects again: all of them, or these (indices in the plan)."""
        run = self._run
        with run.locked():
            if run.is_over:
                return
            states = run.counters.states
            chosen = frozenset(range(len(states)) if only is None else only)
            for index, state in enumerate(states):
                if state == FileState.FAILED and index in chosen:
                    run.counters.set_state(index, FileState.WAITING)
                    run.scheduler.add([index])
            run.session_state.forget_failures(chosen)
            run.retry_rounds.remove(chosen)
            run.update_state_locked()
            run.notify_locked()

    def promote(self, indices: Collection[int]) -> None:
        """Move these objects to the front of the queue. Those being downloaded are not affected."""
        with self._run.locked():
            self._run.scheduler.promote(frozenset(indices))
            self._run.notify_locked()

    def hold(self, indices: Collection[int]) -> None:
        """Pause these objects (indices in the plan), whether waiting or being downloaded. Their bytes are kept.

        If only held objects remain, the run is PAUSED. A hold ends with the run (`withdrawal` explains why).
        """
        withdrawal.hold(self._run, indices)

    def release(self, indices: Collection[int]) -> None:
        """Queue held objects again."""
        withdrawal.release(self._run, indices)

    def set_workers(self, workers: int | Literal["auto"]) -> None:
        """Change the number of concurrent requests. Raises UsageError for a number that is not allowed."""
        run = self._run
        with run.locked():
            run.settings = replace(run.settings, workers=workers)
            if workers == AUTO:
                run.concurrency = AutoConcurrency(MAX_AUTO_WORKERS, run.workers)
            else:
                run.concurrency = None
                self._apply_workers(workers)

    def set_rate_limit(self, limit: int | str | None) -> None:
        """Limit the rate of all workers together: bytes per second, or a timetable (`rate_timetable`); None or 0 for
        no limit. Raises UsageError."""
        self._run.rate_limit.set(limit)

    # Questions

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run, at most `timeout` seconds. Return whether it has ended; then `result` is set."""
        return self._ended.wait(timeout)

    def snapshot(self) -> Snapshot:
        """Return the current state and progress."""
        run = self._run
        now = time.monotonic()
        with run.lock:
            counters, counts = run.counters, run.counters.counts
            counters.sample(now)
            running = run.state is State.RUNNING
            return Snapshot(
                state=run.state,
                reason=run.reason,
                total_files=len(counters.states),
                done_files=counters.finished,
                verified_files=counts[FileState.VERIFIED],
                checked_files=counts[FileState.CHECKED],
                failed_files=counts[FileState.FAILED],
                held_files=counts[FileState.HELD],
                checked_part_files=counts[FileState.CHECKED_PART],
                total_bytes=counters.total_bytes,
                done_bytes=counters.done_bytes,
                fetched_bytes=counters.fetched_bytes,
                written_bytes=counters.disk_bytes,
                speed=counters.speed(now) if running else 0.0,
                time_left=counters.time_left(now) if running else None,
                elapsed=now - counters.began,
                active=tuple(
                    _active_file(t, run.scheduler.sizes[t.index], now)
                    for t in run.scheduler.transfers.values()
                    if _is_active(t)
                ),
                workers=run.workers,
                auto=run.concurrency is not None,
                workers_reason=run.concurrency.reason.value if run.concurrency is not None else "",
                allowed=run.throttle.allowed,
                in_flight=len(run.scheduler.active_pieces),
                rate_limit=run.rate_limit.rate,
                retries=counters.retries,
                throttles=run.throttle.count,
                barren_attempts=counters.barren_attempts,
            )

    def states(self) -> bytes:
        """Return one byte per object, in the order of the plan: its `FileState`."""
        with self._run.lock:
            return bytes(self._run.counters.states)

    def subset_sizes(self) -> dict[int, int]:
        """Return the sizes of files of which only a subset is wanted, by their indices in the plan, in bytes.

        Of a finished file it is the size on disk, of others how much is to be fetched: estimated, if not prepared.
        """
        run = self._run
        with run.lock:
            return {
                index: run.file_size(index) if state in FINISHED else run.scheduler.sizes[index]
                for index, state in enumerate(run.counters.states)
                if not run.session.paths.subset(index).is_everything
            }

    def objects(self) -> list[ObjectInfo]:
        """Return the objects of the plan, in the versions that were downloaded."""
        with self._run.lock:
            return [self._run.object(index) for index in range(len(self._run.session.plan.objects))]

    # Threads and events

    def _apply_workers(self, workers: int) -> None:
        """Start or end worker threads until their number is `workers`."""
        run = self._run
        with run.locked():
            run.workers = workers
            run.throttle.set_workers(workers)
            for abort in list(run.aborts.values())[workers:]:  # the newest: older connections have become fast
                abort.trigger("fewer workers")
            if self._started:
                self._start_workers_locked()
            run.notify_locked()

    def _start_workers_locked(self) -> None:
        """Start the missing worker threads. Raises OutOfThreads if not even one can be started."""
        run = self._run
        for number in range(run.workers):
            if number in self._workers:
                continue
            try:
                self._start_thread(work, f"worker-{number}", run, number, self._on_worker_exit)
            except OutOfThreads as error:
                if number == 0:
                    raise
                run.events.put(FewerWorkers(number, run.workers, str(error), error.remedy, error.kind))
                run.workers = number
                run.throttle.set_workers(number)
                return
            self._workers.add(number)
            self._no_workers.clear()

    def _start_thread(self, target: Callable[..., None], name: str, *args: object) -> None:
        thread_registry.start_thread(
            threading.Thread(target=target, args=args, name=f"era5dl-{name}", daemon=True), self.stop
        )

    def _on_worker_exit(self, number: int) -> None:
        with self._run.lock:
            self._workers.discard(number)
            if not self._workers:
                self._no_workers.set()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, RunEnded):
            self.result = event
        try:
            self._listener(event)
        finally:
            if isinstance(event, RunEnded):
                self._ended.set()


def _is_active(transfer: Transfer) -> bool:
    return not transfer.claimed_by and (not transfer.idle or not transfer.prepared)


def _active_file(transfer: Transfer, size: int, now: float) -> ActiveFile:
    return ActiveFile(
        index=transfer.index,
        key=transfer.obj.key,
        size=size,
        done=transfer.counted_bytes,
        speed=sum(piece.speed(now) for piece in transfer.active),
        connections=len(transfer.active),
        proving=transfer.verifying or not transfer.prepared,
    )
