"""Interface of a bucket: list objects, get the size and version of one object, open a byte range.

`era5dl.bucket.s3` implements it. The planner and the engine depend only on this interface, not on an S3 library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from era5dl.bucket.cancellation import Abort

MAX_KEY_BYTES = 1024  # S3's limit for a key in UTF-8
MAX_OBJECTS = 2_000_000  # in a plan or a listing; three times the number of objects in the ERA5 bucket


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of an object.

    size: in bytes. etag: as the server sends it, with quotes; "" if it sends none. last_modified: seconds since 1970;
    0 if unknown.
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
    """The body of one response.

    start: offset of its first byte in the object. whole: the body is the whole object, because the server or a proxy
    ignored the requested range; then `start` is 0. has_etag: the response has the ETag of the planned version. Some
    proxies remove it; the MD5 of a whole object then shows the version, but nothing shows it for a part of an object.
    """

    start: int
    whole: bool
    has_etag: bool

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view` with the next bytes, as soon as there are any; return how many, 0 at the end.

        Raises a BucketError.
        """
        ...


class Bucket(Protocol):
    """A bucket. All methods are thread-safe and raise only BucketErrors, or Stopped after `abort` was triggered."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects whose key starts with `prefix`, sorted by key. Requests further pages as needed."""
        ...

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        """Return the current version of the object. Raises NotFound if there is none."""
        ...

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> Parts | None:
        """Return the parts in which the object was uploaded; None if the server does not report them."""
        ...

    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> AbstractContextManager[Body]:
        """Open the bytes [start, stop) of exactly this version, or the whole object if the range is ignored.

        The response headers are validated before the first byte is read. Leaving the context closes the body; do that
        in the thread that has read it.
        """
        ...

    def drop_idle_connections(self) -> None:
        """Close the idle connections of the pool. After a suspend or an outage they are most likely dead."""
        ...
