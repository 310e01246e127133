"""Objects of the endurance test: thousands of them with mixed sizes, each a slice of the same random bytes.

So a bucket of several GB costs an in-memory server only that block.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Protocol

from tests.faultlab import pseudo_random
from tests.servers.seaweed import Seaweed

MIB = 1 << 20
BLOCK = 32 * MIB
PART = 5 * MIB  # minimum part size of S3
PREFIX = "soak/"

# (share of the objects, smallest, largest size in bytes); within a class small ones are more frequent
CLASSES = ((0.90, 2_000, 150_000), (0.092, 150_000, 1_500_000), (0.008, 5_500_000, 10_000_000))


class Bucket(Protocol):
    """A server in which objects can be stored: any test server."""

    def put(self, key: str, data: bytes, part_size: int | None = None) -> str: ...


class Fate(Enum):
    """Final state of an object."""

    RIGHT = "right"
    WRONG = "wrong"  # wrong bytes under the final name
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Item:
    """One object: bytes [offset, offset + size) of the block."""

    key: str
    offset: int
    size: int

    @property
    def part_size(self) -> int | None:
        """Part size of the upload; None for small objects, which are not multipart uploads."""
        return PART if self.size > PART else None

    @property
    def data(self) -> bytes:
        return block()[self.offset : self.offset + self.size]


@cache
def block() -> bytes:
    """Return the random bytes of which all objects are slices."""
    return pseudo_random("soak", BLOCK)


def make_items(count: int, seed: int) -> list[Item]:
    """Return this number of objects, the same for the same seed."""
    dice = random.Random(f"soak/{seed}")
    items = []
    for index in range(count):
        roll = dice.random()
        low, high = next(((low, high) for share, low, high in _cumulated() if roll < share))
        size = int(low * (high / low) ** dice.random())
        key = f"{PREFIX}{index // 1000:03}/{index:06}.bin"
        items.append(Item(key, dice.randrange(BLOCK - size), size))
    return items


def _cumulated() -> Iterator[tuple[float, int, int]]:
    total = 0.0
    for share, low, high in CLASSES:
        total += share
        yield total, low, high


def fill(server: Bucket, items: Iterable[Item]) -> None:
    """Store all objects, several at a time."""
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda item: server.put(item.key, item.data, item.part_size), items):
            pass


@contextmanager
def stored(items: Sequence[Item], folder: Path) -> Iterator[str]:
    """Context manager: a real S3 server with these objects; yields its URL."""
    with Seaweed(folder / "seaweed") as seaweed:
        print(f"storing {len(items):,} objects", flush=True)
        fill(seaweed, items)
        yield seaweed.endpoint_url


def fate(folder: Path, item: Item) -> Fate:
    """Return the state of the file under the final name of this object."""
    try:
        data = (folder / item.key).read_bytes()
    except FileNotFoundError:
        return Fate.MISSING
    return Fate.RIGHT if data == item.data else Fate.WRONG
