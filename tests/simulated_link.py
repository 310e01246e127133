"""A simulated link: what a number of TCP connections receives over it. Deterministic."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache

SEGMENT = 1448  # bytes of a TCP segment
LONGEST_STEP = 0.05  # seconds of simulated time
SHORTEST_STEP = 0.01
FIRST_WINDOW = 10.0  # segments (RFC 6928)
AFTER_LOSS = 0.7  # of the window remains (CUBIC, RFC 9438)
GROWTH = 0.53  # segments per round trip, without loss (the same, in its region that is fair to older senders)


@dataclass(frozen=True)
class Link:
    """rate: bytes per second of the line. round_trip: seconds, with an empty queue. loss: of segments. queue: bytes
    that wait for the line before segments are dropped. per_connection: bytes per second that a server gives each.
    refuses_above: requests in flight beyond which the server says 503. noise: of the received bytes."""

    rate: float
    round_trip: float
    loss: float = 0.0
    queue: float = 4e6
    per_connection: float = math.inf
    refuses_above: int = 10**6
    noise: float = 0.05


class _Connection:
    """One TCP connection. window: segments in flight."""

    def __init__(self, handshake: float) -> None:
        self.waits = handshake  # seconds until the first byte
        self.window = FIRST_WINDOW
        self.slow_start = True

    def lose(self) -> None:
        """A segment is lost."""
        self.window, self.slow_start = max(self.window * AFTER_LOSS, 2.0), False


class Simulation:
    """`number` connections on the link. received: bytes. round_trip: seconds at this moment, with the queue."""

    def __init__(self, link: Link, seed: int = 1) -> None:
        self.link = link
        self.now = self.received = 0.0
        self.refused = 0
        self.answered = 0
        self.shortest_trip = 0.0  # seconds; of late, as `ServerHealth.round_trip`; 0 before the first response
        self.round_trip = link.round_trip
        self.most_queued = 0.0  # bytes
        self._queued = 0.0
        self._dice = random.Random(seed)
        self._connections: list[_Connection] = []

    def step(self, number: int) -> None:
        """One step with so many connections."""
        link, dice = self.link, self._dice
        step = min(max(link.round_trip, SHORTEST_STEP), LONGEST_STEP)
        allowed = min(number, link.refuses_above)
        if number > allowed:
            self.refused += number - len(self._connections) if len(self._connections) < allowed else dice.random() < 0.2
        del self._connections[allowed:]
        while len(self._connections) < allowed:
            self._connections.append(_Connection(2 * self.round_trip))
        trips = step / self.round_trip
        flowing = 0.0
        for connection in self._connections:
            if connection.waits > 0:
                connection.waits -= step
                if connection.waits <= 0:
                    self.answered += 1
                    self.shortest_trip = min(self.round_trip, self.shortest_trip or math.inf)
                continue
            speed = min(connection.window * SEGMENT / self.round_trip, link.per_connection)
            flowing += speed
            if link.loss and dice.random() < 1 - (1 - link.loss) ** (speed * step / SEGMENT):
                connection.lose()
            elif speed < link.per_connection:
                connection.window = (
                    connection.window * 2**trips if connection.slow_start else connection.window + GROWTH * trips
                )
        self._fill_queue((flowing - link.rate) * step)
        self.received += min(flowing, link.rate) * step * (1 + dice.uniform(-link.noise, link.noise))
        self.now += step

    def _fill_queue(self, surplus: float) -> None:
        link = self.link
        self._queued = max(0.0, self._queued + surplus)
        if self._queued > link.queue:
            for connection in self._connections:
                if connection.waits <= 0 and self._dice.random() < 0.4:
                    connection.lose()
            self._queued = link.queue
        self.most_queued = max(self.most_queued, self._queued)
        self.round_trip = link.round_trip + self._queued / link.rate


@cache
def throughput(link: Link, number: int, seconds: float = 60.0) -> float:
    """Bytes per second of a fixed number of connections over so many seconds."""
    run = Simulation(link)
    while run.now < seconds:
        run.step(number)
    return run.received / seconds
