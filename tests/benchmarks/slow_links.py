"""How much of a slow link era5dl uses: what came in a second beside workers x speed of a connection, and the tail.

    python -m tests.benchmarks.slow_links [--scale 0.25] [--only W5]

The server (`speed.server`) paces each connection to the byte. The time is the engine's own, from `start` to the end and
every file proven; the ideal is bytes / (workers x speed), connections that crawl left out of it. The tail is the time
from the first worker that had nothing to do for TWITCH seconds, once all had been busy, to the end. Goals: at least
0.97 of the link, a tail below 3 %. `python -m tests.benchmarks.speed -w W5,W6` has the peers.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine.engine import Engine
from era5dl.planner.keys import plan_keys
from era5dl.session import Session
from era5dl.settings import Settings
from tests.benchmarks.speed.hosts import files
from tests.benchmarks.speed.objects import BUCKET, MIB, Workload, make

LOOK_EVERY = 0.01  # seconds
TWITCH = 0.06  # seconds; a worker that has less of a rest was only between two pieces


@dataclass(frozen=True, slots=True)
class Case:
    """A workload on a link, with so many workers."""

    name: str
    work: Workload
    workers: int
    latency: float = 0.0
    crawls: int = 0  # one connection in so many has only 20 kB/s

    @property
    def ideal(self) -> float:
        """Seconds it takes if every connection is always in use, those that crawl left out."""
        share = 1 - 1 / self.crawls if self.crawls else 1.0
        return self.work.total / (self.workers * share * self.work.speed)


@dataclass(frozen=True, slots=True)
class Seen:
    """seconds: of the whole run. ramp: until all workers were busy. tail: from the first idle one to the end."""

    seconds: float
    ramp: float
    tail: float
    retries: int


def cases(scale: float) -> list[Case]:
    w5 = Workload("W5", "1 x 512 MiB, 8 MB/s a connection", 1, 512 * MIB, speed=8_000_000).scaled(scale)
    w6 = Workload("W6", "6 x 64 MiB, 2 MB/s a connection", 6, 64 * MIB, speed=2_000_000).scaled(scale)
    return [
        Case("W5", w5, 8),
        Case("W5", w5, 32),
        Case("W6", w6, 8),
        Case("W6", w6, 32),
        Case("W5, 200 ms", w5, 8, latency=0.2),
        Case("W6, 200 ms", w6, 8, latency=0.2),
        Case("W5, one in 8 crawls", w5, 8, crawls=8),
        Case("W6, one in 8 crawls", w6, 8, crawls=8),
        Case("W6, one in 8 crawls", w6, 32, crawls=8),
    ]


def run(case: Case, folder: Path) -> Seen:
    """Fetch it once, and look."""
    link = ["--latency", str(case.latency), "--slow-every", str(case.crawls)]
    with files(folder, case.work, *link) as host, tempfile.TemporaryDirectory(dir=folder) as out:
        settings = Settings(endpoint_url=host.url, bucket=BUCKET, workers=case.workers, disk_reserve=0)
        bucket = S3Bucket(settings)
        plan = plan_keys(case.work.key_list(), bucket)
        bucket.drop_idle_connections()
        with Session.begin(Path(out), plan, settings) as session:
            engine = Engine(bucket, session, settings)
            began = time.monotonic()
            engine.start()
            looks: list[tuple[float, int]] = []
            while not engine.wait(LOOK_EVERY):
                looks.append((time.monotonic() - began, engine.snapshot().in_flight))
            seconds = time.monotonic() - began
            assert engine.result is not None
            assert engine.result.verified == case.work.count, engine.result
            retries = engine.snapshot().retries
        bucket.drop_idle_connections()
        return Seen(seconds, *_ramp_and_tail(looks, case.workers, seconds), retries)


def _ramp_and_tail(looks: list[tuple[float, int]], workers: int, end: float) -> tuple[float, float]:
    busy = [when for when, in_flight in looks if in_flight >= workers]
    if not busy:
        return end, end
    idle_since = None
    for when, in_flight in looks:
        if when < busy[0] or in_flight >= workers:
            idle_since = None
        else:
            idle_since = when if idle_since is None else idle_since
            if when - idle_since >= TWITCH:
                return busy[0], end - idle_since
    return busy[0], end - (idle_since if idle_since is not None else end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    given = parser.parse_args()
    chosen = [case for case in cases(given.scale) if given.only in case.name]
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="era5dl-slow-", dir=memory if memory.is_dir() else None) as name:
        os.environ["ERA5DL_STATE_DIR"] = f"{name}/state"
        make(Path(name), [case.work for case in chosen])
        print("| case | workers | s | ideal s | of the link | all busy after, s | tail, s | tail | retries |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
        for case in chosen:
            seen = run(case, Path(name))
            cells = [f"{case.name} ({case.work.what})", f"{case.workers}", f"{seen.seconds:.2f}", f"{case.ideal:.2f}"]
            cells += [f"{case.ideal / seen.seconds:.3f}", f"{seen.ramp:.2f}", f"{seen.tail:.2f}"]
            cells += [f"{100 * seen.tail / seen.seconds:.1f} %", f"{seen.retries}"]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
