"""Tests of the rate limit on real connections: within 3 % over ten seconds, with one and with many workers.

The tests compare received bytes with the monotonic clock, independently of the speed of the machine. A thread measures
how long the machine ran no thread of this process; so much less may have been received. More is never allowed, except
for the burst after a silence such as a pause.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from era5dl.engine.events import State
from era5dl.engine.rate_limit import BURST
from tests.faultlab import FaultServer, pseudo_random
from tests.runs import EngineRun, running

pytestmark = pytest.mark.slow

RATE = 5_000_000  # bytes per second
WINDOW = 10.0  # seconds
PAUSES = (2.0, 5.0)  # seconds into the window
PAUSED = 0.6  # seconds, each time
TOLERANCE = 0.03
BEAT = 0.02


class StallMeter:
    """Measures how long this process could not run. Bytes not received in that time cannot be made up for."""

    def __init__(self) -> None:
        self.lost = 0.0  # seconds
        self._ended = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[StallMeter]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            time.sleep(BEAT)
            late = time.monotonic() - began - BEAT
            if late > BURST / 4:
                self.lost += late


def steady(ran: EngineRun) -> None:
    """Wait until bytes have arrived for a while, so that the burst at the start is over."""
    ran.wait_until(lambda: ran.engine.snapshot().fetched_bytes > RATE)


def undisturbed(ran: EngineRun) -> float:
    """Return bytes per second over the window."""
    steady(ran)
    before, began = ran.engine.snapshot().fetched_bytes, time.monotonic()
    time.sleep(WINDOW)
    came, took = ran.engine.snapshot().fetched_bytes - before, time.monotonic() - began
    return came / took


def with_pauses(ran: EngineRun) -> float:
    """Return bytes per second over the time without pauses."""
    steady(ran)
    before, began, paused = ran.engine.snapshot().fetched_bytes, time.monotonic(), 0.0
    for moment in PAUSES:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        stopped_at = time.monotonic()
        ran.engine.pause()
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 0)
        still = ran.engine.snapshot().fetched_bytes
        time.sleep(PAUSED)
        assert ran.engine.snapshot().fetched_bytes == still, "no bytes arrive during a pause"
        ran.engine.resume()
        paused += time.monotonic() - stopped_at
    time.sleep(max(0.0, began + WINDOW + paused - time.monotonic()))
    came, took = ran.engine.snapshot().fetched_bytes - before, time.monotonic() - began - paused
    return came / took


def test_the_limit_holds_with_one_worker_with_many_and_through_pauses(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    data = pseudo_random(1, 2_000_000)
    for number in range(40):
        fault_server.put(f"{number}.bin", data)

    def measured(workers: int, *, pauses: bool) -> float:
        folder = tmp_path / f"{workers}-{pauses}"
        with running(fault_server, folder, workers=workers, rate_limit=RATE, verify=False, read_timeout=20.0) as ran:
            rate = with_pauses(ran) if pauses else undisturbed(ran)
            assert ran.engine.snapshot().state is State.RUNNING, "it has not ended and has no fault"
            return rate

    with StallMeter().watching() as stalls, ThreadPoolExecutor(3) as pool:
        cases = [(1, False), (32, False), (32, True)]
        rates = list(pool.map(lambda case: measured(case[0], pauses=case[1]), cases))
    lost = min(stalls.lost / WINDOW, 0.5)
    for (workers, pauses), rate in zip(cases, rates, strict=True):
        silences = (
            len(PAUSES) * (BURST + BURST) if pauses else 0.0
        )  # what each saves up, and forgives in reads under way
        assert rate <= RATE * (1 + TOLERANCE + silences / WINDOW), (workers, pauses, rate)
        assert rate >= RATE * (1 - TOLERANCE - lost), (workers, pauses, rate, lost)


@pytest.mark.parametrize("workers", [1, 32])
def test_a_limit_set_during_a_run_applies_at_once(workers: int, fault_server: FaultServer, tmp_path: Path) -> None:
    """At full speed the whole file would be received at once."""
    data = pseudo_random(1, 2_000_000)
    for number in range(40):
        fault_server.put(f"{number}.bin", data)
    with running(fault_server, tmp_path, workers=workers, rate_limit=RATE, verify=False) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().fetched_bytes > 0)
        ran.engine.set_rate_limit(RATE // 2)
        before, began = ran.engine.snapshot().fetched_bytes, time.monotonic()
        ran.wait_until(lambda: time.monotonic() - began > 1.0)
        came, took = ran.engine.snapshot().fetched_bytes - before, time.monotonic() - began
        reads = workers * 256 * 1024  # each worker may have a read in progress that was allowed before
        assert came <= RATE / 2 * (took + BURST) + reads
