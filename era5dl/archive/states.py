"""States of the files of an archive, and the result of an audit: by file, by month, by day and hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from era5dl.archive.session_records import FileStatus
from era5dl.bucket.interface import ObjectInfo
from era5dl.catalog import Cadence, KeyParts
from era5dl.hdf5 import UnsupportedLayout
from era5dl.subset.geometry import EPOCH
from era5dl.subset.merge_plan import valid_times
from era5dl.subset.selection import EVERYTHING, Subset

FIXED = ""
"""The month of files that do not depend on time."""


class State(str, Enum):
    """The state of a wanted file, from the best to the worst."""

    PROVEN = "proven"  # there, and its MD5 was that of the server
    UNPROVEN = "unproven"  # there, and nothing is known to be wrong
    NOT_ASKED = "not-asked-for"  # no session has asked for it
    NOT_PUBLISHED = "not-yet-published"
    NOT_IN_BUCKET = "missing-upstream"
    REPLACED = "replaced"  # there, but the bucket has a newer version
    PARTIAL = "partial"  # there, without some of what is wanted of it
    MISSING = "missing"  # not there
    FAILED = "failed"  # not there, because of an error
    TRUNCATED = "truncated"  # there with another size than it has to have, or not readable

    @property
    def is_there(self) -> bool:
        """Whether the file can be used."""
        return self in (State.PROVEN, State.UNPROVEN)

    @property
    def is_gap(self) -> bool:
        """Whether the file should be fetched (again)."""
        return self not in (State.PROVEN, State.UNPROVEN, State.NOT_IN_BUCKET)


class Cause(str, Enum):
    """Why a file has its state. `AuditedFile.detail` has the words that go with it."""

    NONE = ""
    NO_MD5 = "no-md5"  # there, but its session could only check its size and structure
    NOT_COMPARED = "not-compared"  # there, but no session has compared it with the server
    CHANGED = "changed"  # there, with the right size, but modified after its session had verified it
    SIZE = "size"
    STRUCTURE = "structure"  # detail: what is wrong
    UNREADABLE = "unreadable"  # detail: the error
    NEWER = "newer"
    HOURS = "hours"  # some hours are missing: `AuditedFile.lacking`
    PLACES = "places"  # it has other levels or another area than is wanted
    GONE = "gone"  # it was complete
    STARTED = "started"  # some of its bytes are on disk
    NOT_STARTED = "not-started"
    NO_SESSION = "no-session"
    GAP = "gap"  # between the first and the last file of its variable
    ERROR = "error"  # detail: the last error
    ABSENT = "absent"  # detail: the reason in the plan
    RECENT = "recent"  # newer than all files that are known here


class AuditedFile(NamedTuple):
    """A wanted file and its state.

    name: of the file; of a part with the digits of its subset. subset: what is wanted of the object; None if that is
    not known. folder: the folder with the file; None if there is no file. size: of the file, in bytes; expected: the
    size that it has to have; 0 if not known. status: what its session says. lacking: valid times (hours since 1900)
    that are wanted but missing in it.
    """

    name: str
    key: str
    parts: KeyParts
    subset: Subset | None
    state: State
    cause: Cause = Cause.NONE
    detail: str = ""
    folder: Path | None = None
    size: int = 0
    expected: int = 0
    version: ObjectInfo | None = None
    status: FileStatus | None = None
    session: str = ""
    when: float = 0.0
    lacking: tuple[int, ...] = ()

    @property
    def path(self) -> Path | None:
        """The path of the file; None if there is no file."""
        return None if self.folder is None else self.folder / self.name

    @property
    def variable(self) -> str:
        """The name of its variable, such as "an.sfc/2t"."""
        return f"{self.parts.product.name}/{self.parts.short}"

    @property
    def month(self) -> str:
        """The month of its first time stamp, such as "202001", which is its folder in the bucket; FIXED for files that
        do not depend on time."""
        return FIXED if self.parts.product.cadence is Cadence.FIXED else self.parts.folder

    @property
    def is_part(self) -> bool:
        """Whether a part of the object is wanted, not all of it."""
        return self.subset is None or not self.subset.is_everything

    def wanted_times(self) -> tuple[int, ...]:
        """Return the valid times that are wanted of it, in hours since 1900; () for a file without times."""
        return times_of(self.parts, self.subset or EVERYTHING)


@dataclass(frozen=True, slots=True)
class Month:
    """The files of a variable in a month. counts: files by state."""

    counts: Mapping[State, int]

    @property
    def files(self) -> int:
        return sum(self.counts.values())

    @property
    def state(self) -> State:
        """The worst state of its files."""
        return max(self.counts, key=_ORDER.__getitem__)


@dataclass(frozen=True)  # without slots, for cached properties
class Audit:
    """What a folder has, and what lacks.

    files: all that are wanted, sorted by variable, start and name. unreadable: damaged sessions, with the reason.
    passed_over: other netCDF files, as path below the folder and reason; others: their number.
    """

    folder: Path
    files: tuple[AuditedFile, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()
    others: int = 0

    @cached_property
    def counts(self) -> Mapping[State, int]:
        """The number of files of each state that occurs, from the best to the worst."""
        return _counted(self.files)

    @property
    def is_complete(self) -> bool:
        """Whether all files are there."""
        return all(state.is_there for state in self.counts)

    @property
    def size(self) -> int:
        """Bytes of the files that are there."""
        return sum(file.size for file in self.files)

    @property
    def gaps(self) -> tuple[AuditedFile, ...]:
        """The files that should be fetched (again): all that are not there, except those that the bucket lacks."""
        return tuple(file for file in self.files if file.state.is_gap)

    @cached_property
    def by_month(self) -> Mapping[tuple[str, str], tuple[AuditedFile, ...]]:
        """The files by variable and month."""
        found: dict[tuple[str, str], list[AuditedFile]] = {}
        for file in self.files:
            found.setdefault((file.variable, file.month), []).append(file)
        return {place: tuple(files) for place, files in found.items()}

    @cached_property
    def months(self) -> Mapping[tuple[str, str], Month]:
        """The summary of each variable and month, in the order of the files."""
        return {place: Month(_counted(files)) for place, files in self.by_month.items()}

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the variables, in order."""
        return tuple(dict.fromkeys(variable for variable, _ in self.by_month))

    def days(self, variable: str, month: str) -> Iterator[tuple[date, tuple[State | None, ...]]]:
        """Yield the days of a month ("202001"), each with the states of its 24 hours (UTC); None: not wanted.

        An hour is in the file whose values are valid at that hour, so the first hours of a month may be those of a
        forecast file of the month before. If several files have an hour, the best state counts.
        """
        first = datetime(int(month[:4]), int(month[4:6]), 1)
        after = (first + timedelta(days=31)).replace(day=1)
        before = first - timedelta(days=1)
        begin, end = ((moment - EPOCH) // timedelta(hours=1) for moment in (first, after))
        hours: list[State | None] = [None] * (end - begin)
        for place in (f"{before.year:04}{before.month:02}", month):
            for file in self.by_month.get((variable, place), ()):
                _enter(file, hours, begin)
        for number in range((after - first).days):
            day = first.date() + timedelta(days=number)
            yield day, tuple(hours[24 * number : 24 * number + 24])


def times_of(parts: KeyParts, subset: Subset) -> tuple[int, ...]:
    """Return the valid times of a file that a subset selects, in hours since 1900; () if it has none."""
    try:
        return valid_times(parts, subset)
    except UnsupportedLayout:
        return ()


def worst(states: Iterable[State]) -> State:
    """Return the worst of these states."""
    return max(states, key=_ORDER.__getitem__)


def _enter(file: AuditedFile, hours: list[State | None], begin: int) -> None:
    """Enter the state of a file for each of its hours. begin: the first hour of the list, since 1900."""
    lacking = frozenset(file.lacking)
    for time in file.wanted_times():
        if 0 <= time - begin < len(hours):
            state = file.state
            if state is State.PARTIAL and lacking:
                state = State.MISSING if time in lacking else State.UNPROVEN
            known = hours[time - begin]
            if known is None or _ORDER[state] < _ORDER[known]:
                hours[time - begin] = state


def _counted(files: Iterable[AuditedFile]) -> dict[State, int]:
    counts = Counter(file.state for file in files)
    return {state: counts[state] for state in State if counts[state]}


_ORDER = {state: number for number, state in enumerate(State)}
