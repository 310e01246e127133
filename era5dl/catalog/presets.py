"""Presets: named sets of variables, such as the input of a weather model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from era5dl.catalog import data
from era5dl.catalog.lookup import closest_matches, find_variable, normalize
from era5dl.catalog.variables import Variable
from era5dl.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Preset:
    """A named set of variables. note: variables to derive from the files, or the levels to use; can be empty."""

    name: str
    description: str
    variables: tuple[Variable, ...]
    note: str
    source: str


@cache
def presets() -> tuple[Preset, ...]:
    """Return all presets."""
    return tuple(
        Preset(
            name=entry["name"],
            description=entry["description"],
            variables=tuple(find_variable(name) for name in entry["variables"]),
            note=entry["note"],
            source=entry["source"],
        )
        for entry in data.read_json("presets.json")
    )


def find_preset(name: str) -> Preset:
    """Return the preset with this name; case does not matter. Raises UnknownName."""
    by_name = {normalize(preset.name): preset for preset in presets()}
    if normalize(name) in by_name:
        return by_name[normalize(name)]
    near = closest_matches(normalize(name), by_name)
    raise UnknownName(
        f"There is no preset “{name}”.",
        candidates=[by_name[found].name for found in near],
        remedy="Presets: " + ", ".join(preset.name for preset in presets()) + ".",
    )
