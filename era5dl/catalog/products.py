"""The eight products of the bucket, with the period of their files and their first hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache

from era5dl.catalog import data


class Cadence(Enum):
    """The period that one file of a product covers. All hours are UTC."""

    DAY = "day"  # hours 00 to 23
    MONTH = "month"  # hour 00 of the 1st to hour 23 of the last day
    HALF_MONTH = "half month"  # forecasts with initial times on days 1-15, or 16 and later
    FIXED = "fixed"  # does not depend on time


@dataclass(frozen=True, slots=True)
class Product:
    """A product: one top-level folder of the bucket.

    prefix: "e5.oper.an.pl". first_hour: the first hour (UTC) with values. levels_hpa: pressure levels, all of which are
    in each file; empty for a product on a single level. source: entries of data/SOURCES.md. confidence: high, medium or
    low, as explained there.
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
        """The name that users type: "an.pl", "fc.sfc.accumu", "invariant"."""
        return self.prefix.removeprefix("e5.oper.")

    def __str__(self) -> str:
        return self.name


@cache
def products() -> tuple[Product, ...]:
    """Return all products, sorted by name."""
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
