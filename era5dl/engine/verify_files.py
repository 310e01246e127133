"""Verifies the existing files of a session against the ETags of the bucket, without downloading anything.

The only requests are for the part size of an object whose file does not match with the most likely part size. The
result is written to the resume file, so that a later run downloads wrong files again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.engine.events import Outcome
from era5dl.engine.prepare import PartSizes, choose_digest
from era5dl.engine.subset_output import PART_REASON, has_provenance, md5_of
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import ETAG_MISMATCH, EtagTrust, verify_final_file
from era5dl.errors import DiskError, Stopped, UnsafeKey, UsageError
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.planner.concurrent_requests import run_concurrently
from era5dl.ranges import RangeSet
from era5dl.session import Session
from era5dl.session.finished_files import FinishedFile
from era5dl.session.part_digests import PartDigests

WRONG_BYTES = "its bytes differ from those in the bucket"
CHANGED = "it has changed since it was written"
OTHER_CONTENT = "it is not the selected part of this version of the object"
NO_RECORD = f"{PART_REASON}, and no MD5 of the file was recorded"


class FileCondition(Enum):
    """The condition of one file on disk."""

    VERIFIED = "verified"
    CHECKED = "checked"
    CHECKED_PART = "checked-part"  # a subset of the object, and as it was written
    WRONG = "wrong"  # exists, but does not have the server's bytes
    ABSENT = "absent"
    UNKNOWN = "unknown"  # could not be read; the reason says why


@dataclass(frozen=True, slots=True)
class FileReport:
    """The condition of the file of one object. reason: why it is not VERIFIED, else "".

    status: of the file before it was read; None if it does not exist.
    """

    index: int
    key: str
    condition: FileCondition
    reason: str = ""
    status: os.stat_result | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        """The size of the file in bytes; 0 if it does not exist."""
        return self.status.st_size if self.status is not None else 0


def verify(
    bucket: Bucket,
    session: Session,
    on_report: Callable[[FileReport], None],
    cancelled: Callable[[], bool] = bool,
    *,
    opaque_etags: bool = False,
) -> list[FileReport]:
    """Verify every file of the session; return the reports in the order of the plan.

    on_report: called once per file as soon as its report is known, on several threads. opaque_etags: see `Settings`.
    Raises Stopped if cancelled, and a BucketError if the request for a part size fails.
    """
    checkpoint = session.checkpoint
    verifier = _FileVerifier(
        session,
        PartSizes(bucket),
        EtagTrust(opaque=opaque_etags),
        cancelled,
        PartDigests.of_session(session.folder, session.id),
    )
    objects = [checkpoint.replaced.get(i, obj) for i, obj in enumerate(session.plan.objects)]

    def verify_one(index: int) -> FileReport:
        if cancelled():
            raise Stopped("while verifying")
        report = verifier(index, objects[index])
        if not report.reason.startswith(ETAG_MISMATCH):
            on_report(report)
        return report

    calls = [partial(verify_one, index) for index in range(len(objects))]
    reports = run_concurrently(calls, parallel=min(4, os.cpu_count() or 1), cancelled=cancelled)
    for place, report in enumerate(reports):
        if report.reason.startswith(ETAG_MISMATCH):  # only the results of all other files show whether it is wrong
            reports[place] = verifier.final_report(report, objects[report.index])
            on_report(reports[place])
    _save(session, reports, objects)
    return reports


@dataclass(frozen=True, slots=True)
class _FileVerifier:
    """Verifies single files. Thread-safe."""

    session: Session
    part_sizes: PartSizes
    trust: EtagTrust
    stopped: Callable[[], bool]
    digests: PartDigests

    def __call__(self, index: int, obj: ObjectInfo) -> FileReport:
        status = None
        try:
            path = self.session.paths.place(self.session.paths.final(index))
            with translate_disk_errors(path):
                status = _status_of(path)
            if status is None:
                return FileReport(index, obj.key, FileCondition.ABSENT, "the file does not exist")
            return replace(self._examine(index, obj, path, status.st_size), status=status)
        except (UnsafeKey, DiskError, UsageError) as error:  # other files may be readable
            reason = f"{error}. {error.remedy}" if error.remedy else str(error)
            return FileReport(index, obj.key, FileCondition.UNKNOWN, reason, status)

    def _examine(self, index: int, obj: ObjectInfo, path: ConfinedPath, size: int) -> FileReport:
        if not self.session.paths.subset(index).is_everything:
            return self._examine_subset(index, obj, path)
        if size != obj.size:
            reason = f"it has {size} bytes, but the object has {obj.size}"
            return FileReport(index, obj.key, FileCondition.WRONG, reason)
        transfer = Transfer(index, obj)
        choose_digest(transfer, self.part_sizes, verify=True)
        query = partial(self.part_sizes.query, obj, Abort())
        result = verify_final_file(transfer, path, self.trust, query, self.stopped)
        if result is None:
            return FileReport(index, obj.key, FileCondition.WRONG, WRONG_BYTES)
        if result.outcome is Outcome.VERIFIED:
            self.trust.record_match(obj.etag)
            return FileReport(index, obj.key, FileCondition.VERIFIED)
        return FileReport(index, obj.key, FileCondition.CHECKED, result.reason)

    def _examine_subset(self, index: int, obj: ObjectInfo, path: ConfinedPath) -> FileReport:
        """Compare a subset with the MD5 of the file that was written; without one, only read what it says about itself.

        The bucket has nothing to compare it with.
        """
        with translate_disk_errors(path), path.open_for_reading() as file:
            recorded = self.session.subset_md5s(self.digests, index, obj)
            verified = self.session.subset_md5s(self.digests, index, obj, verified=True)
            md5 = md5_of(file, self.stopped) if recorded or verified else ""
            if md5 and md5 in verified:
                return FileReport(index, obj.key, FileCondition.VERIFIED)
            if md5 and md5 not in recorded:
                return FileReport(index, obj.key, FileCondition.WRONG, CHANGED)
            if not recorded and not has_provenance(file, obj, self.session.paths.subset(index)):
                return FileReport(index, obj.key, FileCondition.WRONG, OTHER_CONTENT)
        return FileReport(index, obj.key, FileCondition.CHECKED_PART, PART_REASON if recorded else NO_RECORD)

    def final_report(self, report: FileReport, obj: ObjectInfo) -> FileReport:
        """Return the report of a file that does not match its ETag, now that all others have been verified."""
        wrong = self.trust.is_binding(obj.etag)
        return replace(report, condition=FileCondition.WRONG, reason=WRONG_BYTES) if wrong else report


def _status_of(path: ConfinedPath) -> os.stat_result | None:
    """Return the status of a regular file; None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _save(session: Session, reports: list[FileReport], objects: list[ObjectInfo]) -> None:
    """Write the verified and checked files into the resume file.

    A finished file that no longer exists stays listed. The next run detects that it is missing, and `verify --repair`
    can distinguish it from a file that was never downloaded.
    """
    before = session.checkpoint
    verified, checked, checked_part, cropped = (RangeSet() for _ in range(4))
    sets = (
        (FileCondition.VERIFIED, verified, before.verified),
        (FileCondition.CHECKED, checked, before.checked),
        (FileCondition.CHECKED_PART, checked_part, before.checked_part),
    )
    for report in reports:
        gone = report.condition is FileCondition.ABSENT
        for condition, members, earlier in sets:
            if report.condition is condition or (gone and report.index in earlier):
                members.add(report.index, report.index + 1)
                if condition is not FileCondition.CHECKED_PART and not session.paths.subset(report.index).is_everything:
                    cropped.add(report.index, report.index + 1)
                break
    good = {condition for condition, _, _ in sets}
    right = {report.index for report in reports if report.condition in good}
    unfinished = tuple(u for u in before.unfinished if u.index not in right)
    done = sum(objects[i].size for i in right) + sum(b - a for u in unfinished for a, b in u.done)
    ended = len(right) == len(objects)
    if not session.plan.subset.is_everything:  # what is fetched is less than the size of the object
        total = before.total_bytes or session.info.total_bytes
        done = total if ended else min(done, total)
    _record(session, [report for report in reports if report.condition in good], objects)
    session.save(
        replace(
            before,
            verified=verified,
            checked=checked,
            checked_part=checked_part,
            cropped=cropped,
            unfinished=unfinished,
            done_bytes=done,
            ended=ended,
        )
    )


def _record(session: Session, reports: list[FileReport], objects: list[ObjectInfo]) -> None:
    """Record the files that have the right bytes, so that a later run does not read them again if they were copied.

    For a subset of which nothing was recorded it is not known how much was fetched; the next run records it.
    """
    recorded = session.finished_files()
    files = []
    for report in reports:
        index, status = report.index, report.status
        if status is None or (index in recorded and recorded.is_unchanged(index, status)):
            continue
        whole = session.paths.subset(index).is_everything
        if whole or index in recorded:
            fetched = status.st_size if whole else recorded.fetched(index)
            name, etag = session.paths.relative(index), objects[index].etag
            files.append(FinishedFile(name, etag, status.st_size, status.st_mtime_ns, fetched))
    with suppress(DiskError):  # without the record, they may be read again
        session.record_finished(files)
