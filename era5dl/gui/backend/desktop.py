"""What the desktop can do for a download: show a folder, say that it is over, stay awake. Each may be missing; no Tk.

Nothing here raises or waits: the programs it starts are left to themselves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

WHO = "ERA5 Downloader"


def open_folder(folder: Path, platform: str = sys.platform) -> bool:
    """Show a folder in the system's file manager. False when there is none."""
    if platform == "win32":
        try:
            os.startfile(folder)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    return _spawn(["open" if platform == "darwin" else "xdg-open", str(folder)]) is not None


def notify(title: str, text: str, platform: str = sys.platform) -> bool:
    """A desktop notification. False where the system has no simple way."""
    return any(_spawn(command) is not None for command in notification(title, text, platform))


def notification(title: str, text: str, platform: str) -> list[list[str]]:
    """Commands that show it, the best first. The text is an argument, never part of a script."""
    if platform == "darwin":
        script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
        return [["osascript", "-e", script, title, text]]
    if platform == "win32":
        return []
    return [["notify-send", f"--app-name={WHO}", "--", title, text]]


class SleepInhibitor:
    """Keeps the system from falling asleep between `hold` and `release`. Harmless where that is not possible.

    Linux and macOS: a small program that holds sleep off for as long as it runs, and which ends with us however we end:
    its standard input is a pipe from us, or it watches our process. Windows: a flag of the calling thread.
    """

    def __init__(self, platform: str = sys.platform) -> None:
        self._platform = platform
        self._keeper: subprocess.Popen[bytes] | None = None
        self.held = False

    def hold(self) -> None:
        if self.held:
            return
        self.held = True
        if self._platform == "win32":
            _windows_awake(True)
        else:
            command = inhibitor(self._platform, os.getpid())
            self._keeper = _spawn(command, stdin=subprocess.PIPE) if command else None

    def release(self) -> None:
        if not self.held:
            return
        self.held = False
        if self._platform == "win32":
            _windows_awake(False)
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
            self._keeper.terminate()
            self._keeper = None


def inhibitor(platform: str, pid: int) -> list[str]:
    """The command that holds sleep off; empty where none is known."""
    if platform == "darwin":
        return ["caffeinate", "-i", "-w", str(pid)]
    if platform.startswith("linux"):
        reason = ["--what=sleep:idle", f"--who={WHO}", "--why=Downloading", "--mode=block"]
        return ["systemd-inhibit", *reason, "cat"]
    return []


def _windows_awake(on: bool) -> None:
    import ctypes

    continuous, system_required = 0x80000000, 0x00000001
    ctypes.windll.kernel32.SetThreadExecutionState(  # type: ignore[attr-defined,unused-ignore]
        continuous | (system_required if on else 0)
    )


def _spawn(command: Sequence[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes] | None:
    """Start it and forget it; None when it is not installed or cannot be started."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        return subprocess.Popen(
            [program, *command[1:]],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
