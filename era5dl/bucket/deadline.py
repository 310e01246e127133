"""Overall time limits for responses. Unlike a socket timeout, received bytes do not extend them.

That one begins anew with each byte.  So one thread looks at all waits that are going on.  When the time of one is over
it shuts the socket down, which wakes whoever reads it (`era5dl.bucket.cancellation` tells how); the reader finds out
from the deadline that it was no fault of the connection's.  It does not matter which library reads, as long as it tells
which socket it waits on.
"""

from __future__ import annotations

import socket as sockets
import threading
import time
from types import TracebackType

from era5dl import thread_registry
from era5dl.bucket.cancellation import shut
from era5dl.errors import Interrupted, OutOfThreads, Stopped

LOOK = 0.1  # seconds between looks at what is waited for

_thread = threading.local()  # `deadline`: the innermost one of this thread


class Deadline:
    """Within this context the thread waits no longer than it is given.

    Leaving it raises Interrupted when the time was over, whatever else was raised, Stopped excepted.
    seconds: for each `begin` that names no others. what: is waited for, for the message.
    """

    def __init__(self, seconds: float, what: str) -> None:
        self._seconds, self._what = seconds, what
        self._lock = threading.Lock()
        self._until = 0.0  # monotonic; 0 while nothing is waited for
        self._outer: Deadline | None = None
        self.socket: sockets.socket | None = None
        self.passed = False

    def __enter__(self) -> Deadline:
        self._outer, _thread.deadline = deadline_of_this_thread(), self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _thread.deadline = self._outer
        self.end()
        if self.passed and not isinstance(error, Stopped):
            raise Interrupted(f"stalled: {self._what} did not come within {self._seconds:g} s", stalled=True) from error

    def begin(self, sock: sockets.socket | None = None) -> None:
        """What comes next over this socket, or over the one named before, has all of the time again."""
        with self._lock:
            self.socket = sock or self.socket
            self._until = time.monotonic() + self._seconds
            if self.passed:
                self._shut()
        _watch.add(self)

    def end(self) -> bool:
        """It has come. False when it was too late, and the connection is of no more use."""
        with self._lock:
            self._until = 0.0
        _watch.drop(self)
        return not self.passed

    def look(self, now: float) -> None:
        """Shut the socket down if the time is over."""
        with self._lock:
            if 0.0 < self._until <= now:
                self.passed = True
                self._shut()

    def _shut(self) -> None:
        if self.socket is not None:
            shut(self.socket)


def deadline_of_this_thread() -> Deadline | None:
    """That by which what this thread asks for must have come."""
    found: Deadline | None = getattr(_thread, "deadline", None)
    return found


class _Watch:
    """The thread that looks at all deadlines, while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: set[Deadline] = set()
        self._some = threading.Event()
        self._over = False
        self._watcher: threading.Thread | None = None

    def add(self, deadline: Deadline) -> None:
        with self._lock:
            self._armed.add(deadline)
            if self._some.is_set():
                return
            self._some.set()
            if self._watcher is None or not self._watcher.is_alive():
                self._over = False
                self._watcher = threading.Thread(target=self._look, name="era5dl-deadlines", daemon=True)
                try:
                    thread_registry.start_thread(self._watcher, self.stop)
                except OutOfThreads:  # until a later wait gets one, only the sockets' own timeouts hold
                    self._some.clear()

    def drop(self, deadline: Deadline) -> None:
        with self._lock:
            self._armed.discard(deadline)

    def stop(self) -> None:
        """End the thread; another one is started when there is something to look at."""
        self._over = True
        self._some.set()

    def _look(self) -> None:
        while self._some.wait():
            with self._lock:
                if self._over or not self._armed:
                    self._some.clear()
                if self._over:
                    return
                armed = list(self._armed)
            now = time.monotonic()
            for deadline in armed:
                deadline.look(now)
            time.sleep(LOOK)


_watch = _Watch()
