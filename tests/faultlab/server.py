"""The fault server: an S3 bucket on 127.0.0.1 that answers well until it is told not to.

It runs in threads of the program that starts it, one per connection, so that a test can put objects, order faults and
read counters without a protocol in between. All of them have ended when `close` returns.
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
    """What the way to the server is like, for all requests. None, or 0 for latency, means: no such limit.

    latency: seconds before each answer. speed: bytes per second of each connection. slow_every: one connection in so
    many has only slow_speed. most_connections: those beyond are reset at once. idle_close: after so many seconds
    without a request the connection is closed. idle_swallow: after so many it stays open and swallows all that comes.
    deaf_every: one connection in so many is accepted and then never says a word, not even for TLS.
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
    """A bucket that misbehaves on request. Use it as a context manager.

    certificates: for https. upstream: the URL of a real S3 server, path style, that has the bucket: what is not struck
    by a fault is asked there and passed on as it is. Without it the bucket is in memory, and `put` fills it.
    port: where to listen, 0 for any that is free.
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
        """What a client must trust; None for a plain server."""
        return self.certificates.ca_file if self.certificates else None

    # -- the bucket -------------------------------------------------------------------------------------------------

    @property
    def objects(self) -> Objects:
        """The bucket in memory. What is in a server behind the lab is changed there."""
        if isinstance(self._origin, Upstream):
            raise TypeError("the objects are in the server behind the lab: put them there")
        return self._origin.objects

    @objects.setter
    def objects(self, objects: Objects) -> None:
        assert isinstance(self._origin, Memory)
        self._origin.objects = objects

    def put(self, key: str, data: bytes | memoryview, part_size: int | None = None, *, etag: str | None = None) -> str:
        """Store an object, or its next version, and return its ETag, quotes included."""
        return self.objects.put(key, data, part_size=part_size, etag=etag)

    def delete(self, key: str) -> None:
        self.objects.delete(key)

    # -- faults -----------------------------------------------------------------------------------------------------

    def script(self, *faults: Fault | str, key: str | None = None) -> Script:
        """Order faults, each by a `Fault` or just its name, for the next requests of `key`, or of any."""
        script = Script([Fault(fault) if isinstance(fault, str) else fault for fault in faults], key)
        self.add(script)
        return script

    def add(self, source: Source) -> None:
        """Let `source` decide about requests for which the ones added before had no fault."""
        with self._lock:
            self._sources = [*self._sources, source]

    def calm(self) -> None:
        """No more faults."""
        with self._lock:
            self._sources = []

    def outage(self, seconds: float) -> None:
        """Break all connections and refuse new ones for so long; begun when this returns."""
        self._refuse_for = seconds
        self._refusing.clear()
        self._poke.send(b"!")
        self._refusing.wait(5)
        self.cut_connections()

    def lose_name(self, seconds: float) -> None:
        """Break all connections, and let the server's name not resolve for so long where `Names` are in use."""
        self._nameless_until = time.monotonic() + seconds
        self.cut_connections()

    @property
    def has_name(self) -> bool:
        """Whether its name resolves now."""
        return time.monotonic() >= self._nameless_until

    def cut_connections(self) -> None:
        """Break every connection there is now."""
        with self._lock:
            connections = [connection for _, connection in self._open.values()]
        for connection in connections:
            connection.cut()

    # -- what happened ----------------------------------------------------------------------------------------------

    @property
    def log(self) -> list[LoggedRequest]:
        """The last requests, in the order in which they came. A copy: it does not grow any more."""
        return self._recorder.log()

    def stats(self) -> Stats:
        if isinstance(self._origin, Upstream):
            return self._recorder.stats(self._origin.connections, self._origin.failures)
        return self._recorder.stats()

    def reset_stats(self) -> None:
        """Count from zero, and forget the log."""
        self._recorder.reset()

    # -- life -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and every thread. Every wait in them watches `_ended`, so this takes milliseconds."""
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
        """The thread that takes connections, and during an outage does not."""
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
            with contextlib.suppress(OSError):  # the client has gone already
                self._listener.settimeout(0)
                self._take(self._listener.accept()[0])

    def _wait(self, listener: socket.socket | None, seconds: float | None) -> bool:
        """Wait for a connection, an order or the time; False when the server ends."""
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
        """One connection, from its handshake to its end."""
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
        """One request; whether there may be another."""
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
        speed = link.slow_speed if slow else link.speed
        spoilt = bool(name) and KINDS[name].spoils
        acts = (self.outage, self.lose_name)
        exchange = Exchange(
            connection, request, fault, self._origin, count, speed, self._recorder, logged, spoilt, *acts
        )
        try:
            usable = KINDS[name].act(exchange) if name else exchange.answer(exchange.honest())
            return usable and not fault.closes
        finally:
            exchange.close()
