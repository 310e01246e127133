"""netCDF-4 writer for subsets: variables, dimension scales and attributes, through h5py.

Attributes of the source are written in their own types, byte for byte: through NumPy, texts would lose their final
zero byte. The storage is that of the bucket's files (chunks in a version 1 B-tree), so that older programs read it and
the index reader of this package does, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO, RawIOBase
from typing import Any

import h5py
import numpy as np

from era5dl.hdf5 import Attribute
from era5dl.subset.output_layout import Coordinate, OutputLayout

COMPRESSION: dict[str, Any] = {"shuffle": True, "compression": "gzip", "compression_opts": 1}
"""As in the bucket's files."""

_OF_THE_LIBRARY = frozenset({"_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties"})  # not to be copied
_CHUNK_CACHE = 32 << 20  # bytes; output chunks that the next source chunk continues stay in it
_COORDINATE_CHUNK = 1024


class OutputFile(RawIOBase):
    """The file that HDF5 writes to. Keeps the first OSError, for `raise_error`, and ignores all writes after it.

    HDF5 writes when objects are closed, where h5py only prints exceptions: without this, a file that was not written
    completely because the disk is full would look like a complete one.
    """

    def __init__(self, raw: FileIO) -> None:
        self._raw = raw
        self._error: OSError | None = None

    def raise_error(self) -> None:
        """Raise the first error of any operation."""
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: Any, /) -> int:
        return self._raw.readinto(buffer) or 0

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        with self._kept_errors():
            rest = view
            while rest and self._error is None:
                rest = rest[self._raw.write(rest) :]
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        with self._kept_errors():
            self._raw.truncate(size)
        return self._raw.tell() if size is None else size

    @contextmanager
    def _kept_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = self._error or error


def open_netcdf(file: OutputFile) -> h5py.File:
    """Return a new netCDF-4 file that is written to `file`, to be closed by the caller."""
    # track_order: netCDF keeps dimensions in the order of their creation
    return h5py.File(file, "w", track_order=True, libver=("earliest", "v108"), rdcc_nbytes=_CHUNK_CACHE)


def reopen_netcdf(raw: FileIO) -> h5py.File:
    """Return the netCDF-4 file that was written to `raw`, for reading."""
    return h5py.File(OutputFile(raw), "r")


def write_coordinates(file: h5py.File, layout: OutputLayout) -> None:
    """Write the dimensions and the auxiliary coordinates."""
    for number, coordinate in enumerate(layout.dimensions):
        scale = _create(file, coordinate, is_unlimited=number == 0)
        scale.make_scale(coordinate.name)
        scale.attrs["_Netcdf4Dimid"] = np.int32(number)
    for coordinate in layout.auxiliary:
        is_unlimited = coordinate.dimension == layout.dimensions[0].name
        _create(file, coordinate, is_unlimited).dims[0].attach_scale(file[coordinate.dimension])


def create_field(
    file: h5py.File,
    name: str,
    layout: OutputLayout,
    dtype: np.dtype[Any],
    chunk_shape: tuple[int, ...],
    fill_value: bytes | None,
    compression: Mapping[str, Any],
) -> h5py.Dataset:
    """Create and return the data variable, without attributes. Its first dimension is unlimited."""
    dataset = file.create_dataset(
        name,
        shape=layout.shape,
        dtype=dtype,
        maxshape=(None, *layout.shape[1:]),
        chunks=chunk_shape,
        fillvalue=None if fill_value is None else np.frombuffer(fill_value, dtype)[0],
        **compression,
    )
    for dimension, coordinate in zip(dataset.dims, layout.dimensions, strict=True):
        dimension.attach_scale(file[coordinate.name])
    return dataset


def copy_attributes(target: h5py.HLObject, attributes: Mapping[str, Attribute]) -> None:
    """Write attributes of the source under these names, in their own types."""
    for name, attribute in attributes.items():
        if name in _OF_THE_LIBRARY:
            continue
        encoded = name.encode()
        if h5py.h5a.exists(target.id, encoded):
            h5py.h5a.delete(target.id, encoded)
        kind = h5py.h5t.decode(_ENCODED_DATATYPE + attribute.datatype.encoded)
        shape = attribute.space.shape
        if attribute.space.is_null:
            h5py.h5a.create(target.id, encoded, kind, h5py.h5s.create(h5py.h5s.NULL))
            continue
        space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
        value = np.frombuffer(attribute.data, attribute.datatype.name).reshape(shape)
        h5py.h5a.create(target.id, encoded, kind, space).write(value, mtype=kind)


_ENCODED_DATATYPE = b"\x03\x00"  # what H5Tencode puts before a datatype message: its number, and a version


def write_texts(target: h5py.HLObject, texts: Mapping[str, str]) -> None:
    """Write text attributes as strings of fixed length, netCDF's type char."""
    for name, text in texts.items():
        target.attrs[name] = np.bytes_(text.encode())


def _create(file: h5py.File, coordinate: Coordinate, is_unlimited: bool) -> h5py.Dataset:
    size: dict[str, Any] = {"maxshape": (None,), "chunks": (_COORDINATE_CHUNK,)} if is_unlimited else {}
    if coordinate.values.dtype == object:  # texts of any length, which cannot be compressed
        dataset = file.create_dataset(coordinate.name, data=coordinate.values, dtype=h5py.string_dtype(), **size)
    else:
        dataset = file.create_dataset(coordinate.name, data=coordinate.values, **size, **COMPRESSION)
    copy_attributes(dataset, coordinate.attributes)
    write_texts(dataset, coordinate.texts)
    return dataset
