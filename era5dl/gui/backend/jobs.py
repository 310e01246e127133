"""Jobs in the background: changes the queue of downloads on disk, and runs its jobs one after the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from era5dl.errors import Era5Error, OutOfThreads, SessionBusy, Stopped
from era5dl.folder.free_space import check_creatable
from era5dl.gui.backend import messages
from era5dl.gui.backend.background_task import OnCrash, start_thread
from era5dl.gui.backend.bucket_access import BucketAccess
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.gui.backend.runs import RunService
from era5dl.jobs import Job, JobEnd, JobList, JobRunner, JobState, Request
from era5dl.jobs.wait_for_network import retry_while_unreachable
from era5dl.planner import Plan, make_plan, plan_keys
from era5dl.settings import Settings

_log = logging.getLogger("era5dl")


class JobService:
    """Commands return at once; results are messages. Changes of the list are made in the order of the commands."""

    def __init__(
        self, access: BucketAccess, runs: RunService, post: Callable[[Message], None], on_crash: OnCrash
    ) -> None:
        self._access, self._runs, self._post, self._on_crash = access, runs, post, on_crash
        self._lock = threading.Lock()
        self._changes: list[Callable[[JobList], object]] = []
        self._is_changing = False
        self._folder: Path | None = None
        self._running = False
        self._stopped = threading.Event()

    def use_folder(self, folder: Path) -> None:
        """Keep the list in this folder instead of the user's state folder. For the demo."""
        self._folder = folder

    @property
    def running(self) -> bool:
        """Whether this window is running jobs: from `run` until none waits, or `stop`."""
        return self._running

    # --- the list

    def request_list(self) -> None:
        """Read the list."""
        self._submit(lambda _jobs: None)

    def add(self, request: Request) -> None:
        """Append a download to the queue."""
        self._submit(lambda jobs: jobs.add(request))

    def remove(self, number: int) -> None:
        self._submit(lambda jobs: jobs.remove(number))

    def move(self, number: int, where: str) -> None:
        """Move a job "up" or "down"."""
        self._submit(lambda jobs: jobs.move(number, where))

    def pause(self, number: int) -> None:
        """Let a job stay in the queue without being run."""
        self._submit(lambda jobs: jobs.pause(number))

    def resume(self, number: int) -> None:
        """Let a paused or ended job wait again."""
        self._submit(lambda jobs: jobs.resume(number))

    def _submit(self, change: Callable[[JobList], object]) -> None:
        with self._lock:
            self._changes.append(change)
            if self._is_changing:
                return
            self._is_changing = True
        try:
            start_thread("jobs", self._make_changes, self._on_crash)
        except OutOfThreads as error:
            self._is_changing = False
            self._post(messages.JobsFailed(ErrorInfo.of(error)))

    def _make_changes(self) -> None:
        """Make all changes that were submitted, then post the list."""
        jobs = JobList(self._folder)
        while True:
            with self._lock:
                changes, self._changes = self._changes, []
            for change in changes:
                try:
                    change(jobs)
                except Era5Error as error:  # noqa: PERF203
                    self._post(messages.JobsFailed(ErrorInfo.of(error)))
            self._post_list(jobs)
            with self._lock:
                if not self._changes:
                    self._is_changing = False
                    return

    def _post_list(self, jobs: JobList) -> None:
        try:
            found, runner = tuple(jobs.jobs()), jobs.runner_name
        except Era5Error as error:
            self._post(messages.JobsFailed(ErrorInfo.of(error)))
            return
        notes, jobs.notes = tuple(jobs.notes), []
        self._post(messages.JobsListed(found, notes, "" if self._running else runner))

    # --- running

    def run(self, settings: Settings) -> None:
        """Run the waiting jobs one after the other, unless a run is in progress, or another program runs them.

        settings: for what a job has no setting of its own, such as the speed.
        """
        with self._lock:
            if self._running or self._runs.busy:
                return
            self._running = True
            self._stopped.clear()
        try:
            start_thread("job-runner", lambda: self._run_jobs(settings), self._on_crash)
        except OutOfThreads as error:
            self._running = False
            self._post(messages.JobsFailed(ErrorInfo.of(error)))

    def stop(self) -> None:
        """Run no more jobs. The run in progress is stopped by `RunService.stop`; its job waits again."""
        self._stopped.set()

    def _run_jobs(self, settings: Settings) -> None:
        jobs = JobList(self._folder)
        try:
            with jobs.runner() as runner:
                while not self._stopped.is_set() and self._run_next(jobs, runner, settings):
                    pass
        except SessionBusy:
            pass  # another program runs them; the list says which one
        except Stopped:
            pass
        except Era5Error as error:
            self._post(messages.JobsFailed(ErrorInfo.of(error)))
        finally:
            self._running = False
            self._post(messages.JobsEnded())
            self._post_list(jobs)

    def _run_next(self, jobs: JobList, runner: JobRunner, settings: Settings) -> bool:
        """Run the first waiting job. Return False if there is none, or the user has stopped it. Raises Era5Error."""
        job = runner.next_job()
        if job is None:
            return False
        self._post_list(jobs)
        self._post(messages.JobStarted(job))
        try:
            own = job.request.apply_settings(settings)
            check_creatable(job.request.folder)
            plan = retry_while_unreachable(
                lambda: self._plan(jobs, job, own),
                self._stopped.wait,
                lambda error: self._post(messages.JobWaits(ErrorInfo.of(error))),
            )
            end = self._download(job, plan, own)
        except Stopped:
            raise
        except Era5Error as error:
            _log.warning("job %d failed: %s", job.number, error)
            end = JobEnd.of_error(error)
        runner.finish(end)
        self._post_list(jobs)
        return end.state is not JobState.WAITING

    def _plan(self, jobs: JobList, job: Job, settings: Settings) -> Plan:
        bucket, stopped = self._access.bucket(settings), self._stopped.is_set
        if job.request.selection is not None:
            return make_plan(job.request.selection, bucket, cancelled=stopped)
        return plan_keys(jobs.keys_of(job), bucket, subset=job.request.subset, cancelled=stopped)

    def _download(self, job: Job, plan: Plan, settings: Settings) -> JobEnd:
        """Download a plan and wait for the end of the run."""
        ended = threading.Event()
        outcomes: list[Message | None] = []

        def on_end(outcome: Message | None) -> None:
            outcomes.append(outcome)
            ended.set()

        if self._stopped.is_set() or not self._runs.start(plan, job.request.folder, settings, on_end=on_end):
            return JobEnd(JobState.WAITING)  # the window closes, or the user has started something else
        ended.wait()
        match outcomes[0]:
            case messages.RunFinished() as finished:
                if finished.result.stopped and finished.result.unfinished and not finished.result.error:
                    return JobEnd(JobState.WAITING, session=finished.session_id)
                return JobEnd.of_run(finished.result, finished.missing, finished.session_id)
            case messages.SessionNotOpened(error) if error.kind != Stopped.__name__:
                return JobEnd(JobState.FAILED, error.detail, error.remedy, kind=error.kind)
        return JobEnd(JobState.WAITING)
