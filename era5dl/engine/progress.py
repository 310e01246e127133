"""Progress of a run: counters that the engine updates, and the snapshot that displays poll."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from era5dl.engine.events import Outcome, State

SPEED_WINDOW = 8.0  # seconds over which the speed is measured
MIN_TRANSFER_TIME = 3.0  # seconds of transfer before the remaining time is estimated
SAMPLE_EVERY = 0.25  # seconds between samples for the speed


class FileState(IntEnum):
    """State of one file. Stored as one byte per object, since there may be a hundred thousand."""

    WAITING = 0
    ACTIVE = 1
    VERIFIED = 2
    CHECKED = 3
    FAILED = 4
    HELD = 5  # by the user, until it is released
    CHECKED_PART = 6


OUTCOMES = {
    Outcome.VERIFIED: FileState.VERIFIED,
    Outcome.CHECKED: FileState.CHECKED,
    Outcome.CHECKED_PART: FileState.CHECKED_PART,
}
FINISHED = frozenset(OUTCOMES.values())
"""The states of an object that has its final file."""


@dataclass(frozen=True, slots=True)
class ActiveFile:
    """One object that is being fetched or verified. Sizes in bytes, speed in bytes per second."""

    index: int
    key: str
    size: int
    done: int
    speed: float
    connections: int
    proving: bool  # all bytes are on disk and are being verified


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of the whole run at one moment. Sizes in bytes, speeds in bytes per second, times in seconds.

    0 <= done_bytes <= total_bytes always: done_bytes counts each byte of each file once, however often it was received.
    """

    state: State
    reason: str
    total_files: int
    done_files: int  # verified + checked + checked_part
    verified_files: int
    checked_files: int
    failed_files: int
    total_bytes: int
    done_bytes: int
    fetched_bytes: int  # received in this run; bytes fetched twice count twice
    speed: float  # over the last SPEED_WINDOW seconds
    time_left: float | None  # None before it can be estimated
    elapsed: float  # since the start of this run, pauses included
    active: tuple[ActiveFile, ...]
    workers: int  # desired number of requests: set by the user, or found by measuring
    allowed: int  # concurrent requests allowed after throttling
    in_flight: int  # current number of requests
    rate_limit: int | None  # at this moment
    retries: int  # attempts after a fault, in this run
    throttles: int  # throttled requests, in this run
    barren_attempts: int  # attempts without a new byte, in this run
    written_bytes: int = 0  # size of the finished files on disk; of a subset, less than what was fetched for it
    held_files: int = 0  # by the user
    checked_part_files: int = 0
    auto: bool = False  # `workers` is found by measuring
    workers_reason: str = ""  # reason for the current value of `workers`, of `concurrency.Reason`; "" if fixed


class Counters:
    """Numbers of a run, updated under the engine's lock. Times are passed in (monotonic seconds)."""

    def __init__(self, sizes: list[int], began: float) -> None:
        self.states = bytearray(len(sizes))  # one FileState per object
        self.counts = dict.fromkeys(FileState, 0)
        self.counts[FileState.WAITING] = len(sizes)
        self.total_bytes = sum(sizes)
        self.done_bytes = 0  # each byte counted once
        self.disk_bytes = 0  # of the finished files
        self.held_bytes = 0  # remaining bytes of held objects
        self.fetched_bytes = 0  # received; bytes fetched twice count twice
        self.retries = 0
        self.barren_attempts = 0
        self.began = began
        self._samples: deque[tuple[float, int]] = deque([(began, 0)])

    def set_state(self, index: int, state: FileState) -> None:
        """Set the state of this object."""
        self.counts[FileState(self.states[index])] -= 1
        self.states[index] = state
        self.counts[state] += 1

    def set_states(self, indices: Collection[int], before: FileState, after: FileState) -> None:
        """Change the state of many objects that all have the state `before`."""
        states = self.states
        for index in indices:
            states[index] = after
        self.counts[before] -= len(indices)
        self.counts[after] += len(indices)

    @property
    def finished(self) -> int:
        """The number of objects that have their final files."""
        return sum(self.counts[state] for state in FINISHED)

    def resized(self, before: int, after: int) -> None:
        """Update the total for an object of which another number of bytes is to be fetched than was expected."""
        self.total_bytes += after - before

    def sample(self, now: float) -> None:
        """Record the number of received bytes, to measure the speed. Call it at least a few times per second."""
        if now - self._samples[-1][0] >= SAMPLE_EVERY:
            self._samples.append((now, self.fetched_bytes))
            while now - self._samples[0][0] > SPEED_WINDOW:
                self._samples.popleft()

    def pause(self, now: float) -> None:
        """Discard the samples, so that a wait or a pause does not lower the speed."""
        self._samples = deque([(now, self.fetched_bytes)])

    def speed(self, now: float) -> float:
        """Return bytes per second over the last SPEED_WINDOW seconds."""
        then, count = self._samples[0]
        return (self.fetched_bytes - count) / (now - then) if now - then >= SAMPLE_EVERY else 0.0

    def time_left(self, now: float) -> float | None:
        """Return the estimated remaining seconds for all files that are not held; None before it can be estimated."""
        speed = self.speed(now)
        if now - self._samples[0][0] < MIN_TRANSFER_TIME or speed <= 0:
            return None
        return max(self.total_bytes - self.done_bytes - self.held_bytes, 0) / speed
