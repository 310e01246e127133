"""Validates response headers: which bytes of the object follow, of which version, and the object's size.

Size and version are said in many places: by a listing, by HEAD, by Content-Range, by ETag and by Last-Modified.  A
cache or a proxy may change any of them.  Where they contradict one another none is believed: the object is asked for a
single byte, whose Content-Range tells the size, or the contradiction becomes the error.
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

EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"  # of no bytes
SAMPLE = "bytes=0-0"  # the range of a single byte
_CLOCK_GRAIN = 1  # seconds; listings give fractions of them, headers do not
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate", "compress", "br", "zstd"})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)
_EMPTY_RANGE = re.compile(r"bytes \*/(\d{1,19})", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,19}")


class Headers(Protocol):
    """Header fields of a response by their names in lower case."""

    def get(self, name: str, default: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Facts:
    """What one answer says of an object. size: None, etag: "", modified: 0 where it does not say. ranged: it knows
    ranges, so that it is the object that answers and no portal in its place."""

    size: int | None
    etag: str
    modified: int
    ranged: bool = False


def described(status: int, headers: Headers) -> Facts:
    """What the answer to a HEAD says."""
    length = headers.get("content-length", "")
    return _facts(headers, int(length) if status == 200 and _DIGITS.fullmatch(length) else None)


def sampled(status: int, headers: Headers) -> Facts:
    """What the answer to a GET of one byte says: 206 with the size, 416 where there is none, or 200 with all.

    Some servers, such as `rclone serve s3`, send a part under 200, with the right Content-Range and Content-Length.
    """
    place = headers.get("content-range", "")
    found = _CONTENT_RANGE.fullmatch(place)
    if found and (status == 206 or (status == 200 and headers.get("content-length", "") == "1")):
        return replace(_facts(headers, int(found[3])), ranged=True)
    if status == 416 and (found := _EMPTY_RANGE.fullmatch(place)):
        return _facts(headers, int(found[1]))
    return described(status, headers)


def agreed(key: str, head: Facts, sample: Facts) -> Facts:
    """What a HEAD and a sample together say. Raises BadResponse when they say too little or contradict each other,
    Contradiction where that is about this object alone.

    A HEAD of 0 bytes is no contradiction: some caches answer each HEAD so, and the byte that came shows that there are
    some.
    """
    if sample.size is None:
        raise BadResponse(f"{key}: neither HEAD nor GET says how large the object is")
    contradicted = Contradiction if sample.ranged else BadResponse
    if head.size not in (None, 0, sample.size):
        raise contradicted(f"{key}: HEAD says {head.size} bytes, GET says {sample.size} bytes")
    if head.etag and sample.etag and not same_etag(head.etag, sample.etag):
        raise contradicted(f"{key}: HEAD says ETag {head.etag}, GET says ETag {sample.etag}")
    etag = sample.etag if sample.etag and (not head.etag or is_weak(head.etag)) else head.etag
    if not etag and not sample.modified:
        raise BadResponse(f"{key}: the answer does not describe an object")
    return Facts(sample.size, etag, sample.modified or head.modified)


def is_doubtful(facts: Facts) -> bool:
    """Whether this is to be asked for in another way before it is believed: no size, a size of 0 that no MD5 of nothing
    confirms, an ETag that is missing or weak."""
    if facts.size == 0:
        return not proves_empty(facts)
    return facts.size is None or not facts.etag or is_weak(facts.etag)


def proves_empty(facts: Facts | ObjectInfo) -> bool:
    """Whether an object of 0 bytes is so by its ETag, too: the MD5 of nothing."""
    return facts.size == 0 and facts.etag == f'"{EMPTY_MD5}"'


def same_version(one: ObjectInfo, other: ObjectInfo) -> bool:
    """Whether both describe one version: by size and ETag, or where neither has an ETag by size and date."""
    if one.etag or other.etag:
        return one.size == other.size and same_etag(one.etag, other.etag)
    return one.size == other.size and _same_moment(one.last_modified, other.last_modified)


def span_of_body(status: int, headers: Headers, obj: ObjectInfo, asked: Range) -> Range:
    """Which bytes of the object the body of this answer is: those asked for, or all of it where Range was ignored.

    A part may come under 200, too, if Content-Range names it: some servers do that, such as `rclone serve s3`.
    Raises BadResponse or ObjectChanged unless the headers can only belong to such bytes of exactly this version.
    """
    start, stop = asked
    length = headers.get("content-length", "")
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    whole = status == 200 and not found and (length == str(obj.size) or _is_proven_without_length(headers, obj))
    if not whole and not found:
        _other_version(headers, obj)
        how = "compressed" if _is_compressed(headers) else f"{status} with {length or 'an unknown number of'} bytes"
        raise BadResponse(f"{obj.key}: bytes {start}-{stop - 1} were asked for, something else came: {how}")
    first, last, total = map(int, found.groups()) if found else (0, obj.size - 1, obj.size)
    _check_version(headers, obj, total, surely=not whole)
    came = (first, last + 1)
    if came not in (asked, (0, obj.size)):
        raise BadResponse(f"{obj.key}: bytes {start}-{stop - 1} were asked for, {first}-{last} came")
    if not length and (whole or status == 206) and not _is_compressed(headers):
        return came  # in chunks, or up to the end of the connection
    if length != str(last + 1 - first):
        raise BadResponse(
            f"{obj.key}: bytes {first}-{last} came, and its Content-Length says {length[:20] or 'nothing'}"
        )
    return came


def _check_version(headers: Headers, obj: ObjectInfo, size: int, *, surely: bool) -> None:
    """Raise unless this is the version that was planned, said by its ETag, or by its date where there is no ETag.

    surely: that the object answers and nothing in its place, such as a login page of the same length.
    """
    etag, modified = _etag(headers), _modified(headers)
    said = f"ETag {etag or 'missing'}, {size} bytes; planned were {obj.etag or 'no ETag'}, {obj.size} bytes"
    if size != obj.size or (etag and obj.etag and not same_etag(etag, obj.etag)):
        raise ObjectChanged(f"{obj.key}: another version of the object came ({said})")
    if _is_compressed(headers) and (not etag or is_weak(etag)):
        raise BadResponse(f"{obj.key}: the answer was compressed on its way")
    if etag and obj.etag:
        return
    if modified and obj.last_modified:
        if not _same_moment(modified, obj.last_modified):
            raise ObjectChanged(f"{obj.key}: another version of the object came (it has another date)")
    elif not etag_md5(obj.etag) and (obj.etag or not surely):  # an MD5 will decide
        raise BadResponse(f"{obj.key}: the answer does not say which version it is")


def _is_proven_without_length(headers: Headers, obj: ObjectInfo) -> bool:
    """Whether an answer of unknown length is the pinned version in full, and an MD5 will show where it ends wrongly."""
    if headers.get("content-length", "") or headers.get("content-range", "") or _is_compressed(headers):
        return False
    return etag_md5(obj.etag) is not None and _etag(headers) == obj.etag


def _is_compressed(headers: Headers) -> bool:
    codings = {coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")}
    return bool(codings & _COMPRESSED)


def _other_version(headers: Headers, obj: ObjectInfo) -> None:
    """Raise ObjectChanged when the answer, whatever else is wrong with it, is another version as S3 names them."""
    etag = _etag(headers)
    if etag_md5(etag) and etag_md5(obj.etag) and not same_etag(etag, obj.etag):
        raise ObjectChanged(f"{obj.key}: another version of the object came (ETag {etag}; planned was {obj.etag})")


def _facts(headers: Headers, size: int | None) -> Facts:
    return Facts(size, _etag(headers), _modified(headers))


def _etag(headers: Headers) -> str:
    return quoted(headers.get("etag", ""))


def _modified(headers: Headers) -> int:
    """Last-Modified in seconds since 1970; 0 where there is none that can be read."""
    try:
        moment = parsedate_to_datetime(headers.get("last-modified", ""))
        return max(int(moment.timestamp()), 0) if moment.tzinfo else 0
    except (ValueError, TypeError, OverflowError, OSError):
        return 0


def _same_moment(one: int, other: int) -> bool:
    return abs(one - other) <= _CLOCK_GRAIN
