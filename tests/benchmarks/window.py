"""The window under load: when it is ready, how long Tk is ever kept busy, and what it weighs.

    python -m tests.benchmarks.window [--rows 100000] [--seconds 20]

A plan of so many small files is fetched from a server of the tests in a process of its own; a heartbeat of `after(5)`
measures how late Tk is. On a private screen. Prints one JSON object.
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

from era5dl.bucket.store import ObjectInfo
from era5dl.planner import Plan

BEAT = 5  # ms
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
READY = """
import sys, time
began = time.perf_counter()
import tkinter as tk
from era5dl.gui.app import App
from era5dl.gui.options import Options
root = tk.Tk()
app = App(root, Options(scale=1.0))
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
    """Seconds from the first import to a window that is drawn, in a fresh process."""
    said = subprocess.run([sys.executable, "-c", READY], capture_output=True, check=True, text=True)
    return float(said.stdout)


def _load(given: argparse.Namespace, folder: Path) -> dict[str, object]:
    from era5dl.gui.app import App
    from era5dl.gui.options import Options

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
        app = App(root, Options(scale=1.0, endpoint_url=endpoint_url, bucket=bucket, out=folder / "out"))
        app.keeping.now = app.preferences.__class__(
            endpoint_url=endpoint_url, disk_reserve=0, rate_limit=given.limit, folder=str(folder)
        )
        sys.setswitchinterval(0.0005)  # as era5dl.gui.main does
        root.update()
        process = psutil.Process()
        before = process.memory_info().rss
        app.conductor.start(plan, folder / "out", app.preferences.to_settings())
        while app.conductor.snapshot() is None:
            root.update()
        gaps: list[float] = []
        last = [time.perf_counter()]

        def beat() -> None:
            root.after(BEAT, beat)
            now = time.perf_counter()
            gaps.append(now - last[0] - BEAT / 1000)
            last[0] = now

        end = time.monotonic() + given.seconds
        settled = time.monotonic() + 3.0
        beat()
        while time.monotonic() < settled:
            root.update()
            time.sleep(0.0005)
        opening = max(gaps)
        gaps.clear()
        while time.monotonic() < end:
            root.update()
            time.sleep(0.0005)
        snapshot = app.conductor.snapshot()
        done = snapshot.done_files if snapshot else given.rows
        gaps.sort()
        found: dict[str, object] = {
            "rows": given.rows,
            "files_a_second": round(done / given.seconds),
            "gap_ms": {
                "p50": round(1000 * gaps[len(gaps) // 2], 1),
                "p99": round(1000 * gaps[int(len(gaps) * 0.99)], 1),
                "max": round(1000 * gaps[-1], 1),
                "opening_max": round(1000 * opening, 1),
            },
            "rss_mb_before": round(before / 1e6),
            "rss_mb": round(process.memory_info().rss / 1e6),
        }
        app.conductor.stop()
        app.closing.end()
        with contextlib.suppress(tk.TclError):
            root.mainloop()
        server.stdin.close()
        return found


if __name__ == "__main__":
    main()
