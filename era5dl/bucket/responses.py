"""Answers that are not an object's bytes: listings, descriptions, errors. Read whole, but never without end.

Whoever answers in the bucket's place may send megabytes of XML, or a byte every ten seconds for ever, or a document
whose entities double until memory is gone. So it is bounded here, before any parser sees it: in bytes, in time, and by
what S3 never sends. And what the parser trips over all the same is the answer's fault, not ours.
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
from era5dl.bucket.interface import LONGEST_KEY, ObjectInfo
from era5dl.errors import BadResponse, Interrupted
from era5dl.proof.etag import quoted

MOST_BYTES = 8 << 20  # a page of 1000 keys of 1 kB, each byte of them escaped, takes half of that
MOST_TAGS = 200_000  # the same page has 20,000; each costs a hundred times its bytes
MOST_ERROR_BYTES = 64 << 10
MOST_ERROR_TAGS = 500  # S3's have some ten; the parser descends into them one function call a level
LONGEST = 120.0  # seconds for all of an answer; with each byte the socket's own timeout begins anew
FLOOR_WINDOW = 15.0  # seconds for each FLOOR_BYTES of an answer, and for its last ones
FLOOR_BYTES = 15 << 10
LONGEST_ETAG = 1024
LARGEST = 2**53  # bytes of an object: far above S3's limit, and exact in every JSON reader
_GULP = 64 << 10
_IS_TRUNCATED = re.compile(rb"<(?:\w+:)?IsTruncated(?:\s[^>]*)?/?>([^<]*)")
_FOREIGN = (b"<!DOCTYPE", b"<!ENTITY")  # only a document type can make entities, and S3 writes none


class BufferedBody:
    """A body that has come already, as botocore wants to read it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        """All of it, once."""
        data, self._data = self._data, b""
        if data:
            yield data


def read_error(raw: Any, sock: socket.socket | None) -> bytes:
    """The body of an answer that is an error; b"", so that its status speaks alone, where it is none of S3's."""
    try:
        return _read(raw, sock, MOST_ERROR_BYTES, MOST_ERROR_TAGS) or b""
    except Interrupted as error:
        if error.stalled:
            return b""
        raise


def read_answer(raw: Any, sock: socket.socket | None) -> bytes:
    """The body of a listing or a description. Raises BadResponse when it is longer than any that S3 sends, Interrupted
    when next to nothing comes.

    sock: the socket over which it comes.
    """
    data = _read(raw, sock, MOST_BYTES, MOST_TAGS)
    if data is None:
        raise BadResponse("the answer is longer, slower or of another kind than any that S3 gives")
    return data


def _read(raw: Any, sock: socket.socket | None, most: int, most_tags: int) -> bytes | None:
    """The rest of a urllib3 response; None, and its connection closed, when it is not one that we want to parse."""
    gathered = io.BytesIO()  # gives what it has gathered without a copy
    give_up = time.monotonic() + LONGEST
    with Deadline(FLOOR_WINDOW, f"a part of {FLOOR_BYTES} bytes of the answer") as limit:
        limit.begin(sock)
        due = FLOOR_BYTES
        while piece := raw.read1(_GULP):
            gathered.write(piece)
            if gathered.tell() > most or time.monotonic() > give_up:
                raw.close()
                return None
            if gathered.tell() >= due:
                limit.begin()
                due = gathered.tell() + FLOOR_BYTES
        if not limit.end():
            raw.close()
    data = gathered.getvalue()
    strange = data.count(b"<") > most_tags or any(word in data for word in _FOREIGN)
    return None if strange else data


def check_listing(response_dict: dict[str, Any], **_: Any) -> None:
    """Handle botocore's event `before-parse` of a listing. Raises BadResponse where IsTruncated is neither true nor
    false, or is there twice: botocore would take the page for the last one, and the listing would just be shorter.
    """
    if response_dict["status_code"] == 200:
        said = _IS_TRUNCATED.findall(response_dict["body"])
        if said and said not in ([b"true"], [b"false"]):
            raise BadResponse("the listing does not say whether there is more of it")


@contextlib.contextmanager
def parsing(key: str) -> Iterator[None]:
    """Inside, whatever botocore trips over in an answer (a size that is no number, a date in no calendar, nesting
    without end) leaves as BadResponse."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise BadResponse(f"{key}: the answer is not S3's: {type(error).__name__}") from error


def described(key: object, size: object, etag: object, modified: object) -> ObjectInfo:
    """One object as an answer describes it. Raises BadResponse where no object of S3 can be like that.

    modified: a datetime, or seconds since 1970.
    """
    if not isinstance(key, str) or not 0 < len(key.encode("utf-8", "surrogatepass")) <= LONGEST_KEY:
        raise BadResponse(f"a key in the answer is none: {str(key)[:100]!a}")
    if type(size) is not int or not 0 <= size <= LARGEST:
        raise BadResponse(f"{key}: an object cannot have {str(size)[:30]!a} bytes")
    if not isinstance(etag, str) or len(etag) > LONGEST_ETAG or not etag.isprintable():
        raise BadResponse(f"{key}: the answer's ETag is none")
    stamp = int(modified.timestamp()) if isinstance(modified, datetime) else modified if type(modified) is int else 0
    return ObjectInfo(key, size, quoted(etag), max(stamp, 0))
