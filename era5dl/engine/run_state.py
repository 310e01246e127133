"""State of one engine run, under one lock.

The worker threads, the maintenance thread, the prober and the commands of `Engine` share it. These modules change it:
`dispatch` assigns jobs and records their results, `failures` handles failed attempts, `withdrawal` withdraws objects
from the workers, `shared_folder` defers objects that other sessions fetch, `maintenance` saves the progress and ends
the run.

Use `with run.lock:` to read the state, or for a change that causes no event. `with run.locked():` also delivers queued
events after the lock is released, so that a listener may call the engine. Methods whose names end in `_locked` expect
the lock to be held; the others acquire it themselves.
"""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import nlargest

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.catalog import parse_key
from era5dl.engine.checkpoint import SessionState, entry_bytes
from era5dl.engine.concurrency import START, AutoConcurrency
from era5dl.engine.events import ONLY_HELD, EventQueue, Listener, LockThenDeliver, State, StateChanged
from era5dl.engine.job_queue import Job
from era5dl.engine.outage import Outage
from era5dl.engine.prepare import PartSizes
from era5dl.engine.progress import OUTCOMES, Counters, FileState
from era5dl.engine.rate_limit import RateLimiter, RecentPeak, Throttle
from era5dl.engine.retry import AccessDenials, RetryRounds
from era5dl.engine.scheduler import Scheduler
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import EtagTrust
from era5dl.errors import BadSelection, ClaimedElsewhere, DiskError, Era5Error, OutOfThreads
from era5dl.folder.folder_identity import FolderIdentity
from era5dl.folder.paths import OWN_FOLDER
from era5dl.formatting import format_count
from era5dl.proof.etag import etag_md5
from era5dl.session import Session
from era5dl.session.checkpoint import Checkpoint
from era5dl.session.finished_files import FinishedFile
from era5dl.session.part_digests import PartDigests
from era5dl.settings import AUTO, MAX_AUTO_WORKERS, Settings
from era5dl.subset.estimate import Estimate, Estimator

ROUND_TRIP_GROWTH = 1.05  # per second, at most


@dataclass(slots=True)
class ServerHealth:
    """Observations about the server and the network in this run."""

    has_answered: bool = False
    ranges_ignored: bool = False  # it has answered a range request with the whole object
    unexpected_answers: int = 0  # consecutive ones
    closed_connections: int = 0  # consecutive new connections that were closed before an answer
    round_trip: float = 0.0  # seconds from a request to its response, the recent minimum; 0 while unknown
    round_trip_at: float = 0.0  # when it was recorded, monotonic seconds
    last_byte_at: float = 0.0  # when the last byte was received, monotonic seconds
    peak_requests: RecentPeak = field(default_factory=RecentPeak)  # requests that were served at the same time
    denials: AccessDenials = field(default_factory=AccessDenials)  # 403 responses

    def record_round_trip(self, seconds: float, now: float) -> None:
        """Record the time between a request and its response. A longer time raises the value only slowly, because it
        may include a handshake, a queue or a slow server."""
        longest = self.round_trip * ROUND_TRIP_GROWTH ** (now - self.round_trip_at) if self.round_trip else seconds
        self.round_trip, self.round_trip_at = min(seconds, longest), now


class RunState:
    """One run of one session. only: fetch nothing but these objects (indices in the plan)."""

    def __init__(
        self, bucket: Bucket, session: Session, settings: Settings, on_event: Listener, only: Collection[int] | None
    ) -> None:
        self.bucket, self.session, self.settings = bucket, session, settings

        self.lock = threading.RLock()
        self.work_available = threading.Condition(self.lock)  # workers wait for it
        self.run_over = threading.Condition(self.lock)  # the maintenance thread waits for it
        self.idle_workers = 0  # workers that wait
        self.events = EventQueue(on_event)
        self._locked = LockThenDeliver(self.lock, self.events)

        # Work
        self.session_state = SessionState(session.checkpoint)
        self.etag_trust = EtagTrust(opaque=settings.opaque_etags, verified=self._verified_objects())
        self.recheck = self.doubtful_objects()  # finished by earlier runs, to be verified again
        for index in self.recheck:
            self.session_state.mark_unfinished(index)
        self._estimator = Estimator(session.plan.subset)
        self._written = array("q")  # of each object; empty if whole files are wanted
        sizes = self._expected_sizes()
        self.counters = self._count(sizes)
        self.concurrency = AutoConcurrency(MAX_AUTO_WORKERS) if settings.workers == AUTO else None
        self.workers = START if settings.workers == AUTO else settings.workers  # desired number of requests
        self.scheduler = Scheduler(self._todo(only), sizes, max_transfers=max(32, 4 * self.workers))
        self.aborts: dict[Job, Abort] = {}  # by the jobs that workers are doing
        self.held: set[int] = set()  # objects that the user holds
        self.changed: set[int] = set()  # finished objects whose files have changed on disk since; to be verified again
        self.retry_rounds = RetryRounds(enabled=settings.retries > 0)
        self.space_checked = False  # the remaining bytes fit on the disk
        self.audited = False  # the files finished by earlier runs have been checked

        # Limits, and observations about the server
        self.rate_limit = RateLimiter(settings.rate_limit)
        self.throttle = Throttle(self.workers)
        self.outage = Outage(bucket, self._on_probe)
        self.server = ServerHealth()
        self.part_sizes = PartSizes(bucket)

        # Files
        self.part_digests = PartDigests(session.digests_path)
        self._folder_identity = FolderIdentity(
            session.folder, session.folder / OWN_FOLDER, lambda: session.exists_on_disk
        )
        self._save_lock = threading.Lock()  # one thread at a time writes the resume file

        # Status
        self.state = State.READY
        self.reason = ""
        self._reported: tuple[State, str, tuple[str, ...]] = (State.READY, "", ())  # by the last StateChanged
        self.paused_by_user = False
        self.stopping = False
        self.error = ""  # the error that ended the run early
        self.remedy = self.kind = ""  # of that error

    def locked(self) -> LockThenDeliver:
        """Return a context that holds the lock and then delivers the queued events."""
        return self._locked

    # Questions

    def object(self, index: int) -> ObjectInfo:
        """Return the version of this object that is to be downloaded."""
        return self.session_state.replaced.get(index) or self.session.plan.objects[index]

    def estimate(self, index: int, obj: ObjectInfo) -> Estimate:
        """Return how many bytes of this version of an object are fetched and written: estimated, if not the whole."""
        key = None if self.session.paths.subset(index).is_everything else parse_key(obj.key)
        with suppress(BadSelection):  # nothing is selected; the engine will report it
            if key is not None:
                return self._estimator.estimate(key, obj.size)
        return Estimate(obj.size, obj.size, obj.size)

    def written_bytes(self, index: int) -> int:
        """Return about how many bytes are written beside the part file; 0 if it becomes the final file itself."""
        return 0 if not self._written or index in self.session.paths.fetched_whole else self._written[index]

    def needed_bytes(self) -> int:
        """Return how much disk space the remaining objects need, at most.

        Of a subset, both the fetched bytes and the written file exist for a while. Of objects that are not in progress,
        the fetched bytes do not exist yet or any more.
        """
        with self.lock:
            remaining = self.counters.total_bytes - self.counters.done_bytes
            if not self._written:
                return remaining
            indices = [*self.scheduler.queue, *self.scheduler.transfers]
            largest = nlargest(self.scheduler.max_transfers, (self.scheduler.sizes[index] for index in indices))
        written = [self._written[index] for index in indices]
        return min(remaining + max(written, default=0), sum(written) + sum(largest))

    @property
    def is_over(self) -> bool:
        """Whether the run is ending: workers get no more jobs."""
        remaining = not self.audited or not self.scheduler.finished or self.held or self.retry_rounds.pending
        return self.stopping or bool(self.error) or not remaining

    @property
    def only_held(self) -> bool:
        """Whether the user holds all remaining objects. Then nothing is downloaded, and the run does not end."""
        return bool(self.held) and self.audited and self.scheduler.finished and not self.retry_rounds.pending

    def doubtful_objects(self) -> set[int]:
        """Return the objects that were finished as checked although their ETags must be MD5s. They have to be verified.

        This happens if verification was off, or if the user had declared the ETags opaque.
        """
        if not self.settings.verify:
            return set()
        checked = (index for span in self.session_state.checked for index in range(*span))
        return {i for i in checked if etag_md5(etag := self.object(i).etag) and self.etag_trust.is_binding(etag)}

    def can_verify(self, index: int) -> bool:
        """Whether the bytes of a finished file can be compared with an MD5: that of the object, or of the written
        subset."""
        if not self.settings.verify or index in self.session_state.checked:
            return False
        if self.session.paths.subset(index).is_everything:
            return True
        verified = index in self.session_state.verified
        return bool(self.session.subset_md5s(self.part_digests, index, self.object(index), verified=verified))

    def finished_file(self, index: int, status: os.stat_result) -> FinishedFile:
        """Return what later runs compare a finished file with. status: of the file with the right bytes."""
        name, fetched = self.session.paths.relative(index), self.scheduler.sizes[index]
        return FinishedFile(name, self.object(index).etag, status.st_size, status.st_mtime_ns, fetched)

    def file_size(self, index: int) -> int:
        """Return the size of the final file of an object; of a subset that is not written, an estimate."""
        whole = not self._written or index in self.session.paths.fetched_whole
        return self.object(index).size if whole else self._written[index]

    def check_folder(self) -> None:
        """Raise FolderVanished if the folder is missing or another one; DiskAway if its disk is or was missing."""
        self._folder_identity.check()

    # Changes that several modules make

    def resize_locked(self, transfer: Transfer, size: int) -> None:
        """Record how many bytes of an object that is not prepared are to be fetched."""
        self.counters.resized(self.scheduler.sizes[transfer.index], size)
        self.scheduler.resize(transfer, size)

    def written_locked(self, index: int, size: int) -> None:
        """Record the size of a final file."""
        if self._written:
            self._written[index] = size

    def notify_locked(self) -> None:
        """Wake the idle workers after a change, and at the end of the run the maintenance thread."""
        if self.held and self.state is State.RUNNING and self.only_held:
            self.update_state_locked()
        if self.idle_workers:  # usually there are none
            self.work_available.notify_all()
        if self.is_over:
            self.run_over.notify_all()

    def update_state_locked(self) -> None:
        """Derive the state from everything else, and report it if it has changed."""
        if self.state is State.ENDED:
            return
        state, self.reason, kind, sessions = self._current_state()
        report = (state, kind or self.reason, sessions)  # a change of a number in the reason is not reported
        if report != self._reported:
            self._reported, self.state = report, state
            self.counters.pause(time.monotonic())
            self.events.put(StateChanged(state, self.reason, kind))
        self.notify_locked()

    def _current_state(self) -> tuple[State, str, str, tuple[str, ...]]:
        """Return the state, its reason, the kind of the error that caused it, and the sessions to wait for."""
        if self.stopping:
            return State.STOPPING, "", "", ()
        if self.paused_by_user:
            return State.PAUSED, "", "", ()
        if self.outage.state is not None:
            return self.outage.state, self.outage.reason, self.outage.kind, ()
        if self.retry_rounds.due is not None and self.scheduler.finished:
            return State.WAITING_TO_RETRY, self.retry_rounds.description, "", ()
        if self.only_held:
            return State.PAUSED, ONLY_HELD, "", ()
        if sessions := self.scheduler.waits_for_sessions():
            reason = claimed_reason(len(self.scheduler.transfers), sessions)
            return State.WAITING_FOR_SESSION, reason, ClaimedElsewhere.__name__, sessions
        return State.RUNNING, "", "", ()

    def count_bytes_locked(self, transfer: Transfer) -> None:
        """Update the counters with the number of written bytes of this object."""
        done = transfer.done.total()
        self.counters.done_bytes += done - transfer.counted_bytes
        transfer.counted_bytes = done

    def requeue_finished_locked(self, index: int) -> None:
        """Queue a finished object again, because its file is missing or its verification is no longer valid."""
        self.session_state.mark_unfinished(index)
        self.counters.set_state(index, FileState.WAITING)
        self.counters.done_bytes -= self.scheduler.sizes[index]
        self.counters.disk_bytes -= self.file_size(index)
        self.scheduler.add([index])
        self.notify_locked()

    def abort_all_locked(self, why: str) -> None:
        """Abort all requests. The bytes received so far are kept, and no attempt counts as failed."""
        for abort in self.aborts.values():
            abort.trigger(why)

    def abort_superseded_locked(self) -> None:
        """Abort the requests whose remaining bytes other workers have taken over."""
        while self.scheduler.superseded:
            piece = self.scheduler.superseded.pop()
            if piece in self.aborts:
                self.aborts[piece].trigger("another connection fetches the rest")

    def end_with_error_locked(self, error: Era5Error) -> None:
        """End the run early with this error. If there was one before, that is kept."""
        if not self.error:
            self.error, self.remedy, self.kind = str(error) or "unknown error", error.remedy, error.kind
        self.abort_all_locked("the run ends")
        self.notify_locked()

    def network_outage_locked(self, error: Era5Error, key: str) -> None:
        """Start a network outage: no requests are made until the bucket answers a prober's request for `key`."""
        if not self.is_over:
            try:
                self.outage.network_failed(error, key)
            except OutOfThreads as no_thread:
                self.end_with_error_locked(no_thread)
            self.update_state_locked()

    def disk_outage_locked(self, error: Era5Error) -> None:
        """Start a disk outage: abort all requests, and make none until files can be written again."""
        self.outage.disk_failed(error)
        self.abort_all_locked("the disk")
        self.update_state_locked()

    def _on_probe(self, error: Era5Error | None, failures: int) -> None:
        """Handle the result of a probe; called by the prober.

        error: of the last request; None if the bucket has answered. failures: number of failed requests before the
        answer. If there was none, the network was not at fault, and failed attempts still count.
        """
        with self.locked():
            if error is not None:
                self.outage.update_reason(error)
            else:
                self.outage.network_recovered()
                if failures:
                    self.scheduler.reset_failures()
            self.update_state_locked()

    # The resume file

    def save_checkpoint(self) -> Checkpoint:
        """Write the resume file and return its content. Call it without the lock, because it does file I/O.

        Raises the errors of `Session.save`.
        """
        with self._save_lock:
            with self.lock:
                new_files, self.session_state.new_files = self.session_state.new_files, []
                checkpoint = self.session_state.to_checkpoint(
                    self.scheduler.transfers.values(),
                    done_bytes=self.counters.done_bytes,
                    total_bytes=0 if self.session.plan.subset.is_everything else self.counters.total_bytes,
                    ended=not self.error and not self.stopping and self.is_over,
                )
            try:
                self.session.record_finished(new_files)  # before the resume file says that they are finished
            except DiskError:  # the next checkpoint tries again; without the record, only their sizes are compared
                with self.lock:
                    self.session_state.new_files[:0] = new_files
            self.session.save(checkpoint)
        return checkpoint

    # Initial values

    def _expected_sizes(self) -> list[int]:
        """Return how many bytes of each object are to be fetched, and set `_written`."""
        objects = [self.object(index) for index in range(len(self.session.plan.objects))]
        if self.session.plan.subset.is_everything:
            return [obj.size for obj in objects]
        recorded = self.session.finished_files()
        self._written, sizes = array("q"), []
        for index, obj in enumerate(objects):
            estimate = self.estimate(index, obj)
            known = index in recorded
            self._written.append(recorded.size(index) if known else estimate.written)
            on_disk = entry_bytes(self.session_state.entries.get(index))
            sizes.append(recorded.fetched(index) if known else max(estimate.fetched, on_disk))
        return sizes

    def _verified_objects(self) -> Iterator[ObjectInfo]:
        return (self.object(index) for span in self.session_state.verified for index in range(*span))

    def _count(self, sizes: list[int]) -> Counters:
        counters = Counters(sizes, time.monotonic())
        saved = self.session_state
        sets = (saved.verified, saved.checked, saved.checked_part)
        for state, finished in zip(OUTCOMES.values(), sets, strict=True):
            for start, stop in finished:
                for index in range(start, stop):
                    counters.set_state(index, state)
                    counters.done_bytes += sizes[index]
                    counters.disk_bytes += self.file_size(index)
        counters.done_bytes += sum(map(entry_bytes, saved.entries.values()))
        return counters

    def _todo(self, only: Collection[int] | None) -> list[int]:
        """Return the objects to download: those with bytes on disk first, then in the order of the plan."""
        gaps = self.session_state.finished().missing(0, len(self.session.plan.objects))
        todo = [index for start, stop in gaps for index in range(start, stop)]
        if only is not None:
            todo = [index for index in todo if index in only]
        return sorted(todo, key=lambda index: index not in self.session_state.entries)


def claimed_reason(files: int, sessions: tuple[str, ...]) -> str:
    """Return, for example, "3 files are being fetched by another session: era5dl (process 123 on host x, ...)"."""
    who = "another session" if len(sessions) == 1 else "other sessions"
    return (
        f"{format_count(files, 'file')} {'is' if files == 1 else 'are'} being fetched by {who}: {', '.join(sessions)}"
    )
