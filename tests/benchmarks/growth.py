"""Benchmark of scaling: time and memory per object with 1,000, 10,000 and 100,000 objects.

    python -m tests.benchmarks.growth [--counts 1000,10000,100000] [--sizes 65536,0]

Measures planning, starting a session, downloading, checkpoints and opening the session again. Each case runs in its
own process against `speed.server`. Files are removed as soon as they are verified, so that they do not fill the disk.
Memory per object is the difference of the process' peak to that of the smallest case. Goals: constant time per object
and per checkpoint, at most 1 KB of memory per object.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from era5dl.engine.events import Event, FileDone
from era5dl.session.checkpoint import Checkpoint
from tests.benchmarks.speed.hosts import PROJECT, files
from tests.benchmarks.speed.objects import BUCKET, MANIFEST, Stored, Workload

if TYPE_CHECKING:
    from era5dl.bucket.s3 import S3Bucket
    from era5dl.settings import Settings

LOOK_EVERY = 0.05  # seconds
DAY = 1000  # objects in one folder of the bucket


def key_of(number: int) -> str:
    return f"e5.oper.an.sfc/{number // DAY:06}/e5.oper.an.sfc.128_167_2t.ll025sc.{number:07}.bin"


def offer(folder: Path, count: int, size: int) -> None:
    """Create this number of objects in the folder, all of which are the same file."""
    data = os.urandom(size)
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    (folder / BUCKET / "bytes").write_bytes(data)
    etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    same = asdict(Stored(size, etag, None, hashlib.sha256(data).hexdigest(), file="bytes"))
    (folder / MANIFEST).write_text(json.dumps({key_of(number): same for number in range(count)}), "utf-8")


def fetch(url: str, count: int, out: Path) -> dict[str, Any]:
    """In a new process, measure each step from the plan to the end of the download, and of a resumption."""
    from era5dl.bucket.s3 import S3Bucket
    from era5dl.session import Session
    from era5dl.settings import Settings

    process, peak, ended = psutil.Process(), [0], threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_EVERY):
            peak[0] = max(peak[0], process.memory_info().rss)

    threading.Thread(target=look, daemon=True).start()
    settings = Settings(endpoint_url=url, bucket=BUCKET, disk_reserve=0)
    steps = Steps()
    session_id, saves = run(S3Bucket(settings), settings, count, out, steps)
    steps.begin()  # as in a new program: the plan is not in memory until it is read
    Session.open(out, session_id).close()
    steps.ended("open")
    ended.set()
    resume_file = (out / ".era5dl" / f"{session_id}.json").stat().st_size
    return {"wall": steps.wall, "cpu": steps.cpu, "rss": peak[0], "saves": saves, "resume_file": resume_file}


class Steps:
    """Measures seconds and CPU seconds of each step."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self.begin()

    def begin(self) -> None:
        self._now, self._used = time.monotonic(), time.process_time()

    def ended(self, step: str) -> None:
        self.wall[step], self.cpu[step] = time.monotonic() - self._now, time.process_time() - self._used
        self.begin()


def run(bucket: S3Bucket, settings: Settings, count: int, out: Path, steps: Steps) -> tuple[str, list[Any]]:
    """Plan and download. Return the session's id, and seconds and CPU seconds of each checkpoint."""
    from era5dl.engine.engine import Engine
    from era5dl.planner.from_keys import plan_keys
    from era5dl.session import Session

    def hear(event: Event) -> None:
        if isinstance(event, FileDone):
            Path(event.path).unlink()

    steps.begin()
    plan = plan_keys([key_of(number) for number in range(count)], bucket)
    steps.ended("plan")
    session = Session.begin(out, plan, settings)
    steps.ended("begin")
    saves: list[Any] = []
    save = session.save

    def timed(checkpoint: Checkpoint) -> None:
        began, used = time.monotonic(), time.thread_time()
        save(checkpoint)
        saves.append((time.monotonic() - began, time.thread_time() - used))

    session.save = timed  # type: ignore[method-assign]
    engine = Engine(bucket, session, settings, hear)
    engine.start()
    engine.wait()
    steps.ended("fetch")
    assert engine.result is not None
    assert engine.result.verified == count, engine.result
    del session.save  # otherwise a reference cycle would keep the session alive
    session.close()
    return session.id, saves


def measured(folder: Path, count: int, size: int) -> dict[str, Any]:
    """Return the results of one case."""
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
    print("CPU of each step, and the time of the fetch, in ms an object; of checkpoints the median (most).\n")
    print(
        "| objects | bytes | plan | begin | fetch | open | time of fetch | checkpoint ms | its CPU ms | KiB | RSS MB |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for size in map(int, given.sizes.split(",")):
        smallest: tuple[int, int] | None = None
        for count in map(int, given.counts.split(",")):
            with tempfile.TemporaryDirectory(prefix="era5dl-growth-", dir=memory if memory.is_dir() else None) as name:
                found = measured(Path(name), count, size)
            smallest = smallest or (count, found["rss"])
            each = [*(found["cpu"][step] for step in ("plan", "begin", "fetch", "open")), found["wall"]["fetch"]]
            cells = [f"{count:,}", f"{size:,}", *(f"{1000 * seconds / count:.3f}" for seconds in each)]
            taken = zip(*found["saves"], strict=True)
            cells += [f"{1000 * statistics.median(one):.1f} ({1000 * max(one):.1f})" for one in taken]
            cells += [f"{found['resume_file'] / 1024:.0f}", f"{found['rss'] / 1e6:.0f}"]
            if count > smallest[0]:
                cells[-1] += f" (+{(found['rss'] - smallest[1]) / (count - smallest[0]):.0f} B an object)"
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
