"""Opens connections, through a proxy and with TLS where needed. Shared by the transfer and `diagnose`.

A SOCKS proxy is dealt with here: the socket that is handed out leads to the server already. HTTP's is only connected
to, since what is said to it next depends on the request.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.happy_eyeballs import OUT_OF_SOCKETS, Addresses, SocketOption
from era5dl.bucket.proxy import Proxy, failure
from era5dl.bucket.tls_trust import Trust
from era5dl.errors import Era5Error, Unreachable


class Dialer:
    """Makes the connections to one server, for any number of threads.

    trust: also for the certificate of a proxy that is spoken to over TLS.
    """

    def __init__(self, proxy: Proxy | None, trust: Trust) -> None:
        self.proxy = proxy
        self.trust = trust
        self._addresses = Addresses()

    def dial(
        self,
        host: str,
        port: int,
        timeout: float | None,
        *,
        options: Sequence[SocketOption] = (),
        abort: Abort | None = None,
        family: int = socket.AF_UNSPEC,
    ) -> socket.socket:
        """A socket that leads to `host`, or to the HTTP proxy before it. `timeout`, in seconds, is for all of it.

        Raises OSError where no proxy is involved; Unreachable, BucketRefused or Untrusted, which name the proxy, where
        there is one; Stopped.
        """
        proxy = self.proxy
        host = host.strip("[]")  # as urllib3 keeps an address of IPv6
        if proxy is None:
            return self._addresses.connect(host, port, timeout, options=options, abort=abort, family=family)
        give_up = float("inf") if timeout is None else time.monotonic() + timeout
        refused: Unreachable | None = None
        for target in _targets(proxy, host, port):
            try:
                sock = self._addresses.connect(
                    proxy.host, proxy.port, timeout, options=options, abort=abort, family=family
                )
            except (OSError, UnicodeError) as error:
                raise self.blamed(error) from error
            if not proxy.is_socks:
                return sock
            from era5dl.bucket.socks_tunnel import through

            try:
                return through(sock, proxy, target, port, timeout=timeout, give_up=give_up, abort=abort)
            except Unreachable as error:
                refused = error
            if time.monotonic() > give_up:
                break
        raise refused or OSError("the name has no address")

    def blamed(self, error: Exception) -> Exception:
        """The error that names the proxy; or this one where the proxy cannot be to blame."""
        if self.proxy is None or isinstance(error, Era5Error):
            return error
        if isinstance(error, OSError) and error.errno in OUT_OF_SOCKETS:
            return error
        return failure(self.proxy, error)

    def secured(self, sock: socket.socket, host: str) -> Any:
        """TLS with `host` over this socket, which may be one of TLS itself. Raises Untrusted and OSError."""
        context = self.trust.context()
        if not isinstance(sock, ssl.SSLSocket):
            return context.wrap_socket(sock, server_hostname=host)
        from urllib3.util.ssltransport import SSLTransport

        return SSLTransport(sock, context, server_hostname=host)


def _targets(proxy: Proxy, host: str, port: int) -> list[str]:
    """What to ask the proxy for: the name, or where looking it up is our part, its addresses. IPv4 first, which
    proxies have more often, and SOCKS 4 alone."""
    if proxy.scheme not in ("socks5", "socks4"):
        return [host]
    families = {"socks4": socket.AF_INET}
    found = socket.getaddrinfo(host, port, families.get(proxy.scheme, socket.AF_UNSPEC), socket.SOCK_STREAM)
    in_order = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
    return list(dict.fromkeys(str(entry[4][0]) for entry in in_order))
