"""Time limits for whole responses. A socket timeout starts again with each byte received; these do not.

One thread checks all deadlines that are running. When one expires, the thread shuts its socket down, which wakes the
reader (`era5dl.bucket.cancellation`). The reader then raises Interrupted instead of the error of the closed socket.
This works with any library that reads, as long as the socket is registered.
"""

from __future__ import annotations

import socket as sockets
import threading
import time
from types import TracebackType

from era5dl import thread_registry
from era5dl.bucket.cancellation import shut_down
from era5dl.errors import Interrupted, OutOfThreads, Stopped

CHECK_INTERVAL = 0.1  # seconds between checks of the running deadlines

_of_this_thread = threading.local()  # `deadline`: the innermost one


class Deadline:
    """Context manager that limits how long this thread waits: `seconds` after each `start`.

    Leaving the context raises Interrupted if the deadline has expired, also in place of another exception, except
    Stopped. what: what the thread waits for; used in the message.
    """

    def __init__(self, seconds: float, what: str) -> None:
        self._seconds, self._what = seconds, what
        self._lock = threading.Lock()
        self._until = 0.0  # monotonic; 0 while stopped
        self._outer: Deadline | None = None
        self.socket: sockets.socket | None = None
        self.expired = False

    def __enter__(self) -> Deadline:
        self._outer, _of_this_thread.deadline = current_deadline(), self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _of_this_thread.deadline = self._outer
        self.stop()
        if self.expired and not isinstance(error, Stopped):
            raise Interrupted(f"stalled: {self._what} did not come within {self._seconds:g} s", stalled=True) from error

    def start(self, sock: sockets.socket | None = None) -> None:
        """Start the time again. sock: the socket to wait for; None for that of the previous call."""
        with self._lock:
            self.socket = sock or self.socket
            self._until = time.monotonic() + self._seconds
            if self.expired:
                self._shut_down()
        _monitor.add(self)

    def stop(self) -> bool:
        """Stop the time. Return False if it had expired: then the connection cannot be used any more."""
        with self._lock:
            self._until = 0.0
        _monitor.remove(self)
        return not self.expired

    def check(self, now: float) -> None:
        """Shut the socket down if the time has expired."""
        with self._lock:
            if 0.0 < self._until <= now:
                self.expired = True
                self._shut_down()

    def _shut_down(self) -> None:
        if self.socket is not None:
            shut_down(self.socket)


def current_deadline() -> Deadline | None:
    """Return the innermost deadline of this thread."""
    found: Deadline | None = getattr(_of_this_thread, "deadline", None)
    return found


class _Monitor:
    """Runs the thread that checks all deadlines, while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[Deadline] = set()
        self._has_work = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None

    def add(self, deadline: Deadline) -> None:
        with self._lock:
            self._waiting.add(deadline)
            if self._has_work.is_set():
                return
            self._has_work.set()
            if self._thread is None or not self._thread.is_alive():
                self._ended = False
                self._thread = threading.Thread(target=self._run, name="era5dl-deadlines", daemon=True)
                try:
                    thread_registry.start_thread(self._thread, self.end)
                except OutOfThreads:  # until a later call can start a thread, only the sockets' own timeouts apply
                    self._has_work.clear()

    def remove(self, deadline: Deadline) -> None:
        with self._lock:
            self._waiting.discard(deadline)

    def end(self) -> None:
        """End the thread; another one is started when there is something to check."""
        self._ended = True
        self._has_work.set()

    def _run(self) -> None:
        while self._has_work.wait():
            with self._lock:
                if self._ended or not self._waiting:
                    self._has_work.clear()
                if self._ended:
                    return
                waiting = list(self._waiting)
            now = time.monotonic()
            for deadline in waiting:
                deadline.check(now)
            time.sleep(CHECK_INTERVAL)


_monitor = _Monitor()
