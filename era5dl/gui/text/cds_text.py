"""Texts of the window for requests of the Climate Data Store: warnings, and why a variable is absent. No Tk.

The English texts for the command line are in `era5dl.cds`. A test ensures that each kind of note has a text.
"""

from __future__ import annotations

from era5dl.cds.request import CdsItem, CdsRequest, Note
from era5dl.cds.values import consecutive, each_day
from era5dl.gui.text import catalog_text
from era5dl.gui.text.i18n import N_, _, ngettext, translate

_MEANT = N_("Did you mean {near}?")
NOTES = {
    "assumed-dataset": N_("The text does not name the dataset: taken as {dataset}."),
    "back-extension": N_("The preliminary back extension has been replaced by the final ERA5, which is taken."),
    "reanalysis-only": N_("Only the reanalysis is in this bucket, not {types}."),
    "forecast-steps": N_("Forecast steps are counted as valid times: hours {hours}."),
    "all-levels": N_("No pressure level is given: all 37 are selected."),
    "no-levels": N_("“{key}” has no effect: these variables are on single levels."),
    "unknown-key": N_("The key “{key}” is not known and has no effect."),
    "grid": N_("The grid {grid} cannot be had: files have 0.25 degrees."),
    "native-grid": N_("Files have the grid of 0.25 degrees, not the native one."),
    "grib": N_("GRIB cannot be had: files are netCDF-4."),
    "csv": N_("Files are netCDF-4. The command line also writes CSV files of points: download --merge all --csv"),
    "format": N_("The format {format} is not known: files are netCDF-4."),
    "archive": N_("Files are not packed into an archive."),
    "all-hours": N_("No time is given: all 24 hours are selected."),
    "all-days": N_("No day is given: all days of the months are selected."),
    "recent": N_("The bucket is about three months behind: days after {day} may not be there yet."),
    "forecasts": N_(
        "Accumulations and other forecasts are in files of half a month. Hours are those of the valid time; sums are "
        "those of the hour that ends then."
    ),
    "first-day": N_("Forecasts begin on 1940-01-01 at 07 UTC."),
    "era5-land": N_("ERA5-Land is another dataset, and not in this bucket. The Climate Data Store has it."),
    "monthly-means": N_("Monthly means are not in this bucket; hourly data are. The Climate Data Store has them."),
    "daily-statistics": N_("Daily statistics are not in this bucket; hourly data are."),
    "unknown-dataset": N_("There is no dataset {dataset}."),
    "other-dataset": N_("{dataset} is not hourly ERA5, and not in this bucket."),
    "ensemble": N_("The ensemble is not in this bucket. The Climate Data Store has it."),
    "product-type": N_("This bucket has only the reanalysis, not {types}."),
    "model-levels": N_("Model levels are not in this bucket, only 37 pressure levels."),
    "levtype": N_("Fields on {levtype} levels are not in this bucket."),
    "waves": N_("Ocean waves are not in this bucket. The Climate Data Store has them."),
    "not-in-bucket": N_("Not in this bucket."),
    "other-levels": N_("Request it from {dataset}; here it is {name}."),
    "level": N_("All pressure levels are in one file: select {name}."),
    "ambiguous": N_("It can mean {names}: write which one."),
    "unknown": N_("ERA5 has no variable of this name."),
    "invariant": N_("One file for all dates."),
    "derived": N_("The result is in {units}."),
}


def note(of: Note) -> str:
    """Return a warning or a reason in the window's language."""
    text = translate(NOTES[of.kind], **of.values)
    if of.values.get("near"):
        text = f"{text} {translate(_MEANT, **of.values)}"
    if of.values.get("instead"):
        text = f"{text} {_('Similar: {names}', names=of.values['instead'])}"
    return text


def extent(request: CdsRequest) -> str:
    """Return days, hours, levels and place of a request in one line."""
    days = each_day(request.days)
    parts = []
    if days:
        number = ngettext("{n:,} day", "{n:,} days", len(days))
        parts.append(f"{days[0]}" if len(days) == 1 else f"{days[0]} … {days[-1]} ({number})")
    if request.hours is not None:
        parts.append(_("hours {hours}", hours=consecutive(request.hours)))
    if request.levels is not None:
        parts.append(f"{', '.join(map(str, request.levels))} hPa")
    if request.area is not None or request.point is not None:
        parts.append(str(request.area or request.point))
    return " · ".join(parts)


def item(of: CdsItem) -> str:
    """Return what a variable of a request is in the bucket, without the reason."""
    if not of.variables:
        return of.asked
    if "formula" in of.note.values:
        products = ", ".join(dict.fromkeys(variable.product.name for variable in of.variables))
        return f"{of.asked} = {of.note.values['formula']} ({products})"
    (variable,) = of.variables
    return f"{of.asked} → {catalog_text.variable(variable)} ({variable.name})"
