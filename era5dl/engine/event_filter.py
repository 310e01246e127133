"""Decides which state changes are worth a log line: a wait that comes and goes is reported once."""

from __future__ import annotations

from era5dl.engine.events import WAITS, State, StateChanged, Throttled

AGAIN = 60.0  # seconds after which a wait that keeps coming back is told once more


class StateNews:
    """Of one run, or of many one after the other."""

    def __init__(self) -> None:
        self._told_at: dict[tuple[State, str], float] = {}
        self._hushed = False  # the wait that goes on was not told, so its end is not, either
        self._waited = False
        self._brake: tuple[int, float] = 0, 0.0  # requests at once that were told last, and when

    def worth(self, event: StateChanged, now: float) -> bool:
        """Whether to tell it. now: seconds that only grow."""
        if event.state in WAITS:
            key = (event.state, event.kind)
            self._hushed = now - self._told_at.get(key, -AGAIN) < AGAIN
            self._waited = True
            if not self._hushed:
                self._told_at[key] = now
            return not self._hushed
        if event.state is not State.RUNNING:
            self._waited, self._hushed = event.state is State.PAUSED, False
            return True
        news = self._waited and not self._hushed  # it begins; only after a wait is it news that it runs
        self._waited = self._hushed = False
        return news

    def worth_of_brake(self, event: Throttled, now: float) -> bool:
        """The same for a wish of the server to be asked less: each refusal brings one."""
        workers, told_at = self._brake
        if event.workers == workers and now - told_at < AGAIN:
            return False
        self._brake = event.workers, now
        return True
