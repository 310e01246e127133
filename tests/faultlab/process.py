"""Runs the fault lab in a separate process, so that it shares neither interpreter nor memory with the client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from tests.faultlab.stats import Stats

ROOT = Path(__file__).parents[2]


class LabProcess:
    """Context manager that runs `python -m tests.faultlab` with these options. `order` sends it commands.

    with LabProcess("--upstream", url, "--mix", "0.3", "--seed", "7", "--tls") as lab:
        ...                             # lab.endpoint_url, lab.bucket, lab.ca_file
        lab.order("outage 30")
        lab.stats().payload
    """

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "tests.faultlab", "--commands", *options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
        )
        self.endpoint_url, _, self.bucket, _, ca_file = self._line().split(maxsplit=4)
        self.ca_file = None if ca_file == "-" else Path(ca_file)

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> LabProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate("", timeout=30)

    def order(self, line: str) -> str:
        """Send a command, as listed by `python -m tests.faultlab --help`, and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        return self._line()

    def stats(self) -> Stats:
        return Stats(**json.loads(self.order("stats")))

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().rstrip("\n")
        if not line:
            raise RuntimeError(f"the lab has ended: {self._process.wait(10)}")
        return line
