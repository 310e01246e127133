"""All kinds of faults, by name. The first docstring line of each function is its description in the table of
`python -m tests.faultlab --kinds`.

`cure` is what a client has to do about it:
  again   request the missing bytes again; the client must notice responses that do not match the request
  slower  request again later, and send fewer requests
  wait    wait until the network is back
  anew    start again with the current version of the object
  proof   detect it by a checksum of the content
  never   give up: repeating the request does not help
  none    accept the response, which is correct, but slow or unusual
"""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import TYPE_CHECKING

from tests.faultlab import s3
from tests.faultlab.bodies import First, Spoilt, streamed
from tests.faultlab.http import Answer, error_answer

if TYPE_CHECKING:
    from tests.faultlab.exchange import Exchange

Play = Callable[["Exchange"], bool]  # sends the faulty response; returns whether the connection can be used again


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: its name, what a client should do about it, and the function that causes it.

    spoils: a client that validates responses cannot use any of their bytes, which count as `Stats.destroyed`.
    """

    name: str
    cure: str
    act: Play
    spoils: bool = False

    @property
    def what(self) -> str:
        """A line of description."""
        return (self.act.__doc__ or "").strip().splitlines()[0]


KINDS: dict[str, Kind] = {}


def kind(cure: str, *, spoils: bool = False) -> Callable[[Play], Play]:
    """Decorator that registers a function under its name, with hyphens."""

    def enter(act: Play) -> Play:
        name = act.__name__.lstrip("_").replace("_", "-")
        KINDS[name] = Kind(name, cure, act, spoils)
        return act

    return enter


# -- before the first byte of the response --------------------------------------------------------------------------


@kind("again")
def reset_at_once(exchange: Exchange) -> bool:
    """The connection is reset before the first byte of the response."""
    exchange.connection.reset()
    return False


@kind("again")
def empty_reply(exchange: Exchange) -> bool:
    """The connection is closed before the first byte of the response."""
    return False


@kind("again")
def stall_before_headers(exchange: Exchange) -> bool:
    """No response for `seconds` (30), then the connection is closed."""
    exchange.connection.swallow(exchange.seconds(30))
    return False


@kind("none")
def late_first_byte(exchange: Exchange) -> bool:
    """The correct response, after `seconds` (1)."""
    exchange.connection.pause(exchange.seconds(1))
    return exchange.answer(exchange.honest())


@kind("again")
def half_header(exchange: Exchange) -> bool:
    """The connection is closed in the middle of the headers."""
    exchange.connection.send(exchange.honest().head()[:60])
    return False


@kind("again")
def garbage(exchange: Exchange) -> bool:
    """A response that is not HTTP."""
    exchange.connection.send(b"220 mail.example ESMTP ready when you are\r\n\r\n")
    return False


@kind("wait")
def outage(exchange: Exchange) -> bool:
    """For `seconds` (2) all connections are broken, and new ones are refused."""
    exchange.outage(exchange.seconds(2))
    exchange.connection.reset()
    return False


@kind("wait")
def name_lost(exchange: Exchange) -> bool:
    """DNS fails for `seconds` (2), and all connections are broken. Needs `faultlab.Names`."""
    exchange.lose_name(exchange.seconds(2))
    exchange.connection.reset()
    return False


@kind("none")
def interim(exchange: Exchange) -> bool:
    """The correct response, after an interim one: 100 Continue."""
    exchange.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    return exchange.answer(exchange.honest())


@kind("again", spoils=True)
def early_hints(exchange: Exchange) -> bool:
    """The correct response, after an interim one that many clients take for it: 103 Early Hints."""
    exchange.connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
    return exchange.answer(exchange.honest())


@kind("again")
def header_drip(exchange: Exchange) -> bool:
    """Ten bytes of the headers per second, one by one, for `seconds` (30), then the connection is closed."""
    head = exchange.honest().head()
    for at in range(min(len(head) - 3, round(exchange.seconds(30) * 10))):
        exchange.connection.pause(0.1)
        exchange.connection.send(head[at : at + 1])
    return False


@kind("again")
def endless_interim(exchange: Exchange) -> bool:
    """Only 100 Continue, twenty times per second for `seconds` (30), then the connection is closed."""
    for _ in range(round(exchange.seconds(30) * 20)):
        exchange.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.connection.pause(0.05)
    return False


# -- within the body ------------------------------------------------------------------------------------------------


@kind("again")
def body_reset(exchange: Exchange) -> bool:
    """The connection is reset after `at` bytes of the body."""
    exchange.part_of_body()
    exchange.connection.reset()
    return False


@kind("again")
def body_fin(exchange: Exchange) -> bool:
    """The connection is closed after `at` bytes of the body, over TLS with close_notify."""
    exchange.part_of_body()
    return False


@kind("again")
def ragged_end(exchange: Exchange) -> bool:
    """The connection is closed after `at` bytes of the body, over TLS without close_notify."""
    exchange.part_of_body()
    exchange.connection.drop()
    return False


@kind("again")
def broken_tls(exchange: Exchange) -> bool:
    """After `at` bytes of the body an invalid TLS record is sent; a plain connection is closed."""
    exchange.part_of_body()
    if exchange.connection.tls:
        exchange.connection.send_below_tls(b"\x17\x03\x03\x00\x20" + bytes(32))
    exchange.connection.drop()
    return False


@kind("again")
def body_stall(exchange: Exchange) -> bool:
    """After `at` bytes of the body nothing is sent for `seconds` (30), then the connection is closed."""
    exchange.part_of_body()
    exchange.connection.swallow(exchange.seconds(30))
    return False


@kind("again")
def drip(exchange: Exchange) -> bool:
    """After `at` bytes of the body four bytes per second, one by one, for `seconds` (30), then it is closed."""
    rest = exchange.part_of_body()
    for _ in range(min(len(rest), round(exchange.seconds(30) * 4))):
        exchange.connection.pause(0.25)
        exchange.send_body(First(rest, 1))
    return False


@kind("none")
def slow(exchange: Exchange) -> bool:
    """The correct response, at `rate` bytes per second."""
    return exchange.answer(exchange.honest(), speed=exchange.fault.rate)


@kind("proof")
def flipped_bit(exchange: Exchange) -> bool:
    """One bit of the byte at `at` is wrong; all other bytes are correct."""
    return _spoil(exchange, 1, mask=1)


def _spoil(exchange: Exchange, count: int, mask: int | None) -> bool:
    """Send the correct response with `count` wrong bytes."""
    answer = exchange.honest()
    if not answer.payload or not len(answer.body):
        return exchange.answer(answer)
    at = min(exchange.strike_at(answer), len(answer.body) - 1)
    exchange.spoil_object()
    return exchange.answer(answer.but(body=Spoilt(streamed(answer.body), at, count, mask)))


@kind("proof")
def flipped_at_offset(exchange: Exchange) -> bool:
    """One bit of the byte at offset `at` of the object is wrong, in every range; with times=None always."""
    answer = exchange.honest()
    span = answer.headers.get("Content-Range", "bytes 0-").removeprefix("bytes ")
    at = exchange.strike_at(answer) if exchange.fault.at is None else exchange.fault.at - int(span.split("-")[0])
    if not answer.payload or not 0 <= at < len(answer.body):
        return exchange.answer(answer)
    exchange.spoil_object()
    return exchange.answer(answer.but(body=Spoilt(streamed(answer.body), at)))


@kind("proof")
def zeroed_block(exchange: Exchange) -> bool:
    """4096 bytes from `at` on are zero, as from a disk or cache that lost a page; all others are correct."""
    return _spoil(exchange, 4096, mask=None)


@kind("again")
def extra_bytes(exchange: Exchange) -> bool:
    """The correct response, then surplus bytes on a connection that stays open."""
    exchange.answer(exchange.honest())
    exchange.connection.send(b"\x00 and more of the same" * 3)
    return True


# -- how the body is framed -----------------------------------------------------------------------------------------


@kind("none")
def no_length(exchange: Exchange) -> bool:
    """The whole body without Content-Length; it ends when the connection is closed."""
    exchange.answer(exchange.honest().but(length=None, add={"Connection": "close"}))
    return False


@kind("again")
def no_length_cut(exchange: Exchange) -> bool:
    """Only the first `at` bytes of the body, without Content-Length."""
    answer = exchange.honest()
    cut = First(streamed(answer.body), exchange.strike_at(answer))
    exchange.answer(answer.but(length=None, body=cut, add={"Connection": "close"}))
    return False


@kind("none")
def connection_close(exchange: Exchange) -> bool:
    """The correct response with `Connection: close`, then the connection is closed."""
    exchange.answer(exchange.honest().but(add={"Connection": "close"}))
    return False


@kind("none")
def chunked(exchange: Exchange) -> bool:
    """The whole body in chunks, without Content-Length."""
    return _send_chunked(exchange, whole=True)


@kind("again")
def chunked_cut(exchange: Exchange) -> bool:
    """The body in chunks; the connection is closed after `at` bytes, within a chunk."""
    return _send_chunked(exchange, whole=False)


@kind("again", spoils=True)
def gzipped(exchange: Exchange) -> bool:
    """The body compressed by a proxy, with Content-Encoding: gzip, although it was not requested."""
    answer = exchange.honest()
    body = gzip.compress(bytes(answer.body), compresslevel=0)
    return exchange.answer(answer.but(body=body, length=len(body), add={"Content-Encoding": "gzip"}))


def _send_chunked(exchange: Exchange, *, whole: bool) -> bool:
    answer = exchange.honest()
    exchange.connection.send(answer.but(length=None, add={"Transfer-Encoding": "chunked"}).head())
    exchange.connection.send(b"%x\r\n" % len(answer.body))
    size = len(answer.body)
    exchange.send_body(answer.body if whole else First(streamed(answer.body), exchange.strike_at(answer)))
    if whole:
        exchange.connection.send(b"\r\n0\r\n\r\n" if size else b"\r\n")
    return whole


# -- which bytes ----------------------------------------------------------------------------------------------------


@kind("again", spoils=True)
def range_ignored(exchange: Exchange) -> bool:
    """200 with the whole object instead of the requested range."""
    return exchange.answer(exchange.honest(range=None))


@kind("again", spoils=True)
def range_ignored_cut(exchange: Exchange) -> bool:
    """200 with the whole object instead of the range; the connection is reset after `at` bytes."""
    answer = exchange.honest(range=None)
    exchange.connection.send(answer.head())
    exchange.send_body(First(streamed(answer.body), exchange.strike_at(answer)), counted=answer.payload)
    exchange.connection.reset()
    return False


@kind("again", spoils=True)
def range_ignored_gzipped(exchange: Exchange) -> bool:
    """200 with the whole object, compressed by a proxy, with Content-Encoding: gzip and a weak ETag."""
    answer = exchange.honest(range=None)
    body = gzip.compress(bytes(answer.body), compresslevel=0)
    add = {"Content-Encoding": "gzip", "ETag": _weak(answer)}
    return exchange.answer(answer.but(body=body, length=len(body), add=add))


@kind("again", spoils=True)
def range_whole(exchange: Exchange) -> bool:
    """206 with the whole object instead of the range, and a matching Content-Range."""
    answer = exchange.honest(range=None)
    size = len(answer.body)
    add = {"Content-Range": f"bytes 0-{size - 1}/{size}"}
    return exchange.answer(answer.but(status=206, reason="Partial Content", add=add))


@kind("again", spoils=True)
def range_wrong(exchange: Exchange) -> bool:
    """206 with the first bytes of the object, as many as requested, and a matching Content-Range."""
    count = len(exchange.honest().body)
    return exchange.answer(exchange.honest(range=f"bytes=0-{count - 1}"))


@kind("again", spoils=True)
def range_short(exchange: Exchange) -> bool:
    """206 with the first half of the range, and matching Content-Range and Content-Length."""
    answer = exchange.honest()
    body = First(streamed(answer.body), len(answer.body) // 2)
    unit, _, span = answer.headers.get("Content-Range", "").partition(" ")
    add = {}
    if span:
        start, size = int(span.split("-")[0]), span.split("/")[1]
        add = {"Content-Range": f"{unit} {start}-{start + len(body) - 1}/{size}"}
    return exchange.answer(answer.but(body=body, length=len(body), add=add))


@kind("again", spoils=True)
def range_cut(exchange: Exchange) -> bool:
    """206 with the requested Content-Range, but only half of the bytes, as Content-Length states."""
    answer = exchange.honest()
    body = First(streamed(answer.body), len(answer.body) // 2)
    return exchange.answer(answer.but(body=body, length=len(body)))


@kind("again")
def range_empty(exchange: Exchange) -> bool:
    """206 with the requested Content-Range, but Content-Length: 0 and no body."""
    return exchange.answer(exchange.honest().but(body=b"", length=0))


@kind("anew", spoils=True)
def range_of_another_size(exchange: Exchange) -> bool:
    """206 with the requested bytes, but the object is one byte longer according to Content-Range."""
    answer = exchange.honest()
    span, slash, size = answer.headers.get("Content-Range", "").partition("/")
    return exchange.answer(answer.but(add={"Content-Range": f"{span}/{int(size) + 1}"} if slash else {}))


# -- errors of S3 and proxies ----------------------------------------------------------------------------------------


@kind("slower")
def slow_down(exchange: Exchange) -> bool:
    """503 SlowDown; with Retry-After if `seconds` is given."""
    return exchange.answer(_slow_down(exchange.retry_after()))


@kind("slower")
def slow_down_retry_after(exchange: Exchange) -> bool:
    """503 SlowDown with Retry-After of `seconds` (1)."""
    return exchange.answer(_slow_down({"Retry-After": str(round(exchange.seconds(1)))}))


def _slow_down(headers: dict[str, str]) -> Answer:
    return error_answer(503, "Slow Down", "SlowDown", "Please reduce your request rate.", headers=headers)


@kind("slower")
def busy_html(exchange: Exchange) -> bool:
    """503 from a proxy: HTML; with Retry-After if `seconds` is given."""
    return exchange.answer(_html(503, "Service Unavailable", exchange.retry_after()))


@kind("slower")
def too_many_requests(exchange: Exchange) -> bool:
    """429 without a body; with Retry-After if `seconds` is given."""
    return exchange.answer(Answer.of(429, "Too Many Requests", exchange.retry_after(), b""))


@kind("again")
def internal_error(exchange: Exchange) -> bool:
    """500 InternalError."""
    message = "We encountered an internal error. Please try again."
    return exchange.answer(error_answer(500, "Internal Server Error", "InternalError", message))


@kind("again")
def bad_gateway(exchange: Exchange) -> bool:
    """502 from a proxy: HTML."""
    return exchange.answer(_html(502, "Bad Gateway"))


@kind("again")
def gateway_timeout(exchange: Exchange) -> bool:
    """504 without a body."""
    return exchange.answer(Answer.of(504, "Gateway Timeout", {}, b""))


@kind("again")
def request_timeout(exchange: Exchange) -> bool:
    """408 without a body."""
    return exchange.answer(Answer.of(408, "Request Timeout", {}, b""))


@kind("again")
def s3_request_timeout(exchange: Exchange) -> bool:
    """400 RequestTimeout, and the connection is closed."""
    message = "Your socket connection to the server was not read from or written to within the timeout period."
    exchange.answer(error_answer(400, "Bad Request", "RequestTimeout", message, headers={"Connection": "close"}))
    return False


@kind("never")
def access_denied(exchange: Exchange) -> bool:
    """403 AccessDenied; with times=None always."""
    return exchange.answer(error_answer(403, "Forbidden", "AccessDenied", "Access Denied"))


@kind("never")
def archived(exchange: Exchange) -> bool:
    """403 InvalidObjectState: the object is archived, and its owner must restore it."""
    message = "The operation is not valid for the object's storage class"
    return exchange.answer(error_answer(403, "Forbidden", "InvalidObjectState", message))


@kind("never")
def no_such_key(exchange: Exchange) -> bool:
    """404 NoSuchKey."""
    return exchange.answer(s3.no_such_key(exchange.request.key))


@kind("never")
def no_such_bucket(exchange: Exchange) -> bool:
    """404 NoSuchBucket."""
    return exchange.answer(s3.no_such_bucket(exchange.request.bucket))


@kind("never")
def permanent_redirect(exchange: Exchange) -> bool:
    """301 PermanentRedirect to another region."""
    message = "The bucket you are attempting to access must be addressed using the specified endpoint."
    headers = {"x-amz-bucket-region": "eu-west-1"}
    return exchange.answer(error_answer(301, "Moved Permanently", "PermanentRedirect", message, headers=headers))


@kind("anew")
def precondition_failed(exchange: Exchange) -> bool:
    """412 PreconditionFailed, although the object is unchanged."""
    return exchange.answer(s3.precondition_failed())


@kind("anew")
def range_not_satisfiable(exchange: Exchange) -> bool:
    """416 InvalidRange, although the range is within the object."""
    asked = exchange.request.headers.get("range", "")
    return exchange.answer(s3.range_not_satisfiable(asked, exchange.size_of_object()))


@kind("again")
def login_page(exchange: Exchange) -> bool:
    """A login page instead of the bucket: 200 with HTML."""
    return exchange.answer(_html(200, "OK"))


@kind("wait")
def login_redirect(exchange: Exchange) -> bool:
    """A login page instead of the bucket: 302 to another address."""
    return exchange.answer(_html(302, "Found", {"Location": "http://127.0.0.1:9/login"}))


@kind("again")
def temporary_redirect(exchange: Exchange) -> bool:
    """307 TemporaryRedirect to the same URL, as S3 sends for new buckets."""
    target = exchange.request.target
    headers = {"Location": target}
    message = "Please re-send this request to the specified temporary endpoint."
    return exchange.answer(error_answer(307, "Temporary Redirect", "TemporaryRedirect", message, headers=headers))


@kind("never")
def blocked_page(exchange: Exchange) -> bool:
    """403 from a filtering proxy: HTML."""
    return exchange.answer(_html(403, "Forbidden"))


@kind("none")
def wrong_date(exchange: Exchange) -> bool:
    """The correct response, with a Date two hours in the future."""
    return exchange.answer(exchange.honest().but(add={"Date": formatdate(time.time() + 7200, usegmt=True)}))


@kind("again")
def error_in_200(exchange: Exchange) -> bool:
    """200 with an S3 error in XML instead of the bytes."""
    answer = error_answer(500, "", "InternalError", "We encountered an internal error. Please try again.")
    return exchange.answer(answer.but(status=200, reason="OK"))


def _html(status: int, reason: str, headers: dict[str, str] | None = None) -> Answer:
    page = f"<html><head><title>{reason}</title></head><body><h1>Welcome to the network</h1>{status}</body></html>"
    return Answer.of(status, reason, {"Content-Type": "text/html"} | (headers or {}), page.encode())


# -- versions -------------------------------------------------------------------------------------------------------


@kind("anew")
def replaced(exchange: Exchange) -> bool:
    """The object is replaced by other bytes of the same size, from this response on."""
    exchange.replace_object()
    return exchange.answer(exchange.honest())


@kind("anew", spoils=True)
def other_etag(exchange: Exchange) -> bool:
    """The correct bytes with another ETag despite If-Match; with times=None a new one each time."""
    answer = exchange.honest(if_match=None)
    return exchange.answer(answer.but(add={"ETag": f'"{exchange.number:032x}"'}))


@kind("none")
def weak_etag(exchange: Exchange) -> bool:
    """The correct response with a weak ETag."""
    answer = exchange.honest()
    return exchange.answer(answer.but(add={"ETag": _weak(answer)}))


@kind("none")
def no_etag(exchange: Exchange) -> bool:
    """The correct response without ETag; a listing without ETags."""
    answer = exchange.honest()
    if exchange.request.operation == "list":
        return exchange.answer(_rewritten(answer, rb"<ETag>[^<]*</ETag>", b""))
    return exchange.answer(_without(answer, "etag"))


@kind("none")
def no_version(exchange: Exchange) -> bool:
    """The correct response without ETag and Last-Modified."""
    return exchange.answer(_without(exchange.honest(), "etag", "last-modified"))


@kind("again")
def says_empty(exchange: Exchange) -> bool:
    """200 with Content-Length: 0 and a weak ETag, as some caches answer to HEAD."""
    answer = exchange.honest()
    return exchange.answer(answer.but(status=200, reason="OK", body=b"", length=0, add={"ETag": _weak(answer)}))


@kind("none")
def sizes_zero(exchange: Exchange) -> bool:
    """The correct listing, but all sizes are 0."""
    answer = exchange.honest()
    listing = exchange.request.operation == "list"
    return exchange.answer(_rewritten(answer, rb"<Size>\d+</Size>", b"<Size>0</Size>") if listing else answer)


def _weak(answer: Answer) -> str:
    return "W/" + next((value for name, value in answer.headers.items() if name.lower() == "etag"), '"none"')


def _without(answer: Answer, *names: str) -> Answer:
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in names}
    return replace(answer, headers=headers, raw=b"")


def _rewritten(answer: Answer, pattern: bytes, by: bytes) -> Answer:
    body = re.sub(pattern, by, bytes(answer.body))
    return answer.but(body=body, length=len(body))


# -- the connection after the response -------------------------------------------------------------------------------


@kind("none")
def closed_after(exchange: Exchange) -> bool:
    """The correct response; then the connection is closed without `Connection: close`."""
    exchange.answer(exchange.honest())
    return False


@kind("none")
def reset_after(exchange: Exchange) -> bool:
    """The correct response; then the connection is reset."""
    exchange.answer(exchange.honest())
    exchange.connection.reset()
    return False


@kind("none")
def dead_after(exchange: Exchange) -> bool:
    """The correct response; then the connection never answers, for `seconds` (30), as after a router dropped it."""
    exchange.answer(exchange.honest())
    exchange.connection.swallow(exchange.seconds(30))
    return False
