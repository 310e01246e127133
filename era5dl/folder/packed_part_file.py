"""Part file of which only some byte ranges of an object are wanted: they are stored one after the other, without holes.

Not every file system has sparse files (FAT, exFAT), and others do not make them by default (NTFS). Without holes, the
file takes exactly the bytes that are wanted, and the check for free space is right everywhere.

Callers use offsets in the object. `PackedLayout` translates them to positions in the file. The same positions mean
other bytes in a file with another layout, so the resume file records the layout with the positions.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.part_file import PartFile
from era5dl.ranges import Range, RangeSet


class PackedLayout:
    """Translates offsets in an object to positions in a file that has only these ranges of it.

    ranges: sorted and disjoint. id: equal only for equal ranges.
    """

    def __init__(self, ranges: Iterable[Range]) -> None:
        self.ranges: Sequence[Range] = tuple(ranges)
        if any(stop <= start for start, stop in self.ranges) or any(
            after[0] < before[1] for before, after in zip(self.ranges, self.ranges[1:], strict=False)
        ):
            raise ValueError("the ranges of a packed file are empty, overlap or are not sorted")
        self._starts = [start for start, _ in self.ranges]
        self._places = list(accumulate((stop - start for start, stop in self.ranges), initial=0))
        self.size = self._places[-1]
        text = json.dumps(["packed", 1, self.ranges], separators=(",", ":"))
        self.id = hashlib.sha256(text.encode("ascii")).hexdigest()[:32]

    def place(self, offset: int, length: int) -> int:
        """Return the position in the file of these bytes of the object.

        Raises ValueError unless all of them are in one range.
        """
        index = bisect_right(self._starts, offset) - 1
        if index < 0 or offset + length > self.ranges[index][1]:
            raise ValueError(f"bytes {offset} to {offset + length} are not in one range of the packed file")
        return self._places[index] + offset - self._starts[index]

    def to_file(self, offsets: Iterable[Range]) -> RangeSet:
        """Return the positions in the file of these ranges of the object, without bytes that have none."""
        wanted = RangeSet(offsets)
        return RangeSet(
            (place + start - first, place + stop - first)
            for (first, last), place in zip(self.ranges, self._places, strict=False)
            for start, stop in wanted.overlapping(first, last)
        )

    def to_object(self, positions: Iterable[Range]) -> RangeSet:
        """Return the offsets in the object of these ranges of the file."""
        stored = RangeSet(positions)
        return RangeSet(
            (first + start - place, first + stop - place)
            for (first, last), place in zip(self.ranges, self._places, strict=False)
            for start, stop in stored.overlapping(place, place + last - first)
        )


class PackedPartFile(PartFile):
    """A part file with the bytes of some ranges of an object. Its methods take offsets in the object."""

    def __init__(self, path: Path | ConfinedPath, layout: PackedLayout, predecessor: PartFile | None = None) -> None:
        """predecessor: see PartFile."""
        super().__init__(path, layout.size, predecessor)
        self._layout = layout

    @property
    def layout(self) -> str:
        return self._layout.id

    def stored(self, offsets: RangeSet) -> RangeSet:
        return self._layout.to_file(offsets)

    def offsets(self, stored: RangeSet) -> RangeSet:
        return self._layout.to_object(stored)

    def write(self, offset: int, data: memoryview) -> None:
        super().write(self._layout.place(offset, len(data)), data)

    def read(self, offset: int, length: int) -> bytes:
        return super().read(self._layout.place(offset, length), length)

    def commit(self, final: Path) -> os.stat_result:
        """Never give the packed bytes a final name: other programs could not read them."""
        raise NotImplementedError(f"{self.path} has only parts of an object")
