"""HDF5 object headers, versions 1 and 2, with their continuations: the header messages of a group or dataset.

Source: HDF5 File Format Specification 3.0, sections IV.A.1 and IV.A.2.q (continuation message). Version 2 is protected
by checksums, which are verified.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from era5dl.hdf5.field_reader import FieldReader, verify_checksum
from era5dl.hdf5.sparse_bytes import DamagedFile, SparseBytes, UnsupportedLayout
from era5dl.hdf5.superblock import Superblock

_MAX_MESSAGES = 1024  # of one object
_MAX_BLOCK = 1 << 16  # bytes of a header or of a continuation; those of the bucket have about 1 kB
_SHARED = 0x02  # message flag: the body is elsewhere


class MessageType(IntEnum):
    """The header messages that this reader uses."""

    DATASPACE = 0x01
    LINK_INFO = 0x02
    DATATYPE = 0x03
    FILL_VALUE = 0x05
    LINK = 0x06
    DATA_LAYOUT = 0x08
    FILTER_PIPELINE = 0x0B
    ATTRIBUTE = 0x0C
    CONTINUATION = 0x10
    SYMBOL_TABLE = 0x11
    ATTRIBUTE_INFO = 0x15


_USED = frozenset(MessageType)


class Message(NamedTuple):
    """One header message."""

    type: int
    body: bytes


def read_messages(source: SparseBytes, superblock: Superblock, address: int) -> list[Message]:
    """Return the messages of the object header at `address`, those of its continuations included.

    Raises DamagedFile, UnsupportedLayout (shared messages, newer versions) and MissingBytes.
    """
    head = source.read_structure(address, min(16, max(source.size - address, 0)))
    if head[:4] == b"OHDR":
        messages = _Version2(source, superblock).read(address)
    elif head[:1] == b"\x01":
        messages = _Version1(source, superblock).read(address)
    else:
        raise DamagedFile("an object header is missing")
    return [message for message in messages if message.type != MessageType.CONTINUATION]


class _ObjectHeader:
    """What both versions have in common: blocks of messages, chained by continuation messages."""

    def __init__(self, source: SparseBytes, superblock: Superblock) -> None:
        self.source = source
        self.superblock = superblock
        self.messages: list[Message] = []
        self._visited: set[int] = set()

    def fields(self, data: bytes) -> FieldReader:
        return FieldReader(data, self.superblock)

    def enter(self, address: int, length: int) -> None:
        """Check a block before it is read: not too large, and not read already."""
        if length > _MAX_BLOCK or address in self._visited:
            raise DamagedFile("an object header is too large, or refers to itself")
        self._visited.add(address)

    def append(self, kind: int, flags: int, body: bytes) -> tuple[int, int] | None:
        """Add a message. Returns address and length of the block that a continuation message refers to."""
        if len(self.messages) >= _MAX_MESSAGES:
            raise DamagedFile("an object header has too many messages")
        self.source.budget.spend(0)
        if kind in _USED and flags & _SHARED:
            raise UnsupportedLayout("a shared header message")
        self.messages.append(Message(kind, body))
        if kind != MessageType.CONTINUATION:
            return None
        fields = self.fields(body)
        return fields.defined_address(), fields.length()


class _Version1(_ObjectHeader):
    def read(self, address: int) -> list[Message]:
        fields = self.fields(self.source.read_structure(address, 16))
        fields.skip(2)
        count = fields.integer(2)
        fields.skip(4)  # reference count
        blocks = [(address + 16, fields.integer(4))]
        while blocks and len(self.messages) < count:
            start, length = blocks.pop(0)
            self.enter(start, length)
            fields = self.fields(self.source.read_structure(start, length))
            while fields.remaining >= 8 and len(self.messages) < count:
                kind, size, flags = fields.integer(2), fields.integer(2), fields.integer(1)
                fields.skip(3)
                continuation = self.append(kind, flags, fields.take(size))
                if continuation is not None:
                    blocks.append(continuation)
        if len(self.messages) < count:
            raise DamagedFile("messages of an object header are missing")
        return self.messages


class _Version2(_ObjectHeader):
    _order_width = 0  # bytes of a message's creation order

    def read(self, address: int) -> list[Message]:
        head = self.source.read_structure(address, min(34, self.source.size - address))
        fields = self.fields(head)
        fields.signature(b"OHDR")
        if fields.integer(1) != 2:
            raise UnsupportedLayout("object header version")
        flags = fields.integer(1)
        fields.skip((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))  # times; attribute storage limits
        length = fields.integer(1 << (flags & 0x03))
        self._order_width = 2 if flags & 0x04 else 0
        first = fields.at
        self.enter(address, first + length + 4)
        whole = self.source.read_structure(address, first + length + 4)
        verify_checksum(whole)
        blocks = self._read_block(whole[first:-4])
        while blocks:
            blocks += self._read_continuation(*blocks.pop(0))
        return self.messages

    def _read_continuation(self, address: int, length: int) -> list[tuple[int, int]]:
        self.enter(address, length)
        data = self.source.read_structure(address, length)
        self.fields(data).signature(b"OCHK")
        verify_checksum(data)
        return self._read_block(data[4:-4])

    def _read_block(self, data: bytes) -> list[tuple[int, int]]:
        """Read the messages of one block. Returns the blocks that it refers to."""
        fields = self.fields(data)
        found = []
        while fields.remaining >= 4 + self._order_width:  # less than a message's header is a gap
            kind, size, flags = fields.integer(1), fields.integer(2), fields.integer(1)
            fields.skip(self._order_width)
            continuation = self.append(kind, flags, fields.take(size))
            if continuation is not None:
                found.append(continuation)
        return found
