"""Concurrent requests with retries: runs many bucket requests in threads and returns their results in order.

On cancellation, or when a request has finally failed, the requests in progress are aborted. The call returns within a
tenth of a second, even if a thread is in a DNS look-up, which cannot be interrupted.

The retry policy differs from that of the engine (`era5dl.engine.retry`), which waits until an outage is over. Here a
user is waiting, so errors are reported after a few attempts, or at once if the server asks for a long delay.

Some servers and proxies accept only a few connections and close the others. A thread whose connections are closed
before a response leaves its task to the remaining threads.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import inf
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic
from typing import Generic, TypeVar

from era5dl import thread_registry
from era5dl.bucket.cancellation import Abort, abortable_by
from era5dl.errors import Era5Error, OutOfThreads, Reaction, ServerBusy, StaleConnection, Stopped

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Function that is called in the caller's thread with the number of finished tasks and the number of all tasks."""

DEFAULT_PARALLEL = 16
MAX_ATTEMPTS = 5
BACKOFF_BASE = 0.5  # seconds; doubles with each attempt
BACKOFF_MAX = 8.0  # seconds
MAX_CLOSED = 2  # attempts at a task whose connection is closed before a response, while other threads are at work
RETRY_PERIOD = 45.0  # seconds after its first failure in which a task is retried; a stalled attempt takes 15 to 20
MAX_RETRY_AFTER = 60.0  # seconds; with a longer Retry-After the task fails at once
_POLL_INTERVAL = 0.05  # seconds between calls of `cancelled`
_JOIN_TIME = 0.05  # seconds to wait for the threads to end

_RETRIED = frozenset(
    {
        Reaction.RETRY,
        Reaction.RETRY_ONCE,
        Reaction.BACKOFF,
        Reaction.FEW_RETRIES,  # a 403 response of a firewall or an overloaded server may be temporary
        Reaction.THROTTLE,
        Reaction.WAIT_FOR_NETWORK,
    }
)


def run_concurrently(
    tasks: Sequence[Callable[[], T]],
    *,
    parallel: int,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_error: Callable[[int, Era5Error], T] | None = None,
    retry: bool = True,
) -> list[T]:
    """Run tasks in up to `parallel` threads, with retries; return their results in the order of the tasks.

    on_error: called with the index of a task and its error when the task has finally failed; the return value is used
    as the result. Without it, the first such error ends all tasks and is raised. Raises Stopped soon after
    `cancelled()` returns true, OutOfThreads if not even one thread can be started. retry: False where the caller has
    a retry policy of its own; then the first error of a task is final.
    """
    threads = _Threads(tasks, on_error, retry)
    results: dict[int, T] = {}
    if on_progress:
        on_progress(0, len(tasks))
    try:
        threads.start(min(parallel, len(tasks)))
        while len(results) < len(tasks):
            if cancelled is not None and cancelled():
                raise Stopped
            try:
                index, result = threads.results.get(timeout=_POLL_INTERVAL)
            except Empty:
                continue
            if isinstance(result, _Failed):
                raise result.error
            results[index] = result
            if on_progress:
                on_progress(len(results), len(tasks))
    finally:
        threads.stop()
        threads.wait(_JOIN_TIME)
    return [results[index] for index in range(len(tasks))]


class _Failed:
    """The error of a task, in place of its result."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Excess(Exception):
    """This thread has one connection too many for the server."""


class _Threads(Generic[T]):
    """The threads that run the tasks, and the state they share."""

    def __init__(
        self,
        tasks: Sequence[Callable[[], T]],
        on_error: Callable[[int, Era5Error], T] | None,
        retry: bool,
    ) -> None:
        self._on_error = on_error
        self._attempts = MAX_ATTEMPTS if retry else 1
        self._queue: SimpleQueue[tuple[int, Callable[[], T]]] = SimpleQueue()
        for numbered in enumerate(tasks):
            self._queue.put(numbered)
        self.results: SimpleQueue[tuple[int, T | _Failed]] = SimpleQueue()
        self._stopping = Event()
        self._threads: list[Thread] = []
        self._aborts: list[Abort] = []
        self._lock = Lock()
        self._working = 0  # threads that look for further tasks
        self._throttled_until = 0.0  # after a throttled request no thread sends another one before this time

    def start(self, wanted: int) -> None:
        """Start threads, fewer if the system allows no more. Raises OutOfThreads if not even one can be started."""
        for number in range(wanted):
            abort = Abort()
            self._aborts.append(abort)
            thread = Thread(target=self._work, args=(abort,), name=f"planner-{number}", daemon=True)
            with self._lock:
                self._working += 1
            try:
                thread_registry.start_thread(thread, self.stop)
            except OutOfThreads:
                with self._lock:
                    self._working -= 1
                if not self._threads:
                    raise
                return
            self._threads.append(thread)

    def stop(self) -> None:
        """Abort all requests and let the threads end. Returns at once."""
        self._stopping.set()
        for abort in self._aborts:
            abort.trigger("planning has ended")

    def wait(self, seconds: float) -> None:
        """Wait for the threads to end, at most `seconds`."""
        thread_registry.join_all(self._threads, seconds)

    def _work(self, abort: Abort) -> None:
        with abortable_by(abort):
            self._run_tasks()

    def _run_tasks(self) -> None:
        while not self._stopping.is_set() and (numbered := self._next_task()):
            index, task = numbered
            try:
                self.results.put((index, self._result_of(index, task)))
            except _Excess:
                if self._leave_to_others(numbered):
                    return
            except BaseException as error:  # noqa: BLE001  the caller's thread raises it
                self.results.put((index, _Failed(error)))
                return

    def _next_task(self) -> tuple[int, Callable[[], T]] | None:
        with self._lock:
            try:
                return self._queue.get_nowait()
            except Empty:
                self._working -= 1
                return None

    def _leave_to_others(self, numbered: tuple[int, Callable[[], T]]) -> bool:
        """Queue the task again. Return whether other threads are there to do it, so that this one may end."""
        with self._lock:
            self._queue.put(numbered)
            if self._working == 1:
                return False
            self._working -= 1
            return True

    def _result_of(self, index: int, task: Callable[[], T]) -> T:
        try:
            return self._with_retries(task)
        except Era5Error as error:
            if self._on_error is None or isinstance(error, Stopped):
                raise
            return self._on_error(index, error)

    def _with_retries(self, task: Callable[[], T]) -> T:
        attempt, deadline = 0, inf
        while True:
            self._sleep(self._throttled_until - monotonic())
            try:
                return task()
            except Era5Error as error:
                attempt += 1
                deadline = min(deadline, monotonic() + RETRY_PERIOD)
                if isinstance(error, StaleConnection) and attempt >= MAX_CLOSED and self._working > 1:
                    raise _Excess from error
                if error.reaction not in _RETRIED or attempt >= self._attempts or _retry_after(error) > MAX_RETRY_AFTER:
                    raise
                if monotonic() >= deadline and error.reaction is not Reaction.THROTTLE:
                    raise
                delay = _delay(attempt, error)
                throttled = error.reaction is Reaction.THROTTLE
            if throttled:
                self._throttled_until = max(self._throttled_until, monotonic() + delay)
            else:
                self._sleep(delay)

    def _sleep(self, seconds: float) -> None:
        """Wait for this time. Raises Stopped as soon as `stop` is called."""
        if self._stopping.wait(max(seconds, 0.0)):
            raise Stopped


def _delay(attempt: int, error: Era5Error) -> float:
    """Return the seconds before the next attempt: Retry-After, if any, plus a backoff with full jitter."""
    if attempt == 1 and error.reaction in (Reaction.RETRY, Reaction.RETRY_ONCE):
        return 0.0
    return _retry_after(error) + random.uniform(0.0, min(BACKOFF_MAX, BACKOFF_BASE * 2.0 ** (attempt - 1)))


def _retry_after(error: Era5Error) -> float:
    return (error.retry_after or 0.0) if isinstance(error, ServerBusy) else 0.0
