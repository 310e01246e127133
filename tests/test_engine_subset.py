"""Tests of subsets in the engine: only their ranges are fetched, every value is right, and nothing is fetched twice."""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import Any, cast

import h5py
import netCDF4
import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from era5dl.catalog import find_variable, key_of, parse_key, period_of
from era5dl.demo.netcdf import write_file
from era5dl.engine import retry
from era5dl.engine.events import (
    Event,
    FetchedWhole,
    FileDone,
    FileFailed,
    FileRestarted,
    FileRetrying,
    FileStarted,
    Outcome,
)
from era5dl.engine.job_queue import PrepareJob
from era5dl.engine.scheduler import Scheduler
from era5dl.engine.subset_output import PART_REASON
from era5dl.engine.transfer import Transfer
from era5dl.engine.verify_files import FileCondition, verify
from era5dl.errors import PartLost
from era5dl.folder.new_file import NewFile
from era5dl.folder.packed_part_file import PackedLayout
from era5dl.hdf5 import Chunk, SparseBytes, read_index
from era5dl.planner import Plan
from era5dl.session import Session, UnfinishedObject
from era5dl.subset.estimate import Estimator
from era5dl.subset.ranges import FileSubset, plan_file
from era5dl.subset.read_index import read_object_index
from era5dl.subset.selection import Area, Point, Subset
from tests.faultlab import Fault, FaultServer, Link
from tests.netcdf_files import Sample, write_sample
from tests.runs import EngineRun, fetch_all, leftovers, running, settings_for
from tests.servers.seaweed import Seaweed
from tests.test_subset_write import check_equal

HOUR = datetime(2021, 2, 10, 6)
PLACE = Subset(area=Area(60, -30, 20, 30), hours=(0, 12))

pytestmark = pytest.mark.usefixtures("no_user_settings")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE", 0.05)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    folder = tmp_path_factory.mktemp("files")
    names = {"an.sfc/2t": 2.5, "an.pl/t": 10.0, "fc.sfc.accumu/lsp": 10.0, "invariant/z": 10.0}
    return {name: write_sample(folder, name, HOUR, step=step) for name, step in names.items()}


@pytest.fixture
def sample(samples: dict[str, Sample], fault_server: FaultServer) -> Sample:
    """A monthly file of 25 x 25 chunks, on the server."""
    found = samples["an.sfc/2t"]
    fault_server.put(found.key, found.path.read_bytes())
    return found


def plan_of(server: Any, samples: list[Sample], subset: Subset) -> Plan:
    bucket = S3Bucket(settings_for(server))
    request = {"keys": "0" * 64, "count": len(samples), "subset": subset.to_json()}
    return Plan(request, tuple(bucket.head(sample.key) for sample in samples))


def final_of(ran: EngineRun, index: int = 0) -> Path:
    return ran.session.paths.final(index)


def fetch(server: Any, folder: Path, sample: Sample, subset: Subset = PLACE, **options: Any) -> EngineRun:
    """Fetch a subset of one object, and check its values."""
    ran = fetch_all(server, folder, plan=plan_of(server, [sample], subset), read_timeout=20.0, **options)
    check_one(ran, folder, sample, subset)
    return ran


def check_one(ran: EngineRun, folder: Path, sample: Sample, subset: Subset = PLACE) -> None:
    ended = ran.wait_for_end()
    assert (ended.checked_part, ended.failed, ended.verified, ended.checked) == (1, 0, 0, 0), ran.events
    check_equal(sample, subset, final_of(ran))
    assert only_final_files(folder) == [final_of(ran)]
    snapshot = ran.engine.snapshot()
    assert snapshot.done_bytes == snapshot.total_bytes


def only_final_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and ".era5dl" not in path.parts]


def written_chunks(path: Path) -> tuple[Chunk, ...]:
    """Return the chunks of the data variable of a subset."""
    source = SparseBytes(path.stat().st_size)
    source.add(0, path.read_bytes())
    (field,) = (one for one in read_index(source).variables.values() if len(one.shape) > 1)
    return field.chunks


def wanted_bytes(server: Any, sample: Sample, subset: Subset = PLACE) -> int:
    return sum(stop - start for start, stop in ranges_of(server, sample, subset))


def ranges_of(server: Any, sample: Sample, subset: Subset = PLACE) -> list[tuple[int, int]]:
    return wanted_of(server, sample, subset).ranges()


def wanted_of(server: Any, sample: Sample, subset: Subset = PLACE) -> FileSubset:
    bucket = S3Bucket(settings_for(server))
    key = parse_key(sample.key)
    assert key is not None
    return plan_file(read_object_index(bucket, bucket.head(sample.key)), key, subset.for_file(key))


@pytest.mark.parametrize("name", ["an.sfc/2t", "an.pl/t", "fc.sfc.accumu/lsp", "invariant/z"])
def test_values_are_those_of_the_whole_file(
    fault_server: FaultServer, tmp_path: Path, samples: dict[str, Sample], name: str
) -> None:
    sample = samples[name]
    fault_server.put(sample.key, sample.path.read_bytes())
    ran = fetch(fault_server, tmp_path, sample)
    (done,) = ran.events_of(FileDone)
    assert (done.outcome, done.adopted, done.size) == (Outcome.CHECKED_PART, False, final_of(ran).stat().st_size)


@pytest.mark.parametrize("name", ["an.pl/t", "fc.sfc.accumu/lsp"])
def test_a_real_server(seaweed: Seaweed, tmp_path: Path, samples: dict[str, Sample], name: str) -> None:
    sample = samples[name]
    seaweed.put(sample.key, sample.path.read_bytes())
    fetch(seaweed, tmp_path, sample)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["an.pl/t", "an.sfc/2t", "fc.sfc.accumu/lsp"])
def test_files_of_the_demo(fault_server: FaultServer, tmp_path: Path, name: str) -> None:
    """They have the older structures that h5py writes."""
    variable = find_variable(name)
    period = period_of(variable.product, HOUR)
    write_file(tmp_path / "demo.nc", variable, period)
    with h5py.File(tmp_path / "demo.nc") as file:
        sample = Sample(tmp_path / "demo.nc", key_of(variable, period), variable, file[variable.nc_var][()])
    fault_server.put(sample.key, sample.path.read_bytes())
    fetch(fault_server, tmp_path / "out", sample)


def test_only_the_wanted_ranges_are_fetched(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    point = Subset(points=(Point(48.2, 16.4),))
    wanted = wanted_bytes(fault_server, sample, point)
    fault_server.reset_stats()
    ran = fetch(fault_server, tmp_path, sample, point)
    assert ran.engine.snapshot().total_bytes == wanted
    assert wanted < fault_server.stats().payload < wanted + 600_000 < len(sample.path.read_bytes()) / 3


@pytest.mark.slow
def test_the_part_file_has_no_holes(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    wanted = wanted_bytes(fault_server, sample)
    fault_server.link = Link(speed=wanted)
    plan = plan_of(fault_server, [sample], PLACE)
    with running(fault_server, tmp_path, plan=plan) as ran:
        ran.wait_until(lambda: any(path.stat().st_size for path in leftovers(tmp_path)))
        assert [path.stat().st_size for path in leftovers(tmp_path)] == [wanted]


@pytest.mark.slow
def test_a_stopped_run_continues(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    wanted = wanted_bytes(fault_server, sample)
    plan = plan_of(fault_server, [sample], PLACE)
    fault_server.link = Link(speed=wanted)
    with running(fault_server, tmp_path, plan=plan) as ran:
        ran.wait_until(lambda: ran.events and ran.engine.snapshot().done_bytes > wanted / 2)
        ran.engine.stop()
        ran.wait_for_end()
        (entry,) = ran.session.checkpoint.unfinished
        assert len(entry.layout) == 32
        done = sum(stop - start for start, stop in entry.done)
        assert done > wanted / 3
    fault_server.link = Link()
    fault_server.reset_stats()
    ran = fetch(fault_server, tmp_path, sample)
    assert fault_server.stats().payload < wanted - done + 600_000


@pytest.mark.parametrize("recorded", ["0" * 32, ""])
def test_a_part_file_with_another_layout_starts_anew(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, recorded: str
) -> None:
    """As from another version of the program. Its bytes have the same places, but are others."""
    plan = plan_of(fault_server, [sample], PLACE)
    wanted = wanted_bytes(fault_server, sample)
    with Session.begin(tmp_path, plan, settings_for(fault_server)) as session:
        part = session.paths.part(0)
        part.parent.mkdir(parents=True)
        part.write_bytes(b"x" * wanted)
        write_entry(session, wanted, recorded)
    ran = fetch(fault_server, tmp_path, sample)
    assert not ran.events_of(FileRetrying), "no byte of it was read"


def write_entry(session: Session, size: int, layout: str) -> None:
    """Write a resume file that says that all of the part file is on disk."""
    entry = UnfinishedObject(0, ((0, size),), layout=layout)
    session.save(replace(session.checkpoint, unfinished=(entry,)))


def test_bytes_that_change_on_disk_are_fetched_again(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, middle: int
) -> None:
    """The part file is complete, and one byte of it flips before the program starts again."""
    plan = plan_of(fault_server, [sample], PLACE)
    layout = PackedLayout(ranges_of(fault_server, sample))
    data = sample.path.read_bytes()
    packed = bytearray(b"".join(data[start:stop] for start, stop in layout.ranges))
    packed[layout.place(middle, 1)] ^= 1
    with Session.begin(tmp_path, plan, settings_for(fault_server)) as session:
        part = session.paths.part(0)
        part.parent.mkdir(parents=True)
        part.write_bytes(packed)
        write_entry(session, layout.size, layout.id)
    ran = fetch(fault_server, tmp_path, sample)
    (again,) = ran.events_of(FileRetrying)
    assert again.reason == "1 chunk of it did not have the right checksum"
    assert ran.engine.snapshot().fetched_bytes < 600_000, "the index, and one chunk"


class Flip:
    """Flips a bit at an offset of the object in the first responses that have it, after the index was read or before.

    on_event: to be called with the events of the run.
    """

    def __init__(self, at: int, times: int, *, in_index: bool = False) -> None:
        self.at, self.times, self.is_armed = at, times, in_index

    def on_event(self, event: Event) -> None:
        self.is_armed = self.is_armed or isinstance(event, FileStarted)

    def pick(self, request: Any) -> Fault | None:
        text = request.headers.get("range", "")
        if request.operation != "get" or "-" not in text or self.times <= 0 or not self.is_armed:
            return None
        start, stop = map(int, text.removeprefix("bytes=").split("-"))
        if not start <= self.at <= stop:
            return None
        self.times -= 1
        return Fault("flipped-bit", at=self.at - start)


@pytest.fixture
def middle(fault_server: FaultServer, sample: Sample) -> int:
    """An offset in the middle of a wanted chunk."""
    chunk = wanted_of(fault_server, sample).chunks[1]
    return chunk.offset + chunk.size // 2


def test_a_damaged_chunk_is_fetched_again(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, middle: int
) -> None:
    fault_server.add(flip := Flip(middle, times=1))
    ran = fetch(fault_server, tmp_path, sample, on_event=flip.on_event)
    assert [event.kind for event in ran.events_of(FileRetrying)] == ["ProofError"]


@pytest.mark.slow
def test_a_chunk_that_stays_damaged_fails_the_file(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, middle: int
) -> None:
    """The other bytes are kept, so that another attempt fetches only this chunk."""
    fault_server.add(flip := Flip(middle, times=1000))
    plan = plan_of(fault_server, [sample], PLACE)
    ran = fetch_all(fault_server, tmp_path, plan=plan, on_event=flip.on_event)
    (failed,) = ran.events_of(FileFailed)
    assert failed.kind == "ProofError" and "fetched 3 times" in failed.reason and failed.remedy
    assert not final_of(ran).exists()
    flip.times = 0
    again = fetch(fault_server, tmp_path, sample)
    assert again.engine.snapshot().fetched_bytes < 600_000


@pytest.mark.parametrize("kind", ["range-ignored", "range-wrong", "body-reset", "internal-error"])
def test_faults_of_the_server(fault_server: FaultServer, tmp_path: Path, samples: dict[str, Sample], kind: str) -> None:
    """Each second request has this fault, also those for the index: an attempt continues where the last one failed."""
    sample = samples["an.pl/t"]
    fault_server.put(sample.key, sample.path.read_bytes())
    plan = plan_of(fault_server, [sample], PLACE)
    fault_server.script(*["none", Fault(kind)] * 60)
    ran = fetch_all(fault_server, tmp_path, plan=plan, workers=2, retries=3, read_timeout=20.0)
    check_one(ran, tmp_path, sample)


def test_an_index_that_arrives_damaged_never_gives_wrong_values(
    fault_server: FaultServer, tmp_path: Path, sample: Sample
) -> None:
    """One bit of the size of a chunk, in a structure without a checksum."""
    data = sample.path.read_bytes()
    odd = [one for one in wanted_of(fault_server, sample).chunks if one.size % 2]
    entries = [struct.pack("<II4Q", chunk.size, 0, *chunk.origin, 0) for chunk in odd]
    entry = next(entry for entry in entries if data.count(entry) == 1)  # others are in inner nodes, too
    fault_server.add(Flip(data.index(entry), times=1, in_index=True))
    ran = fetch(fault_server, tmp_path, sample)
    assert [event.kind for event in ran.events_of(FileRetrying)] == ["BadResponse"]


@pytest.mark.slow
def test_an_object_that_is_replaced_begins_anew(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = write_sample(tmp_path_factory.mktemp("other"), "an.sfc/2t", HOUR + timedelta(days=1), step=2.5)
    assert other.key == sample.key
    plan = plan_of(fault_server, [sample], PLACE)
    wanted = wanted_bytes(fault_server, sample)
    fault_server.link = Link(speed=wanted / 4)
    with running(fault_server, tmp_path, plan=plan) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > wanted / 4)
        fault_server.put(sample.key, other.path.read_bytes())
        fault_server.cut_connections()
        fault_server.link = Link()
        check_one(ran, tmp_path, other)
        assert len(ran.events_of(FileRestarted)) == 1


def test_an_object_with_another_layout_is_fetched_whole(
    fault_server: FaultServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sample = write_sample(tmp_path_factory.mktemp("other"), "invariant/z", HOUR)
    with netCDF4.Dataset(sample.path, "a") as file:
        file["time"].units = "days since 1900-01-01"
    data = sample.path.read_bytes()
    fault_server.put(sample.key, data)
    plan = plan_of(fault_server, [sample], PLACE)
    for run in range(2):
        ran = fetch_all(fault_server, tmp_path, plan=plan)
        ended = ran.wait_for_end()
        assert (ended.verified, ended.checked_part, ended.failed) == (1, 0, 0), ran.events
        assert (tmp_path / sample.key).read_bytes() == data
        assert only_final_files(tmp_path) == [tmp_path / sample.key]
        assert not list((tmp_path / ".era5dl").glob("*.claim"))
        assert [event.reason for event in ran.events_of(FetchedWhole)] == [
            "times in other units than hours since 1900"
        ] * (1 - run)
    assert ran.engine.snapshot().done_bytes == ran.engine.snapshot().total_bytes


def test_an_incomplete_object_fails(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    fault_server.put(sample.key, sample.path.read_bytes()[:-100])
    ran = fetch_all(fault_server, tmp_path, plan=plan_of(fault_server, [sample], PLACE))
    (failed,) = ran.events_of(FileFailed)
    assert failed.kind == "ProofError" and "according to its header" in failed.reason
    assert only_final_files(tmp_path) == []


@pytest.mark.slow
def test_a_finished_file_is_kept_unless_it_has_changed(
    fault_server: FaultServer, tmp_path: Path, sample: Sample
) -> None:
    ran = fetch(fault_server, tmp_path, sample)
    final, resume = final_of(ran), tmp_path / ".era5dl" / f"{ran.session.id}.json"
    content = final.read_bytes()

    def again(adopted: list[bool]) -> None:
        ran = fetch(fault_server, tmp_path, sample)
        assert [event.adopted for event in ran.events_of(FileDone)] == adopted

    again([])
    for file in (resume, resume.with_suffix(".json.bak")):
        file.unlink()  # as after a kill between the rename and the checkpoint
    again([True])
    for file in (resume, resume.with_suffix(".json.bak")):
        file.unlink()
    final.write_bytes(content[:-1] + b"x")
    again([False])
    for damage in (final.unlink, lambda: final.write_bytes(content[:-1]), lambda: final.write_bytes(b"")):
        damage()
        again([False])


def test_two_areas_and_the_whole_file_in_one_folder(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    other = Subset(area=Area(54, 73, 18, 135), hours=(0,))
    bucket = S3Bucket(settings_for(fault_server))
    whole = Plan({"keys": "1" * 64, "count": 1}, (bucket.head(sample.key),))
    plans = [plan_of(fault_server, [sample], PLACE), plan_of(fault_server, [sample], other), whole]
    with (
        running(fault_server, tmp_path, plan=plans[0]) as first,
        running(fault_server, tmp_path, plan=plans[1]) as second,
        running(fault_server, tmp_path, plan=plans[2]) as third,
    ):
        assert third.wait_for_end().verified == 1
        assert first.wait_for_end().checked_part == second.wait_for_end().checked_part == 1
    check_equal(sample, PLACE, final_of(first))
    check_equal(sample, other, final_of(second))
    assert (tmp_path / sample.key).read_bytes() == sample.path.read_bytes()
    assert len(only_final_files(tmp_path)) == 3


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], None]]]:
    """What happens at each write to the new file: functions to be called, the last one for all further writes."""
    actions: list[Callable[[], None]] = [lambda: None]

    class Watched(FileIO):
        def write(self, data: Any) -> int:
            actions[0]()
            return super().write(data)

    monkeypatch.setattr("era5dl.folder.new_file.FileIO", Watched)
    yield actions


@pytest.mark.slow
def test_a_full_disk_while_the_file_is_written(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, writes: list[Callable[[], None]]
) -> None:
    """What has been fetched is kept, and the file is written when there is room again."""
    failures = 3

    def full() -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(28, "No space left on device")

    writes[0] = full
    ran = fetch(fault_server, tmp_path, sample)
    assert failures == 0
    assert ran.engine.snapshot().fetched_bytes < wanted_bytes(fault_server, sample) + 2_400_000


def test_a_stop_while_the_file_is_written(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, writes: list[Callable[[], None]]
) -> None:
    plan = plan_of(fault_server, [sample], PLACE)
    with running(fault_server, tmp_path, plan=plan) as ran:
        writes[0] = ran.engine.stop
        ended = ran.wait_for_end()
    assert ended.unfinished == 1
    assert [path.suffix for path in only_final_files(tmp_path)] == [".part"]
    writes[0] = lambda: None
    again = fetch(fault_server, tmp_path, sample)
    assert again.engine.snapshot().fetched_bytes < 600_000, "only the index"


def test_an_index_in_the_cache_is_not_read_again(
    fault_server_tls: FaultServer, tmp_path: Path, samples: dict[str, Sample]
) -> None:
    sample, subset = samples["an.sfc/2t"], Subset(points=(Point(48.2, 16.4),))
    fault_server_tls.put(sample.key, sample.path.read_bytes())
    wanted = wanted_bytes(fault_server_tls, sample, subset)
    fetch(fault_server_tls, tmp_path / "first", sample)
    fault_server_tls.reset_stats()
    fetch(fault_server_tls, tmp_path / "second", sample, subset)
    assert fault_server_tls.stats().payload == wanted


def test_the_session_counts_its_files(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    ran = fetch(fault_server, tmp_path, sample)
    saved = json.loads((tmp_path / ".era5dl" / f"{ran.session.id}.json").read_text())
    assert (saved["done_files"], saved["checked_part"], saved["verified"]) == (1, "0", "")
    assert saved["done_bytes"] == saved["total_bytes"] == wanted_bytes(fault_server, sample)
    with Session.open(tmp_path) as session:
        verify(ran.bucket, session, lambda _: None)
        assert session.checkpoint.done_bytes == session.checkpoint.total_bytes == saved["total_bytes"]
    ran.session.close()
    with Session.open(tmp_path) as session:
        verify(S3Bucket(settings_for(fault_server)), session, lambda _report: None, lambda: False)
        assert session.checkpoint.done_bytes == saved["done_bytes"]


def test_nothing_is_left_of_a_new_file_that_was_not_finished(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), NewFile(tmp_path / "a.new") as new:
        new.raw.write(b"x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_thread_that_ends_late_does_not_disturb_the_next_run(tmp_path: Path) -> None:
    """After a stop, a thread may be busy in HDF5 for a while."""
    late, new = NewFile(tmp_path / "a.new"), NewFile(tmp_path / "a.new")
    late.__enter__()
    new.__enter__()
    new.raw.write(b"x")
    with pytest.raises(PartLost):
        late.commit(tmp_path / "a.nc")
    late.__exit__(None, None, None)
    new.commit(tmp_path / "a.nc")
    new.__exit__(None, None, None)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.nc", b"x")]


@pytest.mark.slow
def test_another_session_keeps_the_file(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    """If it has the bytes that were written, by any session: a damaged value changes nothing that it says of itself."""
    first = fetch(fault_server, tmp_path, sample)
    plan = plan_of(fault_server, [sample], PLACE)
    (offset,) = (chunk.offset for chunk in written_chunks(final_of(first))[:1])
    for number, damage in enumerate((None, offset + 100)):
        final = final_of(first)
        if damage is not None:
            data = bytearray(final.read_bytes())
            data[damage] ^= 1
            final.write_bytes(data)
        other = replace(plan, request={**plan.request, "keys": f"{number + 1:064x}"})
        ran = fetch_all(fault_server, tmp_path, plan=other)
        check_one(ran, tmp_path, sample)
        assert [event.adopted for event in ran.events_of(FileDone)] == [damage is None]
    for session_id in (first.session.id, ran.session.id):  # the file was written by the other one, or is its own
        with Session.open(tmp_path, session_id) as session:
            (report,) = verify(ran.bucket, session, lambda _: None)
            assert (report.condition, report.reason) == (FileCondition.CHECKED_PART, PART_REASON)


@pytest.mark.slow
def test_verify_compares_with_what_was_written(fault_server: FaultServer, tmp_path: Path, sample: Sample) -> None:
    ran = fetch(fault_server, tmp_path, sample)
    final, content = final_of(ran), final_of(ran).read_bytes()

    def condition() -> FileCondition:
        with Session.open(tmp_path) as session:
            (report,) = verify(ran.bucket, session, lambda _: None)
            assert (0 in session.checkpoint.checked_part) == (report.condition is not FileCondition.WRONG)
            return report.condition

    assert condition() is FileCondition.CHECKED_PART
    final.unlink()
    assert condition() is FileCondition.ABSENT
    final.write_bytes(content)
    assert condition() is FileCondition.CHECKED_PART
    (tmp_path / ".era5dl" / f"{ran.session.id}.digests.jsonl").unlink()
    assert condition() is FileCondition.CHECKED_PART
    final.write_bytes(content[:-1_000])
    assert condition() is FileCondition.WRONG


def test_chunks_without_a_checksum_are_not_trusted(
    fault_server: FaultServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.netcdf_files._COMPRESSED", {})
    sample = write_sample(tmp_path_factory.mktemp("other"), "invariant/z", HOUR)
    fault_server.put(sample.key, sample.path.read_bytes())
    ran = fetch_all(fault_server, tmp_path, plan=plan_of(fault_server, [sample], PLACE))
    assert [event.reason for event in ran.events_of(FetchedWhole)] == ["chunks without a checksum"]
    assert ran.wait_for_end().verified == 1


def test_without_an_etag_the_whole_file_is_fetched(
    fault_server: FaultServer, tmp_path: Path, samples: dict[str, Sample]
) -> None:
    """Ranges of two versions could be mixed."""
    sample = samples["invariant/z"]
    fault_server.put(sample.key, sample.path.read_bytes())
    fault_server.script(Fault("no-etag", times=None, on=("get", "head", "list")))
    ran = fetch_all(fault_server, tmp_path, plan=plan_of(fault_server, [sample], PLACE))
    assert ["no ETag" in event.reason for event in ran.events_of(FetchedWhole)] == [True]
    assert (ran.wait_for_end().checked, ran.wait_for_end().checked_part) == (1, 0)


@pytest.mark.parametrize("since", ["the index", "the chunks"])
def test_a_response_without_an_etag_is_not_used(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, since: str
) -> None:
    """A proxy that removes the ETag may ignore If-Match, too, and no MD5 would show that versions were mixed."""
    plan = plan_of(fault_server, [sample], PLACE)

    def remove_etags(event: Event) -> None:
        if isinstance(event, FileStarted) and since == "the chunks":
            fault_server.script(Fault("no-etag", times=None))

    if since == "the index":
        fault_server.script(Fault("no-etag", times=None))
    ran = fetch_all(fault_server, tmp_path, plan=plan, workers=1, retries=1, on_event=remove_etags)
    failed = ran.events_of(FileFailed)[-1]
    assert "no ETag" in failed.reason and failed.remedy
    assert not final_of(ran).exists()


@pytest.mark.parametrize("fits", [True, False])
def test_only_the_space_that_is_needed_is_required(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    plan = plan_of(fault_server, [sample], PLACE)
    estimate = Estimator(PLACE).estimate(parse_key(sample.key) or pytest.fail(), plan.objects[0].size)
    free = estimate.fetched + estimate.written - (0 if fits else 1)
    monkeypatch.setattr("era5dl.engine.disk.free_bytes", lambda _: free)
    monkeypatch.setattr("era5dl.folder.free_space.free_bytes", lambda _: free)
    ended = fetch_all(fault_server, tmp_path, plan=plan).wait_for_end()
    assert (ended.checked_part, ended.error == "") == ((1, True) if fits else (0, False))


def test_one_file_is_written_at_a_time() -> None:
    scheduler = Scheduler([0, 1, 2], [10, 10, 10], max_transfers=3)
    transfers = [Transfer(index, ObjectInfo(str(index), 10, '"x"'), wanted=[]) for index in range(3)]
    for transfer in transfers[:2]:
        transfer.subset = cast(FileSubset, object())
    for _ in transfers:
        assert isinstance(scheduler.next_job(0.0, 3, None, transfers.__getitem__), PrepareJob)
    for transfer in transfers:
        scheduler.prepared(transfer)
    jobs = [scheduler.next_job(0.0, 3, None, transfers.__getitem__) for _ in range(3)]
    assert [job.transfer.index if job else None for job in jobs] == [0, 2, None], "a whole file does not wait"
    scheduler.close(transfers[0])
    again = scheduler.next_job(0.0, 3, None, transfers.__getitem__)
    assert again is not None and again.transfer is transfers[1]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--prove"]])
def test_a_killed_program_continues(
    fault_server: FaultServer, tmp_path: Path, sample: Sample, flags: list[str]
) -> None:
    wanted = sample.path.stat().st_size if flags else wanted_bytes(fault_server, sample)
    fault_server.link = Link(speed=wanted / 4)
    keys = tmp_path / "keys.txt"
    keys.write_text(sample.key)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "era5dl", "download", "--keys-file", str(keys), "--out", str(out)]
    command += ["--hours", "0,12", "--area", str(PLACE.area), "--workers", "2", *flags]
    command += ["--endpoint-url", fault_server.endpoint_url, "--bucket", fault_server.bucket, "--quiet"]
    program = subprocess.Popen(command)
    give_up = time.monotonic() + 60
    while saved_bytes(out) < wanted / 3:
        assert time.monotonic() < give_up and program.poll() is None
        time.sleep(0.02)
    program.kill()
    program.wait()
    saved = saved_bytes(out)
    fault_server.link = Link()
    fault_server.reset_stats()
    assert subprocess.run(command, check=False).returncode == 0
    assert fault_server.stats().payload < wanted - saved + 600_000
    (final,) = only_final_files(out)
    check_equal(sample, PLACE, final)


def saved_bytes(folder: Path) -> int:
    """Return the number of bytes that the resume file lists."""
    for file in (folder / ".era5dl").glob("*.json"):
        with contextlib.suppress(ValueError, OSError):
            entries = json.loads(file.read_text())["unfinished"]
            return sum(stop - start for entry in entries for start, stop in entry["done"])
    return 0
