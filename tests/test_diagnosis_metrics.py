"""Metrics and request metrics: correct, bounded and cheap."""

from __future__ import annotations

import socket
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.diagnosis import measured_bucket, metrics
from era5dl.diagnosis.measured_bucket import MeasuredBucket, RequestMetrics
from era5dl.diagnosis.metrics import Metrics, measure, quantile
from era5dl.engine.events import State
from era5dl.engine.progress import Snapshot
from era5dl.errors import Interrupted, ServerBusy, Stopped

OBJECT = ObjectInfo("a.nc", 100, '"0"')
RUN = Snapshot(
    state=State.RUNNING, reason="", total_files=2, done_files=0, verified_files=0, checked_files=0, failed_files=0,
    total_bytes=200, done_bytes=0, fetched_bytes=0, speed=5e6, time_left=None, elapsed=1.0, active=(), workers=8,
    allowed=4, in_flight=3, rate_limit=None, retries=2, throttles=1, barren_attempts=1,
)  # fmt: skip


class Body:
    """Returns its bytes at once, after a delay."""

    def __init__(self, chunks: list[int], delay: float) -> None:
        self._chunks, self._delay = chunks, delay

    start, whole, has_etag = 0, False, True

    def readinto(self, view: memoryview) -> int:
        time.sleep(self._delay)
        return self._chunks.pop(0) if self._chunks else 0


class OneBucket:
    """A bucket that opens such bodies, or raises."""

    def __init__(self, error: Exception | None = None, chunks: tuple[int, ...] = (10, 20), delay: float = 0.0) -> None:
        self.error, self.chunks, self.delay = error, chunks, delay
        self.closed = 0

    @contextmanager
    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> Iterator[Body]:
        time.sleep(self.delay)
        if self.error:
            raise self.error
        try:
            yield Body(list(self.chunks), self.delay)
        finally:
            self.closed += 1

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        yield OBJECT

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        return OBJECT

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> None:
        return None

    def drop_idle_connections(self) -> None:
        pass


def take(bucket: MeasuredBucket) -> int:
    """Read one object to its end."""
    total = 0
    with bucket.open(OBJECT, 0, 100, Abort()) as body:
        while count := body.readinto(memoryview(bytearray(100))):
            total += count
    return total


def test_a_measured_bucket_forwards_every_call() -> None:
    inner = OneBucket()
    bucket = MeasuredBucket(inner, RequestMetrics())
    assert take(bucket) == 30
    assert list(bucket.list("")) == [OBJECT]
    assert bucket.head("a.nc") == OBJECT
    assert bucket.parts(OBJECT) is None
    assert inner.closed == 1


def test_first_byte_waiting_and_busy_times_are_measured() -> None:
    counted = RequestMetrics()
    bucket = MeasuredBucket(OneBucket(delay=0.02), counted)
    with bucket.open(OBJECT, 0, 100, Abort()) as body:
        body.readinto(memoryview(bytearray(100)))
        time.sleep(0.05)  # written to disk
        body.readinto(memoryview(bytearray(100)))
    (latency,) = counted.latencies()
    found = counted.traffic()
    assert 0.02 <= latency < 0.2
    assert 0.04 <= found.waited < 0.3
    assert 0.05 <= found.busy < 0.3
    assert counted.latencies() == []  # already returned


def test_open_requests_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_bucket, "LONG_ENOUGH", 0.01)
    counted = RequestMetrics()
    with MeasuredBucket(OneBucket(delay=0.02), counted).open(OBJECT, 0, 100, Abort()) as body:
        body.readinto(memoryview(bytearray(100)))
        found = counted.traffic()
        assert found.waited >= 0.02
        (speed,) = found.speeds
        assert 0 < speed <= 10 / 0.02
    assert counted.traffic().speeds == ()


def test_faults_are_counted_by_kind_and_stops_are_not() -> None:
    counted = RequestMetrics()
    for error in (ServerBusy(), ServerBusy(), Stopped("paused")):
        with pytest.raises(type(error)):
            take(MeasuredBucket(OneBucket(error), counted))
    with pytest.raises(Interrupted), MeasuredBucket(OneBucket(), counted).open(OBJECT, 0, 9, Abort()):
        raise Interrupted
    found = counted.traffic()
    assert found.faults == {"ServerBusy": 2, "Interrupted": 1}
    assert found.answers == 1


def test_a_body_is_closed_after_any_error() -> None:
    inner = OneBucket()
    with pytest.raises(ZeroDivisionError), MeasuredBucket(inner, RequestMetrics()).open(OBJECT, 0, 9, Abort()):
        raise ZeroDivisionError
    assert inner.closed == 1


def test_request_metrics_are_bounded_and_correct_with_many_threads() -> None:
    counted = RequestMetrics()
    bucket = MeasuredBucket(OneBucket(), counted)
    threads = [threading.Thread(target=lambda: [take(bucket) for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted.traffic().answers == 1600
    assert len(counted.latencies()) == measured_bucket.KEPT


def test_process_resources_are_measured() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        before = measure(psutil.Process())
        with socket.create_connection(server.getsockname()) as client:
            after = measure(psutil.Process())
            assert client
    assert before.established is not None and after.established is not None
    assert after.established == before.established + 1  # the other end was not accepted and belongs to the kernel
    assert after.rss > 1_000_000 and after.threads >= 1
    assert after.open_files is not None and after.open_files > 0


class Silent:
    """A process about which the system reports nothing."""

    def __getattr__(self, name: str) -> object:
        def refuse(*_given: object) -> object:
            raise psutil.AccessDenied

        return refuse


def test_resources_that_the_system_does_not_report_are_none() -> None:
    found = measure(Silent())  # type: ignore[arg-type]
    assert (found.established, found.closing, found.open_files) == (None, None, None)


def test_a_sample_has_the_increase_since_the_previous_one() -> None:
    runs: list[Snapshot | None] = [None, RUN, replace(RUN, retries=7), replace(RUN, retries=1), None]
    kept = Metrics(lambda: runs.pop(0), RequestMetrics())
    taken = [kept.sample() for _ in range(5)]
    assert [sample.running for sample in taken] == [False, True, True, True, False]
    assert [sample.retries for sample in taken] == [0, 2, 5, 1, 0]  # 1: a new run, which started at 0
    assert (taken[1].speed, taken[1].in_flight, taken[1].allowed, taken[1].workers) == (5e6, 3, 4, 8)
    assert kept.history() == tuple(taken)


def test_a_sample_has_what_automatic_concurrency_found() -> None:
    kept = Metrics(lambda: replace(RUN, auto=True, workers=23, workers_reason="measuring"), RequestMetrics())
    taken = kept.sample()
    assert (taken.workers, taken.workers_reason) == (23, "measuring")


def test_the_ring_buffer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "measure", lambda _process: metrics.Process(1, 0, 1, 1, 1))
    kept = Metrics(lambda: RUN, RequestMetrics())
    tracemalloc.start()
    for _ in range(3 * metrics.KEPT):
        kept.sample()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(kept.history()) == metrics.KEPT
    assert size < 2_000_000


def test_the_thread_samples_until_it_is_stopped() -> None:
    kept = Metrics(lambda: RUN, every=0.01)
    kept.start()
    end = time.monotonic() + 10
    while len(kept.history()) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    kept.stop()
    assert len(kept.history()) >= 3
    assert not any(thread.name == "era5dl-metrics" and not thread.daemon for thread in threading.enumerate())


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0], 0.95) == 3.0
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 3.0
    assert quantile([float(n) for n in range(100)], 0.95) == 95.0


def test_importing_metrics_does_not_load_tkinter() -> None:
    assert "tkinter" not in (
        sys.modules[metrics.__name__].__dict__.keys() | sys.modules[measured_bucket.__name__].__dict__.keys()
    )
