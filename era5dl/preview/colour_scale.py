"""Colour scale of a field: range of values, colours, and the round numbers at the colour bar."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from era5dl.preview.colormap import Colormap, choose_colormap
from era5dl.preview.field_file import Field

_OUTER = 0.2  # percent of the values at each end that may be beyond the range
_WORTH = 0.4  # of the range by which extremes exceed it before it is cut there
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TICKS = 7  # about as many numbers


@dataclass(frozen=True, slots=True)
class ColourScale:
    """low, high: values of the first and the last colour. below, above: whether the field has values beyond them."""

    colormap: Colormap
    low: float
    high: float
    below: bool = False
    above: bool = False

    def numbers(self, values: NDArray[np.float32], colours: int = 256) -> NDArray[np.intp]:
        """Return the number of the colour of each value; NaN has any."""
        share = (values - self.low) * (colours / (self.high - self.low))
        numbers: NDArray[np.intp] = np.clip(np.nan_to_num(share), 0, colours - 1).astype(np.intp)
        return numbers

    def ticks(self) -> list[tuple[float, str]]:
        """Return round numbers within the range, as share of the bar from its low end, and as text."""
        step = _round_step((self.high - self.low) / _TICKS)
        factor = self.factor
        first, last = math.ceil(self.low / step - 1e-6), math.floor(self.high / step + 1e-6)
        decimals = max(0, -math.floor(math.log10(step / factor) + 1e-9))
        if abs(step / factor * 10**decimals % 1) > 1e-6:  # 2.5
            decimals += 1
        return [
            ((number * step - self.low) / (self.high - self.low), _number(number * step / factor, decimals))
            for number in range(first, last + 1)
        ]

    @property
    def factor(self) -> float:
        """Power of ten by which the numbers at the bar are divided: 1 unless they were very long."""
        largest = max(abs(self.low), abs(self.high))
        return 1.0 if 0.01 <= largest < 1e6 else 10.0 ** math.floor(math.log10(largest))


def make_scale(field: Field, before: ColourScale | None = None) -> ColourScale:
    """Return the scale of a field. before: of another time of the same variable and level: the range then includes
    that one, so that colours keep their meaning from one time to the next."""
    low, high = _range(field)
    if before is not None:
        low, high = min(low, before.low), max(high, before.high)
    colormap = choose_colormap(field.variable.long_name, field.variable.units, low, high)
    if colormap.diverging:
        high = max(-low, high)
        low = -high
    elif low == high:
        spread = abs(low) * 0.01 or 1.0
        low, high = low - spread, high + spread
    step = _round_step((high - low) / _TICKS) / 5  # the ends need less round numbers than the ticks
    low, high = math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step
    smallest = low if field.minimum is None else field.minimum
    largest = high if field.maximum is None else field.maximum
    margin = (high - low) * 1e-6
    return ColourScale(colormap, low, high, smallest < low - margin, largest > high + margin)


def format_value(value: float) -> str:
    """Return a value of a field with about five digits, such as "283.12", "100931" or "4.86e-05"."""
    text = f"{value:.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.5g}"
    return text.replace("-", "\N{MINUS SIGN}", 1) if value < 0 else text


def _range(field: Field) -> tuple[float, float]:
    """Return the range of the values, without a few extreme ones if they are far away."""
    if field.minimum is None or field.maximum is None:
        return 0.0, 1.0
    step = max(1, int(math.sqrt(field.values.size / 2e5)))
    low, high = map(float, np.nanpercentile(_sample(field.values, step), (_OUTER, 100 - _OUTER)))
    worth = (high - low) * _WORTH
    low = low if low - field.minimum > worth > 0 else field.minimum
    high = high if field.maximum - high > worth > 0 else field.maximum
    return low, high


def _sample(values: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    found = values[::step, ::step]
    return found if np.isfinite(found).any() else values


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 times a power of ten that is at least this."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))


def _number(value: float, decimals: int) -> str:
    return f"{value + 0.0:.{decimals}f}".replace("-", "\N{MINUS SIGN}") if abs(value) > 1e-12 else "0"
