"""The bytes of an answer, straight into a buffer of ours: one system call's worth at a time.

urllib3's `read1` makes three objects and ten calls of every 16 KiB record that TLS hands up, which is half of all the
time a fast line takes.  Below it lies the buffered reader of `http.client`, whose `readinto1` reads once and never
waits for more, so that nothing is lost when a connection breaks.  It is reached through one private name of urllib3,
here and nowhere else; where that is not what we know, `read1` does the same, slower.
"""

from __future__ import annotations

import http.client
import io
from typing import Any

from era5dl.turns import turn

GULP = max(256 * 1024, 2 * io.DEFAULT_BUFFER_SIZE)  # bytes; less than its buffer, and the reader below keeps a rest


class Tap:
    """The body of `length` bytes of a urllib3 response, and its connection given back when the last one has come.

    A small view is served from a gulp of our own: what the reader below kept back, nobody could wait for.
    """

    def __init__(self, raw: Any, length: int) -> None:
        self._raw = raw
        self._left = length  # on the connection
        self._gulp = memoryview(b"")  # off the connection, and not handed out yet
        self._first = True
        below = getattr(raw, "_fp", None)
        plain = isinstance(below, http.client.HTTPResponse) and not below.chunked and below.length == length
        self._http: Any = below if plain else None

    @property
    def at_hand(self) -> bool:
        """Whether there are bytes without asking the connection."""
        return bool(self._gulp)

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view` with the next bytes, as soon as any are there. 0 at the end, or at an early end."""
        if not self._gulp and len(view) >= min(GULP, self._left):
            return self._from_connection(view[: self._left])
        if not self._gulp:
            buffer = memoryview(bytearray(min(GULP, self._left)))
            self._gulp = buffer[: self._from_connection(buffer)]
        count = min(len(view), len(self._gulp))
        view[:count] = self._gulp[:count]
        self._gulp = self._gulp[count:]
        return count

    def _from_connection(self, view: memoryview) -> int:
        if not view:
            return 0
        if self._http is None:
            count = _copy(self._raw.read1(len(view)), view)
            self._left -= count
            return count
        if self._first:  # what came with the headers; `readinto1` would wait for more, and lose it if none comes
            self._first = False
            count = _copy(self._http.fp.read1(len(view)), view)
        else:
            with turn.away():
                count = self._http.fp.readinto1(view)
        self._left -= count
        self._http.length = self._left
        if not self._left:
            self._http.close()
            self._raw.release_conn()
        return count


def _copy(data: bytes, view: memoryview) -> int:
    view[: len(data)] = data
    return len(data)
