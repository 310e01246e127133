"""Tests of the exact plan: the figures are those of the fetch, indexes are kept, and errors leave an estimate."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine.events import FileDone, FileStarted
from era5dl.errors import BadSelection, Stopped
from era5dl.planner.plan import Plan
from era5dl.subset.exact_plan import ExactPlan, exact_plan
from era5dl.subset.index_cache import IndexCache
from era5dl.subset.selection import Area, Subset
from tests.bucket_setup import opened
from tests.faultlab import Fault, FaultServer
from tests.netcdf_files import Sample, write_sample
from tests.runs import fetch_all

PLACE = Subset(area=Area(60, -30, 20, 30), hours=(0, 12))

pytestmark = pytest.mark.usefixtures("no_user_settings")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("files")
    return [
        write_sample(folder, "an.sfc/2t", datetime(2021, 2, 10), step=5),
        write_sample(folder, "an.sfc/2t", datetime(2021, 3, 10), step=5),
        write_sample(folder, "fc.sfc.accumu/lsp", datetime(2021, 2, 10)),
        write_sample(folder, "invariant/z", datetime(2021, 2, 10)),
    ]


@pytest.fixture
def bucket(fault_server: FaultServer, samples: list[Sample]) -> Iterator[S3Bucket]:
    for sample in samples:
        fault_server.put(sample.key, sample.path.read_bytes())
    yield from opened(fault_server, read_timeout=20.0)


def plan_of(bucket: S3Bucket, *keys: str, subset: Subset = PLACE) -> Plan:
    return Plan({"keys": "", "subset": subset.to_json()}, tuple(bucket.head(key) for key in keys))


def figures(found: ExactPlan) -> list[tuple[int, int]]:
    return [(file.figures.fetched, file.figures.written) for file in found.files]


def test_figures_are_those_of_the_download(
    bucket: S3Bucket, fault_server: FaultServer, samples: list[Sample], tmp_path: Path
) -> None:
    plan = plan_of(bucket, *(sample.key for sample in samples))
    found = exact_plan(plan, bucket, IndexCache(tmp_path / "cache"))
    assert found.estimate.is_exact
    assert [file.obj for file in found.files] == list(plan.objects)
    ran = fetch_all(fault_server, tmp_path / "out", plan=plan, read_timeout=20.0)
    started = {event.index: event.size for event in ran.events_of(FileStarted)}
    done = {event.index: event.size for event in ran.events_of(FileDone)}
    for index, file in enumerate(found.files):
        assert file.figures.fetched == started[index]
        assert file.figures.written == pytest.approx(done[index], rel=0.4, abs=40_000)
    assert found.estimate.total.fetched == sum(file.figures.fetched for file in found.files)
    assert found.estimate.total.size == plan.total_bytes


def test_indexes_are_read_once(
    bucket: S3Bucket, fault_server: FaultServer, samples: list[Sample], tmp_path: Path
) -> None:
    plan = plan_of(bucket, *(sample.key for sample in samples))
    first = exact_plan(plan, bucket, IndexCache(tmp_path))
    fault_server.reset_stats()
    assert exact_plan(plan, bucket, IndexCache(tmp_path)) == first
    assert fault_server.stats().requests.get("GET", 0) == 0


def test_files_that_cannot_be_read_in_parts_count_as_whole(
    bucket: S3Bucket, fault_server: FaultServer, samples: list[Sample], tmp_path: Path
) -> None:
    fault_server.put("other.nc", b"something")
    fault_server.put(samples[0].key, b"not an HDF5 file")
    plan = plan_of(bucket, "other.nc", samples[0].key)
    found = exact_plan(plan, bucket, IndexCache(tmp_path))
    assert figures(found) == [(9, 9), (16, 16)]
    assert found.files[1].reason == "it is not an HDF5 file"
    assert found.estimate.is_exact


def test_a_file_whose_index_cannot_be_read_is_estimated(
    bucket: S3Bucket, fault_server: FaultServer, samples: list[Sample], tmp_path: Path
) -> None:
    plan = plan_of(bucket, samples[0].key, samples[1].key)
    fault_server.script(Fault("no-such-key", times=None), key=samples[0].key)
    found = exact_plan(plan, bucket, IndexCache(tmp_path))
    assert [bool(file.error) for file in found.files] == [True, False]
    assert 0 < found.files[0].figures.fetched < found.files[0].obj.size
    assert not found.estimate.is_exact


def test_temporary_errors_are_retried(
    bucket: S3Bucket, fault_server: FaultServer, samples: list[Sample], tmp_path: Path
) -> None:
    fault_server.script("none", Fault("internal-error"), Fault("body-reset", at=100))
    assert exact_plan(plan_of(bucket, samples[0].key), bucket, IndexCache(tmp_path)).estimate.is_exact


def test_it_can_be_cancelled(
    bucket: S3Bucket, fault_server: FaultServer, samples: list[Sample], tmp_path: Path
) -> None:
    fault_server.script(Fault("body-stall", times=None, seconds=20.0))
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Stopped):
        exact_plan(plan_of(bucket, samples[0].key), bucket, IndexCache(tmp_path), cancelled=cancelled)


def test_an_empty_selection_is_an_error(bucket: S3Bucket, samples: list[Sample], tmp_path: Path) -> None:
    nothing = Subset(area=Area(11, 1, 10.5, 2))
    with pytest.raises(BadSelection):
        exact_plan(plan_of(bucket, samples[0].key, subset=nothing), bucket, IndexCache(tmp_path))
