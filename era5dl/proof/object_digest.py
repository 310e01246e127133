"""The MD5 of an object while its bytes arrive, in whatever order, from however many threads.

An object is a row of parts (one, unless it was a multipart upload).  Each part is hashed from its front; bytes that
come at the front of a part are hashed as they pass, all others are read back from the part file later, out of the page
cache.  Only whole parts have a digest that can be kept across a restart.  Hashing lets go of the GIL, so no lock is
held over it.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping

from era5dl.proof.etag import multipart_md5
from era5dl.proof.md5 import Md5, md5
from era5dl.ranges import Range, RangeSet

READ_BACK = 1 << 18  # bytes read from disk at a time, by each of up to 64 threads

Read = Callable[[int, int], bytes]
"""(offset, length) -> the bytes of the part file there."""


class Digest:
    """The MD5s of the parts of one object of `size` bytes. Thread-safe.

    part_size: of all parts but the last. known: digests of whole parts from an earlier run.
    """

    def __init__(self, size: int, part_size: int | None = None, known: Mapping[int, str] | None = None) -> None:
        self._size = size
        step = part_size or max(size, 1)
        self.parts: list[Range] = [(at, min(at + step, size)) for at in range(0, max(size, 1), step)]
        self._starts = [start for start, _ in self.parts]
        self._lock = threading.Lock()
        self._done: dict[int, str] = {i: d for i, d in (known or {}).items() if 0 <= i < len(self.parts)}
        self._running: dict[int, tuple[Md5, int]] = {}  # part -> (its MD5 so far, hashed up to this offset)
        self._claimed: set[int] = set()  # parts that some thread is hashing at this moment

    def anew(self) -> Digest:
        """One of the same parts that has hashed nothing yet."""
        return Digest(self._size, self.parts[0][1] or None)

    def feed(self, offset: int, data: memoryview) -> None:
        """These bytes are now at `offset` of the part file. Hashes what lies at the front of a part."""
        stop = offset + len(data)
        index = bisect_right(self._starts, offset) - 1
        while offset < stop:
            end = min(stop, self.parts[index][1])
            self._advance(index, offset, data[: end - offset])
            data, offset, index = data[end - offset :], end, index + 1

    def catch_up(self, available: RangeSet, read: Read, stopped: Callable[[], bool] = bool) -> bool:
        """Hash from disk what is there and has not been hashed. True when every part has its digest."""
        for index, (start, stop) in enumerate(self.parts):
            at = self._front(index)
            while at is not None and at < stop and not stopped():
                end = min(stop, available.run_from(at), at + READ_BACK)
                if end <= at or not self._advance(index, at, memoryview(read(at, end - at))):
                    break
                at = end
            if start == stop:  # an empty object has one empty part
                self._advance(index, start, memoryview(b""))
        return self.complete

    @property
    def complete(self) -> bool:
        """Whether every part has its digest."""
        with self._lock:
            return len(self._done) == len(self.parts)

    def whole_parts(self) -> dict[int, str]:
        """Part number from 0 -> MD5 as hex, of the parts that are complete."""
        with self._lock:
            return dict(self._done)

    def forget(self, index: int) -> None:
        """The bytes of this part will be fetched again."""
        with self._lock:
            self._done.pop(index, None)
            self._running.pop(index, None)

    def etag(self, *, multipart: bool) -> str:
        """The MD5 as an ETag writes it, without quotes: of the object, or of its parts' MD5s and their number."""
        with self._lock:
            digests = [self._done[i] for i in range(len(self.parts))]
        return f"{multipart_md5(digests)}-{len(digests)}" if multipart else digests[0]

    def _front(self, index: int) -> int | None:
        """Up to where this part is hashed; None when it is complete."""
        with self._lock:
            if index in self._done:
                return None
            return self._running[index][1] if index in self._running else self.parts[index][0]

    def _advance(self, index: int, offset: int, data: memoryview) -> bool:
        """Hash `data` if it lies exactly at the front of this part and nobody else is at it."""
        start, stop = self.parts[index]
        with self._lock:
            if index in self._done or index in self._claimed:
                return False
            so_far, front = self._running.get(index) or (md5(stop - start), start)
            if front != offset:
                return False
            self._claimed.add(index)
        so_far.update(data)
        with self._lock:
            self._claimed.discard(index)
            front += len(data)
            if front == stop:
                self._done[index] = so_far.hexdigest()
                self._running.pop(index, None)
            else:
                self._running[index] = (so_far, front)
        return True
