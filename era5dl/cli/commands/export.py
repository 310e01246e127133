"""Command `export`: writes the files of a folder as one netCDF or zarr file. It sends no requests."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.dataset import import_opener
from era5dl.formatting import format_count

if TYPE_CHECKING:
    from era5dl.dataset.export import Export

_RECORD_INTERVAL = 1.0  # seconds between two `exporting` records
_MESSAGE_INTERVAL = 5.0  # seconds between two messages


def export(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Export a folder. Returns the exit code."""
    opener = import_opener()
    from era5dl.dataset.export import check_target
    from era5dl.dataset.export import export as write

    target = Path(arguments.to)
    check_target(target)
    progress = _Progress(output)

    def work() -> Export:
        data = opener.open_folder(
            arguments.folder,
            arguments.variable or None,
            time=(arguments.start, arguments.end),
            area=arguments.area,
            levels=arguments.levels,
            names=arguments.names,
            damaged=arguments.damaged,
            dask=False,
        )
        return write(data, target, progress.set, interrupts.requested.is_set)

    return _report(interrupts.run_in_background(work, progress.report), output)


class _Progress:
    """Progress of an export: set by the thread that writes, reported by the main thread."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._now = ("", 0, 0)
        self._reported = self._now
        self._next_record = self._next_message = 0.0

    def set(self, month: str, done: int, total: int) -> None:
        """Take the month that is being written, and the numbers of finished months and of all."""
        self._now = (month, done, total)

    def report(self) -> None:
        """Write a record each second, and a message every few seconds."""
        now = time.monotonic()
        month, done, total = self._now
        if self._now == self._reported:
            return
        if now >= self._next_record:
            self._next_record = now + _RECORD_INTERVAL
            self._output.record("exporting", month=month, done=done, total=total)
        if now >= self._next_message:
            self._next_message, self._reported = now + _MESSAGE_INTERVAL, self._now
            what = f"Exporting {month}" if month else "Putting the months together"
            self._output.info(f"{what} ({done:,} of {format_count(total, 'month')} done)")


def _report(result: Export, output: Output) -> ExitCode:
    output.record(
        "exported",
        path=str(result.path),
        variables=list(result.variables),
        times=result.times,
        first=result.first,
        last=result.last,
        missing=result.missing,
        kept=result.kept,
    )
    names = ", ".join(result.variables)
    what = "exported before, still the same" if result.kept else "exported"
    span = f", {format_count(result.times, 'time')} from {result.first} to {result.last} UTC" if result.times else ""
    output.notice(f"{what}: {result.path}: {names}{span}")
    for name, hours in result.missing.items():
        shown = hours if len(hours) < 200 else hours[:200].rpartition(",")[0] + ", ..."
        output.notice(f"  {name} has no data for {shown}")
    return ExitCode.INCOMPLETE if result.missing else ExitCode.OK
