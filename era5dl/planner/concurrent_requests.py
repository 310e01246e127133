"""Many questions to the bucket at once, patiently.

When the user says stop, or one question has no answer, the requests under way are aborted, and the caller hears of it
within a tenth of a second, also where a thread sits in a DNS look-up that nothing can end.

Its patience is another one than the engine's (`era5dl.engine.retry`): there a download of days sits out an outage, here
somebody looks on, and is told after a few attempts, or at once where the server wishes for a long silence.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import inf
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Generic, TypeVar

from era5dl import thread_registry
from era5dl.bucket.cancellation import Abort, aborting
from era5dl.errors import Era5Error, OutOfThreads, Reaction, ServerBusy, Stopped

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with how many questions are answered, and how many there are. On the caller's own thread."""

PARALLEL = 16
ATTEMPTS = 5
BASE = 0.5  # seconds; doubles with each attempt
CAP = 8.0
LONGEST = 45.0  # seconds after its first failure in which a question may fail again; a stalled attempt takes 15 to 20
LONGEST_WISH = 60.0  # a Retry-After longer than this is not waited for while somebody looks at "planning"
_LOOK = 0.05  # seconds between looks at `cancelled`
_PARTING = 0.05  # seconds that the threads get to end while the caller waits

_AGAIN = frozenset(
    {
        Reaction.RETRY,
        Reaction.RETRY_ONCE,
        Reaction.BACKOFF,
        Reaction.FEW_RETRIES,  # a firewall or a server under load says 403 and does not mean it
        Reaction.THROTTLE,
        Reaction.WAIT_FOR_NETWORK,
    }
)


def ask_all(
    questions: Sequence[Callable[[], T]],
    *,
    parallel: int,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    instead: Callable[[int, Era5Error], T] | None = None,
) -> list[T]:
    """The answers, in the order of the questions. The first error that patience does not cure ends it and is raised.

    instead: called with such an error and the number of its question; what it returns is taken for the answer, what it
    raises ends it. Raises Stopped as soon as `cancelled()` is true.
    """
    crew = _Crew(questions, instead)
    answers: dict[int, T] = {}
    if on_progress:
        on_progress(0, len(questions))
    try:
        crew.start(min(parallel, len(questions)))
        while len(answers) < len(questions):
            if cancelled is not None and cancelled():
                raise Stopped
            try:
                index, answer = crew.answers.get(timeout=_LOOK)
            except Empty:
                continue
            if isinstance(answer, _Failed):
                raise answer.error
            answers[index] = answer
            if on_progress:
                on_progress(len(answers), len(questions))
    finally:
        crew.stop()
        crew.wait(_PARTING)
    return [answers[index] for index in range(len(questions))]


def shared_prefix(keys: Sequence[str]) -> str:
    """The longest text that all keys begin with: one listing from there shows them all."""
    low, high = min(keys), max(keys)
    length = next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:length]


class _Failed:
    """In the place of an answer: why there is none."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Crew(Generic[T]):
    """The threads that ask, and what they share."""

    def __init__(
        self, questions: Sequence[Callable[[], T]], instead: Callable[[int, Era5Error], T] | None = None
    ) -> None:
        self._instead = instead
        self._waiting: SimpleQueue[tuple[int, Callable[[], T]]] = SimpleQueue()
        for numbered in enumerate(questions):
            self._waiting.put(numbered)
        self.answers: SimpleQueue[tuple[int, T | _Failed]] = SimpleQueue()
        self.over = Event()
        self._threads: list[Thread] = []
        self._aborts: list[Abort] = []
        self._hold_until = 0.0  # nobody asks before: one was told to slow down, and that holds for all

    def start(self, wanted: int) -> None:
        """Raises OutOfThreads where there is not even one; fewer than wanted are slower, and that is all."""
        for number in range(wanted):
            abort = Abort()
            self._aborts.append(abort)
            thread = Thread(target=self._work, args=(abort,), name=f"planner-{number}", daemon=True)
            try:
                thread_registry.start_thread(thread, self.stop)
            except OutOfThreads:
                if not self._threads:
                    raise
                return
            self._threads.append(thread)

    def stop(self) -> None:
        """Nobody wants an answer any more. Returns at once."""
        self.over.set()
        for abort in self._aborts:
            abort.trip("the planning has ended")

    def wait(self, seconds: float) -> None:
        """For the threads' end, at most so long."""
        thread_registry.join_all(self._threads, seconds)

    def _work(self, abort: Abort) -> None:
        with aborting(abort):
            self._answer()

    def _answer(self) -> None:
        while not self.over.is_set():
            try:
                index, question = self._waiting.get_nowait()
            except Empty:
                return
            try:
                self.answers.put((index, self._answered(index, question)))
            except BaseException as error:  # noqa: BLE001  the caller raises it: a bug here must not look like silence
                self.answers.put((index, _Failed(error)))
                return

    def _answered(self, index: int, question: Callable[[], T]) -> T:
        try:
            return self._patiently(question)
        except Era5Error as error:
            if self._instead is None or isinstance(error, Stopped):
                raise
            return self._instead(index, error)

    def _patiently(self, question: Callable[[], T]) -> T:
        attempt, give_up = 0, inf
        while True:
            self._wait(self._hold_until - monotonic())
            try:
                return question()
            except Era5Error as error:
                attempt += 1
                give_up = min(give_up, monotonic() + LONGEST)
                if error.reaction not in _AGAIN or attempt >= ATTEMPTS or _wish(error) > LONGEST_WISH:
                    raise
                if monotonic() >= give_up and error.reaction is not Reaction.THROTTLE:
                    raise
                delay = _delay(attempt, error)
                throttled = error.reaction is Reaction.THROTTLE
            if throttled:
                self._hold_until = max(self._hold_until, monotonic() + delay)
            else:
                self._wait(delay)

    def _wait(self, seconds: float) -> None:
        if self.over.wait(max(seconds, 0.0)):
            raise Stopped


def _delay(attempt: int, error: Era5Error) -> float:
    """Seconds before the next attempt: full jitter, on top of what the server wished for."""
    if attempt == 1 and error.reaction in (Reaction.RETRY, Reaction.RETRY_ONCE):
        return 0.0
    return _wish(error) + random.uniform(0.0, min(CAP, BASE * 2.0 ** (attempt - 1)))


def _wish(error: Era5Error) -> float:
    return (error.retry_after or 0.0) if isinstance(error, ServerBusy) else 0.0
