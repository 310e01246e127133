"""Interval set: integers stored as half-open ranges [start, stop). Used for received bytes and for finished objects.

Ranges are sorted and disjoint, and adjacent ones are merged, so a set filled in order stays a single range.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]


class RangeSet:
    """Set of integers as sorted, disjoint half-open ranges; adjacent ranges are merged. Not thread-safe."""

    __slots__ = ("_starts", "_stops")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in ranges:
            self.add(start, stop)

    def add(self, start: int, stop: int) -> None:
        """Add [start, stop). An empty range changes nothing."""
        if start >= stop:
            return
        first = bisect_left(self._stops, start)  # adjacent ranges are merged
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def remove(self, start: int, stop: int) -> None:
        """Remove [start, stop), whether or not it is in the set."""
        if start >= stop:
            return
        first = bisect_right(self._stops, start)
        last = bisect_left(self._starts, stop)
        if first >= last:
            return
        kept = [(self._starts[first], start), (stop, self._stops[last - 1])]
        kept = [(a, b) for a, b in kept if a < b]
        self._starts[first:last] = [a for a, _ in kept]
        self._stops[first:last] = [b for _, b in kept]

    def missing(self, start: int, stop: int) -> list[Range]:
        """Return the ranges of [start, stop) that are not in the set, in order."""
        gaps = []
        at = start
        for a, b in self.overlapping(start, stop):
            if at < a:
                gaps.append((at, a))
            at = b
        if at < stop:
            gaps.append((at, stop))
        return gaps

    def overlapping(self, start: int, stop: int) -> Iterator[Range]:
        """Yield the ranges of the set within [start, stop), clipped to it, in order."""
        if start >= stop:
            return
        index = bisect_right(self._stops, start)
        while index < len(self._starts) and self._starts[index] < stop:
            yield max(start, self._starts[index]), min(stop, self._stops[index])
            index += 1

    def covers(self, start: int, stop: int) -> bool:
        """Return whether all of [start, stop) is in the set; always True for an empty range."""
        return not self.missing(start, stop)

    def contiguous_end(self, start: int) -> int:
        """Return the end of the contiguous range that contains `start`; `start` itself when it is not in the set."""
        index = bisect_right(self._starts, start) - 1
        return self._stops[index] if index >= 0 and self._stops[index] > start else start

    def total(self) -> int:
        """Return the number of integers in the set."""
        return sum(self._stops) - sum(self._starts)

    def copy(self) -> RangeSet:
        """Return an independent copy."""
        twin = RangeSet()
        twin._starts, twin._stops = self._starts[:], self._stops[:]
        return twin

    def __contains__(self, value: int) -> bool:
        index = bisect_right(self._starts, value) - 1
        return index >= 0 and value < self._stops[index]

    def __iter__(self) -> Iterator[Range]:
        return iter(list(zip(self._starts, self._stops, strict=True)))

    def __len__(self) -> int:
        """Return the number of ranges, not of integers."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and (self._starts, self._stops) == (other._starts, other._stops)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"
