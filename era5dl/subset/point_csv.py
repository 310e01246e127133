"""CSV tables of merged files with points: one line for each time, level and point, written in blocks of times."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import FileIO
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from era5dl.errors import Era5Error, Stopped
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.folder.new_file import NewFile
from era5dl.subset import netcdf_writer as netcdf
from era5dl.subset.find_parts import open_part
from era5dl.subset.geometry import EPOCH
from era5dl.subset.merge_source import STATION_NAME

_BLOCK = 1 << 18  # values


def write_csv(root: Path, path: Path, stopped: Callable[[], bool] = lambda: False) -> Path:
    """Write the values of a merged file with points as CSV beside it, and return the path of the table.

    Columns: time (UTC), station, name (if the points have names), latitude, longitude, level (if there are any), and
    the variable, in its own units; empty for missing values. Raises Era5Error, DiskErrors, Stopped.
    """
    table = path.with_suffix(".csv")
    place = ConfinedPath.below(root, table)
    with (
        translate_disk_errors(table),
        open_part(root, path) as raw,
        NewFile(place.sibling(f"{place.name}.part")) as new,
    ):
        try:
            with netcdf.reopen_netcdf(raw) as file:
                _write_lines(new.raw, _lines(file, stopped))
        except (RuntimeError, KeyError, ValueError, TypeError) as error:  # h5py, of what it cannot read
            raise Era5Error(f"{path} cannot be read: {error}", remedy="Delete that file and merge again.") from error
        new.commit(place)
    return table


def _write_lines(raw: FileIO, lines: Iterator[list[Any]]) -> None:
    with io.TextIOWrapper(io.BufferedWriter(FileIO(raw.fileno(), "wb", closefd=False)), "utf-8", newline="") as text:
        csv.writer(text, lineterminator="\n").writerows(lines)


def _lines(file: h5py.File, stopped: Callable[[], bool]) -> Iterator[list[Any]]:
    """Yield the header, then the lines in the order of time, level and point."""
    (field,) = (one for one in file.values() if isinstance(one, h5py.Dataset) and one.ndim > 1)
    latitudes, longitudes = (file[name][()].tolist() for name in ("latitude", "longitude"))
    columns: list[list[Any]] = [file["station"][()].tolist(), latitudes, longitudes]
    header = ["time", "station", "latitude", "longitude"]
    if STATION_NAME in file:
        columns.insert(1, [name.decode("utf-8", "replace") for name in file[STATION_NAME][()]])
        header.insert(2, "name")
    points = list(zip(*columns, strict=True))
    levels = [[level] for level in file["level"][()].tolist()] if field.ndim == 3 else [[]]
    yield [*header, *(["level"] if field.ndim == 3 else []), field.name.lstrip("/")]
    front = [[*point, *level] for level, point in product(levels, points)]
    times = file["time"][()].tolist()
    step = max(1, _BLOCK // len(front))
    for start in range(0, len(times), step):
        if stopped():
            raise Stopped("while a table is written")
        values = field[start : start + step]
        texts = np.where(np.isnan(values) | (values == field.fillvalue), "", values.astype(str))
        for time, row in zip(times[start : start + step], texts.reshape(len(values), -1).tolist(), strict=True):
            moment = f"{EPOCH + timedelta(hours=time):%Y-%m-%dT%H:%M}Z"
            yield from ([moment, *one, value] for one, value in zip(front, row, strict=True))
