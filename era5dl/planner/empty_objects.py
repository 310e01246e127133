"""Confirms objects of size 0 one by one: caches list wrong sizes, and no empty file may pass for an object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.bucket.response_headers import proves_empty
from era5dl.errors import NotFound
from era5dl.planner.concurrent_requests import ask_all
from era5dl.planner.plan import ABSENT, Missing
from era5dl.proof.etag import is_weak, same_etag


def confirm(
    objects: Sequence[ObjectInfo], bucket: Bucket, *, parallel: int, cancelled: Callable[[], bool] | None = None
) -> dict[str, ObjectInfo | Missing]:
    """What there really is, by key, of those of these objects that are said to be empty by a size alone."""
    doubtful = [obj for obj in objects if obj.size == 0 and not proves_empty(obj)]
    questions = [partial(_asked, bucket, obj) for obj in doubtful]
    answers = ask_all(questions, parallel=parallel, cancelled=cancelled) if questions else []
    return {obj.key: answer for obj, answer in zip(doubtful, answers, strict=True)}


def _asked(bucket: Bucket, listed: ObjectInfo) -> ObjectInfo | Missing:
    try:
        found = bucket.head(listed.key)
    except NotFound:
        return Missing(listed.key, ABSENT)
    if is_weak(found.etag) and same_etag(found.etag, listed.etag):
        return replace(found, etag=listed.etag)  # one version, and perhaps said strongly
    return found
