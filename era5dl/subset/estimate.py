"""Estimate of what a subset saves, before any of the file is read: from its key, its size and the usual chunks.

It assumes that all chunks compress alike. That holds within a few percent for smooth fields, and less for fields that
are empty over land or sea.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from era5dl.catalog.keys import KeyParts
from era5dl.hdf5 import UnsupportedLayout
from era5dl.subset.geometry import expected_geometry
from era5dl.subset.ranges import select_elements
from era5dl.subset.selection import Subset

_INDEX = 200_000  # bytes; what is read before the chunks are known
_METADATA = 30_000  # bytes of a small netCDF-4 file besides the data


@dataclass(frozen=True, slots=True)
class Estimate:
    """About how many bytes of one or several files are fetched, and how many are written. size: of the whole files."""

    fetched: int
    written: int
    size: int

    @property
    def saves_traffic(self) -> bool:
        """Whether noticeably less than the whole file is fetched."""
        return self.fetched < 0.95 * self.size

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.fetched + other.fetched, self.written + other.written, self.size + other.size)


def estimate(key: KeyParts, size: int, subset: Subset) -> Estimate:
    """Return the estimate for the file with this key, of `size` bytes. Raises BadSelection when nothing is selected."""
    return Estimator(subset).estimate(key, size)


class Estimator:
    """Estimates many files of one subset; files of the same product and length, and the same days in them, at once."""

    def __init__(self, subset: Subset) -> None:
        self._subset = subset
        self._shares: dict[object, tuple[float, float]] = {}

    def estimate(self, key: KeyParts, size: int) -> Estimate:
        """Return the estimate for the file with this key, of `size` bytes.

        Raises BadSelection when nothing in it is selected.
        """
        subset = self._subset.for_file(key)
        if subset.is_everything:
            return Estimate(size, size, size)
        begin = key.start.date()
        days = tuple((first - begin, last - begin) for first, last in subset.days)
        like = (key.product.prefix, key.start.hour, key.end - key.start, days)
        shares = self._shares.get(like)
        if shares is None:
            shares = self._shares[like] = _shares(key, subset)
        fetched_share, written = shares
        fetched = size if subset.prove else min(round(size * fetched_share + _INDEX), size)
        return Estimate(fetched, min(round(size * written + _METADATA), size), size)


def _shares(key: KeyParts, subset: Subset) -> tuple[float, float]:
    """Return which shares of the elements of a file are in the chunks to fetch, and are selected.

    A file with an unusual period is fetched whole.
    """
    try:
        geometry = expected_geometry(key)
    except UnsupportedLayout:
        return 1.0, 1.0
    elements = select_elements(geometry, subset)
    total = math.prod(geometry.shape)
    touched = sum(
        math.prod(
            min(edge, length - index * edge)  # the last chunk in each direction is not full
            for index, edge, length in zip(tile, geometry.chunk_shape, geometry.shape, strict=True)
        )
        for tile in elements.tiles(geometry.chunk_shape)
    )
    return touched / total, len(elements) / total
