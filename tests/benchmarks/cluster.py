"""Benchmark of clusters: 1, 2, 4 and 8 worker processes, each limited to 8 MB/s, and the kill of one of four.

    python -m tests.benchmarks.cluster [--workers 1,2,4,8] [--files 72] [--size 4] [--speed 8] [--kill]

A real S3 server (SeaweedFS) and a Dask `LocalCluster` run on this machine. Each row: seconds from the call to the
result, times the speed of the first row, and received bytes divided by wanted ones. --kill: also ends one of four
workers with SIGKILL in the middle.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import era5dl
from era5dl.api import Result
from era5dl.bucket.s3 import S3Bucket
from era5dl.cluster import on_dask
from era5dl.engine.progress import Snapshot
from era5dl.planner import Plan
from tests.runs import settings_for
from tests.servers.seaweed import Seaweed

MB = 1_000_000


def fill(server: Seaweed, files: int, size: int) -> dict[str, str]:
    """Store objects; return the SHA-256 of each key."""
    made = {}
    for number in range(files):
        data = random.Random(number).randbytes(size)
        server.put(f"a/{number:04}.grb", data)
        made[f"a/{number:04}.grb"] = hashlib.sha256(data).hexdigest()
    return made


def measure(server: Seaweed, plan: Plan, workers: int, speed: int, *, kill: bool) -> tuple[Result, float, Path]:
    """Download the plan into a new folder on so many workers; return also the seconds and the folder."""
    out = Path(tempfile.mkdtemp(prefix="era5dl-cluster-"))
    settings = settings_for(server, workers=8, rate_limit=workers * speed)
    with on_dask.connect(f"local:{workers}") as client:
        client.wait_for_workers(workers)
        client.run(_warm_up)
        victims: list[int] = []

        def end_one(snapshot: Snapshot) -> None:
            if kill and not victims and snapshot.done_bytes > plan.total_bytes // 3:
                victims.append(min(client.run(os.getpid).values()))
                os.kill(victims[0], signal.SIGKILL)

        began = time.monotonic()
        result = era5dl.download(plan, out, client=client, settings=settings, progress=end_one)
        return result, time.monotonic() - began, out


def _warm_up() -> None:
    """Import what a worker needs, as on a cluster that has been running for a while."""
    import era5dl.bucket.s3
    import era5dl.cluster.on_dask  # noqa: F401


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2,4,8")
    parser.add_argument("--files", type=int, default=72)
    parser.add_argument("--size", type=float, default=4.0, metavar="MB")
    parser.add_argument("--speed", type=float, default=8.0, metavar="MB/s", help="of each worker")
    parser.add_argument("--kill", action="store_true")
    given: Any = parser.parse_args()
    rows = [(int(number), False) for number in given.workers.split(",")] + ([(4, True)] if given.kill else [])
    with tempfile.TemporaryDirectory() as folder, Seaweed(Path(folder)) as server:
        digests = fill(server, given.files, int(given.size * MB))
        plan = Plan({"prefix": "a/"}, tuple(S3Bucket(settings_for(server)).list("a/")))
        print("| workers | s | MB/s | x | received / wanted | moved | files |")
        first = 0.0
        for workers, kill in rows:
            result, seconds, out = measure(server, plan, workers, int(given.speed * MB), kill=kill)
            first = first or seconds
            wrong = [key for key, digest in digests.items() if _sha256(out / key) != digest]
            name = f"{workers}, one killed" if kill else str(workers)
            print(
                f"| {name} | {seconds:.1f} | {plan.total_bytes / MB / seconds:.1f} | {first / seconds:.2f} "
                f"| {result.fetched_bytes / plan.total_bytes:.4f} | {result.moved} "
                f"| {'identical' if not wrong and result.complete else f'{len(wrong)} WRONG: {result.error}'} |",
                flush=True,
            )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


if __name__ == "__main__":
    main()
