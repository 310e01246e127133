"""Tests of the fast GET over an open connection: when it is used, and that it parses as urllib3 and http.client do."""

from __future__ import annotations

import http.client
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3.connectionpool import HTTPConnectionPool

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.fast_get import _Response, request_head
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import Interrupted, StaleConnection
from tests.faultlab import Fault, FaultServer, etag_of
from tests.runs import read_some, settings_for

KEY, DATA = "a b+c/ä.nc", bytes(range(256)) * 400
OBJECT = ObjectInfo(KEY, len(DATA), etag_of(DATA))
NAMES = ("content-length", "Content-Length", "ETag", "X-Odd", "X", "Connection", "Transfer-Encoding", "folded")
GOOD = b'HTTP/1.1 206 Partial Content\r\nETag: "x"\r\nContent-Length: 3\r\n\r\n'


def begun(kind: type[http.client.HTTPResponse], head: bytes) -> object:
    """Parse a response with this class. Return everything that a reader of it uses, or the type of the error."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(head + b"abc")
        theirs.shutdown(socket.SHUT_WR)
        answer = kind(ours, method="GET")
        try:
            answer.begin()
            if isinstance(answer, _Response):
                fields = [answer.fields.get(name.lower()) for name in NAMES]
            else:
                values = [answer.headers.get_all(name, []) for name in NAMES]
                fields = [", ".join(given) if given else None for given in values]
            facts = (answer.version, answer.status, answer.reason, fields)
            return *facts, answer.chunked, answer.will_close, answer.length, answer.read()
        except (http.client.HTTPException, ValueError) as error:
            return type(error)
        finally:
            answer.close()


@given(
    st.lists(
        st.sampled_from(
            [
                b"Content-Length: 3",
                b"Content-Length: -3",
                b"Content-Length: 3x",
                b"content-length:\t3 ",
                b"Transfer-Encoding: chunked",
                b"Connection: close",
                b"Connection: Keep-Alive",
                b'ETag: "x"',
                b" folded",
                b"X-Odd: \xe4\xff",
                b"No colon",
                b"Bad name: 1",
                b": empty",
                b"X: a\rb",
                b"X: a\nContent-Length: 2",
            ]
        ),
        max_size=5,
    ),
    st.sampled_from(
        [b"HTTP/1.1 206 Partial Content", b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 503 Slow", b""]
    ),
)
@example([b"Content-Length: 3", b"Content-Length: 2"], b"HTTP/1.1 206 Partial Content")
def test_responses_are_parsed_as_by_http_client(fields: list[bytes], status: bytes) -> None:
    head = b"\r\n".join([status, *fields, b"", b""])
    assert begun(_Response, head) == begun(http.client.HTTPResponse, head)


def test_typical_headers_are_parsed_without_http_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.client, "parse_headers", None)
    assert isinstance(begun(_Response, GOOD), tuple)


@pytest.mark.parametrize("server", ["fault_server", "fault_server_tls"])
def test_reused_connections_use_the_fast_get(
    request: pytest.FixtureRequest, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: FaultServer = request.getfixturevalue(server)
    faults.put(KEY, DATA)
    long_way: list[str] = []
    urlopen = HTTPConnectionPool.urlopen
    monkeypatch.setattr(
        HTTPConnectionPool, "urlopen", lambda *a, **k: (long_way.append(k["method"]), urlopen(*a, **k))[1]
    )
    bucket = S3Bucket(settings_for(faults))
    for start in range(0, 5000, 1000):
        with bucket.open(OBJECT, start, start + 1000, Abort()) as body:
            assert read_some(body, 1000) == DATA[start : start + 1000]
    bucket.drop_idle_connections()
    assert long_way == ["GET"]
    assert faults.stats().connections == 1
    assert {entry.key for entry in faults.log} == {KEY}


def test_a_broken_connection_is_not_reused(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    bucket = S3Bucket(settings_for(fault_server, read_timeout=1.0))
    for fault, error in (("reset-at-once", StaleConnection), ("stall-before-headers", Interrupted)):
        with bucket.open(OBJECT, 0, 10, Abort()) as body:
            read_some(body, 10)
        fault_server.script(Fault(fault))
        with pytest.raises(error), bucket.open(OBJECT, 0, 10, Abort()):
            pass
    with bucket.open(OBJECT, 0, 10, Abort()) as body:
        assert read_some(body, 10) == DATA[:10]
    bucket.drop_idle_connections()


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\x00", "Ω"])
def test_requests_that_need_escaping_are_left_to_http_client(value: str) -> None:
    for target, header in (("/x", value), ("/x y", "plain")):
        assert request_head("h", target, {"If-Match": header}) == b""
    assert request_head("h:8", "/x", {"If-Match": "y"}) == b"GET /x HTTP/1.1\r\nHost: h:8\r\nIf-Match: y\r\n\r\n"


def test_the_fast_parser_gives_the_same_result_as_http_client(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = begun(_Response, GOOD)
    monkeypatch.setattr(_Response, "_read_usual_head", lambda _: False)
    assert usual == begun(_Response, GOOD)


def test_a_closed_pool_is_replaced(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    bucket = S3Bucket(settings_for(fault_server))
    for _ in range(3):
        for _ in range(2):
            with bucket.open(OBJECT, 0, 10, Abort()) as body:
                assert read_some(body, 10) == DATA[:10]
        bucket.drop_idle_connections()
    assert fault_server.stats().connections == 3
