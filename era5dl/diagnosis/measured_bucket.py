"""The bucket with a meter on it: first-byte latency, what faults come, whether the network is waited for or we are.

A wrapper rather than a part of the engine: whoever wants the figures puts it between the bucket and the engine, and the
engine neither knows nor pays.  What it remembers is bounded: numbers only, no key, no exception.
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

KEPT = 512  # latencies, the newest
LONG_ENOUGH = 3.0  # seconds waited for bytes before the speed of a connection says something


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went through the meter since it was made. Seconds, and bytes per second.

    faults: by the name of their class in `era5dl.errors`. waited: for bytes of the network, all requests together.
    busy: between reads: writing to disk, digests, rate limit. speeds: of the connections that bring bytes now.
    whole: answers that were a whole object where a part was asked for.
    """

    answers: int
    faults: dict[str, int]
    waited: float
    busy: float
    speeds: tuple[float, ...]
    whole: int = 0


class Meter:
    """The figures of all requests of a bucket. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=KEPT)
        self._fresh = 0  # latencies nobody has asked for yet
        self._answers = self._whole = 0
        self._faults: Counter[str] = Counter()
        self._waited = 0.0
        self._busy = 0.0
        self._open: set[_Metered] = set()

    def latencies(self) -> list[float]:
        """Seconds to the first byte of the requests answered since this was last asked, the newest KEPT at most."""
        with self._lock:
            fresh = min(self._fresh, len(self._latencies))
            self._fresh = 0
            return list(self._latencies)[len(self._latencies) - fresh :]

    def traffic(self) -> Traffic:
        """The figures of this moment."""
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

    def answered(self, body: _Metered, seconds: float) -> None:
        with self._lock:
            self._answers += 1
            self._whole += body.whole
            self._fresh += 1
            self._latencies.append(seconds)
            self._open.add(body)

    def failed(self, error: BaseException) -> None:
        if isinstance(error, BucketError):  # a stop or a pause is no fault
            with self._lock:
                self._faults[type(error).__name__] += 1

    def ended(self, body: _Metered) -> None:
        with self._lock:
            self._open.discard(body)
            self._waited += body.waited
            self._busy += body.busy


class MeteredBucket:
    """`store.Bucket` around another one."""

    def __init__(self, bucket: Bucket, meter: Meter) -> None:
        self._bucket = bucket
        self._meter = meter

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._bucket.list(prefix)

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        return self._bucket.head(key, abort)

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> Parts | None:
        return self._bucket.parts(obj, abort)

    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> AbstractContextManager[Body]:
        return _Metered(self._bucket.open(obj, start, stop, abort), self._meter)

    def drop_idle_connections(self) -> None:
        self._bucket.drop_idle_connections()


class _Metered:
    """One request. Its numbers are written by the one thread that reads, so reading costs no lock."""

    def __init__(self, inner: AbstractContextManager[Body], meter: Meter) -> None:
        self._inner = inner
        self._meter = meter
        self._ready_at = 0.0  # when the last bytes were handed out
        self.whole = False
        self.count = 0
        self.waited = 0.0
        self.busy = 0.0

    def __enter__(self) -> _Metered:
        began = time.monotonic()
        try:
            self._body = self._inner.__enter__()
        except BaseException as error:
            self._meter.failed(error)
            raise
        self.start, self.whole = self._body.start, self._body.whole
        self._ready_at = time.monotonic()
        self._meter.answered(self, self._ready_at - began)
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
            self._meter.failed(error)
        self._meter.ended(self)
        self._inner.__exit__(kind, error, trace)
