"""Interface of a bucket for the rest of the program: list objects, read their headers, open a byte range.

`era5dl.bucket.s3` implements it. The planner and the engine use only these names and import no S3 library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from era5dl.bucket.cancellation import Abort

MAX_KEY_BYTES = 1024  # of UTF-8: S3's limit
MAX_OBJECTS = 2_000_000  # in a plan, and in a listing; three times as many as the bucket of ERA5 has


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of an object.

    size: bytes. etag: as the server writes it, with quotes ("" where it sends none). last_modified: seconds since 1970,
    0 where unknown.
    """

    key: str
    size: int
    etag: str
    last_modified: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a multipart upload: `count` parts of `size` bytes each; the last one may be shorter."""

    count: int
    size: int


class Body(Protocol):
    """The bytes of one response.

    start: offset of its first byte in the object. whole: the response is the whole object, whatever range was
    requested; then `start` is 0, and the bytes go on to the end of the object.
    """

    start: int
    whole: bool

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view` with the next bytes, as soon as there are any; return how many, 0 at the end.

        Raises a BucketError.
        """
        ...


class Bucket(Protocol):
    """A bucket. Every method may be called from many threads at once, and raises only BucketErrors."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects whose key begins with `prefix`, in the order of their keys, from all pages."""
        ...

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        """Return the object as it is now."""
        ...

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> Parts | None:
        """Return the parts in which the object was uploaded; None where the server does not report them."""
        ...

    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> AbstractContextManager[Body]:
        """Open the bytes [start, stop) of exactly this version, validated by the headers before the first byte; all
        bytes of the object where something on the way ignores ranges.

        Leaving the context closes the body, in the thread that has read it.
        """
        ...

    def drop_idle_connections(self) -> None:
        """Close the idle connections of the pool: after a suspend or an outage they are most likely dead."""
        ...
