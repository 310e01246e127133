"""Bytes on their way into a part file, as the run counts them: what `fetch` asks before and after each write."""

from __future__ import annotations

import time

from era5dl.bucket.cancellation import Abort
from era5dl.engine.fetch import WRITE_SIZE
from era5dl.engine.run import Run
from era5dl.engine.transfer import Piece

READ_SIZE = 1 << 20  # bytes, at most; what is there is taken at once, however little
FEW_WORKERS = 16  # beyond that their buffers are what memory goes into, and writes may be shorter
_NAP = 0.05  # seconds after which a waiting worker looks whether it is still to wait


class Intake:
    """`fetch.Keeper` for a run."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def claim(self, piece: Piece, count: int) -> int:
        self._run.session.claims.ensure_held(piece.transfer.index)
        with self._run.lock:
            kept = max(0, min(count, piece.remaining))
            piece.position += kept
            self._run.counters.fetched_bytes += count
            return kept

    def unclaim(self, piece: Piece, count: int) -> None:
        with self._run.lock:
            piece.position -= count

    def written(self, piece: Piece, start: int, count: int) -> None:
        with self._run.lock:
            piece.transfer.done.add(start, start + count)
            self._run.count_bytes_locked(piece.transfer)
            piece.written += count
            piece.denials = piece.transfer.failed_attempts = piece.transfer.denials = 0
            self._run.last_byte_at = time.monotonic()
            piece.add_sample(self._run.last_byte_at)
            self._run.dirty = True

    def is_sole(self, piece: Piece) -> bool:
        with self._run.locked():
            return self._run.make_exclusive_locked(piece)

    def next_gap(self, piece: Piece, at: int) -> bool:
        with self._run.lock:
            return self._run.scheduler.assign_next_gap(piece, at)

    def part_came(self, piece: Piece) -> None:
        with self._run.lock:
            self._run.scheduler.range_answered(piece)

    def skipped(self, piece: Piece, count: int) -> None:
        with self._run.lock:
            piece.progress_shift += count
            piece.add_sample(time.monotonic())
            self._run.counters.fetched_bytes += count

    def portion(self) -> int:
        return WRITE_SIZE if self._run.workers <= FEW_WORKERS else WRITE_SIZE // 2

    def appetite(self) -> int:
        rate = self._run.rate_limit
        return READ_SIZE if rate.rate is None else rate.read_size(self._run.workers)

    def received(self, count: int) -> float:
        rate = self._run.rate_limit
        return rate.consume(count, time.monotonic()) if rate.rate else 0.0

    def linger(self, seconds: float, abort: Abort) -> None:
        until = time.monotonic() + seconds
        rate = self._run.rate_limit.rate
        while (left := until - time.monotonic()) > 0 and not abort.why and self._run.rate_limit.rate == rate:
            time.sleep(min(left, _NAP))
