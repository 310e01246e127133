"""Workloads of the speed benchmarks: objects as files, with the ETags that S3 would give them.

Their bytes cannot be compressed and are the same every time. Their SHA-256 is computed while they are made, so that
every run of every client can be checked.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

BUCKET = "nsf-ncar-era5"
MANIFEST = "objects.json"  # in the folder: key -> Stored
MIB = 1 << 20
PART = 8 * MIB  # in which most of the real bucket's files were uploaded


@dataclass(frozen=True, slots=True)
class Workload:
    """Number and size of objects, with or without TLS, and the properties of the link.

    connections: how many requests at once each client is told to use. speed: bytes a second of each connection, 0 for
    as fast as it goes. objects: whose objects it fetches, if not its own.
    """

    name: str
    what: str
    count: int
    size: int
    connections: int = 8
    tls: bool = False
    speed: int = 0
    objects: str = ""

    @property
    def prefix(self) -> str:
        """Folder of its objects, which has no others, so that clients can fetch the whole folder."""
        return f"bench.{(self.objects or self.name).lower()}/202102/"

    def key_list(self) -> list[str]:
        return [f"{self.prefix}e5.oper.an.pl.128_130_t.ll025sc.{number:05}.bin" for number in range(self.count)]

    @property
    def total(self) -> int:
        return self.count * self.size

    def scaled(self, scale: float) -> Workload:
        """Return the workload with fewer bytes: smaller objects, or fewer ones if they are small."""
        if self.size < MIB:
            return Workload(**{**asdict(self), "count": max(1, round(self.count * scale))})
        return Workload(**{**asdict(self), "size": max(MIB, int(self.size * scale))})


WORKLOADS = {
    work.name: work
    for work in (
        Workload("W1", "1 x 2 GiB", 1, 2048 * MIB),
        Workload("W2", "8 x 256 MiB", 8, 256 * MIB),
        Workload("W3", "2000 x 64 KiB", 2000, 64 << 10),
        Workload("W4", "8 x 256 MiB over TLS", 8, 256 * MIB, tls=True, objects="W2"),
        Workload("W5", "1 x 512 MiB, 8 MB/s a connection", 1, 512 * MIB, connections=32, speed=8_000_000),
        Workload("W6", "6 x 64 MiB, 2 MB/s a connection", 6, 64 * MIB, connections=32, speed=2_000_000),
    )
}


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: its size, the ETag S3 would give it, in parts of how many bytes, and what its bytes must be.

    file: whose bytes they are, where many objects share one file; "" for the file of its own name.
    """

    size: int
    etag: str
    part_size: int | None
    sha256: str
    file: str = ""


def load(folder: Path) -> dict[str, Stored]:
    """Return the objects in the folder."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return {}
    return {key: Stored(**fields) for key, fields in json.loads(manifest.read_text("utf-8")).items()}


def make(folder: Path, workloads: list[Workload]) -> dict[str, Stored]:
    """Create the missing objects of these workloads in the folder."""
    stored = load(folder)
    for work in workloads:
        for key in work.key_list():
            path = folder / BUCKET / key
            if key not in stored or stored[key].size != work.size or not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                stored[key] = _make(path, key, work.size)
    (folder / MANIFEST).write_text(json.dumps({key: asdict(fields) for key, fields in stored.items()}), "utf-8")
    return stored


def _make(path: Path, key: str, size: int) -> Stored:
    dice, whole, parts = random.Random(key), hashlib.sha256(), []
    with path.open("wb") as file:
        for at in range(0, size, PART):
            block = dice.randbytes(min(PART, size - at))
            whole.update(block)
            parts.append(hashlib.md5(block, usedforsecurity=False))
            file.write(block)
    if len(parts) == 1:
        return Stored(size, f'"{parts[0].hexdigest()}"', None, whole.hexdigest())
    joined = hashlib.md5(b"".join(part.digest() for part in parts), usedforsecurity=False)
    return Stored(size, f'"{joined.hexdigest()}-{len(parts)}"', PART, whole.hexdigest())
