"""The short way for a GET over a connection that is open already: what thousands of small objects consist of.

The first request of a connection goes urllib3's way, with resolving, TLS, proxies and whatever can go wrong there.  For
those that follow, most of what it does (and `email.parser` below it, for a dozen headers) is done again for nothing,
and that costs four times the request itself.  Whatever is unusual here, in the request or in the answer, is left to
urllib3 and to `http.client`, and the errors are those that urllib3 raises.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Mapping
from typing import Any

from urllib3 import HTTPHeaderDict
from urllib3.exceptions import ProtocolError, ReadTimeoutError, SSLError
from urllib3.response import HTTPResponse

from era5dl.turns import turn

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2
_HEAD = re.compile(rb"HTTP/1\.1 (20[06]) ([^\r\n]*)\r\n((?:" + _TOKEN + rb":[^\r\n]*\r\n)+)\r\n")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\r\n]*)\r\n")
_LENGTH = re.compile(r"[0-9]{1,19}")
_ILLEGAL = re.compile(r"[\x00-\x1f\x7f]")  # in a request


class WarmPool:
    """To be put before a pool class of urllib3."""

    def urlopen(
        self: Any,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, Any] | None = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        """The answer to a request, as urllib3's `urlopen` gives it with `preload_content=False`."""
        plain = method == "GET" and body is None and self.proxy is None and "timeout" not in options
        head = _request(self, url, headers or {}) if plain else b""
        if head:
            connection = self._get_conn()
            if connection.sock is not None:
                return _exchange(self, connection, url, head)
            self._put_conn(connection)
        with turn.away():
            return super().urlopen(method, url, body, headers, *args, **options)  # type: ignore[misc]


class Answer(http.client.HTTPResponse):
    """The head of an answer read at one glance, where it is the usual one; by `http.client` where not."""

    def begin(self) -> None:
        if self.headers is None and not self._is_usual():
            super().begin()

    def _is_usual(self) -> bool:
        found = _HEAD.match(self.fp.peek(1))  # waits for a first byte
        if not found:
            return False
        status, reason, head = found.groups()
        fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in _FIELD.findall(head)]
        by_name = {name.lower(): value for name, value in fields}
        length = by_name.get("content-length", "")
        stays = by_name.get("connection", "keep-alive").lower() == "keep-alive"
        repeated = len(by_name) < len(fields)
        if repeated or not stays or "transfer-encoding" in by_name or not _LENGTH.fullmatch(length):
            return False
        self.fp.read(found.end())
        self.version, self.status, self.reason = 11, int(status), reason.decode("latin-1").strip()
        self.code = self.status
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in fields:
            self.headers.set_raw(name, value)
        self.chunked, self.will_close, self.length = False, False, int(length)
        return True


def _request(pool: Any, url: str, headers: Mapping[str, Any]) -> bytes:
    """The bytes of a request; b"" when something in it is for urllib3 to refuse."""
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    port = "" if pool.port in (None, {"http": 80, "https": 443}[pool.scheme]) else f":{pool.port}"
    lines = [f"GET {url} HTTP/1.1", f"Host: {host}{port}"]
    for name, value in headers.items():
        lines.append(f"{name}: {value.decode('latin-1') if isinstance(value, bytes) else value}")
    if any(_ILLEGAL.search(line) for line in lines) or " " in url:
        return b""
    try:
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    except UnicodeEncodeError:
        return b""


def _exchange(pool: Any, connection: Any, url: str, head: bytes) -> HTTPResponse:
    """Send this over that connection; the answer, with its body still to be read."""
    try:
        connection.tell()
        connection.sock.sendall(head)
        answer = Answer(connection.sock, method="GET", url=url)
        with turn.away():
            answer.begin()
    except BaseException as error:
        connection.close()
        pool._put_conn(None)
        if isinstance(error, TimeoutError):
            raise ReadTimeoutError(pool, url, "the answer did not come in time") from error
        if isinstance(error, ssl.SSLError):
            raise SSLError(error) from error
        if isinstance(error, OSError | http.client.HTTPException):
            raise ProtocolError("the connection ended before an answer came", error) from error
        raise
    if answer.will_close:
        connection.close()
    return HTTPResponse(
        body=answer,
        headers=HTTPHeaderDict(answer.headers.raw_items()),
        status=answer.status,
        version=answer.version,
        reason=answer.reason,
        preload_content=False,
        decode_content=False,
        original_response=answer,
        pool=pool,
        connection=connection,
        enforce_content_length=False,
        request_method="GET",
        request_url=url,
    )
