"""Texts of the picture of a field in English: title, time and level, unit, statistics."""

from __future__ import annotations

import math

from era5dl.preview.colour_scale import ColourScale, format_value
from era5dl.preview.coordinates import Grid
from era5dl.preview.field_file import Field


def headline(field: Field) -> str:
    """Return the name of the variable."""
    name = field.variable.long_name
    return name[:1].upper() + name[1:]


def subtitle(field: Field) -> str:
    """Return level and time, such as "500 hPa, 2021-02-01 06:00 UTC"."""
    variable = field.variable
    parts = [f"{variable.levels[field.level]:g} hPa"] if variable.levels else []
    if variable.times and isinstance(variable.places, Grid):
        parts.append(f"{variable.times[field.time]:%Y-%m-%d %H:%M} UTC")
    elif variable.times:
        parts.append(f"{variable.times[0]:%Y-%m-%d %H:%M} to {variable.times[-1]:%Y-%m-%d %H:%M} UTC")
    return ", ".join(parts)


def statistics_text(field: Field) -> str:
    """Return minimum, mean and maximum; the mean of a grid is weighted by area."""
    if field.minimum is None or field.maximum is None or field.mean is None:
        return "no values"
    weighted = " (area-weighted)" if isinstance(field.variable.places, Grid) else ""
    smallest, mean, largest = (format_value(value) for value in (field.minimum, field.mean, field.maximum))
    return f"min {smallest}    mean {mean}{weighted}    max {largest}"


def units_text(field: Field, scale: ColourScale) -> str:
    """Return the unit at the colour bar, with the power of ten that its numbers are divided by."""
    units = field.variable.units
    if scale.factor == 1:
        return units
    return f"10**{round(math.log10(scale.factor))} {units}".rstrip()


def describe_field(field: Field) -> list[str]:
    """Return lines that say what a field is, what else its file has, and its statistics."""
    variable = field.variable
    units = f" ({variable.units})" if variable.units else ""
    lines = [f"{headline(field)}{units}, variable {variable.name}"]
    if text := subtitle(field):
        lines.append(text)
    lines.append(statistics_text(field))
    places = variable.places
    if isinstance(places, Grid):
        north, south = max(places.latitudes), min(places.latitudes)
        extent = f"{north:g} to {south:g} N, {places.longitudes[0]:g} to {places.longitudes[-1]:g} E"
        lines.append(f"grid: {len(places.latitudes):,} x {len(places.longitudes):,} points, {extent}")
    else:
        lines.append(f"points: {len(places.latitudes):,}")
    if variable.times:
        first, last = variable.times[0], variable.times[-1]
        lines.append(f"times: {len(variable.times):,}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC")
    if variable.levels:
        lines.append(f"levels: {', '.join(f'{level:g}' for level in variable.levels)} hPa")
    return lines
