"""Minimal HTTP/1.1 of the fault lab: parses requests, and formats responses that may be invalid on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from tests.faultlab.bodies import Body


@dataclass(frozen=True, slots=True)
class Request:
    """A received request. Header names are in lower case; the path is `/bucket/key`."""

    method: str
    target: str
    headers: dict[str, str]
    bucket: str
    key: str
    query: dict[str, str]

    @classmethod
    def parse(cls, head: bytes) -> Request:
        """Parse the headers of a request, without the empty line after them. Raises ValueError if they are invalid."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"not HTTP/1: {first!r}")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path, _, query = target.partition("?")
        bucket, _, key = path.lstrip("/").partition("/")
        return cls(method, target, headers, unquote(bucket), unquote(key), dict(parse_qsl(query, True)))

    @property
    def operation(self) -> str:
        """The operation: "get" or "head" for an object, "list" for the bucket, else "other"."""
        if self.key:
            return {"GET": "get", "HEAD": "head"}.get(self.method, "other")
        return "list" if self.method == "GET" else "other"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. length: value of Content-Length, which may differ from the body's; None for no such header.

    raw: headers as received from an upstream server, which are sent unchanged; responses derived from it have none.
    """

    status: int
    reason: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = b""
    length: int | None = 0
    payload: bool = False  # whether the body is bytes of an object
    raw: bytes = b""

    @classmethod
    def of(cls, status: int, reason: str, headers: dict[str, str], body: Body, *, payload: bool = False) -> Answer:
        """Return a response with a correct Content-Length."""
        return cls(status, reason, headers, body, len(body), payload)

    def but(self, *, add: dict[str, str] | None = None, **changes: Any) -> Answer:
        """Return this response with other fields, and with headers added or replaced."""
        return replace(self, headers=self.headers | (add or {}), raw=b"", **changes)

    def head(self) -> bytes:
        """Return status line and headers, with the empty line after them."""
        if self.raw:
            return self.raw
        lines = [f"HTTP/1.1 {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.length is not None:
            lines.append(f"Content-Length: {self.length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def error_answer(
    status: int,
    reason: str,
    code: str,
    message: str,
    *,
    headers: dict[str, str] | None = None,
    details: dict[str, str] | None = None,
) -> Answer:
    """Return an error in the format of S3: XML with a code, a message and a request id."""
    extra = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in (details or {}).items())
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{escape(message)}</Message>{extra}'
        f"<RequestId>FAULTLAB00000000</RequestId><HostId>faultlab</HostId></Error>"
    )
    return Answer.of(status, reason, COMMON | {"Content-Type": "application/xml"} | (headers or {}), body.encode())


COMMON = {"Server": "AmazonS3", "x-amz-request-id": "FAULTLAB00000000", "x-amz-id-2": "faultlab"}
