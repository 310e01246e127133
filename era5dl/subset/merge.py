"""Merges downloaded netCDF-4 files of one variable into one file with time concatenated.

Values, attributes and fill value are those of the parts; levels, grid and points must be the same in all of them.
Chunks are copied as they are where those of all parts fit together, else data are decoded and compressed again, in
blocks of about 1 MiB. The content depends on the parts alone: not on the order in which they were downloaded, nor on
the time of the merge. The file has its final name only when it is complete, read back and synced.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from io import FileIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from era5dl import __version__
from era5dl.errors import Era5Error, Stopped
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.folder.free_space import check_free
from era5dl.folder.new_file import NewFile
from era5dl.hdf5 import Attribute
from era5dl.hdf5.filters import DEFLATE, SHUFFLE
from era5dl.subset import netcdf_writer as netcdf
from era5dl.subset.geometry import EPOCH
from era5dl.subset.merge_plan import Group, MergedFile, Slice
from era5dl.subset.merge_source import AHEAD, INITIAL, STATION_NAME, Source, Structure, Values
from era5dl.subset.output_layout import VALID_TIME, Coordinate, OutputLayout
from era5dl.subset.write import output_chunk_shape

SOURCES, DIGEST = "era5dl_sources", "era5dl_merge_id"

_DATES = "utc_date"
_OF_A_PART = frozenset({"history", "era5dl_source", "era5dl_source_etag", "era5dl_source_size", "era5dl_subset"})
_MAX_ATTRIBUTE = 32 << 10  # bytes; attributes of HDF5 have less than 64 KiB
_THREADS = min(4, os.cpu_count() or 1)


def merge_group(root: Path, group: Group, stopped: Callable[[], bool] = lambda: False) -> MergedFile:
    """Merge a group of files into a file in the folder `root`. An existing file with the same sources is kept.

    stopped: called often. Raises Era5Error, which names the file, for parts that do not fit together or are damaged;
    WillNotFit and other DiskErrors; and Stopped. Then there is no new file, and an existing one with this name is as it
    was.
    """
    path = root / group.name
    place = ConfinedPath.below(root, path)
    with translate_disk_errors(path):
        kept = all(one.part.etag for one in group.slices) and _is_merged_from(place, group)
        if not kept:
            parts = {one.part.path for one in group.slices}  # the merged file is about as large as all of them
            check_free(root, sum(ConfinedPath.below(root, part).stat().st_size for part in parts), 0)
            with NewFile(place.sibling(place.name + ".part")) as new:
                _Merger(root, group, stopped).write(new.raw)
                new.commit(place)
        size = place.lstat().st_size
    missing = tuple(group.missing())
    return MergedFile(path, size, len(group.sources), group.count, group.first, group.last, missing, kept)


def _is_merged_from(place: ConfinedPath, group: Group) -> bool:
    """Whether a merged file exists whose attributes say that it was made from these parts."""
    try:
        with (
            place.open_for_reading() as file,
            FileIO(os.dup(file.fileno())) as raw,
            netcdf.reopen_netcdf(raw) as content,
        ):
            return bool(content.attrs.get(DIGEST) == group.digest.encode() and len(content["time"]) == group.count)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return False


@dataclass(slots=True)
class _Common:
    """What the parts have in common. attributes: of the file and of each variable, those that are the
    same in all parts. edges: of the chunks of all parts if these can be copied; else None."""

    structure: Structure
    attributes: dict[str, dict[str, Attribute]]
    steps: dict[str, Values]
    place_shape: tuple[int, ...]
    history: str
    edges: tuple[int, ...] | None
    level: int


class _Merger:
    """Writes one merged file."""

    def __init__(self, root: Path, group: Group, stopped: Callable[[], bool]) -> None:
        self._root = root
        self._group = group
        self._stopped = stopped
        self._written: list[tuple[Any, int, bool]] = []  # place, CRC-32, whether it is a copied chunk

    def write(self, raw: FileIO) -> None:
        """Write the content to this empty file, and read it back. Raises OSError with EIO if it is not the same."""
        common = self._survey()
        layout = self._layout(common)
        output = netcdf.OutputFile(raw)
        try:
            with netcdf.open_netcdf(output) as file, ThreadPoolExecutor(_THREADS) as pool:
                dataset = self._create(file, common, layout)
                if common.edges:
                    self._copy(dataset, common)
                else:
                    self._encode(dataset, common, pool)
        finally:
            output.raise_error()
        self._read_back(raw, common, layout)

    def _sources(self) -> Iterator[tuple[Slice, Source]]:
        for one in self._group.slices:
            self._check_stopped()
            source = Source(self._root, one.part)
            try:
                yield one, source
            finally:
                source.close()

    def _check_stopped(self) -> None:
        if self._stopped():
            raise Stopped("while files are merged")

    def _survey(self) -> _Common:
        """Read the properties of all parts. Raises Era5Error if two of them cannot be merged."""
        common: _Common | None = None
        steps: dict[str, list[Values]] = {}
        for one, source in self._sources():
            if common is None:
                common = _common_of(source)
            elif difference := common.structure.difference(source.structure):
                raise Era5Error(
                    f"{self._group.slices[0].part.path} and {one.part.path} cannot be merged: they have {difference}",
                    remedy="Move one of them to another folder, or download both with the same selection.",
                )
            _keep_equal(common.attributes, _attributes(source))
            if not _is_copyable(one, source, common.edges, sum(map(len, steps.get("time", [])))):
                common.edges = None
            for name, values in source.steps.items():
                steps.setdefault(name, []).append(values[one.start : one.stop])
        assert common is not None, "a group has parts"
        dtype = {name: found[0].dtype for name, found in steps.items()}
        common.steps = {name: np.concatenate(found).astype(dtype[name]) for name, found in steps.items()}
        return common

    def _layout(self, common: _Common) -> OutputLayout:
        structure, attributes = common.structure, common.attributes

        def coordinate(name: str, dimension: str, values: Values, texts: dict[str, str] | None = None) -> Coordinate:
            return Coordinate(name, dimension, values, attributes.get(name, {}), texts or {})

        time = coordinate("time", "time", common.steps["time"], VALID_TIME if structure.is_forecast else {})
        dimensions, auxiliary = [time], []
        if structure.is_forecast:
            auxiliary = [coordinate(name, "time", common.steps[name]) for name in (INITIAL, AHEAD)]
        is_points = any(name == "station" for name, _, _ in structure.places)
        for name, datatype, data in structure.places:
            values = np.frombuffer(data, datatype)
            if is_points and name in ("latitude", "longitude"):
                auxiliary.append(coordinate(name, "station", values))
            else:
                dimensions.append(coordinate(name, name, values))
        if structure.names:
            auxiliary.append(coordinate(STATION_NAME, "station", np.array(structure.names, object)))
        if _DATES in attributes:
            dates = [int(f"{EPOCH + timedelta(hours=hour):%Y%m%d%H}") for hour in common.steps["time"].tolist()]
            auxiliary.append(coordinate(_DATES, "time", np.array(dates, np.int32)))
        return OutputLayout(tuple(dimensions), tuple(auxiliary), is_flat=structure.is_forecast)

    def _create(self, file: h5py.File, common: _Common, layout: OutputLayout) -> h5py.Dataset:
        """Write everything but the data."""
        structure = common.structure
        netcdf.write_coordinates(file, layout)
        dtype = np.dtype(structure.datatype)
        edges = common.edges or output_chunk_shape(layout.shape, dtype.itemsize)
        compression = {**netcdf.COMPRESSION, "compression_opts": common.level}
        dataset = netcdf.create_field(file, structure.field, layout, dtype, edges, structure.fill_value, compression)
        netcdf.copy_attributes(dataset, common.attributes[structure.field])
        if layout.coordinates:
            netcdf.write_texts(dataset, {"coordinates": layout.coordinates})
        netcdf.copy_attributes(file, common.attributes[""])
        count = len(self._group.sources)
        done = f"era5dl {__version__}: merged from {count} files of the selection {self._group.form}"
        texts = {"history": done + (f"\n{common.history}" if common.history else "")}
        texts |= {"era5dl_subset": self._group.form, DIGEST: self._group.digest}
        for number, text in enumerate(_pages(self._group.sources), 1):
            texts[SOURCES + (f"_{number}" if number > 1 else "")] = text
        netcdf.write_texts(file, texts)
        return dataset

    def _copy(self, dataset: h5py.Dataset, common: _Common) -> None:
        done = 0
        for one, source in self._sources():
            self._check_same(source, common)
            for origin, data in source.chunks(one):
                self._check_stopped()
                place = (done + origin[0], *origin[1:])
                dataset.id.write_direct_chunk(place, data)
                self._written.append((place, zlib.crc32(data), True))
            done += one.stop - one.start

    def _encode(self, dataset: h5py.Dataset, common: _Common, pool: Executor) -> None:
        """Write blocks with the times of one row of chunks of the output, so that each chunk is compressed once."""
        done = 0
        for block in _regrouped(self._blocks(common, pool), dataset.chunks[0]):
            self._check_stopped()
            place = slice(done, done + len(block))
            dataset[place] = block
            self._written.append((place, zlib.crc32(block.data), False))
            done += len(block)
        if done != len(dataset):
            raise RuntimeError("times without data")

    def _blocks(self, common: _Common, pool: Executor) -> Iterator[Values]:
        for one, source in self._sources():
            self._check_same(source, common)
            yield from source.blocks(one, pool)

    def _check_same(self, source: Source, common: _Common) -> None:
        """Raise Era5Error when a part is no longer what it was when its attributes were read."""
        if common.structure.difference(source.structure) or source.place_shape != common.place_shape:
            raise Era5Error(f"{source.part.path} has changed while it was merged", remedy="Merge again.")

    def _read_back(self, raw: FileIO, common: _Common, layout: OutputLayout) -> None:
        """Compare the closed file with what was written."""
        try:
            with netcdf.reopen_netcdf(raw) as file:
                dataset = file[common.structure.field]
                is_right = (
                    dataset.shape == layout.shape
                    and all(_has_values(file, one) for one in (*layout.dimensions, *layout.auxiliary))
                    and all(_checksum(dataset, place, copied) == crc for place, crc, copied in self._written)
                )
        except (OSError, RuntimeError, KeyError, ValueError) as error:  # raised by h5py for content that it cannot read
            raise OSError(errno.EIO, f"the merged file cannot be read: {error}") from error
        if not is_right:
            raise OSError(errno.EIO, "the merged file does not have the values that were written to it")


def _common_of(source: Source) -> _Common:
    """Return the properties of the first part."""
    before = source.index.attributes.get("history")
    lines = (before.text or "").splitlines() if before else []
    deflate = [one for one in source.field.filters if one.number == DEFLATE and len(one.parameters) == 1]
    return _Common(
        structure=source.structure,
        attributes=_attributes(source),
        steps={},
        place_shape=source.place_shape,
        history="\n".join(line for line in lines if ": era5dl " not in line),  # they have the time of the download
        edges=source.edges,
        level=deflate[0].parameters[0] if deflate and 1 <= deflate[0].parameters[0] <= 9 else 1,
    )


def _attributes(source: Source) -> dict[str, dict[str, Attribute]]:
    """Return the attributes of the variables, and under "" those of the file. Those of `time` are those of the initial
    time where a file has no time."""
    found = {name: one.attributes for name, one in source.index.variables.items()}
    found.setdefault("time", found.get(INITIAL, {}))
    found[""] = {name: one for name, one in source.index.attributes.items() if name not in _OF_A_PART}
    return {name: dict(attributes) for name, attributes in found.items()}


def _keep_equal(ours: dict[str, dict[str, Attribute]], theirs: dict[str, dict[str, Attribute]]) -> None:
    """Remove the attributes that are not the same, such as the extremes of the values of each file."""
    for name, attributes in ours.items():
        other = theirs.get(name, {})
        for one in [one for one, value in attributes.items() if other.get(one) != value]:
            if name != "time" or one not in VALID_TIME:  # forecasts get these anyway
                del attributes[one]


def _is_copyable(part: Slice, source: Source, edges: tuple[int, ...] | None, done: int) -> bool:
    """Whether the chunks of a part can be those of the merged file. done: number of times before it."""
    if edges is None or source.edges != edges or "time" not in source.index.variables:
        return False
    ends_with_file = part.stop == len(source.part.times)
    return (
        [one.number for one in source.field.filters] == [SHUFFLE, DEFLATE]
        and not any(chunk.filter_mask for chunk in source.field.chunks)
        and done % edges[0] == part.start % edges[0] == 0
        and (part.stop % edges[0] == 0 or ends_with_file)
    )


def _regrouped(blocks: Iterable[Values], count: int) -> Iterator[Values]:
    """Yield the same times in blocks of `count`; the last one may have fewer."""
    held: list[Values] = []
    size = 0
    for block in blocks:
        rest = block
        while len(rest):
            piece, rest = rest[: count - size], rest[count - size :]
            held.append(piece)
            size += len(piece)
            if size == count:
                yield np.ascontiguousarray(np.concatenate(held) if len(held) > 1 else held[0])
                held, size = [], 0
        held = [np.array(one) for one in held]  # not a view of a large block
    if held:
        yield np.ascontiguousarray(np.concatenate(held))


def _has_values(file: h5py.File, coordinate: Coordinate) -> bool:
    return bool(np.array_equal(file[coordinate.name][()], coordinate.values))


def _checksum(dataset: h5py.Dataset, place: Any, copied: bool) -> int:
    return zlib.crc32(dataset.id.read_direct_chunk(place)[1] if copied else dataset[place].data)


def _pages(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines in texts that are short enough for an attribute."""
    page: list[str] = []
    size = 0
    for line in lines:
        if size + len(line.encode()) + 1 > _MAX_ATTRIBUTE and page:
            yield "\n".join(page)
            page, size = [], 0
        page.append(line)
        size += len(line.encode()) + 1
    yield "\n".join(page)
