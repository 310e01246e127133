"""The eight products of the bucket: which files they are cut into, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache

from era5dl.catalog import data


class Cadence(Enum):
    """How much time one file of a product holds. All hours are UTC."""

    DAY = "day"  # 00 to 23
    MONTH = "month"  # the 1st 00 to the last day 23
    HALF_MONTH = "half month"  # forecasts started on days 1-15, or 16 and later
    FIXED = "fixed"  # no time at all


@dataclass(frozen=True, slots=True)
class Product:
    """One top-level folder of the bucket.

    prefix: "e5.oper.an.pl". first_hour: the first hour (UTC) for which there are values.
    levels_hpa: the pressure levels, all of them in every file; empty for a product on a single level.
    source: entries of data/SOURCES.md.
    """

    prefix: str
    description: str
    cadence: Cadence
    first_hour: datetime
    levels_hpa: tuple[int, ...]
    source: str
    confidence: str

    @property
    def name(self) -> str:
        """The short name people type: "an.pl", "fc.sfc.accumu", "invariant"."""
        return self.prefix.removeprefix("e5.oper.")

    def __str__(self) -> str:
        return self.name


@cache
def products() -> tuple[Product, ...]:
    """All products, in the order of their names."""
    return tuple(
        Product(
            prefix=entry["prefix"],
            description=entry["description"],
            cadence=Cadence(entry["cadence"]),
            first_hour=datetime.fromisoformat(entry["first_hour"] + ":00"),
            levels_hpa=tuple(entry.get("levels_hpa", ())),
            source=entry["source"],
            confidence=entry["confidence"],
        )
        for entry in data.read_json("products.json")
    )
