"""Background threads of the window. A BackgroundTask runs only the newest job; progress reports are limited. No Tk.

The threads are daemons and are never joined: a job may hang on a network share that does not respond. Such a job blocks
its own task, but not the window.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from era5dl import thread_registry
from era5dl.errors import OutOfThreads

REPORT_INTERVAL = 0.1  # seconds between two progress reports

IsCancelled = Callable[[], bool]
"""Returns True when a newer job has replaced this one, or its result is no longer needed. Jobs check it often."""
Job = Callable[[IsCancelled], None]
OnCrash = Callable[[str, BaseException], None]
"""Called with the name of a task or thread and its unhandled exception."""

_log = logging.getLogger("era5dl")


class BackgroundTask:
    """Runs one job at a time. A new job cancels the running one and replaces the waiting one.

    The thread starts with the first job and ends when none is waiting. Jobs handle the errors they expect; any other
    exception goes to `on_crash`, and the task stays usable.
    """

    def __init__(self, name: str, on_crash: OnCrash) -> None:
        self._name, self._on_crash = name, on_crash
        self._lock = threading.Lock()
        self._next: tuple[Job, threading.Event] | None = None
        self._cancel = threading.Event()
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a job is running or waiting."""
        return self._busy

    def submit(self, job: Job) -> None:
        """Run this job next and cancel all earlier ones. Returns at once."""
        with self._lock:
            self._cancel.set()
            self._cancel = threading.Event()
            self._next = (job, self._cancel)
            if not self._busy:
                self._busy = True
                try:
                    thread_registry.start_thread(
                        threading.Thread(target=self._work, name=f"era5dl-{self._name}", daemon=True)
                    )
                except OutOfThreads as error:
                    self._busy, self._next = False, None
                    self._on_crash(self._name, error)

    def cancel(self) -> None:
        """Cancel the running job and drop the waiting one. Returns at once."""
        with self._lock:
            self._cancel.set()
            self._next = None

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._next is None:
                    self._busy = False
                    return
                (job, cancel), self._next = self._next, None
            try:
                job(cancel.is_set)
            except BaseException as error:  # noqa: BLE001 - a bug in one job must not end the task
                _log.exception("a job of the background task %s failed", self._name)
                self._on_crash(self._name, error)


def start_thread(name: str, work: Callable[[], None], on_crash: OnCrash) -> None:
    """Run `work` on a new daemon thread. Raises OutOfThreads when the system allows no more threads."""

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - reported, never lost
            on_crash(name, error)

    thread_registry.start_thread(threading.Thread(target=guarded, name=f"era5dl-{name}", daemon=True))


class ProgressLimiter:
    """Passes on at most ten progress reports a second, and always the last one."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self._report, self._next = report, 0.0

    def update(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + REPORT_INTERVAL
            self._report(done, total)
