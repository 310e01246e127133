"""A translated CDS request: what it asks for, what of it is in the bucket, and what is not. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from era5dl.catalog import Variable
from era5dl.cds.values import ALL_HOURS, Dates, dates_json
from era5dl.days import Days
from era5dl.selection import Selection
from era5dl.subset.selection import Area, Point


class Status(Enum):
    """Whether the bucket has a variable: by itself, as the sum of others or similar, or not."""

    FOUND = "found"
    DERIVED = "derived"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know about a request. kind: a name for programs and translations. values: those in the text."""

    kind: str
    text: str
    values: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class CdsItem:
    """One variable of a request. asked: as written. variables: those of the bucket. note: why; may be empty."""

    asked: str
    status: Status
    variables: tuple[Variable, ...]
    note: Note

    @property
    def reason(self) -> str:
        """Why it is derived or absent, or what to know about it."""
        return self.note.text


@dataclass(frozen=True, slots=True)
class CdsRequest:
    """One request.

    supported: whether the bucket has the data set at all; else `refusal` says why not, and where it is. hours: of the
    day, UTC; None for all. levels: hPa; None for all, or for variables without levels. selection: what can be
    downloaded; None if nothing. site: the line of the script; requests of the same line belong to one loop.
    """

    dataset: str
    supported: bool
    refusal: Note
    dates: Dates | None
    hours: tuple[int, ...] | None
    levels: tuple[int, ...] | None
    area: Area | None
    point: Point | None
    items: tuple[CdsItem, ...]
    warnings: tuple[Note, ...]
    selection: Selection | None
    site: int = 0

    @property
    def reason(self) -> str:
        """Why the request is not supported; "" if it is."""
        return self.refusal.text

    @property
    def days(self) -> Days:
        """The days asked for, as ranges."""
        return self.dates.days if self.dates else ()

    @property
    def is_complete(self) -> bool:
        """Whether everything that is asked for is in the bucket, or can be derived."""
        return self.supported and all(item.status is not Status.ABSENT for item in self.items)

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the `request` record."""
        area, point = self.area, self.point
        return {
            "dataset": self.dataset,
            "supported": self.supported,
            "reason": self.reason,
            "dates": dates_json(self.dates),
            "hours": list(ALL_HOURS if self.hours is None else self.hours),
            "levels": None if self.levels is None else list(self.levels),
            "area": None if area is None else [area.north, area.west, area.south, area.east],
            "point": None if point is None else [point.latitude, point.longitude],
        }
