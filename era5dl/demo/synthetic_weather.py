"""Synthetic weather fields: travelling waves, a diurnal cycle, temperatures that fall with latitude and height, noise.

Each field is (time factors) x (patterns on the globe) + noise, so that a month is computed by one matrix product. As
with GRIB packing, values are rounded to multiples of a power of two, so that they compress like real ERA5 data.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

STEP = 2.5  # degrees
LATITUDES = np.arange(90.0, -90.0 - STEP / 2, -STEP)
LONGITUDES = np.arange(0.0, 360.0, STEP)
# fmt: off
LEVELS = np.array(  # hPa
    [1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 125, 150, 175, 200, 225, 250, 300, 350, 400, 450, 500, 550, 600, 650,
     700, 750, 775, 800, 825, 850, 875, 900, 925, 950, 975, 1000],
    dtype=np.float64,
)
# fmt: on

_NORTH = np.radians(LATITUDES)[:, None]
_EAST = np.radians(LONGITUDES)[None, :]
_SUN = np.cos(_NORTH) * np.ones_like(_EAST)  # relative insolation
_WAVES = 9


def at_surface(short: str, hours: NDArray[np.int64]) -> Field:
    """Return a surface variable at these hours since 1900, as (time, latitude, longitude)."""
    return _SURFACE[short](hours)


def temperature_on_levels(hours: NDArray[np.int64]) -> Field:
    """Return the temperature in K at these hours since 1900, as (time, level, latitude, longitude)."""
    height = -7.4 * np.log(LEVELS / 1013.25)  # km
    profile = np.maximum(288.0 - 6.5 * height, 216.5) + np.maximum(0.0, height - 25.0) * 2.2
    warm = np.exp(-((height / 11.0) ** 2))  # the poles are colder below the tropopause only
    base = profile[:, None, None] + warm[:, None, None] * (12.0 - 42.0 * np.sin(_NORTH) ** 2 * np.ones_like(_EAST))
    moving = _moving("t", hours, 5.0)
    swing = 0.4 + 0.6 * warm
    values = base[None].astype(np.float32) + moving[:, None] * swing[None, :, None, None].astype(np.float32)
    return _packed(values, "t", hours, noise=0.15, digits=9)


def land() -> NDArray[np.float64]:
    """Return the land fraction of each grid point, 0 to 1, of imaginary continents."""
    height = 0.25 * np.sin(_NORTH) - 0.15
    for m, n, phase in ((1, 2, 0.7), (2, 3, 2.1), (3, 1, 4.0), (5, 4, 1.3)):
        height = height + np.sin(m * _EAST + phase) * np.cos(n * _NORTH + phase) / m
    rounded: NDArray[np.float64] = np.clip(0.5 + 2.0 * height, 0.0, 1.0)
    return rounded


def _temperature(hours: NDArray[np.int64]) -> Field:
    base = 300.0 - 48.0 * np.sin(_NORTH) ** 2 - 6.0 * np.sin(_NORTH) - 8.0 * land() * np.sin(_NORTH) ** 2
    daily = _daily(hours, (1.0 + 6.0 * land()) * _SUN)
    return _packed(base.astype(np.float32) + daily + _moving("2t", hours, 4.0), "2t", hours, noise=0.2, digits=9)


def _wind(short: str, mean: float) -> Callable[[NDArray[np.int64]], Field]:
    def values(hours: NDArray[np.int64]) -> Field:
        base = mean * (np.sin(3.0 * np.abs(_NORTH)) * 6.0 - 3.0) * np.ones_like(_EAST)
        daily = _daily(hours, 0.8 * land() * _SUN)
        return _packed(
            base.astype(np.float32) + daily + _moving(short, hours, 3.5), short, hours, noise=0.15, digits=10
        )

    return values


def _pressure(hours: NDArray[np.int64]) -> Field:
    base = 101_300.0 + 900.0 * np.cos(6.0 * _NORTH) * np.ones_like(_EAST) - 1200.0 * np.sin(_NORTH) ** 2
    return _packed(base.astype(np.float32) + _moving("msl", hours, 700.0), "msl", hours, noise=15.0, digits=3)


def _rain(short: str, most: float) -> Callable[[NDArray[np.int64]], Field]:
    """Return a function for the precipitation of the hour before each time, in m; it is zero at most grid points."""

    def values(hours: NDArray[np.int64]) -> Field:
        wet = _moving(short, hours, 1.0) + _daily(hours, 0.3 * land() * _SUN) - np.float32(0.6)
        np.maximum(wet, 0.0, out=wet)
        noise = _noise(short, hours, wet.shape)
        return _rounded(np.float32(most) * wet * wet * (np.float32(0.7) + np.float32(0.6) * noise), 21)

    return values


def _geopotential(hours: NDArray[np.int64]) -> Field:
    return _packed(9.80665 * 2500.0 * np.maximum(0.0, land() - 0.4)[None].astype(np.float32), "z", hours, 20.0, 4)


def _land(hours: NDArray[np.int64]) -> Field:
    return _rounded(land()[None].astype(np.float32) * np.ones((len(hours), 1, 1), np.float32), 12)


_SURFACE: dict[str, Callable[[NDArray[np.int64]], Field]] = {
    "2t": _temperature,
    "10u": _wind("10u", 1.0),
    "10v": _wind("10v", 0.2),
    "msl": _pressure,
    "lsp": _rain("lsp", 2e-3),
    "cp": _rain("cp", 1e-3),
    "z": _geopotential,
    "lsm": _land,
}


def _daily(hours: NDArray[np.int64], strength: NDArray[np.float64]) -> Field:
    """Return a daily wave with its maximum at 14:00 local time."""
    clock = 2.0 * np.pi * (hours - 14) / 24.0
    wave: Field = _product(np.cos(clock), np.cos(_EAST) * strength) - _product(np.sin(clock), np.sin(_EAST) * strength)
    return wave


def _moving(name: str, hours: NDArray[np.int64], strength: float) -> Field:
    """Return the sum of eastward travelling waves at random latitudes; the name is the random seed."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    factors, patterns = [], []
    for number in range(1, _WAVES + 1):
        amplitude = np.exp(-(((_NORTH - rng.uniform(-1.1, 1.1)) / 0.5) ** 2)) * strength / np.sqrt(number)
        turn = 2.0 * np.pi * hours / rng.uniform(60.0, 240.0) + rng.uniform(0.0, 2.0 * np.pi)
        factors += [np.cos(turn), np.sin(turn)]
        patterns += [np.sin(number * _EAST) * amplitude, -np.cos(number * _EAST) * amplitude]
    return _product(np.stack(factors, axis=1), np.stack(patterns))


def _product(factors: NDArray[np.float64], patterns: NDArray[np.float64]) -> Field:
    """Return the product as (time, latitude, longitude).

    factors: (time,) or (time, n). patterns: (latitude, longitude) or (n, latitude, longitude).
    """
    left = np.atleast_2d(factors.astype(np.float32).T).T
    right = patterns.astype(np.float32).reshape(left.shape[1], -1)
    field: Field = (left @ right).reshape(len(factors), len(LATITUDES), len(LONGITUDES))
    return field


def _noise(name: str, hours: NDArray[np.int64], shape: tuple[int, ...]) -> Field:
    """Return random numbers between 0 and 1, which are the same for the same name and hours."""
    rng = np.random.default_rng(zlib.crc32(f"{name}{hours[0]}".encode()))
    return rng.random(shape, dtype=np.float32)


def _packed(values: Field, name: str, hours: NDArray[np.int64], noise: float, digits: int) -> Field:
    """Add noise of this amplitude, then round to this number of binary digits after the point."""
    return _rounded(values + (_noise(name, hours, values.shape) - np.float32(0.5)) * np.float32(2.0 * noise), digits)


def _rounded(values: Field, digits: int) -> Field:
    scale = np.float32(2.0**digits)
    values *= scale
    np.rint(values, out=values)
    values /= scale
    return values
