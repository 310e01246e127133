"""A list of keys becomes a plan: for any key of the bucket, ERA5 file or not.

Keys are grouped by folder. A folder with one wanted key costs one HEAD; one with more is listed from the prefix its
wanted keys share. Such a listing can be huge (a folder of millions of objects, two of them wanted): it is broken off
when it goes on for a few pages beyond what is wanted, and what it has not shown by then is asked for by HEAD.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from era5dl.bucket.interface import LONGEST_KEY, Bucket, ObjectInfo
from era5dl.errors import Denied, Era5Error, NotFound, Refused, UsageError
from era5dl.formatting import format_count
from era5dl.planner.concurrent_requests import PARALLEL, Progress, ask_all, shared_prefix
from era5dl.planner.empty_objects import confirm
from era5dl.planner.plan import ABSENT, Missing, Plan

EXTRA_OBJECTS = 2000  # two pages of a listing more than the objects that are wanted from it
_NAMED = 3
_WEB_PAGE = "index.html"  # the bucket's own file browser

Answer = list[ObjectInfo | Missing]
"""What is known of keys; those of which nothing is have to be asked for by themselves."""


def plan_keys(
    keys: Iterable[str],
    bucket: Bucket,
    *,
    parallel: int = PARALLEL,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Plan:
    """The objects of these keys, in their order; keys that are not in the bucket are `missing`.

    Double keys count once. Folder markers (keys that end in "/") and the bucket's index.html are no files of data: they
    are `passed_over`. Raises UsageError when no key is left, a BucketError when the bucket does not answer, Stopped
    when `cancelled()` is true.
    """
    known: dict[str, ObjectInfo | Missing | None] = dict.fromkeys(keys)
    passed_over = tuple(key for key in known if key.endswith("/") or key == _WEB_PAGE)
    for key in passed_over:
        del known[key]
    for key in known:
        if not _is_key(key):
            raise UsageError(f"{key[:80]!a} is no key.", remedy=f"A key has at most {LONGEST_KEY} bytes of UTF-8.")
    if not known:
        only = f", only {no_files(passed_over)}" if passed_over else ""
        raise UsageError(f"There is no key to fetch{only}.", remedy="Write one object key a line.")
    ask = partial(_ask_groups, bucket, parallel=parallel, on_progress=on_progress, cancelled=cancelled)
    known.update(ask(_by_folder(known)))
    known.update(ask([[key] for key, answer in known.items() if answer is None]))
    listed = [answer for answer in known.values() if isinstance(answer, ObjectInfo)]
    known.update(confirm(listed, bucket, parallel=parallel, cancelled=cancelled))
    return Plan(
        request={"keys": _digest(known), "count": len(known)},
        objects=tuple(answer for answer in known.values() if isinstance(answer, ObjectInfo)),
        missing=tuple(answer for answer in known.values() if isinstance(answer, Missing)),
        passed_over=passed_over,
    )


def no_files(keys: Sequence[str]) -> str:
    """ "2 keys that name a folder and no file (a/, b/)": what `Plan.passed_over` holds, the first of them by name."""
    names = ", ".join(keys[:_NAMED]) + (" ..." if len(keys) > _NAMED else "")
    folders = all(key.endswith("/") for key in keys)
    what = "a folder and no file" if folders else "a folder, or the bucket's web page, and no file of data"
    return f"{format_count(len(keys), 'key')} that {'names' if len(keys) == 1 else 'name'} {what} ({names})"


def _is_key(text: str) -> bool:
    try:
        return 0 < len(text.encode("utf-8")) <= LONGEST_KEY
    except UnicodeEncodeError:  # half of a letter
        return False


def _digest(keys: Iterable[str]) -> str:
    """SHA-256 (hex) of all keys with a newline between them, which are never there as one text."""
    digest = hashlib.sha256()
    between = ""
    for key in keys:
        digest.update(f"{between}{key}".encode())
        between = "\n"
    return digest.hexdigest()


def _by_folder(keys: Iterable[str]) -> list[list[str]]:
    folders: dict[str, list[str]] = {}
    for key in keys:
        folders.setdefault(key.rpartition("/")[0], []).append(key)
    return list(folders.values())


def _ask_groups(
    bucket: Bucket,
    groups: Sequence[Sequence[str]],
    *,
    parallel: int,
    on_progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> dict[str, ObjectInfo | Missing]:
    """What is known of the keys of these groups, each a question of its own."""

    def refused(number: int, error: Era5Error) -> Answer:
        if len(groups[number]) == 1 and isinstance(error, Denied | Refused):
            return [Missing(groups[number][0], str(error))]
        raise error

    if not groups:
        return {}
    questions = [partial(_ask, bucket, group) for group in groups]
    answers = ask_all(questions, parallel=parallel, on_progress=on_progress, cancelled=cancelled, instead=refused)
    return {one.key: one for answer in answers for one in answer}


def _ask(bucket: Bucket, wanted: Sequence[str]) -> Answer:
    """What there is of keys of one folder."""
    return _head(bucket, wanted[0]) if len(wanted) == 1 else _list(bucket, wanted)


def _list(bucket: Bucket, wanted: Sequence[str]) -> Answer:
    """Found, or absent if the listing came to its end; nothing of those it had not shown when it was broken off.

    Does not count on the listing being sorted: not every S3 server sorts as Amazon does.
    """
    left = set(wanted)
    found: Answer = []
    for seen, obj in enumerate(bucket.list(shared_prefix(wanted)), start=1):
        if obj.key in left:
            left.remove(obj.key)
            found.append(obj)
        if not left or seen >= len(wanted) + EXTRA_OBJECTS:
            return found
    return found + [Missing(key, ABSENT) for key in left]


def _head(bucket: Bucket, key: str) -> Answer:
    try:
        return [bucket.head(key)]
    except NotFound:
        return [Missing(key, ABSENT)]
