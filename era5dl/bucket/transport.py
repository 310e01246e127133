"""botocore's pool of connections, with real keepalive, and a way in for `Abort` while even the headers are awaited.

A public seam of botocore is used: `URLLib3Session` takes socket options.  The `tcp_keepalive` of a client would set
SO_KEEPALIVE alone, and a first probe after two hours is of no use behind a router that forgets after five minutes.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
    AWSPreparedRequest,
    AWSResponse,
)
from botocore.httpsession import URLLib3Session

from era5dl.bucket.abort import abort_of_this_thread
from era5dl.bucket.control import Whole, read_answer, read_error
from era5dl.bucket.warm import WarmPool
from era5dl.errors import Stopped
from era5dl.turns import turn

SocketOption = tuple[int, int, int]


class Transport(URLLib3Session):  # type: ignore[misc]
    """A pool of connections whose requests can be aborted from any thread."""

    def __init__(self, *, verify: bool | str, proxies: dict[str, str], timeout: tuple[float, float], pool_size: int):
        super().__init__(
            verify=verify,
            proxies=proxies,
            timeout=timeout,
            max_pool_connections=pool_size,
            socket_options=accepted(keepalive_options()),
        )
        self._pool_classes_by_scheme.update(http=_Pool, https=_TLSPool)  # the dict that the pool manager looks into
        self._pools: dict[str, Any] | None = None if proxies else {}  # by scheme and host; None: there is a proxy

    def close(self) -> None:
        """Let go of idle connections now, and of those in use when their answers have been read. urllib3 by itself only
        forgets its pools: their sockets would live until the garbage collector comes by."""
        for manager in (self._manager, *self._proxy_managers.values()):
            pools = [manager.pools.get(key) for key in manager.pools.keys()]  # noqa: SIM118 - it cannot be iterated
            manager.clear()
            if self._pools:
                self._pools.clear()
            for pool in filter(None, pools):
                pool.close()

    def send(self, request: Any) -> Any:
        """The answer to a prepared request for anything but bytes of an object. Raises what botocore's session does."""
        self._not_when_aborted()
        request.stream_output = True
        try:
            answer = super().send(request)
            body = read_error(answer.raw) if answer.status_code >= 300 else read_answer(answer.raw)
        finally:
            if (abort := abort_of_this_thread()) is not None:
                abort.watch(None)  # the connection may be another thread's by now
        return AWSResponse(answer.url, answer.status_code, answer.headers, Whole(body))

    def get(self, url: str, headers: dict[str, str]) -> Any:
        """The answer to a GET, urllib3's response or as much of one as is needed, its body still to be read. Raises
        what botocore's own session raises."""
        self._not_when_aborted()
        scheme, _, host, target = url.split("/", 3)
        if self._pools is not None:
            pool = self._pools.get(scheme + host)
            if pool is None or pool.pool is None:  # it was closed
                pool = self._pools[scheme + host] = self._manager.connection_from_url(url)
            if (answer := pool.exchange("/" + target, headers)) is not None:
                return answer
        with turn.away():
            return super().send(AWSPreparedRequest("GET", url, headers, None, stream_output=True)).raw

    def _not_when_aborted(self) -> None:
        abort = abort_of_this_thread()
        if abort is not None and abort.why:
            raise Stopped(abort.why)


def keepalive_options(platform: str = sys.platform) -> list[SocketOption]:
    """First probe after 30 s of silence, then every 10 s, dead after three; unsent data gives up after 60 s."""
    tcp = socket.IPPROTO_TCP
    options = [(tcp, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    idle = "TCP_KEEPALIVE" if platform == "darwin" else "TCP_KEEPIDLE"
    for name, value in ((idle, 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000)):
        if hasattr(socket, name):
            options.append((tcp, getattr(socket, name), value))
    return options


def accepted(options: list[SocketOption]) -> list[SocketOption]:
    """Those options that this system takes: one that it does not would make every connect fail."""
    taken = []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        for option in options:
            with contextlib.suppress(OSError):
                trial.setsockopt(*option)
                taken.append(option)
    return taken


class _Tells:
    """Tells the Abort of this thread which socket it waits on: the socket, since http.client lets go of the
    connection's own reference as soon as it reads "Connection: close"."""

    sock: socket.socket | None

    def connect(self) -> Any:
        result = super().connect()  # type: ignore[misc]
        self.tell()
        return result

    def request(self, *args: Any, **kwargs: Any) -> Any:
        self.tell()
        return super().request(*args, **kwargs)  # type: ignore[misc]

    def tell(self) -> None:
        abort = abort_of_this_thread()
        if abort is not None and self.sock is not None:
            abort.watch(self.sock)


class _Connection(_Tells, AWSHTTPConnection):  # type: ignore[misc]
    pass


class _TLSConnection(_Tells, AWSHTTPSConnection):  # type: ignore[misc]
    _second: socket.socket | None = None  # of the same connection, while TLS is being negotiated

    def connect(self) -> Any:
        try:
            return super().connect()
        finally:
            if self._second is not None:
                self.tell()
                self._second.close()
                self._second = None

    def _new_conn(self) -> Any:
        """While TLS is being negotiated, the connection's own socket object has no descriptor that could be shut."""
        sock = super()._new_conn()
        abort = abort_of_this_thread()
        if abort is not None:
            with contextlib.suppress(OSError):  # no more descriptors: then it cannot be ended for a moment
                self._second = sock.dup()
                abort.watch(self._second)
        return sock


class _Pool(WarmPool, AWSHTTPConnectionPool):  # type: ignore[misc]
    ConnectionCls = _Connection


class _TLSPool(WarmPool, AWSHTTPSConnectionPool):  # type: ignore[misc]
    ConnectionCls = _TLSConnection
