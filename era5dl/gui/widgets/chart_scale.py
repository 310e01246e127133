"""Where the lines of a chart's scale stand, and how many of its points are worth drawing. No Tk in here."""

from __future__ import annotations

import math
from collections.abc import Sequence

Sample = tuple[float, float | None]  # instant or place, and value; None is a gap


def nice_step(highest: float, lines: int = 4) -> float:
    """1, 2 or 5 times a power of ten, so that about `lines` of them reach `highest`."""
    if not highest > 0 or math.isinf(highest):
        return 1.0
    rough = highest / lines
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))


def ticks(highest: float, lines: int = 4) -> list[float]:
    """From 0 up to the first one not below `highest`."""
    step = nice_step(highest, lines)
    return [step * number for number in range(max(1, math.ceil(highest / step - 1e-9)) + 1)]


def thin(samples: Sequence[Sample], most: int = 600) -> list[Sample]:
    """At most about `most` samples: of each stretch the lowest and the highest, so that no peak is lost."""
    if len(samples) <= most:
        return list(samples)
    per_part = len(samples) / (most // 2)
    kept: list[Sample] = []
    for part in range(most // 2):
        stretch = samples[round(part * per_part) : round((part + 1) * per_part)]
        known = [(value, place) for place, (_, value) in enumerate(stretch) if value is not None]
        places = {min(known)[1], max(known)[1]} if known else {0}
        kept += [stretch[place] for place in sorted(places)]
    return kept


def runs(samples: Sequence[Sample]) -> list[list[tuple[float, float]]]:
    """The samples cut at their gaps."""
    parts: list[list[tuple[float, float]]] = [[]]
    for place, value in samples:
        if value is not None:
            parts[-1].append((place, value))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]
