"""Tests of objects that are fetched whole and cropped: on request, to verify them, and because of an unusual layout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Any

import h5py
import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine import retry
from era5dl.engine.events import FetchedWhole, FileDone, FileFailed, Outcome
from era5dl.engine.verify_files import FileCondition, verify
from era5dl.errors import UsageError
from era5dl.hdf5 import UnsupportedLayout
from era5dl.planner import estimate_plan
from era5dl.session import Session
from era5dl.subset.h5py_index import read_index_by_h5py
from era5dl.subset.read_index import read_object_index
from era5dl.subset.selection import Area, Subset
from tests.faultlab import FaultServer
from tests.netcdf_files import Sample, write_sample
from tests.runs import EngineRun, fetch_all, running, settings_for
from tests.test_engine_subset import check_one, final_of, only_final_files, plan_of
from tests.test_subset_write import check_equal

PLACE = Subset(area=Area(60, -30, 20, 30), hours=(0, 12))
PROVEN = replace(PLACE, prove=True)

pytestmark = pytest.mark.usefixtures("no_user_settings")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE", 0.05)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("files"), "an.pl/t", datetime(2021, 2, 10, 6), step=10.0)


@pytest.fixture
def sample(local: Sample, fault_server: FaultServer) -> Sample:
    fault_server.put(local.key, local.path.read_bytes())
    return local


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], Any]]]:
    """What happens at each write to the new file."""
    actions: list[Callable[[], Any]] = [lambda: None]

    class Watched(FileIO):
        def write(self, data: Any) -> int:
            actions[0]()
            return super().write(data)

    monkeypatch.setattr("era5dl.folder.new_file.FileIO", Watched)
    yield actions


def written_anew(source: Path, target: Path, **storage: Any) -> None:
    """Write the same variables with the newest structures of HDF5, which the index reader does not know."""
    with h5py.File(source) as old, h5py.File(target, "w", libver="latest", track_order=True) as new:
        for name, value in old.attrs.items():
            new.attrs[name] = value
        for name, data in old.items():
            is_field = data.ndim > 1
            kept = {"chunks": data.chunks, "compression": "gzip", "shuffle": True, "maxshape": data.maxshape}
            options = {**kept, **storage} if is_field else {}
            copied = new.create_dataset(name, data=data[()], fillvalue=data.fillvalue, **options)
            for key, value in data.attrs.items():
                if key not in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"):
                    copied.attrs[key] = value


def replaced(server: FaultServer, sample: Sample, folder: Path, **storage: Any) -> Sample:
    path = folder / "new.nc"
    written_anew(sample.path, path, **storage)
    server.put(sample.key, path.read_bytes())
    with pytest.raises(UnsupportedLayout):
        bucket = S3Bucket(settings_for(server))
        read_object_index(bucket, bucket.head(sample.key))
    return replace(sample, path=path)


def prove(server: FaultServer, folder: Path, sample: Sample) -> EngineRun:
    ran = fetch_all(server, folder, plan=plan_of(server, [sample], PROVEN))
    ended = ran.wait_for_end()
    assert (ended.verified, ended.checked, ended.checked_part, ended.failed) == (1, 0, 0, 0), ran.events
    check_equal(sample, PLACE, final_of(ran))
    return ran


def test_a_proven_subset_is_taken_out_of_the_verified_object(
    fault_server: FaultServer, tmp_path: Path, sample: Sample
) -> None:
    size = sample.path.stat().st_size
    plan = plan_of(fault_server, [sample], PROVEN)
    assert estimate_plan(plan).total.fetched == size
    ran = prove(fault_server, tmp_path, sample)
    last = ran.engine.snapshot()
    final = final_of(ran)
    assert only_final_files(tmp_path) == [final]
    assert (last.fetched_bytes, last.total_bytes, last.written_bytes) == (size, size, final.stat().st_size)
    (done,) = ran.events_of(FileDone)
    assert (done.outcome, done.reason, done.size, done.path) == (Outcome.VERIFIED, "", final.stat().st_size, str(final))
    again = prove(fault_server, tmp_path, sample)
    assert (again.engine.snapshot().fetched_bytes, again.events_of(FileDone)) == (0, [])
    with Session.open(tmp_path) as session:
        assert [report.condition for report in verify(ran.bucket, session, lambda _: None)] == [FileCondition.VERIFIED]
        assert (0 in session.checkpoint.cropped, 0 in session.checkpoint.whole_files) == (True, False)
    content = bytearray(final.read_bytes())
    content[len(content) // 2] ^= 1
    final.write_bytes(content)
    with Session.open(tmp_path) as session:
        assert [report.condition for report in verify(ran.bucket, session, lambda _: None)] == [FileCondition.WRONG]
    assert prove(fault_server, tmp_path, sample).engine.snapshot().fetched_bytes == size


def test_a_subset_that_is_not_proven_does_not_count_as_proven(
    fault_server: FaultServer, tmp_path: Path, sample: Sample
) -> None:
    """Both have the same name. The reverse is fine."""
    plan = plan_of(fault_server, [sample], PLACE)
    check_one(fetch_all(fault_server, tmp_path, plan=plan), tmp_path, sample)
    ran = prove(fault_server, tmp_path, sample)
    assert ran.engine.snapshot().fetched_bytes == sample.path.stat().st_size
    for file in (tmp_path / ".era5dl").iterdir():
        if file.name.startswith(ran.session.id) and file.name.endswith((".json", ".json.bak")):
            file.unlink()  # as after a kill between the rename and the checkpoint
    adopted = prove(fault_server, tmp_path, sample)
    assert [event.adopted for event in adopted.events_of(FileDone)] == [True]
    other = replace(plan, request={**plan.request, "keys": "1" * 64})
    ran = fetch_all(fault_server, tmp_path, plan=other)
    check_one(ran, tmp_path, sample)
    assert [event.adopted for event in ran.events_of(FileDone)] == [True]


@pytest.mark.parametrize("subset", [PROVEN, PLACE])
def test_a_stop_while_the_subset_is_written_loses_no_byte(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, writes: list[Callable[[], Any]], subset: Subset
) -> None:
    if not subset.prove:
        (tmp_path / "new").mkdir()
        replaced(fault_server, sample, tmp_path / "new")
    out, plan = tmp_path / "out", plan_of(fault_server, [sample], subset)
    with running(fault_server, out, plan=plan) as ran:
        writes[0] = ran.engine.stop
        assert ran.wait_for_end().unfinished == 1
    assert [path.suffix for path in only_final_files(out)] == [".part"]
    writes[0] = lambda: None
    again = fetch_all(fault_server, out, plan=plan)
    assert again.wait_for_end().verified == 1
    assert again.engine.snapshot().fetched_bytes < (1 if subset.prove else 500_000), "at most the index"
    check_equal(sample, PLACE, final_of(again))
    assert only_final_files(out) == [final_of(again)]


def test_an_object_with_an_unknown_layout_is_cropped(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    (tmp_path / "new").mkdir()
    replaced(fault_server, sample, tmp_path / "new")
    out, plan = tmp_path / "out", plan_of(fault_server, [sample], PLACE)
    for fetched_whole in (1, 0):
        ran = fetch_all(fault_server, out, plan=plan)
        assert (ran.wait_for_end().verified, len(ran.events_of(FetchedWhole))) == (1, fetched_whole), ran.events
        check_equal(sample, PLACE, final_of(ran))
        assert only_final_files(out) == [final_of(ran)]
        assert ran.session.paths.relative(0) != sample.key


@pytest.mark.parametrize("prove", [False, True])
def test_an_object_that_cannot_be_cropped_is_kept_whole(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, prove: bool
) -> None:
    (tmp_path / "new").mkdir()
    sample = replaced(fault_server, sample, tmp_path / "new", compression="lzf")
    out, plan = tmp_path / "out", plan_of(fault_server, [sample], replace(PLACE, prove=prove))
    for first in (True, False):
        ran = fetch_all(fault_server, out, plan=plan)
        assert ran.wait_for_end().verified == 1, ran.events
        assert [event.reason for event in ran.events_of(FetchedWhole)][-1:] == ["data with an unknown filter"] * first
        assert only_final_files(out) == [out / sample.key]
        assert (out / sample.key).read_bytes() == sample.path.read_bytes()
        fetched = ran.engine.snapshot().fetched_bytes
        assert fetched < sample.path.stat().st_size + 500_000 if first else fetched == 0


def test_a_selection_of_nothing_fails_this_object(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    nothing = Subset(area=Area(58, 3, 52, 8), prove=True)  # between the points of this grid
    ran = fetch_all(fault_server, tmp_path, plan=plan_of(fault_server, [sample], nothing))
    assert ran.wait_for_end().failed == 1
    assert ran.events_of(FileFailed)[-1].remedy


def test_h5py_finds_the_same_index(fault_server: FaultServer, sample: Sample) -> None:
    bucket = S3Bucket(settings_for(fault_server))
    expected = read_object_index(bucket, bucket.head(sample.key))
    data = sample.path.read_bytes()
    index = read_index_by_h5py(len(data), lambda offset, length: data[offset : offset + length])
    assert index.variables.keys() == expected.variables.keys()
    for name, variable in expected.variables.items():
        found = index.variables[name]
        compared = ("shape", "datatype", "fill_value", "attributes", "values", "chunk_size")
        assert [getattr(found, one) for one in compared] == [getattr(variable, one) for one in compared]
        assert found.chunks == (variable.chunks if len(variable.shape) > 1 else ())


def test_h5py_reports_what_it_cannot_read() -> None:
    for data in (b"", b"\x89HDF\r\n\x1a\n", bytes(5_000)):
        with pytest.raises(UnsupportedLayout):
            read_index_by_h5py(len(data), lambda offset, length, data=data: data[offset : offset + length])

    def broken(offset: int, length: int) -> bytes:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        read_index_by_h5py(5_000, broken)


def test_without_verification_nothing_is_proven(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    with pytest.raises(UsageError, match="without verification"):
        fetch_all(fault_server, tmp_path, plan=plan_of(fault_server, [sample], PROVEN), verify=False)


def test_the_name_does_not_depend_on_the_proof() -> None:
    assert PROVEN.id == PLACE.id
    assert Subset.from_json(PROVEN.to_json()) == PROVEN
    assert "prove" not in Subset(prove=True).to_json()
    assert PROVEN.to_json() != PLACE.to_json()


def test_errors_of_the_disk_do_not_crash_python_at_exit() -> None:
    """h5py does if an error with its objects in the traceback is collected after it."""
    code = """if True:
        from era5dl.subset.h5py_index import read_index_by_h5py

        def broken(offset, length):
            raise OSError(5, "Input/output error")

        try:
            read_index_by_h5py(5_000, broken)
        except OSError:
            print("reported")
    """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "reported\n")
