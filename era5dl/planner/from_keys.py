"""Plan from keys: finds the objects of a list of keys. Any keys of the bucket are possible.

Keys are grouped by folder. For a folder with one requested key a HEAD request is sent. A folder with several is listed,
with the prefix that its requested keys share. Such a listing can be huge (two keys in a folder of millions of objects).
So it is ended when it has a few pages more than were requested, and HEAD requests are sent for the remaining keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from era5dl.bucket.interface import MAX_KEY_BYTES, Bucket, ObjectInfo
from era5dl.catalog import parse_key
from era5dl.errors import Denied, Era5Error, NotFound, Refused, UsageError
from era5dl.planner.bucket_queries import common_prefix, confirm_empty_objects
from era5dl.planner.concurrent_requests import DEFAULT_PARALLEL, Progress, run_concurrently
from era5dl.planner.passed_over import WEB_PAGE, describe_passed_over
from era5dl.planner.plan import ABSENT, Missing, Plan
from era5dl.subset.grid import era5_grid
from era5dl.subset.selection import EVERYTHING, Subset

EXTRA_OBJECTS = 2000  # a listing is ended after this number of objects (two pages) more than were requested

Found = list[ObjectInfo | Missing]
"""The results for some of the requested keys."""


def plan_keys(
    keys: Iterable[str],
    bucket: Bucket,
    *,
    subset: Subset = EVERYTHING,
    parallel: int = DEFAULT_PARALLEL,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Plan:
    """Return the plan for these keys, in their order; keys that are not in the bucket are in `missing`.

    Duplicates are dropped. Folder markers (keys that end in "/") and the bucket's index.html are not data files; they
    are in `passed_over`, and so are files in which no hour is selected. subset: what is wanted of each ERA5 file; all
    other files are wanted whole. parallel: number of concurrent requests. on_progress: called with the number of
    finished requests and of all requests. Raises UsageError if no key remains or a key is not valid, BadSelection if
    the area is between grid points, a BucketError if a request fails, Stopped if `cancelled()` returns true.
    """
    era5_grid().cells(subset)
    known: dict[str, ObjectInfo | Missing | None] = dict.fromkeys(keys)
    passed_over = tuple(key for key in known if _is_passed_over(key, subset))
    for key in passed_over:
        del known[key]
    for key in known:
        if not _is_key(key):
            raise UsageError(
                f"{key[:80]!a} is not a valid key.", remedy=f"A key has at most {MAX_KEY_BYTES} bytes of UTF-8."
            )
    if not known:
        only = f", only {describe_passed_over(passed_over)}" if passed_over else ""
        raise UsageError(f"There is no key to fetch{only}.", remedy="Write one object key per line.")
    find = partial(_find_groups, bucket, parallel=parallel, on_progress=on_progress, cancelled=cancelled)
    known.update(find(_by_folder(known)))
    known.update(find([[key] for key, found in known.items() if found is None]))
    objects = [found for found in known.values() if isinstance(found, ObjectInfo)]
    known.update(confirm_empty_objects(objects, bucket, parallel=parallel, cancelled=cancelled))
    request: dict[str, Any] = {"keys": _digest(known), "count": len(known)}
    if not subset.is_everything:
        request["subset"] = subset.to_json()
    return Plan(
        request=request,
        objects=tuple(found for found in known.values() if isinstance(found, ObjectInfo)),
        missing=tuple(found for found in known.values() if isinstance(found, Missing)),
        passed_over=passed_over,
    )


def _is_passed_over(key: str, subset: Subset) -> bool:
    if key.endswith("/") or key == WEB_PAGE:
        return True
    parsed = None if subset.is_everything else parse_key(key)
    return parsed is not None and not subset.selects_any_of(parsed)


def _is_key(text: str) -> bool:
    try:
        return 0 < len(text.encode("utf-8")) <= MAX_KEY_BYTES
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _digest(keys: Iterable[str]) -> str:
    """Return the SHA-256 (hex) of all keys, separated by newlines. Does not join them in memory."""
    digest = hashlib.sha256()
    separator = ""
    for key in keys:
        digest.update(f"{separator}{key}".encode())
        separator = "\n"
    return digest.hexdigest()


def _by_folder(keys: Iterable[str]) -> list[list[str]]:
    folders: dict[str, list[str]] = {}
    for key in keys:
        folders.setdefault(key.rpartition("/")[0], []).append(key)
    return list(folders.values())


def _find_groups(
    bucket: Bucket,
    groups: Sequence[Sequence[str]],
    *,
    parallel: int,
    on_progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> dict[str, ObjectInfo | Missing]:
    """Return the results for the keys of these groups, with one HEAD request or listing per group."""

    def missing_if_refused(index: int, error: Era5Error) -> Found:
        if len(groups[index]) == 1 and isinstance(error, Denied | Refused):
            return [Missing(groups[index][0], str(error))]
        raise error

    if not groups:
        return {}
    tasks = [partial(_find, bucket, group) for group in groups]
    results = run_concurrently(
        tasks, parallel=parallel, on_progress=on_progress, cancelled=cancelled, on_error=missing_if_refused
    )
    return {one.key: one for found in results for one in found}


def _find(bucket: Bucket, wanted: Sequence[str]) -> Found:
    """Find keys of one folder."""
    return _head(bucket, wanted[0]) if len(wanted) == 1 else _list(bucket, wanted)


def _list(bucket: Bucket, wanted: Sequence[str]) -> Found:
    """List a folder. Keys are absent only if the listing was complete; if it was ended early, they have no result.

    Does not rely on the order of the listing, because not every S3 server sorts as Amazon does.
    """
    remaining = set(wanted)
    found: Found = []
    for seen, obj in enumerate(bucket.list(common_prefix(wanted)), start=1):
        if obj.key in remaining:
            remaining.remove(obj.key)
            found.append(obj)
        if not remaining or seen >= len(wanted) + EXTRA_OBJECTS:
            return found
    return found + [Missing(key, ABSENT) for key in remaining]


def _head(bucket: Bucket, key: str) -> Found:
    try:
        return [bucket.head(key)]
    except NotFound:
        return [Missing(key, ABSENT)]
