"""Says in one line what is in an ERA5 file: opened, read to the end, and summed up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.demo.server import INSTALL
from era5dl.errors import UsageError

if TYPE_CHECKING:
    import h5py


def describe_file(path: Path) -> str:
    """The variable, its dimensions, its least, mean and greatest value, its unit and its period.

    Reads chunk by chunk, so that a file of any size takes little memory. Raises OSError or KeyError for a file that
    is not one of these, and UsageError when h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise UsageError("Opening netCDF files needs h5py, which is not installed.", remedy=INSTALL) from None

    with h5py.File(path, "r") as file:
        field = _field(file)
        sizes = " x ".join(
            f"{_name(dimension)} {size}" for dimension, size in zip(field.dims, field.shape, strict=True)
        )
        least, mean, greatest = _extent(field)
        values = f"min {least:.5g}, mean {mean:.5g}, max {greatest:.5g} {_text(field, 'units')}"
        return f"{field.name[1:]} ({_text(field, 'long_name')}): {sizes}; {values}; {_period(file)}"


def _field(file: h5py.File) -> h5py.Dataset:
    """The one data variable: neither a coordinate nor utc_date."""
    for name, item in file.items():
        if not item.is_scale and name != "utc_date":
            return item
    raise KeyError("no data variable")


def _extent(field: h5py.Dataset) -> tuple[float, float, float]:
    """Least, mean and greatest value, those without data left out; NaN when there is none."""
    import numpy as np

    fill = field.attrs.get("_FillValue", [np.nan])[0]
    least, total, greatest, count = np.inf, 0.0, -np.inf, 0
    for chunk in field.iter_chunks():
        values = field[chunk]
        values = values[values != fill]
        if values.size:
            least, greatest = min(least, float(values.min())), max(greatest, float(values.max()))
            total += float(values.sum(dtype=np.float64))
            count += values.size
    return (least, total / count, greatest) if count else (np.nan, np.nan, np.nan)


def _period(file: h5py.File) -> str:
    """From the first to the last time of the file, UTC; for forecasts these are initial times."""
    stamps = file["utc_date"][:]
    first, last = _hour(stamps[0]), _hour(stamps[-1])
    what = "runs of " if "forecast_hour" in file else ""
    return f"{what}{first} UTC" if first == last else f"{what}{first} to {last} UTC"


def _hour(stamp: int) -> str:
    """2021020106 as "2021-02-01 06"."""
    text = f"{stamp:010}"
    return f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[8:]}"


def _name(dimension: h5py._hl.dims.DimensionProxy) -> str:
    return str(dimension[0].name[1:])


def _text(field: h5py.Dataset, name: str) -> str:
    value = field.attrs[name]
    return value.decode() if isinstance(value, bytes) else str(value)
