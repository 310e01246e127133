"""Second chances: at the end of a run, files that failed for a temporary reason are retried in rounds.

Each round begins later after the end of the one before than that did, and there is none after one that brought nothing
new: no file, and no more bytes than a drip brings. An object that is tried again has a small budget of attempts: the
rounds are its backoff.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import TYPE_CHECKING

from era5dl.engine.counters import FileState
from era5dl.engine.events import SecondChance
from era5dl.formatting import count

if TYPE_CHECKING:
    from era5dl.engine.run import Run

FIRST = 5.0  # seconds before the first round
FACTOR = 3.0  # of the wait before each further one
LONGEST = 300.0  # seconds
DRIP = 0.01  # of the bytes that are missing: so few are nothing new
RETRIES = 2  # barren attempts after the first that an object has in a round


class Rounds:
    """Plain state, changed only under the engine's lock, with the time passed in."""

    def __init__(self, *, enabled: bool) -> None:
        self.number = 0  # of the round that goes on or comes next
        self.due: float | None = None  # when the next one begins, monotonic
        self.told = ""  # what comes next, for people
        self.again: set[int] = set()  # objects that were given another chance
        self.refused: set[int] = set()  # objects that have failed by refusals, as long as none has passed
        self._enabled = enabled
        self._waiting: set[int] = set()  # objects that have failed and may be tried again
        self._over = False
        self._before: tuple[int, int] | None = None  # files that were there when the last round began; bytes missing

    @property
    def pending(self) -> bool:
        """Whether there is another round, or may be."""
        return self._enabled and bool(self._waiting) and not self._over

    def failed(self, index: int) -> None:
        """This object has failed, and time may heal it."""
        self._waiting.add(index)

    def refusals_pass(self) -> None:
        """Refusals turn out to pass: those that were believed too soon get a second chance, too."""
        self._waiting |= self.refused
        self.refused.clear()

    def forget(self, indices: Collection[int]) -> None:
        """These objects need no second chance from here."""
        self._waiting.difference_update(indices)
        self.refused.difference_update(indices)
        if not self._waiting:
            self.due = None

    def plan(self, now: float, files: int, missing: int) -> SecondChance | None:
        """Nothing else is left to do. The next round, when it is decided on now. files: that are there. missing: bytes
        that are not."""
        if self.due is not None or not self.pending:
            return None
        if self._before:
            files_before, missing_before = self._before
            if files <= files_before and missing_before - missing <= DRIP * missing_before:  # also if none is
                self._over = True
                return None
        self._before = files, missing
        self.number += 1
        delay = random.uniform(0.8, 1.2) * min(LONGEST, FIRST * FACTOR ** (self.number - 1))
        self.due = now + delay
        self.told = f"{count(len(self._waiting), 'file')} in {delay:.0f} s (round {self.number})"
        return SecondChance(self.number, len(self._waiting), delay)

    def begin(self) -> list[int]:
        """The objects of the round that begins now."""
        chosen = sorted(self._waiting)
        self._waiting.clear()
        self.again.update(chosen)
        self.due = None
        return chosen


def tend(run: Run, now: float) -> None:
    """Decide on the next round, begin it, or let the run end. To be called a few times a second."""
    rounds = run.retry_rounds
    with run.locked():
        if run.stopping or run.error or not rounds.pending:
            return
        if rounds.due is None and run.audited and run.scheduler.finished:
            counts = run.counters.counts
            done = counts[FileState.VERIFIED] + counts[FileState.CHECKED]
            if chance := rounds.plan(now, done, run.counters.total_bytes - run.counters.done_bytes):
                run.events.put(chance)
            run.update_state_locked()
        elif rounds.due is not None and now >= rounds.due and not run.paused_by_user and run.outage.state is None:
            chosen = rounds.begin()
            run.counters.set_states(chosen, FileState.FAILED, FileState.WAITING)
            run.scheduler.add(chosen)
            run.update_state_locked()
