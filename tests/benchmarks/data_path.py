"""Benchmark of the data path: the fast and the plain way of a GET, on what the bucket is used for.

    python -m tests.benchmarks.data_path [--rounds 7] [--scale 1] [--cases objects,ranges,objects-tls,ranges-tls]

Eight threads read eight objects of 256 MiB, whole or in 2,000 ranges of 1 MB, and discard the bytes. Both ways
(`era5dl.bucket.get_object`) run in turn in one process, against `speed.server` in a process of its own. CPU and seconds
are those of the reading alone, without the start of Python. Only ratios within one run are comparable.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.get_object import PLAIN_GET
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from era5dl.settings import Settings
from tests.benchmarks.speed.hosts import files
from tests.benchmarks.speed.objects import BUCKET, WORKLOADS, Stored, Workload, make

THREADS = 8
RANGES, RANGE = 2000, 1_000_000
BUFFER = 1 << 19

Span = tuple[ObjectInfo, int, int]


def bucket_for(url: str, ca_file: str, way: str) -> S3Bucket:
    """Return a bucket that sends its GETs in this way."""
    os.environ[PLAIN_GET] = "1" if way == "plain" else ""
    return S3Bucket(Settings(endpoint_url=url, bucket=BUCKET, ca_bundle=ca_file or None, workers=THREADS))


def spans_of(case: str, objects: list[ObjectInfo]) -> list[Span]:
    """Return what is read: the whole objects, or ranges at random places."""
    if case.startswith("objects"):
        return [(obj, 0, obj.size) for obj in objects]
    dice = random.Random(case)
    starts = [(obj := objects[number % len(objects)], dice.randrange(obj.size - RANGE)) for number in range(RANGES)]
    return [(obj, start, start + RANGE) for obj, start in starts]


def measure(bucket: S3Bucket, spans: list[Span]) -> tuple[float, float]:
    """Read all spans; return seconds and seconds of CPU."""
    waiting, lock = iter(spans), threading.Lock()
    threads = [threading.Thread(target=read, args=(bucket, waiting, lock)) for _ in range(THREADS)]
    began, cpu = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began, time.process_time() - cpu


def read(bucket: S3Bucket, waiting: Iterator[Span], lock: threading.Lock) -> None:
    """Read spans until none is left."""
    buffer = memoryview(bytearray(BUFFER))
    while True:
        with lock:
            span = next(waiting, None)
        if span is None:
            return
        obj, start, stop = span
        with bucket.open(obj, start, stop, Abort()) as body:
            missing = stop - start
            while missing:
                count = body.readinto(buffer)
                assert count, "the body ended early"
                missing -= count


def run(case: str, folder: Path, stored: dict[str, Stored], work: Workload, rounds: int) -> None:
    """Measure both ways in turn and print a line for each."""
    objects = [ObjectInfo(key, stored[key].size, stored[key].etag) for key in work.key_list()]
    spans = spans_of(case, objects)
    with files(folder, work) as host:
        buckets = {way: bucket_for(host.url, host.ca_file, way) for way in ("fast", "plain")}
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in buckets}
        for number in range(rounds + 1):
            for way, bucket in buckets.items():
                costs = measure(bucket, spans)
                if number:  # the first round is a warm-up
                    found[way].append(costs)
    seconds, cpu = ({way: statistics.median(cost[kind] for cost in found[way]) for way in found} for kind in (0, 1))
    for way in buckets:
        print(
            f"| {case} | {way} | {seconds[way]:.2f} | {seconds[way] / seconds['fast']:.2f} x"
            f" | {cpu[way]:.2f} | {cpu[way] / cpu['fast']:.2f} x |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="of the size of the objects")
    parser.add_argument("--cases", default="objects,ranges,objects-tls,ranges-tls")
    given = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="era5dl-data-path-", dir=memory if memory.is_dir() else None) as name:
        stored = make(Path(name), [WORKLOADS["W2"].scaled(given.scale)])
        print("| case | way | s | | CPU, s | |\n|---|---|--:|--:|--:|--:|", flush=True)
        for case in given.cases.split(","):
            work = WORKLOADS["W4" if case.endswith("-tls") else "W2"].scaled(given.scale)
            run(case, Path(name), stored, work, given.rounds)


if __name__ == "__main__":
    main()
