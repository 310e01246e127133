"""What of an earlier run holds for a plan that was made anew: everything about objects that are still the same."""

from __future__ import annotations

import dataclasses
import heapq
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.bucket.interface import ObjectInfo
from era5dl.errors import SessionDamaged, SessionNotFound
from era5dl.ranges import RangeSet
from era5dl.session import backup, plan_file
from era5dl.session.checkpoint import Checkpoint, Facts, Saved
from era5dl.session.resume_file import plan_name
from era5dl.session.summary import SESSION_ID
from era5dl.validation import Malformed

if TYPE_CHECKING:
    from era5dl.planner.plan import Plan

MOST_READ = 16  # other sessions of a folder whose records are read
MOST_LOOKED_AT = 20_000  # files in the folder of sessions


def with_history(new: Facts, old: Facts) -> Facts:
    """The facts of the new plan, with the day on which it all began."""
    return dataclasses.replace(new, created=old.created)


def over(saved: Saved, plan: Plan, home: Path) -> tuple[Checkpoint, list[str]]:
    """The checkpoint to begin with, and notes for people. Raises OSError.

    An object is the same when key, size and ETag are; where the server sends no ETag, its date must be the same too.
    What was finished under an older plan needs that plan to be told by name; without it those files are proven again.
    """
    if saved.facts.plan_digest == plan.digest:
        try:
            checkpoint = saved.bound_to(plan.objects)
        except Malformed as exc:
            return Checkpoint.empty(), [f"The resume file does not fit its plan ({exc}); every file is proven anew."]
        checkpoint = _gone_back(checkpoint)
        return dataclasses.replace(checkpoint, ended=checkpoint.ended and _all_done(checkpoint, plan)), []
    places = {obj.key: place for place, obj in enumerate(plan.objects)}
    unfinished = tuple(
        dataclasses.replace(entry, index=places[version.key])
        for entry in saved.checkpoint.unfinished
        if _unchanged(version := saved.versions[entry.index], places, plan.objects)
    )
    notes: list[str] = []
    try:
        old = plan_file.read(home / plan_name(saved.facts.id, saved.facts.plan_digest), saved.facts.plan_digest).objects
        before = saved.bound_to(old)
        verified, checked = (
            _moved(members, before.replaced, old, places, plan.objects) for members in (before.verified, before.checked)
        )
    except (SessionDamaged, Malformed):
        verified, checked = RangeSet(), RangeSet()
        notes.append("The earlier list of objects was damaged; files that are there are proven once more.")
    done = sum(plan.objects[place].size for members in (verified, checked) for run in members for place in range(*run))
    done += sum(RangeSet(entry.done).total() for entry in unfinished)
    return Checkpoint(verified, checked, unfinished, (), {}, done, False), notes


def _gone_back(checkpoint: Checkpoint) -> Checkpoint:
    """Without what was finished in other versions than the plan's, which was made anew since: the bucket has gone back.
    What is unfinished finds that out by itself, when it asks for the rest."""
    verified, checked = checkpoint.verified.copy(), checkpoint.checked.copy()
    finished = [place for place in checkpoint.replaced if place in verified or place in checked]
    for place in finished:
        verified.remove(place, place + 1)
        checked.remove(place, place + 1)
    replaced = {place: obj for place, obj in checkpoint.replaced.items() if place not in finished}
    return dataclasses.replace(checkpoint, verified=verified, checked=checked, replaced=replaced)


def finished_by_others(home: Path, session_id: str, obj: ObjectInfo) -> bool:
    """Whether another session of this folder has recorded this version of an object as finished. Never fails; of very
    many sessions only the newest are asked."""
    for path, modified in _others(home, session_id):
        finished = _finished(path, modified)
        if obj.key in finished and _unchanged(obj, {obj.key: 0}, [finished[obj.key]]):
            return True
    return False


def _others(home: Path, session_id: str) -> list[tuple[Path, int]]:
    """The newest resume files of other sessions, and when each was written (ns)."""
    try:
        with os.scandir(home) as entries:
            found = [
                (Path(entry.path), entry.stat(follow_symlinks=False).st_mtime_ns)
                for entry in islice(entries, MOST_LOOKED_AT)
                if entry.name.endswith(".json") and SESSION_ID.fullmatch(entry.name[:-5])
            ]
    except OSError:
        return []
    return heapq.nlargest(MOST_READ, (one for one in found if one[0].stem != session_id), key=lambda one: one[1])


@lru_cache(maxsize=MOST_READ)
def _finished(path: Path, _modified: int) -> dict[str, ObjectInfo]:
    """What a session has finished, by key; nothing where its files cannot be read."""
    try:
        saved, _ = backup.load(path, path.stem)
        plan_path = path.with_name(plan_name(path.stem, saved.facts.plan_digest))
        objects = plan_file.read(plan_path, saved.facts.plan_digest).objects
        checkpoint = saved.bound_to(objects)
    except (SessionDamaged, SessionNotFound, Malformed, OSError):
        return {}
    places = [
        place for members in (checkpoint.verified, checkpoint.checked) for run in members for place in range(*run)
    ]
    versions = (checkpoint.replaced.get(place, objects[place]) for place in places)
    return {version.key: version for version in versions}


def _moved(
    members: RangeSet,
    replaced: Mapping[int, ObjectInfo],
    old: Sequence[ObjectInfo],
    places: Mapping[str, int],
    new: Sequence[ObjectInfo],
) -> RangeSet:
    """The finished objects that are the same, by their places in the new plan."""
    before = (replaced.get(place, old[place]) for run in members for place in range(*run))
    return RangeSet((place, place + 1) for place in sorted(places[o.key] for o in before if _unchanged(o, places, new)))


def _unchanged(obj: ObjectInfo, places: Mapping[str, int], new: Sequence[ObjectInfo]) -> bool:
    if obj.key not in places:
        return False
    now = new[places[obj.key]]
    dated = obj.etag != "" or (obj.last_modified != 0 and obj.last_modified == now.last_modified)
    return (obj.size, obj.etag) == (now.size, now.etag) and dated


def _all_done(checkpoint: Checkpoint, plan: Plan) -> bool:
    return checkpoint.verified.total() + checkpoint.checked.total() == len(plan.objects)
