"""Reads downloaded netCDF-4 files, to merge or open them: index, coordinates, and data in blocks or of any selection.

The files are on the user's disk and may be anything by now. They are read with the index reader of `era5dl.hdf5`, whose
work and memory are limited; every chunk is verified when it is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from era5dl.errors import Era5Error
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.hdf5 import (
    Chunk,
    DamagedChunk,
    DamagedFile,
    UnsupportedLayout,
    Variable,
)
from era5dl.subset import netcdf_writer as netcdf
from era5dl.subset.decode import Indices, crop_chunk, verify_chunk
from era5dl.subset.find_parts import open_part, read_bytes, read_local_index
from era5dl.subset.merge_plan import Part, Slice
from era5dl.subset.select_elements import select_elements
from era5dl.subset.selection import MAX_POINTS

STATION_NAME = "station_name"
INITIAL, AHEAD = "forecast_initial_time", "forecast_hour"
REMEDY = "Delete that file and download it again."

_MAX_BLOCK = 1 << 29  # bytes: all times of a row of chunks; 112 MB for the globe
_MAX_NAME = 1 << 10  # bytes

Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Structure:
    """What all parts of a merged file must have in common. places: level, latitude, longitude and station, as (name,
    type, values); names: of the stations."""

    field: str
    datatype: str
    fill_value: bytes | None
    is_forecast: bool
    places: tuple[tuple[str, str, bytes], ...]
    names: tuple[bytes, ...]
    essential: tuple[tuple[str, bytes], ...]  # attributes without which the values mean something else

    def difference(self, other: Structure) -> str:
        """Return in what they differ; "" if they are the same."""
        if (self.field, self.is_forecast) != (other.field, other.is_forecast):
            return f"different variables, {self.field} and {other.field}"
        if (self.datatype, self.fill_value) != (other.datatype, other.fill_value):
            return "different types or fill values"
        ours, theirs = ({name: rest for name, *rest in one.places} for one in (self, other))
        for name in dict.fromkeys((*ours, *theirs)):
            if ours.get(name) != theirs.get(name):
                return f"different values of {name}: {_described(ours.get(name))}, and {_described(theirs.get(name))}"
        if self.names != other.names:
            return "different names of the points"
        if self.essential != other.essential:
            ours_too, theirs_too = dict(self.essential), dict(other.essential)
            names = [
                name for name in dict.fromkeys((*ours_too, *theirs_too)) if ours_too.get(name) != theirs_too.get(name)
            ]
            return f"different attributes {', '.join(names)}"
        return ""


_ESSENTIAL = ("units", "_FillValue", "missing_value", "scale_factor", "add_offset")


class Source:
    """An open part. Raises Era5Error, which names the file, for one that cannot be merged; close it with `close`.

    purpose: of reading it, for that message: "merged", "opened". A part without an ETag may have any.
    """

    def __init__(self, root: Path, part: Part, purpose: str = "merged") -> None:
        self.part = part
        self._purpose = purpose
        self._file = open_part(root, part.path)
        try:
            with self._errors():
                self.index = read_local_index(self._file)
                self._check_version()
                self.field = self._data_variable()
                self._is_flat = "time" in self.index.variables
                self.structure = self._structure()
                self.steps = self._steps()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    @property
    def edges(self) -> tuple[int, ...]:
        """The shape of the chunks, with one dimension of time."""
        shape = self.field.layout.chunk_shape or ()
        return shape if self._is_flat or not self.structure.is_forecast else (shape[0] * shape[1], *shape[2:])

    @property
    def place_shape(self) -> tuple[int, ...]:
        """The lengths of the dimensions after time."""
        return self.field.shape[1 if self._is_flat else 2 :]

    def chunks(self, part: Slice) -> Iterator[tuple[tuple[int, ...], bytes]]:
        """Yield the chunks of these times as they are in the file, verified, with their places relative to the first
        time. Only for chunks that have no times but these."""
        with self._errors():
            for chunk in self.field.chunks:
                if part.start <= chunk.origin[0] < part.stop:
                    data = read_bytes(self._file, chunk.offset, chunk.size)
                    verify_chunk([data], self.field, chunk)
                    yield (chunk.origin[0] - part.start, *chunk.origin[1:]), data

    def blocks(self, part: Slice, pool: Executor) -> Iterator[Values]:
        """Yield the data of these times in blocks, each with all times of a row of chunks."""
        shape, edges = self.field.shape, self.field.layout.chunk_shape or ()
        hours = 1 if self._is_flat else shape[1]
        for origin, chunks in groupby(self.field.chunks, key=lambda chunk: chunk.origin[0]):
            count = min(edges[0], shape[0] - origin)
            first, last = max(part.start, origin * hours), min(part.stop, (origin + count) * hours)
            if first < last:
                with self._errors():
                    block = self._decoded((count, *shape[1:]), list(chunks), pool)
                yield block.reshape(count * hours, *self.place_shape)[first - origin * hours : last - origin * hours]

    def select(self, times: Indices, places: Sequence[Indices], pool: Executor) -> Values:
        """Return the data of all combinations of these indices.

        times: positions among the valid times. places: of each dimension after time. All ascend strictly.
        """
        is_paired = self.structure.is_forecast and not self._is_flat
        indices = np.divmod(times, self.field.shape[1]) if is_paired else (times,)
        with self._errors():
            return select_elements(self.field, lambda at, size: read_bytes(self._file, at, size), indices, places, pool)

    def _decoded(self, shape: tuple[int, ...], chunks: list[Chunk], pool: Executor) -> Values:
        """Return the elements of these chunks, which have the same origin in the first dimension."""
        edges = self.field.layout.chunk_shape or ()
        block = np.empty(shape, self.field.datatype.name)
        lengths = (shape[0], *self.field.shape[1:])

        def decode(job: tuple[Chunk, bytes]) -> int:
            chunk, data = job
            begin = (0, *chunk.origin[1:])
            kept = [min(edge, length - at) for edge, length, at in zip(edges, lengths, begin, strict=True)]
            values = crop_chunk([data], self.field, chunk, [np.arange(count) for count in kept])
            block[tuple(slice(at, at + count) for at, count in zip(begin, kept, strict=True))] = values
            return values.size

        jobs = ((chunk, read_bytes(self._file, chunk.offset, chunk.size)) for chunk in chunks)
        if sum(pool.map(decode, jobs)) != block.size:  # memory that was not decoded must never be written
            raise DamagedFile("its chunks are not complete")
        return block

    def _check_version(self) -> None:
        etag = self.index.attributes.get("era5dl_source_etag")
        if etag is not None and self.part.etag and etag.text != self.part.etag:
            raise UnsupportedLayout("another version of its source than expected")

    def _data_variable(self) -> Variable:
        fields = [variable for variable in self.index.variables.values() if len(variable.shape) > 1]
        if len(fields) != 1 or not fields[0].chunks or fields[0].datatype.name not in ("<f4", "<f8"):
            raise UnsupportedLayout("not exactly one variable of floating-point numbers in chunks")
        field = fields[0]
        rows = [min(edge, length) for edge, length in zip(field.layout.chunk_shape or (), field.shape, strict=True)]
        if max(field.chunk_size, math.prod((rows[0], *field.shape[1:])) * field.datatype.size) > _MAX_BLOCK:
            raise UnsupportedLayout("very large chunks")
        return field

    def _structure(self) -> Structure:
        variables, field = self.index.variables, self.field
        is_points = "station" in variables
        names = [name for name in ("level", "station", "latitude", "longitude") if name in variables]
        dimensions = [
            *(["time"] if self._is_flat else [INITIAL, AHEAD]),
            *(["level"] if "level" in variables else []),
            *(["station"] if is_points else ["latitude", "longitude"]),
        ]
        if tuple(len(self._numbers(name)) for name in dimensions) != field.shape:
            raise UnsupportedLayout("dimensions that are not those of its coordinates")
        for name in names:
            self._numbers(name)
        attributes = {
            f"{name}:{one}": variables[name].attributes[one].data
            for name in (field.name, *dimensions)
            for one in _ESSENTIAL
            if one in variables[name].attributes
        }
        times = {"time", INITIAL, AHEAD}  # units of time are compared as such: a file may have either
        return Structure(
            field.name,
            field.datatype.name,
            field.fill_value,
            INITIAL in variables,
            tuple((name, variables[name].datatype.name, variables[name].values or b"") for name in names),
            self._station_names(field.shape[-1]) if STATION_NAME in variables else (),
            tuple((name, value) for name, value in attributes.items() if name.split(":")[0] not in times),
        )

    def _station_names(self, count: int) -> tuple[bytes, ...]:
        """Return the names of the points: texts of any length, which only HDF5 itself reads."""
        if count > MAX_POINTS or self.index.variables[STATION_NAME].shape != (count,):
            raise UnsupportedLayout("more names than points")
        with netcdf.reopen_netcdf(self._file) as file:
            found = list(file[STATION_NAME][()])
        if not all(isinstance(name, bytes) and len(name) <= _MAX_NAME for name in found):
            raise UnsupportedLayout("names of points that are no short texts")
        return tuple(found)

    def _steps(self) -> dict[str, Values]:
        """Return the values of the time coordinates: time; for forecasts also the initial time and the hour."""
        names = ["time"] if not self.structure.is_forecast else [INITIAL, AHEAD]
        found = {name: np.array(self._numbers(name), self.index.variables[name].datatype.name) for name in names}
        units = self.index.variables[names[0]].attributes.get("units")
        if units is None or not (units.text or "").startswith(_UNITS):
            raise UnsupportedLayout("times in other units than hours since 1900")
        if self.structure.is_forecast:
            if not self._is_flat:
                initial, ahead = np.meshgrid(found[INITIAL], found[AHEAD], indexing="ij")
                found = {INITIAL: initial.ravel(), AHEAD: ahead.ravel()}
            elif not len(found[INITIAL]) == len(found[AHEAD]) == self.field.shape[0]:
                raise UnsupportedLayout("dimensions that are not those of its coordinates")
            valid = found[INITIAL].astype(np.int64) + found[AHEAD]
            found["time"] = valid.astype(found[INITIAL].dtype)
        if tuple(found["time"].tolist()) != self.part.times:
            raise UnsupportedLayout("other times than its name and its selection promise")
        return found

    def _numbers(self, name: str) -> tuple[float, ...]:
        variable = self.index.variables.get(name)
        if variable is None:
            raise UnsupportedLayout(f"no coordinate {name}")
        return variable.numbers()

    def _errors(self) -> _NamedErrors:
        return _NamedErrors(self.part.path, self._purpose)


_UNITS = "hours since 1900-01-01 00:00"


class _NamedErrors:
    """Context manager: converts errors of reading to an Era5Error that names the file."""

    def __init__(self, path: Path, purpose: str) -> None:
        self._path = path
        self._purpose = purpose

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, UnsupportedLayout):
            raise Era5Error(f"{self._path} cannot be {self._purpose}: it has {error}") from error
        if isinstance(error, (DamagedFile, DamagedChunk)):
            raise Era5Error(f"{self._path} is damaged: {error}", remedy=REMEDY) from error
        if isinstance(error, (RuntimeError, KeyError, ValueError)):
            raise Era5Error(f"{self._path} cannot be read: {error}", remedy=REMEDY) from error
        if isinstance(error, OSError):
            with translate_disk_errors(self._path):
                raise error


def _described(place: list[Any] | None) -> str:
    if place is None:
        return "none"
    datatype, data = place
    values = np.frombuffer(data, datatype)
    return f"{len(values)} from {values[0]:g} to {values[-1]:g}" if len(values) else "none"
