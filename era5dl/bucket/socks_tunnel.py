"""SOCKS 4 and 5 handshake over an open connection to the proxy, by PySocks."""

from __future__ import annotations

import socket
import time
from typing import Any

import socks

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.proxy import Proxy, failure, login_wanted, refused_by_rule, server_unreachable
from era5dl.errors import Era5Error

_NOT_ALLOWED = "0x02"  # by the rules of the proxy; RFC 1928, 6


class _Connected(socket.socket):
    """What PySocks takes for a socket that it connects. All reads together have until `give_up`: a proxy that sends
    its answer byte by byte must not take longer than a silent one."""

    give_up = float("inf")

    def connect(self, address: Any, /) -> None:
        """It has been done."""

    def recv_into(self, *args: Any) -> int:  # which its reader calls
        if time.monotonic() > self.give_up:
            raise TimeoutError("timed out")
        return super().recv_into(*args)


class _Negotiation(socks.socksocket, _Connected):  # type: ignore[misc]  # the order lets `connect` above be PySocks's
    pass


def through(
    sock: socket.socket,
    proxy: Proxy,
    host: str,
    port: int,
    *,
    timeout: float | None,
    give_up: float,
    abort: Abort | None,
) -> socket.socket:
    """A plain socket, with this timeout, that leads through the proxy to `host`; an address or a name that the proxy
    looks up. Takes `sock` over. give_up: on the monotonic clock.

    Raises Unreachable, BucketRefused when the proxy wants a login or forbids the server.
    """
    kinds = {"5": socks.SOCKS5, "4": socks.SOCKS4}
    talk = _Negotiation(sock.family, sock.type, sock.proto, fileno=sock.detach())
    talk.give_up = give_up
    talk.settimeout(timeout)
    talk.set_proxy(kinds[proxy.scheme[5]], proxy.host, proxy.port, True, proxy.user or None, proxy.password or None)
    if abort is not None:
        abort.watch(talk)
    try:
        talk.connect((host, port))
    except OSError as error:  # PySocks's are among them
        raise _meaning(proxy, error) from error
    finally:
        if abort is not None:
            abort.watch(None)
        done = talk.proxy_peername is not None
        if not done:
            talk.close()
    plain = socket.socket(fileno=talk.detach())
    plain.settimeout(timeout)
    return plain


def _meaning(proxy: Proxy, error: OSError) -> Era5Error:
    while isinstance(error, socks.ProxyError) and isinstance(error.socket_err, OSError):
        error = error.socket_err
    if isinstance(error, socks.SOCKS5AuthError):
        return login_wanted(proxy)
    if isinstance(error, socks.SOCKS5Error | socks.SOCKS4Error):
        code, _, words = str(error).partition(": ")
        return (refused_by_rule if code == _NOT_ALLOWED else server_unreachable)(proxy, words)
    if isinstance(error, socks.ProxyError):  # it hangs up, or says what is not SOCKS
        return failure(proxy, ConnectionError(str(error)))
    return failure(proxy, error)
