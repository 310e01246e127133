"""Hours of files, as NumPy arrays of hours since 1900: those of a key, unions, and those on some days."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time

import numpy as np
from numpy.typing import NDArray

from era5dl.catalog import Cadence, KeyParts
from era5dl.days import Days
from era5dl.subset.geometry import hours_since_1900
from era5dl.subset.merge_plan import valid_times
from era5dl.subset.selection import Subset

Hours = NDArray[np.int64]
"""Times in hours since 1900, ascending."""


def hours_of_key(key: KeyParts, subset: Subset) -> Hours:
    """Return the valid times that a subset selects of the file with this key; none for an invariant."""
    if key.product.cadence is Cadence.FIXED:
        return np.empty(0, np.int64)
    if not (subset.hours or subset.days):
        first, last = hours_since_1900(key.start), hours_since_1900(key.end)
        return np.arange(first + (key.product.cadence is Cadence.HALF_MONTH), last + 1, dtype=np.int64)
    return np.array(valid_times(key, subset), np.int64)


def union(parts: Iterable[Hours]) -> Hours:
    """Return the hours that are in any of these. With a mark for each hour; sorting takes many times as long."""
    found = [part for part in parts if len(part)]
    if not found:
        return np.empty(0, np.int64)
    first, last = (extreme(part[at] for part in found) for extreme, at in ((min, 0), (max, -1)))
    is_there = np.zeros(last - first + 1, bool)
    for part in found:
        is_there[part - first] = True
    hours: Hours = np.flatnonzero(is_there) + first
    return hours


def on_days(hours: Hours, days: Days) -> Hours:
    """Return those of the hours that are on any of these days; all of them without days."""
    if not days:
        return hours
    starts, stops = (
        np.array([hours_since_1900(datetime.combine(span[at], time())) for span in days], np.int64) for at in (0, 1)
    )
    number = np.searchsorted(starts, hours, "right") - 1
    return hours[(number >= 0) & (hours < stops[number] + 24)]
