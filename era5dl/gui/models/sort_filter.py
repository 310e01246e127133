"""Rows in their order, a hundred thousand of them, of which nothing is listed that nobody looks at. No Tk.

An order is made anew every second while files end, on the thread that draws: it has a millisecond or two. So a part of
it that is in the order of the plan anyway stays what it is, a mask with one byte a file, and the k-th row is found by
counting blocks of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, chain, compress

_BLOCK = 1024  # bytes of a mask that are counted together, and listed when a row of them is looked at


def mask_and(one: bytes, other: bytes) -> bytes:
    """A mask with 1 where both have 1."""
    return (int.from_bytes(one, "big") & int.from_bytes(other, "big")).to_bytes(len(one), "big")


def mask_without(mask: bytes, places: Collection[int]) -> bytes:
    """The mask with 0 in these places."""
    changed = bytearray(mask)
    for place in places:
        changed[place] = 0
    return bytes(changed)


class MaskedIndices:
    """The places in which a mask has 1, ascending."""

    def __init__(self, mask: bytes) -> None:
        self._mask = mask
        counts = (mask.count(1, start, start + _BLOCK) for start in range(0, len(mask), _BLOCK))
        self._before = [0, *accumulate(counts)]  # rows in front of each block
        self._listed: tuple[int, list[int]] = (-1, [])  # the block that was looked at last

    def __len__(self) -> int:
        return self._before[-1]

    def __getitem__(self, position: int) -> int:
        block = bisect_right(self._before, position) - 1
        if self._listed[0] != block:
            start = block * _BLOCK
            stop = start + _BLOCK
            self._listed = (block, list(compress(range(start, stop), self._mask[start:stop])))
        return self._listed[1][position - self._before[block]]

    def __iter__(self) -> Iterator[int]:
        return compress(range(len(self._mask)), self._mask)

    def index(self, place: int) -> int:
        """Where a place is; ValueError where it is not."""
        if not 0 <= place < len(self._mask) or not self._mask[place]:
            raise ValueError(place)
        block = place // _BLOCK
        return self._before[block] + self._mask.count(1, block * _BLOCK, place)


Part = MaskedIndices | list[int]


class RowOrder:
    """Parts, one after the other; or all of it from its end."""

    def __init__(self, parts: Sequence[Part], *, backwards: bool = False) -> None:
        self._parts = [part for part in parts if len(part)]
        self._ends = list(accumulate(map(len, self._parts)))
        self._backwards = backwards

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, position: int) -> int:
        """The place in the plan of the row in this position."""
        if self._backwards:
            position = len(self) - 1 - position
        number = bisect_right(self._ends, position)
        part = self._parts[number]
        return part[position - self._ends[number] + len(part)]

    def __iter__(self) -> Iterator[int]:
        """All of them, quicker than one by one; forwards."""
        return chain.from_iterable(self._parts)

    def position_of(self, place: int) -> int | None:
        """Where a place in the plan is shown; None where it is not."""
        for part, end in zip(self._parts, self._ends, strict=True):
            try:
                position = end - len(part) + part.index(place)
            except ValueError:
                continue
            return len(self) - 1 - position if self._backwards else position
        return None
