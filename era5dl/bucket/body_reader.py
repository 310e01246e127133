"""Reads response bodies: through urllib3 (`StreamReader`), or from the socket (`SocketReader`), which is faster.

urllib3's `read1` creates three objects and makes ten calls for every TLS record of 16 KiB. Reading from the socket
saves half of the CPU time over TLS, and 60 % of the wall time of 2,000 ranges of 1 MB (measured by
`python -m tests.benchmarks.data_path`). It needs one private name of urllib3, `_fp`, which no other module uses.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import threading
from typing import Any

from urllib3.util.wait import wait_for_read

from era5dl.bucket.cancellation import WAITS_IN_SLICES
from era5dl.bucket.deadline import Deadline

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_decrypting = threading.BoundedSemaphore(_CORES)
"""Held while TLS records are decrypted. Decrypting a record releases and acquires the interpreter's lock (GIL); if more
threads than cores do that at once, 8 objects of 256 MiB take a third longer."""


class StreamReader:
    """Reads a urllib3 response with `read1`, which returns the bytes that have arrived. Works for every response.

    sock: the socket of the response. timeout: seconds for each read, which may have to read the size of an HTTP chunk
    byte by byte.
    has_buffered: bytes may be available without reading from the socket.
    """

    def __init__(self, raw: Any, sock: socket.socket | None, timeout: float) -> None:
        self._raw, self._socket, self._timeout = raw, sock, timeout
        self.has_buffered = True  # some bytes may have arrived together with the headers

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view` with the next bytes, as soon as there are any; return how many, 0 at the end."""
        with Deadline(self._timeout, "the next part of the response") as limit:
            limit.start(self._socket)
            count = _copy(self._raw.read1(len(view)), view)
        self.has_buffered = count == len(view) or bool(getattr(self._raw, "chunked", False))
        return count


class SocketReader:
    """Reads a body of known length: first what http.client has buffered with the headers, then from the socket.

    Over TLS each read takes all records that have arrived. If the connection breaks, the bytes that arrived before are
    returned first. After the last byte the connection is returned to its pool.
    """

    def __init__(self, raw: Any, response: http.client.HTTPResponse, sock: socket.socket) -> None:
        self._raw = raw
        self._response: Any = response
        self._socket: Any = sock
        self._buffered: memoryview | None = None  # None: not read yet
        self._error: Exception | None = None  # raised by the next read
        self._at_end = False  # the server has ended the connection
        # If reads wait in slices, each read must be preceded by a wait, so only one record is read at a time.
        self._in_records = isinstance(sock, ssl.SSLSocket) and not WAITS_IN_SLICES

    @property
    def has_buffered(self) -> bool:
        """Whether bytes may be available without reading from the socket."""
        return self._buffered is None or bool(self._buffered)

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view` with the next bytes, as soon as there are any; return how many, 0 at the end."""
        view = view[: self._response.length]
        if not view:
            return 0
        if self.has_buffered:
            count = self._read_buffered(view)
        else:
            count = self._read_records(view) if self._in_records else self._socket.recv_into(view)
        self._response.length -= count
        if not self._response.length:
            self._response.close()
            self._raw.release_conn()
        return count

    def _read_buffered(self, view: memoryview) -> int:
        if self._buffered is None:  # this read empties the buffer, or waits for bytes if the buffer is empty
            self._buffered = memoryview(self._response.fp.read1(io.DEFAULT_BUFFER_SIZE))
        count = _copy(self._buffered[: len(view)], view)
        self._buffered = self._buffered[count:]
        return count

    def _read_records(self, view: memoryview) -> int:
        """Read the TLS records that have arrived. If there are none, wait for the next one."""
        if self._error is not None:
            raise self._error
        sock = self._socket
        timeout = sock.gettimeout()
        sock.settimeout(0)
        try:
            while not (count := self._decrypt(view)) and self._error is None and not self._at_end:
                if not wait_for_read(sock, timeout):
                    raise TimeoutError("The read operation timed out")
        finally:
            sock.settimeout(timeout)
        if not count and self._error is not None:
            raise self._error
        return count

    def _decrypt(self, view: memoryview) -> int:
        """Read until the view is full or nothing more has arrived, at the end, or at an error, which is kept."""
        count = 0
        try:
            with _decrypting:
                while count < len(view) and (more := self._socket.recv_into(view[count:])):
                    count += more
                self._at_end = count < len(view)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (OSError, ValueError) as error:
            self._error = error
        return count


def reader_of(raw: Any, sock: socket.socket | None, timeout: float) -> StreamReader | SocketReader:
    """Return the fastest reader for this response: a SocketReader if the length is known, else a StreamReader."""
    response = getattr(raw, "_fp", None)
    if sock is not None and isinstance(response, http.client.HTTPResponse) and not response.chunked and response.length:
        return SocketReader(raw, response, sock)
    return StreamReader(raw, sock, timeout)


def _copy(data: bytes | memoryview, view: memoryview) -> int:
    view[: len(data)] = data
    return len(data)
