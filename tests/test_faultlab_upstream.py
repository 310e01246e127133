"""Tests of the fault lab in front of another server: the rest passes unchanged, and no data piles up."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.faultlab import Fault, FaultServer, etag_of, pseudo_random
from tests.faultlab.bodies import BLOCK, Held
from tests.faultlab.http import Answer
from tests.faultlab.process import LabProcess
from tests.servers.canned import Canned
from tests.servers.raw import Heard, RawClient
from tests.servers.seaweed import BUCKET, Seaweed

KEY = "lab/a b+ü.bin"
DATA = pseudo_random("upstream", 700_000)
PART = 5 << 20
CHANGING = ("date", "x-amz-request-id", "x-amz-id-2")  # headers that differ between responses
_REQUEST_ID = re.compile(rb"<RequestId>\w+</RequestId>")


@pytest.fixture(scope="module")
def filled(seaweed: Seaweed) -> Seaweed:
    """SeaweedFS with a plain object, a multipart upload and many small objects."""
    seaweed.put(KEY, DATA)
    seaweed.put("lab/parts.bin", pseudo_random("parts", PART + 1000), part_size=PART)
    for n in range(40):
        seaweed.put(f"lab/many/{n:03}-{'x' * 60}", b"")
    return seaweed


@pytest.fixture
def proxy(filled: Seaweed) -> Iterator[FaultServer]:
    with FaultServer(upstream=filled.endpoint_url) as server:
        yield server


def ask(url: str, target: str, *, method: str = "GET", **headers: str) -> Heard:
    asked = {name.replace("_", "-"): value for name, value in headers.items()}
    with RawClient(url) as client:
        return client.ask(target, method=method, headers=asked)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("HEAD", KEY, {}),
        ("GET", KEY, {}),
        ("GET", KEY, {"range": "bytes=1000-1999", "if_match": etag_of(DATA)}),
        ("GET", KEY, {"range": "bytes=1000-", "if_match": '"0"'}),
        ("GET", KEY, {"range": "bytes=700000-"}),
        ("HEAD", "lab/parts.bin?partNumber=1", {}),
        ("HEAD", "lab/nothing", {}),
        ("GET", "lab/nothing", {}),
        ("GET", "?list-type=2&prefix=lab/&max-keys=2", {}),
        ("GET", "?list-type=2&prefix=lab/many/", {}),  # large enough for a chunked response of SeaweedFS
        ("HEAD", "", {}),
    ],
)
def test_requests_without_a_fault_pass_unchanged(
    filled: Seaweed, proxy: FaultServer, method: str, target: str, headers: dict[str, str]
) -> None:
    there = ask(filled.endpoint_url, f"/{BUCKET}/{target}", method=method, **headers)
    here = ask(proxy.endpoint_url, f"/{BUCKET}/{target}", method=method, **headers)
    if "transfer-encoding" in there.headers:
        assert here.body == unchunked(there.body)
        assert here.headers["content-length"] == str(len(here.body))
    else:
        assert lines(here) == lines(there), "the head, byte for byte"
        assert _REQUEST_ID.sub(b"", here.body) == _REQUEST_ID.sub(b"", there.body)
    assert proxy.stats().requests == {method: 1}


def lines(heard: Heard) -> list[bytes]:
    head = heard.raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [line for line in head if not line.lower().startswith(tuple(f"{name}:".encode() for name in CHANGING))]


def unchunked(body: bytes) -> bytes:
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data, body = data + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return data


def test_upstream_connections_are_reused(proxy: FaultServer) -> None:
    for _ in range(5):
        assert ask(proxy.endpoint_url, f"/{BUCKET}/{KEY}").body == DATA
    proxy.script(Fault("body-fin", at=10))  # leaves a response unread, so that its connection cannot be reused
    ask(proxy.endpoint_url, f"/{BUCKET}/{KEY}")
    assert ask(proxy.endpoint_url, f"/{BUCKET}/{KEY}").body == DATA
    stats = proxy.stats()
    assert (stats.connections, stats.upstream_connections, stats.upstream_failures) == (7, 2, 0)


def test_a_dead_upstream_connection_is_replaced() -> None:
    answer = Answer.of(200, "OK", {"ETag": '"1"'}, b"all")
    with Canned(answer.head() + b"all") as behind, FaultServer(upstream=behind.endpoint_url) as proxy:
        for _ in range(3):  # the server closes the connection after each response, without announcing it
            assert ask(proxy.endpoint_url, f"/{BUCKET}/k").body == b"all"
        assert (proxy.stats().upstream_connections, proxy.stats().upstream_failures) == (3, 0)


def test_a_missing_upstream_server_is_reported_and_counted() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with FaultServer(upstream=f"http://127.0.0.1:{nobody.getsockname()[1]}") as proxy:
            assert ask(proxy.endpoint_url, f"/{BUCKET}/k").status == 502
            assert proxy.stats().upstream_failures == 1


def test_an_upstream_body_that_breaks_off_is_passed_on_and_counted() -> None:
    head = Answer(200, "OK", {"ETag": '"1"'}, length=100).head()
    with Canned(head + b"some") as behind, FaultServer(upstream=behind.endpoint_url) as proxy:
        heard = ask(proxy.endpoint_url, f"/{BUCKET}/k")
        assert (heard.body, heard.ended) == (b"some", "fin")
        assert proxy.stats().upstream_failures == 1


def test_only_requests_of_downloads_are_passed_on(proxy: FaultServer) -> None:
    assert ask(proxy.endpoint_url, f"/{BUCKET}/{KEY}", method="DELETE").status == 405
    assert ask(proxy.endpoint_url, f"/{BUCKET}/{KEY}").body == DATA


def test_the_host_header_is_replaced_unless_the_request_is_signed() -> None:
    answer = Answer.of(200, "OK", {}, b"")
    with Canned(answer) as behind, FaultServer(upstream=behind.endpoint_url) as proxy:
        ask(proxy.endpoint_url, f"/{BUCKET}/k")
        ask(proxy.endpoint_url, f"/{BUCKET}/k", authorization="AWS4 ...")
        hosts = [line for head in behind.asked for line in head.split("\r\n") if line.lower().startswith("host:")]
        assert hosts == [f"Host: {behind.endpoint_url.removeprefix('http://')}", "host: 127.0.0.1"]


def test_bodies_are_streamed_without_buffering(proxy: FaultServer, filled: Seaweed) -> None:
    """The fault lab reads from the upstream server only what it can send, so a slow client does not fill its memory."""
    filled.put("lab/large", bytes(60_000_000))
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.sendall(f"GET /{BUCKET}/lab/large HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        client.recv(1)  # without reading more
        before = -1
        while (now := proxy.stats().payload) != before:
            before = now
            threading.Event().wait(0.2)  # until nothing is transferred any more
        assert BLOCK <= now < 30_000_000, "the rest is in the buffers of sockets, or not yet asked for"


def test_objects_are_stored_in_the_upstream_server(proxy: FaultServer) -> None:
    with pytest.raises(TypeError, match="put them there"):
        proxy.put("k", b"")


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "upstream"])
def test_bytes_wasted_by_faults_are_counted(filled: Seaweed, memory: bool) -> None:
    """A wrong range counts completely, a flipped bit as the whole object, a replaced object with its sent bytes."""
    target = f"/{BUCKET}/lab/parts.bin"
    with FaultServer(upstream=None if memory else filled.endpoint_url) as server:
        if memory:
            server.put("lab/parts.bin", pseudo_random("parts", PART + 1000), part_size=PART)
        flipped = Fault("flipped-bit", at=100)
        server.script("range-wrong", flipped, flipped, "none", flipped, "body-fin")
        for span in ("0-999", "0-999", "5000-5999", "2000-", "0-999", "0-999"):
            ask(server.endpoint_url, target, range=f"bytes={span}")
        stats = server.stats()
        whole = PART + 1000
        assert stats.destroyed_by_fault == {"range-wrong": 1000, "flipped-bit": 2 * whole}, "two rounds"
        assert stats.payload == 1000 + 1000 + 1000 + (whole - 2000) + 1000 + 500
        assert stats.destroyed == 1000 + 2 * whole

        server.reset_stats()
        server.script("none", "range-wrong", "replaced")
        for span in ("0-999", "1000-1999", "3000-3999"):
            ask(server.endpoint_url, target, range=f"bytes={span}")
        assert server.stats().destroyed_by_fault == {"range-wrong": 1000, "replaced": 1000}
    filled.put("lab/parts.bin", pseudo_random("parts", PART + 1000), part_size=PART)


def test_a_changed_response_is_serialized_again() -> None:
    answer = Answer(200, "OK", {"a": "b"}, Held(b"x"), 1, raw=b"HTTP/1.1 200 OK\r\n\r\n")
    assert answer.head() == answer.raw
    assert answer.but(add={"c": "d"}).head() == replace(answer, raw=b"", headers={"a": "b", "c": "d"}).head()


@pytest.mark.slow
def test_the_fault_lab_runs_as_a_program(filled: Seaweed) -> None:
    with LabProcess("--upstream", filled.endpoint_url, "--mix", "0", "--kind", "internal-error", "--tls") as lab:
        assert lab.bucket == BUCKET

        def status() -> int:
            with RawClient(lab.endpoint_url, lab.ca_file) as client:
                return client.ask(f"/{BUCKET}/{KEY}").status

        assert status() == 200
        assert lab.order("mix 1") == "done"
        assert status() == 500
        assert lab.order("calm") == "done"
        assert status() == 200
        stats = lab.stats()
        assert (stats.faults, stats.payload) == ({"internal-error": 1}, 2 * len(DATA))
        assert lab.order("tea") == "there is no order 'tea'"
        assert lab.order("outage 3600") == "done"
        with pytest.raises(ConnectionRefusedError):
            status()
