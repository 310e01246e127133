"""Who hashes: threads whose streams are to be hashed at the same time let one of them do it for all, side by side.

A core hashes one stream at 0.6 GB/s, and eight side by side at 2 to 4 GB/s.  So while a thread hashes, others do not
begin beside it, on cores that are needed to receive bytes: they wait, and whoever leads next hashes for all who wait.
Where bytes come fast it even pays to wait until there are some more.  On a slow line nobody ever meets anybody, and
each hashes its own at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from era5dl.proof.md5_simd import LANES, Advance, Stream

MANY = 4  # threads; where fewer come, each does best to hash its own
LATELY = 32  # calls that are looked at, to see how many threads come, and how fast
RUSH = 0.004  # seconds between two calls, on average; where it is less, one waits until lanes are filled
FILL = 0.75  # of the threads that come, so many together are enough
PATIENCE = 0.01  # seconds; who has waited for so long does not wait for more


class Together:
    """The streams of many threads.

    advance: hashes up to LANES of them side by side. cores: that there are for all threads.
    """

    def __init__(self, advance: Advance, cores: int) -> None:
        self.advance = advance
        self._cores = cores
        self._lock = threading.Lock()
        self._waiting: deque[_Turn] = deque()
        self._leaders = 0  # threads that hash at this moment, for themselves and for others
        self._calls: deque[tuple[int, float]] = deque(maxlen=LATELY)  # by which thread, when (monotonic)

    def hash(self, stream: Stream) -> None:
        """Return when the blocks of the stream are hashed, by this thread or by another one."""
        mine = _Turn(stream)
        with self._lock:
            self._calls.append((threading.get_ident(), time.monotonic()))
            self._waiting.append(mine)
            leads = self._is_time() and self._leave(mine)
        if leads or self._wait(mine):
            try:
                self._lead(mine)
            finally:
                self._step_down()

    def _is_time(self) -> bool:
        """Whether one of those who wait is to lead: enough have come, and half of the cores are left for receiving."""
        threads = len({thread for thread, _ in self._calls})
        if threads < MANY:
            return self._leaders < self._cores
        in_a_rush = self._calls[-1][1] - self._calls[0][1] < RUSH * len(self._calls)
        enough = min(threads * FILL, LANES) if in_a_rush else 1
        return self._leaders < max(self._cores // 2, 1) and len(self._waiting) >= enough

    def _leave(self, mine: _Turn) -> bool:
        """Wait no longer, but lead; False where somebody hashes it already."""
        if mine not in self._waiting:
            return False
        self._waiting.remove(mine)
        self._leaders += 1
        return True

    def _wait(self, mine: _Turn) -> bool:
        """Until it is hashed; or True, and we lead."""
        if not mine.told.acquire(timeout=PATIENCE):
            with self._lock:
                if self._leave(mine):
                    return True
            mine.told.acquire()
        return not mine.is_hashed

    def _lead(self, mine: _Turn) -> None:
        """Hash our own stream, and those that have waited longest."""
        with self._lock:
            others = [self._waiting.popleft() for _ in range(min(LANES - 1, len(self._waiting)))]
        try:
            self.advance([mine.stream, *(other.stream for other in others)])
        except BaseException:  # no memory, say: then each leads, and hashes its own, so that nobody waits for ever
            with self._lock:
                self._leaders += len(others)
            raise
        else:
            for other in others:
                other.is_hashed = True
        finally:
            for other in others:
                other.told.release()

    def _step_down(self) -> None:
        """Let another one lead, if it is time."""
        with self._lock:
            self._leaders -= 1
            if self._waiting and self._is_time():
                self._leaders += 1
                self._waiting.popleft().told.release()


class _Turn:
    """A stream, and the thread that waits for it: it is told once, when it is hashed or when it is to lead."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.is_hashed = False
        self.told = threading.Lock()
        self.told.acquire()
