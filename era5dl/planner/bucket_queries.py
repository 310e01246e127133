"""Helpers for both kinds of plans: the prefix to list for a set of keys, and a check of objects listed as empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.bucket.response_headers import proves_empty
from era5dl.errors import NotFound
from era5dl.planner.concurrent_requests import run_concurrently
from era5dl.planner.plan import ABSENT, Missing
from era5dl.proof.etag import is_weak, same_etag


def common_prefix(keys: Sequence[str]) -> str:
    """Return the longest prefix that all keys share; a listing with this prefix contains all of them."""
    low, high = min(keys), max(keys)
    pairs = enumerate(zip(low, high, strict=False))
    length = next((position for position, (a, b) in pairs if a != b), min(len(low), len(high)))
    return low[:length]


def confirm_empty_objects(
    objects: Sequence[ObjectInfo], bucket: Bucket, *, parallel: int, cancelled: Callable[[], bool] | None = None
) -> dict[str, ObjectInfo | Missing]:
    """Request the headers of objects that are listed with size 0 and whose ETag does not confirm that.

    Return the result by key. Caches may list wrong sizes, and an object that has content must not become an empty file.
    Raises a BucketError if a request fails, Stopped if `cancelled()` returns true.
    """
    doubtful = [obj for obj in objects if obj.size == 0 and not proves_empty(obj)]
    tasks = [partial(_confirm, bucket, obj) for obj in doubtful]
    results = run_concurrently(tasks, parallel=parallel, cancelled=cancelled) if tasks else []
    return {obj.key: result for obj, result in zip(doubtful, results, strict=True)}


def _confirm(bucket: Bucket, listed: ObjectInfo) -> ObjectInfo | Missing:
    try:
        found = bucket.head(listed.key)
    except NotFound:
        return Missing(listed.key, ABSENT)
    if is_weak(found.etag) and same_etag(found.etag, listed.etag):
        return replace(found, etag=listed.etag)  # the same version; the ETag in the listing may be strong
    return found
