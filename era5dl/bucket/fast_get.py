"""The short way for a GET over a connection that is open already: what thousands of small objects consist of.

The first request of a connection goes botocore's and urllib3's way, with resolving, TLS, proxies and whatever can go
wrong there.  For those that follow, most of what these do (and `email.parser` below them, for a dozen headers) is done
again for nothing, and costs five times the request itself.  Whatever is unusual here, in the request or in the answer,
is left to urllib3 and to `http.client`; and the errors are those that botocore raises.
"""

from __future__ import annotations

import http.client
import queue
import re
import ssl
from collections.abc import Mapping
from typing import Any

import botocore.exceptions as b
from urllib3.util.connection import is_connection_dropped

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2
_HEAD = re.compile(rb"HTTP/1\.1 (20[06]) ([^\r\n]*)\r\n((?:" + _TOKEN + rb":[^\r\n]*\r\n)+)\r\n")
_NO_HEADERS = http.client.HTTPMessage()  # for `http.client`, which asks only whether there are any
_LENGTH = re.compile(r"[0-9]{1,19}")
_ILLEGAL = re.compile(r"[\x00-\x1f\x7f]")  # in a request


class WarmPool:
    """To be put before a pool class of urllib3."""

    def exchange(self: Any, target: str, headers: Mapping[str, str]) -> Exchange | None:
        """The answer to a GET over an open connection; None when there is none, or the request is not plain."""
        head = _request(self, target, headers)
        if not head:
            return None
        try:
            connection = _taken(self.pool)
        except (queue.Empty, AttributeError):  # all are in use, or the pool was closed and has become None
            return None
        if connection is not None and connection.sock is not None and not is_connection_dropped(connection):
            return Exchange(self, connection, target, head)
        self._put_conn(connection)  # only the long way makes and mends connections: it knows whom to trust
        return None


def _taken(pool: queue.LifoQueue[Any]) -> Any:
    """An open connection; None, a place for a new one, when none is idle. Raises queue.Empty.

    The place of a connection that broke lies on top of those that are idle. Taken first, it would make a connection
    more, while those below are never used again: where only so many are let in, they would keep everybody out.
    """
    empty = 0
    try:
        while (connection := pool.get(block=False)) is None:
            empty += 1
    except queue.Empty:
        if not empty:
            raise
        empty, connection = empty - 1, None
    for _ in range(empty):
        pool.put(None, block=False)
    return connection


class Fields(dict[str, str]):
    """The headers of an answer, whatever their case."""

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class Answer(http.client.HTTPResponse):
    """The head of an answer read at one glance, where it is the usual one; by `http.client` where not."""

    fields: Fields

    def begin(self) -> None:
        if self.headers is None and not self._is_usual():
            super().begin()
            self.fields = Fields((name.lower(), value) for name, value in reversed(self.headers.items()))

    def _is_usual(self) -> bool:
        found = _HEAD.match(self.fp.peek(1))  # waits for a first byte
        if not found:
            return False
        status, reason, head = found.groups()
        lines = head.decode("latin-1").split("\r\n")[:-1]
        fields = Fields()
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.lstrip(" \t")
        length = fields.get("content-length", "")
        stays = fields.get("connection", "keep-alive").lower() == "keep-alive"
        repeated = len(fields) < len(lines)
        if repeated or not stays or "transfer-encoding" in fields or not _LENGTH.fullmatch(length):
            return False
        self.fp.read(found.end())
        self.version, self.status, self.reason = 11, int(status), reason.decode("latin-1").strip()
        self.code, self.fields = self.status, fields
        self.headers = self.msg = _NO_HEADERS
        self.chunked, self.will_close, self.length = False, False, int(length)
        return True


class Exchange:
    """A request that is sent and its answer, whose body is still to be read: as much of urllib3's response as a reader
    of it needs."""

    def __init__(self, pool: Any, connection: Any, target: str, head: bytes) -> None:
        self._pool, self._connection = pool, connection
        try:
            connection.tell()
            connection.sock.sendall(head)
            self._fp = _answered(connection.sock, target)
        except BaseException as error:
            self._let_go()
            raise _as_botocore_says(error, pool.host) from error
        self.status, self.headers = self._fp.status, self._fp.fields
        if self._fp.will_close:
            connection.close()  # for others; the answer holds the socket open for itself

    def read1(self, count: int) -> bytes:
        """Some bytes of the body, up to `count`; b"" at its end."""
        data = self._fp.read1(count)
        if self._fp.isclosed():
            self.release_conn()
        return data

    def release_conn(self) -> None:
        """The body is read: others may have the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool._put_conn(connection)

    def close(self) -> None:
        """Whatever is left of the body is not wanted."""
        self._fp.close()
        if self._connection is not None:
            self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        connection.close()
        self._pool._put_conn(None)  # it takes the place of the one that was taken out


def _answered(sock: Any, target: str) -> Answer:
    """The next answer that comes, its head read. Where there is none, nothing of it keeps the socket open."""
    answer = Answer(sock, method="GET", url=target)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    return answer


def _request(pool: Any, target: str, headers: Mapping[str, str]) -> bytes:
    """The bytes of a request; b"" when something in it is for others to refuse."""
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    port = "" if pool.port in (None, {"http": 80, "https": 443}[pool.scheme]) else f":{pool.port}"
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}{port}", *(f"{name}: {value}" for name, value in headers.items())]
    if " " in target or any(_ILLEGAL.search(line) for line in lines):
        return b""
    try:
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    except UnicodeEncodeError:
        return b""


def _as_botocore_says(error: BaseException, url: str) -> BaseException:
    said = error
    if isinstance(error, TimeoutError):
        said = b.ReadTimeoutError(endpoint_url=url, error=error)
    elif isinstance(error, ssl.SSLError):
        said = b.SSLError(endpoint_url=url, error=error)
    elif isinstance(error, OSError | http.client.HTTPException):
        said = b.ConnectionClosedError(endpoint_url=url, error=error)
    return said
