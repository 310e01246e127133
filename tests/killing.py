"""Programs that are killed: a download, or a repair, from a faulty server, ended by kill -9 at a chosen kind of moment.

After each kill nothing wrong may be under a final name; the next start must get in, and at the end every byte is right.
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
LATENCY = 0.02  # seconds before each answer: so that planning takes a while
PATIENCE = 120.0  # seconds for a program to get anywhere
KINDS = [kind for kind in HEALING if not any(word in kind for word in ("stall", "drip", "endless"))]


class Moment(Enum):
    """When a program is killed."""

    PLANNING = "planning"
    FETCHING = "fetching"
    CHECKPOINT = "in a checkpoint"
    LOOKING = "verifying"
    REPAIRING = "repairing"


@dataclass(slots=True)
class Tally:
    """What came of it."""

    kills: dict[Moment, int] = field(default_factory=lambda: dict.fromkeys(Moment, 0))
    half_saved: int = 0  # kills that left a resume file half written, or under its old name only
    starts: list[float] = field(default_factory=list)  # seconds from the start of a program to its first new byte
    unwanted: list[str] = field(default_factory=list)  # everything that should not have been

    @property
    def killed(self) -> int:
        return sum(self.kills.values())


class Scene:
    """A faulty server, a folder, and the programs that are started and killed.

    files: how many objects, `most` bytes each at most. life: seconds a program fetches before it is killed, at most.
    """

    def __init__(
        self, server: FaultServer, folder: Path, *, seed: int, files: int, most: int, life: float = 2.5
    ) -> None:
        self.server, self.tally, self.dice = server, Tally(), random.Random(seed)
        self._life = life
        self._folder, self._files, self._most = folder, files, most
        self._round = 0
        self._spoilt: dict[str, bytes] = {}
        self.out = folder
        self.objects: dict[str, bytes] = {}

    def furnish(self) -> None:
        """New objects in the bucket, a new folder to fetch them into, faults on a fifth of the requests."""
        for key in self.objects:
            self.server.delete(key)
        self._round += 1
        self.out = self._folder / f"out {self._round}"
        sizes = [self.dice.randrange(1, self._most) for _ in range(self._files)]
        self.objects = {f"{n % 3}/{n}.nc": pseudo_random(f"{self._round}/{n}", size) for n, size in enumerate(sizes)}
        for n, (key, data) in enumerate(self.objects.items()):
            self.server.put(key, data, part_size=MB if n % 2 else None)
        (self._folder / "keys.txt").write_text("\n".join(self.objects))
        self.rough()

    def rough(self) -> None:
        self.server.calm()
        self.server.link = Link(latency=LATENCY, speed=SPEED)
        self.server.add(Mix(seed=self.dice.randrange(10**6), kinds=KINDS, share=0.2, in_a_row=2, at_most=10**9))

    def smooth(self) -> None:
        self.server.calm()
        self.server.link = Link()

    def download(self) -> subprocess.Popen[str]:
        return self._start("download", "--keys-file", str(self._folder / "keys.txt"), "--out", str(self.out))

    def resume(self) -> subprocess.Popen[str]:
        return self._start("resume", str(self.out))

    def repair(self) -> subprocess.Popen[str]:
        return self._start("verify", str(self.out), "--repair", "--endpoint-url", self.server.endpoint_url)

    def spoil(self) -> None:
        """Damage some of the finished files: a flipped byte, a cut end, one gone."""
        self._spoilt = {}
        chosen = self.dice.sample(sorted(self.objects), len(self.objects) // 3)
        (self.out / chosen.pop()).unlink()
        for key in chosen:
            data = bytearray(self.objects[key])
            place = self.dice.randrange(len(data))
            data[place] ^= 1
            self._spoilt[key] = bytes(data if place % 2 else data[:place])
            (self.out / key).write_bytes(self._spoilt[key])

    def kill(self, program: subprocess.Popen[str], moment: Moment) -> bool:
        """Kill it at such a moment, and look at what is left. False when it had ended by itself before."""
        began, payload, asked = time.monotonic(), self._payload(), self._asked()
        try:
            self._until(program, lambda: self._asked() > asked)
            if moment is Moment.PLANNING:
                time.sleep(self.dice.uniform(0.0, 4 * LATENCY))
            elif moment is Moment.LOOKING:
                time.sleep(self.dice.uniform(0.0, 0.3))
            else:
                self._until(program, lambda: self._payload() > payload)
                self.tally.starts.append(time.monotonic() - began)
                time.sleep(self.dice.uniform(0.0, self._life))
            if moment is Moment.CHECKPOINT:
                self._until(program, lambda: any(self.out.glob(".era5dl/*.json.tmp")), pause=0.0005)
        finally:
            alive = program.poll() is None
            program.send_signal(signal.SIGKILL)
            said = program.communicate()[0]
        if not alive:
            self.ended(program, said)
            return False
        self.tally.kills[moment] += 1
        self._look()
        return True

    def ended(self, program: subprocess.Popen[str], said: str) -> None:
        """It has come to its end by itself: that must have been a good one. A repair may leave to `resume` what a
        repair that was killed has seen to be gone."""
        if program.returncode and not (program.returncode == 1 and " absent; " in said):
            self.tally.unwanted.append(f"exit code {program.returncode}: {said[-2000:]}")

    def finish(self, program: subprocess.Popen[str]) -> None:
        """Let it run to its end."""
        self.ended(program, program.communicate(timeout=240)[0])

    def all_right(self) -> None:
        """Look whether the folder is as it should be when everything is done."""
        wrong = wrong_files(self.out, self.objects)
        left = [str(path) for path in self.out.rglob("*") if path.suffix in (".part", ".tmp", ".lock")]
        self.tally.unwanted += [f"wrong at the end: {key}" for key in wrong] + [f"left over: {name}" for name in left]

    def _look(self) -> None:
        home = self.out / ".era5dl"
        saved = {path.name.partition(".")[2] for path in home.glob("*.json*")}
        self.tally.half_saved += "json.tmp" in saved or (bool(saved) and "json" not in saved)
        for key, data in self.objects.items():
            path = self.out / key
            if path.exists() and path.read_bytes() not in (data, self._spoilt.get(key, data)):
                self.tally.unwanted.append(f"wrong bytes under the name of {key}")

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

    def _until(self, program: subprocess.Popen[str], reached: Callable[[], bool], pause: float = 0.005) -> None:
        give_up = time.monotonic() + PATIENCE
        while not reached() and program.poll() is None:
            if time.monotonic() > give_up:
                self.tally.unwanted.append("a program got nowhere")
                return
            time.sleep(pause)

    def _payload(self) -> int:
        return self.server.stats().payload

    def _asked(self) -> int:
        return sum(self.server.stats().requests.values())
