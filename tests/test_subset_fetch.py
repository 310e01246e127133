"""Tests of fetching subsets from S3 servers: few requests, one version, retries, and chunks that arrive damaged."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import h5py
import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.catalog import find_variable, key_of, period_of
from era5dl.demo.netcdf import write_file
from era5dl.errors import BadSelection, ObjectChanged, ProofError, UsageError
from era5dl.hdf5 import DamagedFile, UnsupportedLayout
from era5dl.subset.fetch import fetch_subset
from era5dl.subset.selection import Area, Point, Subset
from tests.bucket_setup import opened
from tests.faultlab import Fault, FaultServer
from tests.netcdf_files import Sample, write_sample
from tests.servers.seaweed import Seaweed
from tests.test_subset_write import check_equal

HOUR = datetime(2021, 2, 10, 6)
PLACE = Subset(area=Area(60, -30, 20, 30), hours=(0, 12))

pytestmark = pytest.mark.usefixtures("no_user_settings")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("files"), "an.sfc/2t", HOUR, step=2.5)


@pytest.fixture
def bucket(fault_server: FaultServer, sample: Sample) -> Iterator[S3Bucket]:
    fault_server.put(sample.key, sample.path.read_bytes())
    yield from opened(fault_server, read_timeout=20.0)  # requests are counted: none may time out on a busy machine


@pytest.mark.parametrize("name", ["an.pl/t", "an.sfc/2t", "fc.sfc.accumu/lsp", "invariant/z"])
def test_a_subset_of_a_real_server(seaweed: Seaweed, tmp_path: Path, name: str) -> None:
    sample = write_sample(tmp_path, name, HOUR)
    seaweed.put(sample.key, sample.path.read_bytes())
    for bucket in opened(seaweed, read_timeout=20.0):
        for number, subset in enumerate([PLACE, Subset(points=(Point(48.2, 16.4), Point(-90, 0)), hours=(7,))]):
            path = tmp_path / "parts" / f"{number}.nc"
            fetch_subset(bucket, bucket.head(sample.key), subset, path)
            check_equal(sample, subset, path)
            assert len(list(path.parent.iterdir())) == number + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["an.pl/t", "an.sfc/2t", "fc.sfc.accumu/lsp", "invariant/z"])
def test_a_subset_of_a_file_of_the_demo(fault_server: FaultServer, tmp_path: Path, name: str) -> None:
    """They have the older structures that h5py writes."""
    variable = find_variable(name)
    period = period_of(variable.product, HOUR)
    key = key_of(variable, period)
    write_file(tmp_path / "demo.nc", variable, period)
    with h5py.File(tmp_path / "demo.nc") as file:
        sample = Sample(tmp_path / "demo.nc", key, variable, file[variable.nc_var][()])
    fault_server.put(key, sample.path.read_bytes())
    for bucket in opened(fault_server, read_timeout=20.0):
        fetch_subset(bucket, bucket.head(key), PLACE, tmp_path / "part.nc")
    check_equal(sample, PLACE, tmp_path / "part.nc")


def test_only_what_is_needed_is_fetched(bucket: S3Bucket, sample: Sample, tmp_path: Path) -> None:
    obj = bucket.head(sample.key)
    fetched = fetch_subset(bucket, obj, Subset(points=(Point(48.2, 16.4),)), tmp_path / "part.nc")
    assert fetched.chunks < obj.size / 15  # one of 25 tiles
    assert fetched.index < 300_000
    check_equal(sample, Subset(points=(Point(48.2, 16.4),)), tmp_path / "part.nc")


@pytest.mark.slow
def test_failed_requests_are_repeated(
    bucket: S3Bucket, fault_server: FaultServer, sample: Sample, tmp_path: Path
) -> None:
    obj = bucket.head(sample.key)
    fault_server.script(Fault("internal-error", times=3), Fault("body-reset", times=3, at=1000))
    fetch_subset(bucket, obj, PLACE, tmp_path / "part.nc")
    check_equal(sample, PLACE, tmp_path / "part.nc")


def test_another_version_is_not_mixed_in(
    bucket: S3Bucket, fault_server: FaultServer, sample: Sample, tmp_path: Path
) -> None:
    obj = bucket.head(sample.key)
    fault_server.put(sample.key, sample.path.read_bytes()[:-1] + b"x")
    with pytest.raises(ObjectChanged):
        fetch_subset(bucket, obj, PLACE, tmp_path / "part.nc")
    assert list(tmp_path.iterdir()) == []


def middle_of_a_chunk(sample: Sample) -> int:
    with h5py.File(sample.path) as file:
        chunk = file[sample.name].id.get_chunk_info_by_coord((0, 20, 0))
        return int(chunk.byte_offset + chunk.size // 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["range-ignored", "range-short", "range-wrong", "body-reset", "flipped-bit"])
def test_responses_with_errors_never_give_a_wrong_value(
    bucket: S3Bucket, fault_server: FaultServer, sample: Sample, tmp_path: Path, kind: str
) -> None:
    obj = bucket.head(sample.key)
    fault_server.reset_stats()
    fetch_subset(bucket, obj, PLACE, tmp_path / "first.nc", parallel=1)
    requests = fault_server.stats().requests["GET"]
    fault_server.script(*["none"] * (requests - 2), Fault(kind, times=2))
    fetch_subset(bucket, obj, PLACE, tmp_path / "part.nc", parallel=1)
    check_equal(sample, PLACE, tmp_path / "part.nc")


def test_a_damaged_chunk_is_fetched_again(
    bucket: S3Bucket, fault_server: FaultServer, sample: Sample, tmp_path: Path
) -> None:
    obj = bucket.head(sample.key)
    fault_server.reset_stats()
    fetch_subset(bucket, obj, PLACE, tmp_path / "first.nc")
    requests = fault_server.stats().requests["GET"]
    fault_server.script(Fault("flipped-at-offset", at=middle_of_a_chunk(sample), times=requests))
    fetch_subset(bucket, obj, PLACE, tmp_path / "part.nc")
    check_equal(sample, PLACE, tmp_path / "part.nc")
    assert fault_server.stats().requests["GET"] == 2 * requests + 1


@pytest.mark.slow
def test_a_chunk_that_stays_damaged_is_an_error(
    bucket: S3Bucket, fault_server: FaultServer, sample: Sample, tmp_path: Path
) -> None:
    obj = bucket.head(sample.key)
    fault_server.script(Fault("flipped-at-offset", at=middle_of_a_chunk(sample), times=None))
    with pytest.raises(ProofError, match="is damaged"):
        fetch_subset(bucket, obj, PLACE, tmp_path / "part.nc")
    assert list(tmp_path.iterdir()) == []


def test_objects_that_cannot_be_read_in_parts(
    bucket: S3Bucket, fault_server: FaultServer, sample: Sample, tmp_path: Path
) -> None:
    fault_server.put("other.nc", b"x")
    with pytest.raises(UnsupportedLayout, match="not an ERA5 file"):
        fetch_subset(bucket, bucket.head("other.nc"), PLACE, tmp_path / "part.nc")
    fault_server.put(sample.key, sample.path.read_bytes()[:-100])
    with pytest.raises(DamagedFile, match="according to its header"):
        fetch_subset(bucket, bucket.head(sample.key), PLACE, tmp_path / "part.nc")


def test_an_empty_selection_fetches_no_chunk(
    bucket: S3Bucket, fault_server: FaultServer, sample: Sample, tmp_path: Path
) -> None:
    with pytest.raises(BadSelection, match="no grid point"):
        fetch_subset(bucket, bucket.head(sample.key), Subset(area=Area(11, 1, 10.5, 2)), tmp_path / "part.nc")
    assert list(tmp_path.iterdir()) == []


def test_without_h5py_the_remedy_is_the_command(
    bucket: S3Bucket, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    for name in [name for name in sys.modules if name.startswith("era5dl.subset.") and "writ" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("era5dl.subset.write", raising=False)
    with pytest.raises(UsageError, match="need h5py") as caught:
        fetch_subset(bucket, bucket.head(sample.key), PLACE, tmp_path / "part.nc")
    assert caught.value.remedy == 'pip install "era5dl[subset]"'
