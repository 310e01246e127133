"""Fields of a data set: the files of a variable that are used, and the attributes that say what they have and lack."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from era5dl import __version__
from era5dl.catalog import Cadence, DerivedVariable, Variable
from era5dl.dataset.files import Chosen, DataFile
from era5dl.dataset.hours import Hours, union
from era5dl.dataset.places import Indices, Layout
from era5dl.dataset.time_axis import Segment, describe_hours, missing_positions

MISSING = "era5dl_missing_hours"
SOURCES = "era5dl_sources"
EXPORT_ID = "era5dl_export_id"
_MAX_SOURCES = 16 << 10  # characters; the attributes of a netCDF variable have less than 64 KiB
_EXPORT_VERSION = 1  # of the content of exports
_MOST_NAMES = 20  # of damaged files
_OF_ONE_FILE = ("minimum_value", "maximum_value", "grid_specification")  # attributes that are not true of the whole


@dataclass(frozen=True, slots=True)
class Field:
    """The files of one variable in the data set. layouts: by the form of its files; selected: those of them that have
    the places of the data set. segments: of the axis."""

    variable: Variable
    layouts: Mapping[str, Layout]
    selected: Mapping[str, tuple[Layout, tuple[Indices, ...]]]
    files: Sequence[DataFile]
    segments: Sequence[Segment]

    @property
    def layout(self) -> Layout:
        return next(iter(self.selected.values()))[0]

    @property
    def is_fixed(self) -> bool:
        return self.variable.product.cadence is Cadence.FIXED


def field_attributes(chosen: Chosen, fields: Sequence[Field], axis: Hours) -> dict[str, Any]:
    """Return the attributes of a variable: those of its files that are true of all, and where it is from."""
    if isinstance(chosen, DerivedVariable):
        found: dict[str, Any] = {"long_name": chosen.long_name, "short_name": chosen.short, "units": chosen.units}
        found["comment"] = f"computed as {chosen.formula}: {chosen.note}"
    else:
        layout = fields[0].layout
        given = layout.attributes[layout.structure.field]
        left_out = {"_FillValue", "missing_value", "coordinates", *_OF_ONE_FILE}
        left_out |= {f"source_file_{name}" for name in _OF_ONE_FILE}
        found = {name: value for name, value in given.items() if name not in left_out}
    found["era5dl_variables"] = ", ".join(field.variable.name for field in fields)
    found[SOURCES] = describe_sources([file for field in fields for file in field.files])
    lacking = lacking_positions(axis, fields)
    if len(lacking):
        found[MISSING] = describe_hours(axis, lacking)
    return found


def dataset_attributes(fields: Mapping[str, Sequence[Field]], axis: Hours, left_out: Sequence[Path]) -> dict[str, Any]:
    """Return the attributes of a data set. fields: those of each variable, by its name. left_out: damaged files."""
    found: dict[str, Any] = {
        "Conventions": "CF-1.6",
        "source": "ERA5 reanalysis, files of the bucket nsf-ncar-era5",
        "era5dl_version": __version__,
    }
    counts = {name: len(lacking_positions(axis, needed)) for name, needed in fields.items()}
    texts = [f"{name}: {count:,} of {len(axis):,}" for name, count in counts.items() if count]
    if texts:
        found[MISSING] = "hours without data, which are NaN: " + ", ".join(texts)
    if left_out:
        more = f", and {len(left_out) - _MOST_NAMES:,} more" if len(left_out) > _MOST_NAMES else ""
        found["era5dl_damaged_files"] = ", ".join(path.name for path in left_out[:_MOST_NAMES]) + more
    return found


def export_id(fields: Mapping[str, Sequence[Field]], axis: Hours, places: Any) -> str:
    """Return 16 hex digits, equal for data sets with the same variables, times and places, from the same files."""
    digest = hashlib.sha256(f"{_EXPORT_VERSION} {places}".encode())
    digest.update(axis.tobytes())
    for name, needed in fields.items():
        for field in needed:
            for one in field.segments:
                found = one.file.found
                text = f"{name} {one.start} {one.stop} {one.first} {found.path} {found.size} {found.modified}"
                digest.update(f"{text} {one.file.etag}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def lacking_positions(axis: Hours, fields: Sequence[Field]) -> Indices:
    """Return the positions of the hours that the files of any of these variables lack."""
    timed = [field for field in fields if not field.is_fixed]
    return union(missing_positions(axis, field.segments) for field in timed)


def describe_sources(files: Sequence[DataFile]) -> str:
    """Return a line with key, ETag and size for each object; of many, their number and a digest of the lines."""
    lines = list(dict.fromkeys(file.source for file in files))
    text = "\n".join(lines)
    if len(text) <= _MAX_SOURCES:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{len(lines)} objects from {lines[0]} to {lines[-1]}; SHA-256 of the {len(lines)} lines: {digest}"
