"""Writes small netCDF-4 files like those of the bucket, of all eight products, through netCDF-C.

Names, types, dimensions, attributes, filters and the order of chunks in the file are those of the bucket; the grid is
coarser. Values have all kinds of bit patterns: ordinary numbers, the fill value, infinities and NaNs with a payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from era5dl.catalog import Cadence, Period, Variable, find_variable, key_of, period_of

FILL = np.float32(9.999e20)
EPOCH = datetime(1900, 1, 1)
ONE_OF_EACH_PRODUCT = (
    "an.pl/t",
    "an.sfc/2t",
    "an.vinteg/viwve",
    "fc.sfc.accumu/lsp",
    "fc.sfc.meanflux/mtpr",
    "fc.sfc.minmax/mx2t",
    "fc.sfc.instan/zust",
    "invariant/z",
)
LEVELS = find_variable("an.pl/t").product.levels_hpa
_COMPRESSED: dict[str, Any] = {"zlib": True, "complevel": 1, "shuffle": True}
_STRANGE = np.array([0x7FC00001, 0xFFC12345, 0x7F800000, 0xFF800000, 0x80000000, 0x00000001], np.uint32)


@dataclass(frozen=True)
class Sample:
    """A file on disk with the key that it would have in the bucket, and the values of its data variable."""

    path: Path
    key: str
    variable: Variable
    values: NDArray[np.float32]

    @property
    def name(self) -> str:
        return self.variable.nc_var


def write_sample(
    folder: Path,
    name: str,
    hour: datetime,
    *,
    step: float = 10.0,
    chunks: tuple[int, ...] | None = None,
    attributes: int = 0,
) -> Sample:
    """Write the file of this variable that contains this hour.

    step: of the grid, in degrees. chunks: of the data variable; None for shapes like those of the bucket.
    attributes: number of additional ones of the data variable.
    """
    variable = find_variable(name)
    period = period_of(variable.product, hour)
    key = key_of(variable, period)
    path = folder / key.rsplit("/", 1)[1]
    with create_file(path, variable, period, step, chunks, attributes=attributes) as file:
        field = file.variables[variable.nc_var]
        field.set_auto_mask(False)
        shape = tuple(map(len, _coordinates(variable, period, step).values()))
        values = _values(shape, seed=len(name) + hour.day)
        field[:] = values
    return Sample(path, key, variable, values)


def create_file(
    path: Path,
    variable: Variable,
    period: Period,
    step: float,
    chunks: tuple[int, ...] | None = None,
    *,
    attributes: int = 0,
) -> netCDF4.Dataset:
    """Create a file with everything but the values of the data variable, to be closed by the caller."""
    file = netCDF4.Dataset(path, "w")
    coordinates = _coordinates(variable, period, step)
    _write_coordinates(file, coordinates)
    field = file.createVariable(
        variable.nc_var,
        "f4",
        tuple(coordinates),
        fill_value=FILL,
        **_COMPRESSED,
        chunksizes=chunks or _chunks(variable, tuple(map(len, coordinates.values()))),
    )
    _describe(field, variable, attributes)
    file.setncatts({"DATA_SOURCE": "a test", "Conventions": "CF-1.6", "history": "Thu Aug 18 2022: ncks -4 in out"})
    return file


def _coordinates(variable: Variable, period: Period, step: float) -> dict[str, NDArray[Any]]:
    """Return the values of the dimensions, in the order of the data variable."""
    start, end = ((moment - EPOCH) // timedelta(hours=1) for moment in (period.start, period.end))
    found: dict[str, NDArray[Any]] = {}
    if variable.product.cadence is Cadence.HALF_MONTH:
        found["forecast_initial_time"] = np.arange(start, end, 12, np.int32)
        found["forecast_hour"] = np.arange(1, 13, dtype=np.int32)
    else:
        found["time"] = np.arange(start, end + 1, dtype=np.int32)
    if variable.product.levels_hpa:
        found["level"] = np.array(LEVELS, np.float64)
    found["latitude"] = np.arange(90.0, -90.0 - step / 2, -step)
    found["longitude"] = np.arange(0.0, 360.0, step)
    return found


def _write_coordinates(file: Any, coordinates: dict[str, NDArray[Any]]) -> None:
    texts = {
        "level": {"long_name": "isobaric surface", "units": "hPa", "positive": "down"},
        "latitude": {"long_name": "latitude", "short_name": "lat", "units": "degrees_north"},
        "longitude": {"long_name": "longitude", "short_name": "lon", "units": "degrees_east"},
        "forecast_hour": {"long_name": "forecast hour", "units": "hours after initial time"},
    }
    first = next(iter(coordinates))
    for name, values in coordinates.items():
        file.createDimension(name, None if name == first else len(values))
    for name, values in coordinates.items():
        written = file.createVariable(name, values.dtype.str[1:], (name,), **_COMPRESSED)
        written.setncatts(
            texts.get(name)
            or {
                "long_name": name.replace("_", " "),
                "units": "hours since 1900-01-01 00:00:00",
                "calendar": "gregorian",
            }
        )
        written[:] = values
    dates = file.createVariable("utc_date", "i4", (first,), **_COMPRESSED)
    dates.long_name = "UTC date yyyy-mm-dd hh:00:00 as yyyymmddhh"
    dates.units = "Gregorian_year month day hour"
    dates[:] = [int((EPOCH + timedelta(hours=int(hour))).strftime("%Y%m%d%H")) for hour in coordinates[first]]


def _chunks(variable: Variable, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return one field a chunk, or tiles of a fifth of the grid and 27 hours for monthly files."""
    if variable.product.cadence is Cadence.MONTH:
        return (min(27, shape[0]), -(-shape[1] // 5), -(-shape[2] // 5))
    return (1, *shape[1:])


def _values(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    values = (np.round(random.normal(280, 15, shape) * 64) / 64).astype(np.float32)
    flat = values.reshape(-1)
    places = random.integers(0, flat.size, max(flat.size // 50, 8))
    flat[places[::2]] = FILL
    flat.view(np.uint32)[places[1::2]] = random.choice(_STRANGE, len(places[1::2]))
    return values


def _describe(field: Any, variable: Variable, attributes: int) -> None:
    field.setncatts(
        {
            "long_name": variable.long_name,
            "short_name": variable.short,
            "units": variable.units,
            "original_format": "WMO GRIB 1 with ECMWF local table",
            "ecmwf_local_table": np.int32(variable.table),
            "ecmwf_parameter": np.int32(variable.param),
            "minimum_value": np.float32(180.125),
            "maximum_value": np.float32(330.25),
            "grid_specification": "0.25 degree x 0.25 degree from 90N to 90S and 0E to 359.75E",
            "rda_dataset": "ds633.0",
            "rda_dataset_url": "https://rda.ucar.edu/datasets/ds633.0/",
            "rda_dataset_doi": "DOI: 10.5065/BH6N-5N20",
            "valid_range": np.array([-1.5, 400.0]),
            "empty": "",
        }
    )
    field.setncatts({f"additional_{number}": f"text {number} " * 5 for number in range(attributes)})
