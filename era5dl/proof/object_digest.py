"""Object digest: computes the MD5s of an object's parts while its bytes arrive in any order and in many threads.

An object has one part, unless it was a multipart upload. Each part is hashed from its first byte on. Bytes that follow
the bytes hashed so far are hashed on arrival; all others are read from the part file later, usually from the page
cache. Only MD5s of complete parts can be kept across a restart. Hashing releases the GIL, so no lock is held during it.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping

from era5dl.proof.etag import multipart_md5
from era5dl.proof.md5 import Md5, md5
from era5dl.ranges import Range, RangeSet

READ_SIZE = 1 << 18  # bytes per read from disk; there may be such a buffer in each of 64 threads

Read = Callable[[int, int], bytes]
"""Function (offset, length) that returns bytes of the part file."""


class ObjectDigest:
    """The MD5s of the parts of one object of `size` bytes. Thread-safe.

    part_size: size of all parts except the last; None for a single part. known: MD5s of an earlier run by part index.
    """

    def __init__(self, size: int, part_size: int | None = None, known: Mapping[int, str] | None = None) -> None:
        self._size = size
        step = part_size or max(size, 1)
        self.parts: list[Range] = [(at, min(at + step, size)) for at in range(0, max(size, 1), step)]
        self._starts = [start for start, _ in self.parts]
        self._lock = threading.Lock()
        self._done: dict[int, str] = {i: d for i, d in (known or {}).items() if 0 <= i < len(self.parts)}
        self._running: dict[int, tuple[Md5, int]] = {}  # by part index: the MD5 so far, and the end of the hashed bytes
        self._claimed: set[int] = set()  # parts that a thread is hashing

    def fresh(self) -> ObjectDigest:
        """Return a new digest with the same parts, in which no byte is hashed."""
        return ObjectDigest(self._size, self.parts[0][1] or None)

    def update(self, offset: int, data: memoryview) -> None:
        """Hash bytes that were written at `offset`, as far as they follow the bytes of a part hashed so far."""
        stop = offset + len(data)
        index = bisect_right(self._starts, offset) - 1
        while offset < stop:
            end = min(stop, self.parts[index][1])
            self._hash(index, offset, data[: end - offset])
            data, offset, index = data[end - offset :], end, index + 1

    def hash_remaining(self, available: RangeSet, read: Read, stopped: Callable[[], bool] = bool) -> bool:
        """Read and hash the available bytes that are not hashed yet. Return whether all parts are complete."""
        for index, (start, stop) in enumerate(self.parts):
            at = self._hashed_up_to(index)
            while at is not None and at < stop and not stopped():
                end = min(stop, available.contiguous_end(at), at + READ_SIZE)
                if end <= at or not self._hash(index, at, memoryview(read(at, end - at))):
                    break
                at = end
            if start == stop:  # an empty object has one empty part
                self._hash(index, start, memoryview(b""))
        return self.complete

    @property
    def complete(self) -> bool:
        """Whether every part has its MD5."""
        with self._lock:
            return len(self._done) == len(self.parts)

    def part_md5s(self) -> dict[int, str]:
        """Return the MD5s (hex) of the complete parts by part index, from 0."""
        with self._lock:
            return dict(self._done)

    def reset_part(self, index: int) -> None:
        """Drop the MD5 of a part whose bytes will be fetched again."""
        with self._lock:
            self._done.pop(index, None)
            self._running.pop(index, None)

    def etag(self, *, multipart: bool) -> str:
        """Return the ETag of the object without quotes: its MD5, or the MD5 of its part MD5s with their number."""
        with self._lock:
            digests = [self._done[i] for i in range(len(self.parts))]
        return f"{multipart_md5(digests)}-{len(digests)}" if multipart else digests[0]

    def _hashed_up_to(self, index: int) -> int | None:
        """Return the end of the hashed bytes of this part; None if the part is complete."""
        with self._lock:
            if index in self._done:
                return None
            return self._running[index][1] if index in self._running else self.parts[index][0]

    def _hash(self, index: int, offset: int, data: memoryview) -> bool:
        """Hash `data` if it follows the bytes of this part hashed so far and no other thread is hashing the part.
        Return whether it was hashed."""
        start, stop = self.parts[index]
        with self._lock:
            if index in self._done or index in self._claimed:
                return False
            part_md5, front = self._running.get(index) or (md5(stop - start), start)
            if front != offset:
                return False
            self._claimed.add(index)
        part_md5.update(data)
        with self._lock:
            self._claimed.discard(index)
            front += len(data)
            if front == stop:
                self._done[index] = part_md5.hexdigest()
                self._running.pop(index, None)
            else:
                self._running[index] = (part_md5, front)
        return True
