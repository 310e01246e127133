"""Command lines that run a module of era5dl in a child process, also from a frozen program (PyInstaller).

A frozen program contains no `python` to call. It calls itself instead, with the name of the module.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

RUN_MODULE = "--run-module"
MODULES = ("era5dl.demo.parent_watch", "era5dl.gui.backend.demo_server")


def is_frozen() -> bool:
    """Whether this is a frozen program."""
    return bool(getattr(sys, "frozen", False))


def bundle_folder() -> Path:
    """Return the folder with the files of the frozen program, or that of the Python interpreter."""
    return Path(getattr(sys, "_MEIPASS", Path(sys.executable).parent))


def command_of(module: str) -> list[str]:
    """Return the command that runs one of MODULES as `__main__`. Append its arguments."""
    return [sys.executable, RUN_MODULE if is_frozen() else "-m", module]


def run_module_if_asked() -> bool:
    """In a frozen program that was called with the command of `command_of`, run the module. Return whether it ran."""
    if not is_frozen() or sys.argv[1:2] != [RUN_MODULE] or sys.argv[2:3] == [] or sys.argv[2] not in MODULES:
        return False
    module = sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__")
    return True
