"""Feeds automatic concurrency with what the run measures, and applies the number of workers that it finds."""

from __future__ import annotations

import time
from collections.abc import Callable

from era5dl.engine.concurrency import Reason, Sample
from era5dl.engine.events import State
from era5dl.engine.run_state import RunState

SATURATED = 0.85  # of the rate limit, or of one CPU core: because of the interpreter's lock a process cannot use more
MIN_CPU_TIME = 0.2  # seconds between two looks at the CPU


class ConcurrencyMonitor:
    """The part of the maintenance thread that looks after the number of workers. set_workers: changes it."""

    def __init__(self, run: RunState, set_workers: Callable[[int], None]) -> None:
        self._run, self._set_workers = run, set_workers
        self._cpu = (time.monotonic(), time.process_time())
        self._busy_cpu = False

    def check(self, now: float) -> None:
        """Take a sample, and change the number of workers if another one is better. Does nothing for a fixed one."""
        run = self._run
        with run.locked():  # to the end: the user may choose a fixed number at any time
            if run.concurrency is None:
                return
            sample = Sample(
                now=now,
                received=run.counters.fetched_bytes,
                busy=len(run.scheduler.active_pieces),
                remaining=run.counters.total_bytes - run.counters.done_bytes - run.counters.held_bytes,
                round_trip=run.server.round_trip,
                refused=run.throttle.count,
                answered=run.throttle.answered,
                limited_by=self._limited_by(now),
            )
            number = run.concurrency.observe(sample)
            if number == run.workers:
                return
            self._set_workers(number)
            if run.concurrency.backed_off:
                run.throttle.forgive()
                run.notify_locked()

    def _limited_by(self, now: float) -> Reason | None:
        """Return what limits the speed, if it is not the network: a pause, the user's rate limit, or the processor."""
        run, (then, used) = self._run, self._cpu
        if now - then >= MIN_CPU_TIME:
            cpu = time.process_time()
            self._busy_cpu = (cpu - used) / (now - then) >= SATURATED
            self._cpu = (now, cpu)
        rate = run.rate_limit.rate
        if run.state is not State.RUNNING:
            return Reason.NOT_RUNNING
        if rate is not None and run.counters.speed(now) >= SATURATED * rate:
            return Reason.RATE_LIMIT
        return Reason.CPU if self._busy_cpu else None
