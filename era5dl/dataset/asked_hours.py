"""Hours that the sessions of a folder have planned to download, of each variable: those whose absence is a gap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from era5dl.archive.scan import Scan
from era5dl.catalog import Cadence, Variable, parse_key
from era5dl.dataset.hours import Hours, hours_of_key, on_days, union
from era5dl.days import Days, days_from_json, merge_days
from era5dl.errors import BadSelection, SessionDamaged, SessionNotFound
from era5dl.folder.paths import OWN_FOLDER
from era5dl.hdf5 import UnsupportedLayout
from era5dl.planner.plan import NOT_YET_PUBLISHED, Plan
from era5dl.session import resume_file
from era5dl.subset.selection import Subset


def asked_hours(scan: Scan, plan: Plan | None, wanted: set[str] | None) -> dict[Variable, Hours]:
    """Return the hours of the files that sessions have planned, on the days that were selected.

    plan: only of this plan, whose files have the names `wanted`. Hours that are not yet published are left out.
    """
    days = _days_of_sessions(scan) if plan is None else _days_of_request(plan.request)
    spans: defaultdict[Variable, list[Hours]] = defaultdict(list)
    planned = [
        (record.version.key, record.subset)
        for name, record in scan.records.files.items()
        if wanted is None or name in wanted
    ]
    absent = scan.records.missing if plan is None else {one.key: one.reason for one in plan.missing}
    subset = Subset() if plan is None else plan.subset
    planned += [(key, subset) for key, reason in absent.items() if reason != NOT_YET_PUBLISHED]
    for key, subset in planned:
        parts = parse_key(key)
        if parts is None or parts.variable is None or parts.product.cadence is Cadence.FIXED:
            continue
        try:
            spans[parts.variable].append(hours_of_key(parts, subset.for_file(parts)))
        except (BadSelection, UnsupportedLayout):
            continue
    return {variable: on_days(union(found), days) for variable, found in spans.items()}


def _days_of_sessions(scan: Scan) -> Days:
    """Return the days that the sessions of a folder have selected; () if one of them has a list of keys instead."""
    selected: list[Days] = []
    for summary in scan.records.sessions:
        try:
            saved, _ = resume_file.read(scan.folder / OWN_FOLDER / f"{summary.id}.json", summary.id)
        except (SessionDamaged, SessionNotFound, OSError):
            continue
        if "selection" not in saved.info.request:
            return ()
        selected.append(_days_of_request(saved.info.request))
    return merge_days(span for days in selected for span in days)


def _days_of_request(request: Mapping[str, Any]) -> Days:
    selection = request.get("selection")
    try:
        return days_from_json(selection.get("days")) if isinstance(selection, Mapping) else ()
    except BadSelection:
        return ()
