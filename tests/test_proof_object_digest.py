"""Tests of the MD5 of an object whose bytes arrive in any order from many threads."""

from __future__ import annotations

import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from era5dl.proof import object_digest as digest_module
from era5dl.proof.object_digest import ObjectDigest
from era5dl.ranges import RangeSet
from tests.faultlab import etag_of, pseudo_random


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def part_md5s(data: bytes, part_size: int | None) -> dict[int, str]:
    step = part_size or max(len(data), 1)
    return {i: md5(data[at : at + step]) for i, at in enumerate(range(0, max(len(data), 1), step))}


def reader(data: bytes):
    return lambda offset, length: data[offset : offset + length]


def etag(digest: ObjectDigest, part_size: int | None) -> str:
    return f'"{digest.etag(multipart=part_size is not None)}"'


@st.composite
def arrivals(draw):
    """An object, its part size, and its bytes in pieces: their order, and which are hashed on arrival."""
    size = draw(st.integers(0, 300))
    part_size = draw(st.none() | st.integers(1, 310))
    cuts = sorted(draw(st.sets(st.integers(1, max(size - 1, 1)), max_size=12)))
    edges = [0, *(cut for cut in cuts if cut < size), size]
    pieces = draw(st.permutations(list(pairwise(edges))))
    fed = draw(st.lists(st.booleans(), min_size=len(pieces), max_size=len(pieces)))
    return pseudo_random(size, size), part_size, list(zip(pieces, fed, strict=True))


@given(arrivals(), st.integers(1, 64))
@example((b"", None, []), 1)
@example((b"", 5, []), 1)
@example((b"abcdef", 2, [((0, 6), True)]), 1)
def test_the_md5_is_correct_for_any_order_of_bytes(arrival, read_back):
    data, part_size, pieces = arrival
    digest, there = ObjectDigest(len(data), part_size), RangeSet()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest_module, "READ_SIZE", read_back)
        for (start, stop), fed in pieces:
            there.add(start, stop)
            if fed:
                digest.update(start, memoryview(data)[start:stop])
            else:
                whole = digest.hash_remaining(there, reader(data))
                assert whole == there.covers(0, len(data))
            finished = digest.part_md5s()
            assert finished.items() <= part_md5s(data, part_size).items()
            assert all(there.covers(*digest.parts[index]) for index in finished)
        assert digest.hash_remaining(there, reader(data))
    assert digest.complete
    assert digest.part_md5s() == part_md5s(data, part_size)
    assert etag(digest, part_size) == etag_of(data, part_size)


def test_only_available_bytes_are_read_from_disk():
    data, asked = pseudo_random(1, 100), []

    def read(offset: int, length: int) -> bytes:
        asked.append((offset, offset + length))
        return data[offset : offset + length]

    digest = ObjectDigest(100, 40)
    assert not digest.hash_remaining(RangeSet([(0, 30), (35, 60), (80, 85)]), read)
    assert asked == [(0, 30), (40, 60), (80, 85)]  # never bytes after a gap


def test_bytes_hashed_on_arrival_are_not_read_again():
    data = pseudo_random(1, 100)
    digest = ObjectDigest(100)
    digest.update(0, memoryview(data)[:60])
    assert digest.hash_remaining(
        RangeSet([(0, 100)]), lambda offset, length: data[offset : offset + length] * (offset == 60)
    )
    assert etag(digest, None) == etag_of(data)


@given(st.integers(0, 9), st.integers(0, 9))
def test_a_part_that_was_reset_is_hashed_again(forgotten, wrong_until):
    """Wrong bytes leave no trace in the digest once their part was reset."""
    data = pseudo_random(2, 100)
    digest = ObjectDigest(100, 10)
    start = forgotten * 10
    digest.update(0, memoryview(data)[:start])
    digest.update(start, memoryview(bytes(wrong_until + 1)))  # wrong, and perhaps only the front of the part
    digest.reset_part(forgotten)
    assert forgotten not in digest.part_md5s()
    digest.update(start, memoryview(data)[start:])
    assert etag(digest, 10) == etag_of(data, 10)


def test_known_parts_are_neither_read_nor_changed():
    data = pseudo_random(3, 95)
    known = {i: d for i, d in part_md5s(data, 10).items() if i % 2}
    digest = ObjectDigest(95, 10, known)
    digest.update(10, memoryview(bytes(10)))  # part 1 is known
    assert digest.hash_remaining(RangeSet([(0, 95)]), lambda at, n: b"" if at // 10 % 2 else data[at : at + n])
    assert etag(digest, 10) == etag_of(data, 10)


def test_known_parts_beyond_the_object_are_ignored():
    digest = ObjectDigest(10, 5, {-1: md5(b"a"), 2: md5(b"b"), 7: md5(b"c")})
    assert digest.part_md5s() == {}
    assert not digest.complete


def test_an_empty_object_has_one_empty_part():
    digest = ObjectDigest(0)
    assert not digest.complete
    assert digest.hash_remaining(RangeSet(), reader(b""))
    assert digest.etag(multipart=False) == "d41d8cd98f00b204e9800998ecf8427e"


def test_hashing_from_disk_can_be_stopped_and_continued(monkeypatch):
    monkeypatch.setattr(digest_module, "READ_SIZE", 10)
    data, reads = pseudo_random(4, 100), []

    def read(offset: int, length: int) -> bytes:
        reads.append(offset)
        return data[offset : offset + length]

    digest = ObjectDigest(100, 50)
    there = RangeSet([(0, 100)])
    assert not digest.hash_remaining(there, read, lambda: len(reads) >= 3)
    assert digest.hash_remaining(there, read)
    assert reads == list(range(0, 100, 10))
    assert etag(digest, 50) == etag_of(data, 50)


def test_reading_ends_at_the_end_of_a_truncated_file():
    digest = ObjectDigest(100)
    assert not digest.hash_remaining(RangeSet([(0, 100)]), reader(b"x" * 40))
    assert not digest.complete


@pytest.mark.parametrize("seed", range(3))
def test_many_threads_give_the_same_digest(seed):
    """Hashing on arrival and from disk at the same time; larger than hashlib's threshold for releasing the GIL."""
    part_size, data = 70_000, pseudo_random(seed, 1_500_000)
    digest, there, lock = ObjectDigest(len(data), part_size), RangeSet(), threading.Lock()
    pieces = [(at, min(at + 25_000, len(data))) for at in range(0, len(data), 25_000)]
    random.Random(seed).shuffle(pieces)

    def arrive(piece: tuple[int, int]) -> None:
        start, stop = piece
        with lock:
            there.add(start, stop)
            available = there.copy()
        digest.update(start, memoryview(data)[start:stop])
        digest.hash_remaining(available, reader(data))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(arrive, pieces))
    assert digest.hash_remaining(there, reader(data))
    assert etag(digest, part_size) == etag_of(data, part_size)


def test_two_threads_never_hash_the_same_part_at_once():
    """While one thread hashes a part, others leave it alone: they would hash its bytes out of order."""
    data, digest = pseudo_random(5, 40), ObjectDigest(40)
    reached, go_on = threading.Event(), threading.Event()

    class Slow:
        """An MD5 that stops in the middle of an update, to let the other thread in."""

        def __init__(self) -> None:
            self.inner = hashlib.md5()

        def update(self, piece: memoryview) -> None:
            reached.set()
            assert go_on.wait(10)
            self.inner.update(piece)

        def hexdigest(self) -> str:
            return self.inner.hexdigest()

    digest._running[0] = (Slow(), 0)
    thread = threading.Thread(target=digest.update, args=(0, memoryview(data)[:20]))
    thread.start()
    assert reached.wait(10)
    assert not digest.hash_remaining(RangeSet([(0, 40)]), reader(data))
    go_on.set()
    thread.join(10)
    assert digest.hash_remaining(RangeSet([(0, 40)]), reader(data))
    assert etag(digest, None) == etag_of(data)
