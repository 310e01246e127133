"""Tests of reading a response body: complete, bounded, and with all bytes that arrived before the connection broke."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from era5dl.bucket.body_reader import SocketReader, StreamReader, reader_of
from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import Interrupted
from tests.faultlab import Fault, FaultServer, etag_of, pseudo_random
from tests.runs import read_some, settings_for

KEY = "a.nc"
DATA = pseudo_random("body reader", 300_000)
OBJECT = ObjectInfo(KEY, len(DATA), etag_of(DATA))
TLS = pytest.mark.parametrize("scheme", ["fault_server", "fault_server_tls"])


@pytest.fixture
def server(request: pytest.FixtureRequest, scheme: str) -> FaultServer:
    found: FaultServer = request.getfixturevalue(scheme)
    found.put(KEY, DATA)
    return found


@TLS
@pytest.mark.parametrize("size", [1000, 16_384, 100_000])
def test_reads_of_any_size_give_all_bytes_in_order(server: FaultServer, size: int) -> None:
    """A TLS record has 16,384 bytes: reads of a part of a record, of exactly one, and of several."""
    bucket = S3Bucket(settings_for(server))
    received = bytearray()
    with bucket.open(OBJECT, 10, len(DATA) - 10, Abort()) as body:
        while data := read_some(body, size):
            assert len(data) <= size
            received += data
    bucket.drop_idle_connections()
    assert received == DATA[10:-10]


@TLS
@pytest.mark.parametrize("size", [1000, 1 << 20])
@pytest.mark.parametrize("kind", ["body-reset", "body-fin", "body-stall"])
def test_bytes_that_arrived_before_the_connection_broke_are_not_lost(server: FaultServer, kind: str, size: int) -> None:
    bucket = S3Bucket(settings_for(server, read_timeout=0.5))
    server.script(Fault(kind, at=123_456, seconds=3))
    received = bytearray()
    try:
        with bucket.open(OBJECT, 0, len(DATA), Abort()) as body:
            while data := read_some(body, size):
                received += data
    except Interrupted:
        pass
    bucket.drop_idle_connections()
    assert received == DATA[:123_456]


class Raw:
    """The part of urllib3's response that a reader uses."""

    def __init__(self, sock: socket.socket, head: bytes) -> None:
        self._fp = http.client.HTTPResponse(sock)
        self._fp.begin()
        self.released = 0

    def release_conn(self) -> None:
        self.released += 1

    def read1(self, count: int) -> bytes:
        return self._fp.read1(count)


@pytest.fixture
def response() -> Any:
    """Create a response of these bytes. The server sends nothing more, and the connection stays open."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)

    def respond(data: bytes) -> tuple[Raw, socket.socket]:
        theirs.sendall(data)
        return Raw(ours, data), ours

    with ours, theirs:
        yield respond


@pytest.mark.parametrize("size", [3, 100])
def test_nothing_beyond_the_body_is_read(response: Callable[[bytes], tuple[Raw, socket.socket]], size: int) -> None:
    """What follows is the next response on this connection."""
    raw, sock = response(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")
    reader = reader_of(raw, sock, 5.0)
    assert isinstance(reader, SocketReader)
    received = b""
    while data := read_some(reader, size):
        received += data
    assert received == b"0123456789"
    assert raw.released == 1
    assert read_some(reader, size) == b""


@pytest.mark.parametrize("head", ["Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", "\r\n0123456789"])
def test_a_body_of_unknown_length_is_read_through_urllib3(
    response: Callable[[bytes], tuple[Raw, socket.socket]], head: str
) -> None:
    raw, sock = response(b"HTTP/1.1 200 OK\r\n" + head.encode())
    reader = reader_of(raw, sock, 5.0)
    assert isinstance(reader, StreamReader)
    assert read_some(reader, 4) == b"0123"


class Records:
    """A TLS socket that returns these records, then raises this error."""

    def __init__(self, records: list[bytes], error: Exception) -> None:
        self._records, self._error, self._timeout = records, error, 5.0

    def recv_into(self, view: memoryview) -> int:
        if not self._records:
            raise self._error
        data = self._records.pop(0)
        view[: len(data)] = data
        return len(data)

    def gettimeout(self) -> float:
        return self._timeout

    def settimeout(self, value: float) -> None:
        self._timeout = value


def test_an_error_after_received_tls_records_is_raised_by_the_next_read() -> None:
    sock: Any = Records([b"one", b"two"], ConnectionResetError("reset"))
    response: Any = SimpleNamespace(length=100)
    reader = SocketReader(None, response, sock)
    reader._buffered, reader._in_records = memoryview(b""), True
    assert read_some(reader, 50) == b"onetwo"
    assert sock.gettimeout() == 5.0
    with pytest.raises(ConnectionResetError):
        read_some(reader, 50)
