"""Downloads the blocks of a plan on the workers of a Dask cluster. The only module that imports `distributed`.

The driver gives each worker one block at a time, since two engines in one process would share its connections and its
rate limit. A block whose worker ends is given to another one; the grant of its lock says that the first one is dead.
Workers report by events of a topic, and receive orders by `Client.run`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, Future, LocalCluster, get_worker

import era5dl
from era5dl.cluster.gather import Gathered, gather_into, snapshot_of
from era5dl.cluster.run_block import BlockResult, Hooks, run_block
from era5dl.engine.progress import Snapshot
from era5dl.errors import (
    ClusterError,
    Era5Error,
    NodeUnfit,
    NoWorkers,
    SessionBusy,
    UsageError,
    VersionDiffers,
    WorkersLost,
)
from era5dl.folder.paths import OWN_FOLDER
from era5dl.locks.owner import Grant
from era5dl.session import Session
from era5dl.session.blocks import Run, exists, find_run
from era5dl.settings import Settings

MAX_ATTEMPTS = 5  # of one block whose workers end, or fail with an error
WORKER_TIMEOUT = 60.0  # seconds without any usable worker
STOP_TIMEOUT = 15.0  # seconds for all workers to save their progress
_POLL_INTERVAL = 0.2  # seconds
_SURVEY_INTERVAL = 1.0  # seconds between looks at the list of workers
_SAVE_INTERVAL = 30.0  # seconds between saves of the whole progress
_UNUSABLE = "closing", "closing_gracefully", "closed", "failed"
_log = logging.getLogger("era5dl")
_rates: dict[str, int] = {}  # on a worker: bytes per second of its block, by the id of the run
_stopping: set[str] = set()  # on a worker: ids of runs that have to stop


@dataclass(frozen=True, slots=True)
class ClusterRun:
    """How a run on a cluster ended. error: why it ended early, or "". Sizes in bytes, times in seconds.

    moved: blocks that were given to another worker. excluded: computers that were not used, with the reason.
    """

    gathered: Gathered
    last: Snapshot
    stopped: bool
    error: str
    remedy: str
    kind: str
    moved: int
    excluded: Mapping[str, str]


@contextlib.contextmanager
def connect(where: str) -> Iterator[Client]:
    """Context manager for a client of a cluster.

    where: the address of a scheduler, its scheduler file, or "local:N" for N workers on this computer. Raises NoWorkers
    if there is no scheduler, UsageError.
    """
    name, _, count = where.partition(":")
    if name == "local":
        if not count.isdecimal() or not 1 <= int(count) <= 64:
            raise UsageError(f"{where!r} is not a number of workers.", remedy="Use for example local:4.")
        options = {"n_workers": int(count), "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(**options, silence_logs=logging.ERROR) as cluster, Client(cluster) as client:
            yield client
        return
    how = {"scheduler_file": where} if Path(where).is_file() else {"address": where}
    try:
        client = Client(**how, timeout="10s")
    except (OSError, TimeoutError, ValueError) as exc:
        raise NoWorkers(
            f"no Dask scheduler answers at {where}: {exc}", remedy="Check the address, and that the scheduler runs."
        ) from exc
    with client:
        yield client


def run_on_dask(
    session: Session,
    run: Run,
    client: Client,
    settings: Settings,
    *,
    progress: Callable[[Snapshot], None] = lambda _: None,
    note: Callable[[str], None] = _log.warning,
    stop_requested: Callable[[], bool] = lambda: False,
) -> ClusterRun:
    """Download all blocks of a run. session: that of the whole plan, which this process holds.

    settings: `rate_limit` is that of all workers together. progress: receives the progress of all workers as that of
    one run. note: receives messages for the user. Raises NoWorkers, VersionDiffers or UsageError before the start; a
    later error is in the result.
    """
    if client.asynchronous:
        raise UsageError("The client is asynchronous.", remedy="Use Client(..., asynchronous=False).")
    if isinstance(settings.rate_limit, str):
        raise UsageError("A timetable cannot be divided among workers.", remedy="Use one rate, such as 200M.")
    return _Driver(session, run, client, settings, note).run(progress, stop_requested)


@dataclass(slots=True)
class _Task:
    """A block on a worker."""

    block: int
    worker: str
    future: Future


class _Driver:
    """Gives blocks to workers until all have ended."""

    def __init__(self, session: Session, run: Run, client: Client, settings: Settings, note: Callable[[str], None]):
        self._session, self._run, self._client, self._settings, self._note = session, run, client, settings, note
        self._topic = f"era5dl-{run.id}-{os.getpid()}"
        self._gathered = gather_into(session, run)
        self._waiting = [block.number for block in self._gathered.blocks if not block.ended or block.failed]
        self._tasks: dict[str, _Task] = {}  # by worker
        self._attempts = dict.fromkeys(self._waiting, 0)
        self._known: set[str] = set()  # workers that can be used
        self._excluded: dict[str, str] = {}  # by worker: why it is not used
        self._share = 0
        self._fetched = 0  # bytes of blocks that are not running any more
        self._reports: dict[int, dict[str, float]] = {}  # the newest of each block
        self._ended: SimpleQueue[Future] = SimpleQueue()
        self._moved = 0
        self._began = self._saved_at = self._last_worker_at = time.monotonic()
        self._error: Era5Error | None = None

    def run(self, progress: Callable[[Snapshot], None], stop_requested: Callable[[], bool]) -> ClusterRun:
        self._client.subscribe_topic(self._topic, self._hear)
        stopped = False
        try:
            survey_at = 0.0
            while (self._waiting or self._tasks) and self._error is None and not stopped:
                stopped = stop_requested()
                if time.monotonic() >= survey_at:
                    survey_at = time.monotonic() + _SURVEY_INTERVAL
                    self._survey()
                    progress(self._snapshot())
                self._assign()
                self._take_results()
        except OSError as exc:  # the connection to the scheduler
            self._error = WorkersLost(f"the Dask scheduler does not answer: {exc}")
        finally:
            with contextlib.suppress(OSError):
                self._stop_workers()
                self._client.unsubscribe_topic(self._topic)
            self._gathered = gather_into(self._session, self._run)
        self._reports = {number: {**report, "done": 0, "files": 0} for number, report in self._reports.items()}
        last = replace(self._snapshot(), written_bytes=_written_bytes(self._session))
        progress(last)
        error = self._error
        text = (str(error), error.remedy, error.kind) if error is not None else ("", "", "")
        return ClusterRun(self._gathered, last, stopped, *text, self._moved, dict(self._excluded))

    def _hear(self, event: tuple[float, Any]) -> None:
        """Note a report of a worker. Called on the thread of the client's event loop."""
        report = event[1]
        if isinstance(report, dict) and "block" in report:
            self._reports[report["block"]] = report

    def _survey(self) -> None:
        """Look which workers there are, examine new ones, and give the blocks of lost ones away."""
        present = _workers(self._client)
        for lost in self._tasks.keys() - present:
            task = self._tasks.pop(lost)
            task.future.cancel()
            self._give_back(task.block, f"worker {lost} has ended")
        self._known &= present
        new = present - self._known - self._excluded.keys()
        if new:
            self._examine(sorted(new))
        if self._known:
            self._last_worker_at = time.monotonic()
        elif time.monotonic() - self._last_worker_at > WORKER_TIMEOUT:
            self._error = WorkersLost("the cluster has no worker any more") if self._moved else self._no_workers()
        self._divide_rate()
        if time.monotonic() - self._saved_at > _SAVE_INTERVAL:
            self._saved_at = time.monotonic()
            self._gathered = gather_into(self._session, self._run)

    def _no_workers(self) -> ClusterError:
        """Return the error for a cluster of which no worker can be used."""
        reasons = dict(self._excluded)
        if reasons and all("version" in reason for reason in reasons.values()):
            return VersionDiffers("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
        return NoWorkers("; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or "")

    def _examine(self, workers: list[str]) -> None:
        """Exclude workers with another version, or on computers where the download folder is not mounted."""
        folder, run = str(self._run.folder), self._run.id
        answers = self._client.run(_describe, folder, run, era5dl.__version__, workers=workers, on_error="return")
        for worker in workers:
            answer = answers.get(worker)
            if isinstance(answer, str):
                reason = answer
            elif isinstance(answer, (ImportError, AttributeError)):
                reason = f"another version of era5dl, or none ({answer})"
            else:
                continue  # it has ended meanwhile, or does not answer; it will be asked again
            if reason:
                self._exclude(worker, reason)
            else:
                self._known.add(worker)

    def _exclude(self, worker: str, reason: str) -> None:
        self._known.discard(worker)
        self._excluded[worker] = reason
        self._note(f"{worker} is not used: {reason}")
        if not self._known and not self._tasks and self._excluded.keys() >= _workers(self._client):
            self._error = self._no_workers()

    def _assign(self) -> None:
        """Give a block to each free worker."""
        for worker in sorted(self._known - self._tasks.keys()):
            if not self._waiting:
                return
            block = self._waiting.pop(0)
            scheduler = self._client.scheduler_info()["id"]
            grant = Grant(f"dask:{scheduler}:{self._run.id}:{block}"[:255], self._attempts[block])
            settings = replace(self._settings, rate_limit=self._share or self._settings.rate_limit)
            future = self._client.submit(
                _run_on_worker,
                *(str(self._run.folder), self._run.id, self._run.plan.digest, block, settings, grant, self._topic),
                key=f"{self._topic}-{block}-{self._attempts[block]}",
                workers=[worker],
                allow_other_workers=False,
                pure=False,
                retries=0,
            )
            self._tasks[worker] = _Task(block, worker, future)
            future.add_done_callback(self._ended.put)

    def _take_results(self) -> None:
        """Wait for a moment for a block that has ended, and handle it."""
        try:
            future = self._ended.get(timeout=_POLL_INTERVAL)
        except Empty:
            return
        task = next(
            (task for task in self._tasks.values() if task.future is future or task.future.key == future.key), None
        )
        if task is None:
            return  # its worker was lost
        del self._tasks[task.worker]
        if future.status != "finished":
            self._give_back(task.block, f"worker {task.worker} has ended")
            return
        outcome = future.result()
        if isinstance(outcome, Era5Error):
            if not isinstance(outcome, SessionBusy):
                self._exclude(task.worker, str(outcome))
            self._give_back(task.block, str(outcome), outcome)
            return
        self._count(task.block)
        if outcome.error:
            self._give_back(task.block, outcome.error, ClusterError(outcome.error, remedy=outcome.remedy))
        elif outcome.stopped and outcome.unfinished:
            self._give_back(task.block, f"worker {task.worker} is closing")

    def _give_back(self, block: int, reason: str, error: Era5Error | None = None) -> None:
        """Let another worker continue a block, unless that has been tried too often."""
        self._count(block)
        self._attempts[block] += 1
        self._moved += 1
        self._note(f"block {block} is given to another worker: {reason}")
        if self._attempts[block] >= MAX_ATTEMPTS:
            self._error = error or WorkersLost(f"block {block} was given to {MAX_ATTEMPTS} workers, and all have ended")
        self._waiting.insert(0, block)

    def _divide_rate(self) -> None:
        """Give each running block an equal share of the rate limit."""
        limit = self._settings.rate_limit
        if not isinstance(limit, int):
            return
        busy = max(min(len(self._known), len(self._tasks) + len(self._waiting)), 1)
        share = max(limit // busy, 1)
        if share != self._share:
            self._share = share
            self._client.run(_set_rate, self._run.id, share, workers=sorted(self._known), on_error="ignore")

    def _stop_workers(self) -> None:
        """Let all workers save their progress, and wait for them."""
        if not self._tasks:
            return
        self._client.run(_request_stop, self._run.id, workers=sorted(self._known), on_error="ignore")
        give_up = time.monotonic() + STOP_TIMEOUT
        while self._tasks and time.monotonic() < give_up:
            for worker, task in list(self._tasks.items()):
                if task.future.done() or worker not in _workers(self._client):
                    del self._tasks[worker]
                    self._count(task.block)
            time.sleep(_POLL_INTERVAL)

    def _count(self, block: int) -> None:
        """Count the received bytes of a block that does not run any more."""
        report = self._reports.get(block)
        if report is not None:
            self._fetched += int(report["fetched"])
            self._reports[block] = {**report, "fetched": 0, "speed": 0}

    def _snapshot(self) -> Snapshot:
        """Return the progress of all workers as that of one run."""
        reports = dict(self._reports)
        whole = snapshot_of(
            self._gathered,
            elapsed=time.monotonic() - self._began,
            fetched=self._fetched + int(sum(report["fetched"] for report in reports.values())),
            speed=sum(report["speed"] for report in reports.values()),
            workers=len(self._tasks),
        )
        saved = {block.number: block for block in self._gathered.blocks}
        newer = [(report, saved[number]) for number, report in reports.items() if number in saved]
        done = whole.done_bytes + sum(max(int(report["done"]) - block.done_bytes, 0) for report, block in newer)
        files = sum(max(int(report["files"]) - block.done_files, 0) for report, block in newer)
        return replace(
            whole,
            done_bytes=min(done, whole.total_bytes),
            done_files=whole.done_files + files,
            verified_files=whole.verified_files + files,
        )


def _written_bytes(session: Session) -> int:
    """Return the size of the finished files of a session, as far as it is recorded."""
    recorded = session.finished_files()
    finished = (index for span in session.checkpoint.finished for index in range(*span))
    return sum(recorded.size(index) for index in finished if index in recorded)


def _workers(client: Client) -> set[str]:
    """Return the addresses of all workers."""
    return set(client.scheduler_info(n_workers=-1)["workers"])


@lru_cache(maxsize=2)
def _cached_run(folder: str, run: str, digest: str) -> Run:
    """Read a run once per worker. digest: of its plan."""
    found = find_run(Path(folder), run)
    if found.plan.digest != digest:
        raise VersionDiffers("the run was prepared again meanwhile", remedy="Run the same command again.")
    return found


def _describe(folder: str, run: str, version: str) -> str:
    """Return why this worker cannot be used; "" if it can. Forgets orders of an earlier driver."""
    if version != era5dl.__version__:
        return f"version {era5dl.__version__} of era5dl, not {version}"
    _stopping.discard(run)
    _rates.pop(run, None)
    return _unfit(folder, run)


def _unfit(folder: str, run: str) -> str:
    """Return why this computer cannot be used: the folder is not mounted; "" if it can."""
    if exists(Path(folder) / OWN_FOLDER, run):
        return ""
    return f"{folder} is not the download folder on {socket.gethostname()}; mount it there"


def _set_rate(run: str, rate: int) -> None:
    _rates[run] = rate


def _request_stop(run: str) -> None:
    _stopping.add(run)


def _run_on_worker(
    folder: str, run: str, digest: str, block: int, settings: Settings, grant: Grant, topic: str
) -> BlockResult | Era5Error:
    """Download a block on a worker. Errors are returned: a raised one would be tried again by Dask."""
    worker = get_worker()

    def report(snapshot: Snapshot) -> None:
        numbers = {"done": snapshot.done_bytes, "fetched": snapshot.fetched_bytes, "speed": snapshot.speed}
        worker.log_event(topic, {"block": block, "files": snapshot.done_files, **numbers})

    def stop_requested() -> bool:
        return run in _stopping or worker.status.name in _UNUSABLE

    try:
        if reason := _unfit(folder, run):
            raise NodeUnfit(reason)
        found = _cached_run(folder, run, digest)
        return run_block(
            found, block, settings, grant=grant, hooks=Hooks(report, stop_requested, lambda: _rates.get(run))
        )
    except Era5Error as error:
        return error
