"""Benchmark of checkpoints: size and time of one save with 10, 1,000 and 100,000 objects in the plan.

    python -m tests.benchmarks.checkpoint_cost

Each plan is saved in three states: midway (a clean run), holes (every second object failed, so that the set of
finished objects is nothing but holes) and worst (every list at its limit). "save" leaves out the fsync, whose time
depends on the disk and is printed separately. Limits: 256 KiB, 20 ms.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.planner.plan import Plan
from era5dl.ranges import RangeSet
from era5dl.session import Checkpoint, FailedObject, Session, UnfinishedObject
from era5dl.settings import Settings

REPEATS = 30
PARTS = 200  # of an unfinished object: 1.6 GB in parts of 8 MiB
GB = 10**9


def plan_of(count: int) -> Plan:
    return Plan(
        {"keys": "0" * 64, "count": count},
        tuple(
            ObjectInfo(f"e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.{n:010}.nc", GB, f'"{n:032x}-{PARTS}"', n)
            for n in range(count)
        ),
    )


def unfinished(first: int, count: int, pieces: int) -> tuple[UnfinishedObject, ...]:
    digests = {part: f"{part:032x}" for part in range(PARTS)}
    done = tuple((start * 10_000, start * 10_000 + 5000) for start in range(pieces))
    return tuple(UnfinishedObject(n, done, digests) for n in range(first, first + count))


def midway(plan: Plan) -> Checkpoint:
    half = len(plan.objects) // 2
    begun = min(8, len(plan.objects) - half)
    return replace(
        Checkpoint.empty(), verified=RangeSet([(0, half)]), unfinished=unfinished(half, begun, 4), done_bytes=half * GB
    )


def holes(plan: Plan) -> Checkpoint:
    count = len(plan.objects) - min(8, len(plan.objects))
    failures = tuple(
        FailedObject(n, plan.objects[n].key, "The connection ended before all bytes had come.", "Try again.", 1.7e9)
        for n in range(1, count, 2)
    )
    verified = RangeSet((n, n + 1) for n in range(0, count, 2))
    return replace(Checkpoint.empty(), verified=verified, failures=failures, unfinished=unfinished(count, 8, 4))


def worst(plan: Plan) -> Checkpoint:
    begun = min(len(plan.objects), 1000)
    return replace(
        holes(plan),
        verified=RangeSet((n, n + 1) for n in range(begun, len(plan.objects), 2)),
        checked=RangeSet((n, n + 1) for n in range(begun + 1, len(plan.objects), 2)),
        unfinished=unfinished(0, begun, 50),
        replaced={n: replace(plan.objects[n], etag='"new"') for n in range(min(len(plan.objects), 2000))},
    )


def measure(session: Session, checkpoint: Checkpoint) -> tuple[int, float, float]:
    """Return the size of the file, and the median seconds of a save without and with fsync."""
    times: list[tuple[float, float]] = []
    real_fsync = os.fsync
    waited = [0.0]

    def timed_fsync(fd: int) -> None:
        began = time.perf_counter()
        real_fsync(fd)
        waited[0] += time.perf_counter() - began

    os.fsync = timed_fsync
    try:
        for _ in range(REPEATS):
            waited[0] = 0.0
            began = time.perf_counter()
            session.save(checkpoint)
            whole = time.perf_counter() - began
            times.append((whole - waited[0], whole))
    finally:
        os.fsync = real_fsync
    size = (session.folder / ".era5dl" / f"{session.id}.json").stat().st_size
    return size, statistics.median(t for t, _ in times), statistics.median(t for _, t in times)


def main() -> None:
    states: tuple[Callable[[Plan], Checkpoint], ...] = (midway, holes, worst)
    print(f"{'objects':>9} {'state':8} {'size KiB':>9} {'save ms':>9} {'with fsync':>11}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ERA5DL_STATE_DIR"] = folder + "/state"
        for count in (10, 1000, 100_000):
            plan = plan_of(count)
            began = time.perf_counter()
            with Session.begin(Path(folder) / str(count), plan, Settings()) as session:
                begin = time.perf_counter() - began
                for state in states:
                    size, bare, whole = measure(session, state(plan))
                    print(f"{count:9,} {state.__name__:8} {size / 1024:9.1f} {bare * 1e3:9.2f} {whole * 1e3:11.2f}")
                session.save(midway(plan))
            began = time.perf_counter()
            Session.open(Path(folder) / str(count)).close()
            print(f"{count:9,} begin {begin:.3f} s, open {time.perf_counter() - began:.3f} s")


if __name__ == "__main__":
    main()
