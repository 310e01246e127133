"""What the rest of the program needs from a bucket: list, head, open a byte range. Knows no S3 library.

`era5dl.bucket.s3` is the one implementation; the planner and the engine are written against these names only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from era5dl.bucket.cancellation import Abort

LONGEST_KEY = 1024  # bytes of UTF-8: S3's limit
MOST_OBJECTS = 2_000_000  # of one plan, and of one listing; three times what is in the bucket of ERA5


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of the bucket, in one version.

    size: bytes. etag: as the server writes it, quotes included ("" where it sends none).
    last_modified: seconds since 1970, 0 where unknown.
    """

    key: str
    size: int
    etag: str
    last_modified: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """How a multipart object was uploaded: `count` parts of `size` bytes each, the last one shorter or equal."""

    count: int
    size: int


class Body(Protocol):
    """The bytes of one answer, as they come.

    start: the offset in the object of its first byte. whole: the answer is the whole object, whatever part was asked
    for; so `start` is 0, and the bytes go on to the object's end.
    """

    start: int
    whole: bool

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view` with the next bytes, as soon as any are there; how many, 0 at the end.

        Raises a BucketError.
        """
        ...


class Bucket(Protocol):
    """A bucket. Every method may be called from many threads at once, and raises a BucketError, nothing else."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key begins with `prefix`, in the order of their keys; pages are followed."""
        ...

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        """The object as it is now."""
        ...

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> Parts | None:
        """How the object was cut when it was uploaded; None where the server does not tell."""
        ...

    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> AbstractContextManager[Body]:
        """The bytes [start, stop) of exactly this version: proven by the headers before the first byte is given. Where
        something in between ignores ranges, all bytes of the object.

        Leaving the context closes the body, always, in the thread that read it.
        """
        ...

    def drop_idle_connections(self) -> None:
        """Forget pooled connections: after a suspend or an outage they are most likely dead."""
        ...
