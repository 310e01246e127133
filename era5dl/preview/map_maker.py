"""Makes the maps that the window shows: keeps the file open, its decoded chunks, and the range of colours."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

from era5dl.preview import import_picture
from era5dl.preview.choice import choose_level, choose_variable
from era5dl.preview.colour_scale import ColourScale, make_scale
from era5dl.preview.coordinates import Grid
from era5dl.preview.field_file import Field, FieldFile
from era5dl.preview.map_layout import MapLayout, fit
from era5dl.preview.rendering import DARK_MISSING, MissingColours, render, render_bar, to_ppm
from era5dl.preview.shown_map import ColourBar, MapRequest, ShownMap

_BAR = 12  # height in pixels, for lines of one pixel


class MapMaker:
    """Not for several threads at once, except `save`. Close it with `close`."""

    def __init__(self) -> None:
        self._file: FieldFile | None = None
        self._version: tuple[object, ...] = ()
        self._scales: dict[tuple[str, int], ColourScale] = {}
        self._latest: Field | None = None

    def make(self, request: MapRequest, cancelled: Callable[[], bool]) -> ShownMap:
        """Return a map. Raises Era5Errors, and Stopped when cancelled."""
        file = self._open(request.path)
        variable = choose_variable(file, request.variable)
        level = choose_level(variable, request.level if request.level in variable.levels else None)
        time = min(max(0, request.time), max(0, len(variable.times) - 1))
        field = self._latest = file.read(variable, time, level, cancelled)
        key = variable.name, level
        scale = self._scales[key] = make_scale(field, self._scales.get(key))
        places = variable.places
        layout: MapLayout | None = None
        bar: ColourBar | None = None
        if isinstance(places, Grid):
            layout = fit(places, request.width, request.height)
            missing = DARK_MISSING if request.dark else MissingColours()
            image = to_ppm(render(field, layout, scale, missing, request.line_width))
            bar = _bar(scale, layout, round(_BAR * request.line_width))
        else:
            width, height = max(200, request.width), max(150, request.height)
            image = import_picture().draw_chart(field, width, height, dark=request.dark, line_width=request.line_width)
        return ShownMap(
            path=request.path,
            variables=tuple(one.name for one in file.variables),
            variable=variable.name,
            long_name=variable.long_name,
            units=variable.units,
            times=variable.times,
            levels=variable.levels,
            time=time,
            level=level,
            minimum=field.minimum,
            mean=field.mean,
            maximum=field.maximum,
            image=image,
            layout=layout,
            bar=bar,
            value_at=field.value_at if layout else lambda _latitude, _longitude: None,
        )

    def prepare_next(self, cancelled: Callable[[], bool]) -> None:
        """Decode the next time of the latest map, which is the one that is wanted most often. Raises Stopped when
        cancelled, and Era5Errors."""
        latest = self._latest
        if self._file is None or latest is None or not isinstance(latest.variable.places, Grid):
            return
        if latest.time + 1 < len(latest.variable.times):
            self._file.prepare(latest.variable, latest.time + 1, latest.level, cancelled)

    def save(self, path: Path, *, dark: bool) -> None:
        """Write the picture of the latest field. Raises DiskError, and UsageError without Pillow."""
        field = self._latest
        if field is not None:
            scale = self._scales.get((field.variable.name, field.level))
            import_picture().save_picture(path, field, scale, dark=dark)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._version, self._latest = None, (), None
        self._scales.clear()

    def _open(self, path: Path) -> FieldFile:
        """Return the open file; open it again if it has been replaced."""
        try:
            found = os.stat(path)  # noqa: PTH116 - like `Path.stat`
            version: tuple[object, ...] = (path, found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            version = ()
        if self._file is None or not version or version != self._version:
            self.close()
            self._file = FieldFile(path)
            self._version = version
        return self._file


def _bar(scale: ColourScale, layout: MapLayout, height: int) -> ColourBar:
    table = scale.colormap.table()
    below, above = ("#{:02x}{:02x}{:02x}".format(*table[at]) for at in (0, -1))
    return ColourBar(
        to_ppm(render_bar(scale, layout.width, max(4, height))),
        tuple(scale.ticks()),
        below if scale.below else "",
        above if scale.above else "",
        round(math.log10(scale.factor)),
    )
