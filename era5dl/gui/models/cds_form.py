"""Model of the dialog for requests of the Climate Data Store: what it shows, and the fields that it fills in. No Tk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from era5dl.cds.request import CdsRequest, Status
from era5dl.cds.translation import Translation
from era5dl.cds.values import each_day
from era5dl.days import select_days
from era5dl.errors import BadSelection
from era5dl.gui.models.request_form import Fields, Period
from era5dl.gui.models.subset_form import SubsetFields
from era5dl.gui.text import cds_text
from era5dl.gui.text.i18n import _, ngettext
from era5dl.selection import Selection

EXAMPLE = """\
client.retrieve(
    "reanalysis-era5-single-levels",
    {
        "variable": ["2m_temperature", "total_precipitation", "land_sea_mask"],
        "year": "2021",
        "month": "02",
        "day": ["01", "15", "28"],
        "time": ["00:00", "12:00"],
        "area": [54, 73, 18, 135],
    },
)
"""
"""A request whose files the bucket of the demo has, too."""


class Line(NamedTuple):
    """A line of the dialog. style: "head", "found", "absent", "note" or "muted"."""

    style: str
    text: str


def lines_of(translation: Translation) -> list[Line]:
    """Return what the requests are in the bucket."""
    lines: list[Line] = []
    for request in translation.requests:
        if lines:
            lines.append(Line("muted", ""))
        lines += _lines_of_request(request)
    return lines


def _lines_of_request(request: CdsRequest) -> Iterator[Line]:
    yield Line("head", request.dataset)
    if extent := cds_text.extent(request):
        yield Line("muted", extent)
    if not request.supported:
        yield Line("absent", cds_text.note(request.refusal))
        return
    for item in request.items:
        is_absent = item.status is Status.ABSENT
        reason = cds_text.note(item.note) if item.note.kind else ""
        separator = ": " if is_absent else " · "
        text = f"{cds_text.item(item)}{separator if reason else ''}{reason}"
        yield Line("absent" if is_absent else "found", f"{'✗' if is_absent else '✓'} {text}")
    for warning in request.warnings:
        yield Line("note", cds_text.note(warning))


def error_lines(detail: str, remedy: str) -> tuple[list[Line], int]:
    """Return what is shown for an error, and the line of the text that it is about; 0 if it names none.

    detail: the error's message, whose further lines show the place.
    """
    message = detail.split("\n")[0]
    found = re.match(r"Line ([0-9]+): ", message)
    lines = [Line("absent", _("This is no request that can be read.")), Line("absent", message), Line("note", remedy)]
    return lines, int(found[1]) if found else 0


def choices(translation: Translation) -> list[str]:
    """Return a line for each selection of which one can be used."""
    return [
        f"{number}: {', '.join(variable.short for variable in selection.variables)[:60]} · {_span(selection)}"
        for number, selection in enumerate(translation.selections, start=1)
    ]


def _span(selection: Selection) -> str:
    if not selection.days:
        return _("all dates")
    return f"{selection.days[0][0]} … {selection.days[-1][1]}"


def fields_of(selection: Selection, before: Fields) -> tuple[Fields, str]:
    """Return the fields that select this, and a note if they select more days. The folder stays as it was."""
    subset = selection.subset
    place = SubsetFields(hours=frozenset(subset.hours), levels=frozenset(subset.levels))
    if subset.area is not None:
        area = subset.area
        place = place.with_area((area.north, area.west, area.south, area.east))
    elif subset.points:
        place = place.with_point((subset.points[0].latitude, subset.points[0].longitude))
    restricted = subset.hours or subset.levels or subset.area or subset.points
    place = replace(place, only_days=bool(subset.days) and not restricted)
    fields = replace(before, variables=frozenset(v.name for v in selection.variables), subset=place)
    if not selection.days:
        return fields, ""
    first, last = selection.days[0][0], selection.days[-1][1]
    fields = replace(fields, period=Period.RANGE, first=first.isoformat(), last=last.isoformat())
    if len(selection.days) == 1:
        return fields, ""
    days = each_day(selection.days)
    grid = _grid(days)
    if grid is not None:
        years, months, of_month = grid
        return replace(fields, period=Period.GRID, years=years, months=months, days=of_month), ""
    more = (last - first).days + 1 - len(days)
    return fields, ngettext("This window selects one day more.", "This window selects {n:,} days more.", more)


def _grid(days: list[date]) -> tuple[frozenset[int], frozenset[int], frozenset[int]] | None:
    """Return the years, months and days of the month whose combinations are these days; None if there are none."""
    years, months, of_month = {d.year for d in days}, {d.month for d in days}, {d.day for d in days}
    try:
        found = select_days(years=sorted(years), months=sorted(months), days=sorted(of_month))
    except BadSelection:
        return None
    same = each_day(found) == days
    return (frozenset(years), frozenset(months), frozenset(of_month)) if same else None
