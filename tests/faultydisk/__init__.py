"""Disk errors for tests of the command line: system calls that fail on request, through a preloaded C library.

The library is `shim.c`. It needs Linux and a C compiler; elsewhere `compiled` skips the test.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shim.c")


def compiled(folder: Path) -> Path:
    """Compile the library into this folder. Skips the test if it cannot be compiled or preloaded."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler")
    library = folder / "shim.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl", "-lpthread"], check=True)
    trial = folder / "trial.part"
    trial.touch()
    tried = subprocess.run(
        [sys.executable, "-c", "import os,sys; os.fsync(os.open(sys.argv[1], os.O_RDWR))", trial],
        env={**os.environ, **Faulty(library, [failing("fsync", "*/trial.part")]).environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Input/output error" not in tried.stderr:
        pytest.skip(f"this system cannot preload the library: {tried.stderr[-200:]}")
    return library


def failing(call: str, pattern: str, first: int = 1, count: int = 1, error: int | str = errno.EIO) -> str:
    """Return a rule for failing calls, as documented in `shim.c`. count: 0 for all calls."""
    return f"{call} {pattern} {first} {count} {error}"


@dataclass(frozen=True, slots=True)
class Faulty:
    """Behaviour of the disk. loses: when bytes of a failed sync are lost: "now", "late" or "" (never)."""

    library: Path
    orders: list[str]
    loses: str = ""
    log: Path | None = None
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        wanted = {"LD_PRELOAD": str(self.library), "FAULTY_DISK": ";".join(self.orders), **self.more}
        if self.loses:
            wanted["FAULTY_DISK_LOSES"] = self.loses
        if self.log is not None:
            wanted["FAULTY_DISK_LOG"] = str(self.log)
        return wanted
