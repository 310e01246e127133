"""Selections of several CDS requests: as few as possible, so that one download has what belongs together.

Requests for the same days, hours and area become one selection of all their variables; requests for the same variables
become one selection of all their days.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from era5dl.cds.request import CdsRequest
from era5dl.cds.values import Dates
from era5dl.days import merge_days
from era5dl.selection import Selection
from era5dl.subset.selection import Subset


def merge_loops(requests: Sequence[CdsRequest]) -> tuple[CdsRequest, ...]:
    """Return the requests, with those of one call in a loop, which differ only in their dates, as one."""
    groups: dict[Hashable, list[CdsRequest]] = {}
    for number, request in enumerate(requests):
        items = tuple((item.asked, item.status) for item in request.items)
        kind = (request.hours, request.levels, request.area, request.point, items, request.supported, request.dataset)
        groups.setdefault((request.site or -number - 1, *kind), []).append(request)
    return tuple(_merge_dates(group) for group in groups.values())


def _merge_dates(group: list[CdsRequest]) -> CdsRequest:
    if len(group) == 1:
        return group[0]
    days = merge_days(span for request in group for span in request.days)
    ranges = all(request.dates is not None and request.dates.is_range for request in group)
    dates = Dates(days, is_range=ranges and len(days) == 1) if days else None
    warnings = dict.fromkeys(note for request in group for note in request.warnings)
    selections = selections_of(group)
    selection = selections[0] if len(selections) == 1 else None
    return replace(group[0], dates=dates, warnings=tuple(warnings), selection=selection)


def selections_of(requests: Iterable[CdsRequest]) -> tuple[Selection, ...]:
    """Return what the requests select, in as few selections as these rules give, in the order of the requests."""
    found = [request.selection for request in requests if request.selection is not None]
    return tuple(_join(_join(found, by_days=True), by_days=False))


def _join(selections: Sequence[Selection], *, by_days: bool) -> list[Selection]:
    """Join selections of the same days, or of the same variables, which otherwise select the same of each file."""
    groups: dict[Hashable, list[Selection]] = {}
    for selection in selections:
        subset = replace(selection.subset, days=(), levels=())
        key: Hashable = (subset, selection.days, bool(selection.subset.days))
        if not by_days:
            key = (subset, selection.subset.levels, selection.variables)
        for other in groups.setdefault(key, []):
            if _levels_agree(other, selection):
                groups[key][groups[key].index(other)] = _joined(other, selection)
                break
        else:
            groups[key].append(selection)
    return [selection for group in groups.values() for selection in group]


def _levels_agree(one: Selection, other: Selection) -> bool:
    """Return whether levels are no reason to keep two selections apart: not both are on pressure levels, or equal."""
    on_levels = [any(product.levels_hpa for product in selection.products) for selection in (one, other)]
    return not all(on_levels) or one.subset.levels == other.subset.levels


def _joined(one: Selection, other: Selection) -> Selection:
    days = merge_days((*one.days, *other.days))
    only_days = bool(one.subset.days or other.subset.days)
    base = one.subset if any(product.levels_hpa for product in one.products) else other.subset
    subset = Subset(base.hours, base.levels, base.area, base.points, days if only_days else ())
    return Selection((*one.variables, *other.variables), days, subset)
