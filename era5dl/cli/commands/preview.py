"""Command `preview`: describes one field of a file, and writes its map as a PNG file. It sends no requests."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.errors import UsageError
from era5dl.preview import import_picture, import_rendering

if TYPE_CHECKING:
    from era5dl.preview.field_file import Field


def preview(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Read the field and show it. Returns the exit code."""
    picture = arguments.output
    if picture is not None:
        if picture.suffix.lower() != ".png":
            raise UsageError(f"{picture} is no name of a PNG file.", remedy="Give a name that ends with .png.")
        import_picture()
    import_rendering()
    from era5dl.preview.choice import choose_level, choose_time, choose_variable
    from era5dl.preview.field_file import FieldFile

    def work() -> Field:
        with FieldFile(arguments.file) as file:
            variable = choose_variable(file, arguments.variable)
            time, level = choose_time(variable, arguments.time), choose_level(variable, arguments.level)
            return file.read(variable, time, level, interrupts.requested.is_set)

    field = interrupts.run_in_background(work)
    if picture is not None:
        from era5dl.preview.picture import save_picture

        interrupts.run_in_background(lambda: save_picture(picture, field, dark=arguments.dark))
    _report(arguments, field, output)
    return ExitCode.OK


def _report(arguments: argparse.Namespace, field: Field, output: Output) -> None:
    from era5dl.preview.captions import describe_field
    from era5dl.preview.coordinates import Grid

    variable, picture = field.variable, arguments.output
    is_grid = isinstance(variable.places, Grid)
    output.results(describe_field(field))
    if picture is not None:
        output.result(f"map written to {picture}" if is_grid else f"time series written to {picture}")
    else:
        output.info("Use -o map.png for a picture.")
    times = variable.times
    output.record(
        "field",
        path=str(arguments.file),
        variable=variable.name,
        long_name=variable.long_name,
        units=variable.units,
        valid_time=f"{times[field.time]:%Y-%m-%dT%H:%M}" if times and is_grid else None,
        level=variable.levels[field.level] if variable.levels else None,
        min=field.minimum,
        mean=field.mean,
        max=field.maximum,
        times=len(times),
        first=f"{times[0]:%Y-%m-%dT%H:%M}" if times else None,
        last=f"{times[-1]:%Y-%m-%dT%H:%M}" if times else None,
        levels=list(variable.levels),
        kind="grid" if is_grid else "points",
        shape=list(variable.places.shape),
        picture=None if picture is None else str(picture),
    )
