"""Compares a subset file with the whole file it comes from, value by value, without the code that wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from era5dl.demo.file_description import data_variable

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray


def is_subset_of(part: Path, whole: Path) -> bool:
    """Whether every value of `part` is bit for bit the value of `whole` with the same coordinates.

    Both are netCDF-4 files of analyses or invariants. Coordinates that `whole` does not have give False.
    """
    import h5py
    import numpy as np

    with h5py.File(part, "r") as small, h5py.File(whole, "r") as large:
        field, source = data_variable(small), data_variable(large)
        try:
            places = [_places(small, large, dimension[0].name) for dimension in field.dims]
        except KeyError:
            return False
        values = source[()][np.ix_(*places)]
        return bool(field.name == source.name and values.tobytes() == field[()].tobytes())


def _places(small: h5py.File, large: h5py.File, name: str) -> list[int]:
    """Return the indices in the large file of the coordinates of the small one. Raises KeyError."""
    known = {_same(name, value): index for index, value in enumerate(_coordinates(large, name))}
    return [known[_same(name, value)] for value in _coordinates(small, name)]


def _coordinates(file: h5py.File, name: str) -> NDArray[Any]:
    return file[name][()]  # type: ignore[no-any-return]


def _same(name: str, value: float) -> float:
    """Return one number for all ways to write a coordinate: -10 and 350 degrees east are the same meridian."""
    return round(float(value) % 360.0, 6) if name.endswith("longitude") else round(float(value), 6)
