"""Benchmark of interruptions: bytes sent per byte of a download that is killed (kill -9) again and again.

    python -m tests.benchmarks.kill_cost [--out DIR] [--kills 8] [--speed 8] [--size 16] [--count 12]

The server sends SPEED MB/s in total to four workers. The download is started, killed after equal shares of the time it
takes, started again, and not interrupted after the last kill. DIR selects the disk that is measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import wrong_files

MB = 1_000_000
WORKERS = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--speed", type=float, default=8.0)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--count", type=int, default=12)
    options = parser.parse_args()
    objects = {f"{n:02}.bin": pseudo_random(n, options.size * MB) for n in range(options.count)}
    total = sum(map(len, objects.values()))
    folder = Path(tempfile.mkdtemp(dir=options.out))
    try:
        with FaultServer() as server:
            for key, data in objects.items():
                server.put(key, data, part_size=8 << 20)
            server.link = Link(speed=int(options.speed * MB / WORKERS))
            began = time.monotonic()
            life = total / (options.speed * MB) / (options.kills + 1)
            for _ in range(options.kills):
                one_life(server, folder, objects, life)
            left = one_life(server, folder, objects, None)
            sent = server.stats().payload
        wrong = wrong_files(folder / "out", objects)
    finally:
        shutil.rmtree(folder)
    took = time.monotonic() - began
    print(f"{total / MB:.0f} MB at {options.speed:g} MB/s, {options.kills} kills, {took:.0f} s")
    print(f"{sent / total:.3f} x the bytes")
    print(f"{(sent - total) / max(options.kills, 1) / MB:.2f} MB a kill; exit code {left}, wrong files: {wrong}")
    return 1 if wrong or left else 0


def one_life(server: FaultServer, folder: Path, objects: dict[str, bytes], life: float | None) -> int:
    """Start the program, kill it this number of seconds after its first byte (None: never), return the exit code."""
    keys = folder / "keys.txt"
    keys.write_text("\n".join(objects))
    before = server.stats().payload
    program = subprocess.Popen(
        [sys.executable, "-m", "era5dl", "download", "--keys-file", str(keys), "--out", str(folder / "out"), "--quiet"],
        env={
            **os.environ,
            "ERA5DL_STATE_DIR": str(folder / "state"),
            "ERA5DL_DISK_RESERVE": "0",
            "ERA5DL_WORKERS": str(WORKERS),
            "ERA5DL_ENDPOINT_URL": server.endpoint_url,
            "ERA5DL_BUCKET": server.bucket,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if life is not None:
        give_up = time.monotonic() + 60
        while server.stats().payload == before and program.poll() is None and time.monotonic() < give_up:
            time.sleep(0.01)
        time.sleep(life)
        program.send_signal(signal.SIGKILL)
    return program.wait()


if __name__ == "__main__":
    sys.exit(main())
