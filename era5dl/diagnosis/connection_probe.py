"""Connection probe: one connection to the bucket with one small request; each step is timed and has a time limit.

DNS, proxy and certificate trust are handled as in a download (`era5dl.bucket.connect`). The request is sent by
http.client, so that a fault of the S3 client cannot affect the measurement.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import unescape

from era5dl import thread_registry
from era5dl.bucket.connect import Connector
from era5dl.bucket.proxy import Proxy, status_error
from era5dl.errors import Era5Error, OutOfThreads, Untrusted

STEP_LIMIT = 5.0  # seconds for each step of a probe
PROBE_LIMIT = 15.0  # seconds for all steps of a probe together
SAMPLE_LIMIT = 5.0  # seconds for the throughput measurement
SAMPLE_BYTES = 32 * 1024 * 1024
STEPS = ("dns", "connect", "proxy", "tls", "certificate", "answer")
"""The steps at which a network test can fail, in order."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Route:
    """Address of the bucket, and the connector to use."""

    host: str
    port: int
    path: str  # of the bucket, ends with "/"
    secure: bool  # HTTPS
    connector: Connector

    @property
    def first_hop(self) -> tuple[str, int]:
        """Host and port of the proxy, or of the bucket if there is no proxy."""
        proxy = self.connector.proxy
        return (proxy.host, proxy.port) if proxy else (self.host, self.port)

    @property
    def http_proxy(self) -> Proxy | None:
        """The HTTP proxy, or None. A SOCKS proxy does not count, because the connector handles it."""
        proxy = self.connector.proxy
        return proxy if proxy and not proxy.is_socks else None

    @property
    def host_header(self) -> str:
        """Value of the Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.secure else 80) else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Result of one probe. Times in seconds; None: not measured. failed_step: one of STEPS, "" if none failed."""

    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    tls_version: str | None = None
    issuer: str | None = None
    status: int | None = None
    clock_ahead: float | None = None
    body: bytes = b""
    failed_step: str = ""
    error: str = ""


def route_to(endpoint: str, connector: Connector) -> Route:
    """Return the route to this URL. Raises Untrusted if the CA file cannot be used."""
    parts = urlsplit(endpoint)
    secure = parts.scheme == "https"
    if secure:
        connector.trust.context()
    return Route(parts.hostname or "", parts.port or (443 if secure else 80), parts.path or "/", secure, connector)


def probe(route: Route, query: str) -> ProbeResult:
    """Run one probe. Its total time limit also ends a response that arrives byte by byte."""
    try:
        return with_timeout(lambda: _run_steps(route, query), PROBE_LIMIT)
    except TimeoutError as error:
        return ProbeResult(failed_step="answer", error=str(error))


def _run_steps(route: Route, query: str) -> ProbeResult:
    """Connect, negotiate TLS, send the request and read the response."""
    began = time.monotonic()
    try:
        plain = with_timeout(
            lambda: route.connector.connect(route.host, route.port, STEP_LIMIT), 2 * STEP_LIMIT
        )  # with DNS
    except Era5Error as error:
        return ProbeResult(failed_step="proxy", error=describe(error))
    except OSError as error:
        host, port = route.first_hop
        return ProbeResult(failed_step="connect", error=f"no connection to {host} port {port}: {describe(error)}")
    connect = time.monotonic() - began
    with contextlib.ExitStack() as stack:
        stack.enter_context(plain)
        began = time.monotonic()
        try:
            sock = stack.enter_context(_secure(plain, route))
        except (OSError, HTTPException, Era5Error) as error:
            untrusted = isinstance(error, ssl.SSLCertVerificationError | Untrusted)
            failed_step = "certificate" if untrusted else "proxy" if isinstance(error, Era5Error) else "tls"
            return ProbeResult(connect, failed_step=failed_step, error=describe(error))
        tls = time.monotonic() - began if route.secure else None
        version, issuer = (sock.version(), _issuer(sock)) if route.secure else (None, None)
        try:
            began = time.monotonic()
            answer = _request(sock, route, query)
            first_byte = time.monotonic() - began
            ahead = _clock_ahead(answer.getheader("Date"))
            body = answer.read(256 * 1024)
        except (OSError, HTTPException) as error:
            text = f"connected, but there was no response: {describe(error)}"
            return ProbeResult(connect, tls, None, version, issuer, failed_step="answer", error=text)
        return ProbeResult(connect, tls, first_byte, version, issuer, answer.status, ahead, body)


def _secure(plain: socket.socket, route: Route) -> Any:
    """Return the socket for HTTP: with TLS for an https URL, and through a tunnel of the proxy if there is one."""
    plain.settimeout(STEP_LIMIT)
    sock: Any = plain
    proxy = route.http_proxy
    if proxy is not None:
        try:
            if proxy.scheme == "https":
                sock = route.connector.secure(sock, proxy.host)
            if route.secure:
                _open_tunnel(sock, route, proxy)
        except OSError as error:
            raise route.connector.proxy_error(error) from error
    return route.connector.secure(sock, route.host) if route.secure else sock


def _open_tunnel(sock: socket.socket, route: Route, proxy: Proxy) -> None:
    """Open a tunnel through the proxy with CONNECT. Raises OSError or the error of `status_error`."""
    target = f"[{route.host}]:{route.port}" if ":" in route.host else f"{route.host}:{route.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
    head = b""
    limit = time.monotonic() + STEP_LIMIT
    while b"\r\n\r\n" not in head:  # read single bytes, because those after the response head belong to TLS
        byte = sock.recv(1)
        if not byte or len(head) > 16_384 or time.monotonic() > limit:
            raise ConnectionError("it does not open a tunnel")
        head += byte
    status = head.split(b"\r\n", 1)[0].decode("latin-1").split(maxsplit=1)[-1]
    if not status.startswith("2"):
        raise status_error(proxy, int(status[:3]) if status[:3].isdecimal() else 0, status[:200])


def _request(sock: socket.socket, route: Route, target: str, **headers: str) -> HTTPResponse:
    """Send a GET for `target`, relative to the bucket's path, and return the response without reading its body."""
    connection = HTTPConnection(route.host, route.port, timeout=STEP_LIMIT)
    connection.sock = sock
    url = route.path + target
    extra = {"Host": route.host_header, "Connection": "close", "Accept-Encoding": "identity", **headers}
    proxy = route.http_proxy
    if proxy is not None and not route.secure:  # an HTTP proxy expects the absolute URL
        url = f"http://{route.host_header}{url}"
        if proxy.authorization:
            extra["Proxy-Authorization"] = proxy.authorization
    connection.request("GET", url, headers=extra)
    return connection.getresponse()


def measure_throughput(route: Route, listing: bytes) -> tuple[float | None, int]:
    """Download the beginning of the largest object in the listing for at most SAMPLE_LIMIT seconds.

    Return the speed in bytes per second, None if nothing was received, and the number of bytes.
    """
    found = re.findall(r"<Contents>.*?</Contents>", listing.decode("utf-8", "replace"), re.DOTALL)
    pairs = [(_SIZE.search(entry), _KEY.search(entry)) for entry in found]
    largest, key = max(((int(size[1]), key[1]) for size, key in pairs if size and key), default=(0, ""))
    if not largest:
        return None, 0
    stop = min(largest, SAMPLE_BYTES) - 1
    received = 0
    try:
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(route.connector.connect(route.host, route.port, STEP_LIMIT))
            sock = stack.enter_context(_secure(plain, route))
            answer = _request(sock, route, quote(unescape(key)), Range=f"bytes=0-{stop}")
            began = time.monotonic()
            if answer.status not in (200, 206):
                return None, 0
            while time.monotonic() - began < SAMPLE_LIMIT and received <= stop and (piece := answer.read1(65_536)):
                received += len(piece)
    except (OSError, HTTPException, Era5Error):
        if not received:
            return None, 0
    return received / max(time.monotonic() - began, 1e-6), received


_SIZE = re.compile(r"<Size>(\d{1,18})</Size>")
_KEY = re.compile(r"<Key>([^<]*)</Key>")


def resolve(host: str, port: int) -> tuple[str, ...]:
    """Return the IP addresses of the host. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def with_timeout(work: Callable[[], T], seconds: float) -> T:
    """Return the result of `work`; raise TimeoutError after `seconds`.

    For calls that have no time limit: DNS, and connecting to several addresses.
    """
    results: list[T] = []
    failures: list[Exception] = []
    timed_out = threading.Event()

    def run() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(error)
            return
        results.append(result)
        if timed_out.is_set() and isinstance(result, socket.socket):
            result.close()  # the caller has already raised TimeoutError

    thread = threading.Thread(target=run, name="era5dl-probe", daemon=True)
    try:
        thread_registry.start_thread(thread)
    except OutOfThreads:
        return work()  # without a thread only the socket timeouts apply
    thread.join(seconds)
    if results:
        return results[0]
    if failures:
        raise failures.pop()
    timed_out.set()
    raise TimeoutError(f"no result within {seconds:.0f} s")


def _clock_ahead(header: str | None) -> float | None:
    """Return this clock minus the Date header in seconds; 0 for up to 1.5 s, since the header has whole seconds."""
    if not header:
        return None
    try:
        ahead = time.time() - parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
    return ahead if abs(ahead) > 1.5 else 0.0


def _issuer(sock: Any) -> str | None:
    """Return the organization that signed the server's certificate, or its common name."""
    certificate = sock.getpeercert() or {}
    names = {}
    for part in certificate.get("issuer", ()):
        for entry in part:
            if isinstance(entry, tuple) and len(entry) == 2:
                names[str(entry[0])] = str(entry[1])
    return names.get("organizationName") or names.get("commonName")


def describe(error: BaseException) -> str:
    """Return the error as text for users, without an error number, and without a class name if possible."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return str(error) if str(error).startswith("no result") else "it took too long"
    text = getattr(error, "strerror", None) or str(error)
    return str(text) or type(error).__name__
