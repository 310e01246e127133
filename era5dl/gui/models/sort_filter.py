"""Sorting, searching and filtering of the queue: the order in which up to 100,000 files are shown. No Tk.

During a run the order is computed every second on the Tk thread, so that it must take only a millisecond or two. Files
in the order of the plan are therefore stored as a mask, one byte per file, instead of a list. The k-th row is found by
counting blocks of the mask.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import accumulate, chain, compress

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.progress import FINISHED, FileState
from era5dl.gui.models.key_columns import OTHER, KeyColumns

_BLOCK = 1024  # bytes of a mask that are counted together; their indices are listed when one of the rows is needed
_DONE = tuple(sorted(FINISHED))
_BY_ACTIVITY = ((FileState.ACTIVE,), (FileState.FAILED,), (FileState.WAITING,), (FileState.HELD,), _DONE)


class SortKey(Enum):
    """The column that the rows are sorted by."""

    ACTIVITY = "activity"  # active files first, then failed, waiting, held and finished ones
    GROUPED = "grouped"  # a heading for each variable, then its files by period
    VARIABLE = "variable"  # by name, then by period
    PERIOD = "period"
    PRODUCT = "product"
    KEY = "key"
    PROGRESS = "progress"
    SIZE = "size"
    SPEED = "speed"
    STATUS = "status"
    ATTEMPTS = "attempts"


_STATIC = frozenset({SortKey.VARIABLE, SortKey.PERIOD, SortKey.PRODUCT, SortKey.KEY, SortKey.SIZE})
"""Orders by values that do not change during a run."""


class QueueSorter:
    """Computes the order of the rows from the states of the files. `search` restricts it to matching files."""

    def __init__(self, objects: Sequence[ObjectInfo], sizes: Mapping[int, int] | None = None) -> None:
        """sizes: of files that have another size than their object, by index; see `forget_sizes`."""
        self._objects = objects
        self._sizes: Mapping[int, int] = {} if sizes is None else sizes
        self._matches: bytes | None = None  # mask of the files that the search finds; None while there is no search
        self._static: dict[SortKey, list[int]] = {}
        self._groups: list[tuple[int, list[int]]] = []  # number of the variable, and its files by period
        self._columns: KeyColumns | None = None

    @property
    def columns(self) -> KeyColumns:
        """Variables and periods of the files."""
        if self._columns is None:
            self._columns = KeyColumns(self._objects)
        return self._columns

    def search(self, text: str) -> None:
        """Show only files whose key, variable or period contains every word of the text."""
        self._matches = None
        for word in text.lower().split():
            found = self.columns.matches(word)
            self._matches = found if self._matches is None else mask_and(self._matches, found)

    def forget_names(self) -> None:
        """Forget the orders by name, which depend on the language."""
        for key in (SortKey.VARIABLE, SortKey.PRODUCT):
            self._static.pop(key, None)

    def forget_sizes(self) -> None:
        """Forget the order by size, after a change of `sizes`."""
        self._static.pop(SortKey.SIZE, None)

    def group(self, number: int, mask: bytes) -> list[int]:
        """Return the files of a group at which the mask has 1."""
        return next((_where(mask, files) for one, files in self._grouped() if one == number), [])

    def mask(self, states: bytes, wanted: Iterable[FileState]) -> bytes:
        """Return a mask with 1 for each file in one of these states that matches the search."""
        table = bytearray(256)
        for state in wanted:
            table[state] = 1
        mask = states.translate(bytes(table))
        return mask if self._matches is None else mask_and(mask, self._matches)

    def arrange(
        self,
        states: bytes,
        shown: Sequence[FileState],
        key: SortKey,
        values: Mapping[int, float],
        *,
        descending: bool = False,
    ) -> RowOrder:
        """Return the rows. states: a `FileState` as a byte for each file. shown: the states of files to show.

        values: for SPEED, PROGRESS and ATTEMPTS, the values of files that may differ; all other files are equal.
        """
        return RowOrder(self._parts(states, shown, key, values), reverse=descending)

    def _parts(
        self, states: bytes, shown: Sequence[FileState], key: SortKey, values: Mapping[int, float]
    ) -> list[Part]:
        if key in _STATIC:
            return [_where(self.mask(states, shown), self._static_order(key))]
        if key is SortKey.GROUPED:
            mask = self.mask(states, shown)
            found = ((number, _where(mask, files)) for number, files in self._grouped())
            return [part for number, files in found if files for part in ([heading_id(number)], files)]
        if key is SortKey.STATUS:
            return [MaskedIndices(self.mask(states, (state,))) for state in shown]
        if key is SortKey.ACTIVITY:
            groups = ([state for state in group if state in shown] for group in _BY_ACTIVITY)
            return [MaskedIndices(self.mask(states, group)) for group in groups if group]
        complete = _DONE if key is SortKey.PROGRESS else ()
        mask = self.mask(states, [state for state in shown if state not in complete])
        sorted_few = sorted((index for index in values if mask[index]), key=values.__getitem__)
        last = self.mask(states, [state for state in shown if state in complete])
        return [MaskedIndices(mask_without(mask, sorted_few)), sorted_few, MaskedIndices(last)]

    def _static_order(self, key: SortKey) -> list[int]:
        if key not in self._static:
            self._static[key] = self._sorted_by(key)
        return self._static[key]

    def _sorted_by(self, key: SortKey) -> list[int]:
        """Return the files sorted by a value that does not change; equal ones by period or in the order of the plan."""
        objects, everything = self._objects, range(len(self._objects))
        if key is SortKey.SIZE:
            sizes = [obj.size for obj in objects]
            for index, size in self._sizes.items():
                sizes[index] = size
            return sorted(everything, key=sizes.__getitem__)
        if key is SortKey.KEY:
            return sorted(everything, key=[obj.key for obj in objects].__getitem__)
        if key is SortKey.PERIOD:
            ranks = self.columns.period_ranks()
            return sorted(everything, key=[ranks[number] for number in self.columns.period_of].__getitem__)
        ranks = self.columns.variable_ranks() if key is SortKey.VARIABLE else self.columns.product_ranks()
        column = [ranks[number] for number in self.columns.variable_of]
        return sorted(self._static_order(SortKey.PERIOD), key=column.__getitem__)

    def _grouped(self) -> list[tuple[int, list[int]]]:
        """Return the files of each variable by period, variables in the order of the plan, other files at the end."""
        if not self._groups and self._objects:
            by_number: dict[int, list[int]] = {}
            for index in self._static_order(SortKey.PERIOD):
                by_number.setdefault(self.columns.variable_of[index], []).append(index)
            self._groups = sorted(by_number.items(), key=lambda group: (group[0] == OTHER, group[0]))
        return self._groups


def heading_id(number: int) -> int:
    """Return the id of the heading of a variable: negative, while those of files are not."""
    return -1 - number


def _where(mask: bytes, indices: list[int]) -> list[int]:
    """Return those of the indices at which the mask has 1."""
    return indices if mask.count(1) == len(mask) else list(compress(indices, map(mask.__getitem__, indices)))


def mask_and(one: bytes, other: bytes) -> bytes:
    """Return a mask with 1 at the indices at which both have 1."""
    return (int.from_bytes(one, "big") & int.from_bytes(other, "big")).to_bytes(len(one), "big")


def mask_without(mask: bytes, indices: Collection[int]) -> bytes:
    """Return the mask with 0 at these indices."""
    changed = bytearray(mask)
    for index in indices:
        changed[index] = 0
    return bytes(changed)


class MaskedIndices:
    """The indices at which a mask has 1, ascending, as a sequence."""

    def __init__(self, mask: bytes) -> None:
        self._mask = mask
        counts = (mask.count(1, start, start + _BLOCK) for start in range(0, len(mask), _BLOCK))
        self._before = [0, *accumulate(counts)]  # rows before each block
        self._listed: tuple[int, list[int]] = (-1, [])  # the block that was used last, and its indices

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

    def index(self, value: int) -> int:
        """Return the position of an index. Raises ValueError if the mask has 0 there."""
        if not 0 <= value < len(self._mask) or not self._mask[value]:
            raise ValueError(value)
        block = value // _BLOCK
        return self._before[block] + self._mask.count(1, block * _BLOCK, value)


Part = MaskedIndices | list[int]


class RowOrder:
    """Maps positions in the table to indices in the plan and back. It is a concatenation of parts."""

    def __init__(self, parts: Sequence[Part], *, reverse: bool = False) -> None:
        self._parts = [part for part in parts if len(part)]
        self._ends = list(accumulate(map(len, self._parts)))
        self._reverse = reverse

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, position: int) -> int:
        """Return the index in the plan of the row at this position."""
        if self._reverse:
            position = len(self) - 1 - position
        number = bisect_right(self._ends, position)
        part = self._parts[number]
        return part[position - self._ends[number] + len(part)]

    def __iter__(self) -> Iterator[int]:
        """Yield all indices, faster than by position, and never in reversed order."""
        return chain.from_iterable(self._parts)

    def position_of(self, index: int) -> int | None:
        """Return the position of an index of the plan; None if it is not shown."""
        for part, end in zip(self._parts, self._ends, strict=True):
            try:
                position = end - len(part) + part.index(index)
            except ValueError:
                continue
            return len(self) - 1 - position if self._reverse else position
        return None
