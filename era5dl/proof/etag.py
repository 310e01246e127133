"""What an ETag says about the bytes. Most often nothing: it is opaque until its shape makes an MD5 possible.

S3 writes the MD5 of an object that was uploaded in one go, and for a multipart upload the MD5 of its parts' MD5s, a
hyphen and their number.  Others write what they like: nginx's "65920080-20000000" is a time and a size.  A weak ETag of
that shape is an MD5 as well: a cache or a proxy has added the `W/` on the way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

MIB = 1 << 20
MOST_PARTS = 10_000  # S3's limit

_MD5 = re.compile(r'(?:W/)?"?([0-9a-f]{32})(?:-([1-9][0-9]{0,4}))?"?')


@dataclass(frozen=True, slots=True)
class Checksum:
    """An ETag that may be an MD5. `parts` is None for a plain MD5, else the number of parts it was made of."""

    md5: str
    parts: int | None


def checksum(etag: str) -> Checksum | None:
    """The MD5 that this ETag may be; None when it cannot be one."""
    found = _MD5.fullmatch(etag)
    if not found:
        return None
    parts = int(found[2]) if found[2] else None
    return None if parts and parts > MOST_PARTS else Checksum(found[1], parts)


def quoted(etag: str) -> str:
    """The ETag as headers write it; some servers leave the quotes away in listings, and mean the same version. "" for
    one with nothing in it: that names no version, and is no other one either."""
    if not bare(etag):
        return ""
    return etag if etag.startswith(('"', "W/")) else f'"{etag}"'


def is_weak(etag: str) -> bool:
    """Whether it only promises an equivalent object, not the same bytes."""
    return etag.startswith("W/")


def bare(etag: str) -> str:
    """What it says of the version or the bytes, without quotes and `W/`."""
    return etag.removeprefix("W/").strip('"')


def same_etag(one: str, other: str) -> bool:
    """Whether both name one version; one of them may be weak, since caches and proxies add `W/` on the way."""
    return bool(one) and bare(one) == bare(other)


def combined(digests: Sequence[str]) -> str:
    """The MD5 of a multipart upload whose parts have these MD5s, all as hex."""
    return hashlib.md5(b"".join(map(bytes.fromhex, digests)), usedforsecurity=False).hexdigest()


def fits(size: int, count: int, part_size: int) -> bool:
    """Whether `count` parts of `part_size` bytes, the last one shorter or equal, make an object of `size` bytes."""
    return part_size > 0 and (count - 1) * part_size < size <= count * part_size


def likely_part_sizes(size: int, count: int) -> list[int]:
    """Part sizes that uploaders use and that would give `count` parts, likeliest first."""
    usual = [n * MIB for n in (8, 16, 5, 10, 15, 25, 32, 50, 64, 100, 128, 256, 512)]
    even = -(-size // count)
    candidates = [*usual, -(-even // MIB) * MIB, even]
    return [p for p in dict.fromkeys(candidates) if fits(size, count, p)]
