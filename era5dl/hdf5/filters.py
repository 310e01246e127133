"""HDF5 filters: undoes deflate, shuffle and Fletcher-32 of one chunk, and verifies its checksums.

Source: HDF5 File Format Specification 3.0, section IV.A.2.l. For chunks of a few kB such as those of coordinates;
`era5dl.subset.decode` does the same for large chunks with little memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import accumulate
from struct import unpack

from era5dl.hdf5.messages import Filter
from era5dl.hdf5.sparse_bytes import DamagedFile, UnsupportedLayout

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
SUPPORTED = frozenset({DEFLATE, SHUFFLE, FLETCHER32})
_BLOCK = 65535  # the modulus of Fletcher-32


def decode_chunk(data: bytes, filters: Sequence[Filter], filter_mask: int, size: int, element_size: int) -> bytes:
    """Return the `size` bytes of a chunk's elements.

    Raises DamagedFile when a checksum or the size is wrong, UnsupportedLayout for other filters.
    """
    for number, applied in reversed(list(enumerate(filters))):
        if filter_mask >> number & 1:
            continue
        if applied.number == DEFLATE:
            data = _inflate(data, size)
        elif applied.number == SHUFFLE:
            data = _unshuffle(data, element_size)
        elif applied.number == FLETCHER32:
            data = _without_fletcher32(data)
        else:
            raise UnsupportedLayout(f"filter {applied.number}")
    if len(data) != size:
        raise DamagedFile("a chunk does not have its size")
    return data


def _inflate(data: bytes, size: int) -> bytes:
    """Inflate a zlib stream, whose Adler-32 zlib verifies. Filters that follow in the pipeline add 4 bytes at most."""
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, size + 8)
    except zlib.error as error:
        raise DamagedFile(f"a chunk is damaged: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise DamagedFile("a chunk does not have its size")
    return inflated


def _unshuffle(data: bytes, element_size: int) -> bytes:
    """Collect the bytes of each element, which shuffle stores apart: all first bytes, all second bytes, and so on."""
    count = len(data) // element_size
    whole = count * element_size
    elements = bytearray(data)  # bytes after the last whole element stay where they are
    for number in range(element_size):
        elements[number:whole:element_size] = data[number * count : (number + 1) * count]
    return bytes(elements)


def _without_fletcher32(data: bytes) -> bytes:
    """Verify the checksum at the end of `data`, and remove it."""
    content = data[:-4]
    words = unpack(f">{len(content) // 2}H", content[: len(content) // 2 * 2])
    if len(content) % 2:
        words += (content[-1] << 8,)
    first = sum(words) % _BLOCK
    second = sum(accumulate(words)) % _BLOCK
    stored = int.from_bytes(data[-4:], "little")
    if len(data) < 4 or ((stored >> 16) % _BLOCK, (stored & 0xFFFF) % _BLOCK) != (second, first):
        raise DamagedFile("the checksum of a chunk is wrong")
    return content
