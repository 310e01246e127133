"""Estimate of what a subset saves, before anything of a file is read: from its key, its size and the usual chunks.

It assumes that all chunks compress alike. That holds within a few percent for smooth fields, and less for fields that
are empty over land or sea.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from era5dl.catalog.keys import KeyParts
from era5dl.subset.geometry import expected_geometry
from era5dl.subset.ranges import select_elements
from era5dl.subset.selection import Subset

_INDEX = 0.2e6  # bytes; what is read before the chunks are known


@dataclass(frozen=True, slots=True)
class Estimate:
    """About how many bytes of a file are fetched, and how many are written. size: those of the whole file."""

    fetched: int
    written: int
    size: int

    @property
    def saves_traffic(self) -> bool:
        """Whether noticeably less than the whole file is fetched."""
        return self.fetched < 0.95 * self.size


def estimate(key: KeyParts, size: int, subset: Subset) -> Estimate:
    """Return the estimate for the file with this key, of `size` bytes. Raises BadSelection when nothing is selected."""
    if subset.is_everything:
        return Estimate(size, size, size)
    geometry = expected_geometry(key)
    elements = select_elements(geometry, subset)
    total = math.prod(geometry.shape)
    touched = sum(
        math.prod(
            min(edge, length - index * edge)  # the last chunk in each direction is not full
            for index, edge, length in zip(tile, geometry.chunk_shape, geometry.shape, strict=True)
        )
        for tile in elements.tiles(geometry.chunk_shape)
    )
    fetched = min(size * touched / total + _INDEX, size)
    return Estimate(round(fetched), min(round(size * len(elements) / total), size), size)
