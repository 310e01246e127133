"""Subset files: decodes the fetched chunks of one file and writes the selected elements as a small netCDF-4 file.

Values are those of the source bit for bit. Chunks that are kept whole, such as the hours of a pressure-level file, are
verified and copied as they are; others are decoded, cropped and compressed again. The file has its final name only
when it is complete and synced.
"""

from __future__ import annotations

import errno
import json
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from io import FileIO
from itertools import groupby, product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from era5dl import __version__
from era5dl.folder.new_file import NewFile
from era5dl.hdf5 import Chunk
from era5dl.hdf5.filters import DEFLATE, SHUFFLE
from era5dl.subset import netcdf_writer as netcdf
from era5dl.subset.decode import Indices, crop_chunk, verify_chunk
from era5dl.subset.description import attribute_form
from era5dl.subset.output_layout import OutputLayout, output_layout
from era5dl.subset.ranges import FileSubset
from era5dl.subset.selection import Subset

Read = Callable[[int, int], bytes]
"""Reads fetched bytes of the source file: (offset, length) -> bytes."""

_READ_SIZE = 1 << 20  # bytes
_OUTPUT_CHUNK = 1 << 20  # bytes, about
_OF_THE_WHOLE_FILE = ("minimum_value", "maximum_value", "grid_specification")
"""Attributes that are not true of a subset; they get the prefix."""
_PREFIX = "source_file_"
_IDENTITY = ("era5dl_source", "era5dl_source_etag", "era5dl_source_size", "era5dl_subset")  # attributes of the file


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the values come from: key and ETag of the object, and when they were extracted (UTC)."""

    key: str
    etag: str
    created: datetime


def write_subset(path: Path, part: FileSubset, read: Read, provenance: Provenance, *, workers: int = 1) -> None:
    """Write the subset of one file to `path`, replacing it.

    read: called from `workers` threads, for bytes of the chunks of `part`. Raises DamagedChunk, and OSError.
    """
    with NewFile(path.with_name(path.name + ".part")) as new:
        write_content(new.raw, part, read, provenance, workers=workers)
        new.commit(path)


def write_content(raw: FileIO, part: FileSubset, read: Read, provenance: Provenance, *, workers: int = 1) -> None:
    """Write the subset to this empty file, and read it back.

    Raises what `write_subset` raises; the OSError is EIO if the file does not have the values that were written.
    HDF5 does not open the file by its name: it would follow a link planted there.
    """
    output = netcdf.OutputFile(raw)
    try:
        with netcdf.open_netcdf(output) as file, ThreadPoolExecutor(workers) as pool:
            writer = _Writer(part, read, provenance, file, pool, workers)
            writer.write()
    finally:
        output.raise_error()
    writer.read_back(raw)


def is_subset_of(file: FileIO, key: str, etag: str, size: int, subset: Subset) -> bool:
    """Whether a file says that it is this subset of this version of an object, and has a data variable."""
    try:
        with netcdf.reopen_netcdf(file) as content:
            found = {name: content.attrs.get(name) for name in _IDENTITY}
            expected = (key.encode(), etag.encode(), size, json.dumps(attribute_form(subset)).encode())
            has_data = any(isinstance(one, h5py.Dataset) and one.ndim > 1 for one in content.values())
            return has_data and all(one == found[name] for name, one in zip(_IDENTITY, expected, strict=True))
    except (OSError, RuntimeError, KeyError, ValueError):
        return False


class _Writer:
    """Writes one file."""

    def __init__(
        self,
        part: FileSubset,
        read: Read,
        provenance: Provenance,
        file: h5py.File,
        pool: ThreadPoolExecutor,
        workers: int,
    ) -> None:
        self._part = part
        self._read = read
        self._provenance = provenance
        self._file = file
        self._pool = pool
        self._workers = workers
        self._field = part.field
        self._edges = part.geometry.chunk_shape
        self._layout: OutputLayout = output_layout(part)
        self._checksums: list[tuple[Any, int]] = []  # CRC-32 of each part of the data variable that was written

    def write(self) -> None:
        """Write the whole content."""
        field, layout = self._field, self._layout
        netcdf.write_coordinates(self._file, layout)
        copied = self._copies_chunks()
        compression = dict(netcdf.COMPRESSION)
        if copied:
            compression["compression_opts"] = field.filters[1].parameters[0]
        dataset = netcdf.create_field(
            self._file,
            field.name,
            layout,
            np.dtype(field.datatype.name),
            self._edges if copied else output_chunk_shape(layout.shape, field.datatype.size),
            field.fill_value,
            compression,
        )
        self._describe(dataset)
        if copied:
            self._copy_chunks(dataset)
        else:
            self._crop_chunks(dataset)

    def read_back(self, raw: FileIO) -> None:
        """Compare the closed file with what was written: coordinates, and the checksums of the data variable."""
        try:
            with netcdf.reopen_netcdf(raw) as file:
                is_right = self._is_as_written(file)
        except (OSError, RuntimeError, KeyError, ValueError) as error:  # raised by h5py for content that it cannot read
            raise OSError(errno.EIO, f"the file that was written cannot be read: {error}") from error
        if not is_right:
            raise OSError(errno.EIO, "the file does not have the values that were written to it")

    def _is_as_written(self, file: h5py.File) -> bool:
        dataset, layout, copied = file[self._field.name], self._layout, self._copies_chunks()
        return (
            dataset.shape == layout.shape
            and all(np.array_equal(file[one.name][()], one.values) for one in (*layout.dimensions, *layout.auxiliary))
            and all(
                zlib.crc32(dataset.id.read_direct_chunk(place)[1] if copied else dataset[place].data) == checksum
                for place, checksum in self._checksums
            )
        )

    def _copies_chunks(self) -> bool:
        """Return whether all chunks are kept whole: one time each, and everything of the other dimensions."""
        part, shape = self._part, self._part.geometry.shape
        cells = part.elements.cells
        *_, rows, columns = shape
        return (
            self._edges[0] == 1
            and [one.number for one in self._field.filters] == [SHUFFLE, DEFLATE]
            and not self._layout.is_flat
            and not cells.paired
            and cells.rows == tuple(range(rows))
            and cells.columns == tuple(range(columns))
            and [len(indices) for indices in part.elements.outer[1:]] == list(shape[1:-2])
        )

    def _copy_chunks(self, dataset: h5py.Dataset) -> None:
        places = {index: place for place, index in enumerate(self._part.elements.outer[0])}
        chunks = self._part.chunks
        for start in range(0, len(chunks), self._workers):  # a chunk may have 65 MB: only so many at a time
            batch = chunks[start : start + self._workers]
            for chunk, data in zip(batch, self._pool.map(self._verified, batch), strict=True):
                origin = (places[chunk.origin[0]], *chunk.origin[1:])
                dataset.id.write_direct_chunk(origin, data, chunk.filter_mask)
                self._checksums.append((origin, zlib.crc32(data)))

    def _verified(self, chunk: Chunk) -> bytes:
        data = self._read(chunk.offset, chunk.size)
        verify_chunk([data], self._field, chunk)
        return data

    def _crop_chunks(self, dataset: h5py.Dataset) -> None:
        """Write one block after the other: all selected elements in chunks of the same times."""
        elements = self._part.elements
        first = np.array(elements.outer[0])
        for origin, chunks in groupby(self._part.chunks, key=lambda chunk: chunk.origin[0]):
            (here,) = np.nonzero((first >= origin) & (first < origin + self._edges[0]))
            outer = (len(here), *(len(indices) for indices in elements.outer[1:]))
            block = np.empty((*outer, *elements.cells.shape), np.dtype(self._field.datatype.name))
            filled = np.zeros(outer, np.intp)  # number of cells
            for positions, values in self._pool.map(self._cropped, chunks):
                positions[0] -= here[0]
                block[np.ix_(*positions)] = values
                filled[np.ix_(*positions[: len(outer)])] += math.prod(values.shape[len(outer) :])
            del values  # they may have 150 MB
            self._write_block(dataset, block, filled == len(elements.cells), int(here[0]))

    def _write_block(
        self, dataset: h5py.Dataset, block: NDArray[Any], is_filled: NDArray[np.bool_], start: int
    ) -> None:
        """Write a block, after a check that its elements were decoded: memory that was not must never be written.

        start: position of its first time among the selected ones.
        """
        if not self._layout.is_flat:
            places, fields, is_complete = slice(start, start + len(block)), block, is_filled.all()
        else:
            steps = [
                (number, run - start, hour)
                for number, (run, hour) in enumerate(self._part.elements.steps)
                if start <= run < start + len(block)
            ]
            numbers, runs, hours = (list(values) for values in zip(*steps, strict=True))
            places, fields = slice(numbers[0], numbers[-1] + 1), block[runs, hours]
            is_complete = is_filled[runs, hours].all() and len(numbers) == numbers[-1] + 1 - numbers[0]
        if not is_complete:
            raise RuntimeError("selected elements are in none of the chunks")
        self._write_fields(dataset, places, fields)
        self._checksums.append((places, zlib.crc32(np.ascontiguousarray(fields).data)))

    def _write_fields(self, dataset: h5py.Dataset, places: slice, fields: NDArray[Any]) -> None:
        """Write times of all selected cells. Complete chunks are compressed by all threads; HDF5 would use one core."""
        edge = dataset.chunks[0]
        first, last = -(-places.start // edge) * edge, places.stop // edge * edge
        if first >= last:
            dataset[places] = fields
            return
        for start, stop in ((places.start, first), (last, places.stop)):
            if start < stop:  # HDF5 keeps such a chunk until the next block completes it
                dataset[start:stop] = fields[start - places.start : stop - places.start]
        inner = (range(0, length, size) for length, size in zip(dataset.shape[1:], dataset.chunks[1:], strict=True))
        origins = list(product(range(first, last, edge), *inner))
        compress = partial(_compressed, fields, places.start, dataset.chunks)
        for at in range(0, len(origins), 4 * self._workers):
            batch = origins[at : at + 4 * self._workers]
            for origin, data in zip(batch, self._pool.map(compress, batch), strict=True):
                dataset.id.write_direct_chunk(origin, data)

    def _cropped(self, chunk: Chunk) -> tuple[list[Indices], NDArray[Any]]:
        """Return the selected elements of a chunk, and for each dimension of the output their positions."""
        elements, cells = self._part.elements, self._part.elements.cells
        found = [
            _within(indices, start, edge)
            for indices, start, edge in zip(elements.outer, chunk.origin, self._edges, strict=False)
        ]
        *_, top, left = chunk.origin
        *_, height, width = self._edges
        if not cells.paired:
            found += [_within(cells.rows, top, height), _within(cells.columns, left, width)]
            values = crop_chunk(self._pieces(chunk), self._field, chunk, [inside for inside, _ in found])
            return [positions for _, positions in found], values
        rows, columns = np.array(cells.rows) - top, np.array(cells.columns) - left
        (here,) = np.nonzero((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width))
        kept_rows, row_of = np.unique(rows[here], return_inverse=True)
        kept_columns, column_of = np.unique(columns[here], return_inverse=True)
        selected = [*(inside for inside, _ in found), kept_rows, kept_columns]
        values = crop_chunk(self._pieces(chunk), self._field, chunk, selected)
        return [*(positions for _, positions in found), here], values[..., row_of, column_of]

    def _pieces(self, chunk: Chunk) -> Iterator[bytes]:
        start, stop = chunk.range
        return (self._read(at, min(_READ_SIZE, stop - at)) for at in range(start, stop, _READ_SIZE))

    def _describe(self, dataset: h5py.Dataset) -> None:
        """Write the attributes of the data variable and of the file, and the provenance."""
        renamed = {
            _PREFIX + name if name in _OF_THE_WHOLE_FILE else name: attribute
            for name, attribute in self._field.attributes.items()
        }
        netcdf.copy_attributes(dataset, renamed)
        if self._layout.coordinates:
            netcdf.write_texts(dataset, {"coordinates": self._layout.coordinates})
        source = self._part.index.attributes
        netcdf.copy_attributes(self._file, source)
        origin, wanted = self._provenance, json.dumps(attribute_form(self._part.subset))
        done = f"{origin.created.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}: era5dl {__version__}: subset {wanted}"
        before = source["history"].text if "history" in source else None
        texts = {
            "history": done + (f"\n{before}" if before else ""),
            "era5dl_source": origin.key,
            "era5dl_source_etag": origin.etag,
            "era5dl_subset": wanted,
        }
        netcdf.write_texts(self._file, texts)
        self._file.attrs["era5dl_source_size"] = np.int64(self._part.index.size)


def _compressed(fields: NDArray[Any], start: int, edges: tuple[int, ...], origin: tuple[int, ...]) -> bytes:
    """Return the output chunk at `origin` of fields whose first time is `start`: shuffled and deflated as by HDF5."""
    times, *inner = origin
    chunk = fields[tuple(slice(at, at + edge) for at, edge in zip((times - start, *inner), edges, strict=True))]
    if chunk.shape != edges:  # the last one of a dimension; HDF5 does not read what is beyond
        padded = np.zeros(edges, chunk.dtype)
        padded[tuple(map(slice, chunk.shape))] = chunk
        chunk = padded
    size = chunk.dtype.itemsize
    elements = np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).reshape(-1, size)
    shuffled = np.empty((size, len(elements)), np.uint8)
    for number in range(size):
        shuffled[number] = elements[:, number]
    return zlib.compress(shuffled.data, netcdf.COMPRESSION["compression_opts"])


def _within(indices: Sequence[int], start: int, edge: int) -> tuple[Indices, Indices]:
    """Return which of these indices are in a chunk, relative to it and ascending, and their positions in the output."""
    picked = np.array(indices)
    (here,) = np.nonzero((picked >= start) & (picked < start + edge))
    here = here[np.argsort(picked[here])]
    return picked[here] - start, here


def output_chunk_shape(shape: tuple[int, ...], element_size: int) -> tuple[int, ...]:
    """Return chunks of about 1 MiB: whole maps, of several times where they are small, and of fewer levels if large."""
    limit = _OUTPUT_CHUNK // element_size
    edges = [min(shape[0], max(1, limit // math.prod(shape[1:]))), *shape[1:]]
    for number in range(1, len(shape) - 1):
        while math.prod(edges) > limit and edges[number] > 1:
            edges[number] = -(-edges[number] // 2)
    return tuple(edges)
