"""Writes a data set to one netCDF or zarr file, month by month, so that an interrupted export can be continued.

Months are read in blocks of limited size. They are kept in a folder beside the result, TARGET.parts, until all are
there; only then the result gets its name. A later export of the same data uses the months that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from era5dl.dataset.field import EXPORT_ID, MISSING
from era5dl.dataset.month_store import Month, MonthStore
from era5dl.dataset.netcdf_months import NetcdfMonths
from era5dl.dataset.zarr_months import ZarrMonths
from era5dl.errors import Stopped, UsageError
from era5dl.folder.atomic_write import make_folders
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.locks.lock_file import Lock

Progress = Callable[[str, int, int], None]

_MAX_BLOCK = 128 << 20  # bytes of values in memory, unless a single time has more
_STORES: dict[str, type[MonthStore]] = {".nc": NetcdfMonths, ".zarr": ZarrMonths}


@dataclass(frozen=True, slots=True)
class Export:
    """A data set on disk. times: their number. first, last: such as 2021-02-01T00. missing: by variable, the hours that
    are NaN because no file has them. kept: it was there already."""

    path: Path
    variables: tuple[str, ...]
    times: int
    first: str
    last: str
    missing: dict[str, str]
    kept: bool


def check_target(target: Path) -> None:
    """Raise UsageError if the name is not one of a format that can be written, or a library for it is missing."""
    store = _STORES.get(target.suffix)
    if store is None:
        raise UsageError(f"{target.name} is neither netCDF nor zarr.", remedy="Use a name that ends in .nc or .zarr.")
    store.check_installed()


def export(
    data: xarray.Dataset,
    target: Path,
    progress: Progress | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Export:
    """Write a data set of `open_folder`, opened without dask, to TARGET.nc or TARGET.zarr.

    progress: called with the month that is written next, the number of those that are finished, and of all.

    What is there already is kept if it is an export of the same data, and otherwise not replaced: UsageError. Raises
    SessionBusy, Stopped, DiskErrors, and what reading the files raises; then the next export continues with the month
    it was at.
    """
    check_target(target)

    def check_stopped() -> None:
        if stopped():
            raise Stopped("while a data set is exported")

    def report(month: str, done: int) -> None:
        if progress is not None:
            progress(month, done, len(months))

    identity = data.encoding[EXPORT_ID]
    months = _months(data)
    store = _STORES[target.suffix](target, data.assign_attrs({EXPORT_ID: identity}), months)
    with translate_disk_errors(target):
        is_there = target.is_symlink() or target.exists()
        if is_there and store.id_of_target() != identity:
            raise UsageError(f"{target} is there, with other content.", remedy="Delete it, or choose another name.")
        if not is_there:
            with _locked(target):
                store.begin()
                for number, month in enumerate(months):
                    report(month.name, number)
                    if not store.has(month):
                        store.write(month, _checked(_blocks(data, month), check_stopped))
                report("", len(months))
                store.finish(check_stopped)
    times = data["time"].values if "time" in data.sizes else np.array([], "datetime64[ns]")
    first, last = (str(times[at].astype("datetime64[h]")) if len(times) else "" for at in (0, -1))
    missing = {str(name): one.attrs[MISSING] for name, one in data.data_vars.items() if MISSING in one.attrs}
    return Export(target, tuple(map(str, data.data_vars)), len(times), first, last, missing, is_there)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold a lock, so that two programs do not write the same months. Raises SessionBusy."""
    make_folders(target.absolute().parent)
    lock = Lock.acquire(target.absolute().with_name(target.name + ".lock"))
    try:
        lock.start_heartbeat()
        yield
    finally:
        lock.release()


def _months(data: xarray.Dataset) -> list[Month]:
    if "time" not in data.sizes:
        return []
    names = data["time"].values.astype("datetime64[M]")
    starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    return [Month(str(names[start]), start, stop) for start, stop in pairwise(starts)]


def _blocks(data: xarray.Dataset, month: Month) -> Iterator[tuple[str, int, np.ndarray[Any, Any]]]:
    """Yield the values of each variable with times, in blocks: name, position of the first time, values."""
    for name, one in data.data_vars.items():
        if "time" not in one.dims:
            continue
        cuts = np.cumsum([0, *one.encoding["preferred_chunks"]["time"]])  # where chunks of the files begin
        inner = cuts[(cuts > month.start) & (cuts < month.stop)].tolist()
        limit = max(1, _MAX_BLOCK // max(one.nbytes // len(data["time"]), 1))
        for first, last in pairwise([month.start, *inner, month.stop]):
            for at in range(first, last, limit):
                yield str(name), at, np.asarray(one.variable[at : min(at + limit, last)].values)


def _checked(
    blocks: Iterator[tuple[str, int, np.ndarray[Any, Any]]], check: Callable[[], None]
) -> Iterator[tuple[str, int, np.ndarray[Any, Any]]]:
    for block in blocks:
        check()
        yield block
