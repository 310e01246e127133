"""Desktop integration: opens a folder, shows a notification, prevents sleep during a download. No Tk.

Each may be unavailable. The functions do not raise, and do not wait for the programs that they start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

APP_NAME = "ERA5 Downloader"
APP_ID = "era5dl.Window"


def open_folder(folder: Path, platform: str = sys.platform) -> bool:
    """Show a folder in the system's file manager. Return False if there is no file manager."""
    if platform == "win32":
        try:
            os.startfile(folder)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    return _spawn(["open" if platform == "darwin" else "xdg-open", str(folder)]) is not None


def notify(title: str, text: str, platform: str = sys.platform) -> bool:
    """Show a desktop notification. Return False if that is not supported on this system."""
    command = notification_command(title, text, platform)
    return bool(command) and _spawn(command) is not None


def notification_command(title: str, text: str, platform: str) -> list[str]:
    """Return the command that shows a notification; empty if none is known for this system.

    The text is an argument, never part of a script, so it cannot be executed.
    """
    if platform == "darwin":
        script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
        return ["osascript", "-e", script, title, text]
    if platform == "win32":
        return []
    return ["notify-send", f"--app-name={APP_NAME}", "--", title, text]


def identify_program(platform: str = sys.platform) -> None:
    """Let the taskbar of Windows show this program's own icon and group its windows, not those of Python."""
    if platform == "win32":
        import ctypes

        with contextlib.suppress(AttributeError, OSError):
            ctypes.windll.shell32.SetCurrentProcessExplicitAppUserModelID(APP_ID)  # type: ignore[attr-defined,unused-ignore]


class SleepInhibitor:
    """Prevents the system from sleeping between `acquire` and `release`, if that is possible.

    Linux and macOS: a small program prevents sleep while it runs. It ends when this process ends, even after kill -9:
    its standard input is a pipe from this process, or it watches this process. Windows: a flag of the calling thread.
    """

    def __init__(self, platform: str = sys.platform) -> None:
        self._platform = platform
        self._process: subprocess.Popen[bytes] | None = None
        self._acquired = False

    def acquire(self) -> None:
        if self._acquired:
            return
        self._acquired = True
        if self._platform == "win32":
            _set_windows_flag(True)
        else:
            command = inhibit_command(self._platform, os.getpid())
            self._process = _spawn(command, stdin=subprocess.PIPE) if command else None

    def release(self) -> None:
        if not self._acquired:
            return
        self._acquired = False
        if self._platform == "win32":
            _set_windows_flag(False)
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.terminate()
            self._process = None


def inhibit_command(platform: str, pid: int) -> list[str]:
    """Return the command that prevents sleep while it runs; empty if none is known for this system."""
    if platform == "darwin":
        return ["caffeinate", "-i", "-w", str(pid)]
    if platform.startswith("linux"):
        options = ["--what=sleep:idle", f"--who={APP_NAME}", "--why=Downloading", "--mode=block"]
        return ["systemd-inhibit", *options, "cat"]
    return []


def _set_windows_flag(on: bool) -> None:
    import ctypes

    continuous, system_required = 0x80000000, 0x00000001
    ctypes.windll.kernel32.SetThreadExecutionState(  # type: ignore[attr-defined,unused-ignore]
        continuous | (system_required if on else 0)
    )


def _spawn(command: Sequence[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes] | None:
    """Start a program without waiting for it. Returns None when it is not installed or cannot be started."""
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
