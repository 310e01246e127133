"""Collects the files that were checked but not verified, with the reasons, for the end of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from era5dl.engine.counters import FileState
from era5dl.engine.events import Event, FileDone, Outcome

EARLIER = "they were checked in an earlier run"  # of which the reason is not kept


class CheckedGroup(NamedTuple):
    """Files that are checked for one reason, in the order of the plan."""

    reason: str
    keys: tuple[str, ...]


class CheckedFiles:
    """Hears the events of a run, on whatever thread."""

    def __init__(self) -> None:
        self._reasons: dict[int, str] = {}

    def hear(self, event: Event) -> None:
        if isinstance(event, FileDone) and event.outcome is Outcome.CHECKED:
            self._reasons[event.index] = event.reason

    def because(self, states: bytes) -> dict[int, str]:
        """Place in the plan -> reason, of all that are checked now. states: as `Engine.states` gives them."""
        places = (index for index, state in enumerate(states) if state == FileState.CHECKED)
        return {index: self._reasons.get(index) or EARLIER for index in places}


def grouped(because: Mapping[int, str], keys: Sequence[str]) -> list[CheckedGroup]:
    """By reason, the largest group first. keys: of the plan's objects."""
    groups: dict[str, list[str]] = {}
    for index, reason in because.items():
        groups.setdefault(reason, []).append(keys[index])
    found = [CheckedGroup(reason, tuple(group)) for reason, group in groups.items()]
    return sorted(found, key=lambda group: -len(group.keys))
