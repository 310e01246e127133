"""One-line description of an ERA5 netCDF file: variable, dimensions, minimum, mean, maximum and period."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.demo.server import INSTALL
from era5dl.errors import UsageError

if TYPE_CHECKING:
    import h5py


def describe_file(path: Path) -> str:
    """Read the whole file, and return its variable, dimensions, minimum, mean, maximum, unit and period.

    Reads chunk by chunk, so that large files need little memory. Raises OSError or KeyError for any other kind of file,
    and UsageError when h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise UsageError("Opening netCDF files needs h5py, which is not installed.", remedy=INSTALL) from None

    with h5py.File(path, "r") as file:
        field = data_variable(file)
        sizes = " x ".join(
            f"{_name(dimension)} {size}" for dimension, size in zip(field.dims, field.shape, strict=True)
        )
        minimum, mean, maximum = _statistics(field)
        values = f"min {minimum:.5g}, mean {mean:.5g}, max {maximum:.5g} {_text(field, 'units')}"
        return f"{field.name[1:]} ({_text(field, 'long_name')}): {sizes}; {values}; {_period(file)}"


def data_variable(file: h5py.File) -> h5py.Dataset:
    """Return the only data variable: neither a coordinate nor utc_date. Raises KeyError if there is none."""
    for name, item in file.items():
        if not item.is_scale and name != "utc_date":
            return item
    raise KeyError("no data variable")


def _statistics(field: h5py.Dataset) -> tuple[float, float, float]:
    """Return minimum, mean and maximum without fill values; NaN when there are no others."""
    import numpy as np

    fill = field.attrs.get("_FillValue", [np.nan])[0]
    minimum, total, maximum, count = np.inf, 0.0, -np.inf, 0
    for chunk in field.iter_chunks():
        values = field[chunk]
        values = values[values != fill]
        if values.size:
            minimum, maximum = min(minimum, float(values.min())), max(maximum, float(values.max()))
            total += float(values.sum(dtype=np.float64))
            count += values.size
    return (minimum, total / count, maximum) if count else (np.nan, np.nan, np.nan)


def _period(file: h5py.File) -> str:
    """Return the first and the last time of the file, UTC. For forecasts these are initial times."""
    stamps = file["utc_date"][:]
    first, last = _hour(stamps[0]), _hour(stamps[-1])
    what = "runs of " if "forecast_hour" in file else ""
    return f"{what}{first} UTC" if first == last else f"{what}{first} to {last} UTC"


def _hour(stamp: int) -> str:
    """Return 2021020106 as "2021-02-01 06"."""
    text = f"{stamp:010}"
    return f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[8:]}"


def _name(dimension: h5py._hl.dims.DimensionProxy) -> str:
    return str(dimension[0].name[1:])


def _text(field: h5py.Dataset, name: str) -> str:
    value = field.attrs[name]
    return value.decode() if isinstance(value, bytes) else str(value)
