"""Aborts a request from another thread: within milliseconds, and without corrupting the bytes it has read.

Closing a response or a socket does not wake a thread that is blocked in recv on it, and blocks the closing thread, too.
`shutdown` on the socket wakes the reader. Over TLS it must be `socket.socket.shutdown`: `SSLSocket.shutdown` removes
the TLS layer first, and the reader would receive ciphertext as if it were data.
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
WAITS_IN_SLICES = os.name == "nt"  # Windows does not wake a blocked recv on shutdown (python/cpython#91913)

_of_this_thread = threading.local()


class Abort:
    """Aborts one attempt. The thread of the attempt registers its socket with `watch`; any thread may call `trigger`.

    connected: True if the attempt has opened a connection or tried to, False if it uses one from the pool, None if it
    has no connection yet.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: sockets.socket | None = None
        self._reason = ""
        self.connected: bool | None = None

    @property
    def reason(self) -> str:
        """The reason given to the first `trigger`; "" before."""
        return self._reason

    def trigger(self, reason: str) -> None:
        """Abort the attempt. Returns at once; later reasons are ignored."""
        with self._lock:
            self._reason = self._reason or reason
            self._shut_down()

    def watch(self, sock: sockets.socket | None) -> None:
        """Register the socket that the attempt waits for; None when the attempt no longer uses a socket."""
        with self._lock:
            self._socket = sock
            if self._reason:
                self._shut_down()

    def wait_readable(self, timeout: float) -> None:
        """Wait until the watched socket is readable or `trigger` has been called. For systems on which a blocked reader
        cannot be woken. Raises TimeoutError after `timeout` seconds without a byte."""
        sock = self._socket
        if not isinstance(sock, sockets.socket):  # no socket, or TLS in TLS, whose buffer a selector cannot see
            return
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            while not self._reason:
                if (isinstance(sock, ssl.SSLSocket) and sock.pending()) or selector.select(SLICE):
                    return
                if time.monotonic() > deadline:
                    raise TimeoutError("timed out")

    def _shut_down(self) -> None:
        if self._socket is not None:
            shut_down(self._socket)


def shut_down(sock: Any) -> None:
    """Shut down the connection of a socket, or of urllib3's TLS in TLS, which wakes the thread that reads from it."""
    plain = sock if isinstance(sock, sockets.socket) else sock.socket
    with contextlib.suppress(OSError):  # already closed by the other side
        sockets.socket.shutdown(plain, sockets.SHUT_RDWR)


class abortable_by:
    """Context manager: `abort` can abort the requests that this thread makes. None leaves the outer one in effect."""

    def __init__(self, abort: Abort | None) -> None:
        self._abort = abort
        self._outer: Abort | None = None

    def __enter__(self) -> None:
        self._outer = current_abort()
        if self._abort is not None:
            _of_this_thread.abort = self._abort

    def __exit__(self, *_: object) -> None:
        _of_this_thread.abort = self._outer
        if self._abort is not None:
            self._abort.watch(None)


def current_abort() -> Abort | None:
    """Return the Abort that applies to the requests of this thread; None outside of `abortable_by`."""
    found: Abort | None = getattr(_of_this_thread, "abort", None)
    return found
