"""Rate limiting (a user setting) and adaptive throttling (503 and 429 responses of the server).

A single throttled request among many answered ones only delays that request. Many throttled requests mean that the
server is overloaded. Then all requests pause; afterwards half as many are allowed, and one more after every few seconds
without throttling.

A credit distinguishes the two cases. Each answer earns one point up to a maximum, and each throttled request costs
several. If the credit does not suffice, the number of requests is reduced and the remaining credit is lost. Until
answers have earned new credit, each further throttled request reduces the number again.

Nothing here starts a thread or sleeps: methods return the time to wait, so that the caller's wait can be interrupted. A
timetable has no timer: `rate` reads the clock, at most once in CLOCK_EVERY. Only `RateLimiter` is thread-safe.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

from era5dl.rate_timetable import RateTimetable, parse_rate_limit

BURST = 0.1  # seconds; the bytes of this time may be received at once after a pause
MIN_READ = 4096  # bytes per read
MAX_READ = 256 * 1024  # bytes per read
CLOCK_EVERY = 0.5  # seconds between checks of the timetable


class RateLimiter:
    """A token bucket shared by all workers. Thread-safe.

    limit: bytes per second, a text as in `rate_timetable`, or None. local_time: the clock of the timetable.
    """

    def __init__(self, limit: int | str | None, local_time: Callable[[], datetime] = datetime.now) -> None:
        self._lock = threading.Lock()
        self._local_time = local_time
        self._timetable: RateTimetable | None = None
        self._look_at = 0.0  # monotonic time of the next look at the timetable
        self._rate: int | None = None
        self._free_at = 0.0
        self.set(limit)

    @property
    def rate(self) -> int | None:
        """Bytes per second at this moment; None for no limit."""
        if self._timetable is not None and time.monotonic() >= self._look_at:
            with self._lock:
                self._follow_timetable_locked()
        return self._rate

    def set(self, limit: int | str | None) -> None:
        """Change the limit during a run. Bytes received earlier cause no further wait. Raises UsageError."""
        parsed = parse_rate_limit(limit) if isinstance(limit, str) else limit
        with self._lock:
            self._timetable = parsed if isinstance(parsed, RateTimetable) else None
            self._use_locked(None if isinstance(parsed, RateTimetable) else parsed or None)
            self._follow_timetable_locked()

    def _follow_timetable_locked(self) -> None:
        if self._timetable is not None:
            self._look_at = time.monotonic() + CLOCK_EVERY
            rate = self._timetable.rate_at(self._local_time())
            if rate != self._rate:
                self._use_locked(rate)

    def _use_locked(self, rate: int | None) -> None:
        self._rate = rate
        self._free_at = 0.0

    def read_size(self, workers: int) -> int:
        """Return how many bytes a worker may read at once, so that all workers together stay within a burst."""
        return max(MIN_READ, min(MAX_READ, int((self.rate or MAX_READ) * BURST / workers)))

    def consume(self, count: int, now: float) -> float:
        """Count received bytes; return the seconds to wait before the next read."""
        with self._lock:
            if not self._rate:
                return 0.0
            self._free_at = max(self._free_at, now - BURST) + count / self._rate
            return max(0.0, self._free_at - now)


class Throttle:
    """Limits the number of concurrent requests, and pauses all of them. Not thread-safe; times are monotonic.

    The number of requests follows additive increase, multiplicative decrease (Chiu & Jain 1989,
    doi 10.1016/0169-7552(89)90019-6). The credit is modelled on the retry quota in the AWS SDKs' standard mode.
    """

    PRICE = 5  # credit for one throttled request, as for a retry in the AWS SDKs: one in six is tolerated
    MAX_CREDIT = 10 * PRICE  # if one request in ten is throttled at random, this lasts for 200,000 requests
    GROW_EVERY = 5.0  # seconds without throttling before one more request is allowed
    CALM = 1.0  # seconds after a reduction without another one

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.paused_until = 0.0
        self.count = 0  # throttled requests
        self.answered = 0  # requests that were not throttled
        self._credit = self.PRICE  # a single throttled request at the start is tolerated
        self._allowed = workers
        self._reduced = False
        self._connections = workers  # connections that the server or a proxy accepts
        self._halved_at = 0.0
        self._last_change = 0.0

    @property
    def allowed(self) -> int:
        """Number of concurrent requests allowed now."""
        return min(self._allowed, self._connections, self.workers)

    def set_workers(self, workers: int) -> None:
        """Change the number of workers. A reduction in effect remains."""
        if not self._reduced:
            self._allowed = workers
        if self._connections >= self.workers:
            self._connections = workers
        self.workers = workers

    def record_answer(self) -> None:
        """Record that a request was answered."""
        self.answered += 1
        self._credit = min(self._credit + 1, self.MAX_CREDIT)

    def record_throttled(self, now: float, delay: float) -> bool:
        """Record that a request was throttled. delay: seconds before its next attempt.

        Return True if all requests are affected: none is sent for `delay` seconds, and half as many afterwards.
        """
        self.count += 1
        if self._credit >= self.PRICE:
            self._credit -= self.PRICE
            return False
        self._credit = 0
        self.paused_until = max(self.paused_until, now + delay)
        if now - self._halved_at >= self.CALM:
            self._allowed = max(1, self.allowed // 2)
            self._reduced = self._allowed < self.workers
            self._halved_at = now
        return True

    def forgive(self) -> None:
        """Allow one request per worker again: there were too many workers, and now there are fewer."""
        self.paused_until = 0.0
        self._allowed, self._reduced, self._credit = self.workers, False, self.PRICE

    def limit_connections(self, now: float, working: int) -> None:
        """Record that the server or a proxy accepts only `working` connections: allow at most as many requests."""
        self._connections = max(1, min(self.allowed, working))
        self._last_change = now

    def connection_accepted(self) -> None:
        """Record that a new connection was accepted."""
        self._connections = min(self._connections + 1, self.workers)

    def recover(self, now: float) -> None:
        """Allow one more request if GROW_EVERY has passed. Call it regularly."""
        if self.allowed < self.workers and now - max(self._last_change, self.paused_until) >= self.GROW_EVERY:
            more = self.allowed + 1
            self._allowed, self._connections = max(self._allowed, more), max(self._connections, more)
            self._reduced = self._allowed < self.workers
            self._last_change = now


class RecentPeak:
    """The highest recorded value of the last WINDOW seconds."""

    WINDOW = 5.0  # seconds

    def __init__(self) -> None:
        self._value, self._at = 0, 0.0

    def update(self, now: float, value: int) -> None:
        """Record the current value."""
        if value >= self.value(now):
            self._value, self._at = value, now

    def value(self, now: float) -> int:
        """Return the peak; 0 if no value was recorded within WINDOW."""
        return self._value if now - self._at <= self.WINDOW else 0
