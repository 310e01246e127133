"""Just enough HTTP/1.1 for a server whose answers may be wrong on purpose: requests in, answers out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from tests.faultlab.bodies import Body


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came. Header names are in lower case; the path is `/bucket/key`."""

    method: str
    target: str
    headers: dict[str, str]
    bucket: str
    key: str
    query: dict[str, str]

    @classmethod
    def parse(cls, head: bytes) -> Request:
        """Read the head of a request, the empty line that ends it left out. Raises ValueError for anything else."""
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
        """ "get" or "head" for an object, "list" for the bucket, else "other"."""
        if self.key:
            return {"GET": "get", "HEAD": "head"}.get(self.method, "other")
        return "list" if self.method == "GET" else "other"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say. `length` is the Content-Length to claim: that of the body, another one (a lie), or None for none.

    raw: the head as another server wrote it, to be passed on byte for byte; an answer made of this one has none.
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
        """An answer whose Content-Length is true."""
        return cls(status, reason, headers, body, len(body), payload)

    def but(self, *, add: dict[str, str] | None = None, **changes: Any) -> Answer:
        """This answer with other fields, and with some headers added or replaced."""
        return replace(self, headers=self.headers | (add or {}), raw=b"", **changes)

    def head(self) -> bytes:
        """Status line and headers, with the empty line after them."""
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
    """An error as S3 writes it: XML with a code, a message and the request's id."""
    extra = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in (details or {}).items())
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{escape(message)}</Message>{extra}'
        f"<RequestId>FAULTLAB00000000</RequestId><HostId>faultlab</HostId></Error>"
    )
    return Answer.of(status, reason, COMMON | {"Content-Type": "application/xml"} | (headers or {}), body.encode())


COMMON = {"Server": "AmazonS3", "x-amz-request-id": "FAULTLAB00000000", "x-amz-id-2": "faultlab"}
