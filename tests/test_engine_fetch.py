"""Tests of one attempt at one piece: which bytes are written to the part file, at which offsets, and which are not.

The bucket is a fake whose response body delivers its bytes in steps that the test controls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.engine import fetch as fetch_module
from era5dl.engine.events import ignore
from era5dl.engine.fetch import MANY_WORKERS, WRITE_SIZE, fetch
from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Piece, Transfer
from era5dl.errors import Interrupted, Stopped
from era5dl.folder.part_file import PartFile
from era5dl.planner import Plan
from era5dl.proof.object_digest import ObjectDigest
from era5dl.ranges import Range, RangeSet
from era5dl.session import Session
from era5dl.settings import Settings

DATA = bytes(range(256)) * 40_000
OBJECT = ObjectInfo("key", len(DATA), '"opaque"')
ON_DISK = [(0, 1000)]


class FakeBucket:
    """A bucket that delivers at most `step` bytes at once, and calls `before_read` with the offset before each read.

    end: offset at which the connection ends. whole: the response contains the whole object, whatever is requested.
    """

    def __init__(
        self,
        step: int,
        before_read: Callable[[int], None] = lambda _: None,
        *,
        end: int = len(DATA),
        whole: bool = False,
    ) -> None:
        self._step, self._before_read, self._end = step, before_read, end
        self.start, self.whole = 0, whole

    @contextmanager
    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> Iterator[Any]:
        self._position, self._stop = (0, len(DATA)) if self.whole else (start, min(stop, self._end))
        yield self

    def readinto(self, view: memoryview) -> int:
        self._before_read(self._position)
        data = DATA[self._position : min(self._position + min(self._step, len(view)), self._stop)]
        self._position += len(data)
        view[: len(data)] = data
        return len(data)


class RecordedPartFile(PartFile):
    """A part file that records the byte ranges written to it."""

    written: list[Range]

    def write(self, offset: int, data: memoryview) -> None:
        self.written.append((offset, offset + len(data)))
        super().write(offset, data)


class Attempt:
    """A run whose only object is partly on disk, and the piece with the first missing bytes."""

    def __init__(self, run: RunState, part: RecordedPartFile, on_disk: list[Range]) -> None:
        self.run, self.part = run, part
        self.transfer = Transfer(0, OBJECT, [(0, len(DATA))], RangeSet(on_disk), part=part)
        run.scheduler.next_job(0.0, 1, None, lambda _: self.transfer)
        run.scheduler.prepared(self.transfer)
        piece = run.scheduler.next_job(0.0, 1, self.transfer, lambda _: self.transfer)
        assert isinstance(piece, Piece)
        self.piece = piece

    def fetch(self, bucket: FakeBucket, abort: Abort | None = None) -> None:
        self.run.bucket = bucket  # type: ignore[assignment]
        fetch(self.run, self.piece, abort or Abort())

    def content(self, start: int, stop: int) -> bytes:
        return self.part.path.read_bytes()[start:stop]


@pytest.fixture
def make_attempt(tmp_path: Path) -> Iterator[Callable[..., Attempt]]:
    with ExitStack() as stack:

        def make(on_disk: list[Range] = ON_DISK, *, workers: int = 1) -> Attempt:
            settings = Settings(workers=workers, disk_reserve=0)
            session = stack.enter_context(Session.begin(tmp_path, Plan({}, (OBJECT,)), settings))
            assert session.claims.claim(0) == ""
            part = RecordedPartFile(tmp_path / "a.part", len(DATA))
            part.written = []
            part.acquire()
            stack.callback(part.release)
            run = RunState(FakeBucket(1), session, settings, ignore, None)  # type: ignore[arg-type]
            return Attempt(run, part, on_disk)

        yield make


@pytest.fixture
def attempt(make_attempt: Callable[..., Attempt]) -> Attempt:
    return make_attempt()


def test_bytes_are_written_at_their_offsets(attempt: Attempt) -> None:
    attempt.fetch(FakeBucket(70_000))
    assert attempt.content(1000, len(DATA)) == DATA[1000:]
    assert attempt.content(0, 1000) == bytes(1000)
    assert attempt.transfer.complete


def test_small_reads_are_gathered_into_large_writes(attempt: Attempt) -> None:
    attempt.fetch(FakeBucket(16_384))
    assert len(attempt.part.written) < 4 + len(DATA) / WRITE_SIZE * 2


def test_writes_are_smaller_if_the_bytes_are_hashed(attempt: Attempt) -> None:
    attempt.transfer.digest = ObjectDigest(attempt.transfer.obj.size)
    attempt.fetch(FakeBucket(16_384))
    assert WRITE_SIZE // 4 < max(stop - start for start, stop in attempt.part.written) <= WRITE_SIZE // 2


def test_writes_are_smaller_with_many_workers(make_attempt: Callable[..., Attempt]) -> None:
    attempt = make_attempt(workers=MANY_WORKERS + 1)
    attempt.fetch(FakeBucket(16_384))
    assert WRITE_SIZE // 8 < max(stop - start for start, stop in attempt.part.written) <= WRITE_SIZE // 4
    assert attempt.content(1000, attempt.piece.stop) == DATA[1000 : attempt.piece.stop]


@pytest.mark.parametrize(("workers", "size"), [(1, WRITE_SIZE), (MANY_WORKERS + 1, WRITE_SIZE // 4)])
def test_buffers_are_smaller_with_many_workers(
    make_attempt: Callable[..., Attempt], monkeypatch: pytest.MonkeyPatch, workers: int, size: int
) -> None:
    monkeypatch.setattr(fetch_module, "_buffer", fetch_module._ThreadBuffer())  # a new one, as in a new thread
    attempt = make_attempt(workers=workers)
    attempt.fetch(FakeBucket(16_384, whole=True))
    assert len(fetch_module._buffer.data) == size


def test_nothing_received_after_an_abort_is_written(attempt: Attempt) -> None:
    abort = Abort()

    def before_read(offset: int) -> None:
        if offset > 500_000:
            abort.trigger("stop")

    with pytest.raises(Stopped):
        attempt.fetch(FakeBucket(100_000, before_read), abort)
    position = attempt.piece.position
    assert 500_000 < position <= 601_000
    assert attempt.content(1000, position) == DATA[1000:position], "what was received before is kept"
    assert not any(attempt.content(position, len(DATA)))


def test_nothing_is_written_beyond_an_end_that_moves_closer(attempt: Attempt) -> None:
    piece = attempt.piece

    def before_read(offset: int) -> None:
        if offset > 2_000_000:
            piece.stop = 1_500_000 if piece.position < 1_500_000 else piece.position + 10

    attempt.fetch(FakeBucket(90_000, before_read))
    assert piece.position == piece.stop
    assert not any(attempt.content(piece.stop, len(DATA)))


def test_bytes_before_a_premature_end_are_kept(attempt: Attempt) -> None:
    with pytest.raises(Interrupted, match="too early"):
        attempt.fetch(FakeBucket(64_000, end=3_333_333))
    assert attempt.piece.position == 3_333_333
    assert attempt.content(1000, 3_333_333) == DATA[1000:3_333_333]


def test_bytes_that_could_not_be_written_are_still_missing(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    write = RecordedPartFile.write

    def failing(part: RecordedPartFile, offset: int, data: memoryview) -> None:
        if offset > 2_000_000:
            raise OSError("no space")
        write(part, offset, data)

    monkeypatch.setattr(RecordedPartFile, "write", failing)
    with pytest.raises(OSError, match="no space"):
        attempt.fetch(FakeBucket(64_000))
    assert attempt.piece.position == attempt.part.written[-1][1]
    assert list(attempt.transfer.done) == [(0, attempt.piece.position)]


@pytest.mark.parametrize("step", [1 << 14, 300_007, 1 << 21])
def test_missing_bytes_of_a_whole_object_response_are_written_at_their_offsets(
    make_attempt: Callable[..., Attempt], step: int
) -> None:
    missing = [(1000, 1_500_000), (1_500_001, 3_000_000), (4_000_000, 6_000_007), (9_000_000, len(DATA))]
    attempt = make_attempt(RangeSet(missing).missing(0, len(DATA)))
    attempt.fetch(FakeBucket(step, whole=True))
    for start, stop in missing:
        assert attempt.content(start, stop) == DATA[start:stop]
    assert not any(attempt.content(3_000_000, 4_000_000)), "what is on disk is not written again"
    assert attempt.transfer.complete
