"""Validates response headers: which bytes of the object follow, of which version, and how large the object is.

Listings and the headers Content-Length, Content-Range, ETag and Last-Modified all state a size or a version, and a
cache or a proxy may change any of them. If they are incomplete or contradict each other, none is accepted: the first
byte of the object is requested, since its Content-Range has the size. A remaining contradiction is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Protocol

from era5dl.bucket.interface import ObjectInfo
from era5dl.errors import BadResponse, Contradiction, ObjectChanged
from era5dl.proof.etag import etag_md5, is_weak, quoted, same_etag
from era5dl.ranges import Range

EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"  # MD5 of zero bytes
_DATE_TOLERANCE = 1  # seconds; listings have fractions of a second, headers do not
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate", "compress", "br", "zstd"})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)
_UNSATISFIED_RANGE = re.compile(r"bytes \*/(\d{1,19})", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,19}")


class Headers(Protocol):
    """Header fields of a response. Names are in lower case."""

    def get(self, name: str, default: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class ObjectHeaders:
    """Size and version of an object according to the headers of one response.

    size: in bytes; None if not stated. etag: "" if missing. modified: seconds since 1970; 0 if missing. ranged: the
    server supports ranges, so the response is from the bucket and not from a captive portal.
    """

    size: int | None
    etag: str
    modified: int
    ranged: bool = False


def from_head(status: int, headers: Headers) -> ObjectHeaders:
    """Parse the headers of a response to HEAD."""
    length = headers.get("content-length", "")
    return _object_headers(headers, int(length) if status == 200 and _DIGITS.fullmatch(length) else None)


def from_first_byte(status: int, headers: Headers) -> ObjectHeaders:
    """Parse the headers of a response to a GET of the first byte: 206, 416 for an empty object, or 200 with everything.

    Some servers, such as `rclone serve s3`, send a range with status 200 and correct Content-Range and Content-Length.
    """
    content_range = headers.get("content-range", "")
    found = _CONTENT_RANGE.fullmatch(content_range)
    if found and (status == 206 or (status == 200 and headers.get("content-length", "") == "1")):
        return replace(_object_headers(headers, int(found[3])), ranged=True)
    if status == 416 and (found := _UNSATISFIED_RANGE.fullmatch(content_range)):
        return _object_headers(headers, int(found[1]))
    return from_head(status, headers)


def reconcile(key: str, head: ObjectHeaders, first_byte: ObjectHeaders) -> ObjectHeaders:
    """Combine the headers of a HEAD and of a GET of the first byte.

    Raises BadResponse if they are incomplete. If they contradict each other, raises Contradiction if the GET was
    answered with a range, so that only this object is concerned, and BadResponse otherwise. A HEAD with 0 bytes does
    not count as a contradiction: some caches send that for every object.
    """
    if first_byte.size is None:
        raise BadResponse(f"{key}: neither HEAD nor GET states the size of the object")
    contradiction = Contradiction if first_byte.ranged else BadResponse
    if head.size not in (None, 0, first_byte.size):
        raise contradiction(f"{key}: HEAD says {head.size} bytes, GET says {first_byte.size} bytes")
    if head.etag and first_byte.etag and not same_etag(head.etag, first_byte.etag):
        raise contradiction(f"{key}: HEAD says ETag {head.etag}, GET says ETag {first_byte.etag}")
    etag = first_byte.etag if first_byte.etag and (not head.etag or is_weak(head.etag)) else head.etag
    if not etag and not first_byte.modified:
        raise BadResponse(f"{key}: the response does not describe an object")
    return ObjectHeaders(first_byte.size, etag, first_byte.modified or head.modified)


def needs_confirmation(found: ObjectHeaders) -> bool:
    """Whether a GET has to confirm these headers of a HEAD: there is no size, the size is 0 and the ETag is not the MD5
    of zero bytes, or the ETag is missing or weak."""
    if found.size == 0:
        return not proves_empty(found)
    return found.size is None or not found.etag or is_weak(found.etag)


def proves_empty(found: ObjectHeaders | ObjectInfo) -> bool:
    """Whether the size is 0 and the ETag is the MD5 of zero bytes."""
    return found.size == 0 and found.etag == f'"{EMPTY_MD5}"'


def same_version(one: ObjectInfo, other: ObjectInfo) -> bool:
    """Whether both are the same version: by size and ETag, or by size and date if neither has an ETag."""
    if one.etag or other.etag:
        return one.size == other.size and same_etag(one.etag, other.etag)
    return one.size == other.size and _same_date(one.last_modified, other.last_modified)


def has_etag(headers: Headers, obj: ObjectInfo) -> bool:
    """Whether a response has the ETag of this version."""
    return bool(obj.etag) and same_etag(_etag(headers), obj.etag)


def validate_range(status: int, headers: Headers, obj: ObjectInfo, requested: Range) -> Range:
    """Return the range of the object that the body has: the requested one, or the whole object if Range was ignored.

    A range with status 200 is accepted if Content-Range names it, since some servers send that (`rclone serve s3`).
    Raises BadResponse or ObjectChanged unless the headers prove that the body is such a range of exactly this version.
    """
    start, stop = requested
    length = headers.get("content-length", "")
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    whole = status == 200 and not found and (length == str(obj.size) or _is_proven_without_length(headers, obj))
    if not whole and not found:
        _raise_if_other_version(headers, obj)
        received = f"{status} with {length or 'an unknown number of'} bytes"
        if _is_compressed(headers):
            received = "compressed data"
        raise BadResponse(f"{obj.key}: bytes {start}-{stop - 1} were requested, received: {received}")
    first, last, size = map(int, found.groups()) if found else (0, obj.size - 1, obj.size)
    _check_version(headers, obj, size, is_object=not whole)
    found_range = (first, last + 1)
    if found_range not in (requested, (0, obj.size)):
        raise BadResponse(f"{obj.key}: bytes {start}-{stop - 1} were requested, received: {first}-{last}")
    if not length and (whole or status == 206) and not _is_compressed(headers):
        return found_range  # the body is chunked, or ends with the connection
    if length != str(last + 1 - first):
        raise BadResponse(f"{obj.key}: Content-Length for bytes {first}-{last} is {length[:20] or 'missing'}")
    return found_range


def _check_version(headers: Headers, obj: ObjectInfo, size: int, *, is_object: bool) -> None:
    """Raise ObjectChanged or BadResponse unless this is the planned version, by its ETag or, without one, by its date.

    is_object: the response certainly has bytes of the object, and is not a login page of the same length.
    """
    etag, modified = _etag(headers), _modified(headers)
    if size != obj.size or (etag and obj.etag and not same_etag(etag, obj.etag)):
        received, planned = f"ETag {etag or 'missing'}, {size} bytes", f"{obj.etag or 'no ETag'}, {obj.size} bytes"
        raise ObjectChanged(f"{obj.key}: another version of the object was received ({received}; planned: {planned})")
    if _is_compressed(headers) and (not etag or is_weak(etag)):
        raise BadResponse(f"{obj.key}: the response was compressed on its way")
    if etag and obj.etag:
        return
    if modified and obj.last_modified:
        if not _same_date(modified, obj.last_modified):
            raise ObjectChanged(f"{obj.key}: another version of the object was received (it has another date)")
    elif not etag_md5(obj.etag) and (obj.etag or not is_object):  # if the ETag is an MD5, verification will decide
        raise BadResponse(f"{obj.key}: the response does not state which version it is")


def _is_proven_without_length(headers: Headers, obj: ObjectInfo) -> bool:
    """Whether a response of unknown length is the whole planned version, whose MD5 will show if it ends early."""
    if headers.get("content-length", "") or headers.get("content-range", "") or _is_compressed(headers):
        return False
    return etag_md5(obj.etag) is not None and _etag(headers) == obj.etag


def _is_compressed(headers: Headers) -> bool:
    codings = {coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")}
    return bool(codings & _COMPRESSED)


def _raise_if_other_version(headers: Headers, obj: ObjectInfo) -> None:
    """Raise ObjectChanged if the ETag of this invalid response is the MD5 of another version."""
    etag = _etag(headers)
    if etag_md5(etag) and etag_md5(obj.etag) and not same_etag(etag, obj.etag):
        raise ObjectChanged(f"{obj.key}: another version was received (ETag {etag}; planned: {obj.etag})")


def _object_headers(headers: Headers, size: int | None) -> ObjectHeaders:
    return ObjectHeaders(size, _etag(headers), _modified(headers))


def _etag(headers: Headers) -> str:
    return quoted(headers.get("etag", ""))


def _modified(headers: Headers) -> int:
    """Return Last-Modified in seconds since 1970; 0 if it is missing or cannot be parsed."""
    try:
        moment = parsedate_to_datetime(headers.get("last-modified", ""))
        return max(int(moment.timestamp()), 0) if moment.tzinfo else 0
    except (ValueError, TypeError, OverflowError, OSError):
        return 0


def _same_date(one: int, other: int) -> bool:
    return abs(one - other) <= _DATE_TOLERANCE
