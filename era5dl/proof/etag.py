"""ETags: parses, compares and computes them, and guesses the part sizes behind the ETag of a multipart upload.

The ETag of S3 is the MD5 of the object, or for a multipart upload the MD5 of its parts' MD5s, a hyphen and the number
of parts. Other servers use other forms; nginx's "65920080-20000000" is a time and a size. A weak ETag in the form of an
MD5 also counts as an MD5, because caches and proxies add `W/`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

MIB = 1 << 20
MAX_PARTS = 10_000  # S3's limit

_MD5 = re.compile(r'(?:W/)?"?([0-9a-f]{32})(?:-([1-9][0-9]{0,4}))?"?')


@dataclass(frozen=True, slots=True)
class EtagMd5:
    """The MD5 in an ETag. parts: number of parts of a multipart upload; None for the MD5 of the object itself."""

    md5: str
    parts: int | None


def etag_md5(etag: str) -> EtagMd5 | None:
    """Return the MD5 in this ETag; None if the ETag does not have the form of an MD5."""
    found = _MD5.fullmatch(etag)
    if not found:
        return None
    parts = int(found[2]) if found[2] else None
    return None if parts and parts > MAX_PARTS else EtagMd5(found[1], parts)


def quoted(etag: str) -> str:
    """Return the ETag in quotes, which some servers omit in listings; "" for an empty ETag."""
    if not opaque_tag(etag):
        return ""
    return etag if etag.startswith(('"', "W/")) else f'"{etag}"'


def is_weak(etag: str) -> bool:
    """Whether the ETag is weak: it promises only equivalent content, not identical bytes."""
    return etag.startswith("W/")


def opaque_tag(etag: str) -> str:
    """Return the ETag without quotes and `W/`."""
    return etag.removeprefix("W/").strip('"')


def same_etag(one: str, other: str) -> bool:
    """Whether both ETags are of the same version. One may be weak, because caches and proxies add `W/`."""
    return bool(one) and opaque_tag(one) == opaque_tag(other)


def multipart_md5(part_md5s: Sequence[str]) -> str:
    """Return the MD5 in the ETag of a multipart upload whose parts have these MD5s, all as hex."""
    return hashlib.md5(b"".join(map(bytes.fromhex, part_md5s)), usedforsecurity=False).hexdigest()


def part_size_fits(size: int, count: int, part_size: int) -> bool:
    """Whether an object of `size` bytes can have `count` parts of `part_size` bytes; the last may be shorter."""
    return part_size > 0 and (count - 1) * part_size < size <= count * part_size


def likely_part_sizes(size: int, count: int) -> list[int]:
    """Return common part sizes that divide an object of `size` bytes into `count` parts, the most likely first."""
    usual = [n * MIB for n in (8, 16, 5, 10, 15, 25, 32, 50, 64, 100, 128, 256, 512)]
    even = -(-size // count)
    candidates = [*usual, -(-even // MIB) * MIB, even]
    return [p for p in dict.fromkeys(candidates) if part_size_fits(size, count, p)]
