"""One connection to the bucket and one small request on it, each step timed and limited. Addresses, proxy and trust
are those of a download (`era5dl.bucket.connect`); the rest is http.client alone: what measures must not depend on the
client that is under suspicion.
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
from era5dl.bucket.connect import Dialer
from era5dl.bucket.proxy import Proxy, refusal
from era5dl.errors import Era5Error, OutOfThreads, Untrusted

STEP_LIMIT = 5.0  # seconds any one step of a probe may take
PROBE_LIMIT = 15.0  # seconds all its steps may take together
SAMPLE_LIMIT = 5.0  # seconds the throughput sample runs at most
SAMPLE_BYTES = 32 * 1024 * 1024
STEPS = ("dns", "connect", "proxy", "tls", "certificate", "answer")
"""Where it can go wrong, in the order of the way."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Way:
    """Where to connect to, and what to ask for."""

    host: str
    port: int
    path: str  # of the bucket, "/" at its end
    secure: bool  # https
    dialer: Dialer

    @property
    def first_hop(self) -> tuple[str, int]:
        proxy = self.dialer.proxy
        return (proxy.host, proxy.port) if proxy else (self.host, self.port)

    @property
    def http_proxy(self) -> Proxy | None:
        """None also where there is a SOCKS proxy, of which HTTP knows nothing."""
        proxy = self.dialer.proxy
        return proxy if proxy and not proxy.is_socks else None

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.secure else 80) else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Probe:
    """One connection and one small request on it. `failed`: the step that failed, "" if none did."""

    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    tls_version: str | None = None
    issuer: str | None = None
    status: int | None = None
    clock_ahead: float | None = None
    body: bytes = b""
    failed: str = ""
    error: str = ""


def way_to(endpoint: str, dialer: Dialer) -> Way:
    """Raises Untrusted when the CA file cannot be used."""
    parts = urlsplit(endpoint)
    secure = parts.scheme == "https"
    if secure:
        dialer.trust.context()
    return Way(parts.hostname or "", parts.port or (443 if secure else 80), parts.path or "/", secure, dialer)


def probe(way: Way, query: str) -> Probe:
    """A probe that ends, also where a server drips its answer byte by byte."""
    try:
        return limited(lambda: _steps(way, query), PROBE_LIMIT)
    except TimeoutError as error:
        return Probe(failed="answer", error=str(error))


def _steps(way: Way, query: str) -> Probe:
    """Connect, secure, ask, read: each step timed, each step limited."""
    began = time.monotonic()
    try:
        plain = limited(lambda: way.dialer.dial(way.host, way.port, STEP_LIMIT), 2 * STEP_LIMIT)  # with DNS
    except Era5Error as error:
        return Probe(failed="proxy", error=words(error))
    except OSError as error:
        host, port = way.first_hop
        return Probe(failed="connect", error=f"no connection to {host} port {port}: {words(error)}")
    connect = time.monotonic() - began
    with contextlib.ExitStack() as stack:
        stack.enter_context(plain)
        began = time.monotonic()
        try:
            sock = stack.enter_context(_secured(plain, way))
        except (OSError, HTTPException, Era5Error) as error:
            distrust = isinstance(error, ssl.SSLCertVerificationError | Untrusted)
            failed = "certificate" if distrust else "proxy" if isinstance(error, Era5Error) else "tls"
            return Probe(connect, failed=failed, error=words(error))
        tls = time.monotonic() - began if way.secure else None
        version, issuer = (sock.version(), _issuer(sock)) if way.secure else (None, None)
        try:
            began = time.monotonic()
            answer = _ask(sock, way, query)
            first_byte = time.monotonic() - began
            ahead = _clock_ahead(answer.getheader("Date"))
            body = answer.read(256 * 1024)
        except (OSError, HTTPException) as error:
            text = f"connected, but no answer came: {words(error)}"
            return Probe(connect, tls, None, version, issuer, failed="answer", error=text)
        return Probe(connect, tls, first_byte, version, issuer, answer.status, ahead, body)


def _secured(plain: socket.socket, way: Way) -> Any:
    """The socket to talk HTTP on: through the proxy's tunnel and TLS where these are needed."""
    plain.settimeout(STEP_LIMIT)
    sock: Any = plain
    proxy = way.http_proxy
    if proxy is not None:
        try:
            if proxy.scheme == "https":
                sock = way.dialer.secured(sock, proxy.host)
            if way.secure:
                _open_tunnel(sock, way, proxy)
        except OSError as error:
            raise way.dialer.blamed(error) from error
    return way.dialer.secured(sock, way.host) if way.secure else sock


def _open_tunnel(sock: socket.socket, way: Way, proxy: Proxy) -> None:
    """CONNECT through the proxy. Raises OSError when nothing comes, and what `refusal` makes of a refusal."""
    target = f"[{way.host}]:{way.port}" if ":" in way.host else f"{way.host}:{way.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
    head = b""
    limit = time.monotonic() + STEP_LIMIT
    while b"\r\n\r\n" not in head:  # byte by byte: what follows belongs to TLS
        byte = sock.recv(1)
        if not byte or len(head) > 16_384 or time.monotonic() > limit:
            raise ConnectionError("it does not open a tunnel")
        head += byte
    status = head.split(b"\r\n", 1)[0].decode("latin-1").split(maxsplit=1)[-1]
    if not status.startswith("2"):
        raise refusal(proxy, int(status[:3]) if status[:3].isdecimal() else 0, status[:200])


def _ask(sock: socket.socket, way: Way, target: str, **headers: str) -> HTTPResponse:
    """GET on this socket; `target` comes after the bucket's path. The answer's body is not read yet."""
    connection = HTTPConnection(way.host, way.port, timeout=STEP_LIMIT)
    connection.sock = sock
    url = way.path + target
    extra = {"Host": way.host_header, "Connection": "close", "Accept-Encoding": "identity", **headers}
    proxy = way.http_proxy
    if proxy is not None and not way.secure:  # it wants the whole address
        url = f"http://{way.host_header}{url}"
        if proxy.authorization:
            extra["Proxy-Authorization"] = proxy.authorization
    connection.request("GET", url, headers=extra)
    return connection.getresponse()


def sample(way: Way, listing: bytes) -> tuple[float | None, int]:
    """Fetch the head of the largest object of the listing for some seconds; bytes per second, and bytes."""
    found = re.findall(r"<Contents>.*?</Contents>", listing.decode("utf-8", "replace"), re.DOTALL)
    pairs = [(_SIZE.search(entry), _KEY.search(entry)) for entry in found]
    largest, key = max(((int(size[1]), key[1]) for size, key in pairs if size and key), default=(0, ""))
    if not largest:
        return None, 0
    stop = min(largest, SAMPLE_BYTES) - 1
    got = 0
    try:
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(way.dialer.dial(way.host, way.port, STEP_LIMIT))
            sock = stack.enter_context(_secured(plain, way))
            answer = _ask(sock, way, quote(unescape(key)), Range=f"bytes=0-{stop}")
            began = time.monotonic()
            if answer.status not in (200, 206):
                return None, 0
            while time.monotonic() - began < SAMPLE_LIMIT and got <= stop and (piece := answer.read1(65_536)):
                got += len(piece)
    except (OSError, HTTPException, Era5Error):
        if not got:
            return None, 0
    return got / max(time.monotonic() - began, 1e-6), got


_SIZE = re.compile(r"<Size>(\d{1,18})</Size>")
_KEY = re.compile(r"<Key>([^<]*)</Key>")


def addresses(host: str, port: int) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def limited(work: Callable[[], T], seconds: float) -> T:
    """The result of `work`, or TimeoutError: for what has no time limit of its own, as DNS and many addresses."""
    outcome: list[T] = []
    failure: list[Exception] = []
    late = threading.Event()

    def run() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - handed over to the caller's thread, whatever it is
            failure.append(error)
            return
        outcome.append(result)
        if late.is_set() and isinstance(result, socket.socket):
            result.close()  # nobody waits for it any more

    thread = threading.Thread(target=run, name="era5dl-probe", daemon=True)
    try:
        thread_registry.start(thread)
    except OutOfThreads:
        return work()  # by the limits of its sockets alone
    thread.join(seconds)
    if outcome:
        return outcome[0]
    if failure:
        raise failure.pop()
    late.set()
    raise TimeoutError(f"nothing within {seconds:.0f} s")


def _clock_ahead(header: str | None) -> float | None:
    """This computer's clock minus the server's Date header, which has whole seconds: under 1 s is reported as 0."""
    if not header:
        return None
    try:
        ahead = time.time() - parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
    return ahead if abs(ahead) > 1.5 else 0.0


def _issuer(sock: Any) -> str | None:
    certificate = sock.getpeercert() or {}
    names = {}
    for part in certificate.get("issuer", ()):
        for entry in part:
            if isinstance(entry, tuple) and len(entry) == 2:
                names[str(entry[0])] = str(entry[1])
    return names.get("organizationName") or names.get("commonName")


def words(error: BaseException) -> str:
    """An error for people: without numbers and class names where the system has a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return str(error) if str(error).startswith("nothing") else "it took too long"
    text = getattr(error, "strerror", None) or str(error)
    return str(text) or type(error).__name__
