"""Tests of subsets from the request to the files, through the command line and Python, against a real server."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import era5dl
from era5dl.cli.main import main
from era5dl.errors import UsageError
from era5dl.subset.selection import Area, Subset
from tests.faultlab import FaultServer
from tests.netcdf_files import Sample, write_sample
from tests.test_subset_write import check_equal, open_raw

FEBRUARY = ("--start", "2021-02-01", "--end", "2021-02-28")
PACIFIC = Area(-10, 170, -30, -170)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("files"), "an.sfc/2t", datetime(2021, 2, 10), step=5.0)


@pytest.fixture
def sample(written: Sample, fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sample:
    fault_server.put(written.key, written.path.read_bytes())
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ERA5DL_ENDPOINT_URL", fault_server.endpoint_url)
    return written


def test_the_command_downloads_a_subset(sample: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["download", "--variable", "2t", *FEBRUARY, "--hours", "0,12", "--area", str(PACIFIC), "--out", str(out)]
    assert main([*words, "--json"]) == 0
    printed, messages = capsys.readouterr()
    assert "Downloading 1 file, about " in messages
    (done,) = [r for r in map(json.loads, printed.splitlines()) if r["event"] == "file-done"]
    assert done["outcome"] == "checked-part"
    subset = Subset(hours=(0, 12), area=PACIFIC)
    (file,) = out.rglob("*.nc")
    assert file == Path(done["path"]) == out / sample.key.replace(".nc", f".{subset.id}.nc")
    check_equal(sample, subset, file)

    assert main(words) == 0
    assert "nothing had to be downloaded" in capsys.readouterr().err
    file.write_bytes(file.read_bytes()[:-1])
    assert main(["verify", str(out)]) == 1
    wrong = f"wrong: 2 m temperature, Feb 2021 ({file.relative_to(out).as_posix()}): it has changed"
    assert wrong in capsys.readouterr().out
    assert main(["sessions"]) == 0
    assert "2t of an.sfc, 2021-02-01 to 2021-02-28; 0,12 UTC; area -10/170/-30/-170" in capsys.readouterr().out


def test_python_downloads_points(sample: Sample, tmp_path: Path) -> None:
    places = [(30, 114, "Wuhan"), (-34, 18, "Cape Town")]
    plan = era5dl.plan(era5dl.select("2t", start="2021-02-03", end="2021-02-04", point=places))
    result = era5dl.download(plan, tmp_path / "out")
    assert result.complete
    assert (result.checked_part, result.verified, result.checked) == (1, 0, 0)
    (file,) = (tmp_path / "out").rglob("*.nc")
    field = open_raw(file)["VAR_2T"]
    assert field.shape == (48, 2)
    assert [*field["station_name"].values] == ["Wuhan", "Cape Town"]
    whole = open_raw(sample.path)["VAR_2T"][48:96].sel(latitude=[30, -35], longitude=[115, 20])
    assert np.array_equal(field.values[:, 0], whole.values[:, 0, 0])


@pytest.mark.parametrize("command", ["download", "resume"])
def test_without_h5py_a_subset_is_refused_at_once(
    sample: Sample, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = era5dl.plan(era5dl.select("2t", start="2021-02-03", end="2021-02-04", hours=6))
    out = tmp_path / "out"
    era5dl.download(plan, out)
    for name in [name for name in sys.modules if name.partition(".")[0] == "h5py" or name == "era5dl.subset.write"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("era5dl.subset.write", raising=False)
    monkeypatch.setitem(sys.modules, "h5py", None)
    if command == "resume":
        assert main(["resume", str(out)]) == 2
        assert 'pip install "era5dl[subset]"' in capsys.readouterr().err
    else:
        with pytest.raises(UsageError, match="h5py"):
            era5dl.download(plan, out)
