"""Disturbances of the endurance test: what a working day does to a download, in a twenty-fourth of its time.

At all times one request in eight meets a fault of a random kind (all that a client can recover from, a flipped bit,
and connections that die between two requests), one connection in 32 is ten times slower than the others, and
connections that are idle for more than three seconds do not answer the next request. Every half hour of that day (75 s
here) everybody is affected: 503 SlowDown to all GETs for 36 s, later an outage of 48 s, later all connections are
closed.

The random faults depend on the seed, the key and the number of requests for it, not on the clock: every client meets
the same ones.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from tests.faultlab import HEALING, Burst, Fault, FaultServer, Link, Mix

SCALE = 24  # seconds of the working day per second of the test
CYCLE = 75.0  # seconds of the test between two bursts, which stand for half an hour
BURST, OUTAGE = 36 / SCALE, 48 / SCALE
SHARE = 0.125  # fraction of the requests with a random fault
STALL = 72 / SCALE  # maximum duration of stalls, slow responses and dead connections in seconds

KINDS = (*HEALING, "flipped-bit", "connection-close", "closed-after", "reset-after", "dead-after")
LINK = Link(latency=0.01, speed=500_000, slow_every=32, slow_speed=50_000, idle_swallow=3.0)


class Disturbances:
    """Context manager that disturbs a fault server.

    cycle: seconds from one burst of 503 to the next; outages and closed connections keep their place in it.
    """

    def __init__(self, server: FaultServer, seed: int, *, cycle: float = CYCLE) -> None:
        self._server, self._seed, self._cycle = server, seed, cycle
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="disturbances", daemon=True)

    def __enter__(self) -> Disturbances:
        self._server.link = LINK
        busy = Fault("slow-down", times=None)
        self._server.add(Burst(busy, period=self._cycle, length=BURST))
        self._server.add(Mix(self._seed, KINDS, share=SHARE, at_most=sys.maxsize, seconds=STALL))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._server.calm()

    def _go_on(self) -> None:
        while not self._over.wait(0.4 * self._cycle):
            self._server.outage(OUTAGE)
            if self._over.wait(0.4 * self._cycle):
                return
            self._server.cut_connections()
            if self._over.wait(0.2 * self._cycle):
                return
