"""Jenkins lookup3 hash, with which HDF5 protects its metadata (File Format Specification 3.0, appendix "Checksums")."""

from __future__ import annotations

from struct import unpack_from

_MASK = 0xFFFFFFFF


def lookup3(data: bytes) -> int:
    """Return the 32-bit lookup3 hash of `data` with the initial value 0, as HDF5 computes it."""
    length = len(data)
    a = b = c = (0xDEADBEEF + length) & _MASK
    at = 0
    while length - at > 12:
        x, y, z = unpack_from("<III", data, at)
        a, b, c = _mix(a + x & _MASK, b + y & _MASK, c + z & _MASK)
        at += 12
    if at == length:
        return c
    x, y, z = unpack_from("<III", data[at:] + bytes(12 - length + at))
    return _final(a + x & _MASK, b + y & _MASK, c + z & _MASK)


def _rotate(value: int, count: int) -> int:
    return (value << count | value >> (32 - count)) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a = (a - c & _MASK) ^ _rotate(c, 4)
    c = c + b & _MASK
    b = (b - a & _MASK) ^ _rotate(a, 6)
    a = a + c & _MASK
    c = (c - b & _MASK) ^ _rotate(b, 8)
    b = b + a & _MASK
    a = (a - c & _MASK) ^ _rotate(c, 16)
    c = c + b & _MASK
    b = (b - a & _MASK) ^ _rotate(a, 19)
    a = a + c & _MASK
    c = (c - b & _MASK) ^ _rotate(b, 4)
    b = b + a & _MASK
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = (c ^ b) - _rotate(b, 14) & _MASK
    a = (a ^ c) - _rotate(c, 11) & _MASK
    b = (b ^ a) - _rotate(a, 25) & _MASK
    c = (c ^ b) - _rotate(b, 16) & _MASK
    a = (a ^ c) - _rotate(c, 4) & _MASK
    b = (b ^ a) - _rotate(a, 14) & _MASK
    return (c ^ b) - _rotate(b, 24) & _MASK
