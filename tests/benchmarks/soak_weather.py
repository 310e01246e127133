"""The weather of a soak: what a working day does to a download, in a twenty-fourth of its time.

All the time: one request in eight meets a fault of a random kind (all that heal, a flipped bit, connections that die
between two requests), one connection in 32 is ten times slower than the others, and those that idle for more than three
seconds swallow the next request. Every half hour of the day (75 s here), as for everybody at once: 503 SlowDown to all
GETs for 36 s, later nobody listens for 48 s, later all connections are cut.

The random faults depend on the seed, the key and how often it was asked for, not on the clock: every client meets the
same ones.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from tests.faultlab import HEALING, Burst, Fault, FaultServer, Link, Mix

SCALE = 24  # seconds of the day in one second of the soak
CYCLE = 75.0  # seconds of the soak between two bursts: half an hour
BURST, OUTAGE = 36 / SCALE, 48 / SCALE
SHARE = 0.125  # of the requests that meet a random fault
STALL = 72 / SCALE  # seconds that stalls, drips and dead connections last, if the client bears it so long

KINDS = (*HEALING, "flipped-bit", "connection-close", "closed-after", "reset-after", "dead-after")
LINK = Link(latency=0.01, speed=500_000, slow_every=32, slow_speed=50_000, idle_swallow=3.0)


class Weather:
    """Bad weather over a server, from the beginning of this context to its end.

    cycle: seconds from burst to burst; the others keep their place in it.
    """

    def __init__(self, server: FaultServer, seed: int, *, cycle: float = CYCLE) -> None:
        self._server, self._seed, self._cycle = server, seed, cycle
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="weather", daemon=True)

    def __enter__(self) -> Weather:
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
