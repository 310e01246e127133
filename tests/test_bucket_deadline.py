"""Tests of deadlines: responses that arrive one byte at a time (headers, listings, errors, proxies) block nobody."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from era5dl import thread_registry
from era5dl.bucket import deadline, responses
from era5dl.bucket.cancellation import Abort
from era5dl.bucket.deadline import CHECK_INTERVAL
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import BadResponse, Interrupted, OutOfThreads, ServerBusy, Unreachable
from era5dl.planner import concurrent_requests, plan_keys
from era5dl.settings import Settings
from tests.faultlab import Certificates, Fault, FaultServer, Link, etag_of, pseudo_random
from tests.runs import read_some, settings_for

KEY = "f/a.nc"
DATA = pseudo_random("deadline", 300_000)
OBJ = ObjectInfo(KEY, len(DATA), etag_of(DATA))
PATIENCE = 0.5  # read timeout of the client in seconds
FOR_EVER = 60.0  # seconds for which the servers keep sending
SOON = 15.0  # seconds; without a deadline it would be FOR_EVER


@pytest.fixture(params=["http", pytest.param("tls", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[FaultServer]:
    with FaultServer(certificates=certificates if request.param == "tls" else None) as made:
        made.put(KEY, DATA)
        yield made


@contextlib.contextmanager
def dripping(first: bytes, drop: bytes = b"x") -> Iterator[int]:
    """Context manager: a port that sends `first` to each client, then `drop` ten times per second."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        held = []
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                held.append(threading.Thread(target=drip, args=(sock,), daemon=True))
                held[-1].start()

    def drip(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.recv(65536)
            sock.sendall(first)
            end = time.monotonic() + FOR_EVER
            while time.monotonic() < end and not over.wait(0.1):
                sock.sendall(drop)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def bucket_at(port: int, **options: Any) -> S3Bucket:
    return S3Bucket(
        Settings(
            **{"endpoint_url": f"http://127.0.0.1:{port}", "connect_timeout": 2.0, "read_timeout": PATIENCE, **options}
        )
    )


def fetched(bucket: S3Bucket) -> bytes:
    came = bytearray()
    with bucket.open(OBJ, 0, len(DATA), Abort()) as body:
        while data := read_some(body, 1 << 20):
            came += data
    return bytes(came)


CALLS: dict[str, Callable[[S3Bucket], object]] = {
    "get": fetched,
    "get again": lambda bucket: (fetched(bucket), fetched(bucket)),
    "head": lambda bucket: bucket.head(KEY),
    "list": lambda bucket: list(bucket.list("")),
}


@pytest.mark.usefixtures("get_way")
@pytest.mark.parametrize("begun", [b"", b"5;"], ids=["size", "extension"])
def test_a_chunk_header_has_the_read_timeout_as_a_whole(begun: bytes) -> None:
    said = f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{len(DATA) - 1}/{len(DATA)}\r\nETag: {OBJ.etag}\r\n"
    began = time.monotonic()
    with (
        dripping(said.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + begun, b"0") as port,
        pytest.raises(Interrupted) as late,
    ):
        fetched(bucket_at(port))
    assert late.value.stalled
    assert time.monotonic() - began < SOON


@pytest.mark.usefixtures("get_way")
@pytest.mark.parametrize("kind", ["header-drip", "endless-interim"])
@pytest.mark.parametrize("call", CALLS)
def test_headers_have_the_read_timeout_as_a_whole(server: FaultServer, kind: str, call: str) -> None:
    """Over a new connection and over a reused one."""
    good = ["none"] if call == "get again" else []
    server.script(*good, Fault(kind, seconds=FOR_EVER, times=None, on=("get", "head", "list")))
    bucket = S3Bucket(settings_for(server, read_timeout=PATIENCE))
    began = time.monotonic()
    with pytest.raises(Interrupted, match="stalled: the head of the response") as ended:
        CALLS[call](bucket)
    assert ended.value.stalled
    assert time.monotonic() - began < SOON
    server.calm()
    assert fetched(bucket) == DATA
    bucket.drop_idle_connections()


@pytest.mark.slow
def test_a_proxy_that_sends_its_response_slowly_is_unreachable() -> None:
    with dripping(b"HTTP/1.1 200 O") as port:
        bucket = bucket_at(9, endpoint_url="https://127.0.0.1:9", proxy=f"http://127.0.0.1:{port}")
        began = time.monotonic()
        with pytest.raises(Unreachable, match=f"the proxy http://127.0.0.1:{port} .* does not answer"):
            fetched(bucket)
        assert time.monotonic() - began < SOON


def test_the_watcher_thread_is_started_later_if_it_cannot_start_now(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OutOfThreads

    monkeypatch.setattr(deadline, "_monitor", deadline._Monitor())
    with monkeypatch.context() as patch, deadline.Deadline(CHECK_INTERVAL, "a byte") as limit:
        patch.setattr(thread_registry, "start_thread", none)
        limit.start()
        limit.stop()
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(Interrupted, match="a byte"), deadline.Deadline(CHECK_INTERVAL, "a byte") as limit:
        ours.settimeout(FOR_EVER)
        limit.start(ours)
        assert ours.recv(1) == b"", "it is shut down"
    deadline._monitor.end()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n"


@pytest.mark.parametrize(
    "first",
    [
        HEAD + b"Content-Length: 10000\r\n\r\n<?xml",
        HEAD + b"\r\n<?xml",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n<?xml\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;",
    ],
    ids=["length", "to the end", "in a chunk", "in the size of a chunk"],
)
def test_a_listing_that_arrives_byte_by_byte_is_interrupted(monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    monkeypatch.setattr(responses, "FLOOR_SECONDS", 1.0)
    with dripping(first) as port:
        began = time.monotonic()
        with pytest.raises(Interrupted, match="stalled"):
            list(bucket_at(port, read_timeout=20.0).list(""))
        assert time.monotonic() - began < SOON


@pytest.mark.slow
def test_an_error_body_that_arrives_byte_by_byte_is_mapped_by_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "FLOOR_SECONDS", 1.0)
    with dripping(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 9000\r\n\r\n") as port:
        bucket = bucket_at(port, read_timeout=20.0)
        for call in ("get", "list"):
            began = time.monotonic()
            with pytest.raises(ServerBusy):
                CALLS[call](bucket)
            assert time.monotonic() - began < SOON


def test_an_endless_response_is_a_bad_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "MAX_SECONDS", 1.0)
    with dripping(HEAD + b"\r\n", b" " * 5000) as port:
        began = time.monotonic()
        with pytest.raises(BadResponse, match="slower"):
            list(bucket_at(port, read_timeout=20.0).list(""))
        assert time.monotonic() - began < SOON


@pytest.mark.slow
def test_planning_soon_reports_a_listing_that_arrives_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "FLOOR_SECONDS", 1.0)
    monkeypatch.setattr(concurrent_requests, "RETRY_PERIOD", 1.5)
    monkeypatch.setattr(concurrent_requests, "MAX_ATTEMPTS", 12)
    with dripping(HEAD + b"Content-Length: 10000\r\n\r\n<?xml") as port:
        began = time.monotonic()
        with pytest.raises(Interrupted, match="stalled"):
            plan_keys(["f/a", "f/b"], bucket_at(port, read_timeout=20.0))
        assert time.monotonic() - began < SOON


@pytest.mark.usefixtures("get_way")
def test_the_deadline_of_headers_does_not_apply_to_the_body(server: FaultServer) -> None:
    """The deadline ends with the headers, and does not affect the next request on the connection."""
    server.link = Link(speed=150_000)  # two seconds
    bucket = S3Bucket(settings_for(server, read_timeout=PATIENCE))
    assert fetched(bucket) == DATA
    server.link = Link()
    assert fetched(bucket) == DATA
    assert server.stats().connections == 1
    bucket.drop_idle_connections()


def test_the_watcher_thread_can_be_stopped_and_starts_again() -> None:
    for _ in range(2):
        one, other = socket.socketpair()
        with one, other, pytest.raises(Interrupted), deadline.Deadline(0.2, "a byte") as limit:
            limit.start(one)
            assert one.recv(1) == b""
        deadline._monitor.end()
        assert deadline._monitor._thread is not None
        deadline._monitor._thread.join(5)
        assert not deadline._monitor._thread.is_alive()
