"""Sparse bytes: the byte ranges of a file that are in memory, and the errors of a reader that works on them.

The reader does no I/O. If it needs bytes that are not in memory, it raises MissingBytes with all ranges known at
that point. The caller fetches them at the same time, adds them, and calls the reader again. Every call starts from
the beginning; a budget for each file limits what all calls together may take.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from era5dl.ranges import Range

_PAGE = 1 << 12  # bytes; missing ranges are extended to whole pages, because structures are next to each other
_MAX_ROUNDS = 12  # of requests; files of the bucket take two or three
_MAX_REQUESTED = 1 << 24  # bytes in these requests; files of the bucket take at most about 200 kB
_MAX_WORK = 1 << 21  # units of Budget; files of the bucket take 30,000 to 200,000
_STRUCTURE = 64  # units for each structure, whatever its size
_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class DamagedFile(ValueError):
    """The file is not an HDF5 file, or its structure is damaged."""


class UnsupportedLayout(ValueError):
    """The file uses a feature of HDF5 that this reader does not know, or has a very large index.

    It may be valid; fetch all of it.
    """


class MissingBytes(Exception):
    """These ranges [start, stop) are needed to continue. No range is empty, so fetching them is always progress."""

    def __init__(self, ranges: list[Range]) -> None:
        super().__init__(ranges)
        assert ranges, "no range is missing"
        assert all(start < stop for start, stop in ranges), ranges
        self.ranges = ranges


class Budget:
    """Limits the rounds of requests, the bytes in them, and the work of reading the index of one file.

    Structures of a damaged or malicious file may refer to the same bytes many times, and may form long chains. Without
    a limit for the whole file a few kB could keep the reader busy for minutes. One unit of work is about the time of
    reading and verifying one byte, a quarter of a microsecond. The methods raise UnsupportedLayout at a limit.
    """

    def __init__(self) -> None:
        self._rounds = self._requested = self._work = 0

    def spend(self, length: int, structures: int = 1) -> None:
        """Count the work of reading `structures` with `length` bytes in all."""
        self._work += length + structures * _STRUCTURE
        if self._work > _MAX_WORK:
            raise UnsupportedLayout("a very large index")

    def count_round(self, ranges: Iterable[Range]) -> None:
        """Count one round of requests for these ranges."""
        self._rounds += 1
        self._requested += sum(stop - start for start, stop in ranges)
        if self._rounds > _MAX_ROUNDS or self._requested > _MAX_REQUESTED:
            raise UnsupportedLayout("an index in very many places")


class SparseBytes:
    """Byte ranges of a file of `size` bytes. Adjacent and overlapping ranges are joined."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.budget = Budget()
        self._starts: list[int] = []
        self._blocks: list[bytes] = []

    def add(self, start: int, data: bytes) -> None:
        """Add the bytes of the file from `start`. Raises ValueError when they do not fit into it."""
        if start < 0 or start + len(data) > self.size:
            raise ValueError(f"{len(data)} bytes at {start} are not in a file of {self.size} bytes")
        stop = start + len(data)
        first = bisect_left(self._starts, start)
        if first and self._stop(first - 1) >= start:
            first -= 1
        last = bisect_right(self._starts, stop)
        if first < last:
            before, after = self._starts[first], self._stop(last - 1)
            head = self._blocks[first][: max(start - before, 0)]
            tail = self._blocks[last - 1][len(self._blocks[last - 1]) - max(after - stop, 0) :]
            start, data = min(start, before), head + data + tail
        self._starts[first:last] = [start]
        self._blocks[first:last] = [bytes(data)]

    def get(self, start: int, length: int) -> bytes:
        """Return these bytes. Raises MissingBytes when some are missing, DamagedFile beyond the end of the file."""
        if start < 0 or length < 0 or start + length > self.size:
            raise DamagedFile(f"bytes {start} to {start + length} of a file of {self.size} bytes")
        if not length:
            return b""
        index = bisect_right(self._starts, start) - 1
        if index < 0 or self._stop(index) < start + length:
            stop = -(-(start + length) // _PAGE) * _PAGE
            raise MissingBytes([(start // _PAGE * _PAGE, min(stop, self.size))])
        offset = start - self._starts[index]
        return self._blocks[index][offset : offset + length]

    def read_structure(self, start: int, length: int) -> bytes:
        """Return these bytes of the index, and count the work of reading them. Raises what `get` and Budget raise."""
        self.budget.spend(length)
        return self.get(start, length)

    def require(self, ranges: Iterable[Range]) -> None:
        """Raise MissingBytes if any of these ranges is not in memory, DamagedFile beyond the end of the file."""
        missing = MissingRanges()
        for start, stop in ranges:
            missing.attempt(self.get, start, stop - start)
        missing.raise_if_any()

    @property
    def held(self) -> int:
        """The number of bytes in memory."""
        return sum(map(len, self._blocks))

    def _stop(self, index: int) -> int:
        return self._starts[index] + len(self._blocks[index])


class MissingRanges:
    """Collects the ranges that independent steps of a reader lack, so that one round of requests fetches them all."""

    def __init__(self) -> None:
        self._ranges: list[Range] = []

    def attempt(
        self, read: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result | None:
        """Return what `read` returns; None when it raises MissingBytes, whose ranges are kept."""
        try:
            return read(*args, **kwargs)
        except MissingBytes as error:
            self._ranges += error.ranges
            return None

    def raise_if_any(self) -> None:
        """Raise MissingBytes with all ranges that were kept."""
        if self._ranges:
            raise MissingBytes(self._ranges)
