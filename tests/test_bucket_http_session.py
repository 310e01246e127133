"""Tests of the HTTP session's sockets: keepalive options are set on every system that has them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.connect import Connector, accepted, keepalive_options
from era5dl.bucket.http_session import HTTPSession
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.proxy import parse_proxy
from era5dl.bucket.s3 import S3Bucket
from era5dl.bucket.tls_trust import TrustStore
from era5dl.errors import NotFound
from tests.faultlab import FaultServer, etag_of
from tests.runs import read_some, settings_for

TCP = socket.IPPROTO_TCP
KEY, DATA = "a.nc", bytes(100_000)
NAMES = ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")


class Watching(Abort):
    """An Abort that keeps all sockets it has watched."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets: list[socket.socket] = []

    def watch(self, sock: socket.socket | None) -> None:
        super().watch(sock)
        if sock is not None:
            self.sockets.append(sock)


def opened(server: FaultServer, **options: str) -> Iterator[S3Bucket]:
    bucket = S3Bucket(settings_for(server, **options))
    yield bucket
    bucket.drop_idle_connections()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_keepalive_options_are_set_on_connected_sockets(request: pytest.FixtureRequest, scheme: str) -> None:
    server: FaultServer = request.getfixturevalue("fault_server" if scheme == "http" else "fault_server_tls")
    server.put(KEY, DATA)
    abort = Watching()
    for bucket in opened(server):
        with bucket.open(ObjectInfo(KEY, len(DATA), etag_of(DATA)), 0, len(DATA), abort) as body:
            read_some(body, 1)
            sock = abort.sockets[-1]
            assert sock.getpeername()[1] == server.port
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
            assert sock.getsockopt(TCP, socket.TCP_NODELAY) != 0
            for level, name, value in accepted(keepalive_options()):
                if level == TCP and name != socket.TCP_NODELAY:
                    assert sock.getsockopt(level, name) == value


@pytest.mark.skipif(sys.platform != "linux", reason="these names are Linux's")
def test_linux_accepts_all_keepalive_options() -> None:
    named = {
        getattr(socket, name): value for name, value in zip(NAMES, (30, None, 10, 3, 60_000), strict=True) if value
    }
    options = accepted(keepalive_options())
    assert {name: value for level, name, value in options if level == TCP} == named | {socket.TCP_NODELAY: 1}
    assert len(options) == 6


def test_options_that_the_system_rejects_are_omitted() -> None:
    """One unsupported option would make every connect fail, which would look like an outage."""
    good = keepalive_options()[:2]
    bad = [(TCP, 9999, 1), (9999, 1, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1 << 40)]
    assert accepted([bad[0], good[0], bad[1], good[1]]) == good
    with socket.socket() as sock:
        for option in bad[:2]:
            with pytest.raises(OSError):
                sock.setsockopt(*option)


def test_a_rejected_option_does_not_prevent_connections(
    fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault_server.put(KEY, DATA)
    monkeypatch.setattr(socket, "TCP_KEEPINTVL", 9999, raising=False)
    for bucket in opened(fault_server):
        assert bucket.head(KEY).size == len(DATA)


@pytest.mark.parametrize(
    ("platform", "names", "expected"),
    [
        ("linux", {"TCP_KEEPIDLE": 4, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6, "TCP_USER_TIMEOUT": 18}, (4, 5, 6, 18)),
        ("darwin", {"TCP_KEEPALIVE": 16, "TCP_KEEPINTVL": 257, "TCP_KEEPCNT": 258}, (16, 257, 258)),
        ("darwin", {"TCP_KEEPIDLE": 3, "TCP_KEEPALIVE": 16}, (16,)),
        ("win32", {"TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 17, "TCP_KEEPCNT": 16}, (3, 17, 16)),
        ("win32", {}, ()),  # before Windows 10 1709
    ],
)
def test_keepalive_options_of_each_system(
    monkeypatch: pytest.MonkeyPatch, platform: str, names: dict[str, int], expected: tuple[int, ...]
) -> None:
    for name in NAMES:
        monkeypatch.delattr(socket, name, raising=False)
    for name, number in names.items():
        monkeypatch.setattr(socket, name, number, raising=False)
    options = keepalive_options(platform)
    assert options[:2] == [(TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    assert tuple(number for _, number, _ in options[2:]) == expected
    assert {level for level, _, _ in options[2:]} <= {TCP}


def test_connections_are_reused(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    for bucket in opened(fault_server):
        for _ in range(5):
            bucket.head(KEY)
    assert fault_server.stats().connections == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connections_through_a_proxy_can_be_aborted(fault_server: FaultServer, scheme: str) -> None:
    """The client library creates the pools of a proxy separately; they need era5dl's connection class, too."""
    connector = Connector(parse_proxy(fault_server.endpoint_url, "a test"), TrustStore())
    transport = HTTPSession(connector=connector, timeout=(5.0, 5.0), pool_size=2)
    manager = transport._get_connection_manager(f"{scheme}://s3.example.org", fault_server.endpoint_url)
    pool = manager.connection_from_url(f"{scheme}://s3.example.org/")
    assert pool.ConnectionCls.__module__ == HTTPSession.__module__
    transport.close()


def test_a_request_through_a_proxy_registers_its_socket(fault_server: FaultServer) -> None:
    abort = Watching()
    settings = settings_for(fault_server)
    proxied = type(settings)(endpoint_url="http://s3.example.org", proxy=settings.endpoint_url, bucket=settings.bucket)
    bucket = S3Bucket(proxied)
    with pytest.raises(NotFound):  # the fault server is not a proxy, but it answers
        bucket.head(KEY, abort)
    assert len(abort.sockets) >= 1
    bucket.drop_idle_connections()


def test_dropped_connections_are_closed_although_their_pool_is_referenced(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    obj, idle, in_use = ObjectInfo(KEY, len(DATA), etag_of(DATA)), Watching(), Watching()
    for bucket in opened(fault_server):
        with bucket.open(obj, 0, len(DATA), in_use) as body:
            bucket.head(KEY, idle)
            pools = bucket._session._manager.pools
            held = [pools[key] for key in pools.keys()]  # noqa: SIM118 - it cannot be iterated
            bucket.drop_idle_connections()
            assert {sock.fileno() for sock in idle.sockets} == {-1}
            while read_some(body, len(DATA)):
                pass
        assert {sock.fileno() for sock in in_use.sockets} == {-1}, "it did not go back to where nobody looks for it"
        assert bucket.head(KEY).size == len(DATA)
    assert held
