"""Ctrl-C and its relatives: the first asks for a clean end, the second ends at once.

Outside of `gracefully` the first one raises KeyboardInterrupt, where nothing is under way that would need a checkpoint.
Inside it only sets `asked`: the loop that looks at it stops the engine itself, because a handler runs in the middle of
whatever the main thread is doing, maybe holding the very lock that stopping needs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

from era5dl import thread_registry

INTERRUPTED = 130  # the exit code of everything the user interrupted
GRACE = 1.6  # seconds from the signal until a loop gives up waiting for a clean end; the contract says 2 in all

T = TypeVar("T")


class Interrupts:
    """Installed around one command, in the main thread; elsewhere it does nothing and is never asked.

    last: when the command is over, so is the process; until then a signal ends it at once.
    """

    def __init__(self, *, last: bool = False) -> None:
        self._last, self._over = last, False
        self.asked = threading.Event()
        self._asked_at = 0.0
        self._graceful = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _signals():
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = self._last
        for number, handler in () if self._last else self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextlib.contextmanager
    def gracefully(self) -> Iterator[None]:
        """Within, a signal sets `asked` and the code looks at it."""
        self._graceful = True
        try:
            yield
        finally:
            self._graceful = False

    @property
    def out_of_patience(self) -> bool:
        """The user asked, and the clean end has taken all the time it may."""
        return self.asked.is_set() and time.monotonic() - self._asked_at > GRACE

    def background(self, work: Callable[[], T], watch: Callable[[], None] = lambda: None) -> T:
        """Run `work` on a daemon thread and give its result; `watch` is called ten times a second meanwhile.

        Raises KeyboardInterrupt as soon as the user asks: a request that hangs holds nobody up. Raises OutOfThreads.
        """
        outcome: list[T] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(work())
            except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits, whatever it is
                failure.append(error)

        thread = threading.Thread(target=run, name="era5dl-work", daemon=True)
        with self.gracefully():
            thread_registry.start_thread(thread)
            while thread.is_alive() and not self.asked.is_set():
                thread.join(0.1)
                watch()
        if self.asked.is_set():
            raise KeyboardInterrupt
        if failure:
            raise failure.pop()
        return outcome[0]

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked.is_set() or self._over:
            end_at_once(INTERRUPTED)
        self._asked_at = time.monotonic()
        self.asked.set()
        if not self._graceful:
            raise KeyboardInterrupt


def ignore_signals() -> None:
    """From now on none of them does anything."""
    for number in _signals():
        signal.signal(number, signal.SIG_IGN)


def end_at_once(code: int) -> None:
    """End the process without waiting for any thread; only give the terminal its cursor back."""
    with contextlib.suppress(OSError, ValueError):
        if os.isatty(2):
            os.write(2, b"\x1b[?25h\n")
    os._exit(code)


def _signals() -> list[int]:
    """SIGINT and SIGTERM; Ctrl-Break on Windows; a closed terminal too, unless nohup said to ignore it."""
    names = ["SIGINT", "SIGTERM", "SIGBREAK"]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        names.append("SIGHUP")
    return [number for name in names if (number := getattr(signal, name, None)) is not None]
