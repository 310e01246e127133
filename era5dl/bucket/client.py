"""Creates the boto3 S3 client: anonymous, pooled, without its own retries, independent of the user's AWS settings.

The client sends over `HTTPSession`: a handler of botocore's event `before-send.s3` that returns a response replaces
botocore's own sending. Retries belong to the engine, so the client makes one attempt per call.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from datetime import datetime, timezone
from typing import Any

import boto3.session
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.parsers import ResponseParserFactory, create_parser
from botocore.utils import parse_timestamp

import era5dl
from era5dl.bucket.http_session import HTTPSession
from era5dl.bucket.responses import BufferedBody, check_listing
from era5dl.errors import UsageError
from era5dl.settings import Settings

USER_AGENT = f"era5dl/{era5dl.__version__}"
_ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_UNKNOWN = datetime(1970, 1, 1, tzinfo=timezone.utc)


def create_client(settings: Settings) -> Any:
    """Return an S3 client that reads no AWS profile, credentials, endpoint or variable of the user.

    Raises UsageError if the host name of the endpoint is not valid.
    """
    known = botocore.session.Session.SESSION_VARIABLES
    defaults = {name: (None, None, default, cast) for name, (_, _, default, cast) in known.items()}
    session = botocore.session.Session(session_vars=defaults)
    for name in ("config_file", "credentials_file"):
        session.set_config_variable(name, os.devnull)
    session.register_component("data_loader", _s3_loader())
    session.register_component("response_parser_factory", _ParserFactory(timestamp_parser=_timestamp))
    config = Config(
        signature_version=UNSIGNED,
        user_agent=USER_AGENT,
        max_pool_connections=settings.pool_size,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        retries={"mode": "standard", "total_max_attempts": 1},
        response_checksum_validation="when_required",  # botocore compares a range with the checksum of the object
        ignore_configured_endpoint_urls=True,
        # Without "regional", us-east-1 would need the file "endpoints", which _S3Loader does not load.
        s3={"addressing_style": "auto", "us_east_1_regional_endpoint": "regional"},
    )
    try:
        return boto3.session.Session(botocore_session=session).client(
            "s3", region_name=settings.region, endpoint_url=settings.endpoint_url, config=config
        )
    except ValueError as error:
        raise UsageError(
            f"{settings.endpoint_url or settings.region} cannot be used: its host name is not valid",
            remedy="A host name consists of letters, digits, hyphens and dots.",
        ) from error


def bucket_url(client: Any, bucket: str) -> str:
    """Return the URL of the bucket as this client builds it, with a slash at the end.

    The client sends a HEAD request, which a handler intercepts and answers. (A presigned URL could have another host.)
    Raises UsageError if the bucket's name is not valid.
    """
    urls: list[str] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        urls.append(request.url)
        return AWSResponse(request.url, 200, {}, BufferedBody(b""))

    client.meta.events.register_first("before-send.s3", answer)
    try:
        client.head_object(Bucket=bucket, Key="-")
    except BotoCoreError as error:
        raise UsageError(f"{bucket!r} is not the name of a bucket: {error}") from error
    client.meta.events.unregister("before-send.s3", answer)
    return urls[0].removesuffix("-")


def send_over(client: Any, session: HTTPSession) -> None:
    """Make the client send its requests through this session, and check listings before it parses them."""

    def before_send(request: Any, **_: Any) -> AWSResponse:
        return session.send(request)

    client.meta.events.register("before-send.s3", before_send)
    client.meta.events.register_first("before-parse.s3.ListObjectsV2", check_listing)


def client_error(client: Any, status: int, headers: dict[str, str], body: bytes) -> ClientError:
    """Return the error that the client raises for this response to a GET."""
    shape = client.meta.service_model.operation_model("GetObject").output_shape
    response = {"status_code": status, "headers": HeadersDict(headers), "body": body}
    return ClientError(create_parser("rest-xml").parse(response, shape), "GetObject")


def _timestamp(text: str) -> datetime:
    """Parse a date of a response; return 1970, which stands for unknown, if it cannot be parsed.

    botocore's own parser accepts any format. For the dates of a listing it takes six times as long as everything else.
    """
    try:
        if _ISO_8601.fullmatch(text):
            return datetime.fromisoformat(text[:19] + "+00:00")
        found: datetime = parse_timestamp(text)
        return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError, OSError, RuntimeError):
        return _UNKNOWN


class _ParserFactory(ResponseParserFactory):  # type: ignore[misc]
    """Creates parsers of which only one runs at a time.

    Parsing holds the interpreter's lock (GIL), so parallel parsing gains nothing. With sixteen listings parsed at once,
    the thread of the window would wait for up to a quarter of a second.
    """

    def __init__(self, **defaults: Any) -> None:
        super().__init__()
        self.set_parser_defaults(**defaults)
        self._one_at_a_time = threading.Lock()

    def create_parser(self, protocol_name: str) -> Any:
        parser = super().create_parser(protocol_name)
        parse = parser.parse

        def parse_alone(response: dict[str, Any], shape: Any) -> dict[str, Any]:
            with self._one_at_a_time:
                parsed: dict[str, Any] = parse(response, shape)
                return parsed

        parser.parse = parse_alone
        return parser


@functools.cache
def _s3_loader() -> Loader:
    """Return the loader that all clients of this process share. It caches the data files, whose parsing takes most of
    the time of creating a client."""
    return _S3Loader()


class _S3Loader(Loader):  # type: ignore[misc]
    """Load botocore's data files for S3 only.

    The default loader also searches the folders of all other services, and one in the user's home.
    """

    def __init__(self) -> None:
        super().__init__(extra_search_paths=[self.BUILTIN_DATA_PATH], include_default_search_paths=False)

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - the signature of botocore
        return ["s3"]

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """Return the content of a data file and its path.

        The file "endpoints" lists the host names of all services in 1.2 MB, and parsing it takes half of the time of
        creating a client. The client needs only its partitions of regions from it, because the URLs of S3 come from
        the rules of the service. A short file, "partitions", has these too.
        """
        if name != "endpoints":
            found: tuple[Any, str] = super().load_data_with_path(name)
            return found
        data, path = super().load_data_with_path("partitions")
        return {"version": 3, "partitions": [_endpoints_of(partition) for partition in data["partitions"]]}, path


def _endpoints_of(partition: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of the file "endpoints" for this entry of the file "partitions"."""
    suffix = partition["outputs"]["dnsSuffix"]
    fips = {"hostname": "{service}-fips.{region}.{dnsSuffix}", "dnsSuffix": suffix, "tags": ["fips"]}
    return {
        "partition": partition["id"],
        "dnsSuffix": suffix,
        "regionRegex": partition["regionRegex"],
        "regions": partition["regions"],
        "defaults": {
            "hostname": "{service}.{region}.{dnsSuffix}",
            "protocols": ["https"],
            "signatureVersions": ["s3v4"],
            "variants": [fips],
        },
        "services": {},
    }
