"""Metrics that a client in the endurance test reports: one line of JSON four times per second, the same for both."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass

EVERY = 0.25  # seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """One moment of a client. Sizes in bytes, times in seconds, both since the start."""

    files: int = 0  # ended, failed ones included
    failed: int = 0
    size: int = 0  # of the files in place
    faults: int = 0  # attempts that failed
    blocked: float = 0.0  # seconds in which a worker waited to try again, all workers together
    resting: float = 0.0  # seconds in which workers rested since the server, or an outage, wanted it so
    delayed: float = 0.0  # seconds that pieces were told to wait in a queue, with no worker waiting for them
    checkpoint_bytes: int = 0  # the latest one's
    checkpoint_seconds: float = 0.0
    over: bool = False

    def line(self) -> str:
        """For the other side of a pipe."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, line: str) -> Figures:
        """What `line` wrote. Raises ValueError for anything else."""
        return cls(**json.loads(line))


def tell(ask: Callable[[], Figures], over: threading.Event) -> None:
    """Print figures until it is over, and once more then."""
    while not over.wait(EVERY):
        print(ask().line(), flush=True)
    sys.stdout.flush()
