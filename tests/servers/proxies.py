"""Proxies for tests: SOCKS 4 and 5, and HTTP with CONNECT, plain or over TLS, which can misbehave on request."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from types import TracebackType


class _Proxy:
    """A proxy on 127.0.0.1. Use it as a context manager.

    names: host names that it resolves, and their addresses.
    """

    def __init__(
        self, names: dict[str, tuple[str, int]] | None = None, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.names = names or {}
        self.asked: list[tuple[str, int]] = []  # hosts and ports of the requests
        self.logins: list[tuple[str, str]] = []  # user names and passwords
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)

    @property
    def taken(self) -> int:
        """Number of connections so far."""
        return len(self._open)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self):  # type: ignore[no-untyped-def] - of the class that it is
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for sock in self._open:
            sock.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(sock)
            threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            sock.settimeout(30)
            if self._tls is not None:
                sock = self._without_tls(self._tls.wrap_socket(sock, server_side=True))
            self.talk(sock)
        with contextlib.suppress(OSError):
            sock.close()

    def _without_tls(self, sock: ssl.SSLSocket) -> socket.socket:
        """Return a plain socket for the content of a TLS connection.

        One thread both reads and writes the TLS connection: OpenSSL sends wrong bytes when two threads do so at once.
        """
        plain, inner = socket.socketpair()
        plain.settimeout(30)
        self._open += [sock, plain, inner]
        threading.Thread(target=_copy_both_ways, args=(sock, inner), daemon=True).start()
        return plain

    def talk(self, sock: socket.socket) -> None:
        raise NotImplementedError  # each kind of proxy has its own

    def reach(self, host: str, port: int) -> socket.socket:
        self.asked.append((host, port))
        return socket.create_connection(self.names.get(host, (host, port)), timeout=10)


class Socks(_Proxy):
    """SOCKS proxy. login: the only accepted (user, password). reply: a code of RFC 1928 instead of 0 (success).

    manner: "deaf" (accepts connections and sends nothing), "drip" (sends a byte every `drip` seconds, without end),
    "hang up" (closes at once) or "nonsense" (sends something that is not SOCKS); "" behaves well.
    """

    def __init__(
        self,
        names: dict[str, tuple[str, int]] | None = None,
        *,
        login: tuple[str, str] | None = None,
        reply: int = 0,
        manner: str = "",
        drip: float = 0.2,
        port: int = 0,
    ) -> None:
        super().__init__(names, port=port)
        self.login, self.reply, self.manner, self.drip = login, reply, manner, drip
        self.ended = threading.Event()

    def __exit__(self, *args: object) -> None:
        self.ended.set()
        super().__exit__(None, None, None)

    def talk(self, sock: socket.socket) -> None:
        if self.manner == "deaf":
            self.ended.wait(60)
            return
        if self.manner == "hang up":
            return
        version = _exactly(sock, 1)[0]
        if self.manner == "nonsense":
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        if self.manner == "drip":
            _exactly(sock, 1)
            sock.sendall(b"\x05\x00")
            sock.sendall(b"\x05\x00\x00\x03\xff")  # an address of 255 letters
            while not self.ended.wait(self.drip):
                sock.sendall(b"x")
            return
        there = self._socks5(sock) if version == 5 else self._socks4(sock)
        if there is not None:
            with there:
                _pump(sock, there)

    def _socks5(self, sock: socket.socket) -> socket.socket | None:
        methods = _exactly(sock, _exactly(sock, 1)[0])
        wanted = 2 if self.login else 0
        if wanted not in methods:
            sock.sendall(b"\x05\xff")
            return None
        sock.sendall(bytes((5, wanted)))
        if self.login:
            _exactly(sock, 1)
            user = _exactly(sock, _exactly(sock, 1)[0]).decode()
            password = _exactly(sock, _exactly(sock, 1)[0]).decode()
            self.logins.append((user, password))
            sock.sendall(bytes((1, (user, password) != self.login)))
            if (user, password) != self.login:
                return None
        _, _, _, kind = _exactly(sock, 4)
        if kind == 3:
            host = _exactly(sock, _exactly(sock, 1)[0]).decode()
        else:
            family, length = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, _exactly(sock, length))
        (port,) = struct.unpack(">H", _exactly(sock, 2))
        if self.reply:
            self.asked.append((host, port))
            sock.sendall(bytes((5, self.reply, 0, 1)) + bytes(6))
            return None
        there = self.reach(host, port)
        sock.sendall(b"\x05\x00\x00\x01" + bytes(6))
        return there

    def _socks4(self, sock: socket.socket) -> socket.socket | None:
        _, port, address = struct.unpack(">BH4s", _exactly(sock, 7))
        _until_zero(sock)
        is_name = address[:3] == bytes(3) and address[3]
        there = self.reach(_until_zero(sock).decode() if is_name else socket.inet_ntoa(address), port)
        sock.sendall(b"\x00\x5a" + bytes(6))
        return there


class Http(_Proxy):
    """HTTP proxy. status: sent instead of connecting. authorization: the only accepted Proxy-Authorization."""

    def __init__(
        self,
        names: dict[str, tuple[str, int]] | None = None,
        *,
        authorization: str = "",
        status: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(names, tls)
        self.authorization, self.status = authorization, status

    def talk(self, sock: socket.socket) -> None:
        there: socket.socket | None = None
        while head := _head(sock):
            lines = head.decode("latin-1").split("\r\n")
            method, target, _ = lines[0].split(" ")
            said = [line.partition(": ")[2] for line in lines if line.lower().startswith("proxy-authorization:")]
            status = self.status
            if self.authorization and said != [self.authorization]:
                status = "407 Proxy Authentication Required"
            if status:
                sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
            place, _, path = target.removeprefix("http://").partition("/")
            host, _, port = place.rpartition(":") if ":" in place else (place, "", "80")
            if method == "CONNECT":
                with self.reach(host, int(port)) as there:
                    sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    _pump(sock, there)
                return
            if there is None:
                there = self.reach(host, int(port))
                self._open.append(there)
                threading.Thread(target=_copy, args=(there, sock), daemon=True).start()
            kept = [line for line in lines[1:] if not line.lower().startswith("proxy-")]
            there.sendall("\r\n".join([f"{method} /{path} HTTP/1.1", *kept, "\r\n"]).encode("latin-1"))


def _head(sock: socket.socket) -> bytes:
    """Return the headers of the next request, which has no body; b"" when there is none."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (data := sock.recv(65_536)):
            return b""
        head += data
    return head[:-4]


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _until_zero(sock: socket.socket) -> bytes:
    data = b""
    while (byte := _exactly(sock, 1)) != b"\0":
        data += byte
    return data


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Copy bytes in both directions until both ends are closed."""
    back = threading.Thread(target=_copy, args=(other, one), daemon=True)
    back.start()
    _copy(one, other)
    back.join(30)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _copy_both_ways(tls: ssl.SSLSocket, plain: socket.socket) -> None:
    """Copy bytes in both directions until one end is closed, and close both."""
    with tls, plain, contextlib.suppress(OSError, ValueError):
        while True:
            ready = [tls] if tls.pending() else select.select([tls, plain], [], [], 30)[0]
            for source in ready:
                data = source.recv(65_536)
                if not data:
                    return
                (plain if source is tls else tls).sendall(data)
