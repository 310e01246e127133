"""Tests of files that earlier runs have finished: changed ones are verified again, and wrong bytes fetched anew."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from era5dl.engine.events import FileChanged, FileDone, FileStarted, Outcome
from era5dl.engine.verify_files import verify
from era5dl.session import Session
from era5dl.subset.selection import Area, Subset
from tests.faultlab import FaultServer
from tests.netcdf_files import write_sample
from tests.runs import EngineRun, fetch_all, wrong_files
from tests.test_engine_subset import plan_of
from tests.test_subset_write import check_equal

PART = 100_000
FILES = {f"{name}.nc": bytes([number]) * 250_000 for number, name in enumerate("ab")}

pytestmark = pytest.mark.usefixtures("no_user_settings")


@pytest.fixture
def server(fault_server: FaultServer) -> FaultServer:
    fault_server.put("a.nc", FILES["a.nc"])
    fault_server.put("b.nc", FILES["b.nc"], part_size=PART)
    return fault_server


def damage(path: Path, offset: int = 150_000) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def make_older(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**9))


def record_of(ran: EngineRun) -> Path:
    return ran.session.folder / ".era5dl" / f"{ran.session.id}.files.jsonl"


def fetched(ran: EngineRun) -> int:
    return ran.engine.snapshot().fetched_bytes


def test_file_that_was_damaged_at_the_same_size_is_fetched_again(server: FaultServer, tmp_path: Path) -> None:
    """Of a multipart object, only the part with the wrong byte."""
    fetch_all(server, tmp_path)
    for name, expected in (("a.nc", 250_000), ("b.nc", PART)):
        damage(tmp_path / name)
        ran = fetch_all(server, tmp_path)
        assert [event.key for event in ran.events_of(FileChanged)] == [name]
        assert wrong_files(tmp_path, FILES) == []
        assert fetched(ran) == expected
        assert ran.engine.result is not None and ran.engine.result.verified == 2
    ran = fetch_all(server, tmp_path)
    assert (fetched(ran), ran.events_of(FileDone)) == (0, []), "the new times were recorded"


def test_copied_folder_is_read_once(server: FaultServer, tmp_path: Path) -> None:
    fetch_all(server, tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copyfile)
    for path in (tmp_path / "two").glob("*.nc"):
        make_older(path)
    for adopted in (2, 0):
        ran = fetch_all(server, tmp_path / "two")
        done = ran.events_of(FileDone)
        assert [(event.adopted, event.outcome) for event in done] == [(True, Outcome.VERIFIED)] * adopted
        assert (fetched(ran), ran.events_of(FileStarted), ran.events_of(FileChanged)) == (0, [], [])


@pytest.mark.parametrize("record", [None, b"x" * 20, b'["a.nc","",1,2,3]\n["b.nc"\n', b"[" * 9_000])
def test_session_of_an_earlier_version_is_compared_by_size(
    server: FaultServer, tmp_path: Path, record: bytes | None
) -> None:
    """There is no record of its files, or it is damaged. Changes after the next run are noticed."""
    path = record_of(fetch_all(server, tmp_path))
    if record is None:
        path.unlink()
    else:
        path.write_bytes(record)
    make_older(tmp_path / "a.nc")
    assert fetch_all(server, tmp_path).events_of(FileDone) == []
    damage(tmp_path / "a.nc")
    assert [event.key for event in fetch_all(server, tmp_path).events_of(FileChanged)] == ["a.nc"]
    assert wrong_files(tmp_path, FILES) == []


def test_files_that_verify_has_read_are_not_read_again(server: FaultServer, tmp_path: Path) -> None:
    ran = fetch_all(server, tmp_path)
    make_older(tmp_path / "a.nc")
    with Session.open(tmp_path) as session:
        reports = verify(ran.bucket, session, lambda _: None)
    assert [report.size for report in reports] == [250_000] * 2
    assert fetch_all(server, tmp_path).events_of(FileDone) == []


def test_without_verification_only_the_size_counts(server: FaultServer, tmp_path: Path) -> None:
    fetch_all(server, tmp_path)
    damage(tmp_path / "a.nc")
    assert fetch_all(server, tmp_path, verify=False).events_of(FileDone) == []


def test_subset_that_was_damaged_is_fetched_again_and_keeps_its_totals(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    sample = write_sample(tmp_path / "source", "an.pl/t", datetime(2021, 2, 10, 6), step=10.0)
    fault_server.put(sample.key, sample.path.read_bytes())
    subset, out = Subset(area=Area(60, -30, 20, 30), hours=(0, 12)), tmp_path / "out"
    plan = plan_of(fault_server, [sample], subset)
    first = fetch_all(fault_server, out, plan=plan)
    path, totals = first.session.paths.final(0), first.engine.snapshot().total_bytes
    size = path.stat().st_size
    for change, refetched in ((make_older, False), (lambda file: damage(file, size // 2), True), (None, False)):
        if change is not None:
            change(path)
        ran = fetch_all(fault_server, out, plan=plan)
        last = ran.engine.snapshot()
        assert (last.total_bytes, last.done_bytes, last.written_bytes) == (totals, totals, path.stat().st_size)
        assert (bool(fetched(ran)), bool(ran.events_of(FileChanged))) == (refetched, refetched)
        check_equal(sample, subset, path)
        assert [event.size for event in ran.events_of(FileDone)] == [size] * (change is not None)
        assert ran.engine.subset_sizes() == {0: size}
        with Session.open(out) as session:
            assert session.checkpoint.total_bytes == totals
