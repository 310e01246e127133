"""What the sessions of a folder have recorded about each file: verified, failed, not fetched yet, not in the bucket.

Only reads: it acquires no lock, so it can be used during a download.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from era5dl.bucket.interface import ObjectInfo
from era5dl.catalog import KeyParts, parse_key
from era5dl.errors import BadSelection, SessionDamaged, SessionNotFound, Stopped
from era5dl.folder.paths import OWN_FOLDER
from era5dl.planner.plan import Plan
from era5dl.session import (
    Checkpoint,
    SessionStatus,
    SessionSummary,
    finished_files,
    list_sessions,
    plan_file,
    resume_file,
)
from era5dl.session.info import SessionInfo
from era5dl.session.object_paths import subset_key, subset_of
from era5dl.session.plan_file import plan_file_name
from era5dl.subset.selection import EVERYTHING, Subset
from era5dl.validation import Malformed


class FileStatus(str, Enum):
    """The state of a file according to its session."""

    VERIFIED = "verified"  # its MD5 was that of the server
    CHECKED = "checked"  # size and structure only
    CHECKED_PART = "checked-part"  # a subset, which was read back
    FAILED = "failed"
    UNFINISHED = "unfinished"  # some of its bytes are on disk
    WANTED = "wanted"  # nothing has been fetched yet

    @property
    def is_finished(self) -> bool:
        """Whether the session has written the file with its final name."""
        return self in _FINISHED


_FINISHED = frozenset((FileStatus.VERIFIED, FileStatus.CHECKED, FileStatus.CHECKED_PART))


class FileRecord(NamedTuple):  # not a dataclass: it is made twice as fast, and there may be a million
    """What a session has recorded about one file.

    session: its id. version: the object, in the version of the file if it is finished. place: path below the folder.
    subset: what is wanted of the object; it restricts nothing for a whole file. reason, remedy: of a failure. when: the
    failure, or the last save of the session, in seconds since 1970. size: of the file when it was finished, in bytes;
    modified: its time then, in ns since 1970; both 0 if not recorded.
    """

    session: str
    version: ObjectInfo
    place: str
    subset: Subset
    status: FileStatus
    when: float
    reason: str = ""
    remedy: str = ""
    size: int = 0
    modified: int = 0

    @property
    def expected_size(self) -> int:
        """The size that the file has to have, in bytes; 0 if not known."""
        return self.version.size if self.subset.is_everything else self.size


@dataclass(frozen=True, slots=True)
class SessionRecords:
    """What all sessions of a folder have recorded.

    files: by file name (the last part of the path); if several sessions want a file, that of a session that has
    finished it, else that of the session saved last. newest: by key, the newest version of each object that a plan
    lists. missing: by key, why an object is not in the bucket. parts: the components of the keys of all these objects
    that are ERA5 files. sessions: the one saved last first; infos: by id, what they were asked for, of those that can
    be read. unreadable: sessions whose files are damaged, with the reason.
    """

    files: Mapping[str, FileRecord] = field(default_factory=dict)
    newest: Mapping[str, ObjectInfo] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, KeyParts] = field(default_factory=dict)
    sessions: tuple[SessionSummary, ...] = ()
    infos: Mapping[str, SessionInfo] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()


def read_records(folder: Path, stopped: Callable[[], bool] = lambda: False) -> SessionRecords:
    """Return what the sessions of a folder have recorded; nothing if there are none. Raises Stopped."""
    files: dict[str, FileRecord] = {}
    newest: dict[str, ObjectInfo] = {}
    missing: dict[str, str] = {}
    sessions = list_sessions(folder)
    infos: dict[str, SessionInfo] = {}
    unreadable: list[tuple[str, str]] = []
    for summary in sessions:
        if stopped():
            raise Stopped("while reading the sessions of the folder")
        try:
            plan, info, checkpoint = _read_session(folder, summary)
        except (SessionDamaged, SessionNotFound, Malformed, OSError) as error:
            unreadable.append((summary.id, str(error)))
            continue
        infos[summary.id] = dataclasses.replace(info, request=plan.request)  # the resume file may have only its digest
        for name, record in _records_of(folder, summary, plan, info, checkpoint):
            known = files.get(name)
            if known is None or (record.status.is_finished and not known.status.is_finished):
                files[name] = record
            version = newest.setdefault(record.version.key, record.version)
            if record.version.last_modified > version.last_modified:
                newest[record.version.key] = record.version
        for absent in plan.missing:
            missing.setdefault(absent.key, absent.reason)
    for key in newest:
        missing.pop(key, None)  # another session has found it
    parts = {key: parsed for key in (*newest, *missing) if (parsed := parse_key(key))}
    return SessionRecords(files, newest, missing, parts, tuple(sessions), infos, tuple(unreadable))


def _read_session(folder: Path, summary: SessionSummary) -> tuple[Plan, SessionInfo, Checkpoint]:
    """Raises SessionDamaged, SessionNotFound, Malformed, OSError."""
    if summary.status is SessionStatus.DAMAGED:
        raise SessionDamaged("its resume file cannot be read")
    home = folder.absolute() / OWN_FOLDER
    saved, _ = resume_file.read(home / f"{summary.id}.json", summary.id)
    digest = saved.info.plan_digest
    plan = plan_file.read(home / plan_file_name(summary.id, digest), digest)
    try:
        plan.subset  # noqa: B018 - validates it
    except BadSelection as error:
        raise Malformed(f"its subset is not valid: {error}") from error
    return plan, saved.info, saved.checkpoint_for(plan.objects)


def _records_of(
    folder: Path, summary: SessionSummary, plan: Plan, info: SessionInfo, checkpoint: Checkpoint
) -> Iterator[tuple[str, FileRecord]]:
    """Yield the name of each file of a session, and its record."""
    statuses = _statuses(checkpoint, len(plan.objects))
    failures = {failure.index: failure for failure in checkpoint.failures}
    has_subset, whole = not plan.subset.is_everything, checkpoint.whole_files
    files: list[tuple[ObjectInfo, str, Subset]] = []
    for index, planned in enumerate(plan.objects):
        key, subset = planned.key, EVERYTHING
        if has_subset and index not in whole:
            key, subset = subset_key(key, plan.subset), subset_of(key, plan.subset)
        place = key.rpartition("/")[2] if info.flat else key
        files.append((checkpoint.replaced.get(index, planned), place, subset))
    done = ((n, place, version.etag) for n, (version, place, _) in enumerate(files) if statuses[n].is_finished)
    sizes = finished_files.read(folder.absolute() / OWN_FOLDER, summary.id, done, len(files))
    for index, ((version, place, subset), status) in enumerate(zip(files, statuses, strict=True)):
        reason, remedy, when, size, modified = "", "", summary.updated, 0, 0
        if status is FileStatus.FAILED:
            failure = failures[index]
            reason, remedy, when = failure.reason, failure.remedy, failure.when
        elif index in sizes:
            size, modified = sizes.size(index), sizes.modified(index)
        name = place.rpartition("/")[2]
        yield name, FileRecord(summary.id, version, place, subset, status, when, reason, remedy, size, modified)


def _statuses(checkpoint: Checkpoint, count: int) -> list[FileStatus]:
    """Return the status of each object of a plan."""
    statuses = [FileStatus.WANTED] * count
    for failure in checkpoint.failures:
        statuses[failure.index] = FileStatus.FAILED
    for entry in checkpoint.unfinished:
        if statuses[entry.index] is FileStatus.WANTED:
            statuses[entry.index] = FileStatus.UNFINISHED
    finished = {
        FileStatus.VERIFIED: checkpoint.verified,
        FileStatus.CHECKED: checkpoint.checked,
        FileStatus.CHECKED_PART: checkpoint.checked_part,
    }
    for status, members in finished.items():
        for start, stop in members:
            statuses[start:stop] = [status] * (stop - start)
    return statuses
