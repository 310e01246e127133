"""A plan on threads. Commands return at once; facts come through the listener, numbers through `snapshot`.

The threads: `workers` of them fetch and prove, one keeper writes checkpoints and sees the end, one looks once over what
was finished before, and while the network is away there is one prober.  All are daemons, and no command joins one: a
thread may sit in a DNS look-up that nothing can end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from era5dl import thread_registry
from era5dl.bucket.interface import Bucket
from era5dl.engine.events import Event, FewerWorkers, Listener, RunEnded, State, ignore
from era5dl.engine.hold import hold, release
from era5dl.engine.maintenance import Maintenance
from era5dl.engine.progress import ActiveFile, FileState, Snapshot
from era5dl.engine.run import Run
from era5dl.engine.transfer import Transfer
from era5dl.engine.worker import work
from era5dl.errors import OutOfThreads
from era5dl.session import Session
from era5dl.settings import Settings


class Engine:
    """One run of one session; make a new one to run it again.

    bucket: where the bytes come from. session: what to fetch and where to, and what is there already; the caller
    keeps it open until the run has ended. settings: of these only workers, rate_limit, retries, verify, opaque_etags,
    read_back and disk_reserve concern the engine. on_event: called on whatever thread; see `era5dl.engine.events`.
    only: of what is not finished, fetch nothing but these objects (places in the plan).
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
        self._run = Run(bucket, session, settings, self._hear, only)
        self._started = False
        self._threads: set[int] = set()
        self._no_workers = threading.Event()
        self._no_workers.set()
        self._ended = threading.Event()
        self._maintenance = Maintenance(self._run, self._no_workers)
        self.result: RunEnded | None = None

    # Commands: each returns at once

    def start(self) -> None:
        """Begin, or go on where an earlier run of the session ended. What was commanded before holds.

        Raises OutOfThreads where nothing can begin at all. With fewer threads than workers, those that there are do it.
        """
        with self._run.locked():
            if self._started:
                return
            self._started = True
            self._begin_thread(self._maintenance.run, "keeper")  # it sees the end, so that every run has one
            self._run.update_state_locked()
            try:
                self._begin_thread(self._maintenance.audit, "audit")
                self._hire_locked()
            except OutOfThreads as error:
                self._run.end_with_error_locked(error)

    def pause(self) -> None:
        """Stop asking for bytes, until `resume`. What has come is kept."""
        with self._run.locked():
            self._run.paused_by_user = True
            self._run.abort_all_locked("paused")
            self._run.update_state_locked()

    def resume(self) -> None:
        """Go on after `pause`; and where only held objects are left, go on with these."""
        if self._run.state is State.PAUSED and self._run.only_held:
            self.release(self._run.held)
        with self._run.locked():
            if self._run.paused_by_user:
                self._run.paused_by_user = False
                self._run.update_state_locked()

    def stop(self) -> None:
        """End the run; another one can go on from here. `wait` tells when the resume file is written."""
        with self._run.locked():
            self._run.stopping = True
            self._run.abort_all_locked("stopped")
            self._run.update_state_locked()

    def retry_failed(self, only: Collection[int] | None = None) -> None:
        """Try the objects that have failed once more: all of them, or those of these places in the plan."""
        run = self._run
        wanted = None if only is None else frozenset(only)
        with run.locked():
            if run.is_over:
                return
            for index, state in enumerate(run.counters.states):
                if state == FileState.FAILED and (wanted is None or index in wanted):
                    run.counters.set_state(index, FileState.WAITING)
                    run.scheduler.add([index])
            kept = [] if wanted is None else [failure for failure in run.failures if failure.index not in wanted]
            run.failures.clear()
            run.failures.extend(kept)
            run.retry_rounds.remove(range(len(run.counters.states)) if wanted is None else wanted)
            run.update_state_locked()
            run.notify_locked()

    def promote(self, indices: Collection[int]) -> None:
        """Of the objects that wait for their turn, fetch these next. Those under way go on."""
        with self._run.locked():
            self._run.scheduler.promote(frozenset(indices))
            self._run.notify_locked()

    def hold(self, indices: Collection[int]) -> None:
        """Pause these objects (places in the plan), whether they wait or are under way; their bytes are kept, and
        nothing waits for them. When all that is left is held, the run is PAUSED and says so. A hold ends with the run:
        see `era5dl.engine.hold` for why."""
        hold(self._run, indices)

    def release(self, indices: Collection[int]) -> None:
        """Let held objects have their turn again."""
        release(self._run, indices)

    def set_workers(self, workers: int) -> None:
        """How many requests at once, from now on."""
        run = self._run
        with run.locked():
            run.settings = replace(run.settings, workers=workers)  # raises UsageError for nonsense
            surplus = len(run.aborts) - workers
            run.workers = workers
            run.throttle.set_workers(workers)
            for abort in list(run.aborts.values())[: max(surplus, 0)]:
                abort.trip("fewer workers")
            if self._started:
                self._hire_locked()
            run.notify_locked()

    def set_rate_limit(self, bytes_per_second: int | None) -> None:
        """For all workers together; None or 0 for no limit."""
        self._run.rate_limit.set(bytes_per_second or None)

    # Questions

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, `timeout` seconds at most. True when the run has ended; `result` says how."""
        return self._ended.wait(timeout)

    def snapshot(self) -> Snapshot:
        """The numbers of this moment."""
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
                done_files=counts[FileState.VERIFIED] + counts[FileState.CHECKED],
                verified_files=counts[FileState.VERIFIED],
                checked_files=counts[FileState.CHECKED],
                failed_files=counts[FileState.FAILED],
                held_files=counts[FileState.HELD],
                total_bytes=counters.total_bytes,
                done_bytes=counters.done_bytes,
                fetched_bytes=counters.fetched_bytes,
                speed=counters.speed(now) if running else 0.0,
                time_left=counters.time_left(now) if running else None,
                elapsed=now - counters.began,
                active=tuple(_active(t, now) for t in run.scheduler.transfers.values() if _is_active(t)),
                workers=run.workers,
                allowed=run.throttle.allowed,
                in_flight=len(run.scheduler.active_pieces),
                rate_limit=run.rate_limit.rate,
                retries=counters.retries,
                throttles=run.throttle.count,
                barren_attempts=counters.barren_attempts,
            )

    def states(self) -> bytes:
        """One byte an object, in the order of the plan: a `counters.FileState`."""
        with self._run.lock:
            return bytes(self._run.counters.states)

    # Inside

    def _hire_locked(self) -> None:
        """Start the worker threads that are missing; where the system gives fewer, fewer do it. Raises OutOfThreads
        when there is none at all."""
        run = self._run
        for number in range(run.workers):
            if number in self._threads:
                continue
            try:
                self._begin_thread(work, f"worker-{number}", run, number, self._left)
            except OutOfThreads as error:
                if number == 0:
                    raise
                run.events.put(FewerWorkers(number, run.workers, str(error), error.remedy, error.kind))
                run.workers = number
                run.throttle.set_workers(number)
                return
            self._threads.add(number)
            self._no_workers.clear()

    def _begin_thread(self, target: Callable[..., None], name: str, *args: object) -> None:
        thread_registry.start_thread(
            threading.Thread(target=target, args=args, name=f"era5dl-{name}", daemon=True), self.stop
        )

    def _left(self, number: int) -> None:
        """A worker is done."""
        with self._run.lock:
            self._threads.discard(number)
            if not self._threads:
                self._no_workers.set()

    def _hear(self, event: Event) -> None:
        if isinstance(event, RunEnded):
            self.result = event
        try:
            self._listener(event)
        finally:
            if isinstance(event, RunEnded):
                self._ended.set()


def _is_active(transfer: Transfer) -> bool:
    return not transfer.claimed_by and (not transfer.idle or not transfer.prepared)


def _active(transfer: Transfer, now: float) -> ActiveFile:
    return ActiveFile(
        index=transfer.index,
        key=transfer.obj.key,
        size=transfer.obj.size,
        done=transfer.counted_bytes,
        speed=sum(piece.speed(now) for piece in transfer.active),
        connections=len(transfer.active),
        proving=transfer.verifying or not transfer.prepared,
    )
