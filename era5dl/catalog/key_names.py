"""Names of object keys for people: "2 m temperature, Feb 2021" for the key of that variable's file of that month."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from era5dl.catalog.keys import KeyParts, parse_key
from era5dl.catalog.products import Cadence, Product
from era5dl.catalog.variables import Variable

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class KeyName:
    """What a file of the bucket contains. first, last: its days; None for a file that applies to all dates.

    variable: None if the catalogue does not have it; then `short` is all that is known of it.
    """

    product: Product
    variable: Variable | None
    short: str
    first: date | None
    last: date | None

    def __str__(self) -> str:
        """Return the name in English: "2 m temperature, Feb 2021"."""
        name = short_name(self.variable.long_name) if self.variable else self.short
        period = describe_days(self.first, self.last)
        return f"{name}, {period}" if period else name


def describe_key(key: str) -> KeyName | None:
    """Return what a key contains; None if it is not the key of an ERA5 file of the bucket."""
    parts = parse_key(key)
    if parts is None:
        return None
    first, last = _days(parts)
    return KeyName(parts.product, parts.variable, parts.short, first, last)


def display_name(key: str) -> str:
    """Return the name of a file in English, or the key itself if it is not the bucket's."""
    name = describe_key(key)
    return str(name) if name else key


def name_and_key(key: str) -> str:
    """Return the name followed by the key: "2 m temperature, Feb 2021 (e5.oper.an.sfc/...)"; or the key alone."""
    name = describe_key(key)
    return f"{name} ({key})" if name else key


def short_name(long_name: str) -> str:
    """Return the long name of a variable with "m" for "metre": "2 m temperature"."""
    return re.sub(r"\b([0-9]+) metres?\b", r"\1 m", long_name)


def describe_days(first: date | None, last: date | None) -> str:
    """Return days in English: "Feb 2021", "1 to 15 Feb 2021", "1 Feb 2021"; "" for all dates."""
    if first is None or last is None:
        return ""
    if is_whole_month(first, last):
        return f"{MONTHS[first.month - 1]} {first.year}"
    end = f"{last.day} {MONTHS[last.month - 1]} {last.year}"
    if first == last:
        return end
    begin = str(first.day)
    if (first.year, first.month) != (last.year, last.month):
        begin += f" {MONTHS[first.month - 1]}"
    return f"{begin} to {end}" if first.year == last.year else f"{begin} {first.year} to {end}"


def is_whole_month(first: date, last: date) -> bool:
    """Return whether the days are exactly those of a month."""
    same = (first.year, first.month) == (last.year, last.month)
    return same and first.day == 1 and last.day == monthrange(last.year, last.month)[1]


def _days(parts: KeyParts) -> tuple[date, date] | tuple[None, None]:
    """Return the first and the last day. A forecast file is named by its initial times: it ends at 06 UTC of a day
    whose other hours are in the next file."""
    if parts.product.cadence is Cadence.FIXED:
        return None, None
    first, last = parts.start.date(), parts.end.date()
    if parts.product.cadence is Cadence.HALF_MONTH and first < last:
        last -= timedelta(days=1)
    return first, last
