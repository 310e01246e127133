"""Tests of the network test against small servers: plain, TLS, proxy, unreachable, lying, silent."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from era5dl.cli.commands.diagnose import conclusion, lines
from era5dl.diagnosis import connection_probe
from era5dl.diagnosis.network_test import NetworkTest, Timing, endpoint_of, run_network_test, timing
from era5dl.settings import Settings

BODY = b"x" * 300_000
LISTING = b"""<?xml version="1.0"?><ListBucketResult>
<Contents><Key>small.nc</Key><Size>3</Size></Contents>
<Contents><Key>a b&amp;c.nc</Key><Size>300000</Size></Contents></ListBucketResult>"""


class Handler(BaseHTTPRequestHandler):
    """A bucket with a listing and one object. The server records the requested paths."""

    protocol_version = "HTTP/1.1"
    status = 200
    clock = 0.0  # error of the Date header in seconds

    def do_GET(self) -> None:
        self.server.paths.append(self.path)  # type: ignore[attr-defined]
        body = LISTING if "list-type" in self.path else BODY
        self.send_response_only(self.status)
        self.send_header("Date", formatdate(time.time() + self.clock, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        """A proxy's part: whatever the name, the tunnel leads to the server's `behind`."""
        self.server.paths.append(self.path)  # type: ignore[attr-defined]
        behind = socket.create_connection(self.server.behind)  # type: ignore[attr-defined]
        self.send_response_only(200)
        self.end_headers()
        pump = threading.Thread(target=copy, args=(behind, self.connection), daemon=True)
        pump.start()
        copy(self.connection, behind)
        pump.join(5)
        behind.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[Handler], behind: tuple[str, int] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.paths: list[str] = []
        self.behind = behind

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # some tests end the TLS handshake early on purpose


@contextlib.contextmanager
def serving(handler: type[Handler] = Handler, behind: tuple[str, int] | None = None) -> Iterator[Server]:
    with Server(handler, behind) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def serving_tls(authority: trustme.CA, name: str = "127.0.0.1") -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    with serving() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Test Authority")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def look(port: int, scheme: str = "http", ca_bundle: str | None = None) -> NetworkTest:
    return run_network_test(
        Settings(endpoint_url=f"{scheme}://127.0.0.1:{port}", bucket="b", ca_bundle=ca_bundle), probes=4
    )


def test_a_reachable_bucket_is_measured_completely() -> None:
    with serving() as server:
        found = look(server.server_port)
    assert found.reachable
    assert (found.failed_step, found.error, found.status) == ("", "", 200)
    assert found.addresses == ("127.0.0.1",)
    assert found.connect is not None
    assert found.first_byte is not None
    assert (found.connect.count, found.connect.lost, found.first_byte.count) == (4, 0, 4)
    assert 0 < found.connect.minimum <= found.connect.mean <= found.connect.maximum < 5
    assert found.clock_ahead == 0
    assert found.tls is None
    assert found.sample_bytes == len(BODY)
    assert found.throughput is not None
    assert server.paths[-1] == "/b/a%20b%26c.nc"  # the largest object of the listing, percent-encoded
    assert conclusion(found).startswith("Everything works")


def test_tls_with_a_ca_file(authority: trustme.CA, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with serving_tls(authority) as server:
        found = look(server.server_port, "https", ca_bundle=str(bundle))
    assert found.reachable
    assert found.tls is not None
    assert found.tls.count == 4
    assert found.issuer == "Test Authority"
    assert found.tls_version is not None
    assert found.tls_version.startswith("TLS")
    assert found.sample_bytes == len(BODY)


def test_an_untrusted_certificate_authority(authority: trustme.CA, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with serving_tls(authority) as server:
        for bundle in (str(other), None):
            found = look(server.server_port, "https", bundle)
            assert (found.failed_step, found.reachable) == ("certificate", False)
            assert "--ca-bundle" in conclusion(found)
    assert not server.paths  # no request is sent to an untrusted server


def test_a_certificate_for_another_host_name(authority: trustme.CA, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with serving_tls(authority, "another.example.org") as server:
        assert look(server.server_port, "https", ca_bundle=str(bundle)).failed_step == "certificate"


def test_an_invalid_ca_file(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate")
    found = look(1, "https", ca_bundle=str(bundle))
    assert found.failed_step == "certificate"
    assert "CA file" in found.error


def test_tls_to_a_plain_http_server() -> None:
    with serving() as server:
        found = look(server.server_port, "https")
    assert found.failed_step == "tls"
    assert "TLS handshake" in conclusion(found)


def test_a_port_on_which_nobody_listens() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        found = look(sock.getsockname()[1])
    assert (found.failed_step, found.reachable, found.connect) == ("connect", False, None)
    assert "firewall" in conclusion(found)


def test_a_host_name_that_does_not_exist() -> None:
    found = run_network_test(Settings(endpoint_url="http://nowhere.invalid"), probes=4)
    assert (found.failed_step, found.dns_seconds) == ("dns", None)
    assert "nowhere.invalid" in found.error
    assert "spelling" in conclusion(found)


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_probe, "STEP_LIMIT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        began = time.monotonic()
        found = look(sock.getsockname()[1])
        assert time.monotonic() - began < 3
    assert found.failed_step == "answer"
    assert found.connect is not None
    assert found.first_byte is None
    assert "no response" in conclusion(found)


def test_a_response_that_arrives_byte_by_byte_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """No single step exceeds its limit, and yet the response would never end."""
    monkeypatch.setattr(connection_probe, "PROBE_LIMIT", 0.2)
    stop = threading.Event()

    class Dripping(Handler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            while not stop.wait(0.02):
                self.wfile.write(b"x")

    try:
        with serving(Dripping) as server:
            assert look(server.server_port).failed_step == "answer"
    finally:
        stop.set()


def test_a_bucket_that_does_not_exist() -> None:
    class Absent(Handler):
        status = 404

    with serving(Absent) as server:
        found = look(server.server_port)
    assert (found.status, found.reachable, found.throughput) == (404, False, None)
    assert "404" in conclusion(found)


@pytest.mark.parametrize(("off", "word"), [(-7200.0, "ahead of"), (7200.0, "behind")])
def test_a_wrong_clock_is_measured(off: float, word: str) -> None:
    class Elsewhen(Handler):
        clock = off

    with serving(Elsewhen) as server:
        found = look(server.server_port)
    assert found.clock_ahead == pytest.approx(-off, abs=5)
    assert "clock is wrong" in conclusion(found)
    assert any(word in line for line in lines(found))


def test_http_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{proxy.server_port}")
        found = run_network_test(Settings(endpoint_url="http://bucket.invalid:8080", bucket="b"), probes=2)
    assert found.reachable
    assert found.proxy == f"http://127.0.0.1:{proxy.server_port}"
    assert "secret" not in repr(found)
    assert proxy.paths[0].startswith("http://bucket.invalid:8080/b/?list-type=2")


def test_https_through_a_proxy_tunnel(authority: trustme.CA, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with serving_tls(authority, "bucket.invalid") as server, serving(behind=("127.0.0.1", server.server_port)) as proxy:
        address = f"http://127.0.0.1:{proxy.server_port}"
        settings = Settings(endpoint_url="https://bucket.invalid", bucket="b", proxy=address, ca_bundle=str(bundle))
        found = run_network_test(settings, probes=2)
    assert found.reachable
    assert found.proxy == address
    assert proxy.paths[0] == "bucket.invalid:443"
    assert found.sample_bytes == len(BODY)


def test_a_proxy_that_refuses_the_connection() -> None:
    class Refusing(Handler):
        def do_CONNECT(self) -> None:
            self.send_error(407)

    with serving(Refusing) as proxy:
        address = f"http://127.0.0.1:{proxy.server_port}"
        found = run_network_test(Settings(endpoint_url="https://bucket.invalid", proxy=address), probes=2)
    assert found.failed_step == "proxy"
    assert "requires a user name" in found.error


def test_url_of_the_bucket() -> None:
    assert endpoint_of(Settings()) == "https://nsf-ncar-era5.s3.us-west-2.amazonaws.com/"
    assert endpoint_of(Settings(endpoint_url="http://h:1", bucket="b")) == "http://h:1/b/"


def test_timing_statistics() -> None:
    assert timing([None, None]) is None
    found = timing([0.1, None, 0.3, 0.2])
    assert found is not None
    assert (found.count, found.lost, found.minimum, found.maximum) == (3, 1, 0.1, 0.3)
    assert found.mean == pytest.approx(0.2)
    assert found.jitter == pytest.approx(0.15)
    assert found.loss == 0.25
    assert Timing(0, 0, 0, 0, 0, 0).loss == 0


def test_a_call_without_a_time_limit_of_its_own_is_abandoned_after_the_timeout() -> None:
    hold: Callable[[], bool] = threading.Event().wait
    with pytest.raises(TimeoutError):
        connection_probe.with_timeout(lambda: hold(2), 0.05)  # type: ignore[call-arg]
