"""Tests of reading the index of an object: its requests are at the same time, errors come at once, an abort ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import Interrupted, ObjectChanged, ServerFault, Stopped
from era5dl.hdf5 import SparseBytes, read_index
from era5dl.subset import range_requests
from era5dl.subset.range_requests import RangeRequests
from era5dl.subset.read_index import read_object_index
from tests.bucket_setup import opened
from tests.faultlab import Fault, FaultServer
from tests.netcdf_files import Sample, write_sample

HOUR = datetime(2021, 2, 10, 6)

pytestmark = pytest.mark.usefixtures("no_user_settings")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A monthly file with many B-tree nodes between its chunks."""
    return write_sample(tmp_path_factory.mktemp("files"), "an.sfc/2t", HOUR, step=5, chunks=(27, 5, 8))


@pytest.fixture
def bucket(fault_server: FaultServer, sample: Sample) -> Iterator[S3Bucket]:
    fault_server.put(sample.key, sample.path.read_bytes())
    yield from opened(fault_server, read_timeout=20.0)


class LocalBucket:
    """A bucket with one object. barrier: from the third request on, as many as it has parties arrive together."""

    def __init__(self, data: bytes, barrier: threading.Barrier | None = None) -> None:
        self.requests: list[tuple[int, int]] = []
        self._data = data
        self._barrier = barrier
        self._lock = threading.Lock()

    @contextmanager
    def open(self, _: ObjectInfo, start: int, stop: int, __: Abort) -> Iterator[LocalBody]:
        with self._lock:
            self.requests.append((start, stop))
            number = len(self.requests)
        if self._barrier is not None and 2 < number <= 2 + self._barrier.parties:
            self._barrier.wait(20)
        yield LocalBody(start, self._data[start:stop])


class LocalBody:
    whole = False

    def __init__(self, start: int, data: bytes) -> None:
        self.start = start
        self.has_etag = True
        self._data = data

    def readinto(self, view: memoryview) -> int:
        count = min(len(view), len(self._data))
        view[:count] = self._data[:count]
        self._data = self._data[count:]
        return count


def test_all_nodes_of_a_monthly_file_are_fetched_at_the_same_time(sample: Sample) -> None:
    data = sample.path.read_bytes()
    source = SparseBytes(len(data))
    source.add(0, data)
    bucket = LocalBucket(data, threading.Barrier(16))
    received: list[int] = []
    index = read_object_index(bucket, ObjectInfo(sample.key, len(data), ""), on_received=received.append)  # type: ignore[arg-type]
    assert index == read_index(source)
    assert len(bucket.requests) > 18
    assert sum(received) == sum(stop - start for start, stop in bucket.requests) < len(data) / 2


@pytest.mark.parametrize("parallel", [1, 8])
def test_the_first_error_is_raised_at_once(
    bucket: S3Bucket, fault_server: FaultServer, sample: Sample, parallel: int
) -> None:
    """The engine has its own retry policy, which must see every error."""
    obj = bucket.head(sample.key)
    fault_server.reset_stats()
    fault_server.script("none", "none", "none", Fault("internal-error", times=None))
    with pytest.raises(ServerFault):
        read_object_index(bucket, obj, Abort(), parallel=parallel)
    assert fault_server.stats().requests["GET"] <= 3 + parallel


@pytest.mark.parametrize("parallel", [1, 8])
def test_an_abort_ends_it(bucket: S3Bucket, fault_server: FaultServer, sample: Sample, parallel: int) -> None:
    obj = bucket.head(sample.key)
    fault_server.script(Fault("body-stall", times=None, seconds=20.0))
    abort = Abort()
    timer = threading.Timer(0.2, abort.trigger, ["the user"])
    timer.start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        read_object_index(bucket, obj, abort, parallel=parallel)
    timer.join()
    assert time.monotonic() - started < 5


def test_another_version_is_an_error(bucket: S3Bucket, fault_server: FaultServer, sample: Sample) -> None:
    obj = bucket.head(sample.key)
    fault_server.put(sample.key, sample.path.read_bytes()[:-1] + b"x")
    with pytest.raises(ObjectChanged):
        read_object_index(bucket, obj, Abort())


def test_a_connection_that_is_too_slow_is_ended(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte restarts the socket's timeout: a few bytes per second could go on for hours."""
    monkeypatch.setattr(range_requests, "_SPEED_WINDOW", 0.0)
    monkeypatch.setattr(range_requests, "_MIN_SPEED", 1e12)
    data = sample.path.read_bytes()
    requests = RangeRequests(LocalBucket(data), ObjectInfo(sample.key, len(data), ""), 1)  # type: ignore[arg-type]
    with pytest.raises(Interrupted, match="stalled") as caught:
        requests.fetch([(0, 1000)], lambda *_: None)
    assert caught.value.stalled


def test_each_range_is_stored_once(sample: Sample, tmp_path: Path) -> None:
    data = sample.path.read_bytes()
    counts: list[int] = []
    obj = ObjectInfo(sample.key, len(data), "")
    requests = RangeRequests(LocalBucket(data), obj, 4, on_received=counts.append)  # type: ignore[arg-type]
    found: dict[int, bytes] = {}
    requests.fetch([(0, 10), (100, 300)], found.setdefault)
    assert found == {0: data[:10], 100: data[100:300]}
    assert sum(counts) == 210
