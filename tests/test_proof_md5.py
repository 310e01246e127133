"""MD5 of many streams at once: always equal to hashlib, and batched only where that pays."""

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

from era5dl.proof import md5 as md5_module
from era5dl.proof.md5 import FEW, LARGE, MANY, Md5Batcher, SimdMd5, md5
from era5dl.proof.md5_simd import BLOCK, LANES, LIBRARY, Stream, agrees_with_hashlib, load_library, padding
from tests.faultlab import pseudo_random

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
SOURCE = LIBRARY.with_name("md5_simd.c")
library = load_library()
needs_simd = pytest.mark.skipif(library is None, reason="md5_simd.c was not compiled")


def advance(streams: Sequence[Stream]) -> None:
    """The compiled md5_simd.c."""
    assert library is not None
    library(streams)


def built(folder: Path, source: Path, *options: str) -> Path:
    """Compile this source."""
    library = folder / "md5.so"
    words = [str(COMPILER), "-O3", "-shared", "-fPIC", *options, "-o", str(library), str(source)]
    subprocess.run(words, check=True)
    return library


def hashed(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


# -- correctness ------------------------------------------------------------------------------------------------


@needs_simd
@given(st.integers(0, 3 * BLOCK), st.lists(st.integers(0, 3 * BLOCK)), st.booleans())
def test_simd_md5_equals_hashlib_however_the_input_is_cut(size: int, cuts: list[int], readonly: bool) -> None:
    data = pseudo_random(size, size)
    one = SimdMd5(Md5Batcher(advance, 1))
    edges = [0, *sorted(min(cut, size) for cut in cuts), size]
    view = memoryview(data if readonly else bytearray(data))
    for start, stop in pairwise(edges):
        assert one.hexdigest() == hashed(data[:start])  # and hexdigest() changes nothing
        one.update(view[start:stop])
    assert one.hexdigest() == hashed(data)


@needs_simd
@pytest.mark.parametrize("count", [1, 2, LANES - 1, LANES, LANES + 1, 3 * LANES])
def test_any_number_of_streams_of_any_length_in_parallel(count: int) -> None:
    dice = random.Random(count)
    texts = [pseudo_random(number, BLOCK * dice.choice([0, 1, 2, 7, 40])) for number in range(count)]
    streams = [Stream() for _ in texts]
    kept = [stream.set_input(text) for stream, text in zip(streams, texts, strict=True)]
    advance(streams)
    ends = [stream.set_input(padding(len(text))) for stream, text in zip(streams, texts, strict=True)]
    advance(streams)
    del kept, ends
    assert [stream.hexdigest() for stream in streams] == [hashed(text) for text in texts]


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
@pytest.mark.parametrize("kind", ["0", 'sizeof(it) == sizeof("avx2")'], ids=["any", "avx2"])
def test_instruction_sets_older_than_ours(tmp_path: Path, kind: str) -> None:
    supports = f"-D__builtin_cpu_supports(it)=({kind} && __builtin_cpu_supports(it))"
    assert load_library(built(tmp_path, SOURCE, supports)) is not None


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
def test_a_library_with_wrong_results_is_not_used(tmp_path: Path) -> None:
    source = tmp_path / "md5_simd.c"
    source.write_text(SOURCE.read_text().replace("0xeb86d391", "0xeb86d392"))  # the last constant of the last round
    assert load_library(built(tmp_path, source)) is None


def test_small_streams_are_hashed_by_hashlib() -> None:
    assert not isinstance(md5(LARGE - 1), SimdMd5)
    assert isinstance(md5(LARGE), SimdMd5) == (library is not None)


@needs_simd
def test_a_library_that_is_wrong_only_with_many_streams_is_not_used() -> None:
    def lying(streams: Sequence[Stream]) -> None:
        advance(streams)
        streams[-1].state[3] ^= len(streams) > LANES

    assert agrees_with_hashlib(advance)
    assert not agrees_with_hashlib(lying)


def test_a_missing_or_invalid_library_is_not_loaded(tmp_path: Path) -> None:
    assert load_library(tmp_path / "nowhere.so") is None
    other = tmp_path / LIBRARY.name
    other.write_text("no library")
    assert load_library(other) is None


# -- batching ------------------------------------------------------------------------------------------------------


class BatchRecorder:
    """Threads that hash with a batcher whose hash function only records the batch sizes, and blocks while closed."""

    def __init__(self, cores: int, threads: int) -> None:
        self.batches: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self._futures: list[Future[None]] = []
        self.broken_at = 0  # the batch that fails, from 1
        self.batcher = Md5Batcher(self._advance, cores)
        self.pool = ThreadPoolExecutor(threads)
        barrier = threading.Barrier(threads)
        for future in [self.pool.submit(self._register, barrier) for _ in range(threads)]:
            future.result(10)
        self.batches.clear()

    def submit(self, count: int) -> list[Future[None]]:
        """Let `count` more threads hash; return when each of them hashes or waits."""
        futures = [self.pool.submit(self.batcher.hash, Stream()) for _ in range(count)]
        self._futures += futures
        wait_until(lambda: self.pending() + sum(future.done() for future in self._futures) >= len(self._futures))
        return futures

    def pending(self) -> int:
        return len(self.batcher._waiting) + self.batcher._leaders

    def _register(self, barrier: threading.Barrier) -> None:
        barrier.wait(10)
        self.batcher.hash(Stream())

    def _advance(self, streams: Sequence[Stream]) -> None:
        self.batches.append(len(streams))
        assert self.open.wait(10)
        if len(self.batches) == self.broken_at:
            raise MemoryError


def wait_until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.001)


def results(futures: list[Future[None]]) -> None:
    for future in futures:
        future.result(10)


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls never count as a rush, and waiting has no time limit, however slow this machine is."""
    monkeypatch.setattr(md5_module, "RUSH", 0.0)
    monkeypatch.setattr(md5_module, "PATIENCE", 30.0)


@pytest.fixture
def rush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls always count as a rush."""
    monkeypatch.setattr(md5_module, "RUSH", 30.0)


@pytest.mark.usefixtures("slowly")
@pytest.mark.parametrize(("cores", "alone"), [(1, 1), (2, 1), (4, 2)])
def test_threads_that_come_while_others_hash_are_batched(cores: int, alone: int) -> None:
    recorder = BatchRecorder(cores, threads=2 * LANES)
    recorder.open.clear()
    first = recorder.submit(alone)
    wait_until(lambda: recorder.batches == [1] * alone)  # half of the cores are hashing
    others = recorder.submit(LANES + 2)
    assert recorder.batches == [1] * alone
    recorder.open.set()
    results(first + others)
    assert recorder.batches[alone] == LANES
    assert sum(recorder.batches) == alone + LANES + 2
    assert recorder.pending() == 0


@pytest.mark.usefixtures("slowly")
def test_few_threads_hash_at_once() -> None:
    recorder = BatchRecorder(cores=MANY, threads=MANY - 1)
    recorder.open.clear()
    futures = recorder.submit(MANY - 1)
    wait_until(lambda: recorder.batches == [1] * (MANY - 1))
    recorder.open.set()
    results(futures)


@pytest.mark.usefixtures("rush")
def test_in_a_rush_threads_wait_until_enough_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = BatchRecorder(cores=2, threads=LANES)
    monkeypatch.setattr(md5_module, "PATIENCE", 30.0)
    enough = int(LANES * md5_module.FILL)
    futures = recorder.submit(enough - 1)
    assert recorder.batches == []
    results(futures + recorder.submit(1))
    assert recorder.batches == [enough]


@pytest.mark.usefixtures("rush")
def test_the_wait_for_other_threads_is_limited() -> None:
    recorder = BatchRecorder(cores=2, threads=LANES)
    results(recorder.submit(2))
    assert sum(recorder.batches) == 2


@pytest.mark.usefixtures("slowly")
def test_after_a_failed_batch_each_thread_hashes_its_own_stream() -> None:
    recorder = BatchRecorder(cores=2, threads=LANES)
    recorder.open.clear()
    first, others = recorder.submit(1), recorder.submit(4)
    wait_until(lambda: recorder.batches == [1])
    recorder.broken_at = 2
    recorder.open.set()
    results(first)
    failed = [future.exception(10) for future in others]
    assert [type(error) for error in failed if error] == [MemoryError]
    assert recorder.batches == [1, 4, 1, 1, 1]
    assert recorder.pending() == 0


@needs_simd
def test_each_of_many_threads_gets_its_own_md5() -> None:
    shared = Md5Batcher(advance, cores=2)

    def work(number: int) -> bool:
        data = memoryview(bytearray(pseudo_random(number, 40_000 + 977 * number)))
        one = SimdMd5(shared)
        for at in range(0, len(data), BLOCK * FEW + number):
            one.update(data[at : at + BLOCK * FEW + number])
        return one.hexdigest() == hashed(bytes(data))

    with ThreadPoolExecutor(2 * LANES) as pool:
        assert all(pool.map(work, range(6 * LANES)))
