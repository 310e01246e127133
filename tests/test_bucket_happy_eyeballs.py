"""Tests of Happy Eyeballs: a host name with several addresses, of which one drops packets."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from era5dl import errors
from era5dl.bucket import happy_eyeballs
from era5dl.bucket.cancellation import Abort
from era5dl.bucket.happy_eyeballs import HappyEyeballs
from era5dl.bucket.s3 import S3Bucket
from era5dl.settings import Settings
from tests.faultlab import FaultServer
from tests.servers.unresponsive import unresponsive_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a full queue drops what comes on Linux alone")

NAME = "many.faultlab.test"
SOON = 10.0  # seconds; without Happy Eyeballs it would be a minute
Place = tuple[str, int]


@pytest.fixture
def silent() -> Iterator[Place]:
    with unresponsive_port() as port:
        yield "127.0.0.1", port


@pytest.fixture
def silent6() -> Iterator[Place]:
    with unresponsive_port("::1") as port:
        yield "::1", port


@pytest.fixture
def refusing() -> Iterator[Place]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()


@pytest.fixture
def good() -> Iterator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


@pytest.fixture
def lead(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """lead(places): make the host name resolve to these addresses, in this order."""
    real = socket.getaddrinfo

    def entry(host: str, port: int) -> tuple[object, ...]:
        return real(host, port, type=socket.SOCK_STREAM)[0]

    def to(*places: Place) -> None:
        found = [entry(*place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: found if host == NAME else real(host, *a, **k))

    return to


def connected(known: HappyEyeballs, timeout: float = 60.0, abort: Abort | None = None) -> Place:
    """Connect to the host name, which must take much less than the timeout. Return the address reached."""
    began = time.monotonic()
    with known.connect(NAME, 443, timeout, abort=abort) as sock:
        assert time.monotonic() - began < SOON
        assert sock.gettimeout() == timeout
        host, port, *_ = sock.getpeername()
        return host, port


def test_the_next_address_is_tried_while_one_does_not_answer(lead, silent6: Place, good: Place) -> None:
    lead(silent6, good)
    assert connected(HappyEyeballs()) == good


def test_an_address_that_did_not_answer_is_tried_last(
    lead, monkeypatch: pytest.MonkeyPatch, silent6: Place, silent: Place, good: Place
) -> None:
    known = HappyEyeballs()
    lead(silent6, silent, good)
    assert connected(known) == good
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 60.0)
    assert connected(known) == good


def test_addresses_that_did_not_answer_are_forgotten_after_a_while(
    lead, monkeypatch: pytest.MonkeyPatch, silent6: Place, good: Place
) -> None:
    known = HappyEyeballs()
    lead(silent6, good)
    monkeypatch.setattr(happy_eyeballs, "REMEMBERED", -1.0)
    assert connected(known) == good
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 60.0)
    with pytest.raises(TimeoutError):
        connected(known, 0.5)


def test_the_address_family_that_answered_is_tried_first(
    lead, monkeypatch: pytest.MonkeyPatch, silent6: Place, good: Place
) -> None:
    """Even if the resolver returns other addresses each time."""
    known = HappyEyeballs()
    lead(silent6, good)
    assert connected(known) == good
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 60.0)
    with unresponsive_port("::1") as port, socket.create_server(("127.0.0.1", 0)) as other:
        lead(("::1", port), other.getsockname())
        assert connected(known) == other.getsockname()


def test_answering_addresses_keep_the_order_of_the_resolver(lead, good: Place) -> None:
    """The order distributes the load over the servers, so the last working address is not preferred."""
    known = HappyEyeballs()
    with socket.create_server(("127.0.0.1", 0)) as other:
        for first, second in ((good, other.getsockname()), (other.getsockname(), good)) * 2:
            lead(first, second)
            assert connected(known) == first


@pytest.mark.slow
def test_address_families_alternate(lead, monkeypatch: pytest.MonkeyPatch, silent6: Place, good: Place) -> None:
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 3.0)
    with unresponsive_port("::1") as second, unresponsive_port("::1") as third, unresponsive_port("::1") as fourth:
        lead(silent6, ("::1", second), ("::1", third), ("::1", fourth), good)
        assert connected(HappyEyeballs()) == good  # after all four others it would be 12 seconds


def test_after_a_refusal_the_next_address_is_tried_at_once(
    lead, monkeypatch: pytest.MonkeyPatch, refusing: Place, good: Place
) -> None:
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY", 60.0)
    lead(refusing, good)
    assert connected(HappyEyeballs()) == good


def test_the_first_address_to_answer_is_used(lead, silent: Place, good: Place) -> None:
    """The attempt at the first address continues while the next one is tried."""
    lead(silent, good)
    known = HappyEyeballs()
    assert connected(known) == good
    lead(silent)
    with pytest.raises(TimeoutError):
        connected(known, 0.3)


def test_refusal_by_all_addresses_is_an_error(lead, refusing: Place) -> None:
    lead(refusing, refusing)
    with pytest.raises(ConnectionRefusedError):
        connected(HappyEyeballs())


@pytest.mark.slow
def test_all_addresses_share_one_timeout(lead, silent: Place, silent6: Place) -> None:
    with unresponsive_port() as third, unresponsive_port() as fourth:
        lead(silent, silent6, ("127.0.0.1", third), ("127.0.0.1", fourth))
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            connected(HappyEyeballs(), 2.0)
        assert time.monotonic() - began < 6.0  # one after the other they would take 8 seconds


@pytest.mark.slow
def test_unused_connections_are_closed(lead, silent: Place, silent6: Place, refusing: Place, good: Place) -> None:
    me = psutil.Process()
    before = me.num_fds()
    for places in ((silent, silent6, refusing, good), (silent, silent6)):
        lead(*places)
        known = HappyEyeballs()
        try:
            connected(known, 1.0, Abort())
        except TimeoutError:
            assert places[-1] == silent6
    assert me.num_fds() == before


def test_socket_options_are_set(lead, silent: Place, good: Place) -> None:
    lead(silent, good)
    with HappyEyeballs([(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]).connect(NAME, 443, 5.0) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_an_abort_ends_connecting_at_once(lead, silent: Place, silent6: Place, when: str) -> None:
    lead(silent, silent6)
    abort, said = Abort(), []
    if when == "before":
        abort.trigger("the test")

    def run() -> None:
        try:
            HappyEyeballs().connect(NAME, 443, 60.0, abort)
        except errors.Stopped as stopped:
            said.append(str(stopped))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    waited = threading.Event()
    while when == "meanwhile" and abort._socket is None:
        waited.wait(0.01)
    abort.trigger("the test")
    thread.join(SOON)
    assert said == ["the test"]


def test_the_memory_of_addresses_is_bounded(lead, refusing: Place, good: Place) -> None:
    known = happy_eyeballs._ExpiringMap[int]()
    for number in range(10_000):
        known.keep(number, number)
    assert len(known._entries) == happy_eyeballs._MAX_REMEMBERED
    assert known.get(9_999) == 9_999


# -- requests of the bucket ------------------------------------------------------------------------------------------


def bucket_at(**options: float) -> S3Bucket:
    return S3Bucket(Settings(endpoint_url=f"http://{NAME}:443", **{"connect_timeout": 60.0, **options}))  # type: ignore[arg-type]


def test_requests_do_not_wait_for_an_unresponsive_address(lead, silent6: Place, fault_server: FaultServer) -> None:
    fault_server.put("a.nc", b"data")
    lead(silent6, ("127.0.0.1", fault_server.port))
    bucket = bucket_at()
    began = time.monotonic()
    for _ in range(4):
        assert bucket.head("a.nc").size == 4
        bucket.drop_idle_connections()
    assert time.monotonic() - began < SOON


def test_the_error_names_why_no_address_answers(lead, silent: Place, silent6: Place, refusing: Place) -> None:
    for places, words in (((silent, silent6), "timed out"), ((refusing,), os.strerror(errno.ECONNREFUSED))):
        lead(*places)
        with pytest.raises(errors.Unreachable) as caught:
            bucket_at(connect_timeout=0.5).head("a.nc")
        assert words in str(caught.value)


@pytest.mark.parametrize("name", ["a..example.org", "x" * 64 + ".org", "under_score.example.org", "über.example.org"])
def test_an_endpoint_whose_host_name_is_invalid_is_refused_at_once(name: str) -> None:
    with pytest.raises(errors.UsageError, match="host name"):
        S3Bucket(Settings(endpoint_url=f"http://{name}:1"))


def test_a_stop_does_not_wait_for_a_connection(lead, silent: Place, silent6: Place) -> None:
    lead(silent, silent6)
    bucket, abort, said = bucket_at(), Abort(), []

    def run() -> None:
        try:
            bucket.head("a.nc", abort)
        except errors.Era5Error as error:
            said.append(type(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    waited = threading.Event()
    while abort._socket is None:
        waited.wait(0.01)
    abort.trigger("the test")
    thread.join(SOON)
    assert said == [errors.Stopped]


def test_a_stop_does_not_wait_for_a_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bucket = S3Bucket(
            Settings(endpoint_url=f"https://127.0.0.1:{listener.getsockname()[1]}", connect_timeout=60, read_timeout=60)
        )
        abort, said = Abort(), []

        def run() -> None:
            try:
                bucket.head("a.nc", abort)
            except errors.Era5Error as error:
                said.append(type(error))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        listener.settimeout(SOON)
        with listener.accept()[0] as sock:
            sock.settimeout(SOON)
            assert sock.recv(1) == b"\x16"  # the handshake has started
            abort.trigger("the test")
            thread.join(SOON)
    assert said == [errors.Stopped]
