"""S3Bucket: lists objects, reads their headers and opens byte ranges, with one boto3 client and one connection pool.

Listings and HEAD requests use `client.list_objects_v2` and `client.head_object`; byte ranges are requested by
`era5dl.bucket.get_object`. `era5dl.bucket.responses` limits the size of responses before botocore parses them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from era5dl.bucket import response_headers
from era5dl.bucket.cancellation import Abort, abortable_by
from era5dl.bucket.client import bucket_url, create_client, send_over
from era5dl.bucket.connect import Connector
from era5dl.bucket.error_mapping import map_errors
from era5dl.bucket.fast_get import FastGet
from era5dl.bucket.get_object import PLAIN_GET, ObjectBody, PlainGet, SendGet, if_match
from era5dl.bucket.http_session import HTTPSession
from era5dl.bucket.interface import MAX_OBJECTS, ObjectInfo, Parts
from era5dl.bucket.proxy import proxy_for
from era5dl.bucket.response_headers import ObjectHeaders
from era5dl.bucket.responses import map_parser_errors, object_info
from era5dl.bucket.tls_trust import TrustStore
from era5dl.errors import BadResponse
from era5dl.settings import Settings

MAX_IDLE_PAGES = 20  # pages in a row without a new key; a few are normal after many objects were deleted
_NO_HEAD = (405, 501)  # statuses of a server that does not allow or implement HEAD


class S3Bucket:
    """`interface.Bucket` for S3 and compatible servers. Create only one per process: that takes about 0.1 s."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.bucket
        self._settings = settings
        self._client = create_client(settings)
        self._url = bucket_url(self._client, settings.bucket)
        session = HTTPSession(
            connector=Connector(proxy_for(self._url, settings.proxy), TrustStore(settings.ca_bundle)),
            timeout=(settings.connect_timeout, settings.read_timeout),
            pool_size=settings.pool_size,
        )
        send_over(self._client, session)
        self._session, timeout = session, settings.read_timeout
        self._plain_get = PlainGet(self._client, self.name, session, timeout)
        self._send_get: SendGet = self._plain_get
        if not os.environ.get(PLAIN_GET):
            self._send_get = FastGet(self._client, self._url, session, timeout)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        shown_prefix = f"{self.name}/{prefix}"  # for messages; the prefix may be empty
        with map_errors(shown_prefix), map_parser_errors(shown_prefix):
            count = idle = 0
            previous: frozenset[str] = frozenset()
            for page in self._pages(prefix):
                if "IsTruncated" not in page and page.get("Name") != self.name:
                    raise BadResponse(f"{shown_prefix}: the response is not a listing of this bucket")
                found = [
                    object_info(entry["Key"], entry["Size"], entry.get("ETag", ""), entry.get("LastModified"))
                    for entry in page.get("Contents", [])
                ]
                if not all(obj.key.startswith(prefix) for obj in found):
                    raise BadResponse(f"{shown_prefix}: the listing has keys that were not requested")
                keys = frozenset(obj.key for obj in found)
                count, idle = count + len(found), 0 if keys - previous else idle + 1
                if count > MAX_OBJECTS or idle > MAX_IDLE_PAGES:
                    raise BadResponse(f"{shown_prefix}: the listing has no end")
                previous = keys
                yield from found

    def _pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing as botocore parses them."""
        following: dict[str, str] = {}
        while True:
            page = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix, **following)
            yield page
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken")
            if not token or token == following.get("ContinuationToken"):
                raise BadResponse(f"{self.name}/{prefix}: the listing is incomplete and has no next page")
            following = {"ContinuationToken": token}

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        with abortable_by(abort), map_errors(key), map_parser_errors(key):
            found = self._head(key)
            if response_headers.needs_confirmation(found):
                found = response_headers.reconcile(key, found, self._get_first_byte(key))
            return object_info(key, found.size, found.etag, found.modified)

    def _head(self, key: str) -> ObjectHeaders:
        """Return the headers of a HEAD; empty ones if the server does not allow HEAD or botocore cannot parse them."""
        try:
            response = self._client.head_object(Bucket=self.name, Key=key)["ResponseMetadata"]
        except ClientError as error:
            response = error.response["ResponseMetadata"]
            if response["HTTPStatusCode"] not in _NO_HEAD:
                raise
        except ValueError:
            return ObjectHeaders(None, "", 0)
        return response_headers.from_head(response["HTTPStatusCode"], response["HTTPHeaders"])

    def _get_first_byte(self, key: str) -> ObjectHeaders:
        """Return the headers of a GET of the first byte. The byte itself is not read."""
        try:
            response = self._plain_get(ObjectInfo(key, 1, ""), 0, 1)
        except ClientError as error:
            refused = error.response["ResponseMetadata"]
            if refused["HTTPStatusCode"] != 416:
                raise
            return response_headers.from_first_byte(416, refused["HTTPHeaders"])
        with contextlib.closing(response):
            found = response_headers.from_first_byte(response.status, response.headers)
            is_page = response.headers.get("content-type", "").startswith("text/html")
            if response.status == 200 and not found.etag and is_page:
                raise BadResponse(f"{key}: received a web page instead of the object")
            return found

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> Parts | None:
        with abortable_by(abort), map_errors(obj.key), map_parser_errors(obj.key):
            found = self._client.head_object(Bucket=self.name, Key=obj.key, PartNumber=1, **if_match(obj))
        count, size = found.get("PartsCount"), found.get("ContentLength")
        return Parts(count, size) if count and size else None

    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> ObjectBody:
        return ObjectBody(self._send_get, obj, (start, stop), abort=abort, timeout=self._settings.read_timeout)

    def drop_idle_connections(self) -> None:
        self._session.close()
