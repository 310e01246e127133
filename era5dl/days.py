"""Days: ranges of days (UTC), from dates, or from years, months and days of the month, in canonical form."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

from era5dl.errors import BadSelection

Days = tuple[tuple[date, date], ...]
"""Ranges of days (UTC), first and last included; sorted, with at least one day between two ranges."""

MERGE_PERIODS = ("month", "year", "all", "variable")
"""What a merged file can have: the times of a month, of a year, or all ("variable" is another name of that)."""

FIRST_DAY = date(1940, 1, 1)
LAST_DAY = date(2049, 12, 31)  # no product will reach it; a year such as 2202 is a typing error
LATEST = "latest"
"""What users write instead of the last day, to select all that will be published. Stored as LAST_DAY."""

_DAY = timedelta(days=1)


def select_days(
    *,
    start: str | date | None = None,
    end: str | date | None = None,
    years: Sequence[int | str] = (),
    months: Sequence[int | str] = (),
    days: Sequence[int | str] = (),
) -> Days:
    """Return the days from `start` to `end`, both included, in the given years, months and days of the month.

    An empty argument does not restrict. With `years`, start and end may be omitted; with no argument at all, there are
    no days. Numbers may be texts such as "6-8" or "1,15". Days that a month does not have are ignored. The end may be
    "latest", see `is_open`. Raises BadSelection when no day remains, for days outside of ERA5, and for dates or numbers
    that are not valid.
    """
    in_years = _numbers(years, "year", FIRST_DAY.year, LAST_DAY.year)
    in_months = _numbers(months, "month", 1, 12)
    on_days = _numbers(days, "day", 1, 31)
    if (start is None) != (end is None):
        raise BadSelection("A date range needs both its start and its end.", remedy="Give --start and --end.")
    if start is not None and end is not None:
        if is_latest(start):
            raise BadSelection("Only the end of a selection can be “latest”.", remedy="Give a date as the start.")
        first, last = parse_date(start), LAST_DAY if is_latest(end) else parse_date(end)
        if last < first:
            raise BadSelection(f"The end, {last}, is before the start, {first}.", remedy="Swap them.")
        _check_within_era5(first, last)
    elif in_years:
        first, last = date(min(in_years), 1, 1), date(max(in_years), 12, 31)
    elif in_months or on_days:
        raise BadSelection("Months and days need years.", remedy="Give --years, or --start and --end.")
    else:
        return ()
    spans = _days_in_calendar(first, last, in_years, in_months, on_days)
    if not spans:
        raise BadSelection(
            "No such day exists: the given years, months and days exclude one another.",
            remedy="Choose days that these months have, and months and years that are in the date range.",
        )
    return merge_days(spans)


def is_latest(text: str | date) -> bool:
    """Return whether this is "latest", instead of a date."""
    return isinstance(text, str) and text.strip().lower() == LATEST


def is_open(days: Days) -> bool:
    """Return whether the days have no real end: they end in "latest".

    Such days reach into the last year, also if only some months of each year are selected.
    """
    return bool(days) and days[-1][1].year == LAST_DAY.year


def days_until(days: Days, last: date) -> Days:
    """Return those of the days that are not after `last`."""
    return tuple((begin, min(end, last)) for begin, end in days if begin <= last)


def parse_date(text: str | date) -> date:
    """Parse a date that a person wrote as YYYY-MM-DD. Raises BadSelection."""
    if isinstance(text, date):
        return date(text.year, text.month, text.day)  # a datetime is a date too; its time of day is dropped
    match = re.fullmatch(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", text.strip())
    if match is None:
        raise BadSelection(f"“{text}” is not a date.", remedy="Write dates as YYYY-MM-DD, for example 2021-02-28.")
    year, month, day = (int(part) for part in match.groups())
    try:
        return date(year, month, day)
    except ValueError:
        raise BadSelection(f"There is no {text.strip()} in the calendar.", remedy=_calendar_hint(year, month)) from None


def merge_days(spans: Iterable[tuple[date, date]]) -> Days:
    """Return the fewest ranges that cover the same days, sorted. Raises BadSelection for days outside of ERA5."""
    merged: list[tuple[date, date]] = []
    for first, last in sorted(spans):
        _check_within_era5(first, last)
        if merged and first <= merged[-1][1] + _DAY:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def days_to_json(days: Days) -> list[list[str]]:
    """Return a JSON-able form: lists of the first and the last day, as ISO dates."""
    return [[first.isoformat(), last.isoformat()] for first, last in days]


def days_from_json(value: Any) -> Days:
    """Return the days that `days_to_json` wrote. Raises BadSelection for anything else."""
    if not isinstance(value, list):
        raise BadSelection("“days” of a selection must be a list of [first, last].")
    return tuple(_parse_span(span) for span in value)


def _calendar_hint(year: int, month: int) -> str:
    if year >= 1 and 1 <= month <= 12:
        return f"{year:04}-{month:02} has {monthrange(year, month)[1]} days."
    return "Months go from 01 to 12."


def _check_within_era5(first: date, last: date) -> None:
    if first < FIRST_DAY:
        raise BadSelection(f"ERA5 begins on {FIRST_DAY}; {first} is before that.", remedy=f"Start on {FIRST_DAY}.")
    if last > LAST_DAY:
        raise BadSelection(f"{last} is too far in the future.", remedy="The bucket is about three months behind today.")


def _numbers(items: Sequence[int | str], what: str, least: int, most: int) -> frozenset[int]:
    """Parse numbers: 6, "6", "6-8", "1,15" or any mixture. Raises BadSelection outside of [least, most]."""
    found: set[int] = set()
    remedy = f"Write a number, or a range such as {least}-{most}."
    if what == "year":
        remedy = "Write years with four digits, such as 2020 or 2000-2005."
    for text in (part.strip() for item in items for part in str(item).split(",")):
        match = re.fullmatch(r"([0-9]{1,4})(?:\s*-\s*([0-9]{1,4}))?", text)
        if match is None:
            raise BadSelection(f"“{text}” is not a {what}.", remedy=remedy)
        first, last = int(match[1]), int(match[2] or match[1])
        if not least <= first <= last <= most:
            raise BadSelection(f"“{text}” is not a {what} between {least} and {most}.", remedy=remedy)
        found.update(range(first, last + 1))
    return frozenset(found)


def _days_in_calendar(
    first: date, last: date, years: frozenset[int], months: frozenset[int], days: frozenset[int]
) -> list[tuple[date, date]]:
    """Return the days from `first` to `last` in these years, months and days of the month (empty: all), as ranges."""
    spans: list[tuple[date, date]] = []
    for year in range(first.year, last.year + 1):
        if years and year not in years:
            continue
        for month in sorted(months) or range(1, 13):
            length = monthrange(year, month)[1]
            for day in sorted(days) or (0,):
                if day > length:
                    continue
                begin, until = (
                    (date(year, month, 1), date(year, month, length)) if day == 0 else (date(year, month, day),) * 2
                )
                if begin <= last and until >= first:
                    spans.append((max(begin, first), min(until, last)))
    return spans


def _parse_span(value: Any) -> tuple[date, date]:
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(text, str) for text in value):
        raise BadSelection("“days” of a selection must be a list of [first, last].")
    first, last = parse_date(value[0]), parse_date(value[1])
    if last < first:
        raise BadSelection(f"The end, {last}, is before the start, {first}.")
    return first, last
