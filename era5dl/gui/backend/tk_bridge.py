"""Bridge from background threads to the Tk thread: a timer that handles queued messages and refreshes the window.

Values from other threads reach Tk in no other way. Each tick handles messages for about 5 ms, then refreshes a part of
the window. The next tick is scheduled first, so that an exception in a handler does not stop the timer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

TICK = 25  # ms between two ticks
REFRESH_INTERVAL = 0.02  # minimum number of seconds between two partial refreshes
MESSAGE_BUDGET = 0.005  # seconds after which a tick handles no further batch of messages
BATCH = 20  # messages per batch

T = TypeVar("T")


class Timer(Protocol):
    """The part of a Tk widget that schedules calls."""

    def after(self, ms: int, func: Callable[[], object], /) -> str: ...
    def after_cancel(self, id: str, /) -> None: ...


class TkBridge(Generic[T]):
    """poll(limit): returns queued messages. handle: called with each message. refresh: updates a part of the window."""

    def __init__(
        self,
        timer: Timer,
        poll: Callable[[int], Sequence[T]],
        handle: Callable[[T], None],
        refresh: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timer, self._poll, self._handle, self._refresh, self._clock = timer, poll, handle, refresh, clock
        self._next_refresh = 0.0
        self._scheduled: str | None = None

    def start(self) -> None:
        self._scheduled = self._timer.after(TICK, self._tick)

    def stop(self) -> None:
        """Stop the timer. Further calls have no effect."""
        if self._scheduled is not None:
            self._timer.after_cancel(self._scheduled)
            self._scheduled = None

    def _tick(self) -> None:
        self._scheduled = self._timer.after(TICK, self._tick)  # before anything that may raise
        started = self._clock()
        if started >= self._next_refresh:
            self._next_refresh = started + REFRESH_INTERVAL
            try:
                self._handle_messages(started)
            finally:
                self._refresh()
        else:
            self._handle_messages(started)

    def _handle_messages(self, started: float) -> None:
        """Handle messages until the budget is used. Then raise the first exception, so that it loses no messages."""
        failure: Exception | None = None
        while messages := self._poll(BATCH):
            for message in messages:
                try:
                    self._handle(message)
                except Exception as error:  # noqa: BLE001, PERF203 - raised below
                    failure = failure or error
            if self._clock() - started >= MESSAGE_BUDGET:
                break
        if failure is not None:
            raise failure
