"""Connection on a raw socket, plain or TLS, with everything that a server can do to a client at this level.

The class is also used for connections to an upstream server.

The socket is non-blocking: every wait is in `_wait`, which also ends when the server is closed. Therefore no thread
outlives the server, whatever the client does.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from tests.faultlab.bodies import BLOCK

# poll has no limit on the number of a descriptor and needs none of its own; Windows has only select
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)

T = TypeVar("T")

SETTLE = 0.05  # seconds for the client to read sent bytes before a reset, which discards the rest


class Gone(Exception):
    """The other side has closed the connection, or the server is closing."""


class Connection:
    """A connection. Used by one thread at a time; any thread may call `cut`. context: for a server with TLS."""

    def __init__(self, sock: socket.socket, ended: socket.socket, context: ssl.SSLContext | None) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._closing = threading.Lock()
        self._ended = ended  # becomes readable when the server is closed
        self._came = b""
        self._sock = sock
        if context is not None:
            self._sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._selector = _Selector()
        self._selector.register(self._sock, selectors.EVENT_READ)
        self._selector.register(ended, selectors.EVENT_READ)
        self._awaited: int = selectors.EVENT_READ

    @property
    def tls(self) -> bool:
        return isinstance(self._sock, ssl.SSLSocket)

    def handshake(self, seconds: float) -> None:
        """Do the TLS handshake. Does nothing on a plain connection."""
        if isinstance(self._sock, ssl.SSLSocket) and not self._do(
            self._sock.do_handshake, selectors.EVENT_READ, time.monotonic() + seconds
        ):
            raise Gone("no handshake in time")

    def read_head(self, seconds: float) -> bytes | None:
        """Return the headers of the next request; None if none arrive within `seconds`. Raises Gone at the end."""
        deadline = time.monotonic() + seconds
        while b"\r\n\r\n" not in self._came:
            if not self._fill(deadline):
                return None
        head, _, self._came = self._came.partition(b"\r\n\r\n")
        return head

    def read_line(self, seconds: float) -> bytes:
        """Return the next line. Raises Gone if it does not arrive within `seconds`."""
        deadline = time.monotonic() + seconds
        while b"\r\n" not in self._came:
            if not self._fill(deadline):
                raise Gone("the line did not end in time")
        line, _, self._came = self._came.partition(b"\r\n")
        return line

    def read_exactly(self, count: int, seconds: float) -> bytes:
        """Return the next `count` bytes."""
        data = bytearray(count)
        view = memoryview(data)
        while view:
            view = view[self.read_into(view, seconds) :]
        return bytes(data)

    def read_into(self, view: memoryview, seconds: float) -> int:
        """Read received bytes into `view`, and return their number. Raises Gone at the end, and after a timeout."""
        if self._came:
            piece, self._came = self._came[: len(view)], self._came[len(view) :]
            view[: len(piece)] = piece
            return len(piece)
        for count in self._do(lambda: self._sock.recv_into(view), selectors.EVENT_READ, time.monotonic() + seconds):
            if count:
                return count
            raise Gone("the other side hung up")
        raise Gone("nothing came in time")

    def skip(self, count: int, seconds: float) -> None:
        """Read and discard the body of a request."""
        deadline = time.monotonic() + seconds
        while len(self._came) < count:
            if not self._fill(deadline):
                raise Gone("the body of the request did not come")
        self._came = self._came[count:]

    def send(self, data: bytes | memoryview) -> None:
        """Send all bytes, as long as the client accepts them."""
        view = memoryview(data)
        while view:
            send = partial(self._sock.send, view[:BLOCK])
            view = view[self._do(send, selectors.EVENT_WRITE, None)[0] :]

    def send_below_tls(self, data: bytes) -> None:
        """Send bytes below the TLS layer, which are not a TLS record. On a plain connection, send them as usual."""
        with contextlib.suppress(OSError):
            socket.socket.send(self._sock, data)

    def pause(self, seconds: float) -> None:
        """Wait. Raises Gone as soon as the client closes the connection."""
        deadline = time.monotonic() + seconds
        while self._fill(deadline):
            pass

    def swallow(self, seconds: float) -> None:
        """Stay connected and ignore received bytes, until the client closes the connection or the time is over."""
        with contextlib.suppress(Gone):
            self.pause(seconds)
        self._came = b""

    def reset(self) -> None:
        """Close with RST: the client's next read fails with "connection reset by peer"."""
        with contextlib.suppress(Gone):
            self.pause(SETTLE)
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.drop()

    def close(self) -> None:
        """Close with FIN, over TLS after close_notify."""
        if isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):  # ValueError: no handshake took place
                self._sock.unwrap()
        self.drop()

    def drop(self) -> None:
        """Close with FIN, over TLS without close_notify (a ragged end)."""
        with self._closing:
            self._sock.close()
            self._selector.close()

    def cut(self) -> None:
        """Break the connection from another thread. The thread that uses it gets an error and closes it."""
        with self._closing, contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _fill(self, deadline: float) -> bool:
        """Read received bytes into the buffer. Return False at the deadline."""
        for data in self._do(lambda: self._sock.recv(65536), selectors.EVENT_READ, deadline):
            if not data:
                raise Gone("the other side hung up")
            self._came += data
            return True
        return False

    def _do(self, action: Callable[[], T], event: int, deadline: float | None) -> list[T]:
        """Run `action` as soon as the socket is ready. Return its result in a list, which is empty at the deadline."""
        result: list[T] = []
        wanted = self._attempt(action, event, result)
        while wanted and self._wait(wanted, deadline):
            wanted = self._attempt(action, event, result)
        return result

    def _attempt(self, action: Callable[[], T], event: int, result: list[T]) -> int:
        """Try `action` now. Return 0 if it is done, else the event to wait for: TLS may have to read to write."""
        try:
            result.append(action())
        except ssl.SSLWantReadError:
            return selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_WRITE
        except BlockingIOError:
            return event
        except OSError as error:
            raise Gone(str(error)) from None
        return 0

    def _wait(self, event: int, deadline: float | None) -> bool:
        """Wait until the socket is ready. Return False at the deadline. Raises Gone when the server is closed."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        if event != self._awaited:
            self._selector.modify(self._sock, event)
            self._awaited = event
        ready = [key.fileobj for key, _ in self._selector.select(left)]
        if self._ended in ready:
            raise Gone("the lab ends")
        return bool(ready)
