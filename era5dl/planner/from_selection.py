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

from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.catalog import Cadence, Period, Product, Variable, key_of, parse_key, periods, variables
from era5dl.planner.concurrent_requests import PARALLEL, Progress, ask_all, shared_prefix
from era5dl.planner.empty_objects import confirm
from era5dl.planner.plan import ABSENT, NOT_YET_PUBLISHED, Missing, Plan
from era5dl.selection import Days, Selection

PUBLISHING_LAG = timedelta(days=183)  # 3 to 4 months are usual; what is older and not there will not come
Place = tuple[datetime, int]


class _Month(NamedTuple):
    """What is wanted from one folder of the bucket: every variable in every period."""

    product: Product
    folder: str
    variables: list[tuple[int, Variable]]  # with their places in the selection
    periods: list[Period]


class _Answer(NamedTuple):
    """What one month's listing shows. A place says where in the plan an object belongs."""

    month: _Month
    found: list[tuple[Place, ObjectInfo]]
    absent: list[tuple[Place, str]]


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
    questions = [partial(_listed, bucket, month) for month in _months(selection)]
    answers = ask_all(questions, parallel=parallel, on_progress=on_progress, cancelled=cancelled)
    listed = sorted((item for answer in answers for item in answer.found), key=lambda item: item[0])
    told = confirm([obj for _, obj in listed], bucket, parallel=parallel, cancelled=cancelled)
    found = [told.get(obj.key, obj) for _, obj in listed]
    return Plan(
        request={"selection": selection.to_json()},
        objects=tuple(one for one in found if isinstance(one, ObjectInfo)),
        missing=_missing(answers, today or datetime.now(timezone.utc).date())
        + tuple(one for one in found if isinstance(one, Missing)),
    )


def _months(selection: Selection) -> list[_Month]:
    """The folders that have to be listed."""
    months: dict[tuple[Product, str], _Month] = {}
    for product in selection.products:
        numbered = [(n, v) for n, v in enumerate(selection.variables) if v.product == product]
        for period in _periods(product, selection.days):
            month = _Month(product, period.folder, numbered, [])
            months.setdefault((product, period.folder), month).periods.append(period)
    return list(months.values())


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


def _listed(bucket: Bucket, month: _Month) -> _Answer:
    """What the bucket has of what is wanted from this month. Asked again, it starts afresh."""
    wanted = [
        ((period.start, number), variable, period, key_of(variable, period))
        for period in month.periods
        for number, variable in month.variables
    ]
    unsure = any(variable.confidence != "high" for _, variable in month.variables)
    prefix = f"{month.product.prefix}/{month.folder}/" if unsure else shared_prefix([key for *_, key in wanted])
    listing = {obj.key: obj for obj in bucket.list(prefix)}
    answer = _Answer(month, [], [])
    for place, variable, period, key in wanted:
        obj = listing.get(key) or _spelled_otherwise(variable, period, listing.values())
        if obj is None:
            answer.absent.append((place, key))
        else:
            answer.found.append((place, obj))
    return answer


def _spelled_otherwise(variable: Variable, period: Period, listing: Iterable[ObjectInfo]) -> ObjectInfo | None:
    """The file of a variable whose key the catalogue is not sure of: by its short name, whatever the numbers and grid;
    else by its numbers, if the catalogue knows no other variable of that short name."""
    if variable.confidence == "high":
        return None
    parsed = ((parse_key(obj.key), obj) for obj in listing)
    files = [(key, obj) for key, obj in parsed if key and (key.start, key.end) == (period.start, period.end)]
    named = [obj for key, obj in files if key.short == variable.short]
    taken = {v.short for v in variables() if v.product == variable.product}
    numbered = [
        obj
        for key, obj in files
        if (key.table, key.param) == (variable.table, variable.param) and key.short not in taken
    ]
    return next(iter(named + numbered), None)


def _missing(answers: list[_Answer], today: date) -> tuple[Missing, ...]:
    """What was not found, in the order of the plan, each with its likely reason."""
    newest: dict[Product, str] = {}
    for month in (answer.month for answer in answers if answer.found):
        newest[month.product] = month.folder  # months come in order of time
    lagging = f"{today - PUBLISHING_LAG:%Y%m}"
    absent: list[tuple[Place, Missing]] = []
    for month, _, places in answers:
        reason = _reason(month, newest.get(month.product), lagging)
        absent += [(place, Missing(key, reason)) for place, key in places]
    return tuple(missing for _, missing in sorted(absent, key=lambda item: item[0]))


def _reason(month: _Month, newest: str | None, lagging: str) -> str:
    """Not published yet, if it is newer than everything that is there, or so young that it may be half published.

    newest: the last folder of the product in which anything was found. lagging: the oldest that may yet be on its way.
    """
    if month.product.cadence is Cadence.FIXED:
        return ABSENT
    beyond = newest is not None and month.folder > newest
    coming = month.folder >= lagging and (newest is None or month.folder == newest)
    return NOT_YET_PUBLISHED if beyond or coming else ABSENT
