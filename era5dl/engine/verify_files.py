"""Verifies the existing files of a session against the ETags of the bucket, without downloading anything.

The only requests are for the part size of an object whose file does not match with the most likely part size. The
result is written to the resume file, so that a later run downloads wrong files again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.engine.events import Outcome
from era5dl.engine.prepare import PartSizes, choose_digest
from era5dl.engine.subset_file import PART_REASON, has_provenance, md5_of, recorded_md5s
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import ETAG_MISMATCH, EtagTrust, verify_final_file
from era5dl.errors import DiskError, Stopped, UnsafeKey, UsageError
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.planner.concurrent_requests import run_concurrently
from era5dl.ranges import RangeSet
from era5dl.session import Session
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
    """The condition of the file of one object. reason: why it is not VERIFIED, else ""."""

    index: int
    key: str
    condition: FileCondition
    reason: str = ""


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
        try:
            path = self.session.paths.place(self.session.paths.final(index))
            with translate_disk_errors(path):
                size = _size_of(path)
            if size is None:
                return FileReport(index, obj.key, FileCondition.ABSENT, "the file does not exist")
            if not self.session.paths.subset(index).is_everything:
                return self._examine_subset(index, obj, path)
            if size != obj.size:
                reason = f"it has {size} bytes, but the object has {obj.size}"
                return FileReport(index, obj.key, FileCondition.WRONG, reason)
            transfer = Transfer(index, obj)
            choose_digest(transfer, self.part_sizes, verify=True)
            query = partial(self.part_sizes.query, obj, Abort())
            result = verify_final_file(transfer, path, self.trust, query, self.stopped)
        except (UnsafeKey, DiskError, UsageError) as error:  # other files may be readable
            reason = f"{error}. {error.remedy}" if error.remedy else str(error)
            return FileReport(index, obj.key, FileCondition.UNKNOWN, reason)
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
            recorded = recorded_md5s(self.session, self.digests, index, obj)
            if recorded and md5_of(file, self.stopped) not in recorded:
                return FileReport(index, obj.key, FileCondition.WRONG, CHANGED)
            if not recorded and not has_provenance(file, obj, self.session.paths.subset(index)):
                return FileReport(index, obj.key, FileCondition.WRONG, OTHER_CONTENT)
        return FileReport(index, obj.key, FileCondition.CHECKED_PART, PART_REASON if recorded else NO_RECORD)

    def final_report(self, report: FileReport, obj: ObjectInfo) -> FileReport:
        """Return the report of a file that does not match its ETag, now that all others have been verified."""
        wrong = self.trust.is_binding(obj.etag)
        return FileReport(report.index, report.key, FileCondition.WRONG, WRONG_BYTES) if wrong else report


def _size_of(path: ConfinedPath) -> int | None:
    """Return the size of a regular file; None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _save(session: Session, reports: list[FileReport], objects: list[ObjectInfo]) -> None:
    """Write the verified and checked files into the resume file.

    A finished file that no longer exists stays listed. The next run detects that it is missing, and `verify --repair`
    can distinguish it from a file that was never downloaded.
    """
    before = session.checkpoint
    verified, checked, checked_part = RangeSet(), RangeSet(), RangeSet()
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
                break
    good = {condition for condition, _, _ in sets}
    right = {report.index for report in reports if report.condition in good}
    unfinished = tuple(u for u in before.unfinished if u.index not in right)
    done = sum(objects[i].size for i in right) + sum(b - a for u in unfinished for a, b in u.done)
    ended = len(right) == len(objects)
    if not session.plan.subset.is_everything:  # what is fetched is less than the size of the object
        total = before.total_bytes or session.info.total_bytes
        done = total if ended else min(done, total)
    session.save(
        replace(
            before,
            verified=verified,
            checked=checked,
            checked_part=checked_part,
            unfinished=unfinished,
            done_bytes=done,
            ended=ended,
        )
    )
