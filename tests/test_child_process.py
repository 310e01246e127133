"""Tests of the child processes of a frozen program. `python -m tests.bundle` builds such a program and runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from era5dl import child_process
from era5dl.child_process import MODULES, RUN_MODULE, command_of

FROZEN = "import sys; sys.frozen = True; from era5dl.child_process import run_module_if_asked as run; print(run())"


@pytest.fixture
def reader() -> Iterator[int]:
    """The reading end of a pipe that stays open."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


def frozen(reader: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Call a program that looks like a frozen one with these arguments. Its standard input stays open."""
    command = [sys.executable, "-c", FROZEN, *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, stdin=reader)


def test_a_frozen_program_calls_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command_of(MODULES[0]) == [sys.executable, "-m", MODULES[0]]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert command_of(MODULES[0]) == [sys.executable, RUN_MODULE, MODULES[0]]
    assert child_process.is_frozen()


def test_a_module_runs_in_the_frozen_program(reader: int) -> None:
    done = frozen(reader, RUN_MODULE, "era5dl.demo.parent_watch", sys.executable, "-c", "print('served')")
    assert done.stdout == "served\n"


@pytest.mark.parametrize("words", [[], [RUN_MODULE], [RUN_MODULE, "antigravity"], ["plan", RUN_MODULE, MODULES[0]]])
def test_other_arguments_run_no_module(words: list[str], reader: int) -> None:
    assert frozen(reader, *words).stdout == "False\n"
