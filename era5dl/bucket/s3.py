"""The bucket through boto3: one anonymous client, with the retries left to the engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import boto3.session
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import HeadersDict
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.parsers import create_parser
from botocore.utils import get_environ_proxies

from era5dl.bucket import listing
from era5dl.bucket.abort import Abort
from era5dl.bucket.control import described, parsing
from era5dl.bucket.faults import translated
from era5dl.bucket.get import Get, if_match
from era5dl.bucket.store import MOST_OBJECTS, ObjectInfo, Parts
from era5dl.bucket.transport import Transport, aborting
from era5dl.errors import BadResponse
from era5dl.settings import Settings

MOST_IDLE_PAGES = 20  # in a row that bring nothing new; a few happen where much was deleted


class S3Bucket:
    """`store.Bucket` for S3 and what speaks like it. Make one per process, off the window's thread; it takes 0.3 s."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.bucket
        self._read_timeout = settings.read_timeout
        self._client = _client(settings)
        self._base = _address(self._client, self.name)
        self._transport = Transport(
            verify=_trust(settings),
            proxies=_proxies(settings, self._client.meta.endpoint_url),
            timeout=(settings.connect_timeout, settings.read_timeout),
            pool_size=settings.pool_size,
        )
        self._client.meta.events.register("before-send.s3", self._transport.before_send)
        self._client.meta.events.register(listing.EVENT, listing.before_parse)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with translated(prefix), parsing(prefix):
            count = idle = 0
            before: frozenset[str] = frozenset()
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                if "IsTruncated" not in page and page.get("Name") != self.name:
                    raise BadResponse(f"{prefix}: the answer is not a listing of this bucket")
                if page.get("IsTruncated") and not page.get("NextContinuationToken"):
                    raise BadResponse(f"{prefix}: there is more in this listing, and no way to get at it")
                found: list[ObjectInfo] = page["Contents"]
                if not all(obj.key.startswith(prefix) for obj in found):
                    raise BadResponse(f"{prefix}: the listing has keys that were not asked for")
                keys = frozenset(obj.key for obj in found)
                count, idle = count + len(found), 0 if keys - before else idle + 1
                if count > MOST_OBJECTS or idle > MOST_IDLE_PAGES:
                    raise BadResponse(f"{prefix}: this listing has no end")
                before = keys
                yield from found

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        with aborting(abort), translated(key), parsing(key):
            answer = self._client.head_object(Bucket=self.name, Key=key)
            if "ETag" not in answer or "ContentLength" not in answer:
                raise BadResponse(f"{key}: the answer does not describe an object")
            return described(key, answer["ContentLength"], answer["ETag"], answer.get("LastModified"))

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> Parts | None:
        pinned = {"IfMatch": obj.etag} if if_match(obj) else {}
        with aborting(abort), translated(obj.key), parsing(obj.key):
            answer = self._client.head_object(Bucket=self.name, Key=obj.key, PartNumber=1, **pinned)
        count, size = answer.get("PartsCount"), answer.get("ContentLength")
        return Parts(count, size) if count and size else None

    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> Get:
        return Get(
            self._transport,
            self._base,
            obj,
            (start, stop),
            abort=abort,
            timeout=self._read_timeout,
            refuse=self._refusal,
        )

    def _refusal(self, status: int, headers: dict[str, str], body: bytes) -> Exception:
        """The error that botocore makes of an answer to a GET."""
        shape = self._client.meta.service_model.operation_model("GetObject").output_shape
        answer = {"status_code": status, "headers": HeadersDict(headers), "body": body}
        error: Exception = ClientError(create_parser("rest-xml").parse(answer, shape), "GetObject")
        return error

    def drop_idle_connections(self) -> None:
        self._transport.close()


class _OnlyS3(Loader):  # type: ignore[misc]
    """botocore's own descriptions, of S3 alone: else it looks into a thousand folders for all the services there are,
    and into one of the user's."""

    def __init__(self) -> None:
        super().__init__(extra_search_paths=[self.BUILTIN_DATA_PATH], include_default_search_paths=False)

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - as botocore calls it
        return ["s3"]


def _client(settings: Settings) -> Any:
    """An anonymous client that looks at no AWS profile, credential or endpoint of the user's."""
    known = botocore.session.Session.SESSION_VARIABLES
    ours = {name: (None, None, default, cast) for name, (_, _, default, cast) in known.items()}
    session = botocore.session.Session(session_vars=ours)  # reads no environment variable
    for name in ("config_file", "credentials_file"):
        session.set_config_variable(name, os.devnull)
    session.register_component("data_loader", _OnlyS3())
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


class _Address(Exception):
    """No error: it carries an address out of the client."""


def _address(client: Any, bucket: str) -> str:
    """The URL under which the client finds the objects of a bucket, with a slash at its end.

    Asked of the client itself, by a request that is caught before it is sent: the rules (virtual host or path, region,
    partition) are many, and its URLs for signing in advance follow others, that lead to another host.
    """

    def catch(request: Any, **_: Any) -> None:
        raise _Address(request.url)

    client.meta.events.register_first("before-send.s3", catch)
    try:
        client.head_object(Bucket=bucket, Key="-")
    except _Address as caught:
        return str(caught.args[0]).removesuffix("-")
    finally:
        client.meta.events.unregister("before-send.s3", catch)
    raise AssertionError("the request was not caught")


def _trust(settings: Settings) -> bool | str:
    """The CA file to trust; True for the bundled ones. Verification is never off."""
    named = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    return settings.ca_bundle or next((os.environ[n] for n in named if os.environ.get(n)), True)


def _proxies(settings: Settings, url: str) -> dict[str, str]:
    if settings.proxy:
        return {"http": settings.proxy, "https": settings.proxy}
    proxies: dict[str, str] = get_environ_proxies(url)
    return proxies
