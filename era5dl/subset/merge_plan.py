"""Merge plan: which downloaded files become one file with time concatenated, and which of their times it has.

Files of the same variable and the same selection belong together; the days of the selection do not matter. The times
of a file are known from its name and its selection, so nothing is read here. A forecast file of the end of a month has
the first hours of the next month: with a file for each month, each gets the hours of its own month.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from era5dl.catalog import Cadence
from era5dl.catalog.keys import KeyParts
from era5dl.days import MERGE_PERIODS
from era5dl.errors import Era5Error, UsageError
from era5dl.hdf5 import UnsupportedLayout
from era5dl.ranges import Range
from era5dl.subset.geometry import EPOCH, MOST_HOURS, hours_since_1900
from era5dl.subset.selection import Subset

MARK = ".merged."
"""Part of the names of all merged files."""

_VERSION = 1  # of the content of merged files, in their digest
_DAY_HOURS = 24
_MOST_SPANS = 5  # of missing times that a text lists


@dataclass(frozen=True, slots=True)
class Part:
    """A downloaded file. form: the JSON form of its selection, as the file has it; {} for a whole file.

    times: valid times in hours since 1900, ascending. exists: false for a file that is wanted but not there.
    """

    path: Path
    key: str
    etag: str
    size: int
    variable: str  # such as e5.oper.an.sfc.128_167_2t.ll025sc
    form: str
    times: tuple[int, ...]
    exists: bool = True

    @property
    def source(self) -> str:
        """The object that it comes from."""
        return f"{self.key} {self.etag or '-'} {self.size}"


@dataclass(frozen=True, slots=True)
class Slice:
    """The times start:stop of a part."""

    part: Part
    start: int
    stop: int

    @property
    def times(self) -> tuple[int, ...]:
        return self.part.times[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class Group:
    """The parts of one merged file, in the order of time. variable, form: as in Part. absent: keys of parts that are
    wanted but not there."""

    variable: str
    form: str
    slices: tuple[Slice, ...]
    absent: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the merged file: VARIABLE.FIRST_LAST.merged.ID.nc, without ID if whole files are merged."""
        first, last = (format(moment_of(time), "%Y%m%d%H") for time in (self.first, self.last))
        selection = "" if self.form == "{}" else hashlib.sha256(_compact(self.form).encode()).hexdigest()[:8] + "."
        return f"{self.variable}.{first}_{last}{MARK}{selection}nc"

    @property
    def first(self) -> int:
        return self.slices[0].times[0]

    @property
    def last(self) -> int:
        return self.slices[-1].times[-1]

    @property
    def count(self) -> int:
        """The number of times."""
        return sum(one.stop - one.start for one in self.slices)

    @property
    def has_points(self) -> bool:
        return "points" in json.loads(self.form)

    @property
    def sources(self) -> list[str]:
        """Key, ETag and size of all objects, in the order of time."""
        return list(dict.fromkeys(one.part.source for one in self.slices))

    @property
    def digest(self) -> str:
        """The same for merged files with the same content: sources, selection and times."""
        sources = [[one.part.source, one.part.form, _spans(one.times)] for one in self.slices]
        content = json.dumps([_VERSION, self.form, sources])
        return hashlib.sha256(content.encode()).hexdigest()

    def missing(self) -> list[Range]:
        """Return the times between the first and the last that no part has, as ranges [first, last]."""
        hours = json.loads(self.form).get("hours", [])
        found = []
        for before, after in pairwise(time for one in self.slices for time in one.times):
            if after - before > 1:
                between = [time for time in range(before + 1, after) if not hours or time % _DAY_HOURS in hours]
                if between:
                    found.append((between[0], between[-1]))
        return found


@dataclass(frozen=True, slots=True)
class MergedFile:
    """A file with the times of several others. first, last, missing: hours since 1900. kept: it was there already."""

    path: Path
    size: int
    files: int
    times: int
    first: int
    last: int
    missing: tuple[Range, ...]
    kept: bool


def make_part(
    path: Path, key: str, parts: KeyParts, form: Mapping[str, Any], etag: str, size: int, *, exists: bool = True
) -> Part:
    """Return the part for a file. form: JSON form of its selection, where points may be only counted.

    Raises UnsupportedLayout for a file that cannot be merged, such as an invariant, and BadSelection.
    """
    places = {name: form[name] for name in ("levels", "area", "points") if name in form}
    restricted = Subset.from_json({name: value for name, value in form.items() if name not in places})
    subset = {name: value for name, value in form.items() if name != "days"}
    name = f"{parts.product.prefix}.{parts.table}_{parts.param}_{parts.short}.ll025{parts.grid}"
    times = valid_times(parts, restricted)
    if not times:
        raise UnsupportedLayout("no selected time")
    return Part(path, key, etag, size, name, json.dumps(subset), times, exists)


def valid_times(key: KeyParts, subset: Subset) -> tuple[int, ...]:
    """Return the valid times of a file that a subset selects. Raises UnsupportedLayout."""
    cadence = key.product.cadence
    if cadence is Cadence.FIXED:
        raise UnsupportedLayout("a file without times")
    first, last = hours_since_1900(key.start), hours_since_1900(key.end)
    if last - first >= MOST_HOURS:
        raise UnsupportedLayout("a period of more than a month")
    first += cadence is Cadence.HALF_MONTH  # its first value is one hour after the first initial time
    spans = [
        (hours_since_1900(datetime(*begin.timetuple()[:3])), hours_since_1900(datetime(*end.timetuple()[:3])) + 23)
        for begin, end in subset.days
    ] or [(first, last)]
    return tuple(
        time
        for begin, end in spans
        for time in range(max(first, begin), min(last, end) + 1)
        if not subset.hours or time % _DAY_HOURS in subset.hours
    )


def plan_groups(parts: Iterable[Part], by: str) -> tuple[list[Group], dict[str, Era5Error]]:
    """Return the groups, sorted by name, and by variable the error of those that cannot be merged.

    by: one of MERGE_PERIODS. A group without any existing part is left out. Raises UsageError for another period.
    """
    check_period(by)
    slices: defaultdict[tuple[str, str, str], list[Slice]] = defaultdict(list)
    for part in parts:
        for period, start, stop in _periods(part.times, by):
            slices[part.variable, part.form, period].append(Slice(part, start, stop))
    groups, errors = [], {}
    for (variable, form, period), found in slices.items():
        there = [one for one in found if one.part.exists]
        absent = sorted({one.part.key for one in found if not one.part.exists})
        try:
            if there:
                groups.append(Group(variable, form, tuple(_in_order(there)), tuple(absent)))
        except Era5Error as error:
            errors[f"{variable}{f', {period}' if period else ''}"] = error
    return sorted(groups, key=lambda group: group.name), errors


def check_period(by: str) -> None:
    """Raise UsageError unless `by` is one of MERGE_PERIODS."""
    if by not in MERGE_PERIODS:
        raise UsageError(f"Files cannot be merged by {by!r}.", remedy=f"Use one of {', '.join(MERGE_PERIODS)}.")


def moment_of(time: int) -> datetime:
    """Convert hours since 1900."""
    return EPOCH + timedelta(hours=time)


def describe_spans(spans: Sequence[Range]) -> str:
    """Return a text such as "2020-01-05 00 to 2020-01-06 23 UTC"."""
    texts = [f"{moment_of(first):%Y-%m-%d %H} to {moment_of(last):%Y-%m-%d %H}" for first, last in spans[:_MOST_SPANS]]
    more = f", and {len(spans) - _MOST_SPANS:,} more times" if len(spans) > _MOST_SPANS else ""
    return f"{', '.join(texts)} UTC{more}"


def _periods(times: Sequence[int], by: str) -> Iterator[tuple[str, int, int]]:
    """Yield the periods that have any of these times, and the positions of their first and after their last time."""
    pattern = {"month": "%Y%m", "year": "%Y"}.get(by, "")
    start = 0
    while start < len(times):
        moment = moment_of(times[start])
        stop = len(times)
        if pattern:
            year, month = divmod(moment.year * 12 + moment.month, 12) if by == "month" else (moment.year + 1, 0)
            stop = bisect_left(times, hours_since_1900(datetime(year, month + 1, 1)), start)
        yield format(moment, pattern) if pattern else "", start, stop
        start = stop


def _in_order(slices: Iterable[Slice]) -> list[Slice]:
    """Return the slices in the order of time, without those whose times another one of the same object has, too.

    Raises Era5Error when two have the same times otherwise.
    """
    found: list[Slice] = []
    for one in sorted(slices, key=lambda one: (one.times[0], -one.times[-1], one.part.source, str(one.part.path))):
        if found and one.times[0] <= found[-1].times[-1]:
            last = found[-1]
            if one.part.source == last.part.source and set(one.times) <= set(last.times):
                continue
            raise Era5Error(
                f"{last.part.path} and {one.part.path} have the same times, such as "
                f"{moment_of(one.times[0]):%Y-%m-%d %H} UTC",
                remedy="Delete the one that is not needed, or move it to another folder.",
            )
        found.append(one)
    return found


def _spans(times: Sequence[int]) -> list[int]:
    return [times[0], times[-1], len(times)]


def _compact(form: str) -> str:
    return json.dumps(json.loads(form), sort_keys=True, separators=(",", ":"))
