"""Time axis of a data set: its hours, which file has each hour of a variable, and which hours none has."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np

from era5dl.catalog import Variable
from era5dl.dataset.files import DataFile, Folder
from era5dl.dataset.hours import Hours, union
from era5dl.errors import BadSelection
from era5dl.subset.geometry import hours_since_1900
from era5dl.subset.merge_plan import moment_of
from era5dl.subset.selection import HOURS_OF_DAY

Interval = tuple[int | None, int | None]
"""First and last hour since 1900; None where nothing limits it."""

_STAMP = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ](\d{1,2})(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?(?:Z|\+00:00)?)?)?)?", re.ASCII
)
_REMEDY = 'Use texts such as "2021", "2021-02" or "2021-02-28T18" (UTC), or a pair or slice of them.'
_MOST_RANGES = 400  # in the text about missing hours: 16 KiB


@dataclass(frozen=True, slots=True)
class Segment:
    """Hours of a file that follow one another on the axis: positions from `start` to `stop`, of which the first is
    number `first` in the file."""

    start: int
    stop: int
    file: DataFile
    first: int


def parse_time(value: Any) -> Interval:
    """Return the hours of a text such as "2021", "2021-02" or "2021-02-28T18", a date or a time (all UTC), or from the
    first to the last of two of them, as a pair or a slice, both included. Raises BadSelection."""
    if value is None:
        return None, None
    if isinstance(value, slice):
        if value.step is not None:
            raise BadSelection("Times cannot be selected with a step.", remedy=_REMEDY)
        ends = (value.start, value.stop)
    elif isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise BadSelection(f"{len(value)} times are no first and last time.", remedy=_REMEDY)
        ends = (value[0], value[1])
    elif isinstance(value, str) and "/" in value:
        first, _, last = value.partition("/")
        ends = (first, last)
    else:
        ends = (value, value)
    start = None if ends[0] is None else _hours_of(ends[0])[0]
    stop = None if ends[1] is None else _hours_of(ends[1])[1]
    if start is not None and stop is not None and stop < start:
        raise BadSelection(f"The last time, {ends[1]}, is before the first, {ends[0]}.", remedy="Swap them.")
    return start, stop


def time_axis(folder: Folder, variables: Iterable[Variable], interval: Interval) -> Hours:
    """Return the hours of the data set, ascending.

    With a limit on both sides these are all hours between. Otherwise they are, of each variable, the hours that
    sessions have planned or, if no session knows the variable, all from its first to its last one. Hours of the day
    that no file has are left out. Raises BadSelection if none remains.
    """
    first, last = interval
    files = [file for variable in variables for file in folder.files[variable]]
    if first is not None and last is not None:
        hours = np.arange(first, last + 1, dtype=np.int64)
        found = hours[np.isin(hours % len(HOURS_OF_DAY), _hours_of_day(files))]
    else:
        found = union(_natural(folder, variable) for variable in variables)
        found = found if first is None else found[found >= first]
        found = found if last is None else found[found <= last]
    if not len(found):
        raise BadSelection("The files have none of these times.", remedy=_REMEDY)
    return found


def _natural(folder: Folder, variable: Variable) -> Hours:
    """Return the hours of a variable if none are specified."""
    files, asked = folder.files[variable], folder.asked.get(variable)
    if asked is None:
        there = union(file.hours() for file in files)
        if not len(there):
            return there
        every = np.arange(there[0], there[-1] + 1, dtype=np.int64)
        return union([every[np.isin(every % len(HOURS_OF_DAY), _hours_of_day(files))], there])
    unknown = [file.hours() for file in files if file.found.record is None]
    return union([asked, *unknown])


def segments(axis: Hours, files: Sequence[DataFile]) -> list[Segment]:
    """Return which hours of the axis are in which file, in the order of the axis. Earlier files are preferred."""
    owner = np.full(len(axis), -1, np.int32)
    number = np.zeros(len(axis), np.int32)
    for at in range(len(files) - 1, -1, -1):
        hours = files[at].hours()
        places = np.searchsorted(axis, hours)
        (there,) = np.nonzero((places < len(axis)) & (axis[np.minimum(places, len(axis) - 1)] == hours))
        owner[places[there]] = at
        number[places[there]] = there
    changes = (owner[1:] != owner[:-1]) | (number[1:] != number[:-1] + 1)
    starts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(axis)]
    return [
        Segment(start, stop, files[owner[start]], int(number[start]))
        for start, stop in pairwise(starts)
        if start < stop and owner[start] >= 0
    ]


def missing_positions(axis: Hours, found: Iterable[Segment]) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the positions of the hours of the axis that no file has."""
    is_missing = np.ones(len(axis), bool)
    for segment in found:
        is_missing[segment.start : segment.stop] = False
    return np.flatnonzero(is_missing)


def describe_hours(axis: Hours, positions: Sequence[int] | np.ndarray[Any, Any]) -> str:
    """Return these positions of the axis as text: FIRST/LAST for those that follow one another, in bounded length."""
    places = np.asarray(positions)
    if not len(places):
        return ""
    starts = np.flatnonzero(np.diff(places, prepend=places[0] - 2) > 1)
    stops = [*(starts[1:] - 1).tolist(), len(places) - 1]
    ranges = list(zip(places[starts].tolist(), places[stops].tolist(), strict=True))
    texts = [
        _stamp(axis[first]) if first == last else f"{_stamp(axis[first])}/{_stamp(axis[last])}"
        for first, last in ranges[:_MOST_RANGES]
    ]
    more = f", and {len(ranges) - _MOST_RANGES:,} more" if len(ranges) > _MOST_RANGES else ""
    return ", ".join(texts) + more


def to_datetime64(hours: Hours) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """Convert hours since 1900."""
    return (np.datetime64("1900-01-01T00", "h") + hours.astype("timedelta64[h]")).astype("datetime64[ns]")


def _stamp(hour: int) -> str:
    return format(moment_of(int(hour)), "%Y-%m-%dT%H")


def _hours_of(value: Any) -> tuple[int, int]:
    """Return the first and the last hour of a year, month, day or time."""
    text = str(value).strip()
    match = _STAMP.fullmatch(text)
    if match is None:
        raise BadSelection(f"{text[:80]!r} is not a time.", remedy=_REMEDY)
    year, month, day, hour = (None if number is None else int(number) for number in match.groups())
    assert year is not None
    try:
        last_month = month or 12
        last_day = day or monthrange(year, last_month)[1]
        first = datetime(year, month or 1, day or 1, hour or 0)
        last = datetime(year, last_month, last_day, 23 if hour is None else hour)
    except ValueError:
        raise BadSelection(f"There is no time {text} in the calendar.", remedy=_REMEDY) from None
    if not 1940 <= year < 2050:
        raise BadSelection(f"{text} is not a time of ERA5, which begins in 1940.", remedy=_REMEDY)
    return hours_since_1900(first), hours_since_1900(last)


def _hours_of_day(files: Iterable[DataFile]) -> list[int]:
    found: set[int] = set()
    for hours in {file.when.hours for file in files}:
        found.update(hours or HOURS_OF_DAY)
    return sorted(found)
