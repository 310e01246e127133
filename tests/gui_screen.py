"""Fixtures for GUI tests: a private Xvfb display, and a root window that turns callback errors into test failures.

    pytest_plugins = ["tests.gui_screen"]        (in each tests/test_gui_*.py; the fixtures are `screen` and `root`)

Drive widgets with `focus_force` (there is no window manager), `event_generate` and `update`.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import tkinter as tk

__all__ = ["Screen", "look_at", "root", "screen"]

_SIZE = "1600x1000x24"


class Screen:
    """An Xvfb process with an unused display number."""

    def __init__(self, size: str = _SIZE) -> None:
        program = shutil.which("Xvfb")
        if program is None:
            raise FileNotFoundError("Xvfb")
        for _ in range(20):
            number = random.randrange(100, 5000)
            if Path(f"/tmp/.X{number}-lock").exists():
                continue
            self.name = f":{number}"
            self._process = subprocess.Popen(
                [program, self.name, "-screen", "0", size, "-dpi", "96", "-noreset", "-nolisten", "tcp"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._answers(Path(f"/tmp/.X11-unix/X{number}")):
                return
            self.close()
        raise RuntimeError("no Xvfb would start")

    def _answers(self, socket: Path) -> bool:
        end = time.monotonic() + 10
        while time.monotonic() < end and self._process.poll() is None:
            if socket.exists():
                return True
            time.sleep(0.02)
        return False

    def close(self) -> None:
        """End this Xvfb."""
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture(scope="session")
def screen() -> Iterator[Screen]:
    """The display of all GUI tests of this run, in $DISPLAY."""
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    try:
        ours = Screen()
    except FileNotFoundError:
        if os.environ.get("CI"):
            raise  # in the CI it is an error of the set-up, which must not look like success
        pytest.skip("the window's tests need a screen of their own: install xvfb")
    before = os.environ.get("DISPLAY")
    os.environ["DISPLAY"] = ours.name
    yield ours
    os.environ.pop("DISPLAY")
    if before is not None:
        os.environ["DISPLAY"] = before
    ours.close()


@pytest.fixture
def root(screen: Screen) -> Iterator[tk.Tk]:
    """An empty window. An exception in a callback fails the test. All Tk objects are deleted before the next test."""
    import tkinter as tk

    failures: list[str] = []
    window = tk.Tk()
    window.tk.call("tk", "scaling", 96 / 72)  # Tk keeps the scaling of the previous test

    def failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        failures.append("".join(traceback.format_exception(kind, error, trace)))

    window.report_callback_exception = failed
    window.geometry("900x700+10+10")
    yield window
    try:
        window.update()
    except tk.TclError:
        pass  # the test destroyed it
    else:
        window.destroy()
    del window
    gc.collect()  # a Tk variable collected on another thread would abort Python
    assert not failures, "in a callback of Tk:\n" + "\n".join(failures)


def look_at(screen: Screen, file: Path, geometry: str | None = None) -> None:
    """Take a screenshot with ImageMagick, for people to look at."""
    crop = ["-crop", geometry, "+repage"] if geometry else []
    subprocess.run(["import", "-display", screen.name, "-window", "root", *crop, str(file)], check=True)
