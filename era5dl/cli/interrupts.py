"""Signal handling: the first Ctrl-C (SIGINT, SIGTERM and others) stops cleanly, the second ends the process at once.

Outside of `gracefully` the first signal raises KeyboardInterrupt, because there is no progress to save. Inside, it only
sets `requested`, and the loop that checks it stops the engine. The handler must not stop the engine itself: it runs at
any point of the main thread, which may just hold the lock that stopping needs.
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
from era5dl.cli.exit_codes import ExitCode

GRACE_SECONDS = 1.6  # for a clean stop after the signal; the process must end within 2 seconds
_CHECK_INTERVAL = 0.1  # seconds

T = TypeVar("T")


class Interrupts:
    """Context manager that handles signals during one command. Has no effect outside the main thread.

    until_exit: the process ends after the command; until then a signal ends it at once.
    """

    def __init__(self, *, until_exit: bool = False) -> None:
        self._until_exit, self._command_ended = until_exit, False
        self.requested = threading.Event()
        self._requested_at = 0.0
        self._graceful = False
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _signals():
                self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._until_exit:
            self._command_ended = True
            return
        for number, handler in self._previous_handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextlib.contextmanager
    def gracefully(self) -> Iterator[None]:
        """Within this context a signal sets `requested`, and the code in it checks that."""
        self._graceful = True
        try:
            yield
        finally:
            self._graceful = False

    @property
    def grace_expired(self) -> bool:
        """Whether a clean stop was requested and has taken longer than `GRACE_SECONDS`."""
        return self.requested.is_set() and time.monotonic() - self._requested_at > GRACE_SECONDS

    def wait(self, seconds: float) -> bool:
        """Wait; return True at once after a signal."""
        deadline = time.monotonic() + seconds
        with self.gracefully():
            while time.monotonic() < deadline and not self.requested.is_set():
                time.sleep(_CHECK_INTERVAL)
        return self.requested.is_set()

    def run_in_background(self, work: Callable[[], T], poll: Callable[[], None] = lambda: None) -> T:
        """Run `work` on a daemon thread and return its result. `poll` is called ten times per second meanwhile.

        Raises KeyboardInterrupt as soon as a signal arrives, even if `work` hangs in a request. Raises OutOfThreads.
        """
        outcome: list[T] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again on the waiting thread
                failure.append(error)

        thread = threading.Thread(target=run, name="era5dl-work", daemon=True)
        with self.gracefully():
            thread_registry.start_thread(thread)
            while thread.is_alive() and not self.requested.is_set():
                thread.join(_CHECK_INTERVAL)
                poll()
        if self.requested.is_set():
            raise KeyboardInterrupt
        if failure:
            raise failure.pop()
        return outcome[0]

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested.is_set() or self._command_ended:
            end_process(ExitCode.INTERRUPTED)
        self._requested_at = time.monotonic()
        self.requested.set()
        if not self._graceful:
            raise KeyboardInterrupt


def ignore_signals() -> None:
    """Ignore all signals that are handled here."""
    for number in _signals():
        signal.signal(number, signal.SIG_IGN)


def end_process(code: int) -> None:
    """End the process without waiting for threads; make the terminal's cursor visible again."""
    with contextlib.suppress(OSError, ValueError):
        if os.isatty(2):
            os.write(2, b"\x1b[?25h\n")
    os._exit(code)


def _signals() -> list[int]:
    """SIGINT, SIGTERM, Ctrl-Break on Windows, and SIGHUP (terminal closed) unless nohup set it to be ignored."""
    names = ["SIGINT", "SIGTERM", "SIGBREAK"]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        names.append("SIGHUP")
    return [number for name in names if (number := getattr(signal, name, None)) is not None]
