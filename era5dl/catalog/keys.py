"""Object keys of ERA5 files: builds the key of a variable and a period, and parses keys.

    PRODUCT/YYYYMM/PRODUCT.TABLE_PARAM_SHORT.ll025(sc|uv).START_END.nc        time stamps YYYYMMDDHH, UTC

YYYYMM is always the month of START. Rules that are easily missed:

- A forecast file contains half a month of *initial* times (06 and 18 UTC). Its time stamps limit the *valid* times to
  START < time <= END: START is the first initial time; the first values are one hour later. END is the last valid
  hour. Therefore the hours 00-06 UTC of the 1st are in the previous month's folder, and a calendar month needs three
  forecast files.
- An invariant file has the time stamp 1979-01-01 00 and applies to all dates.
- Pressure-level u and v are "ll025uv". Everything else is "ll025sc", including the winds at 10 m and 100 m.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache

from era5dl.catalog.products import Cadence, Product, products
from era5dl.catalog.variables import Variable, variables

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_KEY = (  # compiled when the first key is parsed, so that the import is fast
    r"(?P<product>e5\.oper\.[a-z.]+)/(?P<folder>[0-9]{6})/(?P=product)\."
    r"(?P<table>[0-9]{3})_(?P<param>[0-9]{3})_(?P<short>[0-9a-z]+)\."
    r"ll025(?P<grid>sc|uv)\.(?P<start>[0-9]{10})_(?P<end>[0-9]{10})\.nc"
)


@dataclass(frozen=True, slots=True)
class Period:
    """The period of one file: its two time stamps, and the first hour that has values (the last is `end`)."""

    start: datetime
    end: datetime
    first_valid: datetime

    def __contains__(self, hour: datetime) -> bool:
        return self.first_valid <= hour <= self.end

    @property
    def folder(self) -> str:
        """The folder of the month: "202001"."""
        return f"{self.start.year:04}{self.start.month:02}"

    @property
    def stamp(self) -> str:
        """The two time stamps as in a key: "2020010106_2020011606"."""
        return f"{_format_stamp(self.start)}_{_format_stamp(self.end)}"


@dataclass(frozen=True, slots=True)
class KeyParts:
    """The components of an object key."""

    product: Product
    folder: str
    table: str
    param: str
    short: str
    grid: str
    start: datetime
    end: datetime

    @property
    def variable(self) -> Variable | None:
        """The variable with these numbers and this short name; None if it is not in the catalogue."""
        return _by_code().get((self.product.prefix, self.table, self.param, self.short))


def key_of(variable: Variable, period: Period) -> str:
    """Return the key of the file that should contain this variable for this period."""
    prefix = variable.product.prefix
    return f"{prefix}/{period.folder}/{prefix}.{variable.code}.ll025{variable.grid}.{period.stamp}.nc"


def parse_key(key: str) -> KeyParts | None:
    """Return the components of a key; None if it is not an ERA5 file of this bucket, such as `index.html`."""
    match = re.fullmatch(_KEY, key)
    if match is None:
        return None
    product = _by_prefix().get(match["product"])
    start, end = _parse_stamp(match["start"]), _parse_stamp(match["end"])
    if product is None or start is None or end is None or end < start or not match["start"].startswith(match["folder"]):
        return None
    names = {name: match[name] for name in ("folder", "table", "param", "short", "grid")}
    return KeyParts(product=product, start=start, end=end, **names)


def key_of_file_name(name: str) -> str:
    """Return the key that a file with this name has in the bucket; "" if the name has not the form of one."""
    front, mark, stamps = name.rpartition(".ll025")
    return f"{front.rpartition('.')[0]}/{stamps.partition('.')[2][:6]}/{name}" if mark else ""


def periods(product: Product, first: date, last: date) -> Iterator[Period]:
    """Yield the periods of a product's files that contain any hour from `first` 00 UTC to `last` 23 UTC, in order.

    Hours before the start of the product are skipped. An invariant has a single file, whatever the dates.
    """
    if product.cadence is Cadence.FIXED:
        yield period_of(product, product.first_hour)
        return
    hour = max(datetime.combine(first, time()), product.first_hour)
    until = datetime.combine(last, time(23))
    while hour <= until:
        period = period_of(product, hour)
        yield period
        hour = period.end + _HOUR


def period_of(product: Product, hour: datetime) -> Period:
    """Return the period of the file that contains this valid time (UTC, a whole hour)."""
    if product.cadence is Cadence.FIXED:
        return Period(product.first_hour, product.first_hour, product.first_hour)
    if product.cadence is Cadence.HALF_MONTH:
        return _half_month(_initial_time(hour))
    start = hour.replace(hour=0)
    if product.cadence is Cadence.DAY:
        return Period(start, start.replace(hour=23), start)
    start = start.replace(day=1)
    return Period(start, _next_month(start) - _HOUR, start)


def _initial_time(valid: datetime) -> datetime:
    """Return the initial time of the forecast for this valid time: the last 06 or 18 UTC at least one hour earlier."""
    latest = valid - _HOUR
    if latest.hour >= 18:
        return latest.replace(hour=18)
    if latest.hour >= 6:
        return latest.replace(hour=6)
    return (latest - _DAY).replace(hour=18)


def _half_month(initial: datetime) -> Period:
    """Return the period of the forecast file; it depends on the *initial* time, not on the valid time."""
    first = initial.replace(day=1, hour=6)
    middle = first.replace(day=16)
    start, end = (first, middle) if initial.day < 16 else (middle, _next_month(first))
    return Period(start, end, start + _HOUR)


def _next_month(moment: datetime) -> datetime:
    if moment.month == 12:
        return moment.replace(year=moment.year + 1, month=1)
    return moment.replace(month=moment.month + 1)


def _format_stamp(moment: datetime) -> str:
    return f"{moment.year:04}{moment.month:02}{moment.day:02}{moment.hour:02}"  # strftime may not pad years below 1000


@lru_cache(maxsize=4096)  # the files of all variables have the same time stamps
def _parse_stamp(stamp: str) -> datetime | None:
    try:
        return datetime(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8]), int(stamp[8:]))
    except ValueError:
        return None


@cache
def _by_prefix() -> dict[str, Product]:
    return {product.prefix: product for product in products()}


@cache
def _by_code() -> dict[tuple[str, str, str, str], Variable]:
    return {(v.product.prefix, v.table, v.param, v.short): v for v in variables()}
