"""The fault server: an S3 server on 127.0.0.1 that responds correctly unless a fault is requested.

It runs in threads of the calling process, one per connection, so that tests call methods to store objects, request
faults and read statistics. All threads have ended when `close` returns.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.faultlab.certificates import Certificates
from tests.faultlab.connection import Connection, Gone
from tests.faultlab.exchange import Exchange
from tests.faultlab.faults import WORD_GOOD, Fault, Script, Source
from tests.faultlab.http import Request
from tests.faultlab.kinds import KINDS
from tests.faultlab.objects import Objects
from tests.faultlab.origins import Memory, Upstream
from tests.faultlab.stats import LoggedRequest, Recorder, Stats

BUCKET = "nsf-ncar-era5"
PATIENCE = 300.0  # seconds a connection may be idle, and a handshake or a request may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Properties of the connection to the server, for all requests. None, or 0 for latency, means no such limit.

    latency: seconds before each response. speed: bytes per second of each connection. slow_every: one in this number of
    connections has slow_speed. most_connections: further connections are reset at once. idle_close: seconds without a
    request after which a connection is closed. idle_swallow: seconds after which it stays open, but never answers.
    deaf_every: one in this number of connections is accepted, but never answers, not even the TLS handshake.
    """

    latency: float = 0.0
    speed: int | None = None
    slow_every: int | None = None
    slow_speed: int = 20_000
    most_connections: int | None = None
    idle_close: float | None = None
    idle_swallow: float | None = None
    deaf_every: int | None = None


class FaultServer:
    """S3 server that injects faults. Use it as a context manager.

    certificates: for https. upstream: URL of a real S3 server (path style) that has the bucket. Requests without a
    fault are passed on to it. Without it the bucket is in memory, and `put` fills it. port: 0 for any free port.
    """

    def __init__(
        self,
        *,
        certificates: Certificates | None = None,
        bucket: str = BUCKET,
        upstream: str | None = None,
        port: int = 0,
    ) -> None:
        self.bucket = bucket
        self.link = Link()
        self.certificates = certificates
        self._sources: list[Source] = []
        self._lock = threading.Lock()
        self._open: dict[int, tuple[threading.Thread, Connection]] = {}
        self._ended, self._end = socket.socketpair()
        self._origin: Memory | Upstream = Upstream(upstream, bucket, self._ended) if upstream else Memory(bucket)
        self._poked, self._poke = socket.socketpair()
        self._nameless_until = 0.0
        self._refuse_for = 0.0
        self._refusing = threading.Event()
        self._listener = self._bind(port)
        self._listener.listen(512)
        self.port: int = self._listener.getsockname()[1]
        self._recorder = Recorder()
        self._numbers = 0
        self._thread = threading.Thread(target=self._accept, name="faultlab", daemon=True)
        self._thread.start()

    @property
    def endpoint_url(self) -> str:
        return f"{'https' if self.certificates else 'http'}://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path | None:
        """The CA file that a client must trust; None for a plain server."""
        return self.certificates.ca_file if self.certificates else None

    # -- the bucket -------------------------------------------------------------------------------------------------

    @property
    def objects(self) -> Objects:
        """The objects in memory. Objects of an upstream server are changed there."""
        if isinstance(self._origin, Upstream):
            raise TypeError("the objects are in the server behind the lab: put them there")
        return self._origin.objects

    @objects.setter
    def objects(self, objects: Objects) -> None:
        assert isinstance(self._origin, Memory)
        self._origin.objects = objects

    def put(self, key: str, data: bytes | memoryview, part_size: int | None = None, *, etag: str | None = None) -> str:
        """Store an object, or a new version, and return its ETag with quotes."""
        return self.objects.put(key, data, part_size=part_size, etag=etag)

    def delete(self, key: str) -> None:
        self.objects.delete(key)

    # -- faults -----------------------------------------------------------------------------------------------------

    def script(self, *faults: Fault | str, key: str | None = None) -> Script:
        """Request faults, each as a `Fault` or its name, for the next requests of `key`, or of any key."""
        script = Script([Fault(fault) if isinstance(fault, str) else fault for fault in faults], key)
        self.add(script)
        return script

    def add(self, source: Source) -> None:
        """Add a source, which is asked for requests without a fault from earlier sources."""
        with self._lock:
            self._sources = [*self._sources, source]

    def calm(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._sources = []

    def outage(self, seconds: float) -> None:
        """Break all connections, and refuse new ones for `seconds`. The outage has started when this returns."""
        self._refuse_for = seconds
        self._refusing.clear()
        self._poke.send(b"!")
        self._refusing.wait(5)
        self.cut_connections()

    def lose_name(self, seconds: float) -> None:
        """Break all connections and, with `Names`, make the resolution of the server's name fail for `seconds`."""
        self._nameless_until = time.monotonic() + seconds
        self.cut_connections()

    @property
    def has_name(self) -> bool:
        """Whether its host name currently resolves."""
        return time.monotonic() >= self._nameless_until

    def cut_connections(self) -> None:
        """Break all current connections."""
        with self._lock:
            connections = [connection for _, connection in self._open.values()]
        for connection in connections:
            connection.cut()

    # -- statistics and log -----------------------------------------------------------------------------------------

    @property
    def log(self) -> list[LoggedRequest]:
        """A copy of the log of the latest requests, in the order of their arrival."""
        return self._recorder.log()

    def stats(self) -> Stats:
        if isinstance(self._origin, Upstream):
            return self._recorder.stats(self._origin.connections, self._origin.failures)
        return self._recorder.stats()

    def reset_stats(self) -> None:
        """Reset the statistics, and clear the log."""
        self._recorder.reset()

    # -- threads and connections ------------------------------------------------------------------------------------

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections and threads, which takes milliseconds because every wait watches `_ended`."""
        self._end.close()
        self._thread.join()
        with self._lock:
            threads = [thread for thread, _ in self._open.values()]
        for thread in threads:
            thread.join()
        self._origin.close()
        for sock in (self._listener, self._ended, self._poked, self._poke):
            sock.close()

    def _bind(self, port: int) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    def _accept(self) -> None:
        """Accept connections, except during an outage. Runs on its own thread."""
        while self._wait(self._listener, None):
            if self._refuse_for:
                self._listener.close()
                self._listener = self._bind(self.port)  # keeps the port ours; who does not listen, refuses
                seconds, self._refuse_for = self._refuse_for, 0.0
                self._refusing.set()
                deadline = time.monotonic() + seconds
                while (left := deadline - time.monotonic()) > 0:
                    if not self._wait(None, left):
                        return
                self._listener.listen(512)
                continue
            with contextlib.suppress(OSError):  # the client has already closed the connection
                self._listener.settimeout(0)
                self._take(self._listener.accept()[0])

    def _wait(self, listener: socket.socket | None, seconds: float | None) -> bool:
        """Wait for a connection, a wake-up or the timeout. Return False when the server is closed."""
        with selectors.DefaultSelector() as selector:
            for sock in filter(None, (listener, self._poked, self._ended)):
                selector.register(sock, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(seconds)]
        if self._poked in ready:
            self._poked.recv(64)
        return self._ended not in ready

    def _take(self, sock: socket.socket) -> None:
        connection = Connection(sock, self._ended, self.certificates.context if self.certificates else None)
        number = self._recorder.connected()
        with self._lock:
            most = self.link.most_connections
            if most is None or len(self._open) < most:
                thread = threading.Thread(target=self._serve, args=(number, connection), daemon=True)
                self._open[id(connection)] = (thread, connection)
                self._recorder.open_now(len(self._open))
                thread.start()
                return
        connection.reset()

    def _serve(self, number: int, connection: Connection) -> None:
        """Serve a connection from its handshake to its end."""
        try:
            if self.link.deaf_every is not None and number % self.link.deaf_every == 0:
                connection.swallow(PATIENCE)
            connection.handshake(PATIENCE)
            while self._one(number, connection):
                pass
        except Gone:
            connection.drop()
        except ValueError:  # it does not speak HTTP
            pass
        finally:
            connection.close()
            with self._lock:
                del self._open[id(connection)]
                self._recorder.open_now(len(self._open))

    def _one(self, number: int, connection: Connection) -> bool:
        """Serve one request. Return whether the connection can be used for another one."""
        link, waited = self.link, time.monotonic()
        head = connection.read_head(PATIENCE if link.idle_close is None else link.idle_close)
        if head is None:
            return False
        request = Request.parse(head)
        connection.skip(int(request.headers.get("content-length", 0)), PATIENCE)
        idle = time.monotonic() - waited
        if link.idle_swallow is not None and idle > link.idle_swallow:
            self._recorder.note(number, request, "idle-swallowed")
            connection.swallow(PATIENCE)
            return False
        if link.latency:
            connection.pause(link.latency)
        return self._answer(number, connection, request, link)

    def _answer(self, number: int, connection: Connection, request: Request, link: Link) -> bool:
        with self._lock:
            sources = self._sources
            self._numbers += 1
            count = self._numbers
        fault = next((found for source in sources if (found := source.pick(request))), None) or Fault(WORD_GOOD)
        name = "" if fault.kind == WORD_GOOD else fault.kind
        logged = self._recorder.note(number, request, name)

        slow = link.slow_every is not None and number % link.slow_every == 0
        spoilt = bool(name) and KINDS[name].spoils
        exchange = Exchange(
            connection=connection,
            request=request,
            fault=fault,
            origin=self._origin,
            number=count,
            speed=lambda: link.slow_speed if slow else self.link.speed,  # a new link changes responses that are sent
            recorder=self._recorder,
            logged=logged,
            spoilt=spoilt,
            outage=self.outage,
            lose_name=self.lose_name,
        )
        try:
            usable = KINDS[name].act(exchange) if name else exchange.answer(exchange.honest())
            return usable and not fault.closes
        finally:
            exchange.close()
