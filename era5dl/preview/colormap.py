"""Colour maps of fields, perceptually uniform, and the choice of one for a variable.

- viridis and plasma are by Stéfan van der Walt and Nathaniel Smith, dedicated to the public domain (CC0).
- moisture (light to dark blue) and diverging (blue, white, red) were made for this program: their lightness in the
  Oklab colour space changes linearly. Both can be told apart with all common colour vision deficiencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Colormap:
    """Colours as "rrggbb", from the lowest to the highest value, at equal distances. diverging: its middle is zero."""

    name: str
    colours: str
    diverging: bool = False

    def table(self, size: int = 256) -> Table:
        """Return `size` colours (red, green, blue), interpolated."""
        stops = np.array([list(bytes.fromhex(colour)) for colour in self.colours.split()], np.float64)
        places = np.linspace(0, len(stops) - 1, size)
        mixed = [np.interp(places, np.arange(len(stops)), stops[:, part]) for part in range(3)]
        return np.rint(np.stack(mixed, axis=-1)).astype(np.uint8)


VIRIDIS = Colormap(
    "viridis",
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1f9f88 27ad81 3dbc74 5cc863 81d34d aadc32 d5e21a "
    "fde725",
)
PLASMA = Colormap(
    "plasma",
    "0d0887 310597 4c02a1 6600a7 7e03a8 9511a1 aa2395 bc3587 cc4778 d9586a e56b5d f07f4f f89441 fdab33 fdc328 f9dd25 "
    "f0f921",
)
MOISTURE = Colormap(
    "moisture",
    "e8fbfd c8f1f8 a9e6f4 8adaf0 6ccced 4ebfe9 32b0e4 14a0de 0591d4 0181c9 0671bd 1662ae 1f539c 234688 243973 232e5e "
    "1f2447",
)
DIVERGING = Colormap(
    "diverging",
    "02416c 00568e 036bb1 1881d2 4a99e2 75b0ec 9fc7f1 c9ddf4 f6f2f2 f3d2cc efb1a6 e69183 d97163 c75347 ad3b33 902824 "
    "731616",
    diverging=True,
)
COLORMAPS = (VIRIDIS, PLASMA, MOISTURE, DIVERGING)

_WATER = ("precipitation", "rain", "snow", "cloud", "humidity", "water", "moisture", "runoff", "vapour", "evaporation")
_TEMPERATURE = ("K", "degC", "°C", "Celsius")
_SHARE = 0.05  # of the larger side that the smaller side of zero has at least, for a diverging map


def choose_colormap(long_name: str, units: str, low: float, high: float) -> Colormap:
    """Return the map for values from `low` to `high` of a variable with this name and unit."""
    if units in _TEMPERATURE:
        return PLASMA
    if low < 0 < high and min(-low, high) >= _SHARE * max(-low, high):
        return DIVERGING
    if any(word in long_name.lower() for word in _WATER) and low >= -_SHARE * abs(high):
        return MOISTURE
    return VIRIDIS
