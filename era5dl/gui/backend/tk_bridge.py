"""The one crossing from threads to Tk, and the window's pulse. Nobody else touches Tk from outside of it.

An `after` chain that is armed again before anything is done, so that a handler which raises does not stop the clock.
Each turn hears a few facts, 5 ms of them at most, and then brings a part of what is visible up to date.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

TURN = 25  # ms between two looks at the facts
DRAW_EVERY = 0.02  # seconds between two parts of what is drawn, at least
BUDGET = 0.005  # seconds that one turn may spend on facts
BATCH = 20

T = TypeVar("T")


class Timer(Protocol):
    """What the pump needs of a widget."""

    def after(self, ms: int, func: Callable[[], object], /) -> str: ...
    def after_cancel(self, id: str, /) -> None: ...


class TkBridge(Generic[T]):
    """poll: gives facts, so many at most. hear: is told each. draw: looks at the numbers and shows them."""

    def __init__(
        self,
        timer: Timer,
        poll: Callable[[int], Sequence[T]],
        hear: Callable[[T], None],
        draw: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timer, self._poll, self._hear, self._draw, self._clock = timer, poll, hear, draw, clock
        self._next_draw = 0.0
        self._armed: str | None = None

    def start(self) -> None:
        self._armed = self._timer.after(TURN, self._turn)

    def stop(self) -> None:
        """No more turns. Harmless a second time."""
        if self._armed is not None:
            self._timer.after_cancel(self._armed)
            self._armed = None

    def _turn(self) -> None:
        self._armed = self._timer.after(TURN, self._turn)  # first, whatever happens below
        began = self._clock()
        if began >= self._next_draw:
            self._next_draw = began + DRAW_EVERY
            try:
                self._hear_some(began)
            finally:
                self._draw()
        else:
            self._hear_some(began)

    def _hear_some(self, began: float) -> None:
        """One bad fact costs itself, not those behind it: all that was polled is heard, then the first error raised."""
        failure: Exception | None = None
        while facts := self._poll(BATCH):
            for fact in facts:
                try:
                    self._hear(fact)
                except Exception as error:  # noqa: BLE001, PERF203 - raised below
                    failure = failure or error
            if self._clock() - began >= BUDGET:
                break
        if failure is not None:
            raise failure
