"""Tests of the cache of HDF5 indexes: what comes out is what went in, and damaged files are as if absent."""

from __future__ import annotations

import os
import random
import threading
import zlib
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.hdf5 import Index, SparseBytes, read_index
from era5dl.subset import index_cache
from era5dl.subset.index_cache import IndexCache, cache_folder, shared_cache
from era5dl.subset.index_format import DamagedIndex, decode_index, encode_index
from tests.netcdf_files import ONE_OF_EACH_PRODUCT, write_sample

HOUR = datetime(2021, 2, 10, 6)


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[ObjectInfo, Index]]:
    """The objects and indexes of one file of each product."""
    folder = tmp_path_factory.mktemp("files")
    found = {}
    for name in ONE_OF_EACH_PRODUCT:
        sample = write_sample(folder, name, HOUR)
        data = sample.path.read_bytes()
        source = SparseBytes(len(data))
        source.add(0, data)
        found[name] = (ObjectInfo(sample.key, len(data), f'"{name}"'), read_index(source))
    return found


@pytest.fixture
def monthly(indexes: dict[str, tuple[ObjectInfo, Index]]) -> tuple[ObjectInfo, Index]:
    return indexes["an.sfc/2t"]


def test_an_index_comes_back_equal(indexes: dict[str, tuple[ObjectInfo, Index]], tmp_path: Path) -> None:
    cache = IndexCache(tmp_path / "new" / "folder")
    for obj, index in indexes.values():
        assert cache.get(obj) is None
        cache.put(obj, index)
    for obj, index in indexes.values():
        found = IndexCache(tmp_path / "new" / "folder").get(obj)
        assert found == index
        assert repr(found) == repr(index)  # also the types
    assert len(list((tmp_path / "new" / "folder").iterdir())) == len(indexes)


def test_the_default_folder_is_in_the_state_folder_of_tests(monthly: tuple[ObjectInfo, Index]) -> None:
    cache = shared_cache("")
    assert cache is not None
    cache.put(*monthly)
    assert cache_folder().is_relative_to(os.environ["ERA5DL_STATE_DIR"])
    assert IndexCache(cache_folder()).get(monthly[0]) == monthly[1]


def test_the_index_of_another_server_is_not_used(monthly: tuple[ObjectInfo, Index], tmp_path: Path) -> None:
    IndexCache(tmp_path, "http://other").put(*monthly)
    assert IndexCache(tmp_path, "https://bucket").get(monthly[0]) is None
    assert IndexCache(tmp_path, "http://other").get(monthly[0]) == monthly[1]


@pytest.mark.parametrize("change", [{"key": "other"}, {"size": 10}, {"etag": '"other"'}, {"etag": ""}])
def test_another_version_is_not_in_the_cache(
    monthly: tuple[ObjectInfo, Index], tmp_path: Path, change: dict[str, object]
) -> None:
    obj, index = monthly
    other = replace(obj, **change)  # type: ignore[arg-type]
    cache = IndexCache(tmp_path)
    cache.put(obj, index)
    assert cache.get(other) is None
    with pytest.raises(DamagedIndex, match="another object"):  # also if it had the same file name
        decode_index(encode_index(obj, index), other)


def test_a_damaged_file_is_as_if_absent_and_is_replaced(monthly: tuple[ObjectInfo, Index], tmp_path: Path) -> None:
    obj, index = monthly
    cache = IndexCache(tmp_path)
    cache.put(obj, index)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    chance = random.Random(7)
    for _ in range(200):
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        assert cache.get(obj) is None
    for length in (0, 10, 31, len(good) - 1):
        path.write_bytes(good[:length])
        assert cache.get(obj) is None
    cache.put(obj, index)
    assert cache.get(obj) == index
    path.unlink()
    path.mkdir()
    assert cache.get(obj) is None
    cache.put(obj, index)  # no error


def with_digest(content: bytes) -> bytes:
    compressed = zlib.compress(content, 1)
    return b"era5dl index 1\n" + blake2b(compressed, digest_size=16).digest() + compressed


def test_a_file_made_on_purpose_is_checked_as_the_reader_checks(monthly: tuple[ObjectInfo, Index]) -> None:
    """With a digest that is right: an error, or an index whose parts fit together."""
    obj, index = monthly
    content = zlib.decompress(encode_index(obj, index)[31:])
    assert decode_index(with_digest(content), obj) == index
    chance = random.Random(3)
    refused = 0
    for _ in range(400):
        bad = bytearray(content)
        start = chance.randrange(len(bad))
        bad[start : start + chance.choice([1, 8])] = chance.choice([b"\0", b"\xff" * 8, b"\1", b"\0" * 8])
        try:
            found = decode_index(with_digest(bytes(bad)), obj)
        except DamagedIndex:
            refused += 1
            continue
        for variable in found.variables.values():
            assert all(0 < chunk.offset + chunk.size <= obj.size for chunk in variable.chunks)
            if name := variable.name in index.variables:
                assert [c.origin for c in variable.chunks] == [
                    c.origin for c in index.variables[variable.name].chunks
                ], name
    assert refused > 100


def test_chunks_that_overlap_or_are_missing_are_refused(monthly: tuple[ObjectInfo, Index]) -> None:
    obj, index = monthly
    field = max(index.variables.values(), key=lambda variable: len(variable.chunks))
    first, second, *others = field.chunks
    for chunks in (
        (first, second._replace(offset=first.offset + 1), *others),
        (first, *others),
        (first._replace(offset=obj.size), second, *others),
        (first._replace(size=0), second, *others),
    ):
        bad = replace(index, variables={**index.variables, field.name: replace(field, chunks=chunks)})
        with pytest.raises(DamagedIndex):
            decode_index(encode_index(obj, bad), obj)


def test_it_stays_below_its_limit_and_the_newest_remain(monthly: tuple[ObjectInfo, Index], tmp_path: Path) -> None:
    obj, index = monthly
    size = len(encode_index(obj, index))
    for number in range(10):
        other = replace(obj, key=f"{number}")
        IndexCache(tmp_path, max_total=10**9).put(other, index)
        path = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(path, (number, number))
    (tmp_path / "abandoned.1234.tmp").write_bytes(b"")
    os.utime(tmp_path / "abandoned.1234.tmp", (0, 0))
    (tmp_path / "other").write_bytes(bytes(10 * size))
    IndexCache(tmp_path, max_total=5 * size).put(replace(obj, key="last"), index)
    cache = IndexCache(tmp_path)
    assert [n for n in range(10) if cache.get(replace(obj, key=f"{n}"))] == [7, 8, 9]
    assert cache.get(replace(obj, key="last")) is not None
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".index") == ["other"]


def test_many_threads_and_instances_at_the_same_time(monthly: tuple[ObjectInfo, Index], tmp_path: Path) -> None:
    obj, index = monthly
    wrong: list[object] = []

    def work() -> None:
        cache = IndexCache(tmp_path)
        for _ in range(20):
            cache.put(obj, index)
            if cache.get(obj) != index:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_used_is_no_error(
    monthly: tuple[ObjectInfo, Index], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = IndexCache(tmp_path / "file" / "folder")
    cache.put(*monthly)
    assert cache.get(monthly[0]) is None

    def no_home() -> Path:
        raise RuntimeError("no home folder")

    monkeypatch.setattr(index_cache, "cache_folder", no_home)
    assert shared_cache("") is None


def test_without_tls_there_is_no_cache() -> None:
    """An index that was read once may be wrong: the engine reads it twice, and plans agree with the engine."""
    assert shared_cache("http://127.0.0.1:9000") is None
    assert shared_cache("https://127.0.0.1:9000") is not None
