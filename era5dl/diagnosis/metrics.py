"""Metrics: one sample of the process and its run every two seconds; a ring buffer keeps the last hour.

A separate thread queries the system, so that the display never waits for it. With 40 open files and 32 connections on
Linux a sample takes 0.1 ms, plus the kernel's time to list connections (at most 8 ms, with the GIL released). An hour
of samples takes 0.9 MB of memory.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from era5dl import thread_registry as threads
from era5dl.diagnosis.measured_bucket import RequestMetrics, Traffic
from era5dl.engine.progress import Snapshot
from era5dl.errors import OutOfThreads

EVERY = 2.0  # seconds between samples
KEPT = 1800  # samples of one hour


@dataclass(frozen=True, slots=True)
class Process:
    """Resources of this process; None if the system does not report a number.

    open_files: on Windows, handles of all kinds.
    """

    established: int | None  # TCP connections
    closing: int | None  # TCP connections being closed; a large number for a long time indicates a leak
    rss: int  # bytes
    open_files: int | None
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """State at one moment. at: `time.monotonic()`. Speeds in bytes per second, times in seconds.

    retries, throttles, failed_attempts (without a new byte) and the first-byte latencies cover the time since the
    previous sample.
    """

    at: float
    process: Process
    running: bool
    speed: float = 0.0
    in_flight: int = 0
    allowed: int = 0
    workers: int = 0
    workers_reason: str = ""  # as in `Snapshot`
    rate_limit: int | None = None
    retries: int = 0
    throttles: int = 0
    failed_attempts: int = 0
    first_byte_p50: float | None = None
    first_byte_p95: float | None = None
    traffic: Traffic | None = None


class Metrics:
    """Ring buffer of samples, filled by a thread between `start` and `stop`.

    snapshot: returns the snapshot of the run, None while there is no run. requests: metrics of the run's bucket.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        requests: RequestMetrics | None = None,
        *,
        every: float = EVERY,
    ) -> None:
        self._snapshot = snapshot
        self._requests = requests
        self._every = every
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._previous: Snapshot | None = None
        self._process = psutil.Process()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the sampling thread."""
        with suppress(OutOfThreads):  # a download works without metrics
            threads.start_thread(threading.Thread(target=self._run, name="era5dl-metrics", daemon=True), self.stop)

    def stop(self) -> None:
        """Make the sampling thread end. Returns at once."""
        self._stopped.set()

    def history(self) -> tuple[Sample, ...]:
        """Return all samples of the last hour, the oldest first."""
        while True:
            try:
                return tuple(self._samples)
            except RuntimeError:  # noqa: PERF203 - a sample was added during the copy
                continue

    def sample(self) -> Sample:
        """Take a sample now, store it and return it."""
        run = self._snapshot()
        latencies = self._requests.latencies() if self._requests else []
        traffic = self._requests.traffic() if self._requests else None
        process = measure(self._process)
        now, previous = time.monotonic(), self._previous
        if run is None:
            taken = Sample(now, process, running=False, traffic=traffic)
        else:
            taken = Sample(
                now,
                process,
                running=True,
                speed=run.speed,
                in_flight=run.in_flight,
                allowed=run.allowed,
                workers=run.workers,
                workers_reason=run.workers_reason,
                rate_limit=run.rate_limit,
                retries=_increase(run.retries, previous.retries if previous else None),
                throttles=_increase(run.throttles, previous.throttles if previous else None),
                failed_attempts=_increase(run.barren_attempts, previous.barren_attempts if previous else None),
                first_byte_p50=quantile(latencies, 0.5),
                first_byte_p95=quantile(latencies, 0.95),
                traffic=traffic,
            )
        self._previous = run
        self._samples.append(taken)
        return taken

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self.sample()


def measure(process: psutil.Process) -> Process:
    """Query the system about this process. Never raises; numbers that are not available are None."""
    established = closing = files = None
    # psutil 6 renamed the method
    connections = getattr(process, "net_connections", None) or process.connections
    with suppress(psutil.Error, OSError):
        states = [connection.status for connection in connections("tcp")]
        established = states.count(psutil.CONN_ESTABLISHED)
        closing = sum(state not in (psutil.CONN_ESTABLISHED, psutil.CONN_LISTEN, psutil.CONN_NONE) for state in states)
    with suppress(psutil.Error, OSError):
        files = process.num_handles() if os.name == "nt" else process.num_fds()  # type: ignore[attr-defined,unused-ignore]
    try:
        return Process(established, closing, process.memory_info().rss, files, process.num_threads())
    except (psutil.Error, OSError):
        return Process(established, closing, 0, files, 0)


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank quantile of the values, 0 <= share <= 1; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _increase(now: int, before: int | None) -> int:
    """Return the increase of a counter. If it is smaller than before, it belongs to a new run, which started at 0."""
    return now - before if before is not None and now >= before else now
