"""Update of an archive: what has appeared in the bucket since the downloads of a folder, and what was replaced there.

A download whose selection ends in "latest" is planned anew, and the objects are compared with the recorded versions of
its files. Files whose object was replaced are kept as they are unless the user wants the new version.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.days import LAST_DAY, Days, is_open, merge_days
from era5dl.errors import Era5Error, SessionDamaged, SessionNotFound
from era5dl.folder.disk_errors import translate_folder_errors
from era5dl.folder.paths import OWN_FOLDER
from era5dl.planner import Missing, Plan
from era5dl.ranges import RangeSet
from era5dl.selection import Selection
from era5dl.session import plan_file, resume_file
from era5dl.session.info import SessionInfo
from era5dl.session.plan_file import plan_file_name
from era5dl.session.summary import list_sessions
from era5dl.validation import Malformed


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a session has recorded: its information, its request, and the version of each object.

    finished, unfinished: objects by key; of an object that is not finished, the version in the plan. missing: keys that
    were not in the bucket.
    """

    info: SessionInfo
    selection: Selection | None
    finished: Mapping[str, ObjectInfo]
    unfinished: Mapping[str, ObjectInfo]
    missing: frozenset[str]


@dataclass(frozen=True, slots=True)
class Archive:
    """Files of a folder that are updated together, with their selection until "latest".

    sessions: the downloads that they come from: the one that ends in "latest", or those that are extended to it.
    """

    folder: Path
    selection: Selection
    sessions: tuple[Recorded, ...]

    @property
    def info(self) -> SessionInfo:
        """Information of the first of its sessions, which has the bucket and the layout of all."""
        return self.sessions[0].info


@dataclass(frozen=True, slots=True)
class Replaced:
    """An object that was replaced in the bucket after its file was downloaded."""

    recorded: ObjectInfo
    current: ObjectInfo


@dataclass(frozen=True, slots=True)
class Update:
    """What is different in the bucket.

    plan: all objects in their current versions. new: objects that no session has had. unfinished: objects that a
    session has not finished. replaced: finished files whose objects have another version now. withdrawn: finished files
    whose objects are not in the bucket any more. new_missing: gaps that were not there before.
    """

    plan: Plan
    new: tuple[ObjectInfo, ...]
    unfinished: tuple[ObjectInfo, ...]
    replaced: tuple[Replaced, ...]
    withdrawn: tuple[ObjectInfo, ...]
    new_missing: tuple[Missing, ...]

    def plan_to_fetch(self, *, take_replaced: bool) -> Plan:
        """Return the plan for the download. Finished files that are kept have their recorded versions in it."""
        kept = {} if take_replaced else {one.current.key: one.recorded for one in self.replaced}
        withdrawn = {obj.key for obj in self.withdrawn}
        return replace(
            self.plan,
            objects=(*(kept.get(obj.key, obj) for obj in self.plan.objects), *self.withdrawn),
            missing=tuple(absent for absent in self.plan.missing if absent.key not in withdrawn),
        )

    def to_fetch(self, *, take_replaced: bool) -> tuple[ObjectInfo, ...]:
        """Return the objects that the download fetches."""
        replaced = tuple(one.current for one in self.replaced) if take_replaced else ()
        return self.new + self.unfinished + replaced


def archives_of(folder: Path, *, extend: bool = False) -> tuple[list[Archive], list[Era5Error]]:
    """Return what can be updated in a folder, and the errors of sessions that cannot be read. Acquires no lock.

    extend: also those downloads of selections that do not end in "latest", extended until then. Downloads with the same
    variables and the same subset are one archive. Raises FolderUnusable.
    """
    home = folder.absolute() / OWN_FOLDER
    recorded: list[Recorded] = []
    errors: list[Era5Error] = []
    for summary in list_sessions(folder):
        try:
            recorded.append(_read(home, summary.id))
        except Era5Error as error:  # noqa: PERF203
            errors.append(error)
    groups: dict[object, list[Recorded]] = {}
    for one in recorded:
        if one.selection is not None and one.selection.days:
            info, chosen = one.info, one.selection
            subset = dataclasses.replace(chosen.subset, days=())
            only_days = chosen.subset.days != () and subset.is_everything
            place = (info.bucket, info.endpoint_url, info.flat)
            groups.setdefault((place, chosen.variables, subset, only_days), []).append(one)
    found: list[Archive] = []
    for members in groups.values():
        ending_in_latest = [one for one in members if one.selection is not None and is_open(one.selection.days)]
        found += [Archive(folder, one.selection, (one,)) for one in ending_in_latest if one.selection is not None]
        if extend and not ending_in_latest:
            found.append(Archive(folder, _extended(members), tuple(members)))
    return found, errors


def compare(archive: Archive, plan: Plan) -> Update:
    """Return what is different in the bucket. plan: of the selection of the archive, made now."""
    finished: dict[str, ObjectInfo] = {}
    known: set[str] = set()
    missing: set[str] = set()
    for session in reversed(archive.sessions):  # the newest record of an object counts
        finished |= session.finished
        known |= session.unfinished.keys()
        missing |= session.missing
    new, unfinished, replaced = [], [], []
    for obj in plan.objects:
        if obj.key in finished:
            if _is_replaced(finished[obj.key], obj):
                replaced.append(Replaced(finished[obj.key], obj))
        elif obj.key in known:
            unfinished.append(obj)
        else:
            new.append(obj)
    absent = {one.key for one in plan.missing}
    return Update(
        plan=plan,
        new=tuple(new),
        unfinished=tuple(unfinished),
        replaced=tuple(replaced),
        withdrawn=tuple(obj for key, obj in finished.items() if key in absent),
        new_missing=tuple(one for one in plan.missing if one.key not in missing and one.key not in finished),
    )


def _read(home: Path, session_id: str) -> Recorded:
    """Return what a session has recorded. Raises SessionDamaged, SessionNotFound or a DiskError."""
    with translate_folder_errors(home):
        saved, _ = resume_file.read(home / f"{session_id}.json", session_id)
        digest = saved.info.plan_digest
        plan = plan_file.read(home / plan_file_name(session_id, digest), digest)
    try:
        checkpoint = saved.checkpoint_for(plan.objects)
    except Malformed as error:
        raise SessionDamaged(f"session {session_id} cannot be used: {error}", remedy=resume_file.REMEDY) from error
    done: RangeSet = checkpoint.finished
    finished: dict[str, ObjectInfo] = {}
    unfinished: dict[str, ObjectInfo] = {}
    for index, obj in enumerate(plan.objects):
        version = checkpoint.replaced.get(index, obj)
        (finished if index in done else unfinished)[obj.key] = version
    request = plan.request.get("selection")
    selection = None if request is None else Selection.from_json(request)
    return Recorded(saved.info, selection, finished, unfinished, frozenset(one.key for one in plan.missing))


def _extended(members: list[Recorded]) -> Selection:
    """Return the selection of all these sessions, with their last day moved to "latest"."""
    days: Days = merge_days(span for one in members if one.selection is not None for span in one.selection.days)
    first = members[0].selection
    if first is None:
        raise SessionNotFound
    days = merge_days([*days, (days[-1][0], LAST_DAY)])
    subset = dataclasses.replace(first.subset, days=days if first.subset.days else ())
    return Selection(first.variables, days, subset)


def _is_replaced(recorded: ObjectInfo, current: ObjectInfo) -> bool:
    """Return whether these are different versions. Without an ETag the date tells."""
    if (recorded.size, recorded.etag) != (current.size, current.etag):
        return True
    return not current.etag and recorded.last_modified != current.last_modified
