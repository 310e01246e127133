"""Archives in the background: audits a folder, plans its gaps, writes its table and manifest, and makes citations."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from era5dl.archive.audit import audit_folder
from era5dl.archive.calendar import calendar_of
from era5dl.archive.citation import cite_folder, to_bibtex, to_text
from era5dl.archive.describe import to_csv
from era5dl.archive.gaps import gap_lists
from era5dl.archive.manifest import make_manifest
from era5dl.archive.manifest_format import MANIFEST_NAME
from era5dl.archive.states import Audit
from era5dl.errors import Era5Error, Stopped
from era5dl.folder.atomic_write import write_atomically
from era5dl.folder.disk_errors import translate_folder_errors
from era5dl.gui.backend import messages
from era5dl.gui.backend.background_task import BackgroundTask, IsCancelled, OnCrash, ProgressLimiter
from era5dl.gui.backend.bucket_access import BucketAccess
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.planner import plan_keys
from era5dl.settings import Settings

AUDIT, FILES, GAPS = "archive audit", "archive files", "archive gaps"
"""`messages.TaskCrashed.task` of each task."""


class ArchiveService:
    """Commands return at once; results are messages."""

    def __init__(self, access: BucketAccess, post: Callable[[Message], None], on_crash: OnCrash) -> None:
        self._access, self._post = access, post
        self._audit_task = BackgroundTask(AUDIT, on_crash)
        self._files_task = BackgroundTask(FILES, on_crash)
        self._gaps_task = BackgroundTask(GAPS, on_crash)

    def audit(self, folder: Path) -> None:
        """Compare a folder with what its sessions have asked for."""

        def job(cancelled: IsCancelled) -> None:
            try:
                audit = audit_folder(folder, stopped=cancelled)
                _ = (audit.counts, audit.gaps)  # computed here, not on the Tk thread
                self._post(messages.ArchiveAudited(folder, audit, calendar_of(audit)))
            except Stopped:
                return
            except Era5Error as error:
                self._post(messages.ArchiveFailed(folder, ErrorInfo.of(error), is_audit=True))

        self._audit_task.submit(job)

    def plan_gaps(self, folder: Path, audit: Audit, settings: Settings) -> None:
        """Look up the files that lack; those of the first subset, if parts of several kinds lack."""

        def job(cancelled: IsCancelled) -> None:
            lists = gap_lists(audit.gaps)
            try:
                first = lists[0]
                bucket = self._access.bucket(settings)
                plan = plan_keys(list(first.keys), bucket, subset=first.subset, cancelled=cancelled)
                self._post(messages.GapsPlanned(folder, plan, len(lists) - 1))
            except Stopped:
                return
            except Era5Error as error:
                self._post(messages.ArchiveFailed(folder, ErrorInfo.of(error)))

        self._gaps_task.submit(job)

    def save_csv(self, folder: Path, audit: Audit, path: Path) -> None:
        """Write a table with a row for each file."""

        def job(_cancelled: IsCancelled) -> None:
            try:
                with translate_folder_errors(path):
                    write_atomically(path, [to_csv(audit)])
                self._post(messages.ArchiveFileWritten(path, len(audit.files)))
            except Era5Error as error:
                self._post(messages.ArchiveFailed(folder, ErrorInfo.of(error)))

        self._files_task.submit(job)

    def write_manifest(self, folder: Path, *, sha256: bool = False) -> None:
        """Write the manifest of a folder."""
        progress = ProgressLimiter(lambda done, total: self._post(messages.ManifestProgressed(folder, done, total)))

        def job(cancelled: IsCancelled) -> None:
            with suppress(Stopped):
                try:
                    made, wrong = make_manifest(folder, sha256=sha256, progress=progress.update, stopped=cancelled)
                    missing = sum(file.size for file in made.files if not file.sha256)
                    path = folder.absolute() / MANIFEST_NAME
                    changed = tuple(one.entry.path for one in wrong)
                    self._post(messages.ManifestWritten(folder, path, len(made.files), missing, changed))
                except Stopped:
                    raise
                except Era5Error as error:
                    self._post(messages.ArchiveFailed(folder, ErrorInfo.of(error)))

        self._files_task.submit(job)

    def cite(self, folder: Path) -> None:
        """Make the citation for the data in a folder."""

        def job(cancelled: IsCancelled) -> None:
            with suppress(Stopped):
                try:
                    found = cite_folder(folder, cancelled)
                    self._post(messages.CitationMade(folder, to_text(found), to_bibtex(found)))
                except Stopped:
                    raise
                except Era5Error as error:
                    self._post(messages.ArchiveFailed(folder, ErrorInfo.of(error)))

        self._files_task.submit(job)

    def stop_files(self) -> None:
        """Stop writing a manifest. What was computed is kept."""
        self._files_task.cancel()

    def close(self) -> None:
        """Cancel everything. Returns at once."""
        for task in (self._audit_task, self._files_task, self._gaps_task):
            task.cancel()
