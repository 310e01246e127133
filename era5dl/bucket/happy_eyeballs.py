"""Connects to a host that has several addresses (Happy Eyeballs, RFC 8305).

Implements the RFC without its part on DNS. Address families alternate; if an address has not answered within 250 ms,
the next one is tried, too; the first connection wins and the others are closed. Results are remembered for five minutes
and change only the order: the family that answered comes first, and addresses that did not answer come last. Otherwise
the order of the resolver is kept, since it spreads the load over the servers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, Generic, TypeVar

from era5dl.bucket.cancellation import Abort
from era5dl.errors import Stopped

SOCKET_LIMIT_ERRORS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
ATTEMPT_DELAY = 0.25  # seconds before the next address is tried; "Connection Attempt Delay" in RFC 8305
REMEMBERED = 300.0  # seconds for which results are remembered
_MAX_REMEMBERED = 256  # entries in each map of results

T = TypeVar("T")
SocketOption = tuple[int, int, int]
Entry = tuple[Any, ...]  # of `getaddrinfo`: family, type, protocol, canonical name, address


class HappyEyeballs:
    """Opens TCP connections for any number of threads, and remembers which addresses answered.

    options: set on each socket.
    """

    def __init__(self, options: Sequence[SocketOption] = ()) -> None:
        self._options = options
        self._families: _ExpiringMap[int] = _ExpiringMap()  # by host: the family that answered
        self._silent: _ExpiringMap[bool] = _ExpiringMap()  # addresses that failed, or were slower than another one

    def connect(self, host: str, port: int, timeout: float | None, abort: Abort | None = None) -> socket.socket:
        """Return a connected socket with this timeout. Raises OSError as `socket.create_connection` does, and Stopped.

        timeout: seconds for all addresses together. The time for resolving the name is not included: it cannot be
        limited.
        """
        family = socket.AF_UNSPEC if socket.has_ipv6 else socket.AF_INET
        entries = self._in_order(host, socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        try:
            with _wakeup_socket(abort) as wakeup:
                race = _Race(entries, timeout, self._options)
                sock = race.run(wakeup, abort)
        except OSError:
            self._families.forget(host)
            for entry in entries:
                self._silent.forget(entry[4])
            raise
        self._families.keep(host, race.winner[0])
        self._silent.forget(race.winner[4])
        for entry in race.losers:
            self._silent.keep(entry[4], True)
        sock.settimeout(timeout)
        return sock

    def _in_order(self, host: str, found: Sequence[Entry]) -> list[Entry]:
        families: dict[int, list[Entry]] = {}
        for entry in dict.fromkeys(found):
            families.setdefault(entry[0], []).append(entry)
        first = self._families.get(host)
        lists = [entries for _, entries in sorted(families.items(), key=lambda item: item[0] != first)]
        mixed = [entry for group in zip_longest(*lists) for entry in group if entry is not None]
        return sorted(mixed, key=lambda entry: self._silent.get(entry[4]) is not None)


class _Race:
    """Connection attempts to several addresses. After `run`, `winner` is the address that was connected, and `losers`
    are those that were tried before it."""

    def __init__(self, entries: Sequence[Entry], timeout: float | None, options: Sequence[SocketOption]) -> None:
        self._waiting = list(reversed(entries))
        self._options = options
        self._deadline = float("inf") if timeout is None else time.monotonic() + timeout
        self._next_attempt_at = 0.0
        self._attempts: dict[socket.socket, Entry] = {}
        self._error = OSError("the name has no address")
        self.winner: Entry = ()
        self.losers: list[Entry] = []

    def run(self, wakeup: socket.socket | None, abort: Abort | None) -> socket.socket:
        """Return the first connected socket. Raises OSError if none connects, Stopped if `wakeup` becomes readable."""
        with selectors.DefaultSelector() as selector:
            if wakeup is not None:
                selector.register(wakeup, selectors.EVENT_READ)
            try:
                while True:
                    self._start_due_attempts(selector)
                    for key, _ in selector.select(self._seconds_to_wait()):
                        if key.fileobj is wakeup:
                            raise Stopped(abort.reason if abort is not None else "")
                        if (sock := self._finish(key.fileobj, selector)) is not None:
                            return sock
            finally:
                for sock in self._attempts:
                    sock.close()

    def _start_due_attempts(self, selector: selectors.BaseSelector) -> None:
        while self._waiting and (not self._attempts or time.monotonic() >= self._next_attempt_at):
            entry = self._waiting.pop()
            try:
                sock = socket.socket(*entry[:3])
                self._attempts[sock] = entry
                for option in self._options:
                    sock.setsockopt(*option)
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError, InterruptedError):
                    sock.connect(entry[4])
            except OSError as error:
                self._error = error
                for sock in [sock for sock, tried in self._attempts.items() if tried is entry]:
                    self._drop(sock)
                continue
            selector.register(sock, selectors.EVENT_WRITE)
            self._next_attempt_at = time.monotonic() + ATTEMPT_DELAY
        if not self._attempts:
            raise self._error

    def _seconds_to_wait(self) -> float | None:
        """Return the seconds until the next attempt or the timeout; None if there is neither. Raises TimeoutError."""
        now = time.monotonic()
        if now >= self._deadline:
            raise TimeoutError("timed out")
        until = min(self._deadline, self._next_attempt_at if self._waiting else self._deadline)
        return None if until == float("inf") else max(0.0, until - now)

    def _finish(self, sock: Any, selector: selectors.BaseSelector) -> socket.socket | None:
        """Return the socket if it has connected. If it has failed, drop it and return None."""
        selector.unregister(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._error = _os_error(number)
            self._drop(sock)
            return None
        started = list(self._attempts)  # in the order of their start
        self.losers += [self._attempts[earlier] for earlier in started[: started.index(sock)]]
        self.winner = self._attempts.pop(sock)
        connected: socket.socket = sock
        return connected

    def _drop(self, sock: socket.socket) -> None:
        self.losers.append(self._attempts.pop(sock))
        sock.close()


class _ExpiringMap(Generic[T]):
    """A map whose entries expire after REMEMBERED seconds. When it is full, the oldest entry is dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Hashable, tuple[T, float]] = {}

    def get(self, key: Hashable) -> T | None:
        value, until = self._entries.get(key, (None, 0.0))
        return value if time.monotonic() < until else None

    def keep(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = (value, time.monotonic() + REMEMBERED)
            if len(self._entries) > _MAX_REMEMBERED:
                del self._entries[next(iter(self._entries))]

    def forget(self, key: Hashable) -> None:
        with self._lock:
            self._entries.pop(key, None)


@contextlib.contextmanager
def _wakeup_socket(abort: Abort | None) -> Iterator[socket.socket | None]:
    """Yield a socket that becomes readable when `abort` is triggered; None without an Abort. It is one end of a socket
    pair, and `abort` shuts down the other end."""
    if abort is None:
        yield None
        return
    readable, watched = socket.socketpair()
    with readable, watched:
        abort.watch(watched)
        try:
            yield readable
        finally:
            abort.watch(None)


def _os_error(number: int) -> OSError:
    if sys.platform == "win32":
        import ctypes

        return ctypes.WinError(number)  # `os.strerror` does not know the errors of Windows' sockets
    return OSError(number, os.strerror(number))
