"""Validation of the form for subsets: hours, levels, an area or a point of each file, and days only. No Tk.

The fields keep the texts as typed, so that an invalid one can be corrected. `Subset`, `Area` and `Point` decide what is
valid; this module finds out which field the user has to change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from importlib.util import find_spec
from typing import Any

from era5dl.catalog import Variable
from era5dl.errors import BadSelection
from era5dl.gui.text.i18n import _, ngettext
from era5dl.subset import INSTALL
from era5dl.subset.grid import era5_grid
from era5dl.subset.parsing import parse_area
from era5dl.subset.selection import HOURS_OF_DAY, Area, Point, Subset, pressure_levels

STANDARD_LEVELS = frozenset({1000, 925, 850, 700, 500, 300, 250, 200, 100, 50})
EDGES = ("north", "west", "south", "east")
COORDINATES = ("latitude", "longitude")
_EVERYTHING = Subset()
_MOST = 40  # characters of a field
_SIGNS = {"n": 1, "e": 1, "s": -1, "w": -1, "北": 1, "东": 1, "南": -1, "西": -1}


class Place(Enum):
    """What the user chooses on the map."""

    AREA = "area"
    POINT = "point"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetFields:
    """The values of the fields as entered. No hour or level means all of them, and no edge the whole globe."""

    hours: frozenset[int] = frozenset()
    levels: frozenset[int] = frozenset()
    place: Place = Place.AREA
    north: str = ""
    west: str = ""
    south: str = ""
    east: str = ""
    latitude: str = ""
    longitude: str = ""
    only_days: bool = False
    prove: bool = False

    @property
    def edges(self) -> tuple[str, ...]:
        """The texts of north, west, south and east."""
        return tuple(getattr(self, name) for name in EDGES)

    def with_area(self, edges: tuple[float, float, float, float] | None) -> SubsetFields:
        """Return the fields with north, west, south and east; None for the whole globe."""
        texts = [f"{edge:g}" for edge in edges] if edges else [""] * len(EDGES)
        return replace(self, place=Place.AREA, **dict(zip(EDGES, texts, strict=True)))  # type: ignore[arg-type]

    def with_point(self, point: tuple[float, float]) -> SubsetFields:
        """Return the fields with the latitude and longitude of a point."""
        return replace(self, place=Place.POINT, latitude=f"{point[0]:g}", longitude=f"{point[1]:g}")


@dataclass(frozen=True, slots=True)
class SubsetResult:
    """Result of the validation. errors: by the names of fields. grid_point: the nearest one to the chosen point."""

    subset: Subset = _EVERYTHING
    errors: tuple[tuple[str, str], ...] = ()
    grid_point: tuple[float, float] | None = None

    @property
    def error(self) -> str:
        """The first error; "" for none."""
        return self.errors[0][1] if self.errors else ""


def validate(fields: SubsetFields, chosen: Iterable[Variable] = ()) -> SubsetResult:
    """Validate the fields. chosen: the selected variables; without one on pressure levels, levels do not count."""
    levels = fields.levels if has_levels(chosen) else frozenset()
    hours, levels = fields.hours & frozenset(HOURS_OF_DAY), levels & frozenset(pressure_levels())
    whole = Subset(hours=tuple(hours), levels=tuple(levels), prove=fields.prove)
    if fields.place is Place.POINT:
        return _with_point(fields, whole)
    if not any(fields.edges):
        return SubsetResult(whole)
    errors, edges = _read_numbers(fields, EDGES)
    if errors:
        return SubsetResult(errors=tuple(errors))
    try:
        area = Area(*edges)
        era5_grid().inside(area)
    except BadSelection:
        return SubsetResult(errors=(_area_error(edges),))
    return SubsetResult(replace(whole, area=area) if area != globe() else whole)


def changed(fields: SubsetFields, **values: Any) -> SubsetFields:
    """Return the fields with some values changed, by their names."""
    return replace(fields, **values)


def restricts(fields: SubsetFields, *, levels: bool) -> bool:
    """Return whether hours, levels, an area or a point are chosen. levels: whether levels can be chosen."""
    return bool(fields.hours or (levels and fields.levels) or fields.place is Place.POINT or any(fields.edges))


def missing_package() -> str:
    """Return the command that installs what is needed to write parts of files; "" if nothing is missing."""
    return "" if find_spec("h5py") else INSTALL


def has_levels(chosen: Iterable[Variable]) -> bool:
    """Return whether one of these variables is on pressure levels."""
    return any(variable.product.levels_hpa for variable in chosen)


def summary(result: SubsetResult, *, only_days: bool = False) -> str:
    """Return a subset on one line, such as "4 hours, 2 levels, 54/73/18/135"."""
    subset, parts = result.subset, []
    if subset.hours:
        parts.append(ngettext("{n} hour", "{n} hours", len(subset.hours)))
    if subset.levels:
        parts.append(ngettext("{n} level", "{n} levels", len(subset.levels)))
    parts += [str(subset.area)] if subset.area else [str(point) for point in subset.points]
    if only_days:
        parts.append(_("selected days"))
    if parts and subset.prove:
        parts.append(_("from verified whole files"))
    return ", ".join(parts)


def read_degrees(text: str) -> float | None:
    """Return degrees from a text such as "-10.5", "10.5 W" or "30° N"; None if it is not a number."""
    bare = text.strip().casefold().replace("−", "-").replace("°", "").replace("，", ".").replace(",", ".")
    match = re.fullmatch(r"([nesw北东南西]?)\s*([+-]?\d{1,3}(?:\.\d{0,9})?)\s*([nesw]?)", bare, re.ASCII)
    if match is None or (match[1] and match[3]):
        return None
    return float(match[2]) * _SIGNS.get(match[1] or match[3], 1) + 0.0  # no negative zero


def read_area(text: str) -> tuple[float, float, float, float] | None:
    """Return the edges of an area that was pasted as one text, such as "54/73/18/135"; None if it is not one."""
    if "/" not in text:
        return None
    try:
        area = parse_area(text)
    except BadSelection:
        return None
    return area.north, area.west, area.south, area.east


@cache
def globe() -> Area:
    """Return the area that is the whole globe."""
    return Area(90, -180, -90, 180)


def _with_point(fields: SubsetFields, whole: Subset) -> SubsetResult:
    if not (fields.latitude or fields.longitude):
        return SubsetResult(errors=(("latitude", _("Click a point on the map, or enter its latitude and longitude.")),))
    errors, (latitude, longitude) = _read_numbers(fields, COORDINATES)
    if errors:
        return SubsetResult(errors=tuple(errors))
    point = Point(latitude, longitude)
    cells = era5_grid().nearest([point])
    return SubsetResult(replace(whole, points=(point,)), grid_point=(cells.latitudes[0], cells.longitudes[0]))


def _read_numbers(fields: SubsetFields, names: tuple[str, ...]) -> tuple[list[tuple[str, str]], list[float]]:
    """Read latitudes and longitudes. Return errors, by field, and the numbers."""
    errors, numbers = [], []
    for name in names:
        is_latitude = name in ("north", "south", "latitude")
        degrees = read_degrees(getattr(fields, name))
        numbers.append(degrees if degrees is not None else 0.0)
        if degrees is None:
            example = "30.5" if is_latitude else "114.25"
            errors.append((name, _("{field}: enter degrees, such as {example}.", field=title(name), example=example)))
            continue
        try:
            Point(degrees, 0) if is_latitude else Point(0, degrees)
        except BadSelection:
            errors.append((name, _out_of_range(name, is_latitude)))
    return errors, numbers


def _out_of_range(name: str, is_latitude: bool) -> str:
    if is_latitude:
        return _("{field}: latitudes are from −90 to 90.", field=title(name))
    return _("{field}: longitudes are from −180 to 360.", field=title(name))


def _area_error(edges: list[float]) -> tuple[str, str]:
    """Return field and error of an area whose edges are valid by themselves."""
    north, west, south, east = edges
    try:
        area = Area(*edges)
    except BadSelection:
        try:
            Area(south, west, north, east)
        except BadSelection:
            return "east", _("West and east are the same meridian. For all longitudes use −180 and 180.")
        return "south", _("The southern edge is north of the northern one. Exchange them.")
    middle = Point((north + south) / 2, (west + area.width / 2 + 180) % 360 - 180)
    nearest = era5_grid().nearest([middle])
    place = f"{nearest.latitudes[0]:g}, {nearest.longitudes[0]:g}"
    return "north", _("There is no grid point in this area. The nearest one is {place}.", place=place)


def title(name: str) -> str:
    """Return the name of a field in the current language."""
    return {
        "north": _("North"),
        "west": _("West"),
        "south": _("South"),
        "east": _("East"),
        "latitude": _("Latitude"),
        "longitude": _("Longitude"),
    }[name]


# --- saving


def to_json(fields: SubsetFields) -> dict[str, Any]:
    """Return what differs from the defaults, as JSON-able values for the preferences."""
    form: dict[str, Any] = {"hours": sorted(fields.hours), "levels": sorted(fields.levels)}
    form["place"] = fields.place.value if fields.place is not Place.AREA else ""
    form |= {name: getattr(fields, name) for name in (*EDGES, *COORDINATES)}
    form["only_days"], form["prove"] = fields.only_days, fields.prove
    return {name: value for name, value in form.items() if value}


def from_json(raw: object) -> SubsetFields:
    """Return the fields that `to_json` returned. What is invalid is left out."""
    if not isinstance(raw, dict):
        return SubsetFields()
    texts = {name: str(raw.get(name, ""))[:_MOST] for name in (*EDGES, *COORDINATES)}
    return SubsetFields(
        hours=_known(raw.get("hours"), HOURS_OF_DAY),
        levels=_known(raw.get("levels"), pressure_levels()),
        place=Place.POINT if raw.get("place") == Place.POINT.value else Place.AREA,
        only_days=raw.get("only_days") is True,
        prove=raw.get("prove") is True,
        **texts,
    )


def _known(raw: object, known: Iterable[int]) -> frozenset[int]:
    """Return the numbers of a list that are known."""
    return frozenset(n for n in raw if type(n) is int) & frozenset(known) if isinstance(raw, list) else frozenset()
