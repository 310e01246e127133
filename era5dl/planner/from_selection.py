"""Plan from a selection: predicts the keys, lists each month of each product once, and keeps the objects it finds.

It takes one listing per product and month, with the longest prefix that all keys of the month share. If the catalogue
is not sure how a key is spelled, the whole month is listed to find the key.

Objects are sorted by the start time of the file, then by variable in the order of the catalogue. So invariants come
first, and an unfinished download has complete periods instead of one variable for all years.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import NamedTuple

from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.catalog import Cadence, Period, Product, Variable, key_of, parse_key, periods, variables
from era5dl.days import Days, days_until, is_open
from era5dl.errors import BadSelection
from era5dl.planner.bucket_queries import common_prefix, confirm_empty_objects
from era5dl.planner.concurrent_requests import DEFAULT_PARALLEL, Progress, run_concurrently
from era5dl.planner.plan import ABSENT, NOT_YET_PUBLISHED, Missing, Plan
from era5dl.selection import Selection
from era5dl.subset.grid import era5_grid

PUBLICATION_DELAY = timedelta(days=183)  # usually 3 to 4 months; older files that are missing will not be published
Position = tuple[datetime, int]
"""Sort key of an object in the plan: start of the file, index of the variable in the selection."""


class _Month(NamedTuple):
    """The requested files of one folder of the bucket: every variable in every period."""

    product: Product
    folder: str
    variables: list[tuple[int, Variable]]  # with their indices in the selection
    periods: list[Period]


class _Listing(NamedTuple):
    """The requested files of one month: those that the bucket has, and those that it does not have."""

    month: _Month
    found: list[tuple[Position, ObjectInfo]]
    absent: list[tuple[Position, str]]  # keys


def make_plan(
    selection: Selection,
    bucket: Bucket,
    *,
    parallel: int = DEFAULT_PARALLEL,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    today: date | None = None,
) -> Plan:
    """Return the plan for a selection: the objects with size, ETag and date, and the missing files.

    Files that contain a selected day, but no selected hour of it, are not requested; `Plan.passed_over` names them. If
    the selection ends in "latest", files that are not yet published are not missing.

    parallel: number of concurrent listings. on_progress: called with the number of finished listings and of all
    listings. today: date (UTC) used to guess why a file is missing; by default the current one. Raises BadSelection if
    the area is between grid points, or no file has any of the hours; a BucketError if a listing finally fails; Stopped
    if `cancelled()` returns true.
    """
    era5_grid().cells(selection.subset)
    day = today or datetime.now(timezone.utc).date()
    months, passed_over = _months(selection, day)
    tasks = [partial(_list_month, bucket, month) for month in months]
    listings = run_concurrently(tasks, parallel=parallel, on_progress=on_progress, cancelled=cancelled)
    listed = sorted((item for listing in listings for item in listing.found), key=lambda item: item[0])
    confirmed = confirm_empty_objects([obj for _, obj in listed], bucket, parallel=parallel, cancelled=cancelled)
    found = [confirmed.get(obj.key, obj) for _, obj in listed]
    missing = _missing(listings, day)
    if is_open(selection.days):
        missing = tuple(absent for absent in missing if absent.reason != NOT_YET_PUBLISHED)
    return Plan(
        request={"selection": selection.to_json()},
        objects=tuple(one for one in found if isinstance(one, ObjectInfo)),
        missing=missing + tuple(one for one in found if isinstance(one, Missing)),
        passed_over=passed_over,
    )


def _months(selection: Selection, today: date) -> tuple[list[_Month], tuple[str, ...]]:
    """Return the folders that have to be listed, with the requested files of each, and the keys of files in which no
    hour is selected. Raises BadSelection if there are no others."""
    days = days_until(selection.days, today) if is_open(selection.days) else selection.days
    if selection.days and not days:
        raise BadSelection("The selection begins in the future.", remedy="Choose an earlier start.")
    months: dict[tuple[Product, str], _Month] = {}
    passed_over: list[str] = []
    for product in selection.products:
        numbered = [(n, v) for n, v in enumerate(selection.variables) if v.product == product]
        for period in selected_periods(product, days):
            keys = [key_of(variable, period) for _, variable in numbered]
            parsed = parse_key(keys[0])
            if parsed and not selection.subset.selects_any_of(parsed):
                passed_over += keys
                continue
            month = _Month(product, period.folder, numbered, [])
            months.setdefault((product, period.folder), month).periods.append(period)
    if not months:
        raise BadSelection("No file has any of the selected hours on these days.", remedy="Choose more hours or days.")
    return list(months.values()), tuple(passed_over)


def selected_periods(product: Product, days: Days) -> Iterator[Period]:
    """Yield the periods of the files that contain any hour of these days, each once, sorted by time."""
    if product.cadence is Cadence.FIXED:
        yield from periods(product, date.min, date.min)
        return
    latest: Period | None = None
    for first, last in days:
        for period in periods(product, first, last):
            if latest is None or period.start > latest.start:  # one file may contain days of two ranges
                yield period
                latest = period


def _list_month(bucket: Bucket, month: _Month) -> _Listing:
    """List one month. Keeps no state between calls, because it is called again after an error."""
    wanted = [
        ((period.start, number), variable, period, key_of(variable, period))
        for period in month.periods
        for number, variable in month.variables
    ]
    unsure = any(variable.confidence != "high" for _, variable in month.variables)
    prefix = f"{month.product.prefix}/{month.folder}/" if unsure else common_prefix([key for *_, key in wanted])
    objects = {obj.key: obj for obj in bucket.list(prefix)}
    listing = _Listing(month, [], [])
    for position, variable, period, key in wanted:
        obj = objects.get(key) or _with_other_spelling(variable, period, objects.values())
        if obj is None:
            listing.absent.append((position, key))
        else:
            listing.found.append((position, obj))
    return listing


def _with_other_spelling(variable: Variable, period: Period, objects: Iterable[ObjectInfo]) -> ObjectInfo | None:
    """Return the object of a variable whose key the catalogue is not sure of; None if there is none.

    An object with the same short name is preferred, even if its numbers or grid differ. Otherwise an object with the
    same numbers is used, unless its short name belongs to another variable of the catalogue.
    """
    if variable.confidence == "high":
        return None
    parsed = ((parse_key(obj.key), obj) for obj in objects)
    files = [(key, obj) for key, obj in parsed if key and (key.start, key.end) == (period.start, period.end)]
    same_name = [obj for key, obj in files if key.short == variable.short]
    known_names = {v.short for v in variables() if v.product == variable.product}
    same_numbers = [
        obj
        for key, obj in files
        if (key.table, key.param) == (variable.table, variable.param) and key.short not in known_names
    ]
    return next(iter(same_name + same_numbers), None)


def _missing(listings: list[_Listing], today: date) -> tuple[Missing, ...]:
    """Return the files that were not found, in the order of the plan, each with its likely reason."""
    newest: dict[Product, str] = {}
    for month in (listing.month for listing in listings if listing.found):
        newest[month.product] = month.folder  # months are sorted by time
    oldest_pending = f"{today - PUBLICATION_DELAY:%Y%m}"
    absent: list[tuple[Position, Missing]] = []
    for month, _, keys in listings:
        reason = _reason(month, newest.get(month.product), oldest_pending)
        absent += [(position, Missing(key, reason)) for position, key in keys]
    return tuple(missing for _, missing in sorted(absent, key=lambda item: item[0]))


def _reason(month: _Month, newest: str | None, oldest_pending: str) -> str:
    """Return why files of a month are probably missing.

    They are not yet published if the month is newer than all files that were found, or so recent that it may be
    incomplete. newest: the last folder of the product in which a file was found. oldest_pending: the oldest folder in
    which files may still be published.
    """
    if month.product.cadence is Cadence.FIXED:
        return ABSENT
    after_newest = newest is not None and month.folder > newest
    pending = month.folder >= oldest_pending and (newest is None or month.folder == newest)
    return NOT_YET_PUBLISHED if after_newest or pending else ABSENT
