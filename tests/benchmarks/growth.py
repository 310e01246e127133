"""How cost grows with the number of objects: plan, begin, fetch, checkpoint and open 1,000, 10,000 and 100,000 of them.

    python -m tests.benchmarks.growth [--counts 1000,10000,100000] [--sizes 65536,0]

Each case runs in a process of its own, against `speed.server`. What came is removed as soon as it is proven, so that no
disk is filled. Memory an object is that of the whole process at its highest, beside the smallest case's. Goals: time an
object and cost of a checkpoint flat, at most 1 KB of memory an object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from era5dl.engine.events import Event, FileDone
from era5dl.session.checkpoint import Checkpoint
from tests.benchmarks.speed.hosts import PROJECT, files
from tests.benchmarks.speed.objects import BUCKET, MANIFEST, Stored, Workload

LOOK_EVERY = 0.05  # seconds
DAY = 1000  # objects in one folder of the bucket


def key_of(number: int) -> str:
    return f"e5.oper.an.sfc/{number // DAY:06}/e5.oper.an.sfc.128_167_2t.ll025sc.{number:07}.bin"


def offer(folder: Path, count: int, size: int) -> None:
    """So many objects in the folder, all of them the same file."""
    data = os.urandom(size)
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    (folder / BUCKET / "bytes").write_bytes(data)
    etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    same = asdict(Stored(size, etag, None, hashlib.sha256(data).hexdigest(), file="bytes"))
    (folder / MANIFEST).write_text(json.dumps({key_of(number): same for number in range(count)}), "utf-8")


def fetch(url: str, count: int, out: Path) -> dict[str, Any]:
    """In a fresh process: all of it, from the plan to the end, and how long each step took."""
    from era5dl.bucket.s3 import S3Bucket
    from era5dl.engine.engine import Engine
    from era5dl.planner.keys import plan_keys
    from era5dl.session import Session
    from era5dl.settings import Settings

    process, peak, ended = psutil.Process(), [0], threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_EVERY):
            peak[0] = max(peak[0], process.memory_info().rss)

    def hear(event: Event) -> None:
        if isinstance(event, FileDone):
            Path(event.path).unlink()

    threading.Thread(target=look, daemon=True).start()
    settings = Settings(endpoint_url=url, bucket=BUCKET, disk_reserve=0)
    bucket = S3Bucket(settings)
    marks = [time.monotonic()]
    plan = plan_keys([key_of(number) for number in range(count)], bucket)
    marks.append(time.monotonic())
    session = Session.begin(out, plan, settings)
    marks.append(time.monotonic())
    saves: list[float] = []
    save = session.save

    def timed(checkpoint: Checkpoint) -> None:
        began = time.monotonic()
        save(checkpoint)
        saves.append(time.monotonic() - began)

    session.save = timed  # type: ignore[method-assign]
    cpu = time.process_time()
    engine = Engine(bucket, session, settings, hear)
    engine.start()
    engine.wait()
    marks.append(time.monotonic())
    cpu = time.process_time() - cpu
    assert engine.result is not None
    assert engine.result.verified == count, engine.result
    session.close()
    marks.append(time.monotonic())
    Session.open(out, session.id).close()
    marks.append(time.monotonic())
    ended.set()
    steps = dict(zip(("plan", "begin", "fetch", "close", "open"), _differences(marks), strict=True))
    resume_file = (out / ".era5dl" / f"{session.id}.json").stat().st_size
    return {**steps, "cpu": cpu, "rss": peak[0], "saves": saves, "resume_file": resume_file}


def _differences(marks: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(marks)]


def measured(folder: Path, count: int, size: int) -> dict[str, Any]:
    """The figures of one case."""
    offer(folder, count, size)
    with files(folder, Workload("growth", "", count, size)) as host, tempfile.TemporaryDirectory(dir=folder) as out:
        words = [sys.executable, "-m", "tests.benchmarks.growth", "--fetch", host.url, str(count), f"{out}/files"]
        env = os.environ | {"ERA5DL_STATE_DIR": f"{out}/state"}
        said = subprocess.run(words, cwd=PROJECT, env=env, stdout=subprocess.PIPE, check=True, text=True).stdout
        found: dict[str, Any] = json.loads(said)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="1000,10000,100000")
    parser.add_argument("--sizes", default="65536,0", help="bytes of each object")
    parser.add_argument("--fetch", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fetch:
        url, count, out = given.fetch
        print(json.dumps(fetch(url, int(count), Path(out))))
        return
    memory = Path("/dev/shm")
    print("Times of plan, begin, fetch and open are for each object.\n")
    print(
        "| objects | bytes | plan ms | begin ms | fetch ms | CPU ms | open ms | checkpoint ms (most) | KiB | RSS MB |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for size in map(int, given.sizes.split(",")):
        smallest: tuple[int, int] | None = None
        for count in map(int, given.counts.split(",")):
            with tempfile.TemporaryDirectory(prefix="era5dl-growth-", dir=memory if memory.is_dir() else None) as name:
                found = measured(Path(name), count, size)
            each = {step: 1000 * found[step] / count for step in ("plan", "begin", "fetch", "cpu", "open")}
            smallest = smallest or (count, found["rss"])
            cells = [f"{count:,}", f"{size:,}", *(f"{each[step]:.3f}" for step in each)]
            cells.append(f"{1000 * statistics.median(found['saves']):.1f} ({1000 * max(found['saves']):.1f})")
            cells += [f"{found['resume_file'] / 1024:.0f}", f"{found['rss'] / 1e6:.0f}"]
            if count > smallest[0]:
                cells[-1] += f" (+{(found['rss'] - smallest[1]) / (count - smallest[0]):.0f} B an object)"
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
