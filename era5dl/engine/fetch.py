"""One attempt at one piece: a GET request whose bytes are written to their offsets in the part file.

A byte is written only if the response headers were valid (checked by `Bucket.open`), if it is before the end of the
piece (which decreases when another worker takes over a part of it), and if it was received before the attempt was
aborted. All bytes received before an error are kept.
"""

from __future__ import annotations

import threading
import time

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Body
from era5dl.engine.dispatch import record_answer, record_whole_object_answer
from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Piece
from era5dl.errors import Interrupted, Stopped
from era5dl.subset.range_requests import require_etag

READ_SIZE = 1 << 21  # maximum of bytes per read; a read returns the bytes that have arrived
WRITE_SIZE = 1 << 21  # bytes gathered for a write, so that TLS records of 16 KiB do not become one write each
WRITE_EVERY = 0.05  # seconds after which the gathered bytes are written anyway, because a kill loses unwritten bytes
MANY_WORKERS = 16  # with more workers, buffers have a quarter of WRITE_SIZE to save memory
MIN_SPEED_WINDOW = 30.0  # seconds spent waiting for the network before the speed is checked
MIN_SPEED = 1024.0  # bytes per second; slower connections are ended
WAIT_SLICE = 0.05  # seconds between checks for an abort while waiting for the rate limit


def fetch(run: RunState, piece: Piece, abort: Abort) -> None:
    """Fetch the piece to its end. Raises the error that ended the attempt; `piece.position` is then the first missing
    byte.

    If the response contains the whole object, this connection fetches all missing bytes of the object.
    """
    with run.bucket.open(piece.transfer.obj, piece.position, piece.stop, abort) as body:
        if piece.transfer.subset is not None:
            require_etag(body, piece.transfer.obj)
        record_answer(run, piece)
        writer = PieceWriter(run, piece)
        attempt = _Attempt(body, piece, abort, writer)
        if not body.whole:
            if piece.transfer.ranges_ignored:
                writer.range_answered()
            attempt.receive()
            return
        if not record_whole_object_answer(run, piece):
            abort.trigger("another connection fetches the whole object")
            raise Stopped(abort.reason)
        position = body.start
        while writer.next_gap(position):
            attempt.skip(piece.position - position)
            attempt.receive()
            position = piece.position


class PieceWriter:
    """Writes the bytes of a piece to the part file and updates the counters of the run."""

    def __init__(self, run: RunState, piece: Piece) -> None:
        self._run, self._piece = run, piece

    def write(self, data: memoryview) -> None:
        """Write the next bytes of the piece. Bytes beyond its end are dropped: they belong to another piece."""
        count = self._advance(len(data))
        if not count:
            return
        piece, transfer = self._piece, self._piece.transfer
        start = piece.position - count
        assert transfer.part is not None
        try:
            transfer.part.write(start, data[:count])
        except BaseException:
            with self._run.lock:
                piece.position -= count
            raise
        if transfer.digest is not None:
            transfer.digest.update(start, data[:count])
        self._record_written(start, count)

    def _advance(self, count: int) -> int:
        """Move the position of the piece by `count` bytes, or to its end. Return the number of bytes moved."""
        self._run.session.claims.ensure_held(self._piece.transfer.index)
        with self._run.lock:
            kept = max(0, min(count, self._piece.remaining))
            self._piece.position += kept
            self._run.counters.fetched_bytes += count
            return kept

    def _record_written(self, start: int, count: int) -> None:
        piece, transfer, run = self._piece, self._piece.transfer, self._run
        with run.lock:
            transfer.done.add(start, start + count)
            run.count_bytes_locked(transfer)
            piece.written += count
            piece.denials = transfer.failures = transfer.denials = 0
            run.server.last_byte_at = time.monotonic()
            piece.add_sample(run.server.last_byte_at)
            run.session_state.dirty = True

    def record_skipped(self, count: int) -> None:
        """Count received bytes that are on disk already."""
        with self._run.lock:
            self._piece.progress_shift += count
            self._piece.add_sample(time.monotonic())
            self._run.counters.fetched_bytes += count

    def next_gap(self, position: int) -> bool:
        """Move the piece to the first missing range at or after `position`. Return False if there is none."""
        with self._run.lock:
            return self._run.scheduler.assign_next_gap(self._piece, position)

    def range_answered(self) -> None:
        """Record that the server sends the requested range, although it sent the whole object before."""
        with self._run.lock:
            self._run.scheduler.range_answered(self._piece)

    def write_size(self) -> int:
        """Return the number of bytes to gather for a write: fewer if they are also hashed, which is faster while they
        are in the processor's cache."""
        if self._run.workers > MANY_WORKERS:
            return WRITE_SIZE // 4
        return WRITE_SIZE if self._piece.transfer.digest is None else WRITE_SIZE // 2

    def read_size(self) -> int:
        """Return the maximum of bytes to read at once: few under a rate limit, because the limit
        cannot shorten a read, only delay the next one."""
        limit = self._run.rate_limit
        return READ_SIZE if limit.rate is None else limit.read_size(self._run.workers)

    def record_received(self, count: int) -> float:
        """Count received bytes for the rate limit. Return how many seconds to wait before the next read."""
        limit = self._run.rate_limit
        return limit.consume(count, time.monotonic()) if limit.rate else 0.0

    def wait(self, seconds: float, abort: Abort) -> None:
        """Wait for this time, or until an abort or a change of the rate limit."""
        until = time.monotonic() + seconds
        rate = self._run.rate_limit.rate
        while (remaining := until - time.monotonic()) > 0 and not abort.reason and self._run.rate_limit.rate == rate:
            time.sleep(min(remaining, WAIT_SLICE))


class _ThreadBuffer(threading.local):
    """One buffer per thread, of WRITE_SIZE, or a quarter of it while no more has been needed. New buffers of different
    sizes for each attempt would fragment the heap and cost tens of MB in a long run."""

    def __init__(self) -> None:
        self.data = memoryview(bytearray(WRITE_SIZE // 4))

    def take(self, size: int) -> memoryview:
        """Return the first `size` bytes of the buffer, at most WRITE_SIZE. Their content is undefined."""
        if size > len(self.data):
            self.data = memoryview(bytearray(WRITE_SIZE))
        return self.data[:size]


_buffer = _ThreadBuffer()


class _Attempt:
    """Reads one response body."""

    def __init__(self, body: Body, piece: Piece, abort: Abort, writer: PieceWriter) -> None:
        self._body, self._piece, self._abort, self._writer = body, piece, abort, writer
        self._speed_check = MinimumSpeed()
        self._last_wait = 0.0  # seconds that the last read took

    def skip(self, count: int) -> None:
        """Read and discard the next `count` bytes, which are on disk already."""
        while count:
            received = self._read(_buffer.take(min(count, self._writer.read_size(), self._writer.write_size())), count)
            self._writer.record_skipped(received)
            count -= received
            if delay := self._account(received):
                self._writer.wait(delay, self._abort)

    def receive(self) -> None:
        """Read to the end of the piece and write the received bytes."""
        piece, writer = self._piece, self._writer
        gathered = _buffer.take(max(min(piece.remaining, writer.write_size()), 1))
        count = 0  # bytes in `gathered`
        # The first bytes of a large piece are written at once, so that the progress display shows activity
        written_at = 0.0 if piece.remaining > len(gathered) else time.monotonic()
        try:
            while (missing := piece.remaining - count) > 0:
                # Never read beyond the end of the piece: if the response contains the whole object, these bytes would
                # be dropped uncounted, and all following ones would be written to wrong offsets
                received = self._read(gathered[count : count + min(writer.read_size(), missing)], missing)
                count += received
                delay, now = self._account(received), time.monotonic()
                if delay or count == len(gathered) or now - written_at >= WRITE_EVERY:
                    writer.write(gathered[:count])
                    count, written_at = 0, now
                if delay:
                    writer.wait(delay, self._abort)
        finally:
            writer.write(gathered[:count])

    def _read(self, buffer: memoryview, missing: int) -> int:
        """Read at least one byte; return the number of bytes. missing: bytes still to be received, for the message."""
        started = time.monotonic()
        received = self._body.readinto(buffer)
        self._last_wait = time.monotonic() - started
        if self._abort.reason:
            raise Stopped(self._abort.reason)
        if not received:
            raise Interrupted(f"{self._piece.transfer.obj.key}: the connection ended {missing} bytes too early")
        return received

    def _account(self, received: int) -> float:
        """Count the bytes and check the speed. Return the seconds to wait before the next read."""
        delay = self._writer.record_received(received)
        self._speed_check.add(received, self._last_wait)
        return delay


class MinimumSpeed:
    """Ends connections that have almost stalled. They could last for ever: each byte restarts the socket's timeout.

    Only time spent waiting for the network counts, and not time for the disk, the rate limit or a pause.
    """

    def __init__(self) -> None:
        self._total_wait = 0.0
        self._count = 0

    def add(self, count: int, waited: float) -> None:
        """Record that `count` bytes were received after `waited` seconds. Raises Interrupted if the speed is too low.

        The error has `stalled` set, so that it counts as an attempt without a new byte. Otherwise the retry budget
        would never be used up.
        """
        self._total_wait += waited
        self._count += count
        if self._total_wait >= MIN_SPEED_WINDOW:
            if self._count < MIN_SPEED * self._total_wait:
                raise Interrupted(f"stalled: {self._count} bytes in {self._total_wait:.0f} s", stalled=True)
            self._total_wait, self._count = 0.0, 0
