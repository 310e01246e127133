"""Event reporting shared by the command line and the window: filters log lines, groups checked files by reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from era5dl.engine.events import WAITING_STATES, Event, FileDone, Outcome, State, StateChanged, Throttled
from era5dl.engine.progress import FileState

REPEAT_AFTER = 60.0  # seconds after which a recurring wait is reported again
CHECKED_EARLIER = "checked in an earlier run"  # used if the reason is not known, since it is not stored


class EventFilter:
    """Decides which state changes and throttle events are reported: a recurring wait is reported once per REPEAT_AFTER.

    Can be used for one run or for several consecutive runs. Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._reported_at: dict[tuple[State, str], float] = {}
        self._suppressed = False  # the current wait was not reported, so its end is not reported either
        self._waited = False
        self._throttle: tuple[int, float] = 0, 0.0  # allowed requests of the last report, and its time

    def should_report(self, event: StateChanged, now: float) -> bool:
        """Whether to report this change of state."""
        if event.state in WAITING_STATES:
            key = (event.state, event.kind)
            self._suppressed = now - self._reported_at.get(key, -REPEAT_AFTER) < REPEAT_AFTER
            self._waited = True
            if not self._suppressed:
                self._reported_at[key] = now
            return not self._suppressed
        if event.state is not State.RUNNING:
            self._waited, self._suppressed = event.state is State.PAUSED, False
            return True
        ends_wait = self._waited and not self._suppressed  # "running" is reported only after a reported wait
        self._waited = self._suppressed = False
        return ends_wait

    def should_report_throttle(self, event: Throttled, now: float) -> bool:
        """Whether to report this event. There is one for each 503 or 429 response, which would be too many lines."""
        workers, reported_at = self._throttle
        if event.workers == workers and now - reported_at < REPEAT_AFTER:
            return False
        self._throttle = event.workers, now
        return True


class CheckedGroup(NamedTuple):
    """Files that are checked and not verified for the same reason, in the order of the plan."""

    reason: str
    keys: tuple[str, ...]


class CheckedFiles:
    """Collects why files were checked and not verified, from the events of a run on any thread."""

    def __init__(self) -> None:
        self._reasons: dict[int, str] = {}

    def record(self, event: Event) -> None:
        """Record the reason in a FileDone event; other events are ignored."""
        if isinstance(event, FileDone) and event.outcome is Outcome.CHECKED:
            self._reasons[event.index] = event.reason

    def reasons(self, states: bytes) -> dict[int, str]:
        """Return the reason of each checked file, by its index in the plan. states: from `Engine.states`."""
        checked = (index for index, state in enumerate(states) if state == FileState.CHECKED)
        return {index: self._reasons.get(index) or CHECKED_EARLIER for index in checked}


def group_by_reason(reasons: Mapping[int, str], keys: Sequence[str]) -> list[CheckedGroup]:
    """Group files by reason, the largest group first. keys: the keys of all objects of the plan."""
    groups: dict[str, list[str]] = {}
    for index, reason in reasons.items():
        groups.setdefault(reason, []).append(keys[index])
    found = [CheckedGroup(reason, tuple(group)) for reason, group in groups.items()]
    return sorted(found, key=lambda group: -len(group.keys))
