"""Runs a command for as long as somebody holds the other end of its standard input, and ends it then.

A pipe is closed by the system when its owner is gone, however he went: by return, by kill -9, on every system. So the
demo's server never outlives the demo. Run as a script, with the command as its arguments; imports nothing of era5dl.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

PATIENCE = 2.0  # seconds between asking the command to end and ending it


def keep(command: list[str]) -> int:
    """Run the command until it ends or standard input does. Returns its exit code."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:
        threading.Thread(target=_end_with_input, args=(child,), daemon=True).start()
        return child.wait()


def _end_with_input(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 1024):  # not through the buffer, whose lock would hold up our own exit
            pass
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(PATIENCE)
    child.kill()  # does nothing to one that has ended


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
