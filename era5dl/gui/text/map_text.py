"""Texts for maps of files: name, time, level, values and units, in the language of the window. No Tk in here."""

from __future__ import annotations

import re

from era5dl.gui.text import key_text
from era5dl.gui.text.i18n import _
from era5dl.preview.coordinates import describe
from era5dl.preview.shown_map import ShownMap, Value

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def name(shown: ShownMap) -> str:
    """Return the name of the variable, translated if the catalogue has it."""
    known = describe(shown.variable)
    if known is not None:
        return key_text.variable_name(known)
    return shown.long_name[:1].upper() + shown.long_name[1:]


def time(shown: ShownMap, position: int | None = None) -> str:
    """Return a time, such as "2021-02-01 06:00 UTC"; "" without times. position: None for that of the map."""
    if not shown.times:
        return ""
    return f"{shown.times[shown.time if position is None else position]:%Y-%m-%d %H:%M} UTC"


def level(value: float) -> str:
    """Return a level."""
    return f"{value:g} hPa"


def units(shown: ShownMap) -> str:
    """Return the unit at the colour bar, with raised exponents, and the power of ten of its numbers."""
    text = re.sub(r"\*\*(-?\d+)", lambda match: match[1].translate(_SUPERSCRIPTS), shown.units)
    exponent = shown.bar.exponent if shown.bar else 0
    return f"10{str(exponent).translate(_SUPERSCRIPTS)} {text}".rstrip() if exponent else text


def statistics(shown: ShownMap) -> str:
    """Return minimum, mean and maximum."""
    if shown.minimum is None or shown.mean is None or shown.maximum is None:
        return _("This field has no values.")
    least, mean, most = (_number(one) for one in (shown.minimum, shown.mean, shown.maximum))
    if shown.layout is None:
        return _("min {least} · mean {mean} · max {most}", least=least, mean=mean, most=most)
    return _("min {least} · mean (area-weighted) {mean} · max {most}", least=least, mean=mean, most=most)


def value(found: Value, shown: ShownMap) -> str:
    """Return place and value of a grid point."""
    latitude, longitude, number = found
    longitude = (longitude + 180) % 360 - 180
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    place = f"{abs(latitude):g}° {north}  {abs(longitude):g}° {east}"
    if number is None:
        return f"{place}    {_('no value')}"
    units = re.sub(r"\*\*(-?\d+)", lambda match: match[1].translate(_SUPERSCRIPTS), shown.units)
    return f"{place}    {_number(number)} {units}".rstrip()


def _number(value: float) -> str:
    text = f"{value:.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.5g}"
    return text.replace("-", "\N{MINUS SIGN}", 1) if value < 0 else text
