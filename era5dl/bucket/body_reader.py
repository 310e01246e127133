"""The bytes of an answer, from the socket straight into a buffer of ours.

urllib3's `read1` makes three objects and ten calls of every 16 KiB record that TLS hands up, which is half of all the
time a fast line takes.  So what `http.client` has read together with the headers is taken over first; then bytes come
from the socket itself, with TLS all the records that are there, and nothing is lost when a connection breaks.  The body
is reached through one private name of urllib3, here and nowhere else; where that is not what we know, `read1` does the
same, slower, and so it does where no length is said: in chunks, or up to the end of the connection.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from typing import Any

from era5dl.bucket.cancellation import SLICED
from era5dl.bucket.deadline import Deadline


class Tap:
    """The body of `length` bytes of a urllib3 response that comes over `sock`, and its connection given back when the
    last byte has come.

    patience: seconds for each read that is not straight from the socket; the head of a chunk can drip, too.
    """

    def __init__(self, raw: Any, length: int, sock: socket.socket | None, patience: float) -> None:
        self._raw = raw
        self._left = length
        self._patience = patience
        self._ahead: memoryview | None = None  # bytes that came with the headers; None: nobody has looked yet
        self._error: Exception | None = None  # came after bytes that had to be handed out first
        below = getattr(raw, "_fp", None)
        plain = isinstance(below, http.client.HTTPResponse) and not below.chunked and below.length == length
        self._http: Any = below if plain and sock is not None else None
        self._sock: Any = sock
        self._in_records = isinstance(sock, ssl.SSLSocket) and not SLICED  # there a wait must come before each read

    @property
    def at_hand(self) -> bool:
        """Whether there may be bytes without asking the connection."""
        return self._ahead is None or bool(self._ahead)

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view` with the next bytes, as soon as any are there. 0 at the end, or at an early end."""
        view = view[: self._left]
        if not view:
            return 0
        if self._http is None:
            self._ahead = memoryview(b"")
            with Deadline(self._patience, "the next part of the answer") as limit:
                limit.begin(self._sock)
                count = _copy(self._raw.read1(len(view)), view)
        elif self.at_hand:
            count = self._from_ahead(view)
        else:
            count = self._gather(view) if self._in_records else self._sock.recv_into(view)
        self._left -= count
        if self._http is not None:
            self._http.length = self._left
            if not self._left:
                self._http.close()
                self._raw.release_conn()
        return count

    def _from_ahead(self, view: memoryview) -> int:
        if self._ahead is None:  # asking for a whole buffer leaves nothing in it, and if it is empty, waits for bytes
            self._ahead = memoryview(self._http.fp.read1(io.DEFAULT_BUFFER_SIZE))
        count = _copy(self._ahead[: len(view)], view)
        self._ahead = self._ahead[count:]
        return count

    def _gather(self, view: memoryview) -> int:
        """The next record, and those behind it that have come already."""
        if self._error is not None:
            raise self._error
        count = int(self._sock.recv_into(view))
        return self._come(view, count) if count else 0

    def _come(self, view: memoryview, count: int) -> int:
        """Add to the `count` bytes in the front of `view` what can be had without waiting."""
        sock = self._sock
        timeout = sock.gettimeout()
        sock.settimeout(0)
        try:
            while count < len(view) and (came := sock.recv_into(view[count:])):
                count += came
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (OSError, ValueError) as error:
            self._error = error
        finally:
            sock.settimeout(timeout)
        return count


def _copy(data: bytes | memoryview, view: memoryview) -> int:
    view[: len(data)] = data
    return len(data)
