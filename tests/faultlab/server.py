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
from collections import Counter, deque
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from tests.faultlab.certificates import Certificates
from tests.faultlab.faults import WORD_GOOD, Fault, Script, Source
from tests.faultlab.http import Request
from tests.faultlab.kinds import KINDS
from tests.faultlab.objects import Objects
from tests.faultlab.scene import Scene
from tests.faultlab.wire import Connection, Gone

BUCKET = "nsf-ncar-era5"
PATIENCE = 300.0  # seconds a connection may be idle, and a handshake or a request may take
LOG_LENGTH = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What the way to the server is like, for all requests. None, or 0 for latency, means: no such limit.

    latency: seconds before each answer. speed: bytes per second of each connection. slow_every: one connection in so
    many has only slow_speed. most_connections: those beyond are reset at once. idle_close: after so many seconds
    without a request the connection is closed. idle_swallow: after so many it stays open and swallows all that comes.
    """

    latency: float = 0.0
    speed: int | None = None
    slow_every: int | None = None
    slow_speed: int = 20_000
    most_connections: int | None = None
    idle_close: float | None = None
    idle_swallow: float | None = None


@dataclass(slots=True)
class Seen:
    """One request, as the log keeps it. `payload` grows while bytes of an object are sent in answer."""

    when: float  # seconds since the server started
    connection: int
    method: str
    key: str
    range: str
    if_match: str
    fault: str
    payload: int = 0


@dataclass(frozen=True, slots=True)
class Stats:
    """What has happened since the start, or since `reset_stats`."""

    requests: dict[str, int]  # by method
    faults: dict[str, int]  # by kind
    payload: int  # bytes of objects that were sent
    payload_by_fault: dict[str, int]  # the same, by the fault of the request; "" for those without
    connections: int  # accepted
    connections_now: int
    connections_peak: int


class FaultServer:
    """A bucket that misbehaves on request. Use it as a context manager."""

    def __init__(self, *, certificates: Certificates | None = None, bucket: str = BUCKET) -> None:
        self.bucket = bucket
        self.objects = Objects()
        self.link = Link()
        self.certificates = certificates
        self._sources: list[Source] = []
        self._lock = threading.Lock()
        self._open: dict[int, tuple[threading.Thread, Connection]] = {}
        self._ended, self._end = socket.socketpair()
        self._poked, self._poke = socket.socketpair()
        self._refuse_for = 0.0
        self._refusing = threading.Event()
        self._listener = self._bind(0)
        self._listener.listen(512)
        self.port: int = self._listener.getsockname()[1]
        self._log: deque[Seen] = deque(maxlen=LOG_LENGTH)
        self._began = time.monotonic()
        self._numbers = 0
        self.reset_stats()
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

    def cut_connections(self) -> None:
        """Break every connection there is now."""
        with self._lock:
            connections = [connection for _, connection in self._open.values()]
        for connection in connections:
            connection.cut()

    # -- what happened ----------------------------------------------------------------------------------------------

    @property
    def log(self) -> list[Seen]:
        """The last requests, in the order in which they came. A copy: it does not grow any more."""
        with self._lock:
            return [replace(seen) for seen in self._log]

    def stats(self) -> Stats:
        with self._lock:
            return Stats(
                dict(self._requests),
                dict(self._faults),
                sum(self._payload.values()),
                dict(self._payload),
                self._accepted,
                len(self._open),
                self._peak,
            )

    def reset_stats(self) -> None:
        """Count from zero, and forget the log."""
        with self._lock:
            self._requests: Counter[str] = Counter()
            self._faults: Counter[str] = Counter()
            self._payload: Counter[str] = Counter()
            self._accepted = 0
            self._peak = len(self._open)
            self._log.clear()

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
        with self._lock:
            self._accepted += 1
            number = self._accepted
            most = self.link.most_connections
            if most is None or len(self._open) < most:
                thread = threading.Thread(target=self._serve, args=(number, connection), daemon=True)
                self._open[id(connection)] = (thread, connection)
                self._peak = max(self._peak, len(self._open))
                thread.start()
                return
        connection.reset()

    def _serve(self, number: int, connection: Connection) -> None:
        """One connection, from its handshake to its end."""
        try:
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
            self._note(number, request, "idle-swallowed")
            connection.swallow(PATIENCE)
            return False
        connection.pause(link.latency)
        return self._answer(number, connection, request, link)

    def _answer(self, number: int, connection: Connection, request: Request, link: Link) -> bool:
        with self._lock:
            sources = self._sources
            self._numbers += 1
            count = self._numbers
        fault = next((found for source in sources if (found := source.pick(request))), None) or Fault(WORD_GOOD)
        name = "" if fault.kind == WORD_GOOD else fault.kind
        seen = self._note(number, request, name)

        def count_payload(size: int) -> None:
            with self._lock:
                seen.payload += size
                self._payload[name] += size

        slow = link.slow_every is not None and number % link.slow_every == 0
        speed = link.slow_speed if slow else link.speed
        scene = Scene(connection, request, fault, self.objects, self.bucket, count, speed, count_payload, self.outage)
        return KINDS[name].act(scene) if name else scene.answer(scene.honest())

    def _note(self, number: int, request: Request, fault: str) -> Seen:
        """Count and log a request: before it is answered, so that who has the answer finds it counted."""
        when = round(time.monotonic() - self._began, 3)
        span, if_match = request.headers.get("range", ""), request.headers.get("if-match", "")
        seen = Seen(when, number, request.method, request.key, span, if_match, fault)
        with self._lock:
            self._log.append(seen)
            self._requests[request.method] += 1
            if fault:
                self._faults[fault] += 1
        return seen
