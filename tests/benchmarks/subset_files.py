"""Files of the true shape for the subset benchmark: a day of pressure levels, months of the surface, half a month of
forecasts. About 3.6 GB, made in a minute.

Headers are written by netCDF-C. Only a few different chunks are compressed; HDF5 then writes each of them to many
places, so that chunks and B-tree nodes lie in the file as they do in the bucket's files.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from era5dl.catalog import find_variable, key_of, period_of
from tests.netcdf_files import create_file

DIFFERENT = 4  # chunks of each file
_TILES = {28: (26, 142, 284), 29: (26, 141, 282), 30: (27, 139, 279), 31: (27, 139, 277)}


@dataclass(frozen=True, slots=True)
class Made:
    """A file on disk, and the key it would have in the bucket."""

    path: Path
    key: str
    name: str


def make_file(folder: Path, variable: str, hour: datetime) -> Made:
    """Make the file of this variable that contains this hour, unless it is there."""
    found = find_variable(variable)
    period = period_of(found.product, hour)
    key = key_of(found, period)
    path = folder / key
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = path.with_suffix(".part")
        levels, days = len(found.product.levels_hpa), (period.end - period.start).days + 1
        edges: tuple[int, ...] = (1, 721, 1440)
        if found.product.prefix.startswith("e5.oper.fc"):
            edges = (1, 12, 721, 1440)
        elif levels:
            edges = (1, levels, 721, 1440)
        elif days >= 28:
            edges = _TILES[days]
        create_file(temp, found, period, 0.25, edges).close()
        _fill(temp, found.nc_var, edges)
        temp.rename(path)
    return Made(path, key, found.nc_var)


def _fill(path: Path, name: str, edges: tuple[int, ...]) -> None:
    with h5py.File(path, "r+") as file:
        dataset = file[name]
        if dataset.shape[0] == 0:
            dataset.resize((len(file[next(iter(_first_dimensions(file)))]), *dataset.shape[1:]))
        compressed = [_compress(_values(edges, seed)) for seed in range(DIFFERENT)]
        starts = (range(0, length, edge) for length, edge in zip(dataset.shape, edges, strict=True))
        for number, origin in enumerate(product(*starts)):
            dataset.id.write_direct_chunk(origin, compressed[number % DIFFERENT])


def _first_dimensions(file: h5py.File) -> list[str]:
    return [name for name in ("time", "forecast_initial_time") if name in file]


def _compress(values: NDArray[np.float32]) -> bytes:
    shuffled = np.ascontiguousarray(values.reshape(-1).view(np.uint8).reshape(-1, 4).T)
    return zlib.compress(shuffled.tobytes(), 1)


def _values(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Return a smooth field with noise, in steps of a power of two as GRIB has them."""
    chance = np.random.default_rng(seed)
    *outer, rows, columns = shape
    y, x = np.linspace(0, np.pi, rows)[:, None], np.linspace(0, 2 * np.pi, columns)[None, :]
    smooth = np.zeros((rows, columns), np.float32)
    for _ in range(12):
        m, n = chance.integers(1, 40), chance.integers(1, 30)
        smooth += (chance.normal() / (1 + 0.1 * (m + n)) * np.cos(m * x + n) * np.cos(n * y + m)).astype(np.float32)
    noise = chance.standard_normal((4, rows, columns), np.float32)
    found = np.empty(shape, np.float32)
    for number, place in enumerate(np.ndindex(*outer)):
        field = 250 + 12 * np.roll(smooth, -number, 1) + 0.2 * np.roll(noise[number % 4], 7 * number, 0)
        found[place] = np.round(field * 512) / 512
    return found


def bytes_of(array: NDArray[Any]) -> bytes:
    """Return the bytes of an array, to compare values bit for bit."""
    return np.ascontiguousarray(array).tobytes()
