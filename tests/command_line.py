"""Runs the command line inside the test process: exit code, stdout and stderr, without the start of a program.

For tests of what a command does. Tests of signals, kills, streams and exit codes of the process start one themselves.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from era5dl.cli.main import main


def call_main(
    words: Sequence[str | Path], environ: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Return what `era5dl WORDS` prints and its exit code, with exactly these environment variables."""
    out, errors = io.BytesIO(), io.BytesIO()
    given = io.BufferedReader(io.BytesIO(stdin.encode()))
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - environ.keys():
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.TextIOWrapper(given, encoding="utf-8"))
        patch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="utf-8", write_through=True))
        patch.setattr(sys, "stderr", io.TextIOWrapper(errors, encoding="utf-8", write_through=True))
        code = main([str(word) for word in words])
        return subprocess.CompletedProcess(words, int(code), out.getvalue().decode(), errors.getvalue().decode())


class Command:
    """Runs `era5dl`, in this process or as a program, with the server's address and a separate state folder."""

    def __init__(self, endpoint_url: str, state: Path) -> None:
        dropped_prefixes = ("ERA5DL_", "PYTHONUNBUF")  # the user's settings, and changes of Python's buffering
        clean = {name: value for name, value in os.environ.items() if not name.startswith(dropped_prefixes)}
        self.environ = clean | {
            "ERA5DL_ENDPOINT_URL": endpoint_url,
            "ERA5DL_STATE_DIR": str(state),
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "100",
            "LINES": "30",
        }

    def __call__(self, *words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return call_main(words, self.environ, stdin)

    def as_program(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.line(*words), capture_output=True, encoding="utf-8", timeout=60, env=self.environ, check=False
        )

    @contextmanager
    def started(self, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            self.line(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=self.environ
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def line(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "era5dl", *map(str, words)]
