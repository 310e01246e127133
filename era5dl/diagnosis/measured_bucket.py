"""A bucket wrapper that measures requests: first-byte latency, faults, and time spent waiting for the network.

Callers that need these metrics pass a `MeasuredBucket` to the engine; for others there is no extra cost. Memory use is
bounded: only numbers are stored, no keys and no exceptions.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Body, Bucket, ObjectInfo, Parts
from era5dl.errors import BucketError

KEPT = 512  # number of latencies that are stored, the newest ones
LONG_ENOUGH = 3.0  # seconds of waiting for bytes before the speed of a connection is reported


@dataclass(frozen=True, slots=True)
class Traffic:
    """Totals over all requests so far. Times in seconds, speeds in bytes per second.

    answers: successful responses. faults: failed requests by class name in `era5dl.errors`. waited: time spent waiting
    for bytes from the network, summed over all requests. busy: time between reads, for writing to disk, hashing and the
    rate limit. speeds: current speed of each connection. whole: responses with a whole object although a range was
    requested.
    """

    answers: int
    faults: dict[str, int]
    waited: float
    busy: float
    speeds: tuple[float, ...]
    whole: int = 0


class RequestMetrics:
    """Metrics of all requests of one or more `MeasuredBucket`s. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=KEPT)
        self._fresh = 0  # number of latencies not yet returned by latencies()
        self._answers = self._whole = 0
        self._faults: Counter[str] = Counter()
        self._waited = 0.0
        self._busy = 0.0
        self._open: set[_MeasuredBody] = set()

    def latencies(self) -> list[float]:
        """Return the first-byte latencies (seconds) recorded since the previous call, at most the newest `KEPT`."""
        with self._lock:
            fresh = min(self._fresh, len(self._latencies))
            self._fresh = 0
            return list(self._latencies)[len(self._latencies) - fresh :]

    def traffic(self) -> Traffic:
        """Return the current totals."""
        with self._lock:
            bodies = list(self._open)
            return Traffic(
                self._answers,
                dict(self._faults),
                self._waited + sum(body.waited for body in bodies),
                self._busy + sum(body.busy for body in bodies),
                tuple(body.count / body.waited for body in bodies if body.waited >= LONG_ENOUGH),
                self._whole,
            )

    def record_answer(self, body: _MeasuredBody, seconds: float) -> None:
        """Record a response. seconds: time from the request to the response headers."""
        with self._lock:
            self._answers += 1
            self._whole += body.whole
            self._fresh += 1
            self._latencies.append(seconds)
            self._open.add(body)

    def record_failure(self, error: BaseException) -> None:
        """Record that a request failed, or reading its body."""
        if isinstance(error, BucketError):  # not an abort
            with self._lock:
                self._faults[type(error).__name__] += 1

    def record_end(self, body: _MeasuredBody) -> None:
        """Record that a body was closed."""
        with self._lock:
            self._open.discard(body)
            self._waited += body.waited
            self._busy += body.busy


class MeasuredBucket:
    """`interface.Bucket` that forwards to another bucket and measures its GET requests."""

    def __init__(self, bucket: Bucket, request_metrics: RequestMetrics) -> None:
        self._bucket = bucket
        self._request_metrics = request_metrics

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._bucket.list(prefix)

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        return self._bucket.head(key, abort)

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> Parts | None:
        return self._bucket.parts(obj, abort)

    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> AbstractContextManager[Body]:
        return _MeasuredBody(self._bucket.open(obj, start, stop, abort), self._request_metrics)

    def drop_idle_connections(self) -> None:
        self._bucket.drop_idle_connections()


class _MeasuredBody:
    """The body of one GET request. Only the reading thread updates its numbers, so a read needs no lock."""

    def __init__(self, inner: AbstractContextManager[Body], request_metrics: RequestMetrics) -> None:
        self._inner = inner
        self._request_metrics = request_metrics
        self._ready_at = 0.0  # when the last read returned, monotonic
        self.whole = False
        self.count = 0
        self.waited = 0.0
        self.busy = 0.0

    def __enter__(self) -> _MeasuredBody:
        began = time.monotonic()
        try:
            self._body = self._inner.__enter__()
        except BaseException as error:
            self._request_metrics.record_failure(error)
            raise
        self.start, self.whole, self.has_etag = self._body.start, self._body.whole, self._body.has_etag
        self._ready_at = time.monotonic()
        self._request_metrics.record_answer(self, self._ready_at - began)
        return self

    def readinto(self, view: memoryview) -> int:
        asked_at = time.monotonic()
        self.busy += asked_at - self._ready_at
        try:
            count = self._body.readinto(view)
        finally:
            self._ready_at = time.monotonic()
            self.waited += self._ready_at - asked_at
        self.count += count
        return count

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._request_metrics.record_failure(error)
        self._request_metrics.record_end(self)
        self._inner.__exit__(kind, error, trace)
