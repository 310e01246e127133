"""SOCKS 4 and 5 handshake over an open connection to the proxy, with PySocks."""

from __future__ import annotations

import socket
import time
from typing import Any

import socks

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.proxy import Proxy, connection_error, forbidden, login_required, server_unreachable
from era5dl.errors import Era5Error

_NOT_ALLOWED = "0x02"  # reply code for a connection that the proxy's rules forbid (RFC 1928, 6)


class _Connected(socket.socket):
    """A connected socket in place of the one that PySocks would connect.

    deadline: for all reads together, on the monotonic clock. The timeout of the socket would not be enough: each byte
    restarts it, so a proxy that answers byte by byte could delay the handshake for ever.
    """

    deadline = float("inf")

    def connect(self, address: Any, /) -> None:
        """Do nothing: the socket is connected."""

    def recv_into(self, *args: Any) -> int:  # PySocks calls it for each read
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        if remaining < float("inf"):
            super().settimeout(remaining)
        return super().recv_into(*args)


class _Negotiation(socks.socksocket, _Connected):  # type: ignore[misc]  # PySocks calls `connect` of the next class
    pass


def open_tunnel(
    sock: socket.socket,
    proxy: Proxy,
    host: str,
    port: int,
    *,
    timeout: float | None,
    deadline: float,
    abort: Abort | None,
) -> socket.socket:
    """Return a socket that is connected through the proxy to `host`, an address or a name that the proxy resolves.

    sock: connected to the proxy; must not be used afterwards. timeout: of the new socket, in seconds. deadline: for
    the handshake, on the monotonic clock. Raises Unreachable; BucketRefused if the proxy requires a login or forbids
    the server.
    """
    kinds = {"5": socks.SOCKS5, "4": socks.SOCKS4}
    negotiation = _Negotiation(sock.family, sock.type, sock.proto, fileno=sock.detach())
    negotiation.deadline = deadline
    negotiation.settimeout(timeout)
    kind = kinds[proxy.scheme[5]]
    negotiation.set_proxy(kind, proxy.host, proxy.port, True, proxy.user or None, proxy.password or None)
    if abort is not None:
        abort.watch(negotiation)
    try:
        negotiation.connect((host, port))
    except OSError as error:  # PySocks' errors are subclasses
        raise _map_error(proxy, error) from error
    finally:
        if abort is not None:
            abort.watch(None)
        if negotiation.proxy_peername is None:  # the handshake failed
            negotiation.close()
    plain = socket.socket(fileno=negotiation.detach())
    plain.settimeout(timeout)
    return plain


def _map_error(proxy: Proxy, error: OSError) -> Era5Error:
    while isinstance(error, socks.ProxyError) and isinstance(error.socket_err, OSError):
        error = error.socket_err
    if isinstance(error, socks.SOCKS5AuthError):
        return login_required(proxy)
    if isinstance(error, socks.SOCKS5Error | socks.SOCKS4Error):
        code, _, text = str(error).partition(": ")
        return (forbidden if code == _NOT_ALLOWED else server_unreachable)(proxy, text)
    if isinstance(error, socks.ProxyError):  # the proxy closed the connection, or its answer is not SOCKS
        return connection_error(proxy, ConnectionError(str(error)))
    return connection_error(proxy, error)
