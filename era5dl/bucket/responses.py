"""Reads and checks listings, HEAD responses and error responses, with limits on their size, duration and structure.

A server in the bucket's place, such as a captive portal, may send megabytes of XML, one byte every ten seconds, or
entities that expand until the memory is full. So the limits apply before botocore parses a response, and the parsed
values are checked afterwards. An error of the parser becomes a BadResponse.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from era5dl.bucket.deadline import Deadline
from era5dl.bucket.interface import MAX_KEY_BYTES, ObjectInfo
from era5dl.errors import BadResponse, Interrupted
from era5dl.proof.etag import quoted

MAX_BYTES = 8 << 20  # a page of 1000 keys of 1 kB with each byte escaped takes half of that
MAX_TAGS = 200_000  # the same page has 20,000; each takes a hundred times its bytes in memory
MAX_ERROR_BYTES = 64 << 10
MAX_ERROR_TAGS = 500  # S3's have about ten; the parser makes one nested call per level
MAX_SECONDS = 120.0  # for a response; the socket's own timeout starts again with each byte
FLOOR_BYTES = 15 << 10  # at least this many must arrive in each FLOOR_SECONDS, until the end of the response
FLOOR_SECONDS = 15.0
MAX_ETAG = 1024
MAX_OBJECT_SIZE = 2**53  # bytes; far above S3's limit, and exact in every JSON reader
_READ_SIZE = 64 << 10
_IS_TRUNCATED = re.compile(rb"<(?:\w+:)?IsTruncated(?:\s[^>]*)?/?>([^<]*)")
_FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")  # entities need a document type, and S3 sends none


class BufferedBody:
    """A body that has already been read, with the interface of urllib3's response that botocore expects."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        """Yield all of it, once."""
        data, self._data = self._data, b""
        if data:
            yield data


def read_error_body(raw: Any, sock: socket.socket | None) -> bytes:
    """Return the body of an error response; b"" if S3 cannot have sent it, so that only the status counts."""
    try:
        return _read(raw, sock, MAX_ERROR_BYTES, MAX_ERROR_TAGS) or b""
    except Interrupted as error:
        if error.stalled:
            return b""
        raise


def read_body(raw: Any, sock: socket.socket | None) -> bytes:
    """Return the body of a listing. Raises BadResponse if S3 cannot have sent it, Interrupted if it stalls.

    sock: the socket of the response.
    """
    data = _read(raw, sock, MAX_BYTES, MAX_TAGS)
    if data is None:
        raise BadResponse("the response is larger, slower or of another kind than any response of S3")
    return data


def _read(raw: Any, sock: socket.socket | None, max_bytes: int, max_tags: int) -> bytes | None:
    """Return the rest of a urllib3 response; None, with the connection closed, if it must not be parsed."""
    received = io.BytesIO()  # returns its content without a copy
    give_up_at = time.monotonic() + MAX_SECONDS
    with Deadline(FLOOR_SECONDS, f"a part of {FLOOR_BYTES} bytes of the response") as limit:
        limit.start(sock)
        due = FLOOR_BYTES
        while data := raw.read1(_READ_SIZE):
            received.write(data)
            if received.tell() > max_bytes or time.monotonic() > give_up_at:
                raw.close()
                return None
            if received.tell() >= due:
                limit.start()
                due = received.tell() + FLOOR_BYTES
        if not limit.stop():
            raw.close()
    body = received.getvalue()
    is_refused = body.count(b"<") > max_tags or any(word in body for word in _FORBIDDEN)
    return None if is_refused else body


def check_listing(response_dict: dict[str, Any], **_: Any) -> None:
    """Check the value of IsTruncated in a listing, as a handler of botocore's event `before-parse`.

    Raises BadResponse if it is neither true nor false, or occurs twice: botocore would take the page for the last one,
    and the rest of the listing would be missing without an error.
    """
    if response_dict["status_code"] == 200:
        values = _IS_TRUNCATED.findall(response_dict["body"])
        if values and values not in ([b"true"], [b"false"]):
            raise BadResponse("the listing does not say whether it is complete")


@contextlib.contextmanager
def map_parser_errors(key: str) -> Iterator[None]:
    """Context manager that raises errors of botocore's parser as BadResponse, for instance a size that is not a
    number."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise BadResponse(f"{key}: the response is not S3's: {type(error).__name__}") from error


def object_info(key: object, size: object, etag: object, modified: object) -> ObjectInfo:
    """Return the object that a response describes. Raises BadResponse if S3 cannot have such an object.

    modified: a datetime, or seconds since 1970.
    """
    if not isinstance(key, str) or not 0 < len(key.encode("utf-8", "surrogatepass")) <= MAX_KEY_BYTES:
        raise BadResponse(f"the response has an invalid key: {str(key)[:100]!a}")
    if type(size) is not int or not 0 <= size <= MAX_OBJECT_SIZE:
        raise BadResponse(f"{key}: the response has an invalid size: {str(size)[:30]!a}")
    if not isinstance(etag, str) or len(etag) > MAX_ETAG or not etag.isprintable():
        raise BadResponse(f"{key}: the response has an invalid ETag")
    stamp = int(modified.timestamp()) if isinstance(modified, datetime) else modified if type(modified) is int else 0
    return ObjectInfo(key, size, quoted(etag), max(stamp, 0))
