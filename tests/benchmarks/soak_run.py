"""Runs one client of the endurance test: bucket, disturbances, client process, and a record every 2 % of the way.

The client's own metrics arrive through a pipe. Those of the system (memory, open files, connections, threads) are read
from outside, so that reading them does not change them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from era5dl.diagnosis.metrics import measure
from tests.benchmarks.soak_disturbances import SCALE
from tests.benchmarks.soak_figures import Figures
from tests.benchmarks.soak_objects import Fate, Item, fate
from tests.faultlab import FaultServer

RECORDS = 50  # one per 2 % of the download


@dataclass(frozen=True, slots=True)
class Record:
    """Metrics at one time, and changes since the previous record. Sizes in bytes, times in seconds."""

    at: float  # since the client got its list of objects
    files: int  # finished files, including failed ones
    failed: int
    size: int
    speed: float  # bytes per second since the previous record
    requests: int  # received by the server since the previous record
    faults: int  # failed attempts since the previous record
    blocked: float  # of all workers together, since the previous record
    resting: float
    delayed: float
    rss: int
    open_files: int
    connections: int  # established
    threads: int
    checkpoint_bytes: int
    checkpoint_seconds: float
    cpu: float = 0.0  # CPU seconds of the client since the previous record


Point = tuple[float, int, int, int, float]
"""Where a client was, one a second: seconds, files ended, files failed, bytes in place, seconds blocked."""


@dataclass(slots=True)
class Run:
    """An endurance test of one client."""

    who: str
    workers: int
    objects: int
    wanted: int  # bytes
    records: list[Record] = field(default_factory=list)
    line: list[Point] = field(default_factory=list)
    began: float = 0.0  # seconds since 1970
    seconds: float = 0.0
    ended: bool = False  # before the timeout
    fates: dict[str, int] = field(default_factory=dict)
    wrong_at: list[float] = field(default_factory=list)  # times at which wrong files got their final names
    left_over: int = 0  # remaining part files at the end
    sent: int = 0  # bytes of objects that the server sent
    destroyed: int = 0  # of these, bytes that no client can use because of a fault (see `faultlab.Stats`)
    requests: int = 0
    struck: int = 0  # requests with a fault

    @property
    def received(self) -> int:
        """Bytes of complete files at the end."""
        return self.records[-1].size if self.records else 0

    @property
    def overhead(self) -> float:
        """Bytes sent without need, beyond those destroyed by faults, as a fraction of the received ones."""
        return (self.sent - self.destroyed - self.received) / max(self.received, 1)


def command(who: str, server: FaultServer, keys_file: Path, out: Path, workers: int) -> list[str]:
    """Return the command line of a client."""
    module = {"era5dl": "soak_client", "predecessor": "predecessor"}[who]
    words = [server.endpoint_url, server.bucket, str(keys_file), str(out), str(workers), str(SCALE)]
    return [sys.executable, "-m", f"tests.benchmarks.{module}", *words]


def soak(who: str, server: FaultServer, items: Sequence[Item], folder: Path, workers: int, seconds: float) -> Run:
    """Let `who` fetch the items into a new folder, which is removed afterwards; it is stopped after so many seconds."""
    folder.mkdir(parents=True)
    out, keys_file = folder / "out", folder / "keys.txt"
    keys_file.write_text("\n".join(item.key for item in items), "utf-8")
    run = Run(who, workers, len(items), sum(item.size for item in items))
    environment = {**os.environ, "ERA5DL_STATE_DIR": str(folder / "state"), "NO_PROXY": "127.0.0.1"}
    server.reset_stats()
    with subprocess.Popen(
        command(who, server, keys_file, out, workers), stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            _watch(run, server, process, seconds)
        finally:
            process.kill()
    if not run.line:
        raise RuntimeError(f"{who} has said nothing")
    stats = server.stats()
    run.sent, run.destroyed = stats.payload, stats.destroyed
    run.requests, run.struck = stats.requests.get("GET", 0), sum(stats.faults.values())
    _look(run, items, out)
    shutil.rmtree(folder)
    return run


def _watch(run: Run, server: FaultServer, process: subprocess.Popen[str], seconds: float) -> None:
    """Wait for the end of the client or the timeout."""
    recorder: Recorder | None = None
    for figures in _figures(process):
        recorder = recorder or Recorder(run, server, psutil.Process(process.pid))  # its planning is over
        recorder.hear(figures)
        if figures.over or run.seconds >= seconds:
            run.ended = figures.over
            return


def _figures(process: subprocess.Popen[str]) -> Iterator[Figures]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            yield Figures.parse(line)


class Recorder:
    """Creates records from the metrics of the client."""

    def __init__(self, run: Run, server: FaultServer, process: psutil.Process) -> None:
        self._run, self._server, self._process = run, server, process
        self._began = time.monotonic()
        run.began = time.time()
        self._before, self._asked, self._at, self._cpu = Figures(), 0, 0.0, 0.0

    def hear(self, figures: Figures) -> None:
        """Take a record if the next 2 % are done; and a point of the line every second."""
        run = self._run
        now = run.seconds = time.monotonic() - self._began
        if not run.line or now - run.line[-1][0] >= 1.0 or figures.over:
            blocked = round(figures.blocked, 2)
            run.line.append((round(now, 2), figures.files, figures.failed, figures.size, blocked))
        if figures.over or figures.files * RECORDS >= (len(run.records) + 1) * run.objects:
            self._take(figures, now)

    def _take(self, figures: Figures, now: float) -> None:
        before, process = self._before, measure(self._process)
        if figures.over and not process.rss and self._run.records:
            return  # the client has already ended
        asked = self._server.stats().requests.get("GET", 0)
        times = self._process.cpu_times()
        cpu = times.user + times.system
        elapsed = max(now - self._at, 1e-3)
        self._run.records.append(
            Record(
                at=round(now, 2),
                files=figures.files,
                failed=figures.failed,
                size=figures.size,
                speed=(figures.size - before.size) / elapsed,
                requests=asked - self._asked,
                faults=figures.faults - before.faults,
                blocked=figures.blocked - before.blocked,
                resting=figures.resting - before.resting,
                delayed=figures.delayed - before.delayed,
                rss=process.rss,
                open_files=process.open_files or 0,
                connections=process.established or 0,
                threads=process.threads,
                checkpoint_bytes=figures.checkpoint_bytes,
                checkpoint_seconds=figures.checkpoint_seconds,
                cpu=cpu - self._cpu,
            )
        )
        self._before, self._asked, self._at, self._cpu = figures, asked, now, cpu


def _look(run: Run, items: Sequence[Item], out: Path) -> None:
    """Compare the files on disk, byte by byte."""
    fates: Counter[str] = Counter()
    for item in items:
        found = fate(out, item)
        fates[found.value] += 1
        if found is Fate.WRONG:
            run.wrong_at.append(round((out / item.key).stat().st_mtime - run.began, 1))
    run.fates = dict(fates)
    run.left_over = sum(1 for pattern in ("*.part", "*.tmp") for _ in out.rglob(pattern))
