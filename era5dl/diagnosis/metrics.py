"""How this process and its run have fared over the last hour: one sample every two seconds in a ring that stays small.

The system is asked by a thread of its own, so that nobody who draws waits for it.  Measured with 40 open files and 32
connections on Linux: 0.1 ms, and what the kernel takes to list connections (8 ms where it was slowest, without the
interpreter's lock); an hour of samples takes 0.9 MB.
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
from era5dl.diagnosis.measured_bucket import Meter, Traffic
from era5dl.engine.snapshot import Snapshot
from era5dl.errors import OutOfThreads

EVERY = 2.0  # seconds
KEPT = 1800  # samples: an hour


@dataclass(frozen=True, slots=True)
class Process:
    """What the system says about us. None: it does not tell. open_files: handles of every kind."""

    established: int | None  # connections over TCP
    closing: int | None  # half closed: many of them for long is a leak
    rss: int
    open_files: int | None
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment. at: of time.monotonic(). Speeds in bytes per second, times in seconds.

    retries, throttles, barren, and the latencies belong to the time since the sample before.
    """

    at: float
    process: Process
    running: bool
    speed: float = 0.0
    in_flight: int = 0
    allowed: int = 0
    workers: int = 0
    rate_limit: int | None = None
    retries: int = 0
    throttles: int = 0
    barren: int = 0
    first_byte_p50: float | None = None
    first_byte_p95: float | None = None
    traffic: Traffic | None = None


class Gauges:
    """The ring, and the thread that fills it between `start` and `stop`.

    ask: for the run's numbers; None while there is no run. meter: what stands between the bucket and the engine.
    """

    def __init__(self, ask: Callable[[], Snapshot | None], meter: Meter | None = None, *, every: float = EVERY) -> None:
        self._ask = ask
        self._meter = meter
        self._every = every
        self._ring: deque[Sample] = deque(maxlen=KEPT)
        self._before: Snapshot | None = None
        self._process = psutil.Process()
        self._over = threading.Event()

    def start(self) -> None:
        """Sample from now on."""
        with suppress(OutOfThreads):  # a download can do without
            threads.start(threading.Thread(target=self._go_on, name="era5dl-gauges", daemon=True), self.stop)

    def stop(self) -> None:
        """Returns at once."""
        self._over.set()

    def history(self) -> tuple[Sample, ...]:
        """All samples of the last hour, the oldest first."""
        while True:
            try:
                return tuple(self._ring)
            except RuntimeError:  # noqa: PERF203 - one was added meanwhile
                continue

    def sample(self) -> Sample:
        """Take one now, into the ring."""
        run = self._ask()
        latencies = self._meter.latencies() if self._meter else []
        traffic = self._meter.traffic() if self._meter else None
        process = measure(self._process)
        now, before = time.monotonic(), self._before
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
                rate_limit=run.rate_limit,
                retries=_since(run.retries, before.retries if before else None),
                throttles=_since(run.throttles, before.throttles if before else None),
                barren=_since(run.barren_attempts, before.barren_attempts if before else None),
                first_byte_p50=quantile(latencies, 0.5),
                first_byte_p95=quantile(latencies, 0.95),
                traffic=traffic,
            )
        self._before = run
        self._ring.append(taken)
        return taken

    def _go_on(self) -> None:
        while not self._over.wait(self._every):
            self.sample()


def measure(process: psutil.Process) -> Process:
    """Ask the system about this process. Raises nothing: what the system keeps to itself is None."""
    established = closing = files = None
    # psutil 6 gave the method another name
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
    """The value below which this share of the values lies (nearest rank); None when there is none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _since(now: int, before: int | None) -> int:
    """A counter of a run; a smaller one belongs to the next run and began at nought."""
    return now - before if before is not None and now >= before else now
