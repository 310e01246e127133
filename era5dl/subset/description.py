"""Descriptions of subsets: short ones for titles and the output of commands, and one for attributes of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from era5dl.formatting import format_count
from era5dl.subset.selection import Subset

_MOST_NUMBERS = 6  # that are listed; of more, only the number is given
_MOST_POINTS = 2
_MAX_TEXT = 16 << 10  # characters


def describe_subset(subset: Subset) -> str:
    """Return for example "0,6,12,18 UTC; 500,850 hPa; area 54/73/18/135"; "whole files" if nothing is restricted."""
    parts: list[str] = []
    if subset.hours:
        parts.append(_listed(subset.hours, " UTC", "hours a day"))
    if subset.levels:
        parts.append(_listed(subset.levels, " hPa", "levels"))
    if subset.area:
        parts.append(f"area {subset.area}")
    if len(subset.points) > _MOST_POINTS:
        parts.append(format_count(len(subset.points), "point"))
    else:
        parts += [f"point {point}" for point in subset.points]
    if subset.days and not parts:
        parts.append("only these days")
    if parts and subset.prove:
        parts.append("from verified whole files")
    return "; ".join(parts) or "whole files"


def attribute_form(subset: Subset) -> dict[str, Any]:
    """Return the JSON form of a subset. Attributes are at most 64 KiB long, so of many points it has only the number,
    and a digest that shows whether they are the same."""
    form = subset.elements_to_json()
    if len(json.dumps(form)) <= _MAX_TEXT:
        return form
    digest = hashlib.sha256(json.dumps(form["points"]).encode()).hexdigest()[:16]
    return {**form, "points": {"count": len(subset.points), "sha256": digest}}


def _listed(numbers: Sequence[int], unit: str, noun: str) -> str:
    if len(numbers) > _MOST_NUMBERS:
        return f"{len(numbers)} {noun}"
    return ",".join(map(str, numbers)) + unit
