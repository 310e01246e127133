"""Opens connections to the server, directly or through a proxy, with TCP keepalive, and starts TLS on them.

Used by the HTTP session and by the network test. With a SOCKS proxy the returned socket is connected to the server.
With an HTTP proxy it is connected to the proxy, since the next bytes to send depend on the request.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import time
from typing import Any

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.happy_eyeballs import SOCKET_LIMIT_ERRORS, HappyEyeballs, SocketOption
from era5dl.bucket.proxy import Proxy, connection_error
from era5dl.bucket.tls_trust import TrustStore
from era5dl.errors import Era5Error, Unreachable


class Connector:
    """Opens connections for any number of threads.

    trust: which certificates are accepted, also for a proxy with an https URL.
    """

    def __init__(self, proxy: Proxy | None, trust: TrustStore) -> None:
        self.proxy = proxy
        self.trust = trust
        self._addresses = HappyEyeballs(accepted(keepalive_options()))

    def connect(self, host: str, port: int, timeout: float | None, abort: Abort | None = None) -> socket.socket:
        """Return a socket with this timeout that is connected to `host`, or to the HTTP proxy.

        timeout: seconds for all steps together, except for resolving the name of the host, which cannot be limited.
        Raises Stopped and OSError; with a proxy also Unreachable, BucketRefused or Untrusted, whose messages name it.
        """
        proxy = self.proxy
        host = host.strip("[]")  # urllib3 puts IPv6 addresses into brackets
        if proxy is None:
            return self._addresses.connect(host, port, timeout, abort)
        targets = _targets(proxy, host, port)
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        refused: Unreachable | None = None
        for target in targets:
            try:
                sock = self._addresses.connect(proxy.host, proxy.port, _seconds_until(deadline), abort)
            except (OSError, UnicodeError) as error:
                raise self.proxy_error(error) from error
            if not proxy.is_socks:
                sock.settimeout(timeout)
                return sock
            from era5dl.bucket.socks_tunnel import open_tunnel

            try:
                return open_tunnel(sock, proxy, target, port, timeout=timeout, deadline=deadline, abort=abort)
            except Unreachable as error:
                refused = error
            if time.monotonic() > deadline:
                break
        raise refused or OSError("the name has no address")

    def proxy_error(self, error: Exception) -> Exception:
        """Return an error whose message names the proxy; `error` itself if the proxy cannot be the cause."""
        if self.proxy is None or isinstance(error, Era5Error):
            return error
        if isinstance(error, OSError) and error.errno in SOCKET_LIMIT_ERRORS:
            return error
        return connection_error(self.proxy, error)

    def secure(self, sock: socket.socket, host: str) -> Any:
        """Start TLS with `host` over this socket, which may itself be a TLS socket. Raises Untrusted and OSError."""
        context = self.trust.context()
        if not isinstance(sock, ssl.SSLSocket):
            return context.wrap_socket(sock, server_hostname=host)
        from urllib3.util.ssltransport import SSLTransport

        return SSLTransport(sock, context, server_hostname=host)


def keepalive_options(platform: str = sys.platform) -> list[SocketOption]:
    """Return the socket options for TCP keepalive: probes after 30 s of silence and then every 10 s. The connection
    counts as broken after three lost probes, or when sent data is not acknowledged for 60 s.

    botocore's `tcp_keepalive` sets SO_KEEPALIVE only, with the first probe after two hours. That is useless behind a
    router that forgets a connection after five minutes.
    """
    tcp = socket.IPPROTO_TCP
    options = [(tcp, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    idle = "TCP_KEEPALIVE" if platform == "darwin" else "TCP_KEEPIDLE"
    for name, value in ((idle, 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000)):
        if hasattr(socket, name):
            options.append((tcp, getattr(socket, name), value))
    return options


def accepted(options: list[SocketOption]) -> list[SocketOption]:
    """Return the options that this system accepts; any other one would make every connect fail."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        for option in options:
            with contextlib.suppress(OSError):
                sock.setsockopt(*option)
                found.append(option)
    return found


def _seconds_until(deadline: float) -> float | None:
    """Return the seconds until this time of the monotonic clock; None for infinity."""
    return None if deadline == float("inf") else max(0.0, deadline - time.monotonic())


def _targets(proxy: Proxy, host: str, port: int) -> list[str]:
    """Return the hosts to request from a proxy: the name, or its addresses if the proxy does not resolve names.

    IPv4 addresses come first, since more proxies support them; SOCKS 4 supports only those.
    """
    if proxy.scheme not in ("socks5", "socks4"):
        return [host]
    family = socket.AF_INET if proxy.scheme == "socks4" else socket.AF_UNSPEC
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    in_order = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
    return list(dict.fromkeys(str(entry[4][0]) for entry in in_order))
