"""How another thread ends a request that is under way: within milliseconds, and without touching its bytes.

Closing a body or a socket from outside does not wake a thread that is blocked in recv, it blocks the caller as well.
What wakes it is `shutdown` on the socket, and for TLS it must be the *plain* socket's shutdown: `SSLSocket.shutdown`
first drops the TLS layer, and the reader would be handed ciphertext as if it were data.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket as sockets
import ssl
import threading
import time
from typing import Any

SLICE = 0.25  # seconds
SLICED = os.name == "nt"  # Windows does not wake a blocked recv when its socket is shut down (python/cpython#91913)

_attempt = threading.local()


class Abort:
    """One per attempt. The thread that fetches watches it, any other thread may `trip` it.

    connected: this attempt has made a connection of its own, or tried to; False: it took one that was open; None: it
    has none yet.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: sockets.socket | None = None
        self._why = ""
        self.connected: bool | None = None

    @property
    def why(self) -> str:
        """The reason given to `trip`; "" while nobody has."""
        return self._why

    @property
    def socket(self) -> sockets.socket | None:
        """What the attempt waits on now."""
        return self._socket

    def trip(self, why: str) -> None:
        """End the attempt. Returns at once; the first reason stays."""
        with self._lock:
            self._why = self._why or why
            self._shut()

    def watch(self, sock: sockets.socket | None) -> None:
        """Tell which socket the attempt waits on now; None when it is no longer ours to shut."""
        with self._lock:
            self._socket = sock
            if self._why:
                self._shut()

    def patience(self, timeout: float) -> None:
        """Wait until the watched socket has bytes to read, but no longer than the abort: for systems where a blocked
        reader cannot be woken. Raises TimeoutError after `timeout` seconds without a byte."""
        sock = self._socket
        if not isinstance(sock, sockets.socket):  # none, or TLS in TLS, whose bytes are at hand without a sign
            return
        give_up = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            while not self._why:
                if (isinstance(sock, ssl.SSLSocket) and sock.pending()) or selector.select(SLICE):
                    return
                if time.monotonic() > give_up:
                    raise TimeoutError("timed out")

    def _shut(self) -> None:
        if self._socket is not None:
            shut(self._socket)


def shut(sock: Any) -> None:
    """Wake whoever reads from this socket, or from urllib3's TLS in TLS, by ending its connection."""
    plain = sock if isinstance(sock, sockets.socket) else sock.socket
    with contextlib.suppress(OSError):  # already closed by the other side
        sockets.socket.shutdown(plain, sockets.SHUT_RDWR)


class aborting:
    """Within this context, requests of this thread can be ended by `abort.trip`; None: by whoever could before."""

    def __init__(self, abort: Abort | None) -> None:
        self._abort = abort
        self._outer: Abort | None = None

    def __enter__(self) -> None:
        self._outer = abort_of_this_thread()
        if self._abort is not None:
            _attempt.abort = self._abort

    def __exit__(self, *_: object) -> None:
        _attempt.abort = self._outer
        if self._abort is not None:
            self._abort.watch(None)


def abort_of_this_thread() -> Abort | None:
    """By which the requests of this thread can be ended."""
    found: Abort | None = getattr(_attempt, "abort", None)
    return found
