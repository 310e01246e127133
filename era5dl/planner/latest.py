"""How far each product reaches in the bucket, and how many days it lags behind, from the files of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

from era5dl.bucket.interface import ObjectInfo
from era5dl.catalog import Cadence, parse_key
from era5dl.days import days_from_json, is_open
from era5dl.errors import BadSelection


@dataclass(frozen=True, slots=True)
class Published:
    """The end of what is published of a product. last_day: of its newest file. lag_days: from then to today (UTC)."""

    product: str
    last_day: date
    lag_days: int


def newest_days(objects: Iterable[ObjectInfo], today: date | None = None) -> tuple[Published, ...]:
    """Return the end of each product that has files with times among these objects, in the order of their names."""
    day = today or datetime.now(timezone.utc).date()
    newest: dict[str, date] = {}
    for obj in objects:
        key = parse_key(obj.key)
        if key is not None and key.product.cadence is not Cadence.FIXED:
            name, last = key.product.name, key.end.date()
            newest[name] = max(newest.get(name, last), last)
    return tuple(Published(name, last, max((day - last).days, 0)) for name, last in sorted(newest.items()))


def ends_in_latest(request: Mapping[str, Any]) -> bool:
    """Return whether the request of a plan is a selection that ends in "latest". Never fails."""
    selection = request.get("selection")
    try:
        return isinstance(selection, Mapping) and is_open(days_from_json(selection.get("days")))
    except BadSelection:
        return False
