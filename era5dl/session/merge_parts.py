"""The files of a session as parts of merged files, those that are there and those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.catalog import parse_key
from era5dl.errors import BadSelection, UnsafeKey
from era5dl.hdf5 import UnsupportedLayout
from era5dl.session.object_paths import subset_key, subset_of
from era5dl.session.session import Session
from era5dl.subset.description import attribute_form
from era5dl.subset.merge_plan import Part, make_part
from era5dl.subset.selection import Subset


def session_parts(session: Session, objects: Sequence[ObjectInfo], is_done: Callable[[int], bool]) -> list[Part]:
    """Return the parts for all files of the plan, and for those that are missing in the bucket.

    objects: of the plan, in their current versions. is_done: whether an object, by its index, has its final file. Files
    that cannot be merged, such as invariants, are left out.
    """
    found: list[Part | None] = []
    for index, obj in enumerate(objects):
        try:
            path, done = session.paths.final(index), is_done(index)
        except UnsafeKey:
            path, done = Path(obj.key), False
        found.append(_part(path, obj.key, session.paths.subset(index), obj.etag, obj.size, exists=done))
    wanted = session.plan.subset
    for absent in session.plan.missing:
        path = Path(subset_key(absent.key, wanted))
        found.append(_part(path, absent.key, subset_of(absent.key, wanted), "", 0, exists=False))
    return [part for part in found if part is not None]


def _part(path: Path, key: str, subset: Subset, etag: str, size: int, *, exists: bool) -> Part | None:
    parts = parse_key(key)
    if parts is None:
        return None
    try:
        return make_part(path, key, parts, attribute_form(subset), etag, size, exists=exists)
    except (UnsupportedLayout, BadSelection):
        return None
