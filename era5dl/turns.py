"""Threads that compute take turns, so that they do not fight for the interpreter's lock at every system call.

Python drops its lock around each system call, however short, and whoever waits for it gets it: with eight threads a
small file costs seventy changes of thread, and each costs more than the call.  A thread that has the turn keeps it over
its short calls, since nobody else wants the interpreter meanwhile, and gives it away where it really waits: for the
network, for the disk to sync, for work.  Thousands of small objects take two thirds of the time, and half the CPU.

Some waits are long on one machine and nothing on another: a sync of a disk, the rest of an answer whose front is here.
Giving the turn away and waiting for it again costs more than such a wait where it is short, so `Waits` remembers
how long those of one kind usually take.

Large objects over TLS take turns, too, as many at a time as there are cores: each 16 KiB let go of the lock and want it
back, and eight threads that do so on two cores take a quarter longer than two. Such a turn lasts as long as bytes are
there, though not long.

The turn is a courtesy, not a lock.  Nothing is protected by it; who has lost patience goes on without it; and
where turns turn out to be long (calls into a network share are), nobody takes any for a while.
"""

from __future__ import annotations

import os
import threading
import time

PATIENCE = 0.05  # seconds that one waits for a turn of small objects
LONG = 0.005  # seconds; on average, a turn of small objects takes a tenth of it
SPELL = 0.02  # seconds that a turn of a large object lasts, while bytes are there
OFF = 1.0  # seconds without turns after they were long
BRIEF = 0.00005  # seconds; over a wait that is usually shorter, as a change of thread is, the turn is kept
_SMOOTHING = 16  # turns, or waits of one kind, over which their length is averaged


class _Mine(threading.local):
    since = 0.0  # when this thread got the turn, monotonic; 0 when it has none


class Turn:
    """What at most `places` threads have at a time. For a whole process, as the interpreter's lock is.

    long: seconds; where turns are longer on average, there are none for a while. patience: seconds that one waits.
    """

    def __init__(self, places: int = 1, long: float = LONG, patience: float = PATIENCE) -> None:
        self._lock = threading.Lock() if places == 1 else threading.Semaphore(places)
        self._long, self._patience = long, patience
        self._mine = _Mine()
        self._length = 0.0  # of a turn, smoothed
        self._off_until = 0.0  # monotonic

    def take(self) -> None:
        """Wait for the turn, though not for long. May be called again while it is held."""
        if not self._mine.since and time.monotonic() >= self._off_until and self._lock.acquire(timeout=self._patience):
            self._mine.since = time.monotonic()

    def give(self) -> None:
        """Let others have it; nothing happens when it is not held."""
        since, self._mine.since = self._mine.since, 0.0
        if since:
            now = time.monotonic()
            self._length += (now - since - self._length) / _SMOOTHING
            if self._length > self._long:
                self._length, self._off_until = 0.0, now + OFF
            self._lock.release()

    def away(self, waits: Waits | None = None) -> Away:
        """Around a wait: the turn is given away meanwhile, unless such waits are usually brief. Nothing happens when it
        is not held."""
        return Away(self, waits)

    @property
    def held(self) -> bool:
        """Whether this thread has it."""
        return bool(self._mine.since)

    @property
    def spent(self) -> bool:
        """Whether this thread has had it for so long that it is for others now."""
        return self.held and time.monotonic() - self._mine.since > SPELL


class Waits:
    """Those of one kind, each about as long as the other. (Threads that note theirs at once only blur the average.)"""

    def __init__(self) -> None:
        self._usual = 0.0  # seconds, smoothed; at first they are taken for brief

    @property
    def brief(self) -> bool:
        return self._usual < BRIEF

    def took(self, seconds: float) -> None:
        self._usual += (seconds - self._usual) / _SMOOTHING


class Away:
    def __init__(self, turn: Turn, waits: Waits | None) -> None:
        self._turn, self._waits = turn, waits

    def __enter__(self) -> None:
        self._held = self._turn.held
        self._since = time.monotonic() if self._held else 0.0
        if self._waits is None or not self._waits.brief:
            self._turn.give()

    def __exit__(self, *_: object) -> None:
        if self._held:
            if self._waits is not None:
                self._waits.took(time.monotonic() - self._since)
            self._turn.take()


def cores() -> int:
    """On how many this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


turn = Turn()  # of small objects
spell = Turn(cores(), 5 * SPELL, 25 * SPELL)  # of large ones; 64 threads on two cores wait for their turn that long
