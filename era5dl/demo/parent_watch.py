"""Runs a command, and terminates it when the parent process has ended (its standard input is closed).

Every operating system closes a pipe when the process at its other end is gone, even after kill -9. Therefore the demo's
server never outlives the demo. This file runs as a script with the command as its arguments, and does not import
era5dl.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

TERMINATE_TIMEOUT = 2.0  # seconds between terminating the command and killing it


def run(command: list[str]) -> int:
    """Run the command until it ends or standard input is closed. Return its exit code."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:
        threading.Thread(target=_terminate_when_stdin_closes, args=(child,), daemon=True).start()
        return child.wait()


def _terminate_when_stdin_closes(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 1024):  # not sys.stdin.read, which would hold a lock that the exit needs
            pass
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(TERMINATE_TIMEOUT)
    child.kill()  # has no effect on a process that has ended


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
