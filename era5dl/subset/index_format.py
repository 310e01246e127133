"""File format of a cached HDF5 index: compact, loaded in about a millisecond, and checked as the index reader checks.

After the first line come a digest and zlib data. They consist of integers of 8 bytes and of byte strings preceded by
their length. Datatypes and dataspaces are in tables, because most attributes share a few of them. Chunks have no
origin: they are in the order of the grid.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import prod
from struct import error as StructError
from struct import pack, unpack_from
from typing import TypeVar

from era5dl.bucket.interface import ObjectInfo
from era5dl.hdf5 import Attribute, Datatype, Filter, Index, Variable
from era5dl.hdf5.chunk_table import chunks_in_order
from era5dl.hdf5.index import check_index
from era5dl.hdf5.messages import Dataspace, Layout

MAX_SIZE = 1 << 22  # bytes of a file

_HEADER = b"era5dl index 1\n"
_DIGEST_SIZE = 16
_MAX_CONTENT = 1 << 24  # bytes after decompression
_MAX_RANK = 8  # as in the index reader
_NONE = (1 << 64) - 1
_Entry = TypeVar("_Entry", Datatype, Dataspace)


class DamagedIndex(ValueError):
    """It is not an index of this format, or not the index of this object."""


def encode_index(obj: ObjectInfo, index: Index) -> bytes:
    """Return the content of the file with the index of this version of an object."""
    writer = _Writer()
    tables = _Tables()
    body = _Writer()
    _write_attributes(body, tables, index.attributes)
    body.integers([len(index.variables)])
    for variable in index.variables.values():
        _write_variable(body, tables, variable)
    writer.texts([obj.key, obj.etag])
    writer.integers([obj.size, len(tables.datatypes), len(tables.spaces)])
    for datatype in tables.datatypes:
        writer.integers([len(datatype.name), datatype.size, len(datatype.encoded)])
    for datatype in tables.datatypes:
        writer.content += datatype.name.encode() + datatype.encoded
    for space in tables.spaces:
        writer.integers([space.is_null, len(space.shape), *space.shape])
        writer.integers([_NONE if limit is None else limit for limit in space.max_shape])
    content = zlib.compress(bytes(writer.content + body.content), 1)
    return _HEADER + blake2b(content, digest_size=_DIGEST_SIZE).digest() + content


def decode_index(data: bytes, obj: ObjectInfo) -> Index:
    """Return the index of this version of an object from the content of its file. Raises DamagedIndex."""
    content = data[len(_HEADER) + _DIGEST_SIZE :]
    digest = blake2b(content, digest_size=_DIGEST_SIZE).digest()
    if not data.startswith(_HEADER + digest):
        raise DamagedIndex("its digest is wrong")
    try:
        reader = _Reader(zlib.decompressobj().decompress(content, _MAX_CONTENT))
        index = _read(reader, obj)
        check_index(index)
    except (ValueError, IndexError, ArithmeticError, MemoryError, StructError, zlib.error) as error:
        raise DamagedIndex(str(error)) from None
    return index


@dataclass(slots=True)
class _Tables:
    """Datatypes and dataspaces with their numbers, in the order of the numbers."""

    datatypes: dict[Datatype, int] = field(default_factory=dict)
    spaces: dict[Dataspace, int] = field(default_factory=dict)

    def numbers(self, datatype: Datatype, space: Dataspace) -> tuple[int, int]:
        return (
            self.datatypes.setdefault(datatype, len(self.datatypes)),
            self.spaces.setdefault(space, len(self.spaces)),
        )


class _Writer:
    def __init__(self) -> None:
        self.content = bytearray()

    def integers(self, values: Sequence[int]) -> None:
        self.content += pack(f"<{len(values)}Q", *values)

    def data(self, value: bytes | None) -> None:
        self.integers([_NONE if value is None else len(value)])
        self.content += value or b""

    def texts(self, values: Iterable[str]) -> None:
        for value in values:
            self.data(value.encode())


def _write_attributes(writer: _Writer, tables: _Tables, attributes: dict[str, Attribute]) -> None:
    writer.integers([len(attributes)])
    names = [name.encode() for name in attributes]
    for name, attribute in zip(names, attributes.values(), strict=True):
        writer.integers([*tables.numbers(attribute.datatype, attribute.space), len(name), len(attribute.data)])
    for name, attribute in zip(names, attributes.values(), strict=True):
        writer.content += name + attribute.data


def _write_variable(writer: _Writer, tables: _Tables, variable: Variable) -> None:
    layout, chunks = variable.layout, variable.chunks
    writer.texts([variable.name])
    writer.integers(tables.numbers(variable.datatype, variable.space))
    writer.data(variable.fill_value)
    writer.data(variable.values)
    writer.integers([len(variable.filters)])
    for applied in variable.filters:
        writer.integers([applied.number, len(applied.parameters), *applied.parameters])
    writer.integers(layout.contiguous or (_NONE, _NONE))
    writer.data(layout.inline)
    writer.integers([_NONE if layout.chunk_tree is None else layout.chunk_tree, layout.element_size])
    chunk_shape = layout.chunk_shape
    writer.integers([_NONE] if chunk_shape is None else [len(chunk_shape), *chunk_shape])
    writer.integers([len(chunks)])
    writer.integers([chunk.offset for chunk in chunks])
    writer.integers([chunk.size for chunk in chunks])
    writer.integers([chunk.filter_mask for chunk in chunks])
    _write_attributes(writer, tables, variable.attributes)


class _Reader:
    """Reads what _Writer has written. Everything it returns has the right type; lengths beyond the end are errors."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def integers(self, count: int) -> tuple[int, ...]:
        values = unpack_from(f"<{count}Q", self._content, self._at)
        self._at += 8 * count
        return values

    def integer(self) -> int:
        (value,) = unpack_from("<Q", self._content, self._at)
        self._at += 8
        return int(value)

    def optional_data(self) -> bytes | None:
        length = self.integer()
        return None if length == _NONE else self.take(length)

    def take(self, length: int) -> bytes:
        start, self._at = self._at, self._at + length
        if self._at > len(self._content):
            raise DamagedIndex("it ends too early")
        return self._content[start : self._at]

    def text(self) -> str:
        return self.take(self.integer()).decode()


def _read(reader: _Reader, obj: ObjectInfo) -> Index:
    if (reader.text(), reader.text(), reader.integer()) != (obj.key, obj.etag, obj.size):
        raise DamagedIndex("it is the index of another object")
    datatype_count, space_count = reader.integers(2)
    fields = iter(reader.integers(3 * datatype_count))
    datatypes = [
        Datatype(reader.take(name_length).decode(), size, reader.take(length))
        for name_length, size, length in zip(fields, fields, fields, strict=True)
    ]
    spaces = [_read_space(reader) for _ in range(space_count)]
    attributes = _read_attributes(reader, datatypes, spaces)
    variables = [_read_variable(reader, datatypes, spaces, obj.size) for _ in range(reader.integer())]
    return Index(obj.size, {variable.name: variable for variable in variables}, attributes)


def _read_space(reader: _Reader) -> Dataspace:
    is_null, rank = reader.integers(2)
    if rank > _MAX_RANK:
        raise DamagedIndex("an array has too many dimensions")
    shape, limits = reader.integers(rank), reader.integers(rank)
    return Dataspace(shape, tuple(None if limit == _NONE else limit for limit in limits), bool(is_null))


def _read_attributes(reader: _Reader, datatypes: list[Datatype], spaces: list[Dataspace]) -> dict[str, Attribute]:
    found = {}
    fields = iter(reader.integers(4 * reader.integer()))
    for datatype_number, space_number, name_length, length in zip(fields, fields, fields, fields, strict=True):
        name, data = reader.take(name_length).decode(), reader.take(length)
        datatype, space = datatypes[datatype_number], spaces[space_number]
        if length != (0 if space.is_null else datatype.size * prod(space.shape)):
            raise DamagedIndex("an attribute does not have its size")
        found[name] = Attribute(name, datatype, space, data)
    return found


def _read_variable(reader: _Reader, datatypes: list[Datatype], spaces: list[Dataspace], file_size: int) -> Variable:
    name = reader.text()
    datatype_number, space_number = reader.integers(2)
    space = spaces[space_number]
    fill_value, values = reader.optional_data(), reader.optional_data()
    filters = tuple(Filter(reader.integer(), reader.integers(reader.integer())) for _ in range(reader.integer()))
    layout = _read_layout(reader)
    count = reader.integer()
    places = (reader.integers(count), reader.integers(count), reader.integers(count))
    chunks = chunks_in_order(space.shape, layout, *places, file_size)
    datatype = datatypes[datatype_number]
    attributes = _read_attributes(reader, datatypes, spaces)
    return Variable(name, space, datatype, fill_value, filters, layout, chunks, attributes, values)


def _read_layout(reader: _Reader) -> Layout:
    address, size = reader.integers(2)
    inline = reader.optional_data()
    tree, element_size = reader.integers(2)
    rank = reader.integer()
    return Layout(
        contiguous=None if address == _NONE else (address, size),
        inline=inline,
        chunk_tree=None if tree == _NONE else tree,
        chunk_shape=None if rank == _NONE else reader.integers(rank),
        element_size=element_size,
    )
