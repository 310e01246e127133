"""MD5 as hashlib computes it, of large streams in a fraction of the time where md5_simd.c was compiled."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from typing import Protocol

from era5dl.proof.md5_batching import Together
from era5dl.proof.md5_simd import BLOCK, Stream, compiled, padding

LARGE = 1 << 20  # bytes; for less hashlib is as good, and simpler
FEW = 64  # blocks; they are hashed sooner than one could wait for others


class Md5(Protocol):
    """What an MD5 can do."""

    def update(self, data: memoryview, /) -> None:
        """Go on with these bytes."""
        ...

    def hexdigest(self) -> str:
        """Of all bytes so far."""
        ...


def md5(size: int) -> Md5:
    """An MD5 of bytes that are still to come: about so many of them."""
    together = _together() if size >= LARGE else None
    return hashlib.md5(usedforsecurity=False) if together is None else LanedMd5(together)


def is_side_by_side() -> bool:
    """Whether md5_simd.c was compiled here, and is believed."""
    return _together() is not None


@cache
def _together() -> Together | None:
    """Where all large streams of this process meet; None where hashlib is to hash them."""
    advance = compiled()
    return None if advance is None else Together(advance, cores())


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LanedMd5:
    """One that is hashed together with those of other threads."""

    def __init__(self, together: Together) -> None:
        self._together = together
        self._stream = Stream()
        self._rest = b""  # of an unfinished block
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
        kept = stream.take(blocks)
        if stream.blocks < FEW:
            self._together.advance([stream])
        else:
            self._together.hash(stream)
        del kept
