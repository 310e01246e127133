"""The bucket: listings, descriptions and byte ranges over one pool of connections, straight where they are as usual.

Where they are not, `era5dl.bucket.client` is asked: boto3, which takes a quarter of a second to be there.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from era5dl.bucket import list_objects, response_headers
from era5dl.bucket.cancellation import Abort, abort_of_this_thread, aborting
from era5dl.bucket.connect import Dialer
from era5dl.bucket.error_mapping import translated
from era5dl.bucket.get_object import PLAIN, Get, if_match
from era5dl.bucket.http_session import Transport
from era5dl.bucket.interface import MOST_OBJECTS, ObjectInfo, Parts
from era5dl.bucket.proxy import proxy_for
from era5dl.bucket.responses import described, parsing, read_error
from era5dl.bucket.tls_trust import Trust
from era5dl.errors import BadResponse
from era5dl.proof.etag import quoted
from era5dl.settings import Settings

if TYPE_CHECKING:
    from era5dl.bucket.client import Client

MOST_IDLE_PAGES = 20  # in a row that bring nothing new; a few happen where much was deleted
_NO_HEAD = (405, 501)  # what is said where HEAD is not allowed or not known
_DIGITS = re.compile(r"[0-9]{1,19}")
# Names and regions for which there is but one rule; us-east-1 is the exception to it.
_PLAIN_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]")
_PLAIN_REGION = re.compile(r"(?!us-east-1)(?:af|ap|ca|eu|il|me|mx|sa|us)-[a-z]+-\d")


class S3Bucket:
    """`store.Bucket` for S3 and what speaks like it. Make one per process."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.bucket
        self._settings = settings
        self._base = address_of(settings)
        self._transport = Transport(
            dialer=Dialer(proxy_for(self._base, settings.proxy), Trust(settings.ca_bundle)),
            timeout=(settings.connect_timeout, settings.read_timeout),
            pool_size=settings.pool_size,
        )
        self._made: Client | None = None
        self._making = threading.Lock()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        where = f"{self.name}/{prefix}"  # named also where the prefix is empty
        with translated(where), parsing(where):
            count = idle = 0
            before: frozenset[str] = frozenset()
            for page in self._pages(prefix):
                if "IsTruncated" not in page and page.get("Name") != self.name:
                    raise BadResponse(f"{where}: the answer is not a listing of this bucket")
                found: list[ObjectInfo] = page["Contents"]
                if not all(obj.key.startswith(prefix) for obj in found):
                    raise BadResponse(f"{where}: the listing has keys that were not asked for")
                keys = frozenset(obj.key for obj in found)
                count, idle = count + len(found), 0 if keys - before else idle + 1
                if count > MOST_OBJECTS or idle > MOST_IDLE_PAGES:
                    raise BadResponse(f"{where}: this listing has no end")
                before = keys
                yield from found

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        with aborting(abort), translated(key), parsing(key):
            answer = self._send("HEAD", self._base + quote(key, safe="/~"))
            if answer.status_code in (200, *_NO_HEAD):
                found = response_headers.described(answer.status_code, answer.headers)
            else:
                found = self._elsewhere(key, answer)
            if response_headers.is_doubtful(found):
                found = response_headers.agreed(key, found, self._sampled(key))
            return described(key, found.size, found.etag, found.modified)

    def _elsewhere(self, key: str, answer: AWSResponse) -> response_headers.Facts:
        """What is said where the answer to a HEAD redirects to. Raises what any other answer means."""
        found = self._client.judge(answer, "head_object", Key=key)
        if "ETag" not in found or "ContentLength" not in found:
            raise BadResponse(f"{key}: the answer does not describe an object")
        stamp = found.get("LastModified")
        return response_headers.Facts(
            found["ContentLength"], quoted(found["ETag"]), int(stamp.timestamp()) if stamp else 0
        )

    def _sampled(self, key: str) -> response_headers.Facts:
        """What a GET of the object's first byte says; the byte itself is not read."""
        raw = self._transport.get(self._base + quote(key, safe="/~"), {**PLAIN, **response_headers.SAMPLE})
        try:
            if raw.status not in (200, 206, 416):
                abort = abort_of_this_thread()
                body = read_error(raw, abort.socket if abort else None)
                raise self._client.refusal(raw.status, dict(raw.headers), body)
            found = response_headers.sampled(raw.status, raw.headers)
            if raw.status == 200 and not found.etag and raw.headers.get("Content-Type", "").startswith("text/html"):
                raise BadResponse(f"{key}: a web page came instead of the object")
            return found
        finally:
            raw.close()

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> Parts | None:
        with aborting(abort), translated(obj.key), parsing(obj.key):
            answer = self._send("HEAD", f"{self._base}{quote(obj.key, safe='/~')}?partNumber=1", if_match(obj))
            count, length = (answer.headers.get(name, "0") for name in ("x-amz-mp-parts-count", "Content-Length"))
            if answer.status_code in (200, 206) and _DIGITS.fullmatch(count) and _DIGITS.fullmatch(length):
                return Parts(int(count), int(length)) if int(count) and int(length) else None
            pinned = {"IfMatch": obj.etag} if if_match(obj) else {}
            found = self._client.judge(answer, "head_object", Key=obj.key, PartNumber=1, **pinned)
        count, size = found.get("PartsCount"), found.get("ContentLength")
        return Parts(count, size) if count and size else None

    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> Get:
        return Get(
            self._transport,
            self._base,
            obj,
            (start, stop),
            abort=abort,
            timeout=self._settings.read_timeout,
            refuse=lambda *answer: self._client.refusal(*answer),
        )

    def drop_idle_connections(self) -> None:
        self._transport.close()

    def _pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        """The pages of a listing, under S3's names; see `listing.read_page`."""
        token: str | None = None
        while True:
            page = self._page(prefix, token)
            yield page
            if not page.get("IsTruncated"):
                return
            last, token = token, page.get("NextContinuationToken")
            if not token or token == last:
                raise BadResponse(f"{self.name}/{prefix}: there is more in this listing, and no way to get at it")

    def _page(self, prefix: str, token: str | None) -> dict[str, Any]:
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        query |= {"continuation-token": token} if token else {}
        is_path = self._base.count("/") > 3  # http://host/bucket/: a bucket in a path has no slash behind it
        where = self._base[:-1] if is_path else self._base
        answer = self._send("GET", f"{where}?{urlencode(query, quote_via=quote, safe='~')}")
        page = list_objects.page_of(answer.status_code, answer.content)
        if page is not None:
            return page
        asked = {"ContinuationToken": token} if token else {}
        return self._client.judge(answer, "list_objects_v2", Prefix=prefix, **asked)

    def _send(self, method: str, url: str, more: dict[str, str] | None = None) -> AWSResponse:
        return self._transport.send(AWSPreparedRequest(method, url, {**PLAIN, **(more or {})}, None, False))

    @property
    def _client(self) -> Client:
        """Made when it is first needed."""
        with self._making:
            if self._made is None:
                from era5dl.bucket.client import Client

                self._made = Client(self._settings, self._transport)
            return self._made


def address_of(settings: Settings) -> str:
    """The URL under which the objects of the bucket are, with a slash at its end. Where more than one rule might hold,
    boto3 tells."""
    if settings.endpoint_url:
        return f"{settings.endpoint_url.removesuffix('/')}/{settings.bucket}/"
    if _PLAIN_BUCKET.fullmatch(settings.bucket) and _PLAIN_REGION.fullmatch(settings.region):
        return f"https://{settings.bucket}.s3.{settings.region}.amazonaws.com/"
    from era5dl.bucket import client

    return client.address_of(settings)
