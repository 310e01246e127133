"""Signal handling of the window: SIGINT, SIGTERM and SIGHUP close it in order, without a question."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # exit code, as of the command line
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextmanager
def ends_on_signals(end: Callable[[], object]) -> Iterator[list[int]]:
    """Within, the first signal calls `end`, on Tk's thread, and is in the list; the next one ends the process."""
    asked: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            os._exit(INTERRUPTED)
        end()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    numbers = [number for name in _NAMES if (number := getattr(signal, name, None)) is not None]
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # nohup says to ignore it
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
