"""Runs the command line inside the test process: exit code, stdout and stderr, without the start of a program.

For tests of what a command does. Tests of signals, kills, streams and exit codes of the process start one themselves.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
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
