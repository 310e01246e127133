"""GET of a byte range: validates the response headers before the first byte, and always closes the body.

Two classes send the request. `PlainGet` calls `get_object` of boto3's client; `FastGet` (`era5dl.bucket.fast_get`) is
faster and the default. The environment variable ERA5DL_PLAIN_GET=1 selects `PlainGet`, to compare the two or to find
out which of them has a fault. The tests run with both.

The status alone does not make a response acceptable. A proxy that drops Range, a captive portal or a cache with another
version looks like success to a client library. So the headers must prove which bytes follow, and of which version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from era5dl.bucket.body_reader import SocketReader, StreamReader
from era5dl.bucket.cancellation import WAITS_IN_SLICES, Abort, abortable_by
from era5dl.bucket.error_mapping import map_error, map_errors
from era5dl.bucket.http_session import HTTPSession
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.response_headers import has_etag, validate_range
from era5dl.bucket.responses import map_parser_errors
from era5dl.errors import Era5Error, Stopped
from era5dl.proof.etag import is_weak

PLAIN_GET = "ERA5DL_PLAIN_GET"  # environment variable that selects PlainGet


@dataclass(frozen=True, slots=True)
class GetResponse:
    """Response to a GET whose headers have arrived and whose body has not been read.

    headers: names in lower case. close: returns the connection to the pool if the body has been read to its end, and
    closes it otherwise.
    """

    status: int
    headers: Mapping[str, str]
    reader: StreamReader | SocketReader
    close: Callable[[], None]


SendGet = Callable[[ObjectInfo, int, int], GetResponse]
"""Function that sends a GET for the bytes [start, stop) of an object. It raises the errors of botocore's client."""


class ObjectBody:
    """Context manager that opens a byte range of exactly this version of an object (`interface.Body`). The body has the
    bytes of `span`, or the whole object if the server or a proxy ignores ranges.

    span: start and stop. timeout: seconds without a byte.
    """

    def __init__(self, send: SendGet, obj: ObjectInfo, span: tuple[int, int], *, abort: Abort, timeout: float) -> None:
        self._send, self._obj, self._span = send, obj, span
        self._abort, self._timeout = abort, timeout
        self._aborting = abortable_by(abort)

    def __enter__(self) -> ObjectBody:
        self._aborting.__enter__()
        try:
            with map_errors(self._obj.key):
                self._response = self._send(self._obj, *self._span)
                try:
                    status, headers = self._response.status, self._response.headers
                    self.start, stop = validate_range(status, headers, self._obj, self._span)
                except BaseException:
                    self._response.close()
                    raise
            unranged = status == 200 and not headers.get("content-range", "")
            self.whole = unranged or (self.start, stop) != self._span
            self.has_etag = has_etag(headers, self._obj)
            self._remaining = stop - self.start
        except BaseException:
            self._aborting.__exit__(None, None, None)
            raise
        return self

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view` with the next bytes, as soon as there are any; return how many, 0 at the end."""
        view = view[: self._remaining]
        if not view:
            return 0
        try:
            if WAITS_IN_SLICES and not self._response.reader.has_buffered:
                self._abort.wait_readable(self._timeout)
                if self._abort.reason:  # a read now could block for ever, and nothing could wake it
                    raise Stopped(self._abort.reason)
            count = self._response.reader.readinto(view)
        except Era5Error:
            raise
        except Exception as error:
            raise map_error(error, self._obj.key) from error
        self._remaining -= count
        return count

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._response.close()
        finally:
            self._aborting.__exit__(None, None, None)


class PlainGet:
    """Sends a GET with `client.get_object`.

    timeout: seconds for each read.
    """

    def __init__(self, client: Any, bucket: str, session: HTTPSession, timeout: float) -> None:
        self._client, self._bucket, self._session, self._timeout = client, bucket, session, timeout

    def __call__(self, obj: ObjectInfo, start: int, stop: int) -> GetResponse:
        span = f"bytes={start}-{stop - 1}"
        with self._session.unread() as unread, map_parser_errors(obj.key):
            output = self._client.get_object(Bucket=self._bucket, Key=obj.key, Range=span, **if_match(obj))
            response = output["ResponseMetadata"]
            # The body is read from urllib3's response: botocore's `read` loses bytes if the connection breaks.
            reader = StreamReader(unread.response, unread.socket, self._timeout)
            return GetResponse(response["HTTPStatusCode"], response["HTTPHeaders"], reader, output["Body"].close)


def if_match(obj: ObjectInfo) -> dict[str, str]:
    """Return the If-Match parameter, which pins the version; none for a weak ETag, which never matches (RFC 9110,
    13.1.1)."""
    return {"IfMatch": obj.etag} if obj.etag and not is_weak(obj.etag) else {}
