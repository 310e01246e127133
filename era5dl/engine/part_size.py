"""Into parts of which size an object was cut when it was uploaded, which is what the MD5 in its ETag depends on.

A server tells, but that is a question and an answer to wait for, for each object, before the first of its bytes; and
the answer is nearly always the same, since whoever fills a bucket cuts all of it in one way.  So it is guessed: by what
was told of others in this run, else by what uploaders use.  The ETag shows whether the guess was right.  Only where it
was not is the server asked, and the bytes, which are on disk by then, are hashed once more.
"""

from __future__ import annotations

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.proof.etag import etag_md5, likely_part_sizes, part_size_fits

KEPT = 16  # sizes that were told, the newest


class Cuts:
    """What the server has told of this bucket's objects in this run. Thread-safe."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._told: tuple[int, ...] = ()  # replaced, never changed; one that is lost in a race is told again

    def likely(self, obj: ObjectInfo, before: int = 0) -> list[int]:
        """Part sizes that would give as many parts as its ETag says, likeliest first. before: what was thought of it in
        an earlier run."""
        count = _count(obj)
        if count == 1:
            return [obj.size]
        sizes = [before, *self._told, *likely_part_sizes(obj.size, count)]
        return [size for size in dict.fromkeys(sizes) if part_size_fits(obj.size, count, size)]

    def ask(self, obj: ObjectInfo, abort: Abort) -> int | None:
        """The size of this object's parts, as the server tells it; None where it does not, or nothing that can be."""
        told = self._bucket.parts(obj, abort)
        if told is None or told.count != _count(obj) or not part_size_fits(obj.size, told.count, told.size):
            return None
        self._told = (told.size, *(size for size in self._told if size != told.size))[:KEPT]
        return told.size


def _count(obj: ObjectInfo) -> int:
    """How many parts its ETag speaks of; 1 where of none."""
    found = etag_md5(obj.etag)
    return (found.parts or 1) if found else 1
