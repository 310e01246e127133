"""Trend test for the curves of an endurance test: a slope with a confidence interval.

The slope is the Theil-Sen estimator (the median of the slopes between all pairs of records, which is robust against
outliers). Its 95 % interval is Sen's, from the variance of Kendall's S. Source: Sen 1968, doi
10.1080/01621459.1968.10480934.

Rule: the first fifth of the records is left out, because caches and pools are filled then. A curve is not flat if the
interval excludes zero AND the curve changes by more than 5 % of its mean between the first and the last remaining
record. The second condition ignores a significant rise of a few kilobytes; the first one ignores noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

LEFT_OUT = 0.2  # fraction of the records that is ignored, at the beginning
MATTERS = 0.05  # relevant change, as a fraction of the mean
Z = 1.96  # standard deviations of a normal distribution for 95 %


@dataclass(frozen=True, slots=True)
class Trend:
    """How far a curve moves from the first record that counts to the last: in its own unit, and as a share."""

    change: float
    low: float
    high: float
    mean: float

    @property
    def share(self) -> float:
        """The change as a fraction of the mean."""
        return self.change / self.mean if self.mean else 0.0

    @property
    def flat(self) -> bool:
        return self.low <= 0.0 <= self.high or abs(self.share) <= MATTERS

    def __str__(self) -> str:
        return f"{'flat' if self.flat else 'not flat'} ({100 * self.share:+.1f} %)"


def trend(values: Sequence[float]) -> Trend:
    """Return the trend of values at equal intervals of progress."""
    counted = values[int(LEFT_OUT * len(values)) :]
    n = len(counted)
    if n < 3:
        raise ValueError("too few records for a trend")
    slopes = sorted((counted[j] - counted[i]) / (j - i) for i, j in combinations(range(n), 2))
    spread = Z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = slopes[max(0, int((len(slopes) - spread) / 2))]
    high = slopes[min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))]
    steps = n - 1
    return Trend(statistics.median(slopes) * steps, low * steps, high * steps, statistics.fmean(counted))
