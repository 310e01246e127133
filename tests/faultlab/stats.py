"""Statistics and log of the fault lab: requests, faults, bytes sent, and bytes that faults made worthless."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, replace

from tests.faultlab.http import Request

LOG_LENGTH = 20_000


@dataclass(slots=True)
class LoggedRequest:
    """One request in the log. payload: sent bytes of an object, which grows during the response."""

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
    """Statistics since the start, or since `reset_stats`.

    destroyed: sent bytes that no client can use because of a fault: all of a response that must not be trusted
    (range-wrong, chunked, ...), the whole object in which a bit was flipped (the ETag does not show where), and the
    bytes of an object before it was replaced. Bytes before the end of a truncated body are not destroyed, because a
    client can keep them. `payload - destroyed - size` is therefore the number of bytes fetched twice without need.
    """

    requests: dict[str, int]  # by method
    faults: dict[str, int]  # by kind
    payload: int  # bytes of objects that were sent
    payload_by_fault: dict[str, int]  # the same, by the fault of the request; "" for those without
    destroyed: int
    destroyed_by_fault: dict[str, int]
    connections: int  # accepted
    connections_now: int
    connections_peak: int
    upstream_connections: int  # opened to the upstream server
    upstream_failures: int  # requests without a complete upstream response


class Recorder:
    """Counts and logs requests. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._now = 0
        self._log: deque[LoggedRequest] = deque(maxlen=LOG_LENGTH)
        self.reset()

    def reset(self) -> None:
        """Reset the statistics, and clear the log."""
        with self._lock:
            self._requests: Counter[str] = Counter()
            self._faults: Counter[str] = Counter()
            self._payload: Counter[str] = Counter()
            self._destroyed: Counter[str] = Counter()
            self._kept: Counter[str] = Counter()  # by key: sent bytes of the current version that are not destroyed
            self._sent: Counter[str] = Counter()  # by key: sent bytes that were not useless from the start
            self._spoilt: set[tuple[str, int]] = set()  # key, and how often the whole object had been sent before
            self._accepted = 0
            self._peak = self._now
            self._log.clear()

    def connected(self) -> int:
        """Count an accepted connection, and return its number."""
        with self._lock:
            self._accepted += 1
            return self._accepted

    def open_now(self, count: int) -> None:
        """Set the number of open connections."""
        with self._lock:
            self._now = count
            self._peak = max(self._peak, count)

    def note(self, connection: int, request: Request, fault: str) -> LoggedRequest:
        """Count and log a request. Called before the response, so that a client with the response finds it counted."""
        when = round(time.monotonic() - self._began, 3)
        span, if_match = request.headers.get("range", ""), request.headers.get("if-match", "")
        logged = LoggedRequest(when, connection, request.method, request.key, span, if_match, fault)
        with self._lock:
            self._log.append(logged)
            self._requests[request.method] += 1
            if fault:
                self._faults[fault] += 1
        return logged

    def sent(self, logged: LoggedRequest, size: int, *, spoilt: bool) -> None:
        """Count sent bytes of an object. spoilt: they are useless."""
        with self._lock:
            logged.payload += size
            self._payload[logged.fault] += size
            if spoilt:
                self._destroyed[logged.fault] += size
            else:
                self._kept[logged.key] += size
                self._sent[logged.key] += size

    def replaced(self, logged: LoggedRequest) -> None:
        """Count all bytes of the requested object that were sent so far as destroyed."""
        with self._lock:
            self._destroyed[logged.fault] += self._kept.pop(logged.key, 0)

    def spoilt(self, logged: LoggedRequest, size: int) -> None:
        """Count an object of `size` bytes as destroyed, at most once while the object is sent completely once."""
        with self._lock:
            this_round = (logged.key, self._sent[logged.key] // max(size, 1))
            if this_round not in self._spoilt:
                self._spoilt.add(this_round)
                self._kept[logged.key] -= size
                self._destroyed[logged.fault] += size

    def log(self) -> list[LoggedRequest]:
        with self._lock:
            return [replace(logged) for logged in self._log]

    def stats(self, upstream_connections: int = 0, upstream_failures: int = 0) -> Stats:
        with self._lock:
            return Stats(
                requests=dict(self._requests),
                faults=dict(self._faults),
                payload=sum(self._payload.values()),
                payload_by_fault=dict(self._payload),
                destroyed=sum(self._destroyed.values()),
                destroyed_by_fault=dict(self._destroyed),
                connections=self._accepted,
                connections_now=self._now,
                connections_peak=self._peak,
                upstream_connections=upstream_connections,
                upstream_failures=upstream_failures,
            )
