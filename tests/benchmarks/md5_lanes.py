"""How fast MD5s are: of one stream, and of several, by hashlib in threads of their own and by `era5dl.proof.md5`.

    python -m tests.benchmarks.md5_lanes [--rounds 5]

Each thread hashes 128 MiB that it has in memory, 1 MiB at a time. Medians; CPU is that of all threads.
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
from era5dl.proof.md5_simd import compiled

BITE = 1 << 20  # bytes, as `engine.fetch` gathers them
TIMES = 128
THREADS = (1, 2, 4, 8, 16, 32)


def hash_all(threads: int, make: Callable[[], Md5]) -> tuple[float, float]:
    """Seconds and CPU seconds until each of so many threads has hashed its bytes."""
    bites = [bytearray(random.randbytes(BITE)) for _ in range(threads)]

    def work(bite: bytearray) -> None:
        one = make()
        for _ in range(TIMES):
            one.update(memoryview(bite))
        one.hexdigest()

    workers = [threading.Thread(target=work, args=(bite,)) for bite in bites]
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
    print(f"{cores()} cores; md5_simd.c was {'compiled' if compiled() else 'not compiled: both columns are hashlib'}\n")
    print("| threads | hashlib, MB/s | CPU s/GB | side by side, MB/s | CPU s/GB |")
    print("|--:|--:|--:|--:|--:|")
    ways: tuple[Callable[[], Md5], ...] = (lambda: hashlib.md5(usedforsecurity=False), lambda: md5(LARGE))
    for threads in THREADS:
        total = threads * TIMES * BITE
        taken = [[hash_all(threads, make) for make in ways] for _ in range(rounds)]
        cells = []
        for way in range(len(ways)):
            seconds, cpu = (statistics.median(one[way][i] for one in taken) for i in (0, 1))
            cells += [f"{total / seconds / 1e6:.0f}", f"{cpu / total * 1e9:.2f}"]
        print(f"| {threads} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
