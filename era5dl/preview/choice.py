"""Choice of a field in a file by the names and values that users write: variable, time, level."""

from __future__ import annotations

import re

from era5dl.errors import UsageError
from era5dl.preview.coordinates import Grid, describe
from era5dl.preview.field_file import FieldFile, FieldVariable

USUAL_LEVEL = 500.0  # hPa
_TIME = re.compile(r"\d{4}(-\d{2}(-\d{2}([T ]\d{2}(:?\d{2}(:?\d{2})?)?)?)?)?Z?", re.ASCII)
_MOST_NAMES = 12


def choose_variable(file: FieldFile, name: str | None) -> FieldVariable:
    """Return the variable with this name: as in the file, or in the catalogue. None: the first one. Raises
    UsageError."""
    if name is None:
        return file.variables[0]
    wanted = name.rpartition("/")[2].casefold()
    for variable in file.variables:
        known = describe(variable.name)
        names = {variable.name, variable.long_name}
        if known is not None:
            names |= {known.short, known.nc_var, known.cds_name, known.long_name}
        if wanted in {one.casefold() for one in names}:
            return variable
    there = ", ".join(variable.name for variable in file.variables[:_MOST_NAMES])
    raise UsageError(f"{file.path} has no variable {name}.", remedy=f"It has {there}.")


def choose_time(variable: FieldVariable, text: str | None) -> int:
    """Return the position of the first time that begins with this text, such as "2021-02-01T06" or "2021-02-01" (UTC).
    None: the first time. Raises UsageError."""
    if text is None:
        return 0
    times = variable.times
    if not times:
        raise UsageError(f"{variable.name} has no times.", remedy="Omit --time.")
    first, last = (f"{moment:%Y-%m-%dT%H}" for moment in (times[0], times[-1]))
    if not isinstance(variable.places, Grid):
        raise UsageError(f"{variable.name} has values at points, which are shown at all times.", remedy="Omit --time.")
    if not _TIME.fullmatch(text):
        raise UsageError(f"{text[:40]!r} is not a time.", remedy=f"Use a text such as {first} (UTC).")
    digits = re.sub(r"\D", "", text)
    for number, moment in enumerate(times):
        if f"{moment:%Y%m%d%H%M%S}".startswith(digits):
            return number
    raise UsageError(f"There is no time {text} in the file.", remedy=f"Its times are from {first} to {last} (UTC).")


def choose_level(variable: FieldVariable, level: float | None) -> int:
    """Return the position of this level in hPa. None: 500 hPa, or else the last one. Raises UsageError."""
    levels = variable.levels
    if not levels:
        if level is not None:
            raise UsageError(f"{variable.name} has no levels.", remedy="Omit --level.")
        return 0
    wanted = USUAL_LEVEL if level is None else level
    if wanted in levels:
        return levels.index(wanted)
    if level is None:
        return len(levels) - 1
    raise UsageError(
        f"There is no level {level:g} in the file.", remedy=f"It has {', '.join(f'{one:g}' for one in levels)}."
    )
