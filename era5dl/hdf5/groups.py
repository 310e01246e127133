"""HDF5 groups: the names and addresses of the objects in a group, from link messages or from a symbol table.

Source: HDF5 File Format Specification 3.0, sections IV.A.2.g (link message), III.A.1 (version 1 B-tree), III.B (symbol
table node) and III.D (local heap).
"""

from __future__ import annotations

from collections.abc import Iterable

from era5dl.hdf5.dense_attributes import read_dense_links
from era5dl.hdf5.field_reader import FieldReader
from era5dl.hdf5.object_header import Message, MessageType
from era5dl.hdf5.sparse_bytes import DamagedFile, SparseBytes, UnsupportedLayout
from era5dl.hdf5.superblock import Superblock

_MAX_LINKS = 64
_MAX_HEAP = 1 << 16  # bytes of the names of a symbol table
_GROUP_NODE = 0


def read_links(source: SparseBytes, superblock: Superblock, messages: Iterable[Message]) -> dict[str, int]:
    """Return name -> object header address of the hard links of a group with these header messages.

    Raises DamagedFile, UnsupportedLayout (very many links; two links to one object) and MissingBytes.
    """
    found: dict[str, int] = {}
    for kind, body in messages:
        fields = FieldReader(body, superblock)
        if kind == MessageType.LINK:
            found |= _parse_link(fields)
        elif kind == MessageType.LINK_INFO:
            fields.skip(1)
            fields.skip(8 if fields.integer(1) & 1 else 0)  # maximum creation index
            heap, tree = fields.address(), fields.address()
            if heap is not None and tree is not None:
                for link in read_dense_links(source, superblock, heap, tree):
                    found |= _parse_link(FieldReader(link, superblock))
        elif kind == MessageType.SYMBOL_TABLE:
            found |= _read_symbol_table(source, superblock, fields.defined_address(), fields.defined_address())
        if len(found) > _MAX_LINKS:
            raise UnsupportedLayout("a group with many links")
    if not found:
        raise UnsupportedLayout("an empty group")
    if len(set(found.values())) < len(found):
        raise UnsupportedLayout("an object with two names")
    return found


def _parse_link(fields: FieldReader) -> dict[str, int]:
    if fields.integer(1) != 1:
        raise UnsupportedLayout("link message version")
    flags = fields.integer(1)
    kind = fields.integer(1) if flags & 0x08 else 0
    fields.skip((8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0))  # creation order; character set
    name = _decode(fields.take(fields.integer(1 << (flags & 0x03))))
    return {name: fields.defined_address()} if kind == 0 else {}


def _read_symbol_table(source: SparseBytes, superblock: Superblock, tree: int, heap: int) -> dict[str, int]:
    """Return the links of a group in the old format: a B-tree of symbol table nodes, with names in a local heap."""
    names = _read_local_heap(source, superblock, heap)
    entry_size = 2 * superblock.offset_width + 24
    found: dict[str, int] = {}
    for node in _symbol_table_nodes(source, superblock, tree):
        fields = FieldReader(source.read_structure(node, 8), superblock)
        fields.signature(b"SNOD")
        fields.skip(2)
        count = fields.integer(2)
        if count + len(found) > _MAX_LINKS:
            raise UnsupportedLayout("a group with many links")
        fields = FieldReader(source.read_structure(node + 8, count * entry_size), superblock)
        for _ in range(count):
            entry = FieldReader(fields.take(entry_size), superblock)
            at = entry.integer(superblock.offset_width)
            end = names.find(b"\0", at)
            if end < 0:
                raise DamagedFile("a name in it has no end")
            found[_decode(names[at:end])] = entry.defined_address()
    return found


def _read_local_heap(source: SparseBytes, superblock: Superblock, address: int) -> bytes:
    size = 8 + 2 * superblock.length_width + superblock.offset_width
    fields = FieldReader(source.read_structure(address, size), superblock)
    fields.signature(b"HEAP")
    fields.skip(4)
    length = fields.length()
    fields.length()  # head of the free list
    if length > _MAX_HEAP:
        raise UnsupportedLayout("a group with many links")
    return source.read_structure(fields.defined_address(), length)


def _symbol_table_nodes(source: SparseBytes, superblock: Superblock, root: int) -> list[int]:
    """Return the addresses of the symbol table nodes of a group's B-tree."""
    step = superblock.length_width + superblock.offset_width
    found: list[int] = []
    waiting = [root]
    visited: set[int] = set()
    while waiting:
        address = waiting.pop()
        if address in visited or len(visited) > _MAX_LINKS:
            raise DamagedFile("a B-tree refers to itself, or is too large")
        visited.add(address)
        head_size = 8 + 2 * superblock.offset_width
        fields = FieldReader(source.read_structure(address, head_size), superblock)
        fields.signature(b"TREE")
        kind, level, count = fields.integer(1), fields.integer(1), fields.integer(2)
        if kind != _GROUP_NODE or count > _MAX_LINKS:
            raise DamagedFile("a B-tree node is missing")
        fields = FieldReader(source.read_structure(address + head_size, count * step), superblock)
        for _ in range(count):
            fields.length()  # heap offset of the first name
            (waiting if level else found).append(fields.defined_address())
    return found


def _decode(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise DamagedFile("a name in it is not UTF-8") from None
