"""A simulated link: what a number of connections receives over it, in steps of a few milliseconds. Deterministic."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from functools import cache

SEGMENT = 1448  # bytes of a TCP segment
STEP = 0.05  # seconds


@dataclass(frozen=True)
class Link:
    """rate: bytes per second of the line. round_trip: seconds. loss: of segments. per_connection: bytes per second that
    a server gives each. refuses_above: requests in flight beyond which the server says 503. noise: of the rate."""

    rate: float
    round_trip: float
    loss: float = 0.0
    per_connection: float = math.inf
    refuses_above: int = 10**6
    noise: float = 0.03

    @property
    def share(self) -> float:
        """Bytes per second of one connection that has the line for itself (Mathis et al. 1997)."""
        lossy = 1.22 * SEGMENT / (self.round_trip * math.sqrt(self.loss)) if self.loss else math.inf
        return min(self.per_connection, lossy, self.rate)


@dataclass
class Simulation:
    """`number` connections on the link; each begins with slow start."""

    link: Link
    seed: int = 1
    now: float = 0.0
    received: float = 0.0
    refused: int = 0
    speeds: list[float] = field(default_factory=list)  # of each connection, bytes per second

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def step(self, number: int) -> None:
        """One step with so many connections."""
        link = self.link
        del self.speeds[number:]
        allowed = min(number, link.refuses_above)
        if number > link.refuses_above:
            self.refused += 1 if self._dice.random() < 0.2 else 0
            del self.speeds[allowed:]
        while len(self.speeds) < allowed:
            self.speeds.append(-2 * link.round_trip)  # handshakes and the request; then it is a speed
        flowing = 0.0
        for at, speed in enumerate(self.speeds):
            if speed < 0:
                self.speeds[at] = min(speed + STEP, 0.0)
                continue
            speed = speed or 10 * SEGMENT / link.round_trip
            self.speeds[at] = min(speed * 2 ** (STEP / link.round_trip), link.share)
            flowing += self.speeds[at]
        if flowing > link.rate:
            for at, speed in enumerate(self.speeds):
                if speed > 0:
                    self.speeds[at] = max(speed * link.rate / flowing, SEGMENT / link.round_trip)
        self.received += min(flowing, link.rate) * STEP * (1 + self._dice.uniform(-link.noise, link.noise) * 3)
        self.now += STEP


@cache
def throughput(link: Link, number: int, seconds: float = 60.0) -> float:
    """Bytes per second of a fixed number of connections over so many seconds."""
    run = Simulation(link)
    while run.now < seconds:
        run.step(number)
    return run.received / seconds
