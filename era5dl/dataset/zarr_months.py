"""Export to zarr: months are written to their places in a store, which gets its final name at the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xarray

from era5dl.dataset.field import EXPORT_ID
from era5dl.dataset.month_store import Blocks, Month, MonthStore
from era5dl.errors import UsageError
from era5dl.folder.atomic_write import rename, sync_folder


class ZarrMonths(MonthStore):
    """Months in a zarr store inside the folder. A month that was interrupted is written again."""

    @staticmethod
    def check_installed() -> None:
        if find_spec("zarr") is None or find_spec("dask") is None:
            raise UsageError("Writing zarr needs zarr and dask.", remedy='pip install zarr "dask[array]"')

    def id_of_target(self) -> str:
        try:
            with xarray.open_zarr(self.target, chunks=None) as data:
                return str(data.attrs.get(EXPORT_ID, ""))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return ""

    def create(self) -> None:
        template = self.data.copy()
        for name, one in template.data_vars.items():
            one.encoding.pop("preferred_chunks", None)
            one.encoding["chunks"] = self.chunk_shape(one)
            if "time" in one.dims:
                template[name] = one.chunk(dict(zip(one.dims, self.chunk_shape(one), strict=True)))
        version: dict[str, Any] = {} if metadata.version("zarr").startswith("2.") else {"zarr_format": 2}
        template.to_zarr(self._store, mode="w", compute=False, **version)  # format 2: all programs read it

    def write_blocks(self, month: Month, blocks: Blocks) -> None:  # noqa: ARG002 - blocks have their position
        for name, at, values in blocks:
            block = xarray.Dataset({name: (self.data[name].dims, values)})
            block.to_zarr(self._store, region={"time": slice(at, at + len(values))})

    def finish(self, check: Callable[[], None]) -> None:
        check()
        rename(self._store, self.target)
        sync_folder(self.target.parent)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _store(self) -> Path:
        return self.folder / "data.zarr"
