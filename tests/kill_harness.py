"""Test harness for kill -9: downloads and repairs from a faulty server are killed in a chosen phase.

After each kill no wrong byte may be under a final name, the next start must not be locked out, and in the end every
byte must be right.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tests.faultlab import HEALING, FaultServer, Link, Mix, pseudo_random
from tests.runs import wrong_files

MB = 1_000_000
WORKERS = 4
SPEED = 2 * MB  # bytes per second of one connection
LATENCY = 0.02  # seconds before each response, so that planning takes a while
PATIENCE = 120.0  # seconds for a program to reach a phase
KINDS = [kind for kind in HEALING if not any(word in kind for word in ("stall", "drip", "endless"))]


class Phase(Enum):
    """The phase in which a program is killed."""

    PLANNING = "planning"
    FETCHING = "fetching"
    CHECKPOINT = "in a checkpoint"
    VERIFYING = "verifying"
    REPAIRING = "repairing"


@dataclass(slots=True)
class KillStats:
    """Kills and what was found afterwards."""

    kills: dict[Phase, int] = field(default_factory=lambda: dict.fromkeys(Phase, 0))
    half_saved: int = 0  # kills that left a resume file half written, or under its old name only
    starts: list[float] = field(default_factory=list)  # seconds from the start of a program to its first new byte
    problems: list[str] = field(default_factory=list)  # everything that must not happen

    @property
    def killed(self) -> int:
        return sum(self.kills.values())


class KillHarness:
    """A faulty server, a folder, and the programs that are started in it and killed.

    files: number of objects; max_size: bytes of the largest. max_runtime: seconds of downloading before a kill.
    """

    def __init__(
        self, server: FaultServer, folder: Path, *, seed: int, files: int, max_size: int, max_runtime: float = 2.5
    ) -> None:
        self.server, self.stats, self.dice = server, KillStats(), random.Random(seed)
        self._max_runtime = max_runtime
        self._folder, self._files, self._max_size = folder, files, max_size
        self._round = 0
        self._damaged: dict[str, bytes] = {}
        self.out = folder
        self.objects: dict[str, bytes] = {}

    def new_round(self) -> None:
        """Put new objects into the bucket, choose a new folder, and enable faults on a fifth of the requests."""
        for key in self.objects:
            self.server.delete(key)
        self._round += 1
        self.out = self._folder / f"out {self._round}"
        sizes = [self.dice.randrange(1, self._max_size) for _ in range(self._files)]
        self.objects = {f"{n % 3}/{n}.nc": pseudo_random(f"{self._round}/{n}", size) for n, size in enumerate(sizes)}
        for n, (key, data) in enumerate(self.objects.items()):
            self.server.put(key, data, part_size=MB if n % 2 else None)
        (self._folder / "keys.txt").write_text("\n".join(self.objects))
        self.enable_faults()

    def enable_faults(self) -> None:
        self.server.calm()
        self.server.link = Link(latency=LATENCY, speed=SPEED)
        self.server.add(Mix(seed=self.dice.randrange(10**6), kinds=KINDS, share=0.2, in_a_row=2, at_most=10**9))

    def disable_faults(self) -> None:
        self.server.calm()
        self.server.link = Link()

    def download(self) -> subprocess.Popen[str]:
        return self._start("download", "--keys-file", str(self._folder / "keys.txt"), "--out", str(self.out))

    def resume(self) -> subprocess.Popen[str]:
        return self._start("resume", str(self.out))

    def repair(self) -> subprocess.Popen[str]:
        return self._start("verify", str(self.out), "--repair", "--endpoint-url", self.server.endpoint_url)

    def damage_files(self) -> None:
        """Damage some of the finished files: flip a byte, truncate, delete one."""
        self._damaged = {}
        chosen = self.dice.sample(sorted(self.objects), len(self.objects) // 3)
        (self.out / chosen.pop()).unlink()
        for key in chosen:
            data = bytearray(self.objects[key])
            place = self.dice.randrange(len(data))
            data[place] ^= 1
            self._damaged[key] = bytes(data if place % 2 else data[:place])
            (self.out / key).write_bytes(self._damaged[key])

    def kill(self, program: subprocess.Popen[str], phase: Phase) -> bool:
        """Kill the program in this phase and check the files. Return False if it had ended by itself before."""
        began, payload, requests = time.monotonic(), self._payload(), self._requests()
        try:
            self._wait_until(program, lambda: self._requests() > requests)
            if phase is Phase.PLANNING:
                time.sleep(self.dice.uniform(0.0, 4 * LATENCY))
            elif phase is Phase.VERIFYING:
                time.sleep(self.dice.uniform(0.0, 0.3))
            else:
                self._wait_until(program, lambda: self._payload() > payload)
                self.stats.starts.append(time.monotonic() - began)
                time.sleep(self.dice.uniform(0.0, self._max_runtime))
            if phase is Phase.CHECKPOINT:
                self._wait_until(program, lambda: any(self.out.glob(".era5dl/*.json.tmp")), pause=0.0005)
        finally:
            alive = program.poll() is None
            program.send_signal(signal.SIGKILL)
            output = program.communicate()[0]
        if not alive:
            self.check_exit(program, output)
            return False
        self.stats.kills[phase] += 1
        self._check_files()
        return True

    def check_exit(self, program: subprocess.Popen[str], output: str) -> None:
        """Check the exit code of a program that ended by itself.

        A repair may leave to `resume` what an earlier, killed repair found missing.
        """
        if program.returncode and not (program.returncode == 1 and " absent; " in output):
            self.stats.problems.append(f"exit code {program.returncode}: {output[-2000:]}")

    def finish(self, program: subprocess.Popen[str]) -> None:
        """Wait until the program ends, and check its exit code."""
        self.check_exit(program, program.communicate(timeout=240)[0])

    def check_result(self) -> None:
        """Check the folder after the last program: every file right, nothing left over."""
        wrong = wrong_files(self.out, self.objects)
        left = [str(path) for path in self.out.rglob("*") if path.suffix in (".part", ".tmp", ".lock")]
        self.stats.problems += [f"wrong at the end: {key}" for key in wrong] + [f"left over: {name}" for name in left]

    def _check_files(self) -> None:
        home = self.out / ".era5dl"
        saved = {path.name.partition(".")[2] for path in home.glob("*.json*")}
        self.stats.half_saved += "json.tmp" in saved or (bool(saved) and "json" not in saved)
        for key, data in self.objects.items():
            path = self.out / key
            if path.exists() and path.read_bytes() not in (data, self._damaged.get(key, data)):
                self.stats.problems.append(f"wrong bytes under the name of {key}")

    def _start(self, *words: str) -> subprocess.Popen[str]:
        settings = {
            "ERA5DL_STATE_DIR": str(self._folder / "state"),
            "ERA5DL_DISK_RESERVE": "0",
            "ERA5DL_READ_TIMEOUT": "2",
            "ERA5DL_WORKERS": str(WORKERS),
            "ERA5DL_ENDPOINT_URL": self.server.endpoint_url,
            "ERA5DL_BUCKET": self.server.bucket,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "era5dl", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **settings},
        )

    def _wait_until(self, program: subprocess.Popen[str], condition: Callable[[], bool], pause: float = 0.005) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition() and program.poll() is None:
            if time.monotonic() > give_up:
                self.stats.problems.append("a program got nowhere")
                return
            time.sleep(pause)

    def _payload(self) -> int:
        return self.server.stats().payload

    def _requests(self) -> int:
        return sum(self.server.stats().requests.values())
