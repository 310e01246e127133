"""Benchmark of start-up: `--help`, and the time until `resume` has the first byte on disk.

    python -m tests.benchmarks.start [--rounds 10] [--imports]

Medians of new processes, beside those of an empty Python. Another process watches the part file every millisecond for
the first byte. The session was begun by a download that was killed at once; its plan has --objects entries. Goals:
--help below 0.15 s, first byte below 0.6 s. --imports shows which imports `resume` spends its time on.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.planner import Plan
from era5dl.session import Session
from era5dl.settings import Settings
from tests.benchmarks.speed.hosts import PROJECT, files
from tests.benchmarks.speed.objects import BUCKET, MIB, Workload, make

LOOK_EVERY = 0.001  # seconds
SHOWN = 20  # imports
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)")


def seconds_of(words: Sequence[str], rounds: int) -> float:
    """Return the median duration of a process."""
    taken = []
    for _ in range(rounds):
        began = time.monotonic()
        subprocess.run(words, cwd=PROJECT, stdout=subprocess.DEVNULL, check=True)
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def first_byte(url: str, plan: Plan, folder: Path) -> float:
    """Return the seconds from `era5dl resume` to the first byte in a part file."""
    with Session.begin(folder, plan, Settings(endpoint_url=url, bucket=BUCKET)):
        pass
    before = {path: path.stat().st_blocks for path in folder.rglob("*")}
    began = time.monotonic()
    process = subprocess.Popen(_resume(folder, url), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            parts = [path for path in folder.rglob("*.part") if path not in before]
            if any(path.stat().st_blocks for path in parts):
                return time.monotonic() - began
            if process.poll() is not None:
                raise RuntimeError(f"resume ended with {process.returncode} and brought nothing")
            time.sleep(LOOK_EVERY)
    finally:
        process.kill()
        process.wait()


def _resume(folder: Path, url: str) -> list[str]:
    return [sys.executable, "-m", "era5dl", "resume", str(folder), "--limit-rate", "20M", "--allow-endpoint", url]


def plan_of(folder: Path, work: Workload, count: int) -> Plan:
    """Return a plan with the workload's object first, and many other objects after it."""
    stored = make(folder, [work])
    real = [ObjectInfo(key, found.size, found.etag) for key, found in stored.items()]
    rest = [ObjectInfo(f"none/{number:07}.bin", MIB, f'"{number:032x}"') for number in range(count - len(real))]
    return Plan({"benchmark": count}, (*real, *rest))


def imports_of(words: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return the imports of a command as (own and total microseconds, name), the most expensive first."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", *words[1:]], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    found = [(int(m[1]), int(m[2]), m[4]) for m in map(_LINE.match, ran.stderr.splitlines()) if m]
    return sorted(found, key=lambda line: -line[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--objects", type=int, default=1000, help="in the plan")
    parser.add_argument("--imports", action="store_true")
    given = parser.parse_args()
    work = Workload("start", "", 1, 64 * MIB)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="era5dl-start-", dir=memory if memory.is_dir() else None) as name:
        os.environ["ERA5DL_STATE_DIR"] = f"{name}/state"
        plan = plan_of(Path(name), work, given.objects)
        print(f"an empty Python                 {seconds_of([sys.executable, '-c', ''], given.rounds):.3f} s")
        words = [sys.executable, "-m", "era5dl", "--help"]
        print(f"era5dl --help                   {seconds_of(words, given.rounds):.3f} s")
        with files(Path(name), work) as host:
            times = [first_byte(host.url, plan, Path(name) / f"out{number}") for number in range(given.rounds)]
            spread = f"({min(times):.3f} to {max(times):.3f})"
            print(f"era5dl resume, to first byte    {statistics.median(times):.3f} s {spread}")
            if given.imports:
                short = Plan({"benchmark": 1}, plan.objects[:1])
                with Session.begin(Path(name) / "imports", short, Settings(endpoint_url=host.url, bucket=BUCKET)):
                    pass
                for own, whole, module in imports_of(_resume(Path(name) / "imports", host.url))[:SHOWN]:
                    print(f"{own / 1000:8.1f} ms own {whole / 1000:8.1f} ms with all below   {module}")


if __name__ == "__main__":
    main()
