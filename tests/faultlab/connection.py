"""One connection on a raw socket, plain or TLS: everything that can be done to a client at this level.

The same class serves towards a server behind the lab.

The socket never blocks: every wait is in `_wait`, which also wakes when the server ends. So no thread of the server
outlives it, whatever the client does or leaves undone.
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

SETTLE = 0.05  # seconds the client gets to take what was sent, before a reset throws the rest away


class Gone(Exception):
    """The other side went away, or the lab ends."""


class Connection:
    """A connection. Used by one thread at a time; `cut` may be called by any. context: of a server that talks TLS."""

    def __init__(self, sock: socket.socket, ended: socket.socket, context: ssl.SSLContext | None) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._closing = threading.Lock()
        self._ended = ended  # becomes readable when the server ends
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
        """Agree on TLS; nothing to do on a plain connection."""
        if isinstance(self._sock, ssl.SSLSocket) and not self._do(
            self._sock.do_handshake, selectors.EVENT_READ, time.monotonic() + seconds
        ):
            raise Gone("no handshake in time")

    def read_head(self, seconds: float) -> bytes | None:
        """The head of the next request; None when the client sends none within `seconds`. Raises Gone at its end."""
        deadline = time.monotonic() + seconds
        while b"\r\n\r\n" not in self._came:
            if not self._fill(deadline):
                return None
        head, _, self._came = self._came.partition(b"\r\n\r\n")
        return head

    def read_line(self, seconds: float) -> bytes:
        """What comes up to the next end of a line. Raises Gone when none comes within `seconds`."""
        deadline = time.monotonic() + seconds
        while b"\r\n" not in self._came:
            if not self._fill(deadline):
                raise Gone("the line did not end in time")
        line, _, self._came = self._came.partition(b"\r\n")
        return line

    def read_exactly(self, count: int, seconds: float) -> bytes:
        """The next `count` bytes."""
        data = bytearray(count)
        view = memoryview(data)
        while view:
            view = view[self.read_into(view, seconds) :]
        return bytes(data)

    def read_into(self, view: memoryview, seconds: float) -> int:
        """Put what has come into `view`; how many bytes. Raises Gone at the end, and when nothing comes in time."""
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
        """Read and forget the body of a request."""
        deadline = time.monotonic() + seconds
        while len(self._came) < count:
            if not self._fill(deadline):
                raise Gone("the body of the request did not come")
        self._came = self._came[count:]

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it, for as long as the client takes bytes."""
        view = memoryview(data)
        while view:
            send = partial(self._sock.send, view[:BLOCK])
            view = view[self._do(send, selectors.EVENT_WRITE, None)[0] :]

    def send_below_tls(self, data: bytes) -> None:
        """Write past the TLS layer, so that what arrives is no TLS record; on a plain connection just more bytes."""
        with contextlib.suppress(OSError):
            socket.socket.send(self._sock, data)

    def pause(self, seconds: float) -> None:
        """Do nothing for so long. Raises Gone as soon as the client hangs up."""
        deadline = time.monotonic() + seconds
        while self._fill(deadline):
            pass

    def swallow(self, seconds: float) -> None:
        """Stay connected and ignore all that comes, until the client hangs up or the time is over."""
        with contextlib.suppress(Gone):
            self.pause(seconds)
        self._came = b""

    def reset(self) -> None:
        """End with RST: the client's next read fails with "connection reset by peer"."""
        with contextlib.suppress(Gone):
            self.pause(SETTLE)
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.drop()

    def close(self) -> None:
        """End with FIN; over TLS say so first (close_notify)."""
        if isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):  # ValueError: no handshake took place
                self._sock.unwrap()
        self.drop()

    def drop(self) -> None:
        """End with FIN and nothing before it: over TLS that is a ragged end."""
        with self._closing:
            self._sock.close()
            self._selector.close()

    def cut(self) -> None:
        """Break the connection from another thread; the thread that uses it finds out and closes it."""
        with self._closing, contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _fill(self, deadline: float) -> bool:
        """Read what has come; False at the deadline."""
        for data in self._do(lambda: self._sock.recv(65536), selectors.EVENT_READ, deadline):
            if not data:
                raise Gone("the other side hung up")
            self._came += data
            return True
        return False

    def _do(self, action: Callable[[], T], event: int, deadline: float | None) -> list[T]:
        """Do it as soon as the socket lets us. The result in a list, which is empty at the deadline."""
        result: list[T] = []
        wanted = self._attempt(action, event, result)
        while wanted and self._wait(wanted, deadline):
            wanted = self._attempt(action, event, result)
        return result

    def _attempt(self, action: Callable[[], T], event: int, result: list[T]) -> int:
        """Try it now: 0 when it is done, else the event to wait for. TLS may have to read in order to write."""
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
        """Wait until the socket is ready; False at the deadline. Raises Gone when the server ends."""
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
