"""Benchmark of MD5 throughput: one and several streams, with hashlib in separate threads and with `era5dl.proof.md5`.

    python -m tests.benchmarks.md5_simd [--rounds 5]

Each thread hashes 128 MiB from memory, 1 MiB at a time. Medians; CPU is that of all threads.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
import threading
import time
from collections.abc import Callable

from era5dl.proof.md5 import LARGE, Md5, cores, md5
from era5dl.proof.md5_simd import load_library

CALL_SIZE = 1 << 20  # bytes, the size of the writes of `engine.fetch`
CALLS = 128
THREADS = (1, 2, 4, 8, 16, 32)


def hash_all(threads: int, make: Callable[[], Md5]) -> tuple[float, float]:
    """Return seconds and CPU seconds until every thread has hashed its bytes."""
    inputs = [bytearray(random.randbytes(CALL_SIZE)) for _ in range(threads)]

    def work(data: bytearray) -> None:
        one = make()
        for _ in range(CALLS):
            one.update(memoryview(data))
        one.hexdigest()

    workers = [threading.Thread(target=work, args=(data,)) for data in inputs]
    began, used = time.monotonic(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.monotonic() - began, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    state = "compiled" if load_library() else "not compiled: both columns are hashlib"
    print(f"{cores()} cores; md5_simd.c was {state}\n")
    print("| threads | hashlib, MB/s | CPU s/GB | era5dl, MB/s | CPU s/GB |")
    print("|--:|--:|--:|--:|--:|")
    ways: tuple[Callable[[], Md5], ...] = (lambda: hashlib.md5(usedforsecurity=False), lambda: md5(LARGE))
    for threads in THREADS:
        total = threads * CALLS * CALL_SIZE
        taken = [[hash_all(threads, make) for make in ways] for _ in range(rounds)]
        cells = []
        for way in range(len(ways)):
            seconds, cpu = (statistics.median(one[way][i] for one in taken) for i in (0, 1))
            cells += [f"{total / seconds / 1e6:.0f}", f"{cpu / total * 1e9:.2f}"]
        print(f"| {threads} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
