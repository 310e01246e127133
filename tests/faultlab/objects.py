"""Objects of the fault server in memory, by key, and their listing in pages."""

from __future__ import annotations

import hashlib
import random
import threading
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

LAST_MODIFIED = 1_735_689_600  # 2025-01-01T00:00:00Z, the same for all objects, so that responses can be compared


def pseudo_random(seed: int | str, size: int) -> bytes:
    """Return `size` bytes that depend only on `seed`, are incompressible, and quick to generate (about 1 GB/s)."""
    return random.Random(seed).randbytes(size)


def etag_of(data: bytes | memoryview, part_size: int | None = None) -> str:
    """Return S3's ETag: the MD5 of the data, or for a multipart upload the MD5 of the parts' MD5s and `-N`."""
    if part_size is None:
        return f'"{hashlib.md5(data).hexdigest()}"'
    view = memoryview(data)
    parts = [hashlib.md5(view[at : at + part_size]).digest() for at in range(0, max(1, len(data)), part_size)]
    return f'"{hashlib.md5(b"".join(parts)).hexdigest()}-{len(parts)}"'


@dataclass(frozen=True, slots=True)
class Blob:
    """One version of an object. part_size: None unless it is a multipart upload."""

    data: memoryview
    etag: str
    part_size: int | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def parts_count(self) -> int | None:
        """Number of upload parts; None unless it is a multipart upload."""
        return None if self.part_size is None else max(1, -(-self.size // self.part_size))


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: entries, common prefixes, and the start of the next page."""

    entries: tuple[tuple[str, Blob], ...]
    common_prefixes: tuple[str, ...]
    next_after: str | None  # the last name on this page, if more follow


class Objects:
    """The objects of the bucket. Thread-safe: tests may put and delete objects during requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blobs: dict[str, Blob] = {}
        self._sorted: list[str] | None = None

    def put(self, key: str, data: bytes | memoryview, *, part_size: int | None = None, etag: str | None = None) -> str:
        """Store an object or a new version, and return its ETag. The data are not copied, so objects can share them.

        etag: with quotes; None for the ETag of S3.
        """
        blob = Blob(memoryview(data), etag_of(data, part_size) if etag is None else etag, part_size)
        with self._lock:
            self._blobs[key] = blob
            self._sorted = None
        return blob.etag

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is not an error."""
        with self._lock:
            self._blobs.pop(key, None)
            self._sorted = None

    def get(self, key: str) -> Blob | None:
        with self._lock:
            return self._blobs.get(key)

    def __len__(self) -> int:
        with self._lock:
            return len(self._blobs)

    def page(self, prefix: str, delimiter: str, after: str, limit: int) -> Page:
        """Return the first `limit` names greater than `after`, in the order of their UTF-8 bytes."""
        entries: list[tuple[str, Blob]] = []
        folders: list[str] = []
        last = ""
        with self._lock:
            if self._sorted is None:
                self._sorted = sorted(self._blobs, key=str.encode)
            names = self._sorted
            first = bisect_left(names, prefix.encode(), key=str.encode)
            at = max(first, bisect_right(names, after.encode(), key=str.encode))
            for key in names[at:]:
                if not key.startswith(prefix):
                    break
                cut = key.find(delimiter, len(prefix)) if delimiter else -1
                name = key if cut < 0 else key[: cut + len(delimiter)]
                if name == last or (cut >= 0 and name <= after):
                    continue  # a common prefix that is already on this page or the previous one
                if len(entries) + len(folders) == limit:
                    return Page(tuple(entries), tuple(folders), last)
                if cut < 0:
                    entries.append((key, self._blobs[key]))
                else:
                    folders.append(name)
                last = name
        return Page(tuple(entries), tuple(folders), None)
