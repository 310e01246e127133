"""Signal handling of the window: SIGINT, SIGTERM and SIGHUP stop the download and close the window without asking."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # exit code, the same as that of the command line
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextmanager
def close_on_signals(close: Callable[[], object]) -> Iterator[list[int]]:
    """Handle signals: the first one calls `close`, and the next one ends the process. Yields the list of signals."""
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            os._exit(INTERRUPTED)
        close()

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = [number for name in _NAMES if (number := getattr(signal, name, None)) is not None]
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores SIGHUP
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
