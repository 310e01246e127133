"""How much at once: the user's rate limit, and the server's wish to be asked less.

A refusal (503, 429) among many answers is about its own request: that one waits, as long as the server says, and all
others go on. Many of them mean that the server wants to be asked less by everybody: then nobody asks until the wait is
over, after it half as many, and one more after every few seconds without such a wish. Credit tells the one from the
other: each answer earns one, up to a limit, and each refusal costs several. The refusal that cannot be paid for brakes,
and takes what credit there is: until answers have earned it anew, each further refusal brakes at once.

Neither starts a thread or sleeps; they answer with a number and the caller waits, so that it can be woken.
Not thread-safe but for `RateLimit`, which every worker asks for every read.
"""

from __future__ import annotations

import threading

BURST = 0.1  # seconds of the rate that may come at once after a silence
SMALLEST_SIP = 4096  # bytes
LARGEST_SIP = 256 * 1024


class RateLimit:
    """A token bucket shared by all workers. Thread-safe."""

    def __init__(self, rate: int | None) -> None:
        self._lock = threading.Lock()
        self._rate = rate
        self._free_at = 0.0

    @property
    def rate(self) -> int | None:
        """Bytes per second; None for no limit."""
        return self._rate

    def set(self, rate: int | None) -> None:
        """Change it while running; nobody waits any longer for what was spent under the old one."""
        with self._lock:
            self._rate = rate
            self._free_at = 0.0

    def sip(self, workers: int) -> int:
        """How many bytes a worker may read before it asks, so that all of them together stay within a burst."""
        return max(SMALLEST_SIP, min(LARGEST_SIP, int((self._rate or LARGEST_SIP) * BURST / workers)))

    def spend(self, count: int, now: float) -> float:
        """Take `count` bytes that have come; returns how many seconds to wait before reading on."""
        with self._lock:
            if not self._rate:
                return 0.0
            self._free_at = max(self._free_at, now - BURST) + count / self._rate
            return max(0.0, self._free_at - now)


class Throttle:
    """Credit for refusals; additive increase, multiplicative decrease of the number of requests at once; and a moment
    before which nobody asks at all. Sources of the ideas: the retry quota of the AWS SDKs' standard mode, and
    Chiu & Jain 1989, doi 10.1016/0169-7552(89)90019-6."""

    PRICE = 5  # answers that pay for a refusal, as for a retry in the AWS SDKs: one request in six may be refused
    MOST_CREDIT = 10 * PRICE  # where one in ten is refused by mere chance, it lasts for 200,000 requests
    GROW_EVERY = 5.0  # seconds without a brake, for one request more
    CALM = 1.0  # brakes within this many seconds of one another are one brake

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.hold_until = 0.0
        self.refusals = 0
        self._credit = self.PRICE  # the first refusal of all tells nothing yet
        self._allowed = workers
        self._braked = False
        self._fits = workers  # connections that are let in
        self._halved_at = 0.0
        self._last_change = 0.0

    @property
    def allowed(self) -> int:
        """How many requests may be under way at once."""
        return min(self._allowed, self._fits, self.workers)

    def set_workers(self, workers: int) -> None:
        """The user wants this many; a brake that is on stays on."""
        if not self._braked:
            self._allowed = workers
        if self._fits >= self.workers:
            self._fits = workers
        self.workers = workers

    def answered(self) -> None:
        """The server gives what it was asked for."""
        self._credit = min(self._credit + 1, self.MOST_CREDIT)

    def refused(self, now: float, delay: float) -> bool:
        """The server does not want to be asked this again for `delay` seconds. Returns whether it wants to be asked
        less by everybody: then half as many requests are allowed, and none for `delay` seconds."""
        self.refusals += 1
        if self._credit >= self.PRICE:
            self._credit -= self.PRICE
            return False
        self._credit = 0
        self.hold_until = max(self.hold_until, now + delay)
        if now - self._halved_at >= self.CALM:
            self._allowed = max(1, self.allowed // 2)
            self._braked = self._allowed < self.workers
            self._halved_at = now
        return True

    def fit(self, now: float, working: int) -> None:
        """One connection more than these was not let in: no more at once than work. Nobody who works has to wait."""
        self._fits = max(1, min(self.allowed, working))
        self._last_change = now

    def let_in(self) -> None:
        """A new connection was let in."""
        self._fits = min(self._fits + 1, self.workers)

    def recover(self, now: float) -> None:
        """Call it now and then: grows by one after a while without a brake."""
        if self.allowed < self.workers and now - max(self._last_change, self.hold_until) >= self.GROW_EVERY:
            more = self.allowed + 1
            self._allowed, self._fits = max(self._allowed, more), max(self._fits, more)
            self._braked = self._allowed < self.workers
            self._last_change = now


class Peak:
    """The highest count of the last seconds."""

    LASTS = 5.0  # seconds

    def __init__(self) -> None:
        self._count, self._at = 0, 0.0

    def note(self, now: float, count: int) -> None:
        """So many there are now."""
        if count >= self.lately(now):
            self._count, self._at = count, now

    def lately(self, now: float) -> int:
        """0 when nothing was noted lately."""
        return self._count if now - self._at <= self.LASTS else 0
