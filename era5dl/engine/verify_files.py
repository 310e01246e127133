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
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import ETAG_MISMATCH, EtagTrust, verify_final_file
from era5dl.errors import DiskError, Stopped, UnsafeKey
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.planner.concurrent_requests import run_concurrently
from era5dl.ranges import RangeSet
from era5dl.session import Session

WRONG_BYTES = "its bytes differ from those in the bucket"


class FileCondition(Enum):
    """The condition of one file on disk."""

    VERIFIED = "verified"
    CHECKED = "checked"
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
    verifier = _FileVerifier(session, PartSizes(bucket), EtagTrust(opaque=opaque_etags), cancelled)
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

    def __call__(self, index: int, obj: ObjectInfo) -> FileReport:
        try:
            path = self.session.paths.place(self.session.paths.final(index))
            with translate_disk_errors(path):
                size = _size_of(path)
            if size is None:
                return FileReport(index, obj.key, FileCondition.ABSENT, "the file does not exist")
            if size != obj.size:
                reason = f"it has {size} bytes, but the object has {obj.size}"
                return FileReport(index, obj.key, FileCondition.WRONG, reason)
            transfer = Transfer(index, obj)
            choose_digest(transfer, self.part_sizes, verify=True)
            query = partial(self.part_sizes.query, obj, Abort())
            result = verify_final_file(transfer, path, self.trust, query, self.stopped)
        except (UnsafeKey, DiskError) as error:  # other files may be readable
            reason = f"{error}. {error.remedy}" if error.remedy else str(error)
            return FileReport(index, obj.key, FileCondition.UNKNOWN, reason)
        if result is None:
            return FileReport(index, obj.key, FileCondition.WRONG, WRONG_BYTES)
        if result.outcome is Outcome.VERIFIED:
            self.trust.record_match(obj.etag)
            return FileReport(index, obj.key, FileCondition.VERIFIED)
        return FileReport(index, obj.key, FileCondition.CHECKED, result.reason)

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
    verified, checked = RangeSet(), RangeSet()
    for report in reports:
        gone = report.condition is FileCondition.ABSENT
        if report.condition is FileCondition.VERIFIED or (gone and report.index in before.verified):
            verified.add(report.index, report.index + 1)
        elif report.condition is FileCondition.CHECKED or (gone and report.index in before.checked):
            checked.add(report.index, report.index + 1)
    right = {report.index for report in reports if report.condition in (FileCondition.VERIFIED, FileCondition.CHECKED)}
    unfinished = tuple(u for u in before.unfinished if u.index not in right)
    done = sum(objects[i].size for i in right) + sum(b - a for u in unfinished for a, b in u.done)
    ended = len(right) == len(objects)
    session.save(
        replace(before, verified=verified, checked=checked, unfinished=unfinished, done_bytes=done, ended=ended)
    )
