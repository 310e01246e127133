"""A selection becomes a plan: predict the keys, list each month of each product once, keep what is there.

Cost: one listing per product and month, from the longest prefix that all wanted keys of the month share: the whole
month when all of it is wanted, a small part of its bytes when one variable is, and never a request more. Where the
catalogue is not sure how a key is spelled, the whole month is listed and the listing decides.

Order: by the start of the file, then by variable in the order of the catalogue. So invariants come first, and whoever
looks into the folder in mid-download finds complete periods, not one variable for all years.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import NamedTuple

from era5dl.bucket.store import Bucket, ObjectInfo
from era5dl.catalog import Cadence, Period, Product, Variable, key_of, parse_key, periods
from era5dl.planner.asking import PARALLEL, Progress, ask_all, shared_prefix
from era5dl.planner.plan import ABSENT, NOT_YET_PUBLISHED, Missing, Plan
from era5dl.selection import Days, Selection

PUBLISHING_LAG = timedelta(days=183)  # 3 to 4 months are usual; what is older and not there will not come
Place = tuple[datetime, int]


class _Wanted(NamedTuple):
    """One file that should exist. place: where in the plan it belongs."""

    place: Place
    variable: Variable
    period: Period
    key: str


class _Month(NamedTuple):
    """What is wanted from one folder of the bucket, and, once it was listed, what is there."""

    product: Product
    folder: str
    wanted: list[_Wanted]
    found: list[tuple[Place, ObjectInfo]]
    absent: list[_Wanted]


def make_plan(
    selection: Selection,
    bucket: Bucket,
    *,
    parallel: int = PARALLEL,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    today: date | None = None,
) -> Plan:
    """The objects that answer a selection, each with size, ETag and date, and what is missing.

    on_progress: called with how many listings are done, and how many there are. today: for the likely reason why
    something is missing; the computer's own date (UTC) if not given. Raises a BucketError if a listing fails for good,
    and Stopped when `cancelled()` turns true.
    """
    months = _predicted(selection)
    listings = [partial(_listed, bucket, month) for month in months]
    months = ask_all(listings, parallel=parallel, on_progress=on_progress, cancelled=cancelled)
    found = sorted(((place, obj) for month in months for place, obj in month.found), key=lambda item: item[0])
    return Plan(
        request={"selection": selection.to_json()},
        objects=tuple(obj for _, obj in found),
        missing=_missing(months, today or datetime.now(timezone.utc).date()),
    )


def _predicted(selection: Selection) -> list[_Month]:
    """Every file that should exist, by product and month."""
    months: dict[tuple[Product, str], list[_Wanted]] = {}
    for product in selection.products:
        numbered = [(n, v) for n, v in enumerate(selection.variables) if v.product == product]
        for period in _periods(product, selection.days):
            wanted = months.setdefault((product, period.folder), [])
            wanted.extend(_Wanted((period.start, n), v, period, key_of(v, period)) for n, v in numbered)
    return [_Month(product, folder, wanted, [], []) for (product, folder), wanted in months.items()]


def _periods(product: Product, days: Days) -> Iterator[Period]:
    """The files that hold any hour of these days, each once, in order of time."""
    if product.cadence is Cadence.FIXED:
        yield from periods(product, date.min, date.min)
        return
    latest: Period | None = None
    for first, last in days:
        for period in periods(product, first, last):
            if latest is None or period.start > latest.start:  # one file can serve the end of one range and the next
                yield period
                latest = period


def _listed(bucket: Bucket, month: _Month) -> _Month:
    """The month with what its listing shows. Asked again, it starts afresh."""
    listing = {obj.key: obj for obj in bucket.list(_prefix(month))}
    found, absent = [], []
    for wanted in month.wanted:
        obj = listing.get(wanted.key) or _spelled_otherwise(wanted, listing.values())
        if obj is None:
            absent.append(wanted)
        else:
            found.append((wanted.place, obj))
    return month._replace(wanted=[], found=found, absent=absent)


def _prefix(month: _Month) -> str:
    """The longest prefix that finds everything wanted from this month in one listing."""
    if any(wanted.variable.confidence != "high" for wanted in month.wanted):
        return f"{month.product.prefix}/{month.folder}/"
    return shared_prefix([wanted.key for wanted in month.wanted])


def _spelled_otherwise(wanted: _Wanted, listing: Iterable[ObjectInfo]) -> ObjectInfo | None:
    """The file of a variable whose key the catalogue is not sure of: same period, same numbers or same short name."""
    variable = wanted.variable
    if variable.confidence == "high":
        return None
    for obj in listing:
        key = parse_key(obj.key)
        if key is not None and (key.start, key.end) == (wanted.period.start, wanted.period.end):
            alike = (key.table, key.param) == (variable.table, variable.param) or key.short == variable.short
            if alike and key.variable in (None, variable):  # never the file of another variable
                return obj
    return None


def _missing(months: list[_Month], today: date) -> tuple[Missing, ...]:
    """What was not found, in the order of the plan, each with its likely reason."""
    newest: dict[Product, str] = {}
    for month in months:
        if month.found:
            newest[month.product] = max(month.folder, newest.get(month.product, ""))
    lagging = f"{today - PUBLISHING_LAG:%Y%m}"
    absent: list[tuple[Place, Missing]] = []
    for month in months:
        reason = _reason(month, newest.get(month.product), lagging)
        absent += [(wanted.place, Missing(wanted.key, reason)) for wanted in month.absent]
    return tuple(missing for _, missing in sorted(absent, key=lambda item: item[0]))


def _reason(month: _Month, newest: str | None, lagging: str) -> str:
    """Likely not published yet: nothing of it is there and it is newer than all that is, or it is so young that it may
    be half published. `newest`: the last folder of the product in which anything was found. `lagging`: the oldest that
    may still be on its way."""
    if month.product.cadence is Cadence.FIXED:
        return ABSENT
    beyond = newest is not None and month.folder > newest
    coming = month.folder >= lagging and (newest is None or month.folder >= newest)
    return NOT_YET_PUBLISHED if beyond or coming else ABSENT
