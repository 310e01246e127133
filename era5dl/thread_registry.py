"""Registry of background threads, so that all of them are stopped before the process exits.

All are daemons, since one may sit in a DNS look-up that nothing can end. But a daemon that is in a TLS handshake while
the process runs the exit handlers of its C libraries crashes it, after its last word and in place of its exit code. So
at the end all are asked to stop, and are waited for; not for ever.
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

from era5dl.errors import OutOfThreads

AT_EXIT = 1.0  # seconds that Python's own end waits for them, where we are a library
LEAVE = 0.4  # seconds that our own programs wait, which can end without them

_lock = Lock()
_known: dict[Thread, weakref.WeakMethod[Callable[[], object]] | None] = {}


def start_thread(thread: Thread, stop: Callable[[], object] | None = None) -> None:
    """Start a thread. stop: the method by which it is asked to end, which must return at once; it is kept weakly.

    Raises OutOfThreads when the system gives no more.
    """
    try:
        thread.start()
    except RuntimeError as error:  # "can't start new thread"
        raise OutOfThreads from error
    with _lock:
        for other in [other for other in _known if not other.is_alive()]:
            del _known[other]
        _known[thread] = weakref.WeakMethod(stop) if stop is not None else None


def stop_all(seconds: float) -> bool:
    """Ask all of them to stop, and wait for their end, `seconds` at most. True when none is left."""
    with _lock:
        left = {thread: stop for thread, stop in _known.items() if thread is not current_thread()}
    for ask in {ask for stop in left.values() if stop is not None and (ask := stop()) is not None}:
        with suppress(Exception):  # one that cannot be asked must not keep the others from it
            ask()
    return join_all(list(left), seconds)


def join_all(threads: list[Thread], seconds: float) -> bool:
    """Wait for their end, `seconds` at most for all together. True when none is left."""
    give_up = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def shut_down(code: int) -> int:
    """For a program's last line: give its exit code, when every thread has ended; else end the process with it here.

    Everything must be saved and every lock released.
    """
    ended = stop_all(LEAVE)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # noqa: PERF203 - Python would try once more, and end with a code of its own
            _silence(stream)
    if not ended:
        os._exit(code)
    return code


def _silence(stream: object) -> None:
    """Point it at nothing: what it still holds is written there."""
    with suppress(OSError, ValueError, AttributeError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())  # type: ignore[attr-defined]
        os.close(nothing)


atexit.register(stop_all, AT_EXIT)
