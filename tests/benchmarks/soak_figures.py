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
    """Metrics of a client at one time. Sizes in bytes, times in seconds, both since the start."""

    files: int = 0  # finished files, including failed ones
    failed: int = 0
    size: int = 0  # total size of the complete files
    faults: int = 0  # failed attempts
    blocked: float = 0.0  # total seconds in which workers waited for a retry
    resting: float = 0.0  # total seconds in which workers waited because of throttling or an outage
    delayed: float = 0.0  # total delay of pieces in a queue, for which no worker waits
    checkpoint_bytes: int = 0  # size of the latest checkpoint
    checkpoint_seconds: float = 0.0
    over: bool = False

    def line(self) -> str:
        """Return the metrics as one line, to be sent through a pipe."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, line: str) -> Figures:
        """Parse the result of `line`. Raises ValueError for anything else."""
        return cls(**json.loads(line))


def tell(ask: Callable[[], Figures], over: threading.Event) -> None:
    """Print metrics until the end, and once more at the end."""
    while not over.wait(EVERY):
        print(ask().line(), flush=True)
    sys.stdout.flush()
