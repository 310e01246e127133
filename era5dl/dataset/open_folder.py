"""Opens a folder of ERA5 files as one lazy `xarray.Dataset`: files side by side, forecasts at their valid times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from xarray.backends import BackendEntrypoint
from xarray.core.indexing import LazilyIndexedArray

from era5dl.catalog import Cadence, Variable
from era5dl.dataset.arrays import DerivedArray, FilesArray
from era5dl.dataset.field import EXPORT_ID, Field, dataset_attributes, export_id, field_attributes
from era5dl.dataset.files import Chosen, DataFile, Folder, choose, folder_of_plan, read_folder, sources_of
from era5dl.dataset.hours import Hours, union
from era5dl.dataset.layout import read_layout
from era5dl.dataset.names import check_names, dataset_names
from era5dl.dataset.places import Has, Layout, Target, choose_target
from era5dl.dataset.time_axis import (
    Segment,
    parse_time,
    segments,
    time_axis,
    to_datetime64,
)
from era5dl.errors import UsageError
from era5dl.planner.plan import Plan
from era5dl.subset.parsing import parse_area, parse_levels

_DASK_CHUNK = 64 << 20  # bytes of a dask chunk, at least as long as a file has so many
_TIME = {"long_name": "time", "standard_name": "time"}
_TIME_ENCODING = {"units": "hours since 1900-01-01 00:00:00", "calendar": "gregorian", "dtype": "int32"}
_DAMAGED = ("error", "skip")


def open_folder(
    source: str | Path | Plan,
    variables: str | Iterable[str] | None = None,
    *,
    time: Any = None,
    area: Any = None,
    levels: Any = (),
    names: str = "bucket",
    damaged: str = "error",
    dask: bool | None = None,
) -> xarray.Dataset:
    """Return the data set. See `era5dl.open` for the arguments."""
    check_names(names)
    if damaged not in _DAMAGED:
        raise UsageError(f"Damaged files cannot be treated as {damaged!r}.", remedy=f"Use one of {_DAMAGED}.")
    if source == "":
        raise UsageError("The name of the folder is empty.", remedy="Use “.” for the current folder.")
    folder = folder_of_plan(source) if isinstance(source, Plan) else Path(source)
    has_dask = find_spec("dask") is not None
    if dask and not has_dask:
        raise UsageError("dask is not installed.", remedy='pip install "dask[array]"')
    use_dask = has_dask if dask is None else dask
    return xarray.open_dataset(
        str(folder),
        engine=_FolderBackend,
        chunks={} if use_dask else None,
        variables=_split(variables),
        plan=source if isinstance(source, Plan) else None,
        time=time,
        area=area,
        levels=levels,
        names=names,
        skip_damaged=damaged == "skip",
    )


class _FolderBackend(BackendEntrypoint):
    """Lets xarray wrap the lazy arrays: as its own ones, which cache what was loaded, or as those of dask."""

    def open_dataset(  # type: ignore[override]
        self,
        filename_or_obj: Any,
        *,
        drop_variables: Any = None,  # noqa: ARG002 - a part of xarray's interface
        variables: Sequence[str] | None,
        plan: Plan | None,
        time: Any,
        area: Any,
        levels: Any,
        names: str,
        skip_damaged: bool,
    ) -> xarray.Dataset:
        folder = read_folder(Path(filename_or_obj), plan, skip_damaged=skip_damaged)
        chosen = choose(folder, variables)
        return _Builder(folder, chosen, time, area, levels).dataset(names)


class _Builder:
    """Makes the data set of a folder."""

    def __init__(self, folder: Folder, chosen: Sequence[Chosen], time: Any, area: Any, levels: Any) -> None:
        self._folder = folder
        self._chosen = chosen
        self._variables = tuple(dict.fromkeys(one for variable in chosen for one in sources_of(variable)))
        self._timed = [one for one in self._variables if one.product.cadence is not Cadence.FIXED]
        self._axis = time_axis(folder, self._timed, parse_time(time)) if self._timed else np.empty(0, np.int64)
        self._layouts = {variable: self._read_layouts(variable) for variable in self._variables}
        every = [layout for layouts in self._layouts.values() for layout in layouts.values()]
        wanted = None if area is None else parse_area(area)
        self._target = choose_target(every, self._covers, wanted, _levels(levels))
        self._fields = {variable: self._field(variable) for variable in self._variables}

    def dataset(self, names: str) -> xarray.Dataset:
        """Return the data set."""
        named = dataset_names(self._chosen, names)
        found = {named[one]: self._data_variable(one) for one in self._chosen}
        dimensions = {name for variable in found.values() for name in variable.dims}
        coordinates = {name: one for name, one in self._coordinates().items() if set(one.dims) <= dimensions}
        fields_of = {named[one]: [self._fields[source] for source in sources_of(one)] for one in self._chosen}
        data = xarray.Dataset(found, coordinates, dataset_attributes(fields_of, self._axis, self._folder.left_out))
        data.encoding[EXPORT_ID] = export_id(fields_of, self._axis, self._target)
        return data

    def _read_layouts(self, variable: Variable) -> dict[str, Layout]:
        """Read one file of each selection that has any of the hours."""
        found: dict[str, Layout] = {}
        for file in self._folder.files[variable]:
            if file.form not in found and self._is_needed(file):
                found[file.form] = read_layout(self._folder.root, file)
        if not found:  # of none of the times: any file says how the variable looks
            file = self._folder.files[variable][0]
            found[file.form] = read_layout(self._folder.root, file)
        return found

    def _is_needed(self, file: DataFile) -> bool:
        if file.found.parts.product.cadence is Cadence.FIXED:
            return True
        hours = file.hours()
        return bool(len(hours)) and bool(
            np.searchsorted(self._axis, hours[0]) < np.searchsorted(self._axis, hours[-1], "right")
        )

    def _covers(self, has: Has) -> bool:
        """Return whether the files whose layouts fulfil a condition have all hours that any files have."""
        for variable in self._variables:
            layouts = self._layouts[variable]
            fitting = {form for form, layout in layouts.items() if has(layout)}
            files = self._folder.files[variable]
            if not fitting or (
                len(fitting) < len(layouts) and len(self._hours(files, set(layouts))) > len(self._hours(files, fitting))
            ):
                return False
        return True

    def _hours(self, files: Iterable[DataFile], forms: set[str]) -> Hours:
        hours = union(file.hours() for file in files if file.form in forms)
        return hours[np.isin(hours, self._axis)]

    def _field(self, variable: Variable) -> Field:
        layouts = self._layouts[variable]
        places = {form: layout.select(self._target) for form, layout in layouts.items()}
        selected = {form: (layouts[form], indices) for form, indices in places.items() if indices is not None}
        if not selected:
            example = next(iter(layouts.values()))
            raise UsageError(
                f"No file of {variable.name} has all of the selected area and levels: {example.path} has "
                f"{example.horizontal}" + (f", {len(example.levels)} levels." if example.levels else "."),
                remedy="Select less, or download the rest.",
            )
        first = next(iter(selected.values()))[0]
        for layout, _ in selected.values():
            if layout.essential != first.essential:
                raise UsageError(
                    f"{layout.path} and {first.path} have different types, units or fill values.",
                    remedy="Move one of them to another folder.",
                )
        usable = [file for file in self._folder.files[variable] if file.form in selected]
        usable.sort(key=lambda file: (not file.found.is_whole, len(selected[file.form][0].horizontal)))
        if variable.product.cadence is Cadence.FIXED:
            return Field(variable, layouts, selected, usable, [Segment(0, 1, usable[0], 0)])
        found = segments(self._axis, usable)
        used = {id(segment.file) for segment in found}
        files = sorted((file for file in usable if id(file) in used), key=lambda file: file.found.start)
        return Field(variable, layouts, selected, files, found)

    def _data_variable(self, chosen: Chosen) -> xarray.Variable:
        fields = [self._fields[one] for one in sources_of(chosen)]
        arrays = [self._array(field) for field in fields]
        array = arrays[0] if isinstance(chosen, Variable) else DerivedArray(chosen, arrays)
        places = self._place_dimensions(fields[0].layout)
        attributes = field_attributes(chosen, fields, self._axis)
        found: xarray.Variable = xarray.Variable(("time", *places), LazilyIndexedArray(array), attributes)
        if fields[0].is_fixed:
            without_time: xarray.Variable = found.isel(time=0)
            return without_time
        found.encoding["preferred_chunks"] = {"time": _dask_chunks(fields[0], array.shape, array.dtype.itemsize)}
        return found

    def _array(self, field: Field) -> FilesArray:
        _, indices = next(iter(field.selected.values()))
        shape = (1 if field.is_fixed else len(self._axis), *map(len, indices))
        return FilesArray(self._folder.root, field.segments, field.selected, shape)

    def _place_dimensions(self, layout: Layout) -> tuple[str, ...]:
        horizontal = ("station",) if layout.horizontal.is_points else ("latitude", "longitude")
        return ("level", *horizontal) if layout.levels else horizontal

    def _coordinates(self) -> dict[str, xarray.Variable]:
        target: Target = self._target
        layouts = [field.layout for field in self._fields.values()]
        about = {name: text for layout in reversed(layouts) for name, text in layout.attributes.items()}
        horizontal = target.horizontal
        found = {}
        if len(self._axis):
            found["time"] = xarray.Variable("time", to_datetime64(self._axis), _TIME, dict(_TIME_ENCODING))
        if target.levels:
            found["level"] = xarray.Variable("level", np.array(target.levels), about.get("level"))
        if horizontal.is_points:
            found["station"] = xarray.Variable("station", np.arange(1, len(horizontal) + 1), about.get("station"))
            if horizontal.names:
                texts = np.array([name.decode("utf-8", "replace") for name in horizontal.names])
                found["station_name"] = xarray.Variable("station", texts, about.get("station_name"))
        for name, values in (("latitude", horizontal.latitudes), ("longitude", horizontal.longitudes)):
            dimension = "station" if horizontal.is_points else name
            found[name] = xarray.Variable(dimension, np.array(values), about.get(name))
        return found


def _dask_chunks(field: Field, shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return the lengths of dask's chunks in time. They begin and end where chunks of the files do."""
    edge = field.layout.chunk_shape[0]
    row = edge * int(np.prod(shape[1:])) * size
    length = edge * max(1, _DASK_CHUNK // max(row, 1))
    cuts = {0, shape[0]}
    for segment in field.segments:
        begin = segment.start - segment.first % edge
        cuts.update(at for at in range(begin, segment.stop, length) if at > segment.start)
        if segment.first == 0:
            cuts.add(segment.start)
    for before, after in pairwise(sorted(cuts)):
        cuts.update(range(before + length, after, length))  # a gap may have years
    return tuple(after - before for before, after in pairwise(sorted(cuts)))


def _levels(levels: Any) -> tuple[float, ...]:
    if levels is None:
        return ()
    return tuple(float(level) for level in parse_levels(levels))


def _split(variables: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Return one or several names as a tuple. A text may have several, separated by commas."""
    if variables is None:
        return None
    items = [variables] if isinstance(variables, str) else list(variables)
    return tuple(name.strip() for item in items for name in str(item).split(",") if name.strip())
