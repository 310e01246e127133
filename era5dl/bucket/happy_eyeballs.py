"""Connects to a host that has several addresses (Happy Eyeballs, RFC 8305).

RFC 8305 without its part on DNS: families take turns, an address that has not answered within 250 ms gets company, the
first connection wins and the others are closed. What was found out is remembered for some minutes, and only ever
changes the order: the family that answered goes first, addresses that did not answer go last. The order of the resolver
is kept otherwise, since it spreads the load over the servers.
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

OUT_OF_SOCKETS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
DELAY = 0.25  # seconds that an address has for itself; "Connection Attempt Delay" in RFC 8305
REMEMBERED = 300.0  # seconds
_MOST = 256  # names and addresses that are remembered

T = TypeVar("T")
SocketOption = tuple[int, int, int]
Entry = tuple[Any, ...]  # as `getaddrinfo` gives them: family, type, protocol, canonical name, address


class HappyEyeballs:
    """Opens TCP connections for any number of threads, and remembers which addresses answered.

    options: are set on each socket.
    """

    def __init__(self, options: Sequence[SocketOption] = ()) -> None:
        self._options = options
        self._families: _Memory[int] = _Memory()  # by host: the family that answered
        self._silent: _Memory[bool] = _Memory()  # addresses that others were faster than, or that failed

    def connect(self, host: str, port: int, timeout: float | None, abort: Abort | None = None) -> socket.socket:
        """Return a connected socket with this timeout. Raises OSError as `socket.create_connection` does, and Stopped.

        timeout: seconds for all addresses together, without the resolution of the name, which cannot be limited.
        """
        family = socket.AF_UNSPEC if socket.has_ipv6 else socket.AF_INET
        entries = self._in_order(host, socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        try:
            with _ear(abort) as ear:
                race = _Race(entries, timeout, self._options)
                won = race.run(ear, abort)
        except OSError:
            self._families.forget(host)
            for entry in entries:
                self._silent.forget(entry[4])
            raise
        self._families.keep(host, race.winner[0])
        self._silent.forget(race.winner[4])
        for entry in race.beaten:
            self._silent.keep(entry[4], True)
        won.settimeout(timeout)
        return won

    def _in_order(self, host: str, found: Sequence[Entry]) -> list[Entry]:
        families: dict[int, list[Entry]] = {}
        for entry in dict.fromkeys(found):
            families.setdefault(entry[0], []).append(entry)
        first = self._families.get(host)
        lists = [entries for _, entries in sorted(families.items(), key=lambda item: item[0] != first)]
        mixed = [entry for turn in zip_longest(*lists) for entry in turn if entry is not None]
        return sorted(mixed, key=lambda entry: self._silent.get(entry[4]) is not None)


class _Race:
    """Connections under way to several addresses. Afterwards: `winner`, and `beaten` are those that were begun before
    it in vain."""

    def __init__(self, entries: Sequence[Entry], timeout: float | None, options: Sequence[SocketOption]) -> None:
        self._waiting = list(reversed(entries))
        self._options = options
        self._give_up = float("inf") if timeout is None else time.monotonic() + timeout
        self._next_at = 0.0
        self._trying: dict[socket.socket, Entry] = {}
        self._error = OSError("the name has no address")
        self.winner: Entry = ()
        self.beaten: list[Entry] = []

    def run(self, ear: socket.socket | None, abort: Abort | None) -> socket.socket:
        with selectors.DefaultSelector() as selector:
            if ear is not None:
                selector.register(ear, selectors.EVENT_READ)
            try:
                while True:
                    self._begin_what_is_due(selector)
                    for key, _ in selector.select(self._patience()):
                        if key.fileobj is ear:
                            raise Stopped(abort.why if abort is not None else "")
                        if (won := self._judge(key.fileobj, selector)) is not None:
                            return won
            finally:
                for sock in self._trying:
                    sock.close()

    def _begin_what_is_due(self, selector: selectors.BaseSelector) -> None:
        while self._waiting and (not self._trying or time.monotonic() >= self._next_at):
            entry = self._waiting.pop()
            try:
                sock = socket.socket(*entry[:3])
                self._trying[sock] = entry
                for option in self._options:
                    sock.setsockopt(*option)
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError, InterruptedError):
                    sock.connect(entry[4])
            except OSError as error:
                self._error = error
                for sock in [sock for sock, tried in self._trying.items() if tried is entry]:
                    self._lose(sock)
                continue
            selector.register(sock, selectors.EVENT_WRITE)
            self._next_at = time.monotonic() + DELAY
        if not self._trying:
            raise self._error

    def _patience(self) -> float | None:
        """Seconds until something is to be done."""
        now = time.monotonic()
        if now >= self._give_up:
            raise TimeoutError("timed out")
        until = min(self._give_up, self._next_at if self._waiting else self._give_up)
        return None if until == float("inf") else max(0.0, until - now)

    def _judge(self, sock: Any, selector: selectors.BaseSelector) -> socket.socket | None:
        selector.unregister(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._error = _error(number)
            self._lose(sock)
            return None
        begun = list(self._trying)  # in this order
        self.beaten += [self._trying[earlier] for earlier in begun[: begun.index(sock)]]
        self.winner = self._trying.pop(sock)
        won: socket.socket = sock
        return won

    def _lose(self, sock: socket.socket) -> None:
        self.beaten.append(self._trying.pop(sock))
        sock.close()


class _Memory(Generic[T]):
    """What is known for a while; the oldest goes when there is too much of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Hashable, tuple[T, float]] = {}

    def get(self, key: Hashable) -> T | None:
        value, until = self._known.get(key, (None, 0.0))
        return value if time.monotonic() < until else None

    def keep(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = (value, time.monotonic() + REMEMBERED)
            if len(self._known) > _MOST:
                del self._known[next(iter(self._known))]

    def forget(self, key: Hashable) -> None:
        with self._lock:
            self._known.pop(key, None)


@contextlib.contextmanager
def _ear(abort: Abort | None) -> Iterator[socket.socket | None]:
    """A socket that becomes readable when the abort is tripped: one end of a pair, whose other end the abort shuts."""
    if abort is None:
        yield None
        return
    ear, bell = socket.socketpair()
    with ear, bell:
        abort.watch(bell)
        try:
            yield ear
        finally:
            abort.watch(None)


def _error(number: int) -> OSError:
    if sys.platform == "win32":
        import ctypes

        return ctypes.WinError(number)  # `os.strerror` has no words for the numbers of Windows' sockets
    return OSError(number, os.strerror(number))
