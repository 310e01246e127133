"""Reuse of earlier results: converts a checkpoint for a new plan, and finds files that other sessions have fetched."""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.errors import SessionDamaged, SessionNotFound
from era5dl.planner.plan import Plan
from era5dl.ranges import RangeSet
from era5dl.session import plan_file, resume_file
from era5dl.session.checkpoint import Checkpoint, SavedSession
from era5dl.session.info import SESSION_ID
from era5dl.session.object_paths import subset_key
from era5dl.session.part_digests import PartDigests, digests_file_name
from era5dl.session.plan_file import plan_file_name
from era5dl.validation import Malformed

MAX_SESSIONS_READ = 16  # other sessions of a folder whose resume files are read
MAX_FILES_SCANNED = 20_000  # files in OUT/.era5dl


def checkpoint_for_plan(saved: SavedSession, plan: Plan, home: Path) -> tuple[Checkpoint, list[str]]:
    """Return the checkpoint to start with, based on that of an earlier run, and messages for the user.

    The progress of unchanged objects is kept: those with the same key, size and ETag, or without an ETag the same key,
    size and date. If the earlier run had another plan, that plan is read to find its finished objects; if it is
    damaged, their files are verified again. Raises OSError.
    """
    if saved.info.plan_digest == plan.digest:
        try:
            checkpoint = saved.checkpoint_for(plan.objects)
        except Malformed as exc:
            return Checkpoint.empty(), [f"The resume file does not fit its plan ({exc}); all files are verified again."]
        checkpoint = _without_reverted(checkpoint)
        return dataclasses.replace(checkpoint, ended=checkpoint.ended and _is_complete(checkpoint, plan)), []
    positions = {obj.key: index for index, obj in enumerate(plan.objects)}
    unfinished = tuple(
        dataclasses.replace(entry, index=positions[version.key])
        for entry in saved.checkpoint.unfinished
        if _is_unchanged(version := saved.versions[entry.index], positions, plan.objects)
    )
    notes: list[str] = []
    try:
        old_digest = saved.info.plan_digest
        old = plan_file.read(home / plan_file_name(saved.info.id, old_digest), old_digest).objects
        before = saved.checkpoint_for(old)
        verified, checked, checked_part, cropped = (
            _carry_over(members, before.replaced, old, positions, plan.objects)
            for members in (before.verified, before.checked, before.checked_part, before.cropped)
        )
    except (SessionDamaged, Malformed):
        verified, checked, checked_part, cropped = (RangeSet() for _ in range(4))
        notes.append("The earlier list of objects was damaged; existing files are verified again.")
    done = sum(plan.objects[index].size for members in (verified, checked) for index in _indices(members))
    done += sum(RangeSet(entry.done).total() for entry in unfinished)
    return Checkpoint(verified, checked, unfinished, (), {}, done, False, checked_part, cropped=cropped), notes


def finished_by_others(home: Path, session_id: str, obj: ObjectInfo, name: str) -> bool:
    """Return whether another session of this folder has recorded this version of an object as finished.

    name: that of the file, see `subset_key`. A subset of the object says nothing about the whole file, or the reverse.

    Never fails. Only the resume files of the MAX_SESSIONS_READ sessions that were saved last are read.
    """
    for path, modified in _other_resume_files(home, session_id):
        finished = _finished_objects(path, modified)
        if name in finished and _is_unchanged(obj, {obj.key: 0}, [finished[name]]):
            return True
    return False


def digests_by_others(home: Path, session_id: str) -> Iterator[PartDigests]:
    """Yield the recorded MD5s of the MAX_SESSIONS_READ other sessions of this folder that were saved last."""
    for path, _ in _other_resume_files(home, session_id):
        digests = path.with_name(digests_file_name(path.stem))
        with contextlib.suppress(OSError):
            status = digests.lstat()
            yield _digests(digests, status.st_mtime_ns, status.st_size)


def _without_reverted(checkpoint: Checkpoint) -> Checkpoint:
    """Drop finished objects whose version is not the version in the plan.

    The plan was made just now, so the bucket has an earlier version of the object again. Unfinished objects need no
    such check, because a request for the remaining bytes detects another version.
    """
    sets = {name: getattr(checkpoint, name).copy() for name in ("verified", "checked", "checked_part", "cropped")}
    all_finished = checkpoint.finished
    finished = [index for index in checkpoint.replaced if index in all_finished]
    for members in sets.values():
        for index in finished:
            members.remove(index, index + 1)
    replaced = {index: obj for index, obj in checkpoint.replaced.items() if index not in finished}
    return dataclasses.replace(checkpoint, replaced=replaced, **sets)


def _other_resume_files(home: Path, session_id: str) -> list[tuple[Path, int]]:
    """Return the newest resume files of other sessions, and their modification times (ns)."""
    try:
        with os.scandir(home) as entries:
            found = [
                (Path(entry.path), entry.stat(follow_symlinks=False).st_mtime_ns)
                for entry in islice(entries, MAX_FILES_SCANNED)
                if entry.name.endswith(".json") and SESSION_ID.fullmatch(entry.name[:-5])
            ]
    except OSError:
        return []
    others = (one for one in found if one[0].stem != session_id)
    return heapq.nlargest(MAX_SESSIONS_READ, others, key=lambda one: one[1])


@lru_cache(maxsize=MAX_SESSIONS_READ)
def _digests(path: Path, _modified: int, _size: int) -> PartDigests:
    return PartDigests(path)


@lru_cache(maxsize=MAX_SESSIONS_READ)
def _finished_objects(path: Path, _modified: int) -> dict[str, ObjectInfo]:
    """Return the finished objects of a session by the name of their files (`subset_key`); none if its files cannot be
    read."""
    try:
        saved, _ = resume_file.read(path, path.stem)
        digest = saved.info.plan_digest
        plan = plan_file.read(path.with_name(plan_file_name(path.stem, digest)), digest)
        checkpoint = saved.checkpoint_for(plan.objects)
    except (SessionDamaged, SessionNotFound, Malformed, OSError):
        return {}

    def versions(members: RangeSet) -> Iterator[ObjectInfo]:
        return (checkpoint.replaced.get(index, plan.objects[index]) for index in _indices(members))

    subsets = RangeSet([*checkpoint.checked_part, *checkpoint.cropped])
    found = {version.key: version for version in versions(checkpoint.whole_files)}
    found.update((subset_key(version.key, plan.subset), version) for version in versions(subsets))
    return found


def _carry_over(
    members: RangeSet,
    replaced: Mapping[int, ObjectInfo],
    old: Sequence[ObjectInfo],
    positions: Mapping[str, int],
    new: Sequence[ObjectInfo],
) -> RangeSet:
    """Return the indices in the new plan of those members that are unchanged."""
    before = (replaced.get(index, old[index]) for index in _indices(members))
    indices = sorted(positions[obj.key] for obj in before if _is_unchanged(obj, positions, new))
    return RangeSet((index, index + 1) for index in indices)


def _is_unchanged(obj: ObjectInfo, positions: Mapping[str, int], new: Sequence[ObjectInfo]) -> bool:
    """Return whether the new plan has this object in the same version. positions: indices in the new plan by key."""
    if obj.key not in positions:
        return False
    now = new[positions[obj.key]]
    same_version = obj.etag != "" or (obj.last_modified != 0 and obj.last_modified == now.last_modified)
    return (obj.size, obj.etag) == (now.size, now.etag) and same_version


def _is_complete(checkpoint: Checkpoint, plan: Plan) -> bool:
    return checkpoint.finished.total() == len(plan.objects)


def _indices(members: RangeSet) -> Iterator[int]:
    for start, stop in members:
        yield from range(start, stop)
