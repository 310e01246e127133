"""Sessions in the background: lists the sessions known on this computer, verifies their files, removes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from era5dl.engine.verify_files import FileReport, verify
from era5dl.errors import Era5Error, OtherEndpoint, OutOfThreads, SessionNotFound, Stopped
from era5dl.gui.backend import messages
from era5dl.gui.backend.background_task import BackgroundTask, IsCancelled, OnCrash, ProgressLimiter, start_thread
from era5dl.gui.backend.bucket_access import BucketAccess
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.jobs.update import archives_of, compare
from era5dl.planner import make_plan
from era5dl.planner.latest import newest_days
from era5dl.session import Session, known_sessions
from era5dl.session.index import forget
from era5dl.settings import Settings

VERIFYING = "verifying"  # `messages.TaskCrashed.task` of a verification


class SessionService:
    """Commands return at once; results are messages."""

    def __init__(self, access: BucketAccess, post: Callable[[Message], None], on_crash: OnCrash) -> None:
        self._access, self._post, self._on_crash = access, post, on_crash
        self._list_task = BackgroundTask("sessions", on_crash)
        self._verify_task = BackgroundTask(VERIFYING, on_crash)
        self._update_task = BackgroundTask("update", on_crash)

    @property
    def verifying(self) -> bool:
        """Whether a verification is in progress."""
        return self._verify_task.busy

    def request_list(self) -> None:
        """Look up all known sessions."""

        def job(cancelled: IsCancelled) -> None:
            found = tuple(known_sessions())
            if not cancelled():
                self._post(messages.SessionsListed(found))

        self._list_task.submit(job)

    def forget(self, folder: Path, session_id: str) -> None:
        """Remove a session from the list, and the files that only it needs, but no file that has its final name."""

        def work() -> None:
            failure: ErrorInfo | None = None
            try:
                if (folder / ".era5dl").is_dir():
                    with Session.open(folder, session_id) as session:
                        session.forget()
            except Era5Error as error:
                failure = ErrorInfo.of(error)
            forget(session_id, folder)
            self._post(messages.SessionForgotten(session_id, failure))

        try:
            start_thread("forget", work, self._on_crash)
        except OutOfThreads as error:
            self._post(messages.SessionForgotten(session_id, ErrorInfo.of(error)))

    def verify(self, folder: Path, session_id: str, settings: Settings) -> None:
        """Verify the files of a session on disk."""

        def job(cancelled: IsCancelled) -> None:
            try:
                with Session.open(folder, session_id) as session:
                    examined = self._verify(session, settings, cancelled)
                self._post(messages.VerifyFinished(session_id, folder, examined))
            except OtherEndpoint as error:
                self._post(messages.ConsentRequired(session_id, folder, error.address, verifying=True))
                self._post(messages.VerifyFailed(session_id, ErrorInfo.of(error)))
            except Era5Error as error:
                self._post(messages.VerifyFailed(session_id, ErrorInfo.of(error)))

        self._verify_task.submit(job)

    def look_for_update(self, folder: Path, session_id: str, settings: Settings) -> None:
        """Find out what has appeared in the bucket since, and what was replaced, for a session until "latest"."""

        def job(cancelled: IsCancelled) -> None:
            try:
                archives, errors = archives_of(folder)
                archive = next((one for one in archives if one.info.id == session_id), None)
                if archive is None:
                    raise errors[0] if errors else SessionNotFound
                adapted = self._access.checked_settings(archive.info, settings)
                plan = make_plan(archive.selection, self._access.bucket(adapted), cancelled=cancelled)
                update = compare(archive, plan)
                keep, take = (
                    update.plan_to_fetch(take_replaced=new) if update.to_fetch(take_replaced=new) else None
                    for new in (False, True)
                )
                newest = max((one.last_day for one in newest_days(plan.objects)), default=None)
                replaced = len(update.replaced)
                self._post(messages.UpdateFound(session_id, folder, replaced, keep, take, newest, adapted))
            except Stopped:
                return
            except OtherEndpoint as error:
                self._post(messages.ConsentRequired(session_id, folder, error.address, updating=True))
            except Era5Error as error:
                self._post(messages.UpdateFailed(session_id, ErrorInfo.of(error)))

        self._update_task.submit(job)

    def stop_verifying(self) -> None:
        self._verify_task.cancel()

    def close(self) -> None:
        """Cancel everything. Returns at once."""
        self._list_task.cancel()
        self._verify_task.cancel()
        self._update_task.cancel()

    def _verify(self, session: Session, settings: Settings, cancelled: IsCancelled) -> tuple[FileReport, ...]:
        total = len(session.plan.objects)
        done = iter(range(1, total + 1))
        progress = ProgressLimiter(lambda so_far, of: self._post(messages.VerifyProgressed(session.id, so_far, of)))
        bucket = self._access.bucket(self._access.checked_settings(session.info, settings))
        examined = verify(
            bucket,
            session,
            lambda _file: progress.update(next(done), total),
            cancelled,
            opaque_etags=settings.opaque_etags,
        )
        return tuple(examined)
