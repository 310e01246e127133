"""The bucket through boto3: one anonymous client, with the retries left to the engine.

No answer is believed for its status alone.  A proxy that drops Range, a captive portal, a cache with another version:
each looks like success to the client library, so `open` proves by Content-Range, Content-Length and ETag that these are
the bytes asked for before it hands out the first one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import boto3.session
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.utils import get_environ_proxies

from era5dl.bucket.abort import SLICED, Abort
from era5dl.bucket.faults import translated
from era5dl.bucket.store import ObjectInfo, Parts
from era5dl.bucket.transport import Transport, aborting
from era5dl.errors import BadResponse, ObjectChanged
from era5dl.proof.etag import is_weak, quoted
from era5dl.settings import Settings

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")


class S3Bucket:
    """`store.Bucket` for S3 and what speaks like it. Make one per process, off the window's thread; it takes 0.3 s."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.bucket
        self._read_timeout = settings.read_timeout
        self._client = _client(settings)
        self._transport = Transport(
            verify=_trust(settings),
            proxies=_proxies(settings, self._client.meta.endpoint_url),
            timeout=(settings.connect_timeout, settings.read_timeout),
            pool_size=settings.pool_size,
        )
        self._client.meta.events.register("before-send.s3", self._transport.before_send)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with translated(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                if "IsTruncated" not in page and page.get("Name") != self.name:
                    raise BadResponse(f"{prefix}: the answer is not a listing of this bucket")
                for entry in page.get("Contents", ()):
                    modified = entry.get("LastModified")
                    stamp = int(modified.timestamp()) if modified else 0
                    yield ObjectInfo(entry["Key"], int(entry["Size"]), quoted(entry.get("ETag", "")), stamp)

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        with aborting(abort), translated(key):
            answer = self._client.head_object(Bucket=self.name, Key=key)
        if "ETag" not in answer or "ContentLength" not in answer:
            raise BadResponse(f"{key}: the answer does not describe an object")
        modified = answer.get("LastModified")
        return ObjectInfo(
            key, answer["ContentLength"], quoted(answer["ETag"]), int(modified.timestamp()) if modified else 0
        )

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> Parts | None:
        with aborting(abort), translated(obj.key):
            answer = self._client.head_object(Bucket=self.name, Key=obj.key, PartNumber=1, **_if_match(obj))
        count, size = answer.get("PartsCount"), answer.get("ContentLength")
        return Parts(count, size) if count and size else None

    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> _Answer:
        return _Answer(self._client, self.name, obj, (start, stop), abort, self._read_timeout)

    def drop_idle_connections(self) -> None:
        self._transport.close()


class _Answer:
    """One GET, and its body while the context lasts: `read` gives what has come, closing is certain."""

    def __init__(
        self, client: Any, bucket: str, obj: ObjectInfo, span: tuple[int, int], abort: Abort, timeout: float
    ) -> None:
        self._client, self._bucket, self._obj, self._span = client, bucket, obj, span
        self._abort, self._timeout = abort, timeout
        self._aborting = aborting(abort)
        self._first = True

    def __enter__(self) -> _Answer:
        self._aborting.__enter__()
        try:
            start, stop = self._span
            with translated(self._obj.key):
                answer = self._client.get_object(
                    Bucket=self._bucket,
                    Key=self._obj.key,
                    Range=f"bytes={start}-{stop - 1}",
                    **_if_match(self._obj),
                )
            self._raw = answer["Body"].__enter__()  # urllib3's response: it can read what is there
            try:
                _prove_headers(answer, self._obj, start, stop)
            except BaseException:
                self._raw.close()
                raise
        except BaseException:
            self._aborting.__exit__(None, None, None)
            raise
        return self

    def read(self, most: int) -> bytes:
        with translated(self._obj.key):
            if SLICED and not self._first:  # what came with the headers is in a buffer, not on the socket
                self._abort.patience(self._timeout)
            self._first = False
            data: bytes = self._raw.read1(most)
        return data

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._raw.close()  # fully read: the connection is back in the pool; else it is dropped
        finally:
            self._aborting.__exit__(None, None, None)


def _prove_headers(answer: dict[str, Any], obj: ObjectInfo, start: int, stop: int) -> None:
    """Raise unless these headers can only belong to bytes [start, stop) of exactly this version."""
    found = _CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
    if not found:
        raise BadResponse(f"{obj.key}: a part was asked for, something else came")
    first, last, total = map(int, found.groups())
    etag = quoted(answer.get("ETag", ""))
    if (etag and etag != obj.etag) or total != obj.size:
        raise ObjectChanged(f"{obj.key}: another version of the object came ({etag}, {total} bytes)")
    if etag != obj.etag:
        raise BadResponse(f"{obj.key}: the answer does not say which version it is")
    if (first, last) != (start, stop - 1) or answer.get("ContentLength") != stop - start:
        raise BadResponse(f"{obj.key}: bytes {start}-{stop - 1} were asked for, {first}-{last} came")


def _if_match(obj: ObjectInfo) -> dict[str, str]:
    """The condition that pins the version; a weak ETag can never satisfy it (RFC 9110, 13.1.1)."""
    return {"IfMatch": obj.etag} if obj.etag and not is_weak(obj.etag) else {}


def _client(settings: Settings) -> Any:
    """An anonymous client that looks at no AWS profile, credential or endpoint of the user's."""
    session = botocore.session.Session()
    for name in ("config_file", "credentials_file"):
        session.set_config_variable(name, os.devnull)
    session.set_config_variable("profile", None)
    config = Config(
        signature_version=UNSIGNED,
        region_name=settings.region,
        max_pool_connections=settings.pool_size,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        retries={"mode": "standard", "total_max_attempts": 1},  # one owner of retries, and it is not botocore
        response_checksum_validation="when_required",  # botocore's own check of a range can only be wrong
        ignore_configured_endpoint_urls=True,
        s3={"addressing_style": "auto"},
    )
    return boto3.session.Session(botocore_session=session).client(
        "s3", region_name=settings.region, endpoint_url=settings.endpoint_url, config=config
    )


def _trust(settings: Settings) -> bool | str:
    """The CA file to trust; True for the bundled ones. Verification is never off."""
    named = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    return settings.ca_bundle or next((os.environ[n] for n in named if os.environ.get(n)), True)


def _proxies(settings: Settings, url: str) -> dict[str, str]:
    if settings.proxy:
        return {"http": settings.proxy, "https": settings.proxy}
    proxies: dict[str, str] = get_environ_proxies(url)
    return proxies
