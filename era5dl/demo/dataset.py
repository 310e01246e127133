"""The demo's dataset: real netCDF-4 files with the keys of the bucket, and synthetic weather on a coarser grid.

Dimensions, names, types, attributes, filters and chunks are the same as in the bucket's files. The grid spacing is 2.5
degrees instead of 0.25, so that the files have about 100 MB instead of tens of gigabytes. The `comment` attribute of
each file states that it is synthetic. The values depend only on the key, so that all machines create the same fields.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.catalog import Period, Variable, find_variable, key_of, periods
from era5dl.demo.server import BUCKET, INSTALL
from era5dl.errors import UsageError

if TYPE_CHECKING:
    from era5dl.selection import Selection

VARIABLES = (
    "an.sfc/2t",
    "an.sfc/10u",
    "an.sfc/10v",
    "an.sfc/msl",
    "an.pl/t",
    "fc.sfc.accumu/lsp",
    "fc.sfc.accumu/cp",
    "invariant/z",
    "invariant/lsm",
)
DAYS = (date(2021, 2, 1), date(2021, 2, 15), date(2021, 2, 28))
"""Three days, chosen so that there are three daily files, one monthly file and all half months of forecasts for
February."""

_DAYS = tuple((day, day) for day in DAYS)

EDITION = 2  # of the files' content; increase it when that changes, so that no older cached files are used
STALE = 3600.0  # seconds after which an unfinished folder counts as abandoned


def selection() -> Selection:
    """Return the selection that the demo downloads."""
    from era5dl.selection import Selection, select_variables

    return Selection(select_variables(VARIABLES), _DAYS)


def subset_selection() -> Selection:
    """Return the subset that the demo downloads: two hours, two levels and an area, of one variable of each product."""
    from era5dl.catalog import Cadence
    from era5dl.selection import Selection, select_variables
    from era5dl.subset.selection import Area, Subset

    chosen = {
        v.product: v for v in reversed(select_variables(VARIABLES)) if v.product.cadence is not Cadence.HALF_MONTH
    }
    china = Area(54, 73, 18, 135)
    return Selection(tuple(chosen.values()), _DAYS, Subset(hours=(0, 12), levels=(500, 850), area=china, days=_DAYS))


def demo_files() -> Iterator[tuple[Variable, Period]]:
    """Yield the variable and the period of each file of the demo's bucket."""
    for variable in map(find_variable, VARIABLES):
        yield from dict.fromkeys((variable, period) for day in DAYS for period in periods(variable.product, day, day))


def create_dataset(cache: Path, on_file: Callable[[int, int], None] | None = None) -> Path:
    """Return the folder to serve, which is created below `cache` if it does not exist. Takes a few seconds.

    on_file: called with the number of files created and their total. Raises UsageError when h5py is not installed, and
    OSError.
    """
    folder = cache / f"demo-bucket-{EDITION}"
    if folder.is_dir():
        return folder
    _require_h5py()
    cache.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(cache)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.unfinished-", dir=cache))
    try:
        _make_files(unfinished / BUCKET, on_file)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process has created it meanwhile
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _make_files(bucket: Path, on_file: Callable[[int, int], None] | None) -> None:
    from era5dl.demo.netcdf import write_file

    files = list(demo_files())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = [pool.submit(write_file, bucket / key_of(*file), *file) for file in files]
        try:
            for count, future in enumerate(made, start=1):
                future.result()
                if on_file is not None:
                    on_file(count, len(files))
        finally:
            pool.shutdown(cancel_futures=True)


def _remove_abandoned(cache: Path) -> None:
    """Remove the unfinished folders of processes that were interrupted."""
    for unfinished in cache.glob("demo-bucket-*.unfinished-*"):
        if time.time() - unfinished.stat().st_mtime > STALE:
            shutil.rmtree(unfinished, ignore_errors=True)


def _require_h5py() -> None:
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise UsageError("The demo needs h5py, which is not installed.", remedy=INSTALL) from None
