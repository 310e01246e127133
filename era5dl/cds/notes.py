"""Warnings about a CDS request: keys without effect, formats and grids that cannot be had, and how the files differ."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from era5dl.catalog import Cadence, Variable
from era5dl.catalog.lookup import closest_matches
from era5dl.cds.request import Note
from era5dl.cds.values import LEVEL_KEYS, Dates, Values

PUBLICATION_DELAY = timedelta(days=92)
MARS_KEYS = ("levtype", "stream", "class", "type", "expver", "step", "number")
_KNOWN_KEYS = (
    *("variable", "param", "year", "month", "day", "date", "time", "area", "location", "grid", "resol"),
    *("product_type", "format", "data_format", "download_format", *LEVEL_KEYS, *MARS_KEYS),
    *("target", "nocache", "expect", "dataset"),  # without effect on the data
)
_ARCHIVES = {"zip", "tgz", "netcdf.zip"}
_FORMATS = {"netcdf", "netcdf4", "nc", "nc4", "netcdf_legacy", "csv", *_ARCHIVES}
_GRID = {"0.25", ".25", "0.250"}
_FIRST_DAY = date(1940, 1, 1)


def notes_about_keys(values: Values) -> Iterator[Note]:
    """Yield a warning for each key that has no meaning here."""
    for key in values.names:
        if key not in _KNOWN_KEYS:
            near = "".join(closest_matches(key, _KNOWN_KEYS)[:1])
            hint = f" Did you mean “{near}”?" if near else ""
            text = f"The key “{key[:40]}” is not known and has no effect.{hint}"
            yield Note("unknown-key", text, {"key": key[:40], "near": near})


def notes_about_output(values: Values, *, is_mars: bool) -> Iterator[Note]:
    """Yield warnings about the grid and the format. is_mars: without `grid` the data have their native grid."""
    grid = values.grid()
    if set(grid) - _GRID:
        shown = "/".join(grid)
        text = f"The grid {shown} cannot be had: files have the grid of 0.25 degrees. Interpolate them."
        yield Note("grid", text, {"grid": shown})
    elif is_mars and not grid:
        yield Note("native-grid", "Without “grid” the CDS gives the native grid; files here have 0.25 degrees.")
    formats = {one.casefold() for one in values.texts("format", "data_format")}
    if any("grib" in one for one in formats):
        yield Note("grib", "GRIB cannot be had: files are netCDF-4. cdo or ecCodes convert them, or use the CDS.")
    if "csv" in formats:
        yield Note("csv", "CSV: download with `--merge all --csv`; the files themselves are netCDF-4.")
    if others := ", ".join(sorted(one for one in formats - _FORMATS if "grib" not in one)):
        yield Note("format", f"The format {others} is not known: files are netCDF-4.", {"format": others})
    if _ARCHIVES & {*formats, *map(str.casefold, values.texts("download_format"))}:
        yield Note("archive", "Files are not packed into an archive: one netCDF file per variable and day or month.")


def notes_about_data(
    values: Values, variables: tuple[Variable, ...], dates: Dates | None, today: date, *, needs_time: bool
) -> Iterator[Note]:
    """Yield what has to be known about dates and hours. needs_time: whether requests of the dataset have `time`."""
    if dates is None or all(variable.product.cadence is Cadence.FIXED for variable in variables):
        return
    if needs_time and values.get("time") is None:
        yield Note("all-hours", "No “time” is given: all 24 hours are selected.")
    if dates.no_day and values.get("day") is None:
        yield Note("all-days", "No “day” is given: all days of the months are selected.")
    yield from _notes_about_forecasts(variables, dates)
    newest = today - PUBLICATION_DELAY
    if dates.days[-1][1] > newest:
        text = f"The bucket is about three months behind: days after {newest} may not be there yet."
        yield Note("recent", text, {"day": newest.isoformat()})


def _notes_about_forecasts(variables: tuple[Variable, ...], dates: Dates) -> Iterator[Note]:
    forecasts = [variable for variable in variables if variable.product.cadence is Cadence.HALF_MONTH]
    if not forecasts:
        return
    names = ", ".join(variable.name for variable in forecasts)
    text = f"Forecasts ({names}) are in files of half a month. Hours are those of the valid time, as in the CDS;"
    text += " accumulations, means and extremes are those of the hour that ends then."
    text += " Hours 00 to 06 UTC of the 1st are in the second file of the month before."
    yield Note("forecasts", text, {"names": names})
    if dates.days[0][0] == _FIRST_DAY:
        yield Note("first-day", "Forecasts begin on 1940-01-01 at 07 UTC: the hours before do not exist.")
