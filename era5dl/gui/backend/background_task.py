"""A thread for one kind of work: one job at a time, and of those that wait only the newest. No Tk.

The thread is a daemon, begins when there is something to do and ends when there is nothing. Nobody joins it: a job may
sit in a look at a network share that answers nothing. Then this desk is stuck, and the window is not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from era5dl import thread_registry
from era5dl.errors import OutOfThreads

Cancelled = Callable[[], bool]
Job = Callable[[Cancelled], None]
"""Gets a question it should ask often: whether a newer job, or nobody any more, wants its answer."""

_log = logging.getLogger("era5dl")


class BackgroundTask:
    """Jobs must catch what they expect; what they do not is told to `on_bug` and the desk goes on."""

    def __init__(self, name: str, on_bug: Callable[[str, BaseException], None]) -> None:
        self._name, self._on_bug = name, on_bug
        self._lock = threading.Lock()
        self._next: tuple[Job, threading.Event] | None = None
        self._cancel = threading.Event()
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a job is being done or waits."""
        return self._busy

    def ask(self, job: Job) -> None:
        """Do this as soon as may be; whatever was asked for before is not wanted any more. Returns at once."""
        with self._lock:
            self._cancel.set()
            self._cancel = threading.Event()
            self._next = (job, self._cancel)
            if not self._busy:
                self._busy = True
                try:
                    thread_registry.start(threading.Thread(target=self._work, name=f"era5dl-{self._name}", daemon=True))
                except OutOfThreads as none:
                    self._busy, self._next = False, None
                    self._on_bug(self._name, none)

    def cancel(self) -> None:
        """Nothing is wanted any more. Returns at once."""
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
            except BaseException as bug:  # noqa: BLE001 - the desk goes on
                _log.exception("a job of the desk %s failed", self._name)
                self._on_bug(self._name, bug)
