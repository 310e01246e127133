"""MD5 of streams that arrive in several threads: hashlib, or many streams at once in SIMD lanes (`md5_simd.c`).

SIMD hashing halves the time of a verified download on two cores; measure it with `python -m tests.benchmarks.md5_simd`.
One core hashes one stream at 0.6 GB/s and eight streams in SIMD lanes at 2 to 4 GB/s. Where the library was not
compiled, hashlib does all the work behind the same interface.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from functools import cache
from typing import Protocol

from era5dl.proof.md5_simd import BLOCK, LANES, Advance, Stream, load_library, padding

LARGE = 1 << 20  # bytes; hashlib is as fast for smaller streams, and simpler
FEW = 64  # blocks; hashing so few takes less time than waiting for other threads

MANY = 4  # threads; where fewer hash, each does best to hash its own stream
RECENT_CALLS = 32  # calls from which the number of threads and their rate are estimated
RUSH = 0.004  # seconds between two calls, on average; at a higher rate a thread waits until lanes are filled
FILL = 0.75  # of the hashing threads; enough to fill the lanes with
PATIENCE = 0.01  # seconds that a thread waits for others at most


class Md5(Protocol):
    """The part of hashlib's interface that is used."""

    def update(self, data: memoryview, /) -> None:
        """Hash these bytes after all earlier ones."""
        ...

    def hexdigest(self) -> str:
        """Return the MD5 of all bytes so far, as hex."""
        ...


def md5(size: int) -> Md5:
    """Return a new MD5 for a stream of about `size` bytes."""
    batcher = _shared_batcher() if size >= LARGE else None
    return hashlib.md5(usedforsecurity=False) if batcher is None else SimdMd5(batcher)


def is_simd_available() -> bool:
    """Whether md5_simd.c was compiled here and computes correct MD5s."""
    return _shared_batcher() is not None


@cache
def _shared_batcher() -> Md5Batcher | None:
    """The batcher for all large streams of this process; None where hashlib has to do the work."""
    advance = load_library()
    return None if advance is None else Md5Batcher(advance, cores())


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SimdMd5:
    """An MD5 that is computed together with those of other threads."""

    def __init__(self, batcher: Md5Batcher) -> None:
        self._batcher = batcher
        self._stream = Stream()
        self._rest = b""  # bytes of an incomplete block
        self._length = 0

    def update(self, data: memoryview | bytes, /) -> None:
        self._length += len(data)
        if self._rest:
            front = data[: BLOCK - len(self._rest)]
            self._rest, data = self._rest + front, data[len(front) :]
            if len(self._rest) < BLOCK:
                return
            self._hash(self._stream, self._rest)
        whole = len(data) - len(data) % BLOCK
        self._rest = bytes(data[whole:])
        if whole:
            self._hash(self._stream, data[:whole])

    def hexdigest(self) -> str:
        end = Stream.from_buffer_copy(self._stream)
        self._hash(end, self._rest + padding(self._length))
        return end.hexdigest()

    def _hash(self, stream: Stream, blocks: memoryview | bytes) -> None:
        kept = stream.set_input(blocks)
        if stream.blocks < FEW:
            self._batcher.advance([stream])
        else:
            self._batcher.hash(stream)
        del kept


class Md5Batcher:
    """Lets one thread hash the streams of several waiting threads at once.

    While a thread hashes, others do not start beside it, on cores that are needed to receive bytes: they wait, and the
    next leader hashes for all that wait. When bytes arrive fast it pays to wait for some more streams. On a slow line
    the calls rarely coincide, and each thread hashes its own stream at once.

    advance: hashes up to LANES streams in parallel. cores: available to all threads together.
    """

    def __init__(self, advance: Advance, cores: int) -> None:
        self.advance = advance
        self._cores = cores
        self._lock = threading.Lock()
        self._waiting: deque[_Request] = deque()
        self._leaders = 0  # threads that are hashing now, for themselves and for others
        self._calls: deque[tuple[int, float]] = deque(maxlen=RECENT_CALLS)  # (thread, monotonic time)

    def hash(self, stream: Stream) -> None:
        """Hash the input of the stream, in this thread or in another one; return when that is done."""
        own = _Request(stream)
        with self._lock:
            self._calls.append((threading.get_ident(), time.monotonic()))
            self._waiting.append(own)
            leads = self._should_lead() and self._stop_waiting(own)
        if leads or self._wait(own):
            try:
                self._lead(own)
            finally:
                self._stop_leading()

    def _should_lead(self) -> bool:
        """Whether a waiting thread is to lead now: enough wait, and half of the cores are left for receiving."""
        threads = len({thread for thread, _ in self._calls})
        if threads < MANY:
            return self._leaders < self._cores
        is_rush = self._calls[-1][1] - self._calls[0][1] < RUSH * len(self._calls)
        enough = min(threads * FILL, LANES) if is_rush else 1
        return self._leaders < max(self._cores // 2, 1) and len(self._waiting) >= enough

    def _stop_waiting(self, own: _Request) -> bool:
        """Make this thread a leader; return False if another thread already hashes its stream."""
        if own not in self._waiting:
            return False
        self._waiting.remove(own)
        self._leaders += 1
        return True

    def _wait(self, own: _Request) -> bool:
        """Wait until the stream is hashed. Return True when this thread has to lead instead."""
        if not own.wake_up.acquire(timeout=PATIENCE):
            with self._lock:
                if self._stop_waiting(own):
                    return True
            own.wake_up.acquire()
        return not own.is_hashed

    def _lead(self, own: _Request) -> None:
        """Hash this thread's stream and those that have waited longest."""
        with self._lock:
            others = [self._waiting.popleft() for _ in range(min(LANES - 1, len(self._waiting)))]
        try:
            self.advance([own.stream, *(other.stream for other in others)])
        except BaseException:  # such as MemoryError: each then hashes its own stream, so that none waits for ever
            with self._lock:
                self._leaders += len(others)
            raise
        else:
            for other in others:
                other.is_hashed = True
        finally:
            for other in others:
                other.wake_up.release()

    def _stop_leading(self) -> None:
        """Hand over to a waiting thread if it is time."""
        with self._lock:
            self._leaders -= 1
            if self._waiting and self._should_lead():
                self._leaders += 1
                self._waiting.popleft().wake_up.release()


class _Request:
    """A stream whose thread waits; it is woken once, when the stream is hashed or when the thread has to lead."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.is_hashed = False
        self.wake_up = threading.Lock()
        self.wake_up.acquire()
