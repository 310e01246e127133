"""kill -9 at any moment: the next start goes on, no wrong byte is kept, and no lock is in the way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from era5dl.engine.upkeep import CHECKPOINT_FIRST
from tests.faultlab import HEALING, FaultServer, Link, Mix, pseudo_random
from tests.runs import leftovers, wrong_files

MB = 1_000_000
KILLS = 12
WORKERS = 4
SPEED = 2 * MB  # bytes per second of one connection


def test_killed_again_and_again_under_load(fault_server: FaultServer, tmp_path: Path) -> None:
    dice = random.Random(4711)
    out = tmp_path / "out"
    objects = {f"{i % 3}/{i}.nc": pseudo_random(i, dice.randrange(1, 6 * MB)) for i in range(30)}
    for n, (key, data) in enumerate(objects.items()):
        fault_server.put(key, data, part_size=MB if n % 2 else None)
    fault_server.link = Link(speed=SPEED)
    fault_server.add(Mix(seed=3, kinds=[k for k in HEALING if "stall" not in k and k != "drip"], share=0.2, in_a_row=2))

    for _ in range(KILLS):
        program = _start(fault_server, tmp_path, out, objects)
        try:
            _wait_for_bytes(fault_server, program)
            time.sleep(dice.uniform(0.0, 2.5))
        finally:
            program.send_signal(signal.SIGKILL)
            program.communicate()
        for key in objects:  # nothing wrong under a final name, at any time
            if (out / key).exists():
                assert wrong_files(out, {key: objects[key]}) == []
    fault_server.link = Link()
    fault_server.calm()

    last = _start(fault_server, tmp_path, out, objects)

    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    assert wrong_files(out, objects) == []
    assert leftovers(out) == []
    lost = fault_server.stats().payload - sum(map(len, objects.values()))
    # Each kill may cost what came since the last checkpoint, and what was in flight or in the sockets' buffers.
    assert lost < KILLS * (CHECKPOINT_FIRST + 1.5) * WORKERS * SPEED, f"{lost / MB:.1f} MB were fetched twice"


def _start(server: FaultServer, folder: Path, out: Path, objects: dict[str, bytes]) -> subprocess.Popen[str]:
    keys = folder / "keys.txt"
    keys.write_text("\n".join(objects))
    command = [
        *(sys.executable, "-m", "era5dl", "download", "--keys-file", str(keys), "--out", str(out)),
        *("--endpoint-url", server.endpoint_url, "--bucket", server.bucket, "--workers", str(WORKERS)),
    ]
    environment = {**os.environ, "ERA5DL_STATE_DIR": str(folder / "state"), "ERA5DL_DISK_RESERVE": "0"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def _wait_for_bytes(server: FaultServer, program: subprocess.Popen[str]) -> None:
    """Until the program has begun to fetch, or has ended because all is there."""
    before = server.stats().payload
    give_up = time.monotonic() + 30
    while server.stats().payload == before and program.poll() is None:
        assert time.monotonic() < give_up
        time.sleep(0.01)
