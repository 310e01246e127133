"""Tests of cancellation: another thread wakes one that waits for the network, at once and without foreign bytes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from era5dl.bucket import get_object
from era5dl.bucket.cancellation import Abort
from era5dl.bucket.get_object import PLAIN_GET
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import Era5Error, Stopped
from tests.faultlab import Fault, FaultServer, etag_of, pseudo_random
from tests.faultlab.http import Answer
from tests.runs import read_some, settings_for
from tests.servers.canned import Canned

KEY = "a.nc"
DATA = pseudo_random("abort", 20_000_000)
OBJ = ObjectInfo(KEY, len(DATA), etag_of(DATA))
SOON = 5.0  # seconds within which a thread must have ended; every timeout here is far longer


class Fetching(threading.Thread):
    """Thread that reads an object until its end or an error. came: the received bytes."""

    def __init__(self, bucket: S3Bucket) -> None:
        super().__init__(daemon=True)
        self.abort = Abort()
        self.came = bytearray()
        self.error = ""
        self.go_on: Callable[[], object] = bool  # called after each read
        self._bucket = bucket

    def run(self) -> None:
        try:
            with self._bucket.open(OBJ, 0, len(DATA), self.abort) as body:
                while data := read_some(body, 1 << 16):
                    self.came += data
                    self.go_on()
        except Era5Error as error:
            self.error = type(error).__name__

    def ended(self) -> bool:
        self.join(SOON)
        return not self.is_alive()


@pytest.fixture(scope="module", params=["http, fast", "http, plain", "https, fast", "https, plain"])
def shared(request: pytest.FixtureRequest) -> Iterator[tuple[FaultServer, S3Bucket]]:
    """One server and one bucket for all tests: over http and https, with GETs in both ways."""
    scheme, way = request.param.split(", ")
    certificates = request.getfixturevalue("certificates") if scheme == "https" else None
    with FaultServer(certificates=certificates) as server:
        server.put(KEY, DATA, etag=OBJ.etag)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(PLAIN_GET, "1" if way == "plain" else "")
            bucket = S3Bucket(settings_for(server, read_timeout=60.0, connect_timeout=60.0))
        yield server, bucket


@pytest.fixture
def server(shared: tuple[FaultServer, S3Bucket]) -> FaultServer:
    shared[0].calm()
    shared[0].reset_stats()
    return shared[0]


@pytest.fixture
def bucket(shared: tuple[FaultServer, S3Bucket]) -> Iterator[S3Bucket]:
    yield shared[1]
    shared[1].drop_idle_connections()


def wait_until(true: Callable[[], bool]) -> None:
    """Wait until a condition holds, by polling."""
    waited = threading.Event()
    for _ in range(1000):
        if true():
            return
        waited.wait(0.01)
    raise AssertionError("waited in vain")


def test_abort_wakes_a_thread_that_waits_for_bytes(bucket: S3Bucket, server: FaultServer) -> None:
    server.script(Fault("body-stall", at=100_000, seconds=60))
    reader = Fetching(bucket)
    reader.start()
    wait_until(lambda: len(reader.came) == 100_000)
    reader.abort.trigger("the test")
    assert reader.ended()
    assert reader.came == DATA[:100_000]


def test_abort_wakes_a_thread_that_waits_for_headers(bucket: S3Bucket, server: FaultServer) -> None:
    server.script(Fault("stall-before-headers", seconds=60))
    reader = Fetching(bucket)
    reader.start()
    wait_until(lambda: server.stats().requests == {"GET": 1})
    reader.abort.trigger("the test")
    assert reader.ended()
    assert (reader.came, reader.error != "") == (b"", True)


def test_abort_wakes_a_thread_on_a_reused_connection(bucket: S3Bucket, server: FaultServer) -> None:
    bucket.head(KEY, Abort())
    server.script(Fault("stall-before-headers", seconds=60))
    reader = Fetching(bucket)
    reader.start()
    wait_until(lambda: server.stats().requests == {"HEAD": 1, "GET": 1})
    assert server.stats().connections == 1
    reader.abort.trigger("the test")
    assert reader.ended()


def test_abort_wakes_a_thread_after_connection_close(bucket: S3Bucket, server: FaultServer) -> None:
    """After "Connection: close" the client library no longer has the socket."""
    answer_ends = threading.Event()
    server.script(Fault("connection-close"))
    reader = Fetching(bucket)
    reader.go_on = lambda: answer_ends.wait(30)  # the rest of the response does not fit into the buffers
    reader.start()
    wait_until(lambda: len(reader.came) > 0)
    reader.abort.trigger("the test")
    answer_ends.set()
    assert reader.ended()
    assert 0 < len(reader.came) < len(DATA)


def test_abort_wakes_a_head_request(bucket: S3Bucket, server: FaultServer) -> None:
    server.script(Fault("stall-before-headers", seconds=60, on=("head",)))
    abort, errors = Abort(), []

    def ask() -> None:
        try:
            bucket.head(KEY, abort)
        except Era5Error as error:
            errors.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    wait_until(lambda: server.stats().requests == {"HEAD": 1})
    abort.trigger("the test")
    thread.join(SOON)
    assert not thread.is_alive()
    assert len(errors) == 1


@pytest.mark.parametrize("after", [1, 1_000_000, 5_000_000])
def test_no_ciphertext_is_returned_as_data_after_an_abort(bucket: S3Bucket, server: FaultServer, after: int) -> None:
    """The buffers contain encrypted bytes when the socket is shut down: bytes read afterwards must be the object's."""
    paused, go_on = threading.Event(), threading.Event()
    reader = Fetching(bucket)

    def hold() -> None:
        if len(reader.came) >= after and not paused.is_set():
            paused.set()
            go_on.wait(30)

    reader.go_on = hold
    reader.start()
    assert paused.wait(30)
    reader.abort.trigger("the test")
    go_on.set()
    assert reader.ended()
    assert after <= len(reader.came) < len(DATA)
    assert reader.came == DATA[: len(reader.came)]


def test_an_abort_does_not_affect_other_requests(bucket: S3Bucket, server: FaultServer) -> None:
    """An abort ends its own attempt. A concurrent one, over the same pool, completes."""
    server.script(Fault("body-stall", at=100_000, seconds=60))
    held, other = Fetching(bucket), Fetching(bucket)
    held.start()
    wait_until(lambda: len(held.came) == 100_000)
    at_work, go_on = threading.Event(), threading.Event()
    other.go_on = lambda: (at_work.set(), go_on.wait(30))
    other.start()
    assert at_work.wait(30)
    held.abort.trigger("the test")
    assert held.ended()
    go_on.set()
    other.join(30)
    assert (other.error, bytes(other.came) == DATA) == ("", True)


def test_an_abort_after_the_attempt_does_not_close_the_connection(bucket: S3Bucket, server: FaultServer) -> None:
    abort, other = Abort(), Abort()
    bucket.head(KEY, abort)
    abort.trigger("too late")
    with bucket.open(OBJ, 0, 10, other) as body:
        assert read_some(body, 100) == DATA[:10]
    other.trigger("too late")
    assert bucket.head(KEY, Abort()).size == len(DATA)
    assert server.stats().connections == 1


def test_an_attempt_aborted_before_it_starts_sends_no_request(bucket: S3Bucket, server: FaultServer) -> None:
    abort = Abort()
    abort.trigger("paused")
    with pytest.raises(Stopped, match="paused"):
        bucket.head(KEY, abort)
    with pytest.raises(Stopped, match="paused"):
        bucket.open(OBJ, 0, 10, abort).__enter__()
    assert server.stats().requests == {}
    assert [obj.key for obj in bucket.list("")] == [KEY]  # later requests of this thread are not affected


# -- systems on which a blocked read cannot be interrupted -----------------------------------------------------------


@pytest.fixture
def sliced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: shutting down a socket does not wake a reader, so reads wait in slices."""
    monkeypatch.setattr(get_object, "WAITS_IN_SLICES", True)
    monkeypatch.setattr(Abort, "_shut_down", lambda self: None)


def test_waiting_in_slices_ends_with_an_abort(ends: tuple[socket.socket, socket.socket], sliced: None) -> None:
    abort = Abort()
    abort.watch(ends[0])
    waiter = threading.Thread(target=abort.wait_readable, args=(60.0,), daemon=True)
    waiter.start()
    abort.trigger("stopped")
    waiter.join(SOON)
    assert not waiter.is_alive()


def test_waiting_in_slices_ends_with_bytes_or_a_timeout(ends: tuple[socket.socket, socket.socket]) -> None:
    abort = Abort()
    abort.wait_readable(60.0)  # nothing is watched: nothing to wait for
    abort.watch(ends[0])
    with pytest.raises(TimeoutError):
        abort.wait_readable(0.1)
    ends[1].send(b"x")
    abort.wait_readable(60.0)


@pytest.mark.usefixtures("get_way")
@pytest.mark.parametrize("size", [1, 5000, 100_000])
@pytest.mark.parametrize("sip", [1000, 1 << 20])
def test_reading_in_slices_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch, size: int, sip: int) -> None:
    """This includes bytes received with the headers, which are in a buffer while the socket has no more."""
    monkeypatch.setattr(get_object, "WAITS_IN_SLICES", True)
    obj = ObjectInfo(KEY, size, etag_of(DATA[:size]))
    headers = {"Content-Range": f"bytes 0-{size - 1}/{size}", "ETag": obj.etag}
    answer = Answer.of(206, "Partial Content", headers, DATA[:size])
    came = bytearray()
    hold = threading.Event()  # the connection stays open, and silent, after the last byte
    with Canned(answer, hold=hold) as server:
        bucket = S3Bucket(settings_for(server, read_timeout=0.5))
        with bucket.open(obj, 0, size, Abort()) as body:
            while len(came) < size:
                data = read_some(body, sip)
                assert data
                came += data
        hold.set()
        bucket.drop_idle_connections()
    assert came == DATA[:size]


def test_reading_in_slices_gives_bytes_already_decrypted_by_tls(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TLS record is larger than a read, and its rest is no longer on the socket."""
    monkeypatch.setattr(get_object, "WAITS_IN_SLICES", True)
    bucket = S3Bucket(settings_for(server, read_timeout=0.5))
    came = bytearray()
    with bucket.open(OBJ, 0, 100_000, Abort()) as body:
        while len(came) < 100_000:
            came += read_some(body, 1000)
    bucket.drop_idle_connections()
    assert came == DATA[:100_000]


# -- Abort alone -----------------------------------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(SOON)
        yield one, other


def is_shut(sock: socket.socket) -> bool:
    sock.settimeout(0.05)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False


def test_the_first_reason_for_an_abort_is_kept() -> None:
    abort = Abort()
    assert abort.reason == ""
    abort.trigger("paused")
    abort.trigger("stopped")
    assert abort.reason == "paused"


def test_a_socket_watched_after_the_abort_is_shut_down_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    abort = Abort()
    abort.trigger("stopped")
    abort.watch(ends[0])
    assert is_shut(ends[0])


def test_only_the_socket_currently_watched_is_shut_down(ends: tuple[socket.socket, socket.socket]) -> None:
    abort = Abort()
    abort.watch(ends[0])
    assert not is_shut(ends[0])
    abort.watch(None)
    abort.trigger("stopped")
    assert not is_shut(ends[0])


def test_an_abort_tolerates_a_closed_socket(ends: tuple[socket.socket, socket.socket]) -> None:
    abort = Abort()
    abort.watch(ends[0])
    ends[0].close()
    abort.trigger("stopped")
    assert abort.reason == "stopped"
