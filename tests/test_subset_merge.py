"""Tests of merged files: values as xarray concatenates them, the same bytes in any order, holes, and bad parts."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import pytest
import xarray

import era5dl
from era5dl.catalog import parse_key
from era5dl.cli.json_output import event_names
from era5dl.cli.main import main
from era5dl.errors import Era5Error, UsageError, WillNotFit
from era5dl.hdf5 import UnsupportedLayout
from era5dl.subset import merge
from era5dl.subset.find_parts import find_parts, read_local_index, subset_form
from era5dl.subset.merge_plan import Group, describe_spans, plan_groups
from era5dl.subset.merging import merge_groups
from era5dl.subset.ranges import plan_file
from era5dl.subset.selection import Area, Point, Subset
from era5dl.subset.write import Provenance, write_subset
from tests.faultlab import FaultServer
from tests.netcdf_files import Sample, write_sample

STEP = 20.0
MONTHS = [datetime(2021, month, 10) for month in (1, 2, 3)]
PLACE = Subset(area=Area(60, -40, 20, 40), hours=(0, 12))
POINTS = Subset(points=(Point(20, 40, "Zürich"), Point(-20, -60)), hours=(6,))


@cache
def sample_of(name: str, hour: datetime) -> tuple[Sample, bytes]:
    with TemporaryDirectory() as folder:
        chunks = (27, 10, 18) if name == "an.sfc/2t" else None
        sample = write_sample(Path(folder), name, hour, step=STEP, chunks=chunks)
        return sample, sample.path.read_bytes()


def write_part(folder: Path, name: str, hour: datetime, subset: Subset, etag: str = '"abc-2"') -> Path:
    sample, data = sample_of(name, hour)
    key = parse_key(sample.key)
    assert key is not None
    wanted = subset.for_file(key)
    path = folder / f"{sample.path.stem}.{wanted.id}.nc"
    path.write_bytes(data)
    with FileIO(path) as file:
        part = plan_file(read_local_index(file), key, wanted)
    created = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=random.randrange(10**8))
    write_subset(path, part, lambda at, size: data[at : at + size], Provenance(sample.key, etag, created))
    return path


def groups_in(folder: Path, by: str = "all") -> list[Group]:
    found = find_parts(folder)
    assert found.passed_over == ()
    groups, errors = plan_groups(found.parts, by)
    assert errors == {}
    return groups


def merge_all(folder: Path, by: str = "all") -> list[Path]:
    return [merge.merge_group(folder, group).path for group in groups_in(folder, by)]


def bits(values: xarray.DataArray) -> np.ndarray:
    return np.ascontiguousarray(values.values).view(np.uint32)


@pytest.mark.parametrize(
    ("name", "hours", "subset", "copied"),
    [
        ("an.sfc/2t", MONTHS, PLACE, False),
        ("an.pl/t", [datetime(2021, 1, day) for day in (30, 31)], Subset(hours=(0, 18)), True),
        ("fc.sfc.accumu/lsp", [datetime(2021, 1, 25), datetime(2021, 2, 3)], Subset(hours=(0, 7)), False),
        ("an.sfc/2t", MONTHS[:2], POINTS, False),
    ],
)
def test_values_are_those_of_xarray_s_concatenation(
    name: str, hours: Sequence[datetime], subset: Subset, copied: bool, tmp_path: Path
) -> None:
    parts = [write_part(tmp_path, name, hour, subset) for hour in hours]
    if copied:  # without decoding
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr(merge._Merger, "_encode")
            (path,) = merge_all(tmp_path)
    else:
        (path,) = merge_all(tmp_path)
    sets = [xarray.open_dataset(part, decode_timedelta=False, mask_and_scale=False) for part in parts]
    if "forecast_hour" in sets[0].dims:
        sets = [one.stack(time=("forecast_initial_time", "forecast_hour"), create_index=False) for one in sets]
    expected = xarray.concat(sets, "time", data_vars="minimal", coords="minimal", compat="override", join="override")
    with xarray.open_dataset(path, decode_timedelta=False, mask_and_scale=False) as found:
        field = next(one for one in found.data_vars if found[one].ndim > 1)
        assert (bits(found[field]) == bits(expected[field])).all()
        for one in (*found.coords, "utc_date"):
            assert (found[one].values == expected[one].values).all(), one
            assert {**found[one].attrs} == {**expected[one].attrs}
        assert len(found[field].attrs) > 4
        for attribute, value in found[field].attrs.items():  # the fill value is one of them
            assert np.array_equal(value, sets[0][field].attrs[attribute]), attribute
        assert (np.diff(found.time.values) > np.timedelta64(0)).all()
        assert found.attrs["era5dl_sources"].splitlines()[0].split()[1] == '"abc-2"'
        assert len(found.attrs["era5dl_sources"].splitlines()) == len(parts)


def test_the_bytes_do_not_depend_on_the_order_of_the_parts(tmp_path: Path) -> None:
    results = set()
    for order in (MONTHS, [MONTHS[2], MONTHS[0], MONTHS[1]]):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for hour in order:
            write_part(folder, "an.sfc/2t", hour, POINTS)
        (path,) = merge_all(folder)
        results.add((path.name, path.read_bytes()))
    assert len(results) == 1


def test_a_merged_file_is_kept_until_its_sources_change(tmp_path: Path) -> None:
    for hour in MONTHS[:2]:
        write_part(tmp_path, "an.sfc/2t", hour, POINTS)
    (group,) = groups_in(tmp_path)
    assert [merge.merge_group(tmp_path, group).kept for _ in range(2)] == [False, True]
    write_part(tmp_path, "an.sfc/2t", MONTHS[0], POINTS, etag='"new-2"')
    (group,) = groups_in(tmp_path)
    assert not merge.merge_group(tmp_path, group).kept


def test_forecasts_across_the_turn_of_a_month_have_no_doubles_and_no_holes(tmp_path: Path) -> None:
    hours = [datetime(2021, 1, 10), datetime(2021, 1, 25), datetime(2021, 2, 3)]
    days = ((datetime(2021, 1, 14).date(), datetime(2021, 2, 2).date()),)
    for hour in hours:
        write_part(tmp_path, "fc.sfc.accumu/lsp", hour, Subset(points=POINTS.points, days=days))
    january, february = merge_all(tmp_path, "month")
    assert january.name.split(".")[7] == "2021011400_2021013123"
    with xarray.open_dataset(january, decode_timedelta=False) as one, xarray.open_dataset(february) as two:
        assert (len(one.time), len(two.time)) == (18 * 24, 2 * 24)
        assert set(np.diff(np.concatenate([one.time.values, two.time.values]))) == {np.timedelta64(1, "h")}


def test_a_hole_is_reported_and_such_a_group_is_left_to_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for hour in (MONTHS[0], MONTHS[2]):
        write_part(tmp_path, "an.sfc/2t", hour, PLACE)
    (group,) = groups_in(tmp_path)
    assert describe_spans(group.missing()) == "2021-02-01 00 to 2021-02-28 12 UTC"
    incomplete = Group(group.variable, group.form, group.slices, ("some/key.nc",))
    (outcome,) = merge_groups(tmp_path, [incomplete], {}, only_complete=True)
    assert (outcome.file, "some/key.nc is missing" in outcome.error) == (None, True)
    assert main(["merge", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    records = {record["event"]: record for record in map(json.loads, out.splitlines())}
    assert records["merged"]["missing"] == [{"first": "2021-02-01T00", "last": "2021-02-28T12"}]
    assert records["merge-summary"]["merged"] == 1
    assert "no data between these for 2021-02-01 00" in err


def test_a_file_that_does_not_fit_is_not_begun_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = Subset(points=(Point(48.2, 16.4),)), Subset(area=Area(60, -30, 20, 30))
    parts = [write_part(tmp_path, "an.sfc/2t", datetime(2021, 2, 10), subset) for subset in (large, small)]
    free = parts[0].stat().st_size - 1
    assert free >= parts[1].stat().st_size
    monkeypatch.setattr("era5dl.folder.free_space.free_bytes", lambda _: free)
    before = sorted(tmp_path.iterdir())
    outcomes = era5dl.merge(tmp_path)
    assert sorted(outcome.kind for outcome in outcomes) == ["", "WillNotFit"]
    assert [outcome.remedy for outcome in outcomes if outcome.error] == [WillNotFit.remedy]
    assert len(set(tmp_path.iterdir()) - set(before)) == 1


def test_different_grids_and_doubles_are_errors_that_name_both_files(tmp_path: Path) -> None:
    one = write_part(tmp_path, "an.sfc/2t", MONTHS[0], PLACE)
    other = write_part(tmp_path, "an.sfc/2t", MONTHS[1], PLACE)
    content = xarray.open_dataset(other, mask_and_scale=False, decode_times=False).load()
    content.close()
    content["latitude"] = content.latitude - 20
    content.to_netcdf(other, unlimited_dims=["time"], encoding={"VAR_2T": {"zlib": True}})
    outcomes = era5dl.merge(tmp_path)
    assert [outcome.file for outcome in outcomes] == [None]
    assert str(one) in outcomes[0].error
    assert str(other) in outcomes[0].error
    assert "latitude: 2 from 50 to 30, and 2 from 30 to 10" in outcomes[0].error
    shutil.copy(one, tmp_path / "copy.nc")  # the same times of the same object: one of them is enough
    other.unlink()
    assert [outcome.error for outcome in era5dl.merge(tmp_path)] == [""]
    write_part(tmp_path, "an.sfc/2t", MONTHS[0], PLACE, etag='"new-2"')
    (outcome,) = era5dl.merge(tmp_path)
    assert "copy.nc" in outcome.error
    assert "have the same times" in outcome.error


def test_a_damaged_part_is_named_and_an_interrupted_merge_leaves_the_previous_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_part(tmp_path, "an.pl/t", datetime(2021, 1, day), Subset(hours=(0,))) for day in (1, 2)]
    (merged,) = merge_all(tmp_path)
    before = merged.read_bytes()
    data = bytearray(paths[1].read_bytes())
    with FileIO(paths[1]) as file:
        field = read_local_index(file).variables["T"]
    data[field.chunks[0].offset + field.chunks[0].size - 2] ^= 1  # of the Adler-32
    paths[1].write_bytes(data)
    (group,) = groups_in(tmp_path)
    changed = Group(group.variable, group.form, group.slices[:1] + group.slices[1:])
    monkeypatch.setattr(merge, "_is_merged_from", lambda _place, _group: False)
    with pytest.raises(Era5Error, match=paths[1].name):
        merge.merge_group(tmp_path, changed)
    assert merged.read_bytes() == before
    with monkeypatch.context() as patch:  # nothing is cleaned up, as after kill -9
        patch.setattr("era5dl.folder.new_file.NewFile.__exit__", lambda new, *_: new.raw.close())
        with pytest.raises(Era5Error):
            merge.merge_group(tmp_path, changed)
    assert merged.read_bytes() == before
    assert merged.with_name(merged.name + ".part").exists()
    write_part(tmp_path, "an.pl/t", datetime(2021, 1, 2), Subset(hours=(0,)))
    assert merge_all(tmp_path) == [merged]
    assert merged.read_bytes() == before
    assert list(tmp_path.glob("*.part")) == []


def test_a_file_with_other_values_than_were_written_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_part(tmp_path, "an.sfc/2t", MONTHS[0], PLACE)
    monkeypatch.setattr(merge, "_checksum", lambda *_: 0)
    with pytest.raises(Era5Error, match="does not have the values"):
        merge_all(tmp_path)
    assert list(tmp_path.glob("*.merged.*")) == []


def test_points_as_csv(tmp_path: Path) -> None:
    part = write_part(tmp_path, "an.sfc/2t", MONTHS[0], POINTS)
    (outcome,) = era5dl.merge(tmp_path, "year", csv=True)
    assert outcome.csv is not None
    with outcome.csv.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["time", "station", "name", "latitude", "longitude", "VAR_2T"]
    assert [row["name"] for row in rows[:2]] == ["Zürich", ""]
    assert rows[2]["time"] == "2021-01-02T06:00Z"
    with xarray.open_dataset(part, mask_and_scale=False) as content:
        values = content["VAR_2T"].values.ravel()
    texts = [row["VAR_2T"] for row in rows]
    kept = [bool(text) for text in texts]
    assert len(rows) == values.size
    found = np.array([float(text) for text in texts if text], np.float32)
    assert (found.view(np.uint32) == values[kept].view(np.uint32)).all()


@pytest.mark.usefixtures("no_user_settings")
def test_a_download_merges_what_is_complete(
    fault_server: FaultServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = []
    for hour in (datetime(2021, 1, 31), datetime(2021, 2, 1), datetime(2021, 2, 2)):
        sample, data = sample_of("an.pl/t", hour)
        keys.append(sample.key)
        if hour.day != 2:
            fault_server.put(sample.key, data)
    (tmp_path / "keys").write_text("\n".join(keys))
    words = ["download", "--endpoint-url", fault_server.endpoint_url, "--bucket", fault_server.bucket]
    words += ["--keys-file", str(tmp_path / "keys"), "--out", str(tmp_path / "out"), "--json"]
    words += ["--point", "20,40", "--merge", "month", "--csv"]

    def run(*more: str) -> tuple[int, dict[str, dict[str, Any]]]:
        code = main([*words, *more])
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {record["event"] for record in found} <= event_names()
        return code, {record["event"]: record for record in found}

    code, records = run()
    assert code == 1
    assert keys[2] in records["not-merged"]["reason"]
    assert (records["merged"]["first"], records["merged"]["kept"]) == ("2021-01-31T00", False)
    assert len(Path(records["merged"]["csv"]).read_text().splitlines()) == 1 + 24 * 37
    fault_server.put(keys[2], sample_of("an.pl/t", datetime(2021, 2, 2))[1])
    assert run()[0] == 0
    code, records = run()
    assert (code, records["merge-summary"]["kept"], records["merge-summary"]["merged"]) == (0, 2, 0)
    merged = sorted((tmp_path / "out").glob("*.merged.*.nc"))
    before = [path.read_bytes() for path in merged]
    assert [outcome.file and outcome.file.kept for outcome in era5dl.merge(tmp_path / "out", "month")] == [True, True]
    for path in merged:
        path.unlink()
    era5dl.merge(tmp_path / "out", "month")
    assert [path.read_bytes() for path in merged] == before
    assert main(["download", "--variable", "2t", "--years", "2020", "--out", str(tmp_path), "--csv"]) == 2


def test_other_files_are_passed_over_and_bad_words_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + b"x" * 100)
    assert len(find_parts(tmp_path).passed_over) == 1
    assert main(["merge", str(tmp_path)]) == 2
    assert "no files" in capsys.readouterr().err
    assert main(["merge", str(tmp_path / "absent")]) == 3
    with pytest.raises(UsageError):
        era5dl.merge(tmp_path, by="week")


@pytest.mark.parametrize("text", ["[" * 50_000, "{", "3"], ids=["deeply nested", "cut", "a number"])
def test_a_subset_attribute_that_is_no_description_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "part.nc"
    with h5py.File(path, "w") as file:
        file["values"] = np.zeros(4, "f4")
        file.attrs["era5dl_subset"] = np.bytes_(text)
    with FileIO(path) as file, pytest.raises(UnsupportedLayout, match="era5dl_subset"):
        subset_form(read_local_index(file))
