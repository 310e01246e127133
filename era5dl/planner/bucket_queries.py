"""Bucket queries that all plans share: the prefix to list for a set of keys, and a check of objects listed as empty."""

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
    """Return the longest text that all keys start with: one listing with this prefix shows them all."""
    low, high = min(keys), max(keys)
    pairs = enumerate(zip(low, high, strict=False))
    length = next((position for position, (a, b) in pairs if a != b), min(len(low), len(high)))
    return low[:length]


def confirm_empty_objects(
    objects: Sequence[ObjectInfo], bucket: Bucket, *, parallel: int, cancelled: Callable[[], bool] | None = None
) -> dict[str, ObjectInfo | Missing]:
    """Request the metadata of all objects that only a size in a listing says to be empty; return it by key.

    Caches may list wrong sizes, and an empty file must not be taken for an object that has content. Raises a
    BucketError when the bucket does not answer, Stopped when `cancelled()` is true.
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
        return replace(found, etag=listed.etag)  # the same version, and the listing may have the strong form
    return found
