"""Tests of one attempt at one piece, with bytes supplied by the test: what is written and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.fetch import WRITE_SIZE, fetch
from era5dl.engine.transfer import Piece, Transfer
from era5dl.errors import Interrupted, Stopped
from era5dl.folder.part_file import PartFile
from era5dl.ranges import Range

DATA = bytes(range(256)) * 40_000


class Line:
    """A bucket whose bytes come in the portions that the test says; `between` runs before each of them."""

    def __init__(self, portion: int, between: Callable[[int], None] = lambda _: None, end: int = len(DATA)) -> None:
        self._portion, self._between, self._end = portion, between, end

    @contextmanager
    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> Iterator[Any]:
        self._at, self._stop = start, min(stop, self._end)
        yield self

    start, whole = 0, False

    def readinto(self, view: memoryview) -> int:
        self._between(self._at)
        data = DATA[self._at : min(self._at + min(self._portion, len(view)), self._stop)]
        self._at += len(data)
        view[: len(data)] = data
        return len(data)


class Books:
    """What a run does for `fetch`, for one piece and without a lock."""

    def __init__(self, portion: int = WRITE_SIZE) -> None:
        self.log: list[tuple[int, int]] = []
        self._portion = portion

    def claim(self, piece: Piece, count: int) -> int:
        kept = max(0, min(count, piece.remaining))
        piece.position += kept
        return kept

    def unclaim(self, piece: Piece, count: int) -> None:
        piece.position -= count

    def written(self, piece: Piece, start: int, count: int) -> None:
        self.log.append((start, start + count))

    def portion(self) -> int:
        return self._portion

    def appetite(self) -> int:
        return 1 << 20

    def received(self, count: int) -> float:
        return 0.0

    def linger(self, seconds: float, abort: Abort) -> None:
        raise AssertionError("there is no rate limit here")


@pytest.fixture
def piece(tmp_path: Path) -> Iterator[Piece]:
    """The bytes [1000, end) of an object."""
    transfer = Transfer(0, ObjectInfo("key", len(DATA), ""))
    transfer.part = PartFile(tmp_path / "a.part", len(DATA))
    transfer.part.acquire()
    yield Piece(transfer, 1000, len(DATA))
    transfer.part.release()


def _written(piece: Piece, start: int, stop: int) -> bytes:
    assert piece.transfer.part is not None
    return piece.transfer.part.path.read_bytes()[start:stop]


def test_bytes_land_at_their_offsets(piece: Piece) -> None:
    fetch(Line(70_000), piece, Abort(), Books(), lambda: None)  # type: ignore[arg-type]
    assert _written(piece, 1000, len(DATA)) == DATA[1000:]
    assert _written(piece, 0, 1000) == bytes(1000)


def test_small_portions_are_gathered(piece: Piece) -> None:
    books = Books()
    fetch(Line(16_384), piece, Abort(), books, lambda: None)  # type: ignore[arg-type]
    assert len(books.log) < 4 + len(DATA) / WRITE_SIZE * 2


def test_with_many_workers_less_is_gathered(piece: Piece) -> None:
    books = Books(100_000)
    fetch(Line(16_384), piece, Abort(), books, lambda: None)  # type: ignore[arg-type]
    assert 50_000 < max(stop - start for start, stop in books.log) <= 100_000
    assert _written(piece, 1000, len(DATA)) == DATA[1000:]


def test_nothing_is_written_that_came_after_an_abort(piece: Piece) -> None:
    abort = Abort()

    def between(at: int) -> None:
        if at > 500_000:
            abort.trip("stop")

    with pytest.raises(Stopped):
        fetch(Line(100_000, between), piece, abort, Books(), lambda: None)  # type: ignore[arg-type]
    assert 500_000 < piece.position <= 601_000
    assert _written(piece, 1000, piece.position) == DATA[1000 : piece.position], "what had come before is kept"
    assert not any(_written(piece, piece.position, len(DATA)))


def test_nothing_is_written_beyond_an_end_that_has_come_nearer(piece: Piece) -> None:
    def between(at: int) -> None:
        if at > 2_000_000:
            piece.stop = 1_500_000 if piece.position < 1_500_000 else piece.position + 10

    fetch(Line(90_000, between), piece, Abort(), Books(), lambda: None)  # type: ignore[arg-type]
    assert piece.position == piece.stop
    assert not any(_written(piece, piece.stop, len(DATA)))


def test_an_end_that_comes_too_early_keeps_what_came(piece: Piece) -> None:
    with pytest.raises(Interrupted, match="too early"):
        fetch(Line(64_000, end=3_333_333), piece, Abort(), Books(), lambda: None)  # type: ignore[arg-type]
    assert piece.position == 3_333_333
    assert _written(piece, 1000, piece.position) == DATA[1000 : piece.position]


class WholeLine(Line):
    """The same where something in between ignores ranges: whatever is asked for, all of the object comes."""

    whole = True

    @contextmanager
    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> Iterator[Any]:
        with super().open(obj, 0, len(DATA), abort):
            yield self


class Gaps(Books):
    """For a piece that is to bring all that is missing."""

    def __init__(self, gaps: list[Range]) -> None:
        super().__init__()
        self._gaps = gaps[:]

    def is_sole(self, piece: Piece) -> bool:
        return True

    def next_gap(self, piece: Piece, at: int) -> bool:
        if not self._gaps:
            return False
        piece.position, piece.stop = self._gaps.pop(0)
        return True

    def skipped(self, piece: Piece, count: int) -> None:
        pass


@pytest.mark.parametrize("portion", [1 << 14, 300_007, 1 << 21])
def test_of_a_whole_object_each_missing_byte_lands_at_its_offset(piece: Piece, portion: int) -> None:
    gaps = [(1000, 1_500_000), (1_500_001, 3_000_000), (4_000_000, 6_000_007), (9_000_000, len(DATA))]
    fetch(WholeLine(portion), piece, Abort(), Gaps(gaps), lambda: None)  # type: ignore[arg-type]
    for start, stop in gaps:
        assert _written(piece, start, stop) == DATA[start:stop]
    assert not any(_written(piece, 3_000_000, 4_000_000)), "what is there already is not written again"
