"""Export to netCDF-4: a file for each month, whose compressed chunks are copied to the result at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray

from era5dl.dataset.field import EXPORT_ID
from era5dl.dataset.month_store import Blocks, Month, MonthStore
from era5dl.errors import Era5Error
from era5dl.folder.atomic_write import replace
from era5dl.proof.hdf5 import structure_error

_COMPRESSION: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


class NetcdfMonths(MonthStore):
    """Months as HDF5 files in the folder."""

    def id_of_target(self) -> str:
        try:
            with h5py.File(self.target, "r") as file:
                value = file.attrs.get(EXPORT_ID, "")
        except (OSError, RuntimeError, ValueError):
            return ""
        return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

    @staticmethod
    def check_installed() -> None:
        """Both libraries are needed to open files, too."""

    def create(self) -> None:
        """Nothing: each month has a file of its own."""

    def write_blocks(self, month: Month, blocks: Blocks) -> None:
        with _new_file(self._file_of(month)) as temporary, h5py.File(temporary, "w") as file:
            for name, one in self._timed():
                shape = (month.stop - month.start, *one.shape[1:])
                size = {"maxshape": (None, *shape[1:]), "chunks": self.chunk_shape(one)}  # chunks may be longer than it
                file.create_dataset(name, shape, one.dtype, fillvalue=np.nan, **size, **_COMPRESSION)
            for name, at, values in blocks:
                if not np.isnan(values).all():  # a gap of months takes neither time nor space
                    file[name][at - month.start : at - month.start + len(values)] = values

    def finish(self, check: Callable[[], None]) -> None:
        with _new_file(self.target) as temporary:
            self._write_frame(temporary)
            with h5py.File(temporary, "r+") as result:
                _fix_lengths_of_texts(result)
                for month in self.months:
                    with h5py.File(self._file_of(month), "r") as file:
                        for name, _ in self._timed():
                            _copy(file[name], result[name], month.start, check)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _timed(self) -> Iterator[tuple[str, xarray.DataArray]]:
        """Yield the variables with times."""
        return ((str(name), one) for name, one in self.data.data_vars.items() if "time" in one.dims)

    def _file_of(self, month: Month) -> Path:
        return self.folder / f"{month.name}.h5"

    def _write_frame(self, path: Path) -> None:
        """Write everything but the values of variables with times."""
        frame = self.data.drop_vars([name for name, _ in self._timed()])
        encoding = {
            name: {"_FillValue": np.nan, "chunksizes": self.chunk_shape(one), **_COMPRESSION}
            for name, one in frame.data_vars.items()
        }
        frame.to_netcdf(path, engine="h5netcdf", encoding=encoding)
        with h5netcdf.File(path, "a") as file:
            for name, one in self._timed():
                empty = np.array(np.nan, one.dtype)[()]
                made = file.create_variable(
                    name, one.dims, one.dtype, fillvalue=empty, chunks=self.chunk_shape(one), **_COMPRESSION
                )
                made.attrs.update(one.attrs)
                auxiliary = [str(other) for other in one.coords if other not in one.dims]
                if auxiliary:
                    made.attrs["coordinates"] = " ".join(auxiliary)


def _fix_lengths_of_texts(file: h5py.File) -> None:
    """Write text attributes with a fixed length, as netCDF-C does; xarray's have none, which few programs expect."""
    for one in (file, *file.values()):
        for name, value in one.attrs.items():
            if isinstance(value, str):
                one.attrs[name] = np.bytes_(value.encode()) if value else h5py.Empty(np.dtype("S1"))


def _copy(source: h5py.Dataset, target: h5py.Dataset, start: int, check: Callable[[], None]) -> None:
    """Copy a month to its place: chunks as they are if they begin where those of the target do."""
    edge = target.chunks[0]
    if start % edge == 0 and source.chunks == target.chunks:
        whole = len(source) // edge * edge
        for number in range(source.id.get_num_chunks()):
            check()
            place = source.id.get_chunk_info(number).chunk_offset
            if place[0] < whole or start + len(source) == len(target):
                mask, data = source.id.read_direct_chunk(place)
                target.id.write_direct_chunk((start + place[0], *place[1:]), data, mask)
        rest = range(0) if start + len(source) == len(target) else range(whole, len(source))
    else:
        rest = range(len(source))
    for at in range(rest.start, rest.stop, edge):
        check()
        stop = min(at + edge, rest.stop)
        target[start + at : start + stop] = source[at:stop]


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """Give a file its name when it is complete and synced. Raises Era5Error if what was written is not complete."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
            size = file.seek(0, os.SEEK_END)

            def read(at: int, length: int) -> bytes:
                file.seek(at)
                return file.read(length)

            reason = structure_error(path.name, size, read)
        if reason:
            raise Era5Error(f"{path} could not be written: {reason}")
        replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
