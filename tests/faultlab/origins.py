"""Sources of correct responses for the fault server: objects in memory, or an upstream S3 server."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Protocol
from urllib.parse import quote, urlsplit

from tests.faultlab.bodies import BLOCK, Held, Stream
from tests.faultlab.connection import Connection, Gone
from tests.faultlab.http import Answer, Request, error_answer
from tests.faultlab.objects import Objects, pseudo_random
from tests.faultlab.s3 import honest_answer

PATIENCE = 60.0  # seconds to wait for each piece of an upstream response
MOST_HELD = 1 << 26  # maximum bytes of a body without Content-Length (listings), which is read into memory

# Not passed on, because they concern the connection to the fault server.
_HOP = {"connection", "keep-alive", "proxy-connection", "expect", "te", "transfer-encoding", "content-length"}
_NAMES = {name.lower(): name for name in ("ETag", "Content-Range", "Content-Type", "Connection", "Last-Modified")}


class Origin(Protocol):
    """Gives correct responses. Called by many threads."""

    def answer(self, request: Request) -> Answer:
        """Return the response of S3. The caller reads or closes its body."""
        ...

    def replace(self, key: str) -> None:
        """Replace an object by other bytes of the same size; a missing one is not an error."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


class Memory:
    """Objects in memory, from a test or from files."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.objects = Objects()

    def answer(self, request: Request) -> Answer:
        return honest_answer(self.objects, self.bucket, request)

    def replace(self, key: str) -> None:
        blob = self.objects.get(key)
        if blob is not None:
            new = pseudo_random(f"after {blob.etag}", blob.size)
            self.objects.put(key, new, part_size=blob.part_size)

    def close(self) -> None:
        pass


class Upstream:
    """An upstream S3 server, with a pool of connections.

    Requests are passed on with all their headers, and responses are returned unchanged: the headers byte for byte, the
    body as a stream. There are two exceptions: a chunked response (SeaweedFS sends listings so) gets a Content-Length,
    and `Host` is replaced unless the request is signed, because the signature covers it.
    """

    def __init__(self, url: str, bucket: str, ended: socket.socket) -> None:
        where = urlsplit(url)
        if where.scheme not in ("http", "https") or not where.hostname:
            raise ValueError(f"not the URL of a server: {url!r}")
        self._host, self._netloc = where.hostname, where.netloc
        self._port = where.port or (443 if where.scheme == "https" else 80)
        self._context = ssl.create_default_context() if where.scheme == "https" else None
        self._bucket, self._ended = bucket, ended
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self.connections = 0
        self.failures = 0  # requests without a complete upstream response

    def answer(self, request: Request) -> Answer:
        if request.operation == "other" and request.method != "HEAD":
            message = "The lab passes on only what downloads need."
            return error_answer(405, "Method Not Allowed", "MethodNotAllowed", message)
        try:
            return self._ask(request.method, request.target, request.headers)
        except (OSError, Gone, ValueError) as error:
            return self._failed(error)

    def replace(self, key: str) -> None:
        target = f"/{self._bucket}/{quote(key)}"
        found = self._ask("HEAD", target, {})
        if found.status == 200:
            new = pseudo_random(f"after {found.headers.get('ETag')}", found.length or 0)
            self._ask("PUT", target, {"content-type": "binary/octet-stream"}, new)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.drop()

    def give_back(self, connection: Connection) -> None:
        """Return a connection to the pool, after its response was read to the end."""
        with self._lock:
            self._idle.append(connection)

    def count_failure(self) -> None:
        with self._lock:
            self.failures += 1

    def _failed(self, error: Exception) -> Answer:
        self.count_failure()
        return error_answer(502, "Bad Gateway", "BadGateway", f"The server behind the lab does not answer: {error}")

    def _ask(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """Send a request over an idle connection, or over a new one if no idle one works."""
        lines = [f"{method} {target} HTTP/1.1"]
        signed = "authorization" in headers
        lines += [f"{k}: {v}" for k, v in headers.items() if k not in _HOP and (signed or k != "host")]
        lines += [] if signed else [f"Host: {self._netloc}"]
        lines += [f"Content-Length: {len(body)}"] if body else []
        asked = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
        while (idle := self._take_idle()) is not None:
            with contextlib.suppress(Gone, OSError):
                idle.send(asked)
                if (head := idle.read_head(PATIENCE)) is not None:
                    return self._read(idle, method, head)
            idle.drop()
        connection = self._connect()
        try:
            connection.send(asked)
            head = connection.read_head(PATIENCE)
            if head is None:
                raise Gone("no answer in time")
            return self._read(connection, method, head)
        except BaseException:
            connection.drop()
            raise

    def _read(self, connection: Connection, method: str, head: bytes) -> Answer:
        """Return the response with these headers."""
        first, *lines = head.decode("latin-1").split("\r\n")
        _, status, *reason = first.split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[_NAMES.get(name.lower(), name)] = value.strip()
        length = next((int(headers.pop(name)) for name in list(headers) if name.lower() == "content-length"), None)
        chunked = next((headers.pop(name) for name in list(headers) if name.lower() == "transfer-encoding"), "")
        answer = Answer(int(status), "".join(reason), headers, length=length, raw=head + b"\r\n\r\n")
        if method == "HEAD" or answer.status in (204, 304):
            self._done(connection, headers)
            return answer
        if length is None:
            body = _read_chunks(connection) if chunked else _read_to_end(connection)
            self._done(connection, headers if chunked else {"Connection": "close"})
            return answer.but(body=Held(body), length=len(body))
        payload = answer.status in (200, 206) and method == "GET" and "ETag" in headers
        keep = headers.get("Connection", "").lower() != "close"
        body_stream = _Coming(self, connection, length, keep=keep)
        return Answer(answer.status, answer.reason, headers, body_stream, length, payload, answer.raw)

    def _done(self, connection: Connection, headers: dict[str, str]) -> None:
        if headers.get("Connection", "").lower() == "close":
            connection.drop()
        else:
            self.give_back(connection)

    def _take_idle(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self) -> Connection:
        sock = socket.create_connection((self._host, self._port), timeout=PATIENCE)
        with self._lock:
            self.connections += 1
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_hostname=self._host)
        return Connection(sock, self._ended, None)


class _Coming(Stream):
    """Body of an upstream response. When it has been read to its end, the connection is reused."""

    def __init__(self, upstream: Upstream, connection: Connection, length: int, *, keep: bool) -> None:
        self._upstream, self._left, self._keep = upstream, length, keep
        self._connection: Connection | None = connection
        # not the connection's buffer, which the next response may overwrite while the last bytes are still in use
        self._buffer = memoryview(bytearray(min(length, BLOCK)))
        if not length:
            self._finish()

    def __len__(self) -> int:
        return self._left

    def read(self, most: int) -> bytes | memoryview:
        if self._connection is None:
            return b""
        try:
            count = self._connection.read_into(self._buffer[: min(most, self._left)], PATIENCE)
        except Gone:
            self._upstream.count_failure()
            self.close()
            raise
        self._left -= count
        if not self._left:
            self._finish()
        return self._buffer[:count]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.drop()
            self._connection = None

    def _finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._keep:
            self._upstream.give_back(connection)
        else:
            connection.drop()


def _read_chunks(connection: Connection) -> bytes:
    """Read a whole chunked body."""
    body = bytearray()
    while size := int(connection.read_line(PATIENCE).partition(b";")[0], 16):
        body += connection.read_exactly(size, PATIENCE)
        connection.read_line(PATIENCE)
        _check_size(body)
    while connection.read_line(PATIENCE):
        pass  # trailers
    return bytes(body)


def _read_to_end(connection: Connection) -> bytes:
    """Read a whole body that ends with the connection."""
    body = bytearray()
    buffer = memoryview(bytearray(BLOCK))
    with contextlib.suppress(Gone):
        while count := connection.read_into(buffer, PATIENCE):
            body += buffer[:count]
            _check_size(body)
    return bytes(body)


def _check_size(body: bytearray) -> None:
    if len(body) > MOST_HELD:
        raise Gone("an answer without a length that does not end")
