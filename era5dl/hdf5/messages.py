"""HDF5 header messages of a dataset: dataspace, datatype, fill value, data layout and filter pipeline.

Source: HDF5 File Format Specification 3.0, section IV.A.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from era5dl.hdf5.field_reader import FieldReader
from era5dl.hdf5.sparse_bytes import DamagedFile, UnsupportedLayout
from era5dl.hdf5.superblock import Superblock

_NULL_DATASPACE = 2
_MAX_RANK = 8
_MAX_FILTERS = 8
_MAX_ELEMENTS = 1 << 40  # of one dataset; also keeps products of dimensions small


@dataclass(frozen=True, slots=True)
class Dataspace:
    """Shape of a dataset. max_shape: None for an unlimited dimension. is_null: no elements, as in an empty text."""

    shape: tuple[int, ...]
    max_shape: tuple[int | None, ...]
    is_null: bool = False


@dataclass(frozen=True, slots=True)
class Datatype:
    """Type of the elements. name: as in NumPy, such as "<f4"; "S12" for a text; "" for others. encoded: the message."""

    name: str
    size: int
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of the pipeline, applied in this order when data are written."""

    number: int
    parameters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a dataset's raw data are. At most one of contiguous, inline and chunk_tree is set; none without storage.

    contiguous: address and size. inline: the bytes themselves ("compact" layout). chunk_tree: address of the B-tree.
    chunk_shape: in elements; None for a dataset without chunks. element_size: as stated for chunks, in bytes.
    """

    contiguous: tuple[int, int] | None = None
    inline: bytes | None = None
    chunk_tree: int | None = None
    chunk_shape: tuple[int, ...] | None = None
    element_size: int = 0


def parse_dataspace(body: bytes, superblock: Superblock) -> Dataspace:
    """Parse a dataspace message (section IV.A.2.b), versions 1 and 2."""
    fields = FieldReader(body, superblock)
    version, rank, flags = fields.integers(3, 1)
    if version not in (1, 2):
        raise UnsupportedLayout(f"dataspace message version {version}")
    kind = fields.integer(1)  # reserved in version 1
    if version == 1:
        fields.skip(4)
    elif kind == _NULL_DATASPACE:
        return Dataspace((), (), is_null=True)
    if rank > _MAX_RANK:
        raise UnsupportedLayout(f"an array with {rank} dimensions")
    shape = tuple(fields.length() for _ in range(rank))
    limits: tuple[int | None, ...] = shape
    if flags & 1:
        unlimited = (1 << 8 * superblock.length_width) - 1
        limits = tuple(None if limit == unlimited else limit for limit in (fields.length() for _ in range(rank)))
    if prod(shape) > _MAX_ELEMENTS:
        raise DamagedFile("an array in it is too large")
    return Dataspace(shape, limits)


def parse_datatype(body: bytes, superblock: Superblock) -> Datatype:
    """Parse a datatype message (section IV.A.2.d): integers, IEEE floating-point numbers and fixed-length strings."""
    fields = FieldReader(body, superblock)
    kind, flags = fields.integers(2, 1)
    fields.skip(2)
    size = fields.integer(4)
    order = ">" if flags & 0x01 else "<"
    rest = body[8:]
    name = ""
    if kind & 0x0F == 0 and size in (1, 2, 4, 8) and rest[:4] == bytes([0, 0, 8 * size, 0]) and not flags & 0x06:
        name = f"{order}{'i' if flags & 0x08 else 'u'}{size}"
    elif kind & 0x0F == 1 and rest[:12] == _IEEE.get(size) and flags & 0x7E == 0x20:
        name = f"{order}f{size}"
    elif kind & 0x0F == 3:
        name = f"S{size}"
    return Datatype(name, size, body)


_IEEE = {  # size in bytes -> bit offset and precision; position and size of exponent and mantissa; exponent bias
    4: bytes([0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0]),
    8: bytes([0, 0, 64, 0, 52, 11, 0, 52, 255, 3, 0, 0]),
}


def parse_fill_value(body: bytes, superblock: Superblock) -> bytes | None:
    """Parse a fill value message (section IV.A.2.f), versions 1 to 3. Returns None for the default fill value."""
    fields = FieldReader(body, superblock)
    version = fields.integer(1)
    if version == 3:
        defined = fields.integer(1) & 0x20
    elif version in (1, 2):
        fields.skip(2)
        defined = fields.integer(1) or version == 1
    else:
        raise UnsupportedLayout(f"fill value message version {version}")
    return (fields.take(fields.integer(4)) or None) if defined else None


def parse_layout(body: bytes, superblock: Superblock) -> Layout:
    """Parse a data layout message (section IV.A.2.i), version 3. Raises UnsupportedLayout for all others."""
    fields = FieldReader(body, superblock)
    version, kind = fields.integers(2, 1)
    if version != 3:
        raise UnsupportedLayout(f"data layout message version {version}")
    if kind == 0:
        return Layout(inline=fields.take(fields.integer(2)))
    if kind == 1:
        address, size = fields.address(), fields.length()
        return Layout(contiguous=None if address is None else (address, size))
    if kind != 2:
        raise UnsupportedLayout(f"data layout class {kind}")
    rank = fields.integer(1)
    if not 2 <= rank <= _MAX_RANK + 1:
        raise DamagedFile("the chunks of a variable in it have an invalid shape")
    tree = fields.address()
    *shape, element_size = fields.integers(rank, 4)
    if 0 in shape:
        raise DamagedFile("the chunks of a variable in it have an invalid shape")
    return Layout(chunk_tree=tree, chunk_shape=tuple(shape), element_size=element_size)


def parse_filters(body: bytes, superblock: Superblock) -> tuple[Filter, ...]:
    """Parse a filter pipeline message (section IV.A.2.l), versions 1 and 2.

    Raises UnsupportedLayout also for a filter that is applied twice: each one costs time for every chunk.
    """
    fields = FieldReader(body, superblock)
    version, count = fields.integers(2, 1)
    if version not in (1, 2):
        raise UnsupportedLayout(f"filter pipeline message version {version}")
    if count > _MAX_FILTERS:
        raise UnsupportedLayout(f"{count} filters")
    if version == 1:
        fields.skip(6)
    found = []
    for _ in range(count):
        number = fields.integer(2)
        name_length = fields.integer(2) if version == 1 or number >= 256 else 0
        fields.skip(2)  # flags: whether a chunk may be written without the filter
        parameters = fields.integer(2)
        fields.skip(-(-name_length // 8) * 8 if version == 1 else name_length)
        found.append(Filter(number, fields.integers(parameters, 4)))
        if version == 1 and parameters % 2:
            fields.skip(4)
    if len({applied.number for applied in found}) < len(found):
        raise UnsupportedLayout("a filter that is applied twice")
    return tuple(found)
