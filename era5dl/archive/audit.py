"""Audit of an archive: compares the files in a folder with those that are wanted, and says what lacks and why.

Wanted is what the sessions of the folder have asked for, or a selection. No request is sent. Files that a session has
finished are not opened; of others, the first 96 bytes are read, to compare their size with that in the HDF5 header.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from era5dl.archive.contents import file_errors, missing_times, read_subset
from era5dl.archive.scan import FoundFile, Scan, scan_folder
from era5dl.archive.session_records import FileRecord, FileStatus
from era5dl.archive.states import Audit, AuditedFile, Cause, State, times_of, worst
from era5dl.archive.wanted import Wanted, code_of, keys_between, newest_starts, wanted_keys
from era5dl.days import Days
from era5dl.errors import DiskError, Stopped, UnsafeKey
from era5dl.planner.plan import NOT_YET_PUBLISHED
from era5dl.selection import Selection
from era5dl.subset.selection import EVERYTHING, Subset

PUBLICATION_DELAY = timedelta(days=183)
_POLL_INTERVAL = 64  # files between two calls of `stopped`


def audit_folder(
    folder: str | os.PathLike[str],
    selection: Selection | None = None,
    *,
    keys: Iterable[str] = (),
    deep: bool = False,
    today: date | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Audit:
    """Return the state of every wanted file of a folder.

    selection, keys: what is wanted. Without both, that is what the sessions of the folder have asked for, all other
    files that are there, and for variables without a session also what is missing between their first and last file.
    deep: read the header and the coordinates of every file that is there; finds missing hours within a file.
    today: date (UTC) used to guess whether a file is not yet published; by default the current one.

    Raises FolderUnusable, and Stopped soon after `stopped()` returns true.
    """
    return audit_scan(scan_folder(Path(folder), stopped), selection, keys=keys, deep=deep, today=today, stopped=stopped)


def audit_scan(
    scan: Scan,
    selection: Selection | None = None,
    *,
    keys: Iterable[str] = (),
    deep: bool = False,
    today: date | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Audit:
    """Like `audit_folder`, for a folder that has been scanned."""
    auditor = _Auditor(scan, deep, today or datetime.now(timezone.utc).date(), stopped)
    wanted = list(wanted_keys(selection, keys, scan)) if selection or keys else None
    files = auditor.wanted_files(wanted) if wanted is not None else auditor.all_files()
    ordered = sorted(files, key=lambda one: (*code_of(one.parts), one.parts.start, one.name))
    return Audit(scan.folder, tuple(ordered), scan.records.unreadable, scan.passed_over, scan.others)


def restrict(audit: Audit, variables: Iterable[str] = (), days: Days = ()) -> Audit:
    """Return the audit of the files of these variables (names such as "an.sfc/2t") that have any of these days.

    Empty: all. Files that do not depend on time have all days.
    """
    names = frozenset(variables)

    def is_chosen(file: AuditedFile) -> bool:
        if names and file.variable not in names:
            return False
        first, last = file.parts.start.date(), file.parts.end.date()
        return not days or not file.month or any(begin <= last and first <= end for begin, end in days)

    return replace(audit, files=tuple(file for file in audit.files if is_chosen(file)))


class _Auditor:
    """Finds the states of the files of one scan."""

    def __init__(self, scan: Scan, deep: bool, today: date, stopped: Callable[[], bool]) -> None:
        self._scan, self._deep, self._stopped = scan, deep, stopped
        self._oldest_pending = datetime.combine(today - PUBLICATION_DELAY, datetime.min.time())
        self._judged = 0
        self._by_name: dict[str, list[FoundFile]] = {}
        self._by_key: dict[str, list[FoundFile]] = {}
        for file in scan.files:
            self._by_name.setdefault(file.name, []).append(file)
            self._by_key.setdefault(file.key, []).append(file)
        self._newest = newest_starts(scan)
        self._errors = file_errors(scan.folder, filter(self._has_to_be_read, scan.files), stopped)

    def _has_to_be_read(self, file: FoundFile) -> bool:
        """Whether its header is read: of files whose size no session has recorded."""
        record = file.record
        return self._deep or not (record and record.status.is_finished and self._is_size_known(record))

    def _is_size_known(self, record: FileRecord) -> bool:
        return record.subset.is_everything or record.size > 0

    def all_files(self) -> Iterator[AuditedFile]:
        """Yield what the sessions want, what is there in addition, and gaps of variables without a session."""
        records = self._scan.records
        for name, record in records.files.items():
            if (parts := records.parts.get(record.version.key)) is None:
                continue
            yield self._named(Wanted(name, record.version.key, parts, record.subset), record)
        for key, reason in records.missing.items():
            if parts := records.parts.get(key):
                wanted = Wanted(key.rpartition("/")[2], key, parts, EVERYTHING)
                yield self._named(wanted, None) if wanted.name in self._by_name else _not_in_bucket(wanted, reason)
        of_sessions = {code_of(parts) for parts in records.parts.values()}
        others = [files for name, files in self._by_name.items() if name not in records.files]
        for files in others:
            if files[0].key not in records.missing or not files[0].is_whole:
                yield self._best(files, files[0].subset if files[0].is_whole else self._subset_of(files[0]))
        without = (files[0] for files in others if code_of(files[0].parts) not in of_sessions)
        for wanted in keys_between(without, self._by_key):
            yield _absent(wanted, State.MISSING, Cause.GAP)

    def wanted_files(self, wanted: Iterable[Wanted]) -> Iterator[AuditedFile]:
        """Yield the states of the files of a selection."""
        for one in wanted:
            yield self._named(one, self._scan.records.files.get(one.name))

    def _named(self, wanted: Wanted, record: FileRecord | None) -> AuditedFile:
        """Return the state of the file with this name, or of others that have the same data."""
        found = self._by_name.get(wanted.name)
        if found:
            return self._best(found, wanted.subset)
        others = self._by_key.get(wanted.key, [])
        whole = [file for file in others if file.is_whole]
        if whole:  # it has the wanted part, too
            return self._best(whole, EVERYTHING)._replace(subset=wanted.subset)
        parts = [file for file in others if not file.is_whole]
        if parts and (record is None or not record.subset.is_everything):
            return self._from_parts(wanted, parts)
        return self._not_there(wanted, record)

    def _best(self, files: list[FoundFile], subset: Subset | None) -> AuditedFile:
        """Return the state of the best of several files with the same name."""
        states = [self._judge(file, subset) for file in files]
        return states[0] if len(states) == 1 else min(states, key=lambda one: list(State).index(one.state))

    def _judge(self, file: FoundFile, subset: Subset | None) -> AuditedFile:
        """Return the state of a file that is there."""
        self._judged += 1
        if self._judged % _POLL_INTERVAL == 0 and self._stopped():
            raise Stopped("while comparing files")
        record = file.record
        expected = record.expected_size if record else 0
        detail = ""
        lacking: tuple[int, ...] = ()
        if record and record.status is FileStatus.FAILED:
            state, cause, detail = State.FAILED, Cause.ERROR, record.reason
        elif record and self._is_size_known(record) and file.size != expected:
            state, cause = State.TRUNCATED, Cause.SIZE
        elif error := self._errors.get(file.path) if self._errors else None:
            state, cause, detail = State.TRUNCATED, Cause.SIZE, ""
            if isinstance(error, int):
                expected = error
            else:
                cause = Cause.STRUCTURE if isinstance(error, str) else Cause.UNREADABLE
                detail = str(error)
        elif self._deep and (lacking := self._missing_times(file)):
            state, cause = State.PARTIAL, Cause.HOURS
        else:
            state, cause = self._recorded(file)
        return AuditedFile(
            file.name,
            file.key,
            file.parts,
            subset,
            state,
            cause,
            detail,
            folder=file.folder,
            size=file.size,
            expected=expected,
            version=record.version if record else None,
            status=record.status if record else None,
            session=record.session if record else "",
            when=record.when if record else 0.0,
            lacking=lacking,
        )

    def _recorded(self, file: FoundFile) -> tuple[State, Cause]:
        """Return the state of a file with which nothing is wrong."""
        record = file.record
        if record is None or not record.status.is_finished:
            return State.UNPROVEN, Cause.NOT_COMPARED
        newest, version = self._scan.records.newest[record.version.key], record.version
        if newest is not version and newest.etag and version.etag and newest.etag != version.etag:
            return State.REPLACED, Cause.NEWER
        if record.modified and record.modified != file.modified:
            return State.UNPROVEN, Cause.CHANGED
        if record.status is FileStatus.VERIFIED:
            return State.PROVEN, Cause.NONE
        return State.UNPROVEN, Cause.NO_MD5

    def _missing_times(self, file: FoundFile) -> tuple[int, ...]:
        try:
            return missing_times(self._scan.folder, file)
        except (DiskError, UnsafeKey):
            return ()

    def _from_parts(self, wanted: Wanted, files: list[FoundFile]) -> AuditedFile:
        """Return the state of a wanted file of which only other parts are there."""
        judged = [(self._judge(file, wanted.subset), self._subset_of(file)) for file in files]
        usable = [(one, subset) for one, subset in judged if one.state.is_there and subset is not None]
        fitting = [(one, subset) for one, subset in usable if _has_places(subset, wanted.subset)]
        best = (fitting or usable or judged)[0][0]
        best = best._replace(subset=wanted.subset)
        if not usable:
            return best
        there = {time for one, subset in fitting for time in times_of(wanted.parts, subset)}
        lacking = tuple(time for time in times_of(wanted.parts, wanted.subset) if time not in there)
        if not fitting:
            return best._replace(state=State.PARTIAL, cause=Cause.PLACES)
        if lacking:
            return best._replace(state=State.PARTIAL, cause=Cause.HOURS, lacking=lacking)
        return best._replace(state=worst(one.state for one, _ in fitting))

    def _subset_of(self, file: FoundFile) -> Subset | None:
        """Return what a part has: as its session says, or as its attributes say."""
        if file.subset is not None:
            return file.subset
        try:
            return read_subset(self._scan.folder, file)
        except (DiskError, UnsafeKey):
            return None

    def _not_there(self, wanted: Wanted, record: FileRecord | None) -> AuditedFile:
        records = self._scan.records
        if record is None:
            if (reason := records.missing.get(wanted.key)) is not None:
                return _not_in_bucket(wanted, reason)
            newest = self._newest.get(wanted.parts.product.prefix)
            if wanted.parts.start >= self._oldest_pending and (newest is None or wanted.parts.start > newest):
                return _absent(wanted, State.NOT_PUBLISHED, Cause.RECENT)
            return _absent(wanted, State.NOT_ASKED if records.sessions else State.MISSING, Cause.NO_SESSION)
        state, cause = State.MISSING, Cause.NOT_STARTED
        if record.status is FileStatus.FAILED:
            state, cause = State.FAILED, Cause.ERROR
        elif record.status is FileStatus.UNFINISHED:
            cause = Cause.STARTED
        elif record.status.is_finished:
            cause = Cause.GONE
        return _absent(wanted, state, cause)._replace(
            detail=record.reason,
            expected=record.expected_size,
            version=record.version,
            status=record.status,
            session=record.session,
            when=record.when,
        )


def _not_in_bucket(wanted: Wanted, reason: str) -> AuditedFile:
    state = State.NOT_PUBLISHED if reason == NOT_YET_PUBLISHED else State.NOT_IN_BUCKET
    return _absent(wanted, state, Cause.ABSENT)._replace(detail=reason)


def _absent(wanted: Wanted, state: State, cause: Cause) -> AuditedFile:
    return AuditedFile(wanted.name, wanted.key, wanted.parts, wanted.subset, state, cause)


def _has_places(part: Subset, wanted: Subset) -> bool:
    """Return whether a part has all levels, and the area or points, that are wanted."""
    if part.levels and not (wanted.levels and set(wanted.levels) <= set(part.levels)):
        return False
    if part.area is None and not part.points:
        return True
    return (part.area, part.points) == (wanted.area, wanted.points)
