"""Correct S3 responses to anonymous HEAD, GET and ListObjectsV2 requests, from which faults are derived."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from email.utils import formatdate
from time import gmtime, strftime
from urllib.parse import quote
from xml.sax.saxutils import escape

from tests.faultlab.http import COMMON, Answer, Request, error_answer
from tests.faultlab.objects import LAST_MODIFIED, Blob, Objects

REGION = "us-west-2"
PAGE_LIMIT = 1000  # maximum number of keys on a page, as on S3
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def honest_answer(objects: Objects, bucket: str, request: Request) -> Answer:
    """Return the response of S3. For HEAD it has the length of the body, but no body."""
    answer = _answer(objects, bucket, request)
    answer = answer.but(add={"Date": formatdate(usegmt=True)})
    return answer.but(body=b"") if request.method == "HEAD" else answer


def _answer(objects: Objects, bucket: str, request: Request) -> Answer:
    if request.method not in ("GET", "HEAD"):
        return error_answer(
            405, "Method Not Allowed", "MethodNotAllowed", "The specified method is not allowed against this resource."
        )
    if request.bucket != bucket:
        return no_such_bucket(request.bucket)
    if not request.key:
        return _listing(objects, bucket, request)
    blob = objects.get(request.key)
    if blob is None:
        return no_such_key(request.key)
    if request.headers.get("if-match", blob.etag) not in (blob.etag, "*"):
        return precondition_failed()
    return _object(blob, request)


def _object(blob: Blob, request: Request) -> Answer:
    headers = COMMON | {
        "ETag": blob.etag,
        "Last-Modified": formatdate(LAST_MODIFIED, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "binary/octet-stream",
    }
    if "partNumber" in request.query:
        span: tuple[int, int] | None = _part(blob, request.query["partNumber"])
        if blob.parts_count is not None:
            headers["x-amz-mp-parts-count"] = str(blob.parts_count)
    else:
        span = _span(request.headers.get("range", ""), blob.size)
    if span is None:
        return Answer.of(200, "OK", headers, blob.data, payload=True)
    start, stop = span
    if start >= stop:
        return range_not_satisfiable(request.headers.get("range", ""), blob.size)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size}"
    return Answer.of(206, "Partial Content", headers, blob.data[start:stop], payload=True)


def _span(header: str, size: int) -> tuple[int, int] | None:
    """Return the bytes of a Range header as [start, stop), empty if there are none; None if S3 would ignore it."""
    match = _RANGE.fullmatch(header)
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def _part(blob: Blob, number: str) -> tuple[int, int]:
    """Return the bytes of a part as [start, stop); empty if it does not exist. A plain object has a single part."""
    if not number.isdigit() or not 1 <= int(number) <= (blob.parts_count or 1):
        return 0, 0
    length = blob.part_size or blob.size
    start = (int(number) - 1) * length
    return start, min(blob.size, start + length)


def _listing(objects: Objects, bucket: str, request: Request) -> Answer:
    """Return a page of ListObjectsV2, or the response of HeadBucket."""
    if request.method == "HEAD":
        return Answer(200, "OK", COMMON | {"x-amz-bucket-region": REGION})
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    token = query.get("continuation-token", "")
    after = urlsafe_b64decode(token).decode() if token else query.get("start-after", "")
    limit = min(PAGE_LIMIT, int(query.get("max-keys") or PAGE_LIMIT))
    page = objects.page(prefix, delimiter, after, limit)
    url = query.get("encoding-type") == "url"

    def name(text: str) -> str:
        return quote(text, safe="/") if url else escape(text)

    stamp = strftime("%Y-%m-%dT%H:%M:%S.000Z", gmtime(LAST_MODIFIED))
    contents = "".join(
        f"<Contents><Key>{name(key)}</Key><LastModified>{stamp}</LastModified>"
        f"<ETag>{escape(blob.etag, {chr(34): '&quot;'})}</ETag><Size>{blob.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key, blob in page.entries
    )
    folders = "".join(f"<CommonPrefixes><Prefix>{name(x)}</Prefix></CommonPrefixes>" for x in page.common_prefixes)
    more = ""
    if page.next_after is not None:
        following = urlsafe_b64encode(page.next_after.encode()).decode()
        more = f"<NextContinuationToken>{following}</NextContinuationToken>"
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{escape(bucket)}</Name><Prefix>{name(prefix)}</Prefix><MaxKeys>{limit}</MaxKeys>"
        f"<KeyCount>{len(page.entries) + len(page.common_prefixes)}</KeyCount>"
        f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{'<EncodingType>url</EncodingType>' if url else ''}"
        f"{more}{contents}{folders}</ListBucketResult>"
    )
    return Answer.of(200, "OK", COMMON | {"Content-Type": "application/xml"}, body.encode())


def no_such_bucket(bucket: str) -> Answer:
    return error_answer(
        404, "Not Found", "NoSuchBucket", "The specified bucket does not exist", details={"BucketName": bucket}
    )


def no_such_key(key: str) -> Answer:
    return error_answer(404, "Not Found", "NoSuchKey", "The specified key does not exist.", details={"Key": key})


def precondition_failed() -> Answer:
    return error_answer(
        412,
        "Precondition Failed",
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        details={"Condition": "If-Match"},
    )


def range_not_satisfiable(asked: str, size: int) -> Answer:
    return error_answer(
        416,
        "Requested Range Not Satisfiable",
        "InvalidRange",
        "The requested range is not satisfiable",
        headers={"Content-Range": f"bytes */{size}"},
        details={"RangeRequested": asked, "ActualObjectSize": str(size)},
    )
