"""HTTP session for botocore: requests that other threads can abort, time limits, and connections by our `Connector`.

`HTTPSession` is botocore's `URLLib3Session` with other connection classes. These connect by `era5dl.bucket.connect` and
register each socket they wait for, also while waiting for the headers. Listings and errors are read here, within the
limits of `era5dl.bucket.responses`, before botocore parses them.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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

from era5dl.bucket.cancellation import current_abort
from era5dl.bucket.connect import Connector
from era5dl.bucket.deadline import Deadline, current_deadline
from era5dl.bucket.proxy import login_required
from era5dl.bucket.responses import BufferedBody, read_body, read_error_body
from era5dl.errors import Interrupted, Stopped

HEAD = "the head of the response"  # in messages: what a request waits for


@dataclass(slots=True)
class Unread:
    """urllib3's response whose body has not been read, and its socket; both None before there is a response."""

    response: Any = None
    socket: socket.socket | None = None


class HTTPSession(URLLib3Session):  # type: ignore[misc]
    """A connection pool for botocore's client, whose requests can be aborted from any thread.

    timeout: seconds for connecting, and for each read.
    """

    def __init__(self, *, connector: Connector, timeout: tuple[float, float], pool_size: int):
        # The connector handles a SOCKS proxy. For urllib3 such a connection is a direct one.
        proxy = connector.proxy if connector.proxy and not connector.proxy.is_socks else None
        super().__init__(
            proxies={"http": proxy.url, "https": proxy.url} if proxy else {},
            timeout=timeout,
            max_pool_connections=pool_size,
        )
        self._pool_classes_by_scheme.update(  # the pool managers use this dict
            http=partial(_Pool, connector=connector), https=partial(_TLSPool, connector=connector)
        )
        self._proxy = proxy
        if proxy:  # botocore's proxy manager would accept only ASCII passwords
            login = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
            manager = ProxyManager(proxy.url, proxy_headers=login, **self._get_pool_manager_kwargs())
            manager.pool_classes_by_scheme = self._pool_classes_by_scheme
            self._proxy_managers[proxy.url] = manager
        self._read_timeout = timeout[1]
        self._of_this_thread = threading.local()

    def close(self) -> None:
        """Close idle connections now, and those in use as soon as their responses have been read.

        urllib3's `clear` only drops its pools: their sockets would stay open until they are garbage-collected.
        """
        for manager in (self._manager, *self._proxy_managers.values()):
            pools = [manager.pools.get(key) for key in manager.pools.keys()]  # noqa: SIM118 - pools is not iterable
            manager.clear()
            for pool in filter(None, pools):
                pool.close()

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Send a request that botocore has prepared and return the response. Its body has been read, unless it is the
        content of an object. Raises the errors of botocore's session."""
        try:
            response, sock = self.await_head(lambda: self.send_unread(request))
            status, headers = response.status, response.headers
            if request.stream_output and status < 300:
                unread = getattr(self._of_this_thread, "unread", None) or Unread()
                unread.response, unread.socket = response, sock
                return AWSResponse(request.url, status, headers, response)
            body = (read_error_body if status >= 300 else read_body)(response, sock)
        except BaseException:
            self._release_abort()
            raise
        self._release_abort()
        return AWSResponse(request.url, status, headers, BufferedBody(body))

    @contextlib.contextmanager
    def unread(self) -> Iterator[Unread]:
        """Context manager. The yielded value gets the response to this thread's next request for an object.

        An exception closes the response, because botocore leaves it open if it cannot parse the headers.
        """
        unread = self._of_this_thread.unread = Unread()
        try:
            yield unread
        except BaseException:
            if unread.response is not None:
                unread.response.close()
            raise
        finally:
            self._of_this_thread.unread = None

    def await_head(self, send: Callable[[], Any]) -> tuple[Any, socket.socket | None]:
        """Call `send`, which sends a request and returns urllib3's response with its head read. Return the response and
        its socket. Raises Interrupted if the head takes longer than the read timeout, and Stopped."""
        abort = current_abort()
        if abort is not None and abort.reason:
            raise Stopped(abort.reason)
        with Deadline(self._read_timeout, HEAD) as limit:
            response = send()
            if not limit.stop():
                response.close()
        if response.status == 407 and self._proxy:
            response.close()
            raise login_required(self._proxy)
        return response, limit.socket

    def send_unread(self, request: AWSPreparedRequest) -> Any:
        """Send a request and return urllib3's response without reading its body."""
        streamed = AWSPreparedRequest(request.method, request.url, request.headers, request.body, True)
        return super().send(streamed).raw

    def pool_of(self, url: str) -> Any:
        """Return urllib3's pool of connections to this URL; None if they go through an HTTP proxy."""
        return None if self._proxy else self._manager.connection_from_url(url)

    def _release_abort(self) -> None:
        if (abort := current_abort()) is not None:
            abort.watch(None)  # another thread may use the connection by now


class _WatchedConnection:
    """Connection that uses a `Connector` and registers its socket with the Abort and the Deadline of this thread.

    It registers the socket and not itself, because http.client sets `sock` to None when it reads "Connection: close".
    """

    host: Any
    port: Any
    sock: Any  # a socket, or one of urllib3's for TLS in TLS
    timeout: Any
    _dns_host: Any

    def __init__(self, *args: Any, connector: Connector, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connector = connector
        self._duplicate: socket.socket | None = None  # can be watched while TLS is set up on the socket

    def connect(self) -> Any:
        if (abort := current_abort()) is not None:
            abort.connected = True
        try:
            result = super().connect()  # type: ignore[misc]
            self.watch_socket()
            return result
        except Exception as error:
            if abort is not None and abort.reason:
                raise Stopped(abort.reason) from error
            raise
        finally:
            if self._duplicate is not None:
                self._duplicate.close()

    def request(self, *args: Any, **kwargs: Any) -> Any:
        self.watch_socket()
        return super().request(*args, **kwargs)  # type: ignore[misc]

    def watch_socket(self) -> None:
        """Register the socket with the Abort and the Deadline of this thread."""
        if self.sock is None:
            return
        if (abort := current_abort()) is not None:
            abort.connected = bool(abort.connected)
            abort.watch(self.sock)
        if (limit := current_deadline()) is not None:
            limit.start(self.sock)

    def _new_conn(self) -> socket.socket:
        """Return a new socket. urllib3 calls this method, so it raises urllib3's errors."""
        connection: Any = self
        abort = current_abort()
        try:
            sock = self._connector.connect(self._dns_host, self.port, self.timeout, abort)
            limit = current_deadline()
            if abort is not None or limit is not None:
                self._duplicate = sock.dup()
            if abort is not None:
                abort.watch(self._duplicate)
            if limit is not None:
                limit.start(self._duplicate)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, connection, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, f"no connection to {self.host} in {self.timeout} s") from error
        except OSError as error:
            raise NewConnectionError(connection, f"no connection: {error}") from error
        return sock

    def _tunnel(self) -> None:
        outer = current_deadline()
        if outer is not None:
            outer.stop()  # until the tunnel is open, the proxy is the cause of a delay
        try:
            with Deadline(self.timeout, "the tunnel through the proxy") as limit:
                limit.start(self._duplicate or self.sock)
                super()._tunnel()  # type: ignore[misc]
            if outer is not None:
                outer.start()
        except Interrupted as late:
            raise self._connector.proxy_error(TimeoutError("timed out")) from late
        except (OSError, HTTPException) as error:
            raise self._connector.proxy_error(error) from error


class _Connection(_WatchedConnection, AWSHTTPConnection):  # type: ignore[misc]
    pass


class _TLSConnection(_WatchedConnection, AWSHTTPSConnection):  # type: ignore[misc]
    def connect(self) -> Any:
        self.ssl_context, self.cert_reqs, self.ca_certs = self._connector.trust.context(), ssl.CERT_REQUIRED, None
        try:
            return super().connect()
        except ssl.SSLError as error:
            if self.proxy_is_forwarding:  # urllib3 before 2.8 does not call `_connect_tls_proxy`
                raise self._connector.proxy_error(error) from error
            raise

    def _connect_tls_proxy(self, hostname: str, sock: socket.socket) -> Any:
        try:
            secured = self._connector.secure(sock, hostname)
        except OSError as error:
            raise self._connector.proxy_error(error) from error
        self.proxy_is_verified = True
        return secured


class _OpenFirst(queue.LifoQueue[Any]):
    """The free slots of a connection pool, one for each connection that may be opened. Slots with an open connection
    are taken before empty ones.

    The slot of a broken connection lies on top of the idle connections. If it were taken first, a new connection would
    be opened although idle ones exist, and a server that limits connections would refuse it, again and again.
    """

    def _get(self) -> Any:
        open_slots = (i for i in reversed(range(len(self.queue))) if getattr(self.queue[i], "sock", None) is not None)
        return self.queue.pop(next(open_slots, -1))


class _Pool(AWSHTTPConnectionPool):  # type: ignore[misc]
    ConnectionCls = _Connection
    QueueCls = _OpenFirst


class _TLSPool(AWSHTTPSConnectionPool):  # type: ignore[misc]
    ConnectionCls = _TLSConnection
    QueueCls = _OpenFirst
