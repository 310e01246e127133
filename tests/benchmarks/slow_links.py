"""Benchmark of slow links: throughput relative to (workers x speed of one connection), and the tail.

    python -m tests.benchmarks.slow_links [--scale 0.25] [--only W5] [--rounds 3]
    python -m tests.benchmarks.slow_links --venv peers [--rounds 5]     # peers that split files, and era5dl

The server (`speed.server`) limits the speed of each connection exactly. The time is that of the engine, from `start`
until every file is verified. The ideal is bytes / (workers x speed), without the connections that are slowed down on
purpose. The tail starts when, after all workers were busy, the first of them has had no work for TWITCH seconds.
Goals: at least 0.97 of the link, a tail below 3 %. Figures are medians; "noise" is the number of cores that other
programs used.

With --venv whole programs are measured from start to end, each with 32 connections (`speed` explains how to create
`peers` and has their settings). Programs with one connection per file are left out: they take 34 and 67 s.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine.engine import Engine
from era5dl.planner.from_keys import plan_keys
from era5dl.session import Session
from era5dl.settings import Settings
from tests.benchmarks.speed.__main__ import rounds as in_turn
from tests.benchmarks.speed.hosts import files
from tests.benchmarks.speed.measure import busy, cpu_of, wait_for_quiet
from tests.benchmarks.speed.objects import BUCKET, WORKLOADS, Workload, make
from tests.benchmarks.speed.peers import find_clients
from tests.benchmarks.speed.tables import medians

LOOK_EVERY = 0.01  # seconds
TWITCH = 0.06  # seconds; shorter idle times of a worker are those between two pieces
CUTTING = ("era5dl", "s5cmd", "rclone", "obstore-ranges", "boto3")  # clients with several connections per file


@dataclass(frozen=True, slots=True)
class Case:
    """A workload on a link, with a number of workers."""

    name: str
    work: Workload
    workers: int
    latency: float = 0.0
    crawls: int = 0  # one in this number of connections has only 20 kB/s

    @property
    def ideal(self) -> float:
        """Seconds if all connections are always in use, without the slow ones."""
        share = 1 - 1 / self.crawls if self.crawls else 1.0
        return self.work.total / (self.workers * share * self.work.speed)


@dataclass(frozen=True, slots=True)
class Seen:
    """seconds: of the whole run. ramp: until all workers were busy. tail: from the first idle one to the end.
    noise: cores that others used."""

    seconds: float
    ramp: float
    tail: float
    retries: int
    noise: float


def cases(scale: float) -> list[Case]:
    w5, w6 = WORKLOADS["W5"].scaled(scale), WORKLOADS["W6"].scaled(scale)
    longer = replace(w5, what="1 x 512 MiB, 2 MB/s a connection", speed=2_000_000)
    return [
        Case("W5", w5, 8),
        Case("W5", w5, 32),
        Case("W5, four times as long", longer, 32),
        Case("W6", w6, 8),
        Case("W6", w6, 32),
        Case("W5, 200 ms", w5, 8, latency=0.2),
        Case("W5, four times as long, 200 ms", longer, 32, latency=0.2),
        Case("W6, 200 ms", w6, 8, latency=0.2),
        Case("W5, one in 8 crawls", w5, 8, crawls=8),
        Case("W6, one in 8 crawls", w6, 8, crawls=8),
        Case("W6, one in 8 crawls", w6, 32, crawls=8),
    ]


def run(case: Case, folder: Path) -> Seen:
    """Fetch the workload once, and measure."""
    link = ["--latency", str(case.latency), "--slow-every", str(case.crawls)]
    with files(folder, case.work, *link) as host, tempfile.TemporaryDirectory(dir=folder) as out:
        settings = Settings(endpoint_url=host.url, bucket=BUCKET, workers=case.workers, disk_reserve=0)
        bucket = S3Bucket(settings)
        plan = plan_keys(case.work.key_list(), bucket)
        bucket.drop_idle_connections()
        with Session.begin(Path(out), plan, settings) as session:
            engine = Engine(bucket, session, settings)
            wait_for_quiet()
            others = _used_by_others(host.pid)
            began = time.monotonic()
            engine.start()
            looks: list[tuple[float, int]] = []
            while not engine.wait(LOOK_EVERY):
                looks.append((time.monotonic() - began, engine.snapshot().in_flight))
            seconds = time.monotonic() - began
            noise = max(0.0, _used_by_others(host.pid) - others) / seconds
            assert engine.result is not None
            assert engine.result.verified == case.work.count, engine.result
            retries = engine.snapshot().retries
        bucket.drop_idle_connections()
        return Seen(seconds, *_ramp_and_tail(looks, case.workers, seconds), retries, noise)


def _used_by_others(server: int) -> float:
    """Return the CPU seconds of other programs: neither of this process nor the server; the origin is arbitrary."""
    return busy() - time.process_time() - cpu_of(server)


def _ramp_and_tail(looks: list[tuple[float, int]], workers: int, end: float) -> tuple[float, float]:
    busy_at = [when for when, in_flight in looks if in_flight >= workers]
    if not busy_at:
        return end, end
    idle_since = None
    for when, in_flight in looks:
        if when < busy_at[0] or in_flight >= workers:
            idle_since = None
        else:
            idle_since = when if idle_since is None else idle_since
            if when - idle_since >= TWITCH:
                return busy_at[0], end - idle_since
    return busy_at[0], end - (idle_since if idle_since is not None else end)


def alone(chosen: Sequence[Case], folder: Path, rounds: int) -> None:
    """Print the table of era5dl's engine."""
    make(folder, list({case.work.name: case.work for case in chosen}.values()))
    print("| case | workers | s | ideal s | of the link | all busy after, s | tail | retries | noise |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for case in chosen:
        seen = [run(case, folder) for _ in range(rounds)]
        took = median(one.seconds for one in seen)
        spread = f" ({min(one.seconds for one in seen):.2f} to {max(one.seconds for one in seen):.2f})"
        cells = [f"{case.name} ({case.work.what})", f"{case.workers}"]
        cells += [f"{took:.2f}{spread if rounds > 1 else ''}", f"{case.ideal:.2f}", f"{case.ideal / took:.3f}"]
        cells += [f"{median(one.ramp for one in seen):.2f}"]
        cells += [f"{100 * median(one.tail / one.seconds for one in seen):.1f} %"]
        cells += [f"{sum(one.retries for one in seen)}", f"{median(one.noise for one in seen):.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def beside_peers(works: Sequence[Workload], folder: Path, venvs: Sequence[Path], rounds: int) -> None:
    """Print the tables of whole programs, the fastest first."""
    found, missing = find_clients(venvs)
    print("\n".join(missing), flush=True)
    stored = make(folder, list(works))
    tables = []
    for work in works:
        with files(folder, work) as host:
            clients = [client for client in found if client.name in CUTTING]
            runs = list(in_turn(work, host, clients, stored, folder, rounds))
        ideal = work.total / (work.connections * work.speed)
        lines = [f"{work.name}: {work.what}, {work.connections} connections; {ideal:.2f} s at best; {rounds} rounds\n"]
        lines += [
            "| client | s, median (min to max) | of the link | CPU s | RSS MB | noise |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        taken, cpu, noise = (medians(runs, figure) for figure in ("seconds", "cpu", "noise"))
        for name in sorted(taken, key=lambda name: taken[name]):
            mine = [one for one in runs if one["client"] == name]
            low, high = min(one["seconds"] for one in mine), max(one["seconds"] for one in mine)
            cells = [name, f"{taken[name]:.2f} ({low:.2f} to {high:.2f})", f"{ideal / taken[name]:.2f}"]
            cells += [f"{cpu[name]:.2f}", f"{max(one['rss'] for one in mine) / 1e6:.0f}", f"{noise[name]:.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    print("\n\n".join(tables))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default="", help="cases, or workloads, whose name has this in it")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--venv", type=Path, action="append", default=[], help="where peers are installed (repeatable)")
    given = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="era5dl-slow-", dir=memory if memory.is_dir() else None) as name:
        os.environ["ERA5DL_STATE_DIR"] = f"{name}/state"
        if given.venv:
            works = [WORKLOADS[name].scaled(given.scale) for name in ("W5", "W6") if given.only in name]
            beside_peers(works, Path(name), given.venv, given.rounds)
        else:
            alone([case for case in cases(given.scale) if given.only in case.name], Path(name), given.rounds)


if __name__ == "__main__":
    main()
