"""MD5 of streams in several threads: with hashlib, or for several streams at once in SIMD lanes (`md5_simd.c`).

SIMD hashing halves the time of a verified download on two cores; measure it with `python -m tests.benchmarks.md5_simd`.
One core hashes one stream at 0.6 GB/s and eight streams in SIMD lanes at 2 to 4 GB/s. If the library was not compiled,
hashlib is used behind the same interface.
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

LARGE = 1 << 20  # bytes; for smaller streams hashlib is as fast
FEW = 64  # blocks; fewer are hashed at once, since waiting for other threads would take longer

MANY = 4  # threads; if fewer threads hash, each hashes its own stream
RECENT_CALLS = 32  # calls from which the number of threads and the rate of calls are estimated
RUSH = 0.004  # mean seconds between calls; if calls are more frequent, a thread waits for other streams
FILL = 0.75  # share of the hashing threads whose streams have to wait before a thread starts to hash
PATIENCE = 0.01  # maximum of seconds that a thread waits for others


class Md5(Protocol):
    """The methods of hashlib's objects that are used."""

    def update(self, data: memoryview, /) -> None:
        """Hash the next bytes of the stream."""
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
    """Return the batcher for all large streams of this process; None if SIMD is not available."""
    advance = load_library()
    return None if advance is None else Md5Batcher(advance, cores())


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SimdMd5:
    """An MD5 that is computed together with the MD5s of other threads."""

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
    """Lets one thread, the leader, hash the streams of several waiting threads at once.

    Half of the cores are left for receiving bytes. So while enough leaders hash, other threads wait, and the next
    leader hashes their streams, too. If bytes arrive fast, a thread also waits until there are more streams. On a slow
    connection calls rarely coincide, and each thread hashes its own stream at once.

    advance: hashes up to LANES streams in parallel. cores: number of CPU cores.
    """

    def __init__(self, advance: Advance, cores: int) -> None:
        self.advance = advance
        self._cores = cores
        self._lock = threading.Lock()
        self._waiting: deque[_Request] = deque()
        self._leaders = 0  # number of threads that are hashing
        self._calls: deque[tuple[int, float]] = deque(maxlen=RECENT_CALLS)  # (thread, monotonic time)

    def hash(self, stream: Stream) -> None:
        """Hash the input of the stream in this or another thread; return when that is done."""
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
        """Whether a waiting thread should become a leader: enough streams wait, and half of the cores stay free."""
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
        """Wait until the stream is hashed. Return True if this thread has become a leader instead."""
        if not own.wake_up.acquire(timeout=PATIENCE):
            with self._lock:
                if self._stop_waiting(own):
                    return True
            own.wake_up.acquire()
        return not own.is_hashed

    def _lead(self, own: _Request) -> None:
        """Hash this thread's stream and the streams that have waited longest."""
        with self._lock:
            others = [self._waiting.popleft() for _ in range(min(LANES - 1, len(self._waiting)))]
        try:
            self.advance([own.stream, *(other.stream for other in others)])
        except BaseException:  # such as MemoryError: the others become leaders, so that none waits for ever
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
        """Make a waiting thread a leader if there should be another one."""
        with self._lock:
            self._leaders -= 1
            if self._waiting and self._should_lead():
                self._leaders += 1
                self._waiting.popleft().wake_up.release()


class _Request:
    """A stream whose thread waits. The thread is woken once: when the stream is hashed, or to become a leader."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.is_hashed = False
        self.wake_up = threading.Lock()
        self.wake_up.acquire()
