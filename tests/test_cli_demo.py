"""End-to-end test of `era5dl demo` with two small files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from era5dl.cli.commands.demo import _compare, _compare_subsets
from era5dl.cli.main import main
from era5dl.cli.output import Output
from era5dl.demo import DemoServer, create_dataset, dataset, selection
from era5dl.demo.server import find_rclone
from era5dl.session import Session, list_sessions
from era5dl.settings import Settings

pytest.importorskip("h5py")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_rclone() is None, reason="rclone is not installed")]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dataset, "VARIABLES", ("invariant/z", "invariant/lsm"))
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ERA5DL_ENDPOINT_URL", "http://127.0.0.1:1")  # the demo uses its own server
    monkeypatch.setenv("NO_PROXY", "")


def test_the_demo_downloads_and_compares_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.count("identical") == 2
    assert "Land-sea mask" in said.out
    assert said.out.count("same values") == 1
    assert "2 files" in said.err
    assert str(out) in said.err
    assert "delete this folder" in said.err
    assert {path.name for path in out.iterdir()} == {"server", "era5", "subset"}  # no other files

    assert main(["demo", "--out", str(out), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    files = [record for record in records if record["event"] == "demo-file"]
    assert [record["identical"] for record in files] == [True, True]
    assert [record["identical"] for record in records if record["event"] == "demo-subset"] == [True]
    assert [record["fetched_bytes"] for record in records if record["event"] == "summary"] == [0, 0]
    assert len(list_sessions(out / "era5")) == 1
    assert not (tmp_path / "era5dl-demo").exists()


def test_an_interrupted_demo_is_resumed_on_another_port(tmp_path: Path) -> None:
    from era5dl.bucket.s3 import S3Bucket
    from era5dl.planner import make_plan

    with DemoServer(create_dataset(tmp_path / "server")) as server:
        settings = Settings(endpoint_url=server.endpoint_url, bucket=server.bucket)
        with Session.begin(tmp_path / "era5", make_plan(selection(), S3Bucket(settings)), settings) as session:
            begun = session.id
    assert main(["demo", "--out", str(tmp_path), "--quiet"]) == 0
    assert [(one.id, one.ended) for one in list_sessions(tmp_path / "era5")] == [(begun, True)]


def test_a_file_that_differs_from_the_original_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path), "--quiet"]) == 0
    (copy,) = (tmp_path / "era5").rglob("*lsm*.nc")
    copy.write_bytes(copy.read_bytes()[:-1] + b"!")
    (source,) = (tmp_path / "server").glob("*/nsf-ncar-era5")
    assert _compare(source, tmp_path / "era5", Output()) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_a_subset_with_another_value_than_the_original_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import h5py

    assert main(["demo", "--out", str(tmp_path), "--quiet"]) == 0
    (copy,) = (tmp_path / "subset").rglob("*.nc")
    with h5py.File(copy, "r+") as file:
        file["Z"][0, 1, 1] += 1
    (source,) = (tmp_path / "server").glob("*/nsf-ncar-era5")
    assert _compare_subsets(source, tmp_path / "subset", Output()) == 1
    assert "OTHER VALUES" in capsys.readouterr().out


def test_the_demo_with_a_window_needs_a_display(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    assert main(["demo", "--gui", "--out", str(tmp_path / "demo")]) == 3
    error = capsys.readouterr().err
    assert "no display" in error or "no tkinter" in error
    assert not (tmp_path / "demo").exists()
