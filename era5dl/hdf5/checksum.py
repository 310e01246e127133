"""Jenkins lookup3 hash, with which HDF5 protects its metadata (File Format Specification 3.0, appendix "Checksums")."""

from __future__ import annotations

from functools import lru_cache
from struct import iter_unpack, unpack

_MASK = 0xFFFFFFFF


@lru_cache(maxsize=64)  # a reader starts again after each round of requests
def lookup3(data: bytes) -> int:
    """Return the 32-bit lookup3 hash of `data` with the initial value 0, as HDF5 computes it."""
    length = len(data)
    a = b = c = (0xDEADBEEF + length) & _MASK
    whole = max(length - 1, 0) // 12 * 12
    for x, y, z in iter_unpack("<III", memoryview(data)[:whole]):
        a, b, c = a + x & _MASK, b + y & _MASK, c + z & _MASK
        # written out, because calls would take most of the time
        a = (a - c & _MASK) ^ (c << 4 & _MASK | c >> 28)
        c = c + b & _MASK
        b = (b - a & _MASK) ^ (a << 6 & _MASK | a >> 26)
        a = a + c & _MASK
        c = (c - b & _MASK) ^ (b << 8 & _MASK | b >> 24)
        b = b + a & _MASK
        a = (a - c & _MASK) ^ (c << 16 & _MASK | c >> 16)
        c = c + b & _MASK
        b = (b - a & _MASK) ^ (a << 19 & _MASK | a >> 13)
        a = a + c & _MASK
        c = (c - b & _MASK) ^ (b << 4 & _MASK | b >> 28)
        b = b + a & _MASK
    if whole == length:
        return c
    x, y, z = unpack("<III", data[whole:] + bytes(12 - length + whole))
    return _final(a + x & _MASK, b + y & _MASK, c + z & _MASK)


def _rotate(value: int, count: int) -> int:
    return (value << count | value >> (32 - count)) & _MASK


def _final(a: int, b: int, c: int) -> int:
    c = (c ^ b) - _rotate(b, 14) & _MASK
    a = (a ^ c) - _rotate(c, 11) & _MASK
    b = (b ^ a) - _rotate(a, 25) & _MASK
    c = (c ^ b) - _rotate(b, 16) & _MASK
    a = (a ^ c) - _rotate(c, 4) & _MASK
    b = (b ^ a) - _rotate(a, 14) & _MASK
    return (c ^ b) - _rotate(b, 24) & _MASK
