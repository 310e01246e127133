"""Command `verify`: compares the files on disk with the bucket; --repair downloads damaged and deleted files again.

In a folder that era5dl downloaded into, the sessions list the expected files. In any other folder, every .nc file whose
relative path is a key of the bucket is looked up there, and a session is created for these files.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from era5dl.catalog.key_names import describe_key
from era5dl.cli.arguments import open_bucket, settings_from
from era5dl.cli.commands.download import session_settings
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.cli.plain_display import checked_lines
from era5dl.cli.run_session import report_result, run_session
from era5dl.engine import verify_files
from era5dl.engine.reporting import group_by_reason
from era5dl.engine.verify_files import WRONG_BYTES, FileCondition, FileReport
from era5dl.errors import FolderUnusable, UnsafeKey, UsageError
from era5dl.folder.paths import OWN_FOLDER
from era5dl.formatting import format_count, format_duration, format_size
from era5dl.session import Session, list_sessions

if TYPE_CHECKING:
    from era5dl.bucket.interface import Bucket
    from era5dl.session import Checkpoint

GOOD = (FileCondition.VERIFIED, FileCondition.CHECKED, FileCondition.CHECKED_PART)
NO_ETAG_MATCHES = (
    "No file matches the server's ETag. If this server's ETags are not MD5s, use --opaque-etags: "
    "the files are then checked, not verified."
)
_PROGRESS_INTERVAL = 10.0  # seconds


def verify(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Verify the files of all sessions in the folder, newest session first.

    A session is skipped if newer sessions contain all its files.
    """
    folder = Path(arguments.folder)
    if not folder.is_dir():
        raise FolderUnusable(f"There is no folder {folder}.")
    exit_code = ExitCode.OK
    verified_paths: set[Path] = set()
    for session in _sessions(folder, arguments, output, interrupts):
        paths = _final_paths(session)
        if paths <= verified_paths:
            continue
        verified_paths |= paths
        settings = session_settings(session, arguments, output)
        bucket = open_bucket(settings)
        before = session.checkpoint
        reports = _verify_session(bucket, session, settings.opaque_etags, output, interrupts)
        code = ExitCode.OK if all(report.condition in GOOD for report in reports) else ExitCode.INCOMPLETE
        damaged = [report.index for report in reports if _needs_repair(report, before)]
        if damaged and arguments.repair:
            result = run_session(bucket, session, settings, output, interrupts, only=damaged)
            code = report_result(result, (), session, output)
        exit_code = max(exit_code, code)
    return exit_code


def _needs_repair(report: FileReport, before: Checkpoint) -> bool:
    """Return whether the file is wrong, or was complete and is gone. Files never downloaded are left to `resume`."""
    if report.condition is FileCondition.ABSENT:
        return report.index in before.finished
    return report.condition is FileCondition.WRONG


def _verify_session(
    bucket: Bucket, session: Session, opaque_etags: bool, output: Output, interrupts: Interrupts
) -> list[FileReport]:
    """Verify the files of one session; print the damaged and absent ones, and a summary."""
    objects = session.plan.objects
    queue: SimpleQueue[FileReport] = SimpleQueue()
    progress = _VerifyProgress(session, output, queue)
    output.info(f"Verifying {format_count(len(objects), 'file')} in {session.folder} ({session.info.title}) ...")
    reports = interrupts.run_in_background(
        lambda: verify_files.verify(bucket, session, queue.put, interrupts.requested.is_set, opaque_etags=opaque_etags),
        progress.update,
    )
    progress.update()
    counts = Counter(report.condition for report in reports)
    total = sum(report.size for report in reports)
    conditions = ", ".join(f"{counts[one]:,} {one.value}" for one in FileCondition if counts[one]) or "nothing"
    took = format_duration(progress.elapsed)
    output.result(f"{format_count(len(reports), 'file')}, {format_size(total)}: {conditions}; took {took}")
    if not opaque_etags and not counts[FileCondition.VERIFIED] and any(one.reason == WRONG_BYTES for one in reports):
        output.notice(NO_ETAG_MATCHES)
    reasons = {report.index: report.reason for report in reports if report.condition is FileCondition.CHECKED}
    for line in checked_lines(group_by_reason(reasons, [obj.key for obj in objects])):
        output.notice(line)
    output.record(
        "verify-summary",
        session=session.id,
        files=len(reports),
        bytes=total,
        **{condition.value: counts[condition] for condition in FileCondition},
        elapsed=progress.elapsed,
    )
    return reports


class _VerifyProgress:
    """Prints reports and progress on the thread that waits for the verification."""

    def __init__(self, session: Session, output: Output, queue: SimpleQueue[FileReport]) -> None:
        self._session, self._output, self._queue = session, output, queue
        self._started_at = time.monotonic()
        self._next_message = self._started_at + _PROGRESS_INTERVAL
        self._done = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started_at

    def update(self) -> None:
        """Print the reports since the last call, and the progress from time to time."""
        with contextlib.suppress(Empty):
            while True:
                self._print(self._queue.get_nowait())
        if time.monotonic() >= self._next_message:
            self._next_message = time.monotonic() + _PROGRESS_INTERVAL
            self._output.info(f"{self._done:,} of {format_count(len(self._session.plan.objects), 'file')}")

    def _print(self, report: FileReport) -> None:
        self._done += 1
        path = ""
        with contextlib.suppress(UnsafeKey):
            path = str(self._session.paths.final(report.index))
        condition = report.condition.value
        self._output.record("proven", key=report.key, path=path, condition=condition, reason=report.reason)
        if report.condition not in GOOD:
            name = self._session.paths.relative(report.index)  # the whole file may be beside a subset that is wrong
            known = describe_key(report.key)
            shown = f"{known} ({name})" if known else name
            self._output.result(f"{condition}: {shown}: {report.reason}")


def _sessions(folder: Path, arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> Iterator[Session]:
    """Yield the sessions of the folder, or one created from its .nc files. Each is closed before the next is opened."""
    known = list_sessions(folder)
    for summary in known:
        with Session.open(folder, summary.id) as session:
            yield session
    if not known:
        with _session_from_files(folder, arguments, output, interrupts) as session:
            yield session


def _session_from_files(folder: Path, arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> Session:
    """Create a session for the .nc files in the folder that are objects of the bucket."""
    from era5dl.planner import plan_keys

    settings = settings_from(arguments, flat=False)
    keys = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.nc")
        if OWN_FOLDER not in path.relative_to(folder).parts
    )
    if not keys:
        raise UsageError(f"There is no session and no .nc file in {folder}.", remedy="Specify a download folder.")
    with interrupts.gracefully():
        plan = plan_keys(keys, open_bucket(settings), cancelled=interrupts.requested.is_set)
    if plan.missing:
        output.notice(f"ignored: {format_count(len(plan.missing), '.nc file')} that the bucket does not contain")
    if not plan.objects:
        raise UsageError(
            f"No .nc file in {folder} is an object of the bucket.",
            remedy="Their paths relative to the folder must be keys, such as e5.oper.an.pl/202102/....",
        )
    return Session.begin(folder, plan, settings)


def _final_paths(session: Session) -> set[Path]:
    paths: set[Path] = set()
    for index in range(len(session.plan.objects)):
        with contextlib.suppress(UnsafeKey):
            paths.add(session.paths.final(index))
    return paths
