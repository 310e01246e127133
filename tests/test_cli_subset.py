"""Tests of the flags that select a subset of each file, and of what `plan` and `download` say about it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from era5dl.catalog import find_variable, key_of, parse_key, periods
from era5dl.cli.arguments import selection_from
from era5dl.cli.main import main
from era5dl.cli.parser import build_parser
from era5dl.errors import BadSelection
from era5dl.hdf5 import SparseBytes, read_index
from era5dl.subset.parsing import read_points
from era5dl.subset.ranges import plan_file
from era5dl.subset.selection import Area, Point, Subset
from tests.faultlab import FaultServer
from tests.memory_bucket import MemoryBucket
from tests.netcdf_files import write_sample

MAY = ("--start", "2021-05-01", "--end", "2021-05-02")
KEYS = [
    key_of(variable, period)
    for variable in map(find_variable, ("an.pl/t", "2t", "lsp", "lsm"))
    for period in periods(variable.product, date(2021, 5, 1), date(2021, 5, 2))
]


class Bucket(MemoryBucket):
    """Objects of 1 GB."""

    @staticmethod
    def info(key: str) -> ObjectInfo:
        return ObjectInfo(key, 10**9, '"0123456789abcdef0123456789abcdef-120"', 1_700_000_000)


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    bucket = Bucket(KEYS)
    for command in ("plan", "download"):
        monkeypatch.setattr(f"era5dl.cli.commands.{command}.open_bucket", lambda _settings: bucket)
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(tmp_path))
    return bucket


def subset(*words: str) -> Subset:
    return selection_from(build_parser().parse_args(["plan", "--variable", "an.pl/t", *MAY, *words])).subset


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--hours", "0,6", "--hours", "12-13"), Subset(hours=(0, 6, 12, 13))),
        (("--levels", "500,850"), Subset(levels=(500, 850))),
        (("--area", "54/73/18/135"), Subset(area=Area(54, 73, 18, 135))),
        (("--area", "54,73,18,135"), Subset(area=Area(54, 73, 18, 135))),
        (("--area", "-10,170,-30,-170"), Subset(area=Area(-10, 170, -30, -170))),
        (("--area", "-10/170/-30/-170", "--hours", "0"), Subset(hours=(0,), area=Area(-10, 170, -30, -170))),
        (("--area=-.5/170/-30/-170",), Subset(area=Area(-0.5, 170, -30, -170))),
        (("--point", "-33.9,18.4", "--point", "30.6,114.3"), Subset(points=(Point(-33.9, 18.4), Point(30.6, 114.3)))),
        (("--only-days",), Subset()),
        (("--prove", "--hours", "0"), Subset(hours=(0,), prove=True)),
    ],
)
def test_flags(words: tuple[str, ...], expected: Subset) -> None:
    days = ((date(2021, 5, 1), date(2021, 5, 2)),)
    assert subset(*words) == replace(expected, days=days)


def test_without_flags_whole_files_are_selected() -> None:
    assert subset().is_everything
    assert subset("--hours", "0-23").is_everything
    assert subset("--prove") == Subset()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--hours", "24"), "Hour 24 is hour 0 of the next day"),
        (("--hours", "-1"), "“-1” is not an hour of the day"),
        (("--levels", "501"), "Nearest: 500 hPa and 550 hPa"),
        (("--area", "18/73/54/135"), "54/73/18/135?"),
        (("--area", "30.6/114.3/30.55/114.4"), "--point 30.5,114.25"),
        (("--point", "30.6"), "latitude,longitude"),
        (("--area", "--hours"), "expected one argument"),
        (("--points", "no-such-file.csv"), "cannot be read"),
        (("--keys-file", "keys.txt", "--only-days"), "cannot be combined with"),
    ],
)
def test_bad_input_has_exit_code_2_and_a_remedy(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], bucket: Bucket
) -> None:
    assert main(["plan", "--variable", "an.pl/t", *MAY, *words]) == 2
    assert message in capsys.readouterr().err
    assert bucket.requests == []


def planned(*words: str) -> list[str]:
    return ["plan", "--variable", "an.pl/t,2t,lsp,lsm", *MAY, *words]


def test_plan_says_what_is_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(planned("--hours", "12", "--area", "54/73/18/135")) == 0
    out, err = capsys.readouterr()
    assert "subset of each file: 12 UTC; area 54/73/18/135" in out
    assert "grid points (every 0.25 degrees): 145 x 249, 54/73/18/135" in out
    assert "to fetch: about " in out
    assert "of 5.00 GB; on disk: about " in out
    assert "e5.oper.an.pl: the subset saves disk space" not in out
    assert "ignored: 1 file in which no selected hour is (" in err
    assert out.splitlines()[0].split("  ")[0] == "PRODUCT"
    assert "TO FETCH" in out


def test_plan_says_where_a_subset_saves_nothing_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(planned("--levels", "500", "--point", "30.6,114.3")) == 0
    out = capsys.readouterr().out
    assert "nearest grid point of 30.6,114.3: 30.5,114.25" in out
    assert "e5.oper.an.pl: the subset saves disk space, but not traffic." in out
    assert "only fewer hours save traffic" in out
    assert "e5.oper.an.sfc:" not in out
    assert "e5.oper.invariant:" not in out


def test_plan_of_whole_files_is_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(planned()) == 0
    out = capsys.readouterr().out
    assert "FETCH" not in out
    assert "subset" not in out


def test_json_record_of_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    def record(*words: str) -> dict[str, object]:
        assert main(planned(*words, "--json")) == 0
        return next(r for r in map(json.loads, capsys.readouterr().out.splitlines()) if r["event"] == "plan")

    whole = record()
    assert (whole["subset"], whole["exact"]) == (None, True)
    assert whole["fetch_bytes"] == whole["write_bytes"] == whole["bytes"] == 6 * 10**9
    part = record("--hours", "12")
    assert part["subset"] == {"hours": [12], "days": [["2021-05-01", "2021-05-02"]]}
    assert (part["exact"], part["passed_over"]) == (False, 1)
    products = part["products"]
    assert isinstance(products, list)
    (levels,) = (row for row in products if row["product"] == "e5.oper.an.pl")
    assert levels["bytes"] == 2 * 10**9
    assert abs(levels["fetch_bytes"] - 2 * 10**9 / 24) < 10**6
    assert part["fetch_bytes"] == sum(row["fetch_bytes"] for row in products)


def test_subsets_of_a_list_of_keys(capsys: pytest.CaptureFixture[str], tmp_path: Path, bucket: Bucket) -> None:
    bucket.keys.append("other/file.nc")
    (keys := tmp_path / "keys.txt").write_text("\n".join([KEYS[0], "other/file.nc"]))
    assert main(["plan", "--keys-file", str(keys), "--hours", "0"]) == 0
    out = capsys.readouterr().out
    assert "subset of each file: 0 UTC" in out
    assert "fetched whole: 1 file that is not of ERA5" in out


def test_a_download_without_h5py_is_refused_before_the_bucket_is_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bucket: Bucket
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "h5py" or name == "era5dl.subset.write"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("era5dl.subset.write", raising=False)
    monkeypatch.setitem(sys.modules, "h5py", None)
    words = ["download", "--variable", "an.pl/t", *MAY, "--hours", "0", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert 'pip install "era5dl[subset]"' in capsys.readouterr().err
    assert bucket.requests == []


# -- lists of points --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "30.6,114.3,Wuhan\n-33.9,18.4\n",
        "\ufefflat,lon,name\r\n30.6, 114.3, Wuhan\r\n\r\n# Cape Town\r\n-33.9,18.4",
        '"Latitude";"Longitude";"Station"\n30.6;114.3;"Wuhan"\n-33.9;18.4;\n',
        "30.6\t114.3\tWuhan\n\N{MINUS SIGN}33.9\t18.4\n",
    ],
)
def test_list_of_points(tmp_path: Path, text: str) -> None:
    (path := tmp_path / "points.csv").write_text(text, encoding="utf-8", newline="")
    assert read_points(path) == (Point(30.6, 114.3, "Wuhan"), Point(-33.9, 18.4))
    assert subset("--points", str(path)).points == read_points(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"30.6,114.3\nnorth,5\n", "Line 2 of the list of points: “north” is not a number"),
        (b"lat,lon\n\n30.6\n", "Line 3 of the list of points: “30.6” has 1 values"),
        (b"30.6,114.3,a,b\n", "Line 1 of the list of points: “30.6,114.3,a,b” has 4 values"),
        (b"1,2\n91,5\n", "Line 2 of the list of points: Latitude is 91"),
        (b'1,2,"open\n', "Line 1 of the list of points"),
        (b"1,2,bell\a\n", "Line 1 of the list of points"),
        (b"lat,lon\n", "is empty"),
        (b"\xff\xfe1,2", "not a text file in UTF-8"),
        (b"1,2\n" * 600_000, "longer than 10,000 points can be"),
        (b"".join(b"%d.%03d,0\n" % divmod(n, 1000) for n in range(10_001)), "10,001 points are more than 10,000"),
    ],
)
def test_bad_lists_of_points(tmp_path: Path, data: bytes, message: str) -> None:
    (path := tmp_path / "points.csv").write_bytes(data)
    with pytest.raises(BadSelection) as caught:
        subset("--points", str(path))
    assert message in str(caught.value)
    assert caught.value.remedy


def test_exact_figures_come_from_the_indexes(
    fault_server_tls: FaultServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("era5dl.cli.commands.plan.open_bucket", S3Bucket)
    sample = write_sample(tmp_path, "an.sfc/2t", datetime(2021, 5, 1), step=5)
    fault_server_tls.put(sample.key, sample.path.read_bytes())
    (tmp_path / "keys").write_text(f"{sample.key}\nother.nc\n")
    fault_server_tls.put("other.nc", b"something")
    words = ["plan", "--endpoint-url", fault_server_tls.endpoint_url, "--keys-file", str(tmp_path / "keys")]
    words += ["--ca-bundle", str(fault_server_tls.ca_file), "--point", "48.2,16.4", "--json"]

    def fetched(*more: str) -> tuple[int, bool]:
        assert main([*words, *more]) == 0
        (record,) = [
            found for line in capsys.readouterr().out.splitlines() if (found := json.loads(line))["event"] == "plan"
        ]
        return record["fetch_bytes"], record["exact"]

    source = SparseBytes(sample.path.stat().st_size)
    source.add(0, sample.path.read_bytes())
    key = parse_key(sample.key)
    assert key is not None
    needed = plan_file(read_index(source), key, Subset(points=(Point(48.2, 16.4),)))
    assert not fetched()[1]
    exact = sum(stop - start for start, stop in needed.ranges()) + len(b"something")
    assert fetched("--exact") == (exact, True)
    fault_server_tls.reset_stats()
    assert fetched("--exact") == (exact, True)
    assert fault_server_tls.stats().payload == 0  # only the sizes and versions are requested
