"""Tests of `era5dl export`: the same values in netCDF and zarr, continued after interruptions, nothing overwritten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray

import era5dl
from era5dl.cli.json_output import event_names
from era5dl.cli.main import main
from era5dl.dataset import export as exporting
from era5dl.dataset.export import export
from era5dl.errors import DiskFull, Era5Error, SessionBusy, Stopped, UsageError
from era5dl.locks.lock_file import Lock
from era5dl.preview.field_file import FieldFile
from tests.test_dataset import put, truncate

NAMES = ["2t", "tp", "lsm", "t"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months and a hole, of variables with and without levels and times."""
    made = tmp_path_factory.mktemp("era5")
    for hour in (datetime(2020, 12, 20), datetime(2021, 1, 5), datetime(2021, 1, 20)):
        for name in ("an.sfc/2t", "fc.sfc.accumu/lsp", "fc.sfc.accumu/cp"):
            put(made, name, hour)
    for name in ("invariant/lsm", "an.pl/t"):
        put(made, name, datetime(2021, 1, 20))
    return made


def data_of(folder: Path, time: Any = "2020-12-25/2021-01-20") -> xarray.Dataset:
    return era5dl.open(folder, NAMES, time=time, names="cds", dask=False)


def check(path: Path, expected: xarray.Dataset) -> None:
    with xarray.open_dataset(path, engine="zarr" if path.suffix == ".zarr" else "netcdf4") as found:
        assert set(found.data_vars) == set(expected.data_vars)
        for name, one in expected.variables.items():
            assert found[name].dims == one.dims, name
            assert found[name].dtype == one.dtype, name
            assert np.array_equal(found[name].values, one.values, equal_nan=one.dtype.kind == "f"), name
            for attribute, value in one.attrs.items():
                assert np.array_equal(found[name].attrs[attribute], value), attribute
        assert found.attrs["Conventions"] == expected.attrs["Conventions"]


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_exports_have_the_same_values_and_are_kept(suffix: str, folder: Path, tmp_path: Path) -> None:
    if suffix == "zarr":
        pytest.importorskip("zarr")
    target, data = tmp_path / f"out.{suffix}", data_of(folder)
    steps: list[tuple[str, int, int]] = []
    result = export(data, target, lambda *step: steps.append(step))
    assert steps == [("2020-12", 0, 2), ("2021-01", 1, 2), ("", 2, 2)]
    check(target, data)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert (result.first, result.last, result.times, result.kept) == ("2020-12-25T00", "2021-01-20T23", 27 * 24, False)
    assert result.missing == {"t": "2020-12-25T00/2021-01-19T23"}
    assert export(data_of(folder), target).kept
    with pytest.raises(UsageError, match="other content"):
        export(data_of(folder, "2021-01"), target)


@pytest.mark.parametrize("time", ["2020-12-25/2021-01-20", "2020-12-25T05/2021-01-20"])
def test_months_are_copied_where_their_chunks_fit(
    time: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "era5dl.dataset.month_store.output_chunk_shape", lambda shape, size: (min(24, shape[0]), *shape[1:])
    )
    target, data = tmp_path / "out.nc", data_of(folder, time)
    export(data, target)
    check(target, data)
    with netCDF4.Dataset(target) as file:
        assert file["t2m"].chunking() == [24, 7, 12]
        assert file["t2m"].filters()["shuffle"]
        assert np.isnan(file["t2m"]._FillValue)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_an_interrupted_export_continues_at_its_month(
    suffix: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == "zarr":
        pytest.importorskip("zarr")
    target, data = tmp_path / f"out.{suffix}", data_of(folder)
    calls = 0

    def stopped() -> bool:
        nonlocal calls
        calls += 1
        return calls > 8

    with pytest.raises(Stopped):
        export(data, target, stopped=stopped)
    assert not target.exists()
    read: list[str] = []
    blocks = exporting._blocks

    def noted(data: xarray.Dataset, month: Any) -> Iterator[Any]:
        read.append(month.name)
        return blocks(data, month)

    monkeypatch.setattr(exporting, "_blocks", noted)
    export(data, target)
    assert read == ["2021-01"]
    check(target, data)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_months_of_other_data_are_not_used(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.nc"
    with pytest.raises(Stopped):
        export(data_of(folder, "2021-01"), target, stopped=lambda: True)
    data = data_of(folder)
    export(data, target)
    check(target, data)
    (tmp_path / "other.nc.parts").mkdir()
    with pytest.raises(UsageError, match=r"other\.nc\.parts is there"):
        export(data, tmp_path / "other.nc")


def test_two_exports_to_one_file_are_refused(folder: Path, tmp_path: Path) -> None:
    lock = Lock.acquire(tmp_path / "out.nc.lock")
    with pytest.raises(SessionBusy):
        export(data_of(folder, "2021-01"), tmp_path / "out.nc")
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_and_a_full_disk_leave_no_result(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truncate(put(tmp_path, "an.sfc/2t", datetime(2021, 1, 5)))
    put(tmp_path, "an.sfc/2t", datetime(2020, 12, 5))
    data = era5dl.open(tmp_path, dask=False)
    with pytest.raises(Era5Error, match="2021010100_2021013123"):
        export(data, tmp_path / "out.nc")
    assert not (tmp_path / "out.nc").exists()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("era5dl.dataset.netcdf_months._copy", full)
    with pytest.raises(DiskFull):
        export(data_of(folder), tmp_path / "full.nc")
    assert not list(tmp_path.glob("full.nc*.tmp"))


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "export",
        str(folder),
        "--to",
        str(tmp_path / "out.nc"),
        "--variables",
        "2t,tp",
        "--names",
        "cds",
        "--json",
    ]
    assert main([*words, "--start", "2020-12-20", "--end", "2021-01-02", "--area", "60/-60/0/60"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {record["event"] for record in records} <= event_names()
    assert [record["event"] for record in records][-2:] == ["exported", "end"]
    exported = records[-2]
    assert (exported["times"], exported["missing"], exported["kept"]) == (14 * 24, {}, False)
    with xarray.open_dataset(exported["path"]) as found:
        assert found.t2m.shape == (14 * 24, 3, 5)
    with FieldFile(Path(exported["path"])) as shown:
        assert {variable.name for variable in shown.variables} == {"t2m", "tp"}, "the preview shows an export, too"
    with_a_hole = [*words[:3], str(tmp_path / "hole.nc"), "--variable", "t", "--start", "2021-01-19"]
    assert main([*with_a_hole, "--end", "2021-01-20"]) == 1
    assert "T has no data for 2021-01-19T00/2021-01-19T23" in capsys.readouterr().err
    assert main(with_a_hole) == 2  # without an end these are the hours of the files, which begin one day later
    assert "Delete it" in capsys.readouterr().err
    assert main([*words[:3], str(tmp_path / "out.txt")]) == 2
    assert ".zarr" in capsys.readouterr().err
