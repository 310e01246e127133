"""Scale of a chart: round tick values, and thinning of points. No Tk in here."""

from __future__ import annotations

import math
from collections.abc import Sequence

Sample = tuple[float, float | None]  # time or position, and value; None is a gap


def nice_step(highest: float, lines: int = 4) -> float:
    """Return a step of 1, 2 or 5 times a power of ten, such that about `lines` steps reach `highest`."""
    if not highest > 0 or math.isinf(highest):
        return 1.0
    rough = highest / lines
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))


def ticks(highest: float, lines: int = 4) -> list[float]:
    """Return the tick values from 0 up to the first one that is not below `highest`."""
    step = nice_step(highest, lines)
    return [step * number for number in range(max(1, math.ceil(highest / step - 1e-9)) + 1)]


def thin(samples: Sequence[Sample], limit: int = 600) -> list[Sample]:
    """Reduce to about `limit` samples: the minimum and maximum of each interval, so that peaks are kept."""
    if len(samples) <= limit:
        return list(samples)
    per_part = len(samples) / (limit // 2)
    kept: list[Sample] = []
    for part in range(limit // 2):
        interval = samples[round(part * per_part) : round((part + 1) * per_part)]
        known = [(value, index) for index, (_, value) in enumerate(interval) if value is not None]
        indices = {min(known)[1], max(known)[1]} if known else {0}
        kept += [interval[index] for index in sorted(indices)]
    return kept


def runs(samples: Sequence[Sample]) -> list[list[tuple[float, float]]]:
    """Split the samples at their gaps."""
    parts: list[list[tuple[float, float]]] = [[]]
    for at, value in samples:
        if value is not None:
            parts[-1].append((at, value))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]
