"""HDF5 dense storage: messages of attributes or links in a fractal heap, found through a version 2 B-tree.

Source: HDF5 File Format Specification 3.0, sections IV.A.2.v (attribute info message), IV.A.2.c (link info message),
III.A.2 (version 2 B-tree) and III.G (fractal heap). Read are B-trees of one node, heaps of direct blocks, which hold
about 30 attributes of up to 4 kB, and longer attributes, which are outside of the blocks. All checksums are verified.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from era5dl.hdf5.field_reader import FieldReader, verify_checksum
from era5dl.hdf5.sparse_bytes import DamagedFile, SparseBytes, UnsupportedLayout
from era5dl.hdf5.superblock import Superblock

_MAX_RECORDS = 256
_MAX_HUGE = 1 << 16  # bytes of a message; a longer one cannot be in a file
_HUGE_INDEX = 1  # type of the B-tree of these objects
_HUGE = 0x10  # flag of the heap ID of an object that is outside of the blocks
_MAX_BLOCK = 1 << 16  # bytes of a direct block
_MAX_BLOCKS = 256


@dataclass(frozen=True, slots=True)
class _Records:
    """Records of a B-tree. kind: its type; size: of a record; start, stop: place of the heap ID in it."""

    kind: int
    size: int
    start: int
    stop: int


_ATTRIBUTES = _Records(8, 17, 0, 8)  # heap ID, message flags, creation order, hash of the name
_LINKS = _Records(5, 11, 4, 11)  # hash of the name, heap ID


def read_dense_links(source: SparseBytes, superblock: Superblock, heap: int, tree: int) -> list[bytes]:
    """Return the link messages in this heap. Raises DamagedFile, UnsupportedLayout and MissingBytes."""
    return _read_messages(source, superblock, heap, tree, _LINKS)


def read_dense_attributes(source: SparseBytes, superblock: Superblock, info: bytes) -> list[bytes]:
    """Return the attribute messages to which an attribute info message with this body refers.

    Raises DamagedFile, UnsupportedLayout and MissingBytes.
    """
    fields = FieldReader(info, superblock)
    fields.skip(1)
    fields.skip(2 if fields.integer(1) & 0x01 else 0)  # maximum creation index
    heap, tree = fields.address(), fields.address()
    if heap is None or tree is None:
        return []
    return _read_messages(source, superblock, heap, tree, _ATTRIBUTES)


def _read_messages(source: SparseBytes, superblock: Superblock, heap: int, tree: int, records: _Records) -> list[bytes]:
    source.require([(heap, heap + _heap_header_size(superblock)), (tree, tree + _tree_header_size(superblock))])
    heap_ids = [record[records.start : records.stop] for record in _read_records(source, superblock, tree, records)]
    return _FractalHeap(source, superblock, heap, records.stop - records.start).read_objects(heap_ids)


def _tree_header_size(superblock: Superblock) -> int:
    return 22 + superblock.offset_width + superblock.length_width


def _heap_header_size(superblock: Superblock) -> int:
    return 26 + 3 * superblock.offset_width + 12 * superblock.length_width


def _read_records(source: SparseBytes, superblock: Superblock, address: int, records: _Records) -> list[bytes]:
    header = source.read_structure(address, _tree_header_size(superblock))
    fields = FieldReader(header, superblock)
    fields.signature(b"BTHD")
    verify_checksum(header)
    version, kind = fields.integers(2, 1)
    fields.skip(4)  # node size
    record_size, depth = fields.integers(2, 2)
    fields.skip(2)  # when nodes are split and merged
    root, count = fields.address(), fields.integer(2)
    if (version, kind, record_size) != (0, records.kind, records.size) or depth or count > _MAX_RECORDS:
        raise UnsupportedLayout("an object with very many attributes or links")
    if root is None:
        return []
    leaf = source.read_structure(root, 10 + count * records.size)
    fields = FieldReader(leaf, superblock)
    fields.signature(b"BTLF")
    verify_checksum(leaf)
    fields.skip(2)  # version and type
    return [fields.take(records.size) for _ in range(count)]


class _FractalHeap:
    """A fractal heap without filters: its managed objects are in direct blocks below at most one indirect block.

    id_size: bytes of a heap ID.
    """

    def __init__(self, source: SparseBytes, superblock: Superblock, address: int, id_size: int) -> None:
        self._source = source
        self._superblock = superblock
        offset, length = superblock.offset_width, superblock.length_width
        header = source.read_structure(address, _heap_header_size(superblock))
        fields = FieldReader(header, superblock)
        fields.signature(b"FRHP")
        verify_checksum(header)
        version, real_id_size, filters = fields.integer(1), fields.integer(2), fields.integer(2)
        if version or real_id_size != id_size or filters:
            raise UnsupportedLayout("attributes in a heap of an unusual kind")
        self._has_checksums = bool(fields.integer(1) & 0x02)
        largest_object = fields.integer(4)
        fields.skip(length)  # next ID of a huge object
        self._huge_tree = fields.address()
        fields.skip(offset + 9 * length)  # free space, statistics
        self._width = fields.integer(2)
        self._first_size, largest_block = fields.length(), fields.length()
        self._offset_bytes = -(-fields.integer(2) // 8)  # of an offset in the heap
        self._length_bytes = -(-min(largest_block, largest_object).bit_length() // 8)
        fields.skip(2)
        root, rows = fields.address(), fields.integer(2)
        if not self._first_size or not self._width or self._width * rows > _MAX_BLOCKS:
            raise UnsupportedLayout("attributes in a very large heap")
        if self._offset_bytes + self._length_bytes >= id_size or largest_block > _MAX_BLOCK:
            raise UnsupportedLayout("attributes in a heap of an unusual kind")
        if rows and self._row_size(rows - 1) > largest_block:
            raise UnsupportedLayout("attributes in a very large heap")
        self._blocks: list[tuple[int, int, int]] = []  # offset in the heap, address, size
        if root is not None:
            self._blocks = self._read_indirect_block(root, rows) if rows else [(0, root, self._first_size)]
        self._content: dict[int, bytes] = {}  # address -> block
        self._huge: dict[int, tuple[int, int]] = {}  # ID -> address, length

    def read_objects(self, heap_ids: list[bytes]) -> list[bytes]:
        """Return the objects with these heap IDs."""
        self._source.require((address, address + size) for _, address, size in self._blocks)
        if any(heap_id[0] == _HUGE for heap_id in heap_ids):
            self._huge = self._read_huge_places()
            self._source.require((address, address + size) for address, size in self._huge.values())
        return [self._read_object(heap_id) for heap_id in heap_ids]

    def _read_object(self, heap_id: bytes) -> bytes:
        fields = FieldReader(heap_id, self._superblock)
        kind = fields.integer(1)
        if kind == _HUGE:
            place = self._huge.get(fields.integer(min(fields.remaining, self._superblock.length_width)))
            if place is None:
                raise DamagedFile("an attribute in it is missing")
            return self._source.read_structure(*place)
        if kind:
            raise UnsupportedLayout("attributes in a heap of an unusual kind")
        offset, length = fields.integer(self._offset_bytes), fields.integer(self._length_bytes)
        index = bisect_right(self._blocks, (offset, self._source.size, 0)) - 1
        if index < 0:
            raise DamagedFile("an attribute in it is missing")
        start, address, size = self._blocks[index]
        if offset + length > start + size:
            raise DamagedFile("an attribute in it is truncated")
        self._source.budget.spend(length)  # many IDs may name the same object
        return self._read_block(address, size)[offset - start : offset - start + length]

    def _read_huge_places(self) -> dict[int, tuple[int, int]]:
        """Return ID -> address and length of the objects outside of the blocks."""
        offset, length = self._superblock.offset_width, self._superblock.length_width
        if self._huge_tree is None:
            raise DamagedFile("an attribute in it is missing")
        records = _Records(_HUGE_INDEX, offset + 2 * length, 0, 0)
        found: dict[int, tuple[int, int]] = {}
        for record in _read_records(self._source, self._superblock, self._huge_tree, records):
            fields = FieldReader(record, self._superblock)
            address, size, number = fields.defined_address(), fields.length(), fields.length()
            if size > _MAX_HUGE:
                raise UnsupportedLayout("a very long attribute")
            found[number] = address, size
        return found

    def _row_size(self, row: int) -> int:
        """Return the size of the blocks in a row of the doubling table."""
        return self._first_size << max(row - 1, 0)

    def _read_indirect_block(self, address: int, rows: int) -> list[tuple[int, int, int]]:
        header_size = 5 + self._superblock.offset_width + self._offset_bytes
        size = header_size + rows * self._width * self._superblock.offset_width + 4
        data = self._source.get(address, size)
        fields = FieldReader(data, self._superblock)
        fields.signature(b"FHIB")
        verify_checksum(data)
        fields.skip(header_size - 4)
        found, offset = [], 0
        for row in range(rows):
            for _ in range(self._width):
                child = fields.address()
                if child is not None:
                    found.append((offset, child, self._row_size(row)))
                offset += self._row_size(row)
        return found

    def _read_block(self, address: int, size: int) -> bytes:
        if address not in self._content:
            data = self._source.get(address, size)
            FieldReader(data, self._superblock).signature(b"FHDB")
            if self._has_checksums:
                at = 5 + self._superblock.offset_width + self._offset_bytes
                verify_checksum(data[:at] + bytes(4) + data[at + 4 :] + data[at : at + 4])
            self._content[address] = data
        return self._content[address]
