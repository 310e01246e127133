"""HDF5 attributes: numbers and texts of fixed length that describe a group or a dataset.

Up to eight are in the object header, more are in a fractal heap. Source: HDF5 File Format Specification 3.0, section
IV.A.2.m. Attributes that connect variables with dimension scales are left out: they refer to other objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from era5dl.hdf5.dense_attributes import read_dense_attributes
from era5dl.hdf5.field_reader import FieldReader
from era5dl.hdf5.messages import Dataspace, Datatype, parse_dataspace, parse_datatype
from era5dl.hdf5.object_header import Message, MessageType
from era5dl.hdf5.sparse_bytes import SparseBytes, UnsupportedLayout
from era5dl.hdf5.superblock import Superblock

DIMENSION_SCALE_ATTRIBUTES = frozenset({"CLASS", "DIMENSION_LIST", "NAME", "REFERENCE_LIST"})
"""Attributes that connect variables with their dimensions (HDF5 dimension scale specification)."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute in the file's own type. data: its elements one after the other."""

    name: str
    datatype: Datatype
    space: Dataspace
    data: bytes

    @property
    def text(self) -> str | None:
        """The text of a scalar string attribute, without padding; None for any other."""
        if self.space.shape or not self.datatype.name.startswith("S"):
            return None
        return self.data.split(b"\0", 1)[0].decode("utf-8", "replace").rstrip(" ")


def read_attributes(source: SparseBytes, superblock: Superblock, messages: Iterable[Message]) -> dict[str, Attribute]:
    """Return the attributes of an object with these header messages, by name.

    Raises DamagedFile, UnsupportedLayout (types other than numbers and texts of fixed length) and MissingBytes.
    """
    bodies: list[bytes] = []
    for kind, body in messages:
        if kind == MessageType.ATTRIBUTE:
            bodies.append(body)
        elif kind == MessageType.ATTRIBUTE_INFO:
            bodies += read_dense_attributes(source, superblock, body)
    found: dict[str, Attribute] = {}
    for body in bodies:
        source.budget.spend(len(body), structures=3)  # its name, type and shape
        attribute = _parse_attribute(body, superblock)
        if attribute is not None:
            found[attribute.name] = attribute
    return found


def _parse_attribute(body: bytes, superblock: Superblock) -> Attribute | None:
    fields = FieldReader(body, superblock)
    version, flags = fields.integers(2, 1)
    if version not in (1, 2, 3) or (version > 1 and flags):
        raise UnsupportedLayout("an attribute of a newer version, or of a shared type")
    name_size, type_size, space_size = fields.integers(3, 2)
    if version == 3:
        fields.skip(1)  # character set of the name

    def padded(size: int) -> bytes:
        data = fields.take(size)
        fields.skip(-size % 8 if version == 1 else 0)
        return data

    name = padded(name_size).split(b"\0", 1)[0].decode("utf-8", "replace")
    datatype = parse_datatype(padded(type_size), superblock)
    space = parse_dataspace(padded(space_size), superblock)
    if name in DIMENSION_SCALE_ATTRIBUTES:
        return None
    if not datatype.name:
        raise UnsupportedLayout(f"the type of the attribute {name}")
    size = 0 if space.is_null else datatype.size * prod(space.shape)
    return Attribute(name, datatype, space, fields.take(size))
