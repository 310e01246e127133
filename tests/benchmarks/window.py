"""Benchmark of the window under load: time until it is ready, delays of Tk's event loop, and memory.

    python -m tests.benchmarks.window [--rows 100000] [--seconds 20]

A plan of many small files is downloaded from a test server in its own process. A timer (`after(5)`) measures how late
the event loop is. A process that only sleeps for 5 ms at a time measures how late the machine itself is (`idle_ms`),
which matters where others use it, too. Runs on a private screen and prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tkinter as tk
from pathlib import Path

import psutil

from era5dl.bucket.interface import ObjectInfo
from era5dl.planner import Plan

BEAT = 5  # ms
SETTLED = 3.0  # seconds until everything is open
SIZE = 2000  # bytes of each file
ETAG = f'"{hashlib.md5(b"x" * SIZE, usedforsecurity=False).hexdigest()}"'
SERVER = """
import sys
from tests.faultlab import FaultServer
with FaultServer() as server:
    for i in range({rows}):
        server.put(f"e5.oper.an.pl/{{i // 1000:06}}/{{i:06}}.nc", b"x" * {size})
    print(server.endpoint_url, server.bucket, flush=True)
    sys.stdin.read()
"""
IDLE = """
import time
last, gaps, end = time.perf_counter(), [], time.monotonic() + {seconds}
while time.monotonic() < end:
    time.sleep({beat} / 1000)
    now = time.perf_counter()
    gaps.append(now - last - {beat} / 1000)
    last = now
print(*gaps)
"""
READY = """
import sys, time
began = time.perf_counter()
import tkinter as tk
from era5dl.gui.app import App
from era5dl.gui.startup_options import StartupOptions
root = tk.Tk()
app = App(root, StartupOptions(scale=1.0))
root.update()
print(time.perf_counter() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--limit", type=int, default=0, help="bytes a second; a file has 2000")
    given = parser.parse_args()
    from tests.gui_screen import Screen

    screen = Screen()
    os.environ["DISPLAY"] = screen.name
    try:
        with tempfile.TemporaryDirectory() as name:
            os.environ["ERA5DL_STATE_DIR"] = name
            ready = [_ready() for _round in range(5)]
            found = {"ready_ms_median_of_5": round(1000 * statistics.median(ready)), **_load(given, Path(name))}
        print(json.dumps(found, indent=1))
    finally:
        screen.close()


def _ready() -> float:
    """Return the seconds from the first import to the drawn window, in a new process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    said = subprocess.run([sys.executable, "-c", READY], capture_output=True, check=True, text=True, env=environment)
    return float(said.stdout)


def _load(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    from era5dl.gui.app import App
    from era5dl.gui.startup_options import StartupOptions

    if given.rows < 1000:
        raise SystemExit("at least 1000 rows")
    objects = [ObjectInfo(f"e5.oper.an.pl/{i // 1000:06}/{i:06}.nc", SIZE, ETAG) for i in range(given.rows)]
    plan = Plan({"benchmark": given.rows}, tuple(objects))
    command = [sys.executable, "-c", SERVER.format(rows=given.rows, size=SIZE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        endpoint_url, bucket = server.stdout.readline().split()
        root = tk.Tk()
        app = App(root, StartupOptions(scale=1.0, endpoint_url=endpoint_url, bucket=bucket, out=folder / "out"))
        app.store.override(endpoint_url=endpoint_url, disk_reserve=0, rate_limit=given.limit, folder=str(folder))
        sys.setswitchinterval(0.0005)  # as era5dl.gui.main does
        root.update()
        sleeper = subprocess.Popen(
            [sys.executable, "-c", IDLE.format(seconds=given.seconds, beat=BEAT)], stdout=subprocess.PIPE, text=True
        )
        process = psutil.Process()
        before = process.memory_info().rss
        app.service.runs.start(plan, folder / "out", app.store.current.to_settings())
        while app.service.runs.snapshot() is None:
            root.update()
        gaps: list[float] = []
        last = [time.perf_counter()]

        def beat() -> None:
            root.after(BEAT, beat)
            now = time.perf_counter()
            gaps.append(now - last[0] - BEAT / 1000)
            last[0] = now

        beat()
        _live(root, SETTLED)
        opening = max(gaps)
        gaps.clear()
        _live(root, given.seconds - SETTLED)
        snapshot = app.service.runs.snapshot()
        done = snapshot.done_files if snapshot else given.rows
        idle = [float(gap) for gap in sleeper.communicate()[0].split()]
        found: dict[str, object] = {
            "rows": given.rows,
            "files_a_second": round(done / given.seconds),
            "gap_ms": {**_spread(gaps), "opening_max": round(1000 * opening, 1)},
            "idle_ms": _spread(idle),
            "rss_mb_before": round(before / 1e6),
            "rss_mb": round(process.memory_info().rss / 1e6),
        }
        app.service.runs.stop()
        app.controllers.closing.close_now()
        with contextlib.suppress(tk.TclError):
            root.mainloop()
        server.stdin.close()
        return found


def _live(root: tk.Tk, seconds: float) -> None:
    """Run the event loop of the window for this time."""
    root.after(int(seconds * 1000), root.quit)
    root.mainloop()


def _spread(gaps: list[float]) -> dict[str, float]:
    """Of so many seconds, in ms."""
    gaps = sorted(gaps)
    places = {"p50": len(gaps) // 2, "p99": int(len(gaps) * 0.99), "max": -1}
    return {name: round(1000 * gaps[place], 1) for name, place in places.items()}


if __name__ == "__main__":
    main()
