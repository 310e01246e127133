"""Sets of whole numbers kept as half-open ranges [start, stop): which bytes are there, which objects are done.

Sorted, disjoint and never touching, so that a set grown in order stays one range however long it gets.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]


class RangeSet:
    """A set of integers as sorted, disjoint, non-touching half-open ranges. Not thread-safe."""

    __slots__ = ("_starts", "_stops")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in ranges:
            self.add(start, stop)

    def add(self, start: int, stop: int) -> None:
        """Add [start, stop); an empty range changes nothing."""
        if start >= stop:
            return
        first = bisect_left(self._stops, start)  # touching neighbours join
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def remove(self, start: int, stop: int) -> None:
        """Take [start, stop) out; what is not in the set is ignored."""
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
        """The ranges of [start, stop) that are not in the set, in order."""
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
        """The ranges of the set within [start, stop), clipped to it, in order."""
        if start >= stop:
            return
        index = bisect_right(self._stops, start)
        while index < len(self._starts) and self._starts[index] < stop:
            yield max(start, self._starts[index]), min(stop, self._stops[index])
            index += 1

    def covers(self, start: int, stop: int) -> bool:
        """Whether all of [start, stop) is in the set; an empty range always is."""
        return not self.missing(start, stop)

    def contiguous_end(self, start: int) -> int:
        """Where the unbroken run that begins at `start` ends; `start` itself when it is not in the set."""
        index = bisect_right(self._starts, start) - 1
        return self._stops[index] if index >= 0 and self._stops[index] > start else start

    def total(self) -> int:
        """How many integers are in the set."""
        return sum(self._stops) - sum(self._starts)

    def copy(self) -> RangeSet:
        """A set of its own with the same ranges."""
        twin = RangeSet()
        twin._starts, twin._stops = self._starts[:], self._stops[:]
        return twin

    def __contains__(self, value: int) -> bool:
        index = bisect_right(self._starts, value) - 1
        return index >= 0 and value < self._stops[index]

    def __iter__(self) -> Iterator[Range]:
        return iter(list(zip(self._starts, self._stops, strict=True)))

    def __len__(self) -> int:
        """How many ranges it takes, not how many integers."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and (self._starts, self._stops) == (other._starts, other._stops)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"
