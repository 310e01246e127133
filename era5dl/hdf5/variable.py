"""HDF5 datasets (netCDF variables): shape, type, attributes, the places of their chunks, and values of coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from struct import unpack

from era5dl.hdf5.attributes import Attribute, read_attributes
from era5dl.hdf5.chunk_table import Chunk, read_chunk_table
from era5dl.hdf5.filters import SHUFFLE, decode_chunk
from era5dl.hdf5.messages import (
    Dataspace,
    Datatype,
    Filter,
    Layout,
    parse_dataspace,
    parse_datatype,
    parse_fill_value,
    parse_filters,
    parse_layout,
)
from era5dl.hdf5.object_header import MessageType, read_messages
from era5dl.hdf5.sparse_bytes import DamagedFile, MissingRanges, SparseBytes, UnsupportedLayout
from era5dl.hdf5.superblock import Superblock
from era5dl.ranges import Range

_MAX_VALUES = 1 << 20  # bytes of a one-dimensional variable that is read with the index
_DECODED = 4  # bytes of decoded values for each unit of work
_MAX_SHUFFLED = 16  # bytes of an element; the time to undo shuffle grows with it
_UNIQUE = frozenset(  # messages that describe a dataset as a whole
    {
        MessageType.DATASPACE,
        MessageType.DATATYPE,
        MessageType.FILL_VALUE,
        MessageType.DATA_LAYOUT,
        MessageType.FILTER_PIPELINE,
    }
)
_STRUCT_CODES = dict(i1="b", u1="B", i2="h", u2="H", i4="i", u4="I", i8="q", u8="Q", f4="f", f8="d")  # noqa: C408


@dataclass(frozen=True, slots=True)
class Variable:
    """A dataset.

    fill_value: one element; None for the default. layout: where its data are. chunks: sorted by origin, and complete;
    empty for data without chunks. values: the elements of a one-dimensional variable; None for all others.
    """

    name: str
    space: Dataspace
    datatype: Datatype
    fill_value: bytes | None
    filters: tuple[Filter, ...]
    layout: Layout
    chunks: tuple[Chunk, ...]
    attributes: dict[str, Attribute]
    values: bytes | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.space.shape

    @property
    def chunk_size(self) -> int:
        """The number of bytes of a chunk after decoding; 0 for data without chunks."""
        shape = self.layout.chunk_shape
        return prod(shape) * self.datatype.size if shape else 0

    def numbers(self) -> tuple[float, ...]:
        """Return the values of a one-dimensional numeric variable. Raises UnsupportedLayout for all others."""
        code = _STRUCT_CODES.get(self.datatype.name[1:])
        if self.values is None or code is None:
            raise UnsupportedLayout(f"the values of the variable {self.name}")
        return unpack(f"{self.datatype.name[0]}{len(self.values) // self.datatype.size}{code}", self.values)

    def raw_data(self) -> list[Range]:
        """Return the ranges of the file that its data occupy."""
        place = self.layout.contiguous
        return [(offset, offset + size) for _, offset, size, _ in self.chunks] + (
            [(place[0], sum(place))] if place else []
        )


def read_variable(source: SparseBytes, superblock: Superblock, name: str, address: int) -> Variable:
    """Return the variable whose object header is at `address`.

    Raises DamagedFile, MissingBytes, and UnsupportedLayout, also for an object that is not a dataset.
    """
    messages = read_messages(source, superblock, address)
    bodies: dict[int, bytes] = {}
    for kind, body in messages:
        if kind in bodies and kind in _UNIQUE:  # which of them is valid is for libhdf5 to decide
            raise UnsupportedLayout(f"the variable {name}, which has two descriptions")
        bodies[kind] = body
    if not {MessageType.DATASPACE, MessageType.DATATYPE, MessageType.DATA_LAYOUT} <= bodies.keys():
        raise UnsupportedLayout(f"{name}, which is not a variable")
    space = parse_dataspace(bodies[MessageType.DATASPACE], superblock)
    if space.is_null:
        raise UnsupportedLayout(f"the variable {name}, which has no values")
    datatype = parse_datatype(bodies[MessageType.DATATYPE], superblock)
    layout = parse_layout(bodies[MessageType.DATA_LAYOUT], superblock)
    filters = bodies.get(MessageType.FILTER_PIPELINE)
    fill_value = bodies.get(MessageType.FILL_VALUE)
    missing = MissingRanges()
    attributes = missing.attempt(read_attributes, source, superblock, messages)
    chunks = missing.attempt(read_chunk_table, source, superblock, space.shape, layout)
    variable = Variable(
        name=name,
        space=space,
        datatype=datatype,
        fill_value=parse_fill_value(fill_value, superblock) if fill_value else None,
        filters=parse_filters(filters, superblock) if filters else (),
        layout=layout,
        chunks=chunks or (),
        attributes=attributes or {},
        values=None,
    )
    check_variable(variable, source.size)
    values = missing.attempt(_read_values, source, variable) if chunks is not None else None
    missing.raise_if_any()
    return replace(variable, values=values)


def check_variable(variable: Variable, file_size: int) -> None:
    """Check what is known of a variable for contradictions. Raises DamagedFile, UnsupportedLayout."""
    _check_sizes(variable, file_size)
    _check_filters(variable)


def _check_sizes(variable: Variable, file_size: int) -> None:
    """Check that the sizes stated in different places fit together. Raises DamagedFile."""
    size, layout = variable.datatype.size, variable.layout
    place = layout.contiguous
    stored = len(layout.inline) if layout.inline is not None else place[1] if place else None
    if (
        not size
        or len(variable.fill_value or bytes(size)) != size
        or (layout.chunk_shape and layout.element_size != size)
        or (stored is not None and stored < prod(variable.shape) * size)
        or (place and sum(place) > file_size)
    ):
        raise DamagedFile(f"the sizes of the variable {variable.name} contradict one another")


def _check_filters(variable: Variable) -> None:
    """Check that no chunk skips shuffle, and that shuffled elements are small. Raises UnsupportedLayout.

    The B-tree has no checksum, and a wrong mask bit of shuffle would give wrong values of the right size. HDF5 skips
    deflate where it saves nothing, but never shuffle; a wrong bit of deflate does not pass the check of the size.
    """
    optional = sum(1 << i for i, applied in enumerate(variable.filters) if applied.number != SHUFFLE)
    if any(mask & ~optional for mask in {chunk.filter_mask for chunk in variable.chunks}):
        raise UnsupportedLayout(f"a chunk of the variable {variable.name} that was written without a filter")
    if variable.datatype.size > _MAX_SHUFFLED and any(applied.number == SHUFFLE for applied in variable.filters):
        raise UnsupportedLayout(f"the large elements of the variable {variable.name}")


def _read_values(source: SparseBytes, variable: Variable) -> bytes | None:
    """Return the values of a one-dimensional variable. Raises MissingBytes and UnsupportedLayout (too many values)."""
    if len(variable.shape) != 1:
        return None
    size = variable.shape[0] * variable.datatype.size
    layout = variable.layout
    if max(size, len(variable.chunks) * variable.chunk_size) > _MAX_VALUES:
        raise UnsupportedLayout(f"the many values of the variable {variable.name}")
    if layout.inline is not None:
        return layout.inline[:size]
    if layout.contiguous is not None:
        return source.read_structure(layout.contiguous[0], size)
    if not variable.chunks:
        return None
    source.require(chunk.range for chunk in variable.chunks)
    source.budget.spend(len(variable.chunks) * variable.chunk_size // _DECODED, structures=len(variable.chunks))
    element = variable.datatype.size
    decoded = (
        decode_chunk(
            source.read_structure(chunk.offset, chunk.size),
            variable.filters,
            chunk.filter_mask,
            variable.chunk_size,
            element,
        )
        for chunk in variable.chunks
    )
    return b"".join(decoded)[:size]
