"""The kinds of jobs, and the queue of waiting jobs: ready jobs in FIFO order, delayed ones by due time.

Pure logic: callers hold the run's lock and pass in the time (monotonic seconds).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from era5dl.engine.transfer import Piece, Transfer


@dataclass(frozen=True, slots=True, eq=False)
class PrepareJob:
    """Find the existing bytes of this object on disk and choose how to verify it."""

    transfer: Transfer


@dataclass(frozen=True, slots=True, eq=False)
class VerifyJob:
    """Verify a complete part file and give it its final name, or write the file of a subset from it."""

    transfer: Transfer


Job = PrepareJob | VerifyJob | Piece


class JobQueue:
    """Queue of waiting jobs. Unlike `queue.Queue` it can list and remove the jobs of single objects."""

    def __init__(self) -> None:
        self.ready: deque[Job] = deque()
        self._delayed: list[tuple[float, int, Job]] = []  # heap of (due, number, job)
        self._count = 0

    def put(self, job: Job, due: float = 0.0) -> None:
        """Add a job. due: when it becomes ready; 0.0 for now."""
        if not due:
            self.ready.append(job)
        else:
            self._count += 1
            heapq.heappush(self._delayed, (due, self._count, job))

    def pop_ready(self, may_begin: Callable[[Job], bool]) -> Job | None:
        """Remove and return the first ready job that may begin; None if there is none."""
        for place, job in enumerate(self.ready):
            if may_begin(job):
                del self.ready[place]
                return job
        return None

    def pieces(self, transfer: Transfer) -> list[Piece]:
        """Return the waiting pieces of one object."""
        jobs = (*self.ready, *(job for _, _, job in self._delayed))
        return [job for job in jobs if isinstance(job, Piece) and job.transfer is transfer]

    def remove(self, transfer: Transfer, *, only_verify: bool = False) -> None:
        """Remove the jobs of one object, or only its VerifyJob."""

        def stays(job: Job) -> bool:
            return job.transfer is not transfer or (only_verify and not isinstance(job, VerifyJob))

        self.ready = deque(filter(stays, self.ready))
        self._delayed = [entry for entry in self._delayed if stays(entry[2])]
        heapq.heapify(self._delayed)

    def next_due(self) -> float | None:
        """Return when the first delayed job is due; None if there is none."""
        return self._delayed[0][0] if self._delayed else None

    def wake(self, now: float) -> None:
        """Make the delayed jobs that are due ready."""
        while self._delayed and self._delayed[0][0] <= now:
            self.ready.append(heapq.heappop(self._delayed)[2])

    def wake_all(self) -> list[Job]:
        """Make all delayed jobs ready, in the order they are due; return them."""
        jobs = [job for _, _, job in sorted(self._delayed)]
        self.ready.extend(jobs)
        self._delayed.clear()
        return jobs
