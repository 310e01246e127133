"""Retry policy: whether and when to repeat a failed attempt, what a 403 response means, and retry rounds.

Pure logic; callers pass in the time. The retry budget counts only consecutive attempts without a new byte: a file of 10
GB over a bad connection may need a hundred attempts, and makes progress as long as each one receives bytes. Delays have
full jitter (a uniform draw between 0 and the exponential backoff), so that workers do not all retry at the same time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from era5dl.engine.events import RetryRoundScheduled
from era5dl.errors import Era5Error, Reaction, ServerBusy
from era5dl.formatting import format_count

BASE = 1.0  # seconds; doubles with each failed attempt in a row
CAP = 60.0  # seconds; maximum of the backoff
THROTTLE_BASE = 2.0  # seconds; like BASE, for a server that throttles
FEW_RETRIES = 3  # retries after a 403 response for an object
NETWORK_CAP = 10.0  # seconds; maximum of the delay between attempts to connect, which cost no budget

FIRST_WAIT = 5.0  # seconds before the first retry round
WAIT_FACTOR = 3.0  # by which the wait grows from round to round
LONGEST_WAIT = 300.0  # seconds
MIN_PROGRESS = 0.01  # share of the missing bytes that a round must receive to count as progress
ROUND_RETRIES = 2  # retries without a new byte that an object has in a round

MANY_OBJECTS = 5  # number of denied objects that may mean that the whole bucket is denied
SILENCE = 2.0  # seconds without any byte before the whole bucket counts as denied

Draw = Callable[[float, float], float]
"""`random.uniform`, or a replacement in tests."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do after a failed attempt.

    delay: seconds before the next attempt. failures: consecutive attempts without a new byte.
    """

    reaction: Reaction
    delay: float
    failures: int

    @property
    def again(self) -> bool:
        """Whether there is a next attempt."""
        return self.reaction not in (Reaction.FAIL_OBJECT, Reaction.FAIL_SESSION, Reaction.STOP)


def decide(
    error: Era5Error, *, progressed: bool, failures: int, retries: int, draw: Draw, few_retries: int = FEW_RETRIES
) -> Decision:
    """Return what to do after an attempt that ended with this error.

    error's reaction    the attempt received bytes        it received none
    RETRY               retry at once                     backoff, costs budget
    RETRY_ONCE          retry at once                     the first time at once, then like BACKOFF
    BACKOFF             backoff, the budget starts anew   backoff, costs budget
    FEW_RETRIES         like BACKOFF, but the budget is at most `few_retries`
    THROTTLE            like BACKOFF, but never less than Retry-After
    WAIT_FOR_NETWORK    short backoff, costs no budget
    PAUSE               retry when the cause is gone, costs no budget
    RESTART             at once, with the new version (the caller counts restarts)
    REOPEN              at once, from the bytes on disk (the caller counts these)
    YIELD               when the other session has finished the object, costs no budget
    FAIL_*, STOP        no further attempt

    progressed: the attempt received new bytes. failures: consecutive earlier attempts without a new byte. retries: the
    budget, the number of retries without a new byte.
    """
    reaction = error.reaction
    if reaction in (Reaction.FAIL_OBJECT, Reaction.FAIL_SESSION, Reaction.STOP):
        return Decision(reaction, 0.0, failures)
    if reaction in (Reaction.PAUSE, Reaction.RESTART, Reaction.REOPEN, Reaction.YIELD):
        return Decision(reaction, 0.0, failures)
    if reaction is Reaction.WAIT_FOR_NETWORK:
        return Decision(reaction, draw(0.0, NETWORK_CAP) if failures else draw(0.0, BASE), failures)

    failures = 0 if progressed else failures + 1
    if failures > (min(few_retries, retries) if reaction is Reaction.FEW_RETRIES else retries):
        return Decision(Reaction.FAIL_OBJECT, 0.0, failures)
    retries_at_once = {Reaction.RETRY: 0, Reaction.RETRY_ONCE: 1}.get(reaction, -1)
    if failures <= retries_at_once:
        return Decision(reaction, 0.0, failures)
    delay = draw(0.0, max_delay(failures, THROTTLE_BASE if reaction is Reaction.THROTTLE else BASE))
    if isinstance(error, ServerBusy) and error.retry_after:
        delay += error.retry_after  # added to the jitter, since all workers were given the same time
    return Decision(reaction, delay, failures)


def max_delay(failures: int, base: float | None = None) -> float:
    """Return the maximum of the delay in seconds. failures: consecutive attempts without a new byte."""
    return min(CAP, (BASE if base is None else base) * 2.0 ** max(failures - 1, 0))


class AccessDenials:
    """Interprets the 403 responses of a run: is one object denied, the whole bucket, or are denials temporary?

    Firewalls, proxies and overloaded servers also send 403, although the objects are not denied.

        observed since the denial                                           interpretation
        other objects are answered, this one never                          the object: it fails after a few attempts
        an object that was denied is answered later                         temporary: the usual retry budget applies
        many objects are denied, no answer and no byte for some seconds     the bucket: the run ends

    While many objects are denied and none is answered, no object fails, since the whole bucket may be denied. Called
    under the engine's lock; times are monotonic.
    """

    def __init__(self) -> None:
        self.are_temporary = False  # an object was answered after it was denied
        self._unanswered: set[int] = set()  # objects denied since the last answer
        self._count = 0  # denials since the last answer
        self._since = 0.0  # time of the first of them
        self._denied: set[int] = set()  # objects denied and not answered since

    def record_denial(self, index: int, now: float) -> None:
        """Record that this object was denied."""
        if not self._unanswered:
            self._since = now
        self._unanswered.add(index)
        self._denied.add(index)
        self._count += 1

    def record_answer(self, index: int) -> None:
        """Record that a request for this object was answered."""
        self._unanswered.clear()
        self._count = 0
        if index in self._denied:
            self._denied.discard(index)
            self.are_temporary = True

    @property
    def many(self) -> bool:
        """Whether many objects were denied since the last answer."""
        return len(self._unanswered) >= MANY_OBJECTS

    def bucket_denied(self, now: float, last_byte: float) -> bool:
        """Whether the whole bucket is denied. last_byte: time of the last byte received over any connection."""
        return self.many and self._count >= 2 * MANY_OBJECTS and now - max(self._since, last_byte) >= SILENCE


class RetryRounds:
    """At the end of a run, files that failed for a temporary reason are retried in rounds.

    The wait before each round is longer than before the previous one. There is no further round after one that
    finished no file and received hardly any bytes. An object has only a few attempts in a round. Called
    under the engine's lock; times are monotonic.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.number = 0  # of the current or next round
        self.due: float | None = None  # start of the next round; None if none is scheduled
        self.description = ""  # of the next round, in English
        self.retried: set[int] = set()  # objects that were retried in a round
        self.denied: set[int] = set()  # objects that failed by 403, while denials are considered permanent
        self._enabled = enabled
        self._waiting: set[int] = set()  # failed objects to be retried
        self._over = False
        self._before: tuple[int, int] | None = None  # (finished files, missing bytes) at the start of the last round

    @property
    def pending(self) -> bool:
        """Whether objects wait for another round."""
        return self._enabled and bool(self._waiting) and not self._over

    def add(self, index: int) -> None:
        """Add an object that failed for a temporary reason."""
        self._waiting.add(index)

    def retry_denied(self) -> None:
        """Also retry the objects that failed by a denial, because denials have turned out to be temporary."""
        self._waiting |= self.denied
        self.denied.clear()

    def remove(self, indices: Collection[int]) -> None:
        """Remove these objects, so that no round retries them."""
        self._waiting.difference_update(indices)
        self.denied.difference_update(indices)
        if not self._waiting:
            self.due = None

    def schedule(self, now: float, files: int, missing: int) -> RetryRoundScheduled | None:
        """Schedule the next round; return its event, or None if there is no new round. Called when all other objects
        are finished.

        files: number of finished files. missing: number of bytes that are not on disk.
        """
        if self.due is not None or not self.pending:
            return None
        if self._before:
            files_before, missing_before = self._before
            if files <= files_before and missing_before - missing <= MIN_PROGRESS * missing_before:  # also for 0
                self._over = True
                return None
        self._before = files, missing
        self.number += 1
        delay = random.uniform(0.8, 1.2) * min(LONGEST_WAIT, FIRST_WAIT * WAIT_FACTOR ** (self.number - 1))
        self.due = now + delay
        self.description = f"{format_count(len(self._waiting), 'file')} in {delay:.0f} s (round {self.number})"
        return RetryRoundScheduled(self.number, len(self._waiting), delay)

    def start(self) -> list[int]:
        """Start the scheduled round; return its objects."""
        chosen = sorted(self._waiting)
        self._waiting.clear()
        self.retried.update(chosen)
        self.due = None
        return chosen
