"""Registry of background threads: stops all of them before the process exits.

They are daemon threads, because one may be in a DNS lookup that cannot be interrupted. But a daemon thread that is in a
TLS handshake while the exit handlers of C libraries run can crash the process and lose its exit code. Therefore all
threads are asked to stop at the end, and are waited for up to a time limit.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread, current_thread
from typing import TextIO

from era5dl.errors import OutOfThreads

ATEXIT_TIMEOUT = 1.0  # seconds that the interpreter waits at exit when era5dl is used as a library
SHUT_DOWN_TIMEOUT = 0.4  # seconds that our own programs wait before they end the process anyway

_lock = Lock()
_threads: dict[Thread, weakref.WeakMethod[Callable[[], object]] | None] = {}


def start_thread(thread: Thread, stop: Callable[[], object] | None = None) -> None:
    """Start and register a thread. Raises OutOfThreads when the system does not allow another one.

    stop: bound method that asks the thread to end. It must return immediately, and is referenced weakly.
    """
    try:
        thread.start()
    except RuntimeError as error:  # "can't start new thread"
        raise OutOfThreads from error
    with _lock:
        for ended in [other for other in _threads if not other.is_alive()]:
            del _threads[ended]
        _threads[thread] = weakref.WeakMethod(stop) if stop is not None else None


def stop_all(timeout: float) -> bool:
    """Ask all registered threads to stop and wait up to `timeout` seconds. Return whether all have ended."""
    with _lock:
        threads = {thread: stop for thread, stop in _threads.items() if thread is not current_thread()}
    for stop in {stop for reference in threads.values() if reference is not None and (stop := reference()) is not None}:
        with suppress(Exception):  # the others must be asked even if this one fails
            stop()
    return join_all(list(threads), timeout)


def join_all(threads: list[Thread], timeout: float) -> bool:
    """Wait for these threads, up to `timeout` seconds in total. Return whether all have ended."""
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def shut_down(code: int) -> int:
    """Stop all threads and flush the output. The last call of a program: `sys.exit(shut_down(code))`.

    Returns `code`, or ends the process with it when a thread is still running. Everything must be saved and every lock
    released before.
    """
    ended = stop_all(SHUT_DOWN_TIMEOUT)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # noqa: PERF203 - Python would retry and exit with its own code
            redirect_to_devnull(stream)
    if not ended:
        os._exit(code)
    return code


def redirect_to_devnull(stream: TextIO) -> None:
    """Let the rest of the stream's buffer go to the null device, so that its flush at exit does not fail (again)."""
    with suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stream.fileno())
        os.close(devnull)


atexit.register(stop_all, ATEXIT_TIMEOUT)
