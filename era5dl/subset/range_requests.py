"""Range requests for one object at the same time, for its HDF5 index. The engine fetches the chunks of a subset itself.

All requests are for the same version of the object (If-Match), and the response headers are validated before a byte is
used. Ranges are split into pieces, so that one large range is fetched over several connections, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from era5dl.bucket.cancellation import Abort, current_abort
from era5dl.bucket.interface import Body, Bucket, ObjectInfo
from era5dl.errors import BadResponse, Interrupted, Stopped
from era5dl.planner.concurrent_requests import run_concurrently
from era5dl.ranges import Range

Store = Callable[[int, bytes], None]
"""Stores bytes of the object: (offset, bytes)."""

_PIECE = 8 << 20  # bytes of a request
_MIN_SPEED = 1024.0  # bytes per second; a slower connection is ended
_SPEED_WINDOW = 30.0  # seconds before the speed of a request is checked


class RangeRequests:
    """Range requests for one version of an object. The first error ends them: retries are up to the caller.

    abort: ends all requests within a tenth of a second; they raise Stopped. on_received: called, from several threads,
    with the number of bytes of each read.
    """

    def __init__(
        self,
        bucket: Bucket,
        obj: ObjectInfo,
        parallel: int,
        *,
        abort: Abort | None = None,
        on_received: Callable[[int], None] | None = None,
    ) -> None:
        self.obj = obj
        self._bucket = bucket
        self._parallel = parallel
        self._abort = abort
        self._on_received = on_received or (lambda _: None)
        self._lock = threading.Lock()

    def fetch(self, ranges: Iterable[Range], store: Store) -> None:
        """Fetch these ranges. store: called with each piece, by one thread at a time. Raises BucketErrors, Stopped."""
        pieces = [(at, min(at + _PIECE, stop)) for start, stop in ranges for at in range(start, stop, _PIECE)]
        if min(self._parallel, len(pieces)) == 1:
            for start, stop in pieces:  # in this thread: `abort` acts at once
                self._fetch_piece(start, stop, store, self._abort or current_abort())
            return
        abort = self._abort
        run_concurrently(
            [partial(self._fetch_piece, start, stop, store) for start, stop in pieces],
            parallel=self._parallel,
            cancelled=None if abort is None else lambda: bool(abort.reason),
            retry=False,
        )

    def _fetch_piece(self, start: int, stop: int, store: Store, abort: Abort | None = None) -> None:
        data = self._read(start, stop, abort or current_abort() or Abort())
        with self._lock:  # one at a time: the stores are not thread-safe
            store(start, data)

    def _read(self, start: int, stop: int, abort: Abort) -> bytes:
        buffer = bytearray(stop - start)
        view = memoryview(buffer)
        with self._bucket.open(self.obj, start, stop, abort) as body:
            require_etag(body, self.obj)
            reader = _Reader(body, abort, self._on_received)
            # Some servers also send the bytes before the range
            before = memoryview(bytearray(min(start - body.start, _PIECE)))
            skip = start - body.start
            while skip:
                skip -= reader.read(before[:skip])
            while view:
                view = view[reader.read(view) :]
        return bytes(buffer)


def require_etag(body: Body, obj: ObjectInfo) -> None:
    """Raise BadResponse unless the response states which version it is: no MD5 covers a part of an object."""
    if not body.has_etag:
        raise BadResponse(
            f"{obj.key}: the response has no ETag, which shows the version of the object",
            remedy="Use a network without the proxy that removes it, or download whole files.",
        )


class _Reader:
    """Reads one body. Raises Stopped, and Interrupted if the body ends early or is almost stalled."""

    def __init__(self, body: Body, abort: Abort, on_received: Callable[[int], None]) -> None:
        self._body = body
        self._abort = abort
        self._on_received = on_received
        self._started = time.monotonic()
        self._received = 0

    def read(self, view: memoryview) -> int:
        """Read bytes into the beginning of `view`; return their number, at least one."""
        count = self._body.readinto(view)
        if self._abort.reason:  # the bytes may be those of a connection that was shut down
            raise Stopped(self._abort.reason)
        if not count:
            raise Interrupted("The response ended early.")
        self._received += count
        self._on_received(count)
        waited = time.monotonic() - self._started
        if waited > _SPEED_WINDOW and self._received < _MIN_SPEED * waited:
            raise Interrupted(f"stalled: {self._received} bytes in {waited:.0f} s", stalled=True)
        return count
