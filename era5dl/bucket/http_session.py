"""botocore's pool of connections, with real keepalive, and a way in for `Abort` while even the headers are awaited.

A public seam of botocore is used: `URLLib3Session` takes socket options.  The `tcp_keepalive` of a client would set
SO_KEEPALIVE alone, and a first probe after two hours is of no use behind a router that forgets after five minutes.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
from functools import partial
from http.client import HTTPException
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
from urllib3 import ProxyManager
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from era5dl.bucket.cancellation import abort_of_this_thread
from era5dl.bucket.connect import Dialer
from era5dl.bucket.deadline import Deadline, deadline_of_this_thread
from era5dl.bucket.fast_get import WarmPool
from era5dl.bucket.happy_eyeballs import SocketOption
from era5dl.bucket.proxy import login_wanted
from era5dl.bucket.responses import BufferedBody, read_answer, read_error
from era5dl.errors import Interrupted, Stopped

HEAD = "the head of the answer"  # what is waited for after a request


class HTTPSession(URLLib3Session):  # type: ignore[misc]
    """A pool of connections whose requests can be aborted from any thread."""

    def __init__(self, *, dialer: Dialer, timeout: tuple[float, float], pool_size: int):
        proxy = dialer.proxy if dialer.proxy and not dialer.proxy.is_socks else None  # the dialer sees to SOCKS
        super().__init__(
            proxies={"http": proxy.url, "https": proxy.url} if proxy else {},
            timeout=timeout,
            max_pool_connections=pool_size,
            socket_options=accepted(keepalive_options()),
        )
        self._pool_classes_by_scheme.update(  # the dict that the pool managers look into
            http=partial(_Pool, dialer=dialer), https=partial(_TLSPool, dialer=dialer)
        )
        self._proxy = proxy
        if proxy:  # botocore would make one that takes no password that is not ASCII
            login = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
            made = ProxyManager(proxy.url, proxy_headers=login, **self._get_pool_manager_kwargs())
            made.pool_classes_by_scheme = self._pool_classes_by_scheme
            self._proxy_managers[proxy.url] = made
        self._patience = timeout[1]
        self._pools: dict[str, Any] | None = None if proxy else {}  # by scheme and host; None: there is a proxy

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
        """The answer to a request that the client has prepared: its body read, unless it is an object's. Raises what
        botocore's session does."""
        self._not_when_aborted()
        streamed, request.stream_output = request.stream_output, True
        try:
            with Deadline(self._patience, HEAD) as limit:
                answer = super().send(request)
                if not limit.end():
                    answer.raw.close()
            self._not_when_unknown(answer.status_code, answer.raw)
            if streamed and answer.status_code < 300:
                return answer
            read = read_error if answer.status_code >= 300 else read_answer
            body = read(answer.raw, limit.socket)
        finally:
            if (abort := abort_of_this_thread()) is not None:
                abort.watch(None)  # the connection may be another thread's by now
        return AWSResponse(answer.url, answer.status_code, answer.headers, BufferedBody(body))

    def get(self, url: str, headers: dict[str, str]) -> Any:
        """The answer to a GET, urllib3's response or as much of one as is needed, its body still to be read. Raises
        what botocore's own session raises."""
        self._not_when_aborted()
        with Deadline(self._patience, HEAD) as limit:
            raw = self._get(url, headers)
            if not limit.end():
                raw.close()
        self._not_when_unknown(raw.status, raw)
        return raw

    def _get(self, url: str, headers: dict[str, str]) -> Any:
        scheme, _, host, target = url.split("/", 3)
        if self._pools is not None:
            pool = self._pools.get(scheme + host)
            if pool is None or pool.pool is None:  # it was closed
                pool = self._pools[scheme + host] = self._manager.connection_from_url(url)
            if (answer := pool.exchange("/" + target, headers)) is not None:
                return answer
        return super().send(AWSPreparedRequest("GET", url, headers, None, stream_output=True)).raw

    def _not_when_unknown(self, status: int, raw: Any) -> None:
        if status == 407 and self._proxy:
            raw.close()
            raise login_wanted(self._proxy)

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


class _Dialled:
    """Connects as the dialer does, and tells the Abort and the Deadline of this thread which socket it waits on: the
    socket, since http.client lets go of the connection's own reference as soon as it reads "Connection: close"."""

    host: Any
    port: Any
    sock: Any  # a socket, or one of urllib3's for TLS in TLS
    timeout: Any
    socket_options: Any
    _dns_host: Any

    def __init__(self, *args: Any, dialer: Dialer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dialer = dialer
        self._twin: socket.socket | None = None  # of a socket that becomes one of TLS and cannot be watched meanwhile

    def connect(self) -> Any:
        if (abort := abort_of_this_thread()) is not None:
            abort.connected = True
        try:
            result = super().connect()  # type: ignore[misc]
            self.tell()
            return result
        except Exception as error:
            if abort is not None and abort.why:
                raise Stopped(abort.why) from error
            raise
        finally:
            if self._twin is not None:
                self._twin.close()

    def request(self, *args: Any, **kwargs: Any) -> Any:
        self.tell()
        return super().request(*args, **kwargs)  # type: ignore[misc]

    def tell(self) -> None:
        if self.sock is None:
            return
        if (abort := abort_of_this_thread()) is not None:
            abort.connected = bool(abort.connected)
            abort.watch(self.sock)
        if (limit := deadline_of_this_thread()) is not None:
            limit.begin(self.sock)

    def _new_conn(self) -> socket.socket:
        """urllib3's seam for it, and its errors."""
        connection: Any = self
        abort, family = abort_of_this_thread(), allowed_gai_family()
        try:
            sock: socket.socket = self._dialer.dial(
                self._dns_host, self.port, self.timeout, options=self.socket_options, abort=abort, family=family
            )
            limit = deadline_of_this_thread()
            if abort is not None or limit is not None:
                self._twin = sock.dup()
            if abort is not None:
                abort.watch(self._twin)
            if limit is not None:
                limit.begin(self._twin)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, connection, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, f"no connection to {self.host} in {self.timeout} s") from error
        except OSError as error:
            raise NewConnectionError(connection, f"no connection: {error}") from error
        return sock

    def _tunnel(self) -> None:
        outer = deadline_of_this_thread()
        if outer is not None:
            outer.end()  # until there is a way to the server, the proxy is what is late
        try:
            with Deadline(self.timeout, "the consent of the proxy") as limit:
                limit.begin(self._twin or self.sock)
                super()._tunnel()  # type: ignore[misc]
            if outer is not None:
                outer.begin()
        except Interrupted as late:
            raise self._dialer.blamed(TimeoutError("timed out")) from late
        except (OSError, HTTPException) as error:
            raise self._dialer.blamed(error) from error


class _Connection(_Dialled, AWSHTTPConnection):  # type: ignore[misc]
    pass


class _TLSConnection(_Dialled, AWSHTTPSConnection):  # type: ignore[misc]
    def connect(self) -> Any:
        self.ssl_context, self.cert_reqs, self.ca_certs = self._dialer.trust.context(), ssl.CERT_REQUIRED, None
        try:
            return super().connect()
        except ssl.SSLError as error:
            if self.proxy_is_forwarding:  # urllib3 of before 2.8 secures the way to the proxy without what is below
                raise self._dialer.blamed(error) from error
            raise

    def _connect_tls_proxy(self, hostname: str, sock: socket.socket) -> Any:
        try:
            secured = self._dialer.secured(sock, hostname)
        except OSError as error:
            raise self._dialer.blamed(error) from error
        self.proxy_is_verified = True
        return secured


class _Pool(WarmPool, AWSHTTPConnectionPool):  # type: ignore[misc]
    ConnectionCls = _Connection


class _TLSPool(WarmPool, AWSHTTPSConnectionPool):  # type: ignore[misc]
    ConnectionCls = _TLSConnection
