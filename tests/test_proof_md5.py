"""MD5s of many streams at once: always what hashlib says of each, and together only where that pays."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.proof import md5_batching
from era5dl.proof.md5 import FEW, LARGE, LanedMd5, md5
from era5dl.proof.md5_batching import MANY, Together
from era5dl.proof.md5_simd import BLOCK, LANES, LIBRARY, Stream, agrees, compiled, padding
from tests.faultlab import pseudo_random

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
SOURCE = LIBRARY.with_name("md5_simd.c")
found = compiled()
needs_lanes = pytest.mark.skipif(found is None, reason="md5_simd.c was not compiled")


def advance(streams: Sequence[Stream]) -> None:
    """What was compiled."""
    assert found is not None
    found(streams)


def built(folder: Path, source: Path, *options: str) -> Path:
    """What is compiled of this source."""
    library = folder / "lanes.so"
    words = [str(COMPILER), "-O3", "-shared", "-fPIC", *options, "-o", str(library), str(source)]
    subprocess.run(words, check=True)
    return library


def hashed(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


# -- what is computed ------------------------------------------------------------------------------------------------


@needs_lanes
@given(st.integers(0, 3 * BLOCK), st.lists(st.integers(0, 3 * BLOCK)), st.booleans())
def test_however_the_bytes_come_it_is_their_md5(size: int, cuts: list[int], readonly: bool) -> None:
    data = pseudo_random(size, size)
    one = LanedMd5(Together(advance, 1))
    edges = [0, *sorted(min(cut, size) for cut in cuts), size]
    view = memoryview(data if readonly else bytearray(data))
    for start, stop in pairwise(edges):
        assert one.hexdigest() == hashed(data[:start])  # and asking changes nothing
        one.update(view[start:stop])
    assert one.hexdigest() == hashed(data)


@needs_lanes
@pytest.mark.parametrize("count", [1, 2, LANES - 1, LANES, LANES + 1, 3 * LANES])
def test_streams_of_any_number_and_length_side_by_side(count: int) -> None:
    dice = random.Random(count)
    texts = [pseudo_random(number, BLOCK * dice.choice([0, 1, 2, 7, 40])) for number in range(count)]
    streams = [Stream() for _ in texts]
    kept = [stream.take(text) for stream, text in zip(streams, texts, strict=True)]
    advance(streams)
    ends = [stream.take(padding(len(text))) for stream, text in zip(streams, texts, strict=True)]
    advance(streams)
    del kept, ends
    assert [stream.hexdigest() for stream in streams] == [hashed(text) for text in texts]


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
@pytest.mark.parametrize("kind", ["0", 'sizeof(it) == sizeof("avx2")'], ids=["any", "avx2"])
def test_processors_that_can_do_less_than_ours(tmp_path: Path, kind: str) -> None:
    supports = f"-D__builtin_cpu_supports(it)=({kind} && __builtin_cpu_supports(it))"
    assert compiled(built(tmp_path, SOURCE, supports)) is not None


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
def test_what_computes_something_else_is_not_believed(tmp_path: Path) -> None:
    source = tmp_path / "md5_simd.c"
    source.write_text(SOURCE.read_text().replace("0xeb86d391", "0xeb86d392"))  # the last constant of the last round
    assert compiled(built(tmp_path, source)) is None


def test_small_ones_are_left_to_hashlib() -> None:
    assert not isinstance(md5(LARGE - 1), LanedMd5)
    assert isinstance(md5(LARGE), LanedMd5) == (found is not None)


@needs_lanes
def test_what_is_wrong_with_many_streams_is_not_believed() -> None:
    def lying(streams: Sequence[Stream]) -> None:
        advance(streams)
        streams[-1].state[3] ^= len(streams) > LANES

    assert agrees(advance)
    assert not agrees(lying)


def test_what_is_no_library_is_none(tmp_path: Path) -> None:
    assert compiled(tmp_path / "nowhere.so") is None
    other = tmp_path / LIBRARY.name
    other.write_text("no library")
    assert compiled(other) is None


# -- who hashes ------------------------------------------------------------------------------------------------------


class Desk:
    """Where threads want streams hashed. None is: it notes how many come together, and holds them up if closed."""

    def __init__(self, cores: int, threads: int) -> None:
        self.batches: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self._came: list[Future[None]] = []
        self.broken_at = 0  # the batch that fails, from 1
        self.together = Together(self._advance, cores)
        self.pool = ThreadPoolExecutor(threads)
        barrier = threading.Barrier(threads)
        for future in [self.pool.submit(self._show, barrier) for _ in range(threads)]:
            future.result(10)
        self.batches.clear()

    def come(self, count: int) -> list[Future[None]]:
        """So many threads more; returns when each of them hashes or waits."""
        futures = [self.pool.submit(self.together.hash, Stream()) for _ in range(count)]
        self._came += futures
        until(lambda: self.there() + sum(future.done() for future in self._came) >= len(self._came))
        return futures

    def there(self) -> int:
        return len(self.together._waiting) + self.together._leaders

    def _show(self, barrier: threading.Barrier) -> None:
        barrier.wait(10)
        self.together.hash(Stream())

    def _advance(self, streams: Sequence[Stream]) -> None:
        self.batches.append(len(streams))
        assert self.open.wait(10)
        if len(self.batches) == self.broken_at:
            raise MemoryError


def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.001)


def results(futures: list[Future[None]]) -> None:
    for future in futures:
        future.result(10)


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never a rush, and nobody loses patience, however slow this machine is."""
    monkeypatch.setattr(md5_batching, "RUSH", 0.0)
    monkeypatch.setattr(md5_batching, "PATIENCE", 30.0)


@pytest.fixture
def rush(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is always a rush."""
    monkeypatch.setattr(md5_batching, "RUSH", 30.0)


@pytest.mark.usefixtures("slowly")
@pytest.mark.parametrize(("cores", "alone"), [(1, 1), (2, 1), (4, 2)])
def test_who_comes_while_others_hash_is_hashed_with_all_who_wait(cores: int, alone: int) -> None:
    desk = Desk(cores, threads=2 * LANES)
    desk.open.clear()
    first = desk.come(alone)
    until(lambda: desk.batches == [1] * alone)  # half of the cores hash
    others = desk.come(LANES + 2)
    assert desk.batches == [1] * alone
    desk.open.set()
    results(first + others)
    assert desk.batches[alone] == LANES
    assert sum(desk.batches) == alone + LANES + 2
    assert desk.there() == 0


@pytest.mark.usefixtures("slowly")
def test_few_threads_wait_for_nobody() -> None:
    desk = Desk(cores=MANY, threads=MANY - 1)
    desk.open.clear()
    futures = desk.come(MANY - 1)
    until(lambda: desk.batches == [1] * (MANY - 1))
    desk.open.set()
    results(futures)


@pytest.mark.usefixtures("rush")
def test_in_a_rush_one_waits_until_enough_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(cores=2, threads=LANES)
    monkeypatch.setattr(md5_batching, "PATIENCE", 30.0)
    enough = int(LANES * md5_batching.FILL)
    futures = desk.come(enough - 1)
    assert desk.batches == []
    results(futures + desk.come(1))
    assert desk.batches == [enough]


@pytest.mark.usefixtures("rush")
def test_but_not_for_ever() -> None:
    desk = Desk(cores=2, threads=LANES)
    results(desk.come(2))
    assert sum(desk.batches) == 2


@pytest.mark.usefixtures("slowly")
def test_where_hashing_for_others_fails_they_hash_themselves() -> None:
    desk = Desk(cores=2, threads=LANES)
    desk.open.clear()
    first, others = desk.come(1), desk.come(4)
    until(lambda: desk.batches == [1])
    desk.broken_at = 2
    desk.open.set()
    results(first)
    failed = [future.exception(10) for future in others]
    assert [type(error) for error in failed if error] == [MemoryError]
    assert desk.batches == [1, 4, 1, 1, 1]
    assert desk.there() == 0


@needs_lanes
def test_many_threads_each_get_the_md5_of_their_own() -> None:
    shared = Together(advance, cores=2)

    def work(number: int) -> bool:
        data = memoryview(bytearray(pseudo_random(number, 40_000 + 977 * number)))
        one = LanedMd5(shared)
        for at in range(0, len(data), BLOCK * FEW + number):
            one.update(data[at : at + BLOCK * FEW + number])
        return one.hexdigest() == hashed(bytes(data))

    with ThreadPoolExecutor(2 * LANES) as pool:
        assert all(pool.map(work, range(6 * LANES)))
