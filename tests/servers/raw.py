"""Raw HTTP client: returns every byte that the server sent, and how the connection ended."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit


@dataclass(frozen=True, slots=True)
class Heard:
    """Everything a server sent. took: seconds.

    ended: "open" (the response is complete and the connection open), "fin", "reset", "ragged" (TLS without a closing
    alert), "broken" (invalid TLS) or "silent" (nothing more arrived in time).
    """

    raw: bytes
    ended: str
    took: float

    @property
    def status(self) -> int:
        """The status code; 0 when the headers are incomplete."""
        return int(self.raw.split(b" ", 2)[1]) if b"\r\n\r\n" in self.raw else 0

    @property
    def headers(self) -> dict[str, str]:
        """By name in lower case."""
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]


class RawClient:
    """One connection. `ask` sends a request and reads a complete response, for at most `patience` seconds."""

    def __init__(self, endpoint_url: str, ca_file: Path | None = None, *, patience: float = 5.0) -> None:
        where = urlsplit(endpoint_url)
        assert where.hostname is not None and where.port is not None
        self._patience = patience
        self._sock = socket.create_connection((where.hostname, where.port), timeout=patience)
        if ca_file is not None:
            context = ssl.create_default_context(cafile=str(ca_file))
            plain = self._sock
            self._sock = context.wrap_socket(plain, server_hostname=where.hostname, suppress_ragged_eofs=False)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def ask(
        self, path: str, *, method: str = "GET", linger: float = 0.0, headers: dict[str, str] | None = None
    ) -> Heard:
        """Send a request. linger: seconds to keep reading after a complete response, for surplus bytes."""
        lines = [f"{method} {quote(path, safe='/?=&%-')} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        began, raw = time.monotonic(), b""
        try:
            self._sock.settimeout(self._patience)
            self._sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            while True:
                whole = _is_whole(raw, method)
                if whole and not linger:
                    return Heard(raw, "open", time.monotonic() - began)
                if whole:
                    self._sock.settimeout(linger)
                data = self._sock.recv(65536)
                if not data:
                    return Heard(raw, "fin", time.monotonic() - began)
                raw += data
        except TimeoutError:
            ended = "open" if _is_whole(raw, method) else "silent"
        except ssl.SSLEOFError:
            ended = "ragged"
        except ssl.SSLError:
            ended = "broken"
        except (ConnectionResetError, BrokenPipeError):
            ended = "reset"
        return Heard(raw, ended, time.monotonic() - began)


def _is_whole(raw: bytes, method: str) -> bool:
    """Return whether these bytes are a complete response according to its headers."""
    head, end, body = raw.partition(b"\r\n\r\n")
    if not end:
        return False
    head = head.lower()
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    if b"content-length: " not in head:
        return False
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    return method == "HEAD" or len(body) >= length
