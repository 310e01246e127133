"""Planning in the background: looks up the files of a request in the bucket, and the free disk space."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from era5dl.cds import from_cds
from era5dl.days import is_open
from era5dl.errors import Era5Error, Stopped
from era5dl.folder.free_space import free_bytes
from era5dl.gui.backend import messages
from era5dl.gui.backend.background_task import BackgroundTask, IsCancelled, OnCrash, ProgressLimiter
from era5dl.gui.backend.bucket_access import BucketAccess
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.planner import estimate_plan, make_plan
from era5dl.planner.estimate import fetched_sizes
from era5dl.planner.latest import newest_days
from era5dl.selection import Selection
from era5dl.session import list_sessions
from era5dl.session.origin import address_of
from era5dl.settings import Settings
from era5dl.subset.exact_plan import exact_plan
from era5dl.subset.index_cache import shared_cache

_MOST_INDEXES = 24  # files whose indexes are read while the user fills in the form; up to 20 requests each


class PlanningService:
    """Commands return at once; results are messages."""

    def __init__(self, access: BucketAccess, post: Callable[[Message], None], on_crash: OnCrash) -> None:
        self._access, self._post = access, post
        self._last_number = 0
        self._plan_task = BackgroundTask("planning", on_crash)
        self._folder_task = BackgroundTask("folder", on_crash)
        self._last_text = 0
        self._text_task = BackgroundTask("request", on_crash)

    def plan(self, selection: Selection, settings: Settings) -> int:
        """Request a plan, which replaces earlier requests. Return its number, which the messages about it contain."""
        self._last_number += 1
        number = self._last_number

        def job(cancelled: IsCancelled) -> None:
            progress = ProgressLimiter(lambda done, total: self._post(messages.PlanProgressed(number, done, total)))
            try:
                bucket = self._access.bucket(settings)
                plan = make_plan(selection, bucket, on_progress=progress.update, cancelled=cancelled)
                estimate = None if plan.subset.is_everything else estimate_plan(plan)
                published = newest_days(plan.objects) if is_open(selection.days) else ()
                newest = max((one.last_day for one in published), default=None)
                self._post(messages.PlanReady(number, plan, estimate, newest, fetched_sizes(plan)))
            except Stopped:
                return
            except Era5Error as error:
                if not cancelled():
                    self._post(messages.PlanFailed(number, ErrorInfo.of(error)))
                return
            if estimate is not None and len(plan.objects) <= _MOST_INDEXES:
                with suppress(Era5Error):  # the estimate remains
                    exact = exact_plan(plan, bucket, shared_cache(address_of(settings)), cancelled=cancelled).estimate
                    self._post(messages.PlanEstimated(number, exact))

        self._plan_task.submit(job)
        return number

    def cancel(self) -> None:
        """Cancel the current plan request."""
        self._last_number += 1
        self._plan_task.cancel()

    def translate(self, text: str) -> int:
        """Read the CDS requests in a text. Return its number, which the message about it contains."""
        self._last_text += 1
        number = self._last_text

        def job(cancelled: IsCancelled) -> None:
            try:
                found = messages.CdsTranslated(number, from_cds(text))
            except Era5Error as error:
                found = messages.CdsTranslated(number, None, ErrorInfo.of(error))
            if not cancelled():
                self._post(found)

        self._text_task.submit(job)
        return number

    def inspect_folder(self, folder: Path) -> None:
        """Determine the free space of a folder and the sessions in it. The job may hang on a network share."""

        def job(cancelled: IsCancelled) -> None:
            try:
                found = messages.FolderInspected(folder, free_bytes(folder), tuple(list_sessions(folder)))
            except (Era5Error, OSError, ValueError) as error:
                found = messages.FolderInspected(folder, None, error=ErrorInfo.of(error))
            if not cancelled():
                self._post(found)

        self._folder_task.submit(job)

    def close(self) -> None:
        """Cancel everything. Returns at once."""
        self._plan_task.cancel()
        self._folder_task.cancel()
        self._text_task.cancel()
