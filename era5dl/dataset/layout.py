"""Reads the layout of one file: its levels, grid, chunks and attributes, which others of its kind must have, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from era5dl.dataset.files import DataFile
from era5dl.dataset.places import Layout, layout_places
from era5dl.errors import Era5Error
from era5dl.hdf5 import Attribute
from era5dl.subset.merge_source import Source

_PACKED = ("scale_factor", "add_offset")
_OF_THE_LIBRARY = frozenset({"_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties"})


def read_layout(root: Path, file: DataFile) -> Layout:
    """Return the layout of a file. Raises Era5Error, which names it, for one that cannot be opened; DiskErrors."""
    source = Source(root, file.part(), "opened")
    try:
        levels, horizontal = layout_places(source.structure)
        attributes = {name: _values(one.attributes) for name, one in source.index.variables.items()}
        if any(name in attributes[source.field.name] for name in _PACKED):
            raise Era5Error(
                f"{file.path} cannot be opened: its values are packed, which those of the bucket are not.",
                remedy="Open it with xarray.open_dataset, or download it again.",
            )
        return Layout(file.path, source.structure, source.edges, levels, horizontal, attributes)
    finally:
        source.close()


def _values(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    """Return attributes as texts and NumPy values."""
    found: dict[str, Any] = {}
    for name, attribute in attributes.items():
        if name in _OF_THE_LIBRARY or attribute.space.is_null:
            continue
        if attribute.text is not None:
            found[name] = attribute.text
        elif not attribute.datatype.name.startswith("S"):
            numbers = np.frombuffer(attribute.data, attribute.datatype.name)
            found[name] = numbers[0] if len(numbers) == 1 else numbers
    return found
