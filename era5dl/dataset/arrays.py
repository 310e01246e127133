"""Lazy arrays of xarray over many files: values of a variable are read from its files when they are needed."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from era5dl.catalog import DerivedVariable
from era5dl.dataset.places import Indices, Layout
from era5dl.dataset.time_axis import Segment
from era5dl.errors import Era5Error
from era5dl.subset.merge_source import REMEDY, Source

_THREADS = min(4, os.cpu_count() or 1)

Values = NDArray[Any]


class _Readable(Protocol):
    shape: tuple[int, ...]

    def read(self, key: tuple[Any, ...]) -> Values: ...


def _read_by(array: _Readable, key: indexing.ExplicitIndexer) -> Values:
    """Let xarray convert any kind of index to the orthogonal ones of `read`."""
    support = indexing.IndexingSupport.OUTER
    return np.asarray(indexing.explicit_indexing_adapter(key, array.shape, support, array.read))


class FilesArray(BackendArray):
    """The values of one variable: time, level if it has any, latitude and longitude (or station). NaN where the files
    have the fill value, and at hours that no file has.

    Files are opened only while they are read, and compared with the layout that was read at first: Era5Error, which
    names the file, for one that is damaged or has another. Nothing but plain data is kept, so it can be pickled.
    """

    def __init__(
        self,
        root: Path,
        segments: Sequence[Segment],
        layouts: Mapping[str, tuple[Layout, tuple[Indices, ...]]],
        shape: tuple[int, ...],
    ) -> None:
        """layouts: by the form of the files; with the indices of the wanted places, for each dimension after time."""
        self.shape = shape
        first, _ = next(iter(layouts.values()))
        self.dtype = np.dtype(first.structure.datatype).newbyteorder("=")
        self._root = root
        self._segments = list(segments)
        self._starts = [segment.start for segment in segments]
        self._layouts = dict(layouts)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Values:
        return _read_by(self, key)

    def read(self, key: tuple[Any, ...]) -> Values:
        """Return the elements of an orthogonal index: a number, slice or array for each dimension."""
        picked = [np.arange(length)[one] for one, length in zip(key, self.shape, strict=True)]
        times, *places = (_unique(np.atleast_1d(one)) for one in picked)
        values = self._values(times[0], [unique for unique, _ in places])
        values = values[_orthogonal(*(inverse for _, inverse in (times, *places)))]
        shape = [length for one in picked for length in one.shape]
        return np.asarray(values.reshape(shape))

    def _values(self, times: Indices, places: Sequence[Indices]) -> Values:
        """Return the elements at all combinations of these positions, which ascend strictly."""
        found = np.full((len(times), *map(len, places)), np.nan, self.dtype)
        with ThreadPoolExecutor(_THREADS) as pool:
            for file_segments in self._files(times):
                self._fill(found, times, places, file_segments, pool)
        return found

    def _files(self, times: Indices) -> Iterator[list[tuple[Segment, int, int]]]:
        """Yield the segments of each file that have any of these positions of the axis, with the first and the last
        place of those in `times`."""
        together: list[tuple[Segment, int, int]] = []
        at = 0
        while at < len(times):
            number = bisect_right(self._starts, times[at]) - 1
            segment = self._segments[number] if number >= 0 else None
            if segment is None or times[at] >= segment.stop:  # a gap
                after = self._starts[number + 1] if number + 1 < len(self._starts) else self.shape[0]
                at = int(np.searchsorted(times, after))
                continue
            stop = int(np.searchsorted(times, segment.stop))
            if together and together[0][0].file is not segment.file:
                yield together
                together = []
            together.append((segment, at, stop))
            at = stop
        if together:
            yield together

    def _fill(
        self,
        found: Values,
        times: Indices,
        places: Sequence[Indices],
        segments: Sequence[tuple[Segment, int, int]],
        pool: Executor,
    ) -> None:
        """Read the elements that one file has."""
        file = segments[0][0].file
        layout, selected = self._layouts[file.form]
        here = np.concatenate([np.arange(at, stop) for _, at, stop in segments])
        numbers = np.concatenate([times[at:stop] - one.start + one.first for one, at, stop in segments])
        wanted = [indices[positions] for indices, positions in zip(selected, places, strict=True)]
        orders = [np.argsort(one) for one in wanted]  # an area across Greenwich is in two parts in the file
        source = Source(self._root, file.part(), "opened")
        try:
            check_layout(source, layout)
            values = source.select(numbers, [one[order] for one, order in zip(wanted, orders, strict=True)], pool)
        finally:
            source.close()
        for fill in fill_values(layout):
            values[values == fill] = np.nan
        found[_orthogonal(here, *orders)] = values


class DerivedArray(BackendArray):
    """The values of a derived variable, computed from those of other arrays when they are needed."""

    def __init__(self, derived: DerivedVariable, sources: Sequence[FilesArray]) -> None:
        self.shape = sources[0].shape
        self.dtype = sources[0].dtype
        self._derived = derived
        self._sources = list(sources)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Values:
        return _read_by(self, key)

    def read(self, key: tuple[Any, ...]) -> Values:
        """Return the elements of an orthogonal index."""
        values: Values = self._derived.compute([source.read(key) for source in self._sources])
        return values


def _unique(indices: Indices) -> tuple[Indices, Indices]:
    """Return the different ones of these indices, ascending, and which of them each one is."""
    if (np.diff(indices) > 0).all():  # sorting hundreds of thousands of times takes a second
        return indices, np.arange(len(indices))
    unique, inverse = np.unique(indices, return_inverse=True)
    return unique, inverse


def _orthogonal(*indices: Indices) -> tuple[Any, ...]:
    """Return an index for all combinations of these; of slices if possible, which copy much faster."""
    if all(len(one) and (np.diff(one) == 1).all() for one in indices):
        return tuple(slice(one[0], one[-1] + 1) for one in indices)
    return np.ix_(*indices)


def check_layout(source: Source, layout: Layout) -> None:
    """Raise Era5Error if a file differs from the one whose layout is known."""
    difference = layout.structure.difference(source.structure)
    if difference:
        raise Era5Error(f"{source.part.path} does not fit to {layout.path}: they have {difference}", remedy=REMEDY)


def fill_values(layout: Layout) -> list[Any]:
    """Return the values that mean that there is none."""
    attributes = layout.attributes[layout.structure.field]
    given = [attributes[name] for name in ("_FillValue", "missing_value") if name in attributes]
    return [value for one in given for value in np.atleast_1d(one)]
