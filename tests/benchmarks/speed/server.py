"""A fast S3 server for benchmarks: objects are files, and the kernel sends them (sendfile).

    python -m tests.benchmarks.speed.server FOLDER [--tls] [--speed BYTES] [--latency SECONDS]
                                            [--slow-every N --slow-speed BYTES]

Needs only Python, uses 0.1 to 0.2 s of CPU per GB where SeaweedFS uses 1, and supports what clients of S3 use: ranges,
If-Match, ETags of multipart uploads, HEAD with partNumber, listings. Rare requests are answered by the fault lab. With
--speed each response is limited exactly: at no time has more of it been sent than the speed allows. Prints its URL and
the file of its CA (or "-"), and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import re
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tests.benchmarks.speed.objects import BUCKET, load
from tests.faultlab import Objects, make_certificates
from tests.faultlab.http import Answer, Request
from tests.faultlab.s3 import honest_answer

TICK = 0.01  # seconds between two sends to a paced connection
BLOCK = 1 << 18  # bytes given to TLS at once
SLOW_DOWN = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 60\r\n\r\n"
    b"<Error><Code>SlowDown</Code><Message>less</Message></Error>\n"
)
LAST_MODIFIED = b"Wed, 01 Jan 2025 00:00:00 GMT"
_GET = re.compile(rb"GET /([^ ?]+)(?:\?([^ ]*))? HTTP/1\.1\r\n")
_RANGE = re.compile(rb"\r\nrange: *bytes=(\d+)-(\d*)(?=\r\n|$)", re.IGNORECASE)
_IF_MATCH = re.compile(rb'\r\nif-match: *("[^"]*")', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Link:
    """What connections are like. speed: bytes a second, 0 for no limit. latency: seconds before each answer.
    slow_every: one connection in so many has only slow_speed, 0 for none."""

    speed: int = 0
    latency: float = 0.0
    slow_every: int = 0
    slow_speed: int = 20_000


@dataclass(frozen=True, slots=True)
class Found:
    """Bytes [start, stop) of a file, and the headers of the response."""

    path: str
    head: bytes
    start: int
    stop: int


class Files:
    """Objects that are the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / BUCKET
        self._stored = load(folder)
        self._rare = Objects()  # for rare requests: has sizes and ETags, but only zeros as bytes, which are never read
        biggest = max((found.size for found in self._stored.values()), default=0)
        zeros = memoryview(mmap.mmap(-1, max(biggest, 1)))
        for key, found in self._stored.items():
            self._rare.put(key, zeros[: found.size], part_size=found.part_size, etag=found.etag)

    def find(self, head: bytes) -> Found | Answer:
        """Return the response to the request with these headers."""
        asked = _GET.match(head)
        if asked is None or b"partNumber" in (asked[2] or b""):
            return self._other(head)
        bucket, _, key = unquote(asked[1].decode()).partition("/")
        stored = self._stored.get(key)
        condition, span = _IF_MATCH.search(head), _RANGE.search(head)
        start = int(span[1]) if span else 0
        if bucket != BUCKET or stored is None or (condition and condition[1].decode() != stored.etag):
            return self._other(head)
        stop = min(int(span[2]) + 1, stored.size) if span and span[2] else stored.size
        if span and start >= stop:
            return self._other(head)
        lines = b"HTTP/1.1 200 OK"
        if span:
            lines = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d" % (start, stop - 1, stored.size)
        lines += b"\r\nETag: %s\r\nLast-Modified: %s\r\nContent-Length: %d" % (
            stored.etag.encode(), LAST_MODIFIED, stop - start,
        )  # fmt: skip
        lines += b"\r\nServer: AmazonS3\r\nAccept-Ranges: bytes\r\nContent-Type: binary/octet-stream\r\n\r\n"
        return Found(f"{self._folder}/{stored.file or key}", lines, start, stop)

    def _other(self, head: bytes) -> Answer:
        return honest_answer(self._rare, BUCKET, Request.parse(head.removesuffix(b"\r\n\r\n")))


class Server:
    """S3 server with one thread per connection, which runs until the process ends."""

    def __init__(
        self,
        folder: Path,
        link: Link,
        context: ssl.SSLContext | None,
        host: str = "127.0.0.1",
        most_requests: int = 0,
        congestion: str = "",
    ) -> None:
        self._files, self._link, self._context = Files(folder), link, context
        self._most_requests, self._requests, self._lock = most_requests, 0, threading.Lock()
        self._listener = socket.create_server((host, 0), backlog=4096)
        if congestion:
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        scheme = "https" if context else "http"
        self.url = f"{scheme}://{host}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        number = 0
        while True:
            sock, _ = self._listener.accept()
            number += 1
            crawls = self._link.slow_every and number % self._link.slow_every == 0
            speed = self._link.slow_speed if crawls else self._link.speed
            threading.Thread(target=self._serve, args=(sock, speed), daemon=True).start()

    def _serve(self, sock: socket.socket, speed: int) -> None:
        """Serve a connection from its handshake to its end."""
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
            came = b""
            with sock:
                while True:
                    while b"\r\n\r\n" not in came:
                        data = sock.recv(65536)
                        if not data:
                            return
                        came += data
                    head, _, came = came.partition(b"\r\n\r\n")
                    if self._link.latency:
                        time.sleep(self._link.latency)
                    with self._counted() as too_many:
                        if too_many:
                            sock.sendall(SLOW_DOWN)
                            continue
                        found = self._files.find(head + b"\r\n\r\n")
                        self._answer(sock, found, speed, no_body=head.startswith(b"HEAD"))

    @contextlib.contextmanager
    def _counted(self) -> Iterator[bool]:
        """Context manager that counts a request during its response; yields whether there are too many."""
        with self._lock:
            self._requests += 1
            too_many = 0 < self._most_requests < self._requests
        try:
            yield too_many
        finally:
            with self._lock:
                self._requests -= 1

    def _answer(self, sock: socket.socket, found: Found | Answer, speed: int, *, no_body: bool) -> None:
        if isinstance(found, Answer):
            sock.sendall(found.head() + (b"" if no_body else bytes(found.body)))
            return
        file = os.open(found.path, os.O_RDONLY)
        try:
            more = getattr(socket, "MSG_MORE", 0)  # headers and first bytes in one segment, as nginx sends them
            sock.sendall(found.head, *(() if self._context or not more else (more,)))
            if speed:
                self._paced(sock, file, found.start, found.stop, speed)
            else:
                self._send(sock, file, found.start, found.stop)
        finally:
            os.close(file)

    def _send(self, sock: socket.socket, file: int, start: int, stop: int) -> None:
        plain = not isinstance(sock, ssl.SSLSocket) and hasattr(os, "sendfile")
        while start < stop:
            if plain:
                sent = os.sendfile(sock.fileno(), file, start, stop - start)
            else:
                data = os.pread(file, min(BLOCK, stop - start), start)
                sock.sendall(data)
                sent = len(data)
            start += sent
            self.count_sent(sent)

    def _paced(self, sock: socket.socket, file: int, start: int, stop: int, speed: int) -> None:
        began, at = time.monotonic(), start
        while at < stop:
            time.sleep(TICK)
            until = min(stop, start + int((time.monotonic() - began) * speed))
            self._send(sock, file, at, until)
            at = until

    def count_sent(self, count: int) -> None:
        """Called with the number of bytes of a file that were sent. Does nothing here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tls", action="store_true", help="https, with a throw-away certificate")
    parser.add_argument("--speed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--slow-every", type=int, default=0)
    parser.add_argument("--slow-speed", type=int, default=20_000)
    parser.add_argument("--host", default="127.0.0.1", help="another address only in a network namespace")
    parser.add_argument("--congestion", default="", help="congestion control of the sender, such as bbr (Linux)")
    parser.add_argument("--most-requests", type=int, default=0, help="503 for those above, 0 for no limit")
    given = parser.parse_args()
    link = Link(given.speed, given.latency, given.slow_every, given.slow_speed)
    with tempfile.TemporaryDirectory() as scratch:
        certificates = make_certificates(Path(scratch)) if given.tls else None
        context = certificates.context if certificates else None
        server = Server(given.folder, link, context, given.host, given.most_requests, given.congestion)
        print(server.url, certificates.ca_file if certificates else "-", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
