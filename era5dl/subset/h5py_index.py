"""Index of an HDF5 file read by libhdf5 (h5py), for layouts that the reader in `era5dl.hdf5` does not know.

libhdf5 reads the file in small pieces, one after the other, so this is for files on the disk. Chunks have the same form
in all versions of the format: the rest of the package does not see a difference.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from itertools import product
from math import prod
from typing import Any

import h5py
import numpy as np

from era5dl.hdf5 import Attribute, Chunk, Index, UnsupportedLayout, Variable
from era5dl.hdf5.attributes import DIMENSION_SCALE_ATTRIBUTES
from era5dl.hdf5.index import check_index
from era5dl.hdf5.messages import Dataspace, Datatype, Filter, Layout, parse_datatype
from era5dl.hdf5.superblock import Superblock

_MAX_CHUNKS = 1 << 16
_MAX_VALUES = 1 << 20  # bytes of a one-dimensional variable
_MAX_VARIABLES = 64
_MAX_ATTRIBUTE = 1 << 16  # bytes
_PREFIX = 2  # bytes that H5Tencode puts before a datatype message


def read_index_by_h5py(size: int, read: Callable[[int, int], bytes]) -> Index:
    """Return the index of a file of `size` bytes. read: (offset, length) -> bytes.

    Raises UnsupportedLayout if libhdf5 cannot read it either, DamagedFile, and errors of `read`.
    """
    raw = _File(size, read)
    reason = ""
    try:
        with h5py.File(raw, "r") as file:
            if len(file) > _MAX_VARIABLES:
                raise UnsupportedLayout("many variables")
            variables = {name: _variable(name, file[name]) for name in file}
            index = Index(size, variables, _attributes(file))
    except UnsupportedLayout as unsupported:
        reason = str(unsupported)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        reason = f"a structure that libhdf5 cannot read ({error})"
    raw.raise_error()  # outside of the handlers: an error that refers to objects of h5py crashes Python at exit
    if reason:
        raise UnsupportedLayout(reason)
    check_index(index)
    return index


class _File(io.RawIOBase):
    """The file as libhdf5 reads it, which hides errors: the first one is kept, and then the file has only zeros."""

    def __init__(self, size: int, read: Callable[[int, int], bytes]) -> None:
        self._size, self._read, self._at = size, read, 0
        self._error: Exception | None = None

    def raise_error(self) -> None:
        """Raise the first error of `read`."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._size - self._at))
        data = bytes(length)
        if self._error is None:
            try:
                data = self._read(self._at, length)
            except Exception as error:  # noqa: BLE001 - raised by `raise_error`
                self._error = error.with_traceback(None)
        view[:length] = data
        self._at += length
        return length


def _variable(name: str, dataset: Any) -> Variable:
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise UnsupportedLayout(f"{name}, which is not a variable")
    plist, kind = dataset.id.get_create_plist(), dataset.id.get_type()
    datatype = _datatype(kind)
    values = None
    if dataset.ndim == 1 and datatype.name:
        if dataset.nbytes > _MAX_VALUES:
            raise UnsupportedLayout(f"the many values of the variable {name}")
        values = np.asarray(dataset[()], dtype=dataset.dtype).tobytes()
    chunks: tuple[Chunk, ...] = ()
    layout = Layout(inline=values)
    if plist.get_layout() == h5py.h5d.CHUNKED:
        layout = Layout(chunk_shape=plist.get_chunk(), element_size=datatype.size)
        chunks = _chunks(dataset) if dataset.ndim > 1 else ()
    elif dataset.ndim > 1:
        place = dataset.id.get_offset()
        layout = Layout(contiguous=None if place is None else (place, dataset.id.get_storage_size()))
    fill_value = None
    if plist.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED and datatype.name:
        element = np.zeros((), dataset.dtype)
        plist.get_fill_value(element)
        fill_value = element.tobytes()
    filters = tuple(_filter(plist.get_filter(number)) for number in range(plist.get_nfilters()))
    space = Dataspace(dataset.shape, dataset.maxshape)
    return Variable(name, space, datatype, fill_value, filters, layout, chunks, _attributes(dataset), values)


def _datatype(kind: Any) -> Datatype:
    message = kind.encode()[_PREFIX:]
    return parse_datatype(message, Superblock(8, 8, 0, 0))


def _filter(found: tuple[int, int, Iterable[int], bytes]) -> Filter:
    number, _, parameters, _ = found
    return Filter(number, tuple(parameters))


def _chunks(dataset: Any) -> tuple[Chunk, ...]:
    """Return the chunks in the order of their origins. Raises UnsupportedLayout unless all of them are stored."""
    grid = [range(0, length, edge) for length, edge in zip(dataset.shape, dataset.chunks, strict=True)]
    count = prod(map(len, grid))
    if count > _MAX_CHUNKS or dataset.id.get_num_chunks() != count:
        raise UnsupportedLayout("very many chunks, or some that are not stored")
    found: list[Chunk] = []

    def add(info: Any) -> None:
        found.append(Chunk(info.chunk_offset, info.byte_offset, info.size, info.filter_mask))

    if hasattr(dataset.id, "chunk_iter"):
        dataset.id.chunk_iter(add)
    else:  # older versions of libhdf5
        for number in range(count):
            add(dataset.id.get_chunk_info(number))
    found.sort()
    if [chunk.origin for chunk in found] != list(product(*grid)):
        raise UnsupportedLayout("chunks that are not those of its shape")
    return tuple(found)


def _attributes(target: Any) -> dict[str, Attribute]:
    found = {}
    for number in range(h5py.h5a.get_num_attrs(target.id)):
        attribute = h5py.h5a.open(target.id, index=number)
        name = attribute.name.decode("utf-8", "replace")
        if name in DIMENSION_SCALE_ATTRIBUTES:
            continue
        kind, space = attribute.get_type(), attribute.get_space()
        datatype = _datatype(kind)
        if not datatype.name:
            raise UnsupportedLayout(f"the type of the attribute {name}")
        is_null = space.get_simple_extent_type() == h5py.h5s.NULL
        shape = () if is_null else attribute.shape
        if datatype.size * prod(shape) > _MAX_ATTRIBUTE:
            raise UnsupportedLayout(f"the long attribute {name}")
        data = b""
        if not is_null:
            values = np.zeros(shape, datatype.name)
            attribute.read(values, mtype=kind)
            data = values.tobytes()
        found[name] = Attribute(name, datatype, Dataspace(shape, shape, is_null), data)
    return found
