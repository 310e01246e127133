"""Writes the netCDF-4 files of the demo, with the structure of the files in the bucket.

netCDF-4 is HDF5 in which the dimensions are dimension scales, attached to the variables that use them. As in the
bucket, the chunks of a surface variable span a fifth of the grid in each direction and 27 hours. The chunks of other
variables are whole fields.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from era5dl.catalog import Cadence, Period, Variable
from era5dl.demo import synthetic_weather as weather

FILL = np.float32(9.999e20)
EPOCH = datetime(1900, 1, 1)
SURFACE_CHUNK = 27  # hours
FORECAST_HOURS = np.arange(1, 13)

_HOURS = {"units": "hours since 1900-01-01 00:00:00", "calendar": "gregorian"}
_UTC_DATE = {"long_name": "UTC date yyyy-mm-dd hh:00:00 as yyyymmddhh", "units": "Gregorian_year month day hour"}
_LATITUDE = {"long_name": "latitude", "short_name": "lat", "units": "degrees_north"}
_LONGITUDE = {"long_name": "longitude", "short_name": "lon", "units": "degrees_east"}
_LEVEL = {"long_name": "isobaric surface", "units": "hPa", "positive": "down"}
_GROUPS = {
    "an.pl": "ERA5 atmospheric pressure level analysis [netCDF4]",
    "an.sfc": "ERA5 atmospheric surface analysis [netCDF4]",
    "fc.sfc.accumu": "ERA5 atmospheric surface forecast (accumulated) [netCDF4]",
    "invariant": "ERA5 invariant [netCDF4]",
}


def write_file(path: Path, variable: Variable, period: Period) -> None:
    """Write the file of this variable and period. Missing parent folders are created."""
    hours = _hours(variable, period)
    data = _values(variable, hours)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", track_order=True) as file:  # netCDF keeps dimensions in the order of their creation
        dimensions = _dimensions(file, variable, hours)
        chunks = tuple(map(min, _chunks(variable), data.shape))
        options = {"chunks": chunks, "shuffle": True, "compression": "gzip", "compression_opts": 1}
        growing = (None, *data.shape[1:])
        field = file.create_dataset(variable.nc_var, data=data, maxshape=growing, fillvalue=FILL, **options)
        _attach(field, dimensions)
        _describe_field(field, variable, data)
        utc_date = file.create_dataset("utc_date", data=_stamps(hours), maxshape=(None,), chunks=(1024,))
        _attach(utc_date, dimensions[:1])
        _set_attributes(utc_date, _UTC_DATE)
        _set_attributes(
            file,
            {
                "Conventions": "CF-1.6",
                "comment": "Synthetic fields created by `era5dl demo`. These are not ERA5 data.",
            },
        )


def _hours(variable: Variable, period: Period) -> NDArray[np.int64]:
    """Return the times of the first dimension, in hours since 1900: valid times, or initial times of forecasts."""
    first, last, step = period.start, period.end, 1
    if variable.product.cadence is Cadence.HALF_MONTH:
        last, step = period.end - timedelta(hours=12), 12
    begin, end = ((moment - EPOCH) // timedelta(hours=1) for moment in (first, last))
    return np.arange(begin, end + 1, step)


def _values(variable: Variable, hours: NDArray[np.int64]) -> weather.Field:
    if variable.levels > 1:
        return weather.temperature_on_levels(hours)
    if variable.product.cadence is Cadence.HALF_MONTH:
        valid = (hours[:, None] + FORECAST_HOURS[None, :]).ravel()
        flat = weather.at_surface(variable.short, valid)
        return flat.reshape(len(hours), len(FORECAST_HOURS), *flat.shape[1:])
    return weather.at_surface(variable.short, hours)


def _chunks(variable: Variable) -> tuple[int, ...]:
    grid = (len(weather.LATITUDES), len(weather.LONGITUDES))
    if variable.levels > 1:
        return (1, len(weather.LEVELS), *grid)
    if variable.product.cadence is Cadence.HALF_MONTH:
        return (1, len(FORECAST_HOURS), *grid)
    return (SURFACE_CHUNK, *(-(-length // 5) for length in grid))


def _dimensions(file: h5py.File, variable: Variable, hours: NDArray[np.int64]) -> list[h5py.Dataset]:
    """Create and return the coordinate variables, in the order of the data's dimensions."""
    scales = []
    if variable.product.cadence is Cadence.HALF_MONTH:
        initial = _HOURS | {"long_name": "forecast initial time", "standard_name": "forecast_reference_time"}
        scales.append(_scale(file, "forecast_initial_time", hours.astype("i4"), initial, growing=True))
        ahead = {"long_name": "forecast hour", "units": "hours"}
        scales.append(_scale(file, "forecast_hour", FORECAST_HOURS.astype("i4"), ahead))
    else:
        scales.append(_scale(file, "time", hours.astype("i4"), _HOURS | {"long_name": "time"}, growing=True))
    if variable.levels > 1:
        scales.append(_scale(file, "level", weather.LEVELS, _LEVEL))
    scales.append(_scale(file, "latitude", weather.LATITUDES, _LATITUDE))
    scales.append(_scale(file, "longitude", weather.LONGITUDES, _LONGITUDE))
    for number, scale in enumerate(scales):
        scale.attrs["_Netcdf4Dimid"] = np.int32(number)
    return scales


def _scale(
    file: h5py.File, name: str, values: NDArray[Any], attributes: dict[str, str], *, growing: bool = False
) -> h5py.Dataset:
    size = {"maxshape": (None,), "chunks": (1024,)} if growing else {}
    scale = file.create_dataset(name, data=values, **size)
    scale.make_scale(name)
    _set_attributes(scale, attributes)
    return scale


def _attach(dataset: h5py.Dataset, scales: list[h5py.Dataset]) -> None:
    for dimension, scale in zip(dataset.dims, scales, strict=True):
        dimension.attach_scale(scale)


def _describe_field(field: h5py.Dataset, variable: Variable, data: weather.Field) -> None:
    texts = {
        "long_name": variable.long_name,
        "short_name": variable.short,
        "units": variable.units,
        "original_format": "WMO GRIB 1 with ECMWF local table",
        "grid_specification": f"{weather.STEP} degree x {weather.STEP} degree from 90N to 90S and 0E to "
        f"{weather.LONGITUDES[-1]}E ({len(weather.LATITUDES)} x {len(weather.LONGITUDES)} Latitude/Longitude)",
        "rda_dataset": "ds633.0",
        "rda_dataset_url": "https://rda.ucar.edu/datasets/ds633.0/",
        "rda_dataset_doi": "DOI: 10.5065/BH6N-5N20",
        "rda_dataset_group": _GROUPS[variable.product.name],
    }
    field.attrs["_FillValue"] = np.array([FILL])
    field.attrs["ecmwf_local_table"] = np.int32(variable.table)
    field.attrs["ecmwf_parameter"] = np.int32(variable.param)
    field.attrs["minimum_value"] = data.min()
    field.attrs["maximum_value"] = data.max()
    _set_attributes(field, texts)


def _set_attributes(item: h5py.File | h5py.Dataset, texts: dict[str, str]) -> None:
    """Set text attributes as fixed-length strings, netCDF's type char."""
    for name, text in texts.items():
        item.attrs[name] = np.bytes_(text.encode())


def _stamps(hours: NDArray[np.int64]) -> NDArray[np.int32]:
    """Convert hours since 1900 to YYYYMMDDHH."""
    moments = (EPOCH + timedelta(hours=int(hour)) for hour in hours)
    return np.array([int(moment.strftime("%Y%m%d%H")) for moment in moments], np.int32)
