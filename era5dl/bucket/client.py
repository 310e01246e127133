"""boto3's client: anonymous, pooled, with the retries left to the engine; and made only when it is needed.

Making it takes as long as all else before the first byte, and most runs never need it: what is asked again and again, a
byte range, a page of a listing, a description, goes straight over the transport, and its usual answer is read here.
Whatever else comes (an error, a redirect to another region, something that is not S3's) is given to the client, as
though it had asked itself: it knows what to make of it. The seam is public: a handler of botocore's event
`before-send.s3` that returns a response replaces its sending.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import boto3.session
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.parsers import create_parser

from era5dl.bucket import list_objects
from era5dl.bucket.http_session import Transport
from era5dl.settings import Settings

_asked = threading.local()  # the answer that this thread has already


class Client:
    """What boto3 makes of answers, for one bucket; it sends over our transport."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._bucket = settings.bucket
        self._transport = transport
        self._client = _client(settings)
        self._client.meta.events.register("before-send.s3", self._before_send)
        self._client.meta.events.register(list_objects.EVENT, list_objects.before_parse)

    def judge(self, answer: AWSResponse, operation: str, **asked: Any) -> dict[str, Any]:
        """What this answer says to this operation; where it redirects, what the one there says. Raises ClientError."""
        _asked.answer = answer
        try:
            found: dict[str, Any] = getattr(self._client, operation)(Bucket=self._bucket, **asked)
            return found
        finally:
            _asked.answer = None

    def refusal(self, status: int, headers: dict[str, str], body: bytes) -> Exception:
        """The error that botocore makes of an answer to a GET."""
        shape = self._client.meta.service_model.operation_model("GetObject").output_shape
        answer = {"status_code": status, "headers": HeadersDict(headers), "body": body}
        error: Exception = ClientError(create_parser("rest-xml").parse(answer, shape), "GetObject")
        return error

    def _before_send(self, request: Any, **_: Any) -> AWSResponse:
        """Handler of `before-send.s3`. What it returns is the answer."""
        answer, _asked.answer = _asked.answer, None
        return answer or self._transport.send(request)


def address_of(settings: Settings) -> str:
    """The URL under which the client finds the objects of the bucket, with a slash at its end.

    Asked of a client itself, by a request that is caught before it is sent: the rules (virtual host or path, region,
    partition) are many, and its URLs for signing in advance follow others, that lead to another host.
    """

    def catch(request: Any, **_: Any) -> None:
        raise _Address(request.url)

    client = _client(settings)
    client.meta.events.register_first("before-send.s3", catch)
    try:
        client.head_object(Bucket=settings.bucket, Key="-")
    except _Address as caught:
        return str(caught.args[0]).removesuffix("-")
    raise AssertionError("the request was not caught")


class _Address(Exception):
    """No error: it carries an address out of the client."""


class _OnlyS3(Loader):  # type: ignore[misc]
    """botocore's own descriptions, of S3 alone: else it looks into a thousand folders for all the services there are,
    and into one of the user's."""

    def __init__(self) -> None:
        super().__init__(extra_search_paths=[self.BUILTIN_DATA_PATH], include_default_search_paths=False)

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - as botocore calls it
        return ["s3"]


def _client(settings: Settings) -> Any:
    """A client that looks at no AWS profile, credential or endpoint of the user's."""
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
