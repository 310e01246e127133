"""Measures one program from start to end: time, CPU and memory of it and its children, and CPU of other programs.

For Linux and macOS: the CPU time of children comes from `wait4`.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_EVERY = 0.05  # seconds
QUIET = 0.15  # maximum number of cores used by other programs on a quiet machine
PATIENCE = 5.0  # maximum seconds to wait for a quiet machine


@dataclass(frozen=True, slots=True)
class Cost:
    """seconds and cpu in s, rss in bytes: the highest sum over the tree. noise: cores used by others meanwhile."""

    seconds: float
    cpu: float
    rss: int
    server_cpu: float
    noise: float
    code: int
    said: str  # the end of its output


def measure(
    words: Sequence[str], env: Mapping[str, str], folder: Path, server: int | None = None, timeout: float = 600.0
) -> Cost:
    """Run a program, and kill it after `timeout`. server: process whose CPU time is that of the server."""
    wait_for_quiet()
    log = folder / "said.log"
    peak = [0]
    ended = threading.Event()
    machine, served = busy(), cpu_of(server)
    with log.open("wb") as said:
        began = time.monotonic()
        process = subprocess.Popen(
            words, env=dict(env), cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        sampler = threading.Thread(target=_sample, args=(process.pid, peak, ended), daemon=True)
        sampler.start()
        with _killed_after(process, timeout):
            _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        sampler.join()
    cpu, server_cpu = used.ru_utime + used.ru_stime, cpu_of(server) - served
    noise = max(0.0, busy() - machine - cpu - server_cpu) / seconds
    tail = log.read_bytes()[-1500:].decode(errors="replace")
    return Cost(seconds, cpu, peak[0], server_cpu, noise, process.returncode, tail)


def wait_for_quiet() -> None:
    """Wait until other programs use little CPU, at most `PATIENCE` seconds."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        before, began = busy(), time.monotonic()
        time.sleep(0.4)
        if (busy() - before) / (time.monotonic() - began) < QUIET:
            return


@contextmanager
def _killed_after(process: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _sample(pid: int, peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_EVERY):
        with suppress(psutil.Error):
            top = psutil.Process(pid)
            total = 0
            for process in (top, *top.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_info().rss
            peak[0] = max(peak[0], total)


def cpu_of(pid: int | None) -> float:
    """Return the CPU seconds of a running process and its children."""
    total = 0.0
    if pid is not None:
        with suppress(psutil.Error):
            top = psutil.Process(pid)
            for process in (top, *top.children(recursive=True)):
                used = process.cpu_times()
                total += used.user + used.system
    return total


def busy() -> float:
    """Return the CPU seconds of the whole machine; the origin is arbitrary."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
