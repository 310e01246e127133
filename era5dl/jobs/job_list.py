"""Job list: the queue of downloads on disk, which all windows and commands of a user share.

It is the file jobs.json in the state folder; a list of keys is in jobs.N.keys beside it. Each change reads, changes and
writes the file under a lock. Only one program at a time runs jobs: the one that holds jobs.run.lock. So no job is run
twice, and a job that is "running" without a holder of that lock was interrupted, and waits again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from era5dl.errors import Era5Error, FolderUnusable, SessionBusy, UsageError
from era5dl.folder import private_files
from era5dl.folder.atomic_write import write_atomically
from era5dl.folder.disk_errors import translate_folder_errors
from era5dl.folder.private_files import make_private_folder, restrict_files
from era5dl.jobs.job import Job, JobEnd, JobState, Request
from era5dl.locks.lock_file import Lock, current_owner
from era5dl.session.index import state_folder
from era5dl.session.resume_file import rename_damaged
from era5dl.validation import JsonObject, Malformed, parse_json, read_regular_file

MAX_JOBS = 500
MAX_ENDED = 50  # jobs that have ended and are still listed
_MAX_FILE_SIZE = 16 << 20  # bytes
_MAX_KEYS_SIZE = 256 << 20  # bytes
_FORMAT = "era5dl-jobs"
_LOCK_TIMEOUT = 5.0  # seconds to wait while another program is writing


class JobList:
    """The queue in a state folder. Methods raise Era5Errors with a remedy.

    notes: messages for the user about the file, such as that it was damaged and is kept under another name.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """folder: by default the user's state folder."""
        self.folder = folder or state_folder()
        self.notes: list[str] = []

    @property
    def path(self) -> Path:
        """The file with the list. It changes with each change of the queue."""
        return self.folder / "jobs.json"

    def jobs(self) -> list[Job]:
        """Return all jobs in their order. A damaged file is kept under another name, and the list is then empty."""
        with translate_folder_errors(self.path):
            try:
                jobs, _ = self._read()
            except Malformed:
                self._change(lambda jobs, _: jobs)
                return []
        if current_owner(self._run_lock) is None:
            return [_interrupted(job) for job in jobs]
        return jobs

    def add(self, request: Request, keys: Sequence[str] = ()) -> Job:
        """Append a job to the queue. keys: the list of keys, if the request has no selection.

        Jobs that have ended long ago are dropped. Raises UsageError if the queue is full.
        """
        added: list[Job] = []

        def append(jobs: list[Job], number: int) -> list[Job]:
            ended = [job.number for job in jobs if not job.state.is_open]
            dropped = frozenset(ended[: max(len(ended) - MAX_ENDED, 0)])
            kept = [job for job in jobs if job.number not in dropped]
            if len(kept) >= MAX_JOBS:
                raise UsageError(f"There are {MAX_JOBS} jobs already.", remedy="Remove some, or run them first.")
            added.append(Job(number=number, request=request, added=time.time()))
            if keys:
                text = "".join(f"{key}\n" for key in keys).encode("utf-8", "surrogatepass")
                if len(text) > _MAX_KEYS_SIZE:
                    raise UsageError("The list of keys is too long for a job.", remedy="Divide it into several lists.")
                write_atomically(self._keys_path(number), [text], private_files.FILE_MODE)
            return [*kept, *added]

        self._change(append)
        return added[0]

    def keys_of(self, job: Job) -> list[str]:
        """Return the list of keys of a job. Raises FolderUnusable if it cannot be read."""
        path = self._keys_path(job.number)
        with translate_folder_errors(path):
            try:
                keys = read_regular_file(path, _MAX_KEYS_SIZE).decode("utf-8", "surrogatepass").split("\n")[:-1]
                if len(keys) != job.request.key_count:
                    raise Malformed("it is incomplete")
            except (ValueError, FileNotFoundError) as error:
                reason = "it is missing" if isinstance(error, FileNotFoundError) else str(error)
                raise FolderUnusable(
                    f"the list of keys of job {job.number}, {path}, cannot be used: {reason}",
                    remedy="Remove the job, and add it again.",
                ) from error
        return keys

    def remove(self, number: int) -> Job:
        """Remove a job from the queue; downloaded files stay. Raises UsageError if it is running, or does not exist."""
        job = self._replace(number, _not_running, lambda _: None)
        with contextlib.suppress(OSError):
            self._keys_path(number).unlink(missing_ok=True)
        return job

    def move(self, number: int, where: str | int) -> int:
        """Move a job "up", "down", or to a place in the queue, from 1; return its new place.

        Raises UsageError for another place, or if there is no such job.
        """
        places: list[int] = []

        def reorder(jobs: list[Job], _: int) -> list[Job]:
            job = _find(jobs, number)
            place = jobs.index(job)
            wanted = {"up": place - 1, "down": place + 1}.get(str(where).lower())
            if wanted is None:
                if not str(where).isascii() or not str(where).isdigit() or not int(where):
                    raise UsageError(f"{str(where)[:40]!a} is not a place.", remedy="Use up, down, or a number from 1.")
                wanted = int(where) - 1
            others = [other for other in jobs if other is not job]
            wanted = min(max(wanted, 0), len(others))
            places.append(wanted + 1)
            return [*others[:wanted], job, *others[wanted:]]

        self._change(reorder)
        return places[0]

    def pause(self, number: int) -> Job:
        """Let a waiting job stay in the queue without being run. Raises UsageError."""
        return self._replace(number, _not_running, lambda job: _in_state(job, JobState.PAUSED))

    def resume(self, number: int) -> Job:
        """Let a paused job, or one that has ended, wait again. Raises UsageError."""
        return self._replace(number, _not_running, lambda job: _in_state(job, JobState.WAITING))

    def runner(self) -> JobRunner:
        """Return the right to run jobs, which one program at a time can have. Raises SessionBusy."""
        self._make_folder()
        try:
            lock = Lock.acquire(self._run_lock)
        except SessionBusy as error:
            owner = current_owner(self._run_lock)
            raise SessionBusy(
                f"{owner or 'another program'} is running the jobs",
                remedy="It also runs jobs that are added now. Let it finish, or stop it first.",
            ) from error
        restrict_files([lock.path])
        lock.start_heartbeat()
        return JobRunner(self, lock)

    @property
    def runner_name(self) -> str:
        """The program that is running jobs; "" if none is."""
        owner = current_owner(self._run_lock)
        return str(owner) if owner is not None else ""

    # --- inside

    @property
    def _run_lock(self) -> Path:
        return self.folder / "jobs.run.lock"

    def _keys_path(self, number: int) -> Path:
        return self.folder / f"jobs.{number}.keys"

    def _make_folder(self) -> None:
        with translate_folder_errors(self.folder):
            make_private_folder(self.folder)

    def _replace(self, number: int, check: Callable[[Job], None], change: Callable[[Job], Job | None]) -> Job:
        """Replace a job by a changed one, or remove it; return it, changed or as it was."""
        found: list[Job] = []

        def replace(jobs: list[Job], _: int) -> list[Job]:
            job = _find(jobs, number)
            check(job)
            changed = change(job)
            found.append(changed or job)
            return [changed if other is job else other for other in jobs if other is not job or changed]  # type: ignore[misc]

        self._change(replace)
        return found[0]

    def _change(self, change: Callable[[list[Job], int], list[Job]]) -> None:
        """Read, change and write the list under a lock. change: gets the jobs and the number of the next new one."""
        self._make_folder()
        with translate_folder_errors(self.path), self._locked():
            try:
                jobs, number = self._read()
            except Malformed as error:
                kept = rename_damaged(self.path)
                self.notes.append(
                    f"The list of jobs was damaged ({error}); it is kept as {kept}, and a new one is started."
                )
                jobs, number = [], 1
            if current_owner(self._run_lock) is None:
                jobs = [_interrupted(job) for job in jobs]
            changed = change(jobs, number)
            number = max([number, *(job.number + 1 for job in changed)])
            body = {"format": _FORMAT, "version": 1, "next": number, "jobs": [job.to_json() for job in changed]}
            data = json.dumps(body, indent=1).encode("ascii")
            if len(data) > _MAX_FILE_SIZE:
                raise UsageError("The list of jobs is too long.", remedy="Remove some, or run them first.")
            write_atomically(self.path, [data], private_files.FILE_MODE)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                lock = Lock.acquire(self.folder / "jobs.lock")
                break
            except SessionBusy:
                if time.monotonic() > deadline:
                    raise SessionBusy(
                        "another program is changing the list of jobs", remedy="Try again in a moment."
                    ) from None
                time.sleep(0.02)
        try:
            restrict_files([lock.path])
            yield
        finally:
            lock.release()

    def _read(self) -> tuple[list[Job], int]:
        """Return the jobs, and the number of the next new one. Raises Malformed, OSError."""
        try:
            data = read_regular_file(self.path, _MAX_FILE_SIZE)
        except FileNotFoundError:
            return [], 1
        top = JsonObject(parse_json(data))
        if top.text("format") != _FORMAT or top.integer("version") != 1:
            raise Malformed("it is not a list of jobs that this version knows")
        jobs = [Job.from_json(item) for item in top.array("jobs", MAX_JOBS)]
        if len({job.number for job in jobs}) != len(jobs):
            raise Malformed("two jobs have the same number")
        return jobs, top.integer("next", 1)


class JobRunner:
    """The right of this program to run jobs, as a context manager.

    A job that `next_job` has returned and that was not finished waits again when the runner is closed.
    """

    def __init__(self, jobs: JobList, lock: Lock) -> None:
        """Use `JobList.runner`."""
        self._jobs, self._lock = jobs, lock
        self._current: Job | None = None

    def next_job(self) -> Job | None:
        """Mark the first waiting job as running, and return it; None if no job waits."""
        self._lock.renew()
        chosen: list[Job] = []

        def start(jobs: list[Job], _: int) -> list[Job]:
            jobs = [_interrupted(job) for job in jobs]  # this program runs none at the moment
            waiting = next((job for job in jobs if job.state is JobState.WAITING), None)
            if waiting is None:
                return jobs
            running = dataclasses.replace(_in_state(waiting, JobState.RUNNING), started=time.time(), ended=0.0)
            chosen.append(running)
            return [running if job is waiting else job for job in jobs]

        self._jobs._change(start)
        self._current = chosen[0] if chosen else None
        return self._current

    def finish(self, end: JobEnd) -> None:
        """Record how the running job has ended. WAITING: it was interrupted, and is run again later."""
        job, self._current = self._current, None
        if job is None:
            return
        ended = dataclasses.replace(
            job,
            state=end.state,
            reason=end.reason,
            remedy=end.remedy,
            kind=end.kind,
            failed=end.failed,
            missing=end.missing,
            unfinished=end.unfinished,
            session=end.session or job.session,
            ended=time.time(),
        )
        with contextlib.suppress(UsageError):  # somebody has deleted the file
            self._jobs._replace(job.number, lambda _: None, lambda _: ended)

    def close(self) -> None:
        """Give up the right to run jobs. Can be called again."""
        try:
            self.finish(JobEnd(JobState.WAITING))
        except Era5Error:
            pass  # without the lock, the job counts as waiting
        finally:
            self._lock.release()

    def __enter__(self) -> JobRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _find(jobs: Sequence[Job], number: int) -> Job:
    job = next((job for job in jobs if job.number == number), None)
    if job is None:
        raise UsageError(f"There is no job {number}.", remedy="`era5dl queue list` lists the jobs and their numbers.")
    return job


def _not_running(job: Job) -> None:
    if job.state is JobState.RUNNING:
        raise UsageError(f"Job {job.number} is running.", remedy="Stop it in the program that runs it.")


def _in_state(job: Job, state: JobState) -> Job:
    """Return the job in another state, without the reason for the present one."""
    return dataclasses.replace(job, state=state, reason="", remedy="", kind="", failed=0, missing=0, unfinished=0)


def _interrupted(job: Job) -> Job:
    """Return the job as waiting, if it is marked as running although no program runs it."""
    return dataclasses.replace(job, state=JobState.WAITING) if job.state is JobState.RUNNING else job
