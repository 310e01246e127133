"""The numbers of a run: what is done, how fast, how long still. Changed under the engine's lock, time passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from enum import IntEnum

from era5dl.engine.events import Outcome

SPEED_WINDOW = 8.0  # seconds that "now" lasts when a speed is told
TOO_EARLY = 3.0  # seconds of transfer before a time left can be known
SAMPLE_EVERY = 0.25


class FileState(IntEnum):
    """One byte an object, so that a hundred thousand of them cost nothing."""

    WAITING = 0
    ACTIVE = 1
    VERIFIED = 2
    CHECKED = 3
    FAILED = 4
    HELD = 5  # by the user, until it is released


OUTCOMES = {Outcome.VERIFIED: FileState.VERIFIED, Outcome.CHECKED: FileState.CHECKED}


class Ledger:
    """Counts bytes once each, however often they came; what came is counted apart."""

    def __init__(self, sizes: list[int], began: float) -> None:
        self.states = bytearray(len(sizes))
        self.counts = dict.fromkeys(FileState, 0)
        self.counts[FileState.WAITING] = len(sizes)
        self.total_bytes = sum(sizes)
        self.done_bytes = 0
        self.held_bytes = 0  # still to come of held objects
        self.fetched_bytes = 0
        self.retries = 0
        self.barren_attempts = 0
        self.began = began
        self._samples: deque[tuple[float, int]] = deque([(began, 0)])

    def set_state(self, index: int, state: FileState) -> None:
        """This object is in this state now."""
        self.counts[FileState(self.states[index])] -= 1
        self.states[index] = state
        self.counts[state] += 1

    def set_states(self, indices: Collection[int], before: FileState, after: FileState) -> None:
        """The same for many objects, all of them in one state until now."""
        states = self.states
        for index in indices:
            states[index] = after
        self.counts[before] -= len(indices)
        self.counts[after] += len(indices)

    def resized(self, before: int, after: int) -> None:
        """The object has another size upstream than the plan said."""
        self.total_bytes += after - before

    def sample(self, now: float) -> None:
        """Remember where we are, for the speed. Call it a few times a second at least."""
        if now - self._samples[-1][0] >= SAMPLE_EVERY:
            self._samples.append((now, self.fetched_bytes))
            while now - self._samples[0][0] > SPEED_WINDOW:
                self._samples.popleft()

    def pause(self, now: float) -> None:
        """A silence begins that says nothing about the speed."""
        self._samples = deque([(now, self.fetched_bytes)])

    def speed(self, now: float) -> float:
        """Bytes per second over the last seconds."""
        then, count = self._samples[0]
        return (self.fetched_bytes - count) / (now - then) if now - then >= SAMPLE_EVERY else 0.0

    def time_left(self, now: float) -> float | None:
        """Seconds for what is not held; None before it can be known, and while nothing comes."""
        speed = self.speed(now)
        if now - self._samples[0][0] < TOO_EARLY or speed <= 0:
            return None
        return max(self.total_bytes - self.done_bytes - self.held_bytes, 0) / speed
