"""Tests of the HDF5 index reader with files made to keep it busy: each is refused soon, and after few requests."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from era5dl.hdf5 import (
    DamagedFile,
    Index,
    MissingBytes,
    SparseBytes,
    UnsupportedLayout,
    first_ranges,
    read_index,
    sparse_bytes,
)
from era5dl.hdf5.superblock import SIGNATURE
from tests.netcdf_files import write_sample
from tests.test_hdf5_index import HOUR, MANY_CHUNKS

UNDEFINED = (1 << 64) - 1
FAR = 1 << 20  # an address that is not among the bytes fetched first
DATASPACE, DATATYPE, LINK, LAYOUT, FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE = 1, 3, 6, 8, 11, 12, 16, 17
FLOAT = bytes([0x11, 0x20, 31, 0]) + struct.pack("<I", 4) + bytes([0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0])


class Builder:
    """Writes structures of the old format, which have no checksums, one after the other."""

    def __init__(self) -> None:
        self.data = bytearray(96)

    def put(self, structure: bytes) -> int:
        """Append a structure. Returns its address."""
        self.data += bytes(-len(self.data) % 8)
        self.data += structure
        return len(self.data) - len(structure)

    def header(self, *messages: bytes, count: int | None = None) -> int:
        body = b"".join(messages)
        return self.put(struct.pack("<BBHII4x", 1, 0, count or len(messages), 1, len(body)) + body)

    def variable(self, shape: tuple[int, ...], *messages: bytes, datatype: bytes = FLOAT, count: int = 0) -> int:
        all_messages = [dataspace(shape), message(DATATYPE, datatype), *messages]
        return self.header(*all_messages, count=len(all_messages) + count)

    def tree(self, entries: list[tuple[int, int, int]], level: int = 0) -> int:
        """Append a B-tree node for one dimension. entries: size, index of the first element, address."""
        node = b"TREE" + struct.pack("<BBHQQ", 1, level, len(entries), UNDEFINED, UNDEFINED)
        node += b"".join(struct.pack("<IIQQQ", size, 0, origin, 0, child) for size, origin, child in entries)
        return self.put(node + bytes(24))

    def file(self, root: int, size: int = 0) -> bytes:
        """Return the file with this root group, extended to `size`."""
        self.data += bytes(max(size - len(self.data), 0))
        head = SIGNATURE + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
        head += struct.pack("<QQQQQQ", 0, UNDEFINED, len(self.data), UNDEFINED, 0, root)
        self.data[: len(head)] = head
        return bytes(self.data)

    def file_of(self, *variables: int, size: int = 0) -> bytes:
        return self.file(self.header(*(link(f"v{n}", address) for n, address in enumerate(variables))), size)


def message(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 8)
    return struct.pack("<HHB3x", kind, len(body), 0) + body


def dataspace(shape: tuple[int, ...]) -> bytes:
    return message(DATASPACE, struct.pack(f"<BBB5x{len(shape)}Q", 1, len(shape), 0, *shape))


def link(name: str, address: int) -> bytes:
    return message(LINK, bytes([1, 0, len(name)]) + name.encode() + struct.pack("<Q", address))


def contiguous(address: int, size: int) -> bytes:
    return message(LAYOUT, struct.pack("<BBQQ", 3, 1, address, size))


def chunked(tree: int, chunk: int, element_size: int) -> bytes:
    return message(LAYOUT, struct.pack("<BBBQII", 3, 2, 2, tree, chunk, element_size))


def filters(*numbers: int) -> bytes:
    return message(FILTERS, bytes([2, len(numbers)]) + b"".join(struct.pack("<HHH", n, 0, 0) for n in numbers))


def continuation(address: int, length: int) -> bytes:
    return message(CONTINUATION, struct.pack("<QQ", address, length))


def text_type(size: int) -> bytes:
    return bytes([0x13, 0, 0, 0]) + struct.pack("<I", size)


def attribute(name: str, size: int) -> bytes:
    space = struct.pack("<BBB5x", 1, 0, 0)
    head = struct.pack("<BBHHH", 1, 0, 8, 8, len(space)) + name.encode().ljust(8, b"\0")
    return message(ATTRIBUTE, head + text_type(size) + space + bytes(size))


def fetch(data: bytes) -> tuple[Index, int]:
    """Return the index and the number of rounds of requests. Takes at most a second of CPU time."""
    source = SparseBytes(len(data))
    ranges = first_ranges(len(data))
    started = time.thread_time()
    try:
        for rounds in range(1, 30):
            for start, stop in ranges:
                assert start < stop
                source.add(start, data[start:stop])
            try:
                return read_index(source), rounds
            except MissingBytes as error:
                ranges = error.ranges
    finally:
        assert time.thread_time() - started < 1.0
        assert source.held < 32 << 20
    pytest.fail("the reader does not come to an end")


# -- progress ----------------------------------------------------------------------------------------------------------


def test_no_bytes_are_never_missing() -> None:
    source = SparseBytes(1 << 20)
    assert source.get(5000, 0) == b""
    assert source.get(1 << 20, 0) == b""
    with pytest.raises(DamagedFile):
        source.get((1 << 20) + 1, 0)


@pytest.mark.parametrize("ranges", [[], [(5, 5)], [(0, 4096), (8192, 8192)]])
def test_missing_ranges_are_not_empty(ranges: list[tuple[int, int]]) -> None:
    with pytest.raises(AssertionError):
        MissingBytes(ranges)


def test_a_variable_without_data_at_a_place_that_was_not_fetched() -> None:
    builder = Builder()
    index, rounds = fetch(builder.file_of(builder.variable((0,), contiguous(FAR, 0)), size=4 * FAR))
    assert index.variables["v0"].values == b""
    assert rounds == 1


def test_a_variable_with_two_descriptions_is_not_supported() -> None:
    builder = Builder()
    variable = builder.variable((2,), dataspace((3,)), contiguous(96, 8))
    with pytest.raises(UnsupportedLayout, match="two descriptions"):
        fetch(builder.file_of(variable))


def test_a_continuation_without_bytes_at_a_place_that_was_not_fetched() -> None:
    builder = Builder()
    data = builder.file_of(builder.variable((0,), continuation(FAR, 0), count=5), size=4 * FAR)
    with pytest.raises(DamagedFile, match="messages of an object header are missing"):
        fetch(data)


def test_a_heap_without_bytes_at_a_place_that_was_not_fetched() -> None:
    builder = Builder()
    heap = builder.put(b"HEAP" + bytes(4) + struct.pack("<QQQ", 0, 0, FAR))
    with pytest.raises(DamagedFile):
        fetch(builder.file(builder.header(message(SYMBOL_TABLE, struct.pack("<QQ", 96, heap))), size=4 * FAR))


# -- work --------------------------------------------------------------------------------------------------------------


def test_an_object_with_two_names_is_not_supported(tmp_path: Path) -> None:
    """It would be parsed once for each of its names."""
    for libver in ("earliest", "v108"):
        with h5py.File(tmp_path / "x.h5", "w", libver=libver if libver == "earliest" else (libver, libver)) as file:
            file["one"] = np.zeros(3)
            file["other"] = file["one"]
        with pytest.raises(UnsupportedLayout, match="two names"):
            fetch((tmp_path / "x.h5").read_bytes())


@pytest.mark.parametrize("numbers", [(2, 2), (1, 2, 1), (2,) * 8, (3, 1, 3)])
def test_a_filter_that_is_applied_twice_is_not_supported(numbers: tuple[int, ...]) -> None:
    builder = Builder()
    layout = chunked(builder.tree([(400, 0, builder.put(bytes(400)))]), 100, 4)
    with pytest.raises(UnsupportedLayout, match="applied twice"):
        fetch(builder.file_of(builder.variable((100,), layout, filters(*numbers))))


def test_shuffle_of_large_elements_is_not_supported() -> None:
    """To undo it takes one step for each byte of an element."""
    builder = Builder()
    size = 1 << 20
    layout = chunked(builder.tree([(size, 0, builder.put(bytes(size)))]), 1, size)
    with pytest.raises(UnsupportedLayout, match="large elements"):
        fetch(builder.file_of(builder.variable((1,), layout, filters(2), datatype=text_type(size))))


def test_a_long_chain_of_continuations_is_given_up_after_a_few_requests() -> None:
    builder = Builder()
    block = message(0, bytes(8))
    for _ in range(300):
        builder.put(bytes(5000))
        block = continuation(builder.put(block), len(block))
    builder.put(bytes(200_000))
    data = builder.file_of(builder.variable((0,), block, count=300), size=len(builder.data) + 200_000)
    with pytest.raises(UnsupportedLayout, match="very many places"):
        fetch(data)


def test_very_large_attributes_are_not_supported() -> None:
    builder = Builder()
    blocks = [attribute(f"a{number}", 60_000) for number in range(98)]
    places = [continuation(builder.put(block), len(block)) for block in blocks]
    data = builder.file_of(builder.variable((0,), *places, count=98))
    with pytest.raises(UnsupportedLayout):
        fetch(data)


def test_data_beyond_the_limit_of_an_index_are_not_requested() -> None:
    builder = Builder()
    size = 40 << 20
    layout = chunked(builder.tree([(size, 0, 4096)]), 100, 4)
    data = builder.file_of(builder.variable((100,), layout, filters(1)), size=size + (1 << 20))
    with pytest.raises(UnsupportedLayout, match="very many places"):
        fetch(data)


def many_chunks(builder: Builder, count: int, per_node: int) -> int:
    data = builder.put(bytes(8))
    starts = range(0, count, per_node)
    level = 0
    entries = [
        (8, start, builder.tree([(4, origin, data) for origin in range(start, start + per_node)])) for start in starts
    ]
    while len(entries) > 1:
        level += 1
        parts = [entries[at : at + 1024] for at in range(0, len(entries), 1024)]
        entries = [(8, part[0][1], builder.tree(part, level)) for part in parts]
    return builder.variable((count,), chunked(entries[0][2], 1, 4))


def small_attributes(builder: Builder) -> int:
    return builder.variable((0,), contiguous(96, 0), *(attribute(f"a{number}", 0) for number in range(1000)))


def empty_messages(builder: Builder) -> int:
    return builder.variable((0,), contiguous(96, 0), *([message(0, b"")] * 1000))


def values_with_checksums(builder: Builder) -> int:
    size = 1 << 20
    layout = chunked(builder.tree([(size + 4, 0, builder.put(bytes(size + 4)))]), size // 4, 4)
    return builder.variable((size // 4,), layout, filters(3))


LARGE = {
    "4 variables of 16384 chunks": lambda builder: [many_chunks(builder, 1 << 14, 1024) for _ in range(4)],
    "nodes of one chunk": lambda builder: [many_chunks(builder, 1 << 14, 1)],
    "20 variables of 4096 chunks": lambda builder: [many_chunks(builder, 1 << 12, 64) for _ in range(20)],
    "20,000 attributes": lambda builder: [small_attributes(builder) for _ in range(20)],
    "40,000 messages": lambda builder: [empty_messages(builder) for _ in range(40)],
    "8 MB of values": lambda builder: [values_with_checksums(builder) for _ in range(8)],
}


@pytest.mark.parametrize("kind", LARGE)
def test_reading_a_very_large_index_is_given_up_within_a_second(kind: str) -> None:
    builder = Builder()
    data = builder.file_of(*LARGE[kind](builder))
    source = SparseBytes(len(data))
    source.add(0, data)
    started = time.thread_time()
    with pytest.raises(UnsupportedLayout, match="very large index"):
        read_index(source)
    assert time.thread_time() - started < 1.0


def test_the_limits_are_far_from_what_files_of_the_bucket_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_bytes, "_MAX_ROUNDS", 4)
    work, requested = sparse_bytes._MAX_WORK, sparse_bytes._MAX_REQUESTED
    for options, divisor in (({}, 20), (MANY_CHUNKS, 4)):  # about 600 chunks, as in the bucket, and 5600
        monkeypatch.setattr(sparse_bytes, "_MAX_WORK", work // divisor)
        monkeypatch.setattr(sparse_bytes, "_MAX_REQUESTED", requested // divisor)
        data = write_sample(tmp_path, "an.sfc/2t", HOUR, **options).path.read_bytes()
        assert fetch(data)[0].variables
