"""One GET of a byte range, and its body while the context lasts.

No answer is believed for its status alone.  A proxy that drops Range, a captive portal, a cache with another version:
each looks like success to a client library, so it is proven by the headers (`era5dl.bucket.response_headers`) which
bytes these are before the first one is handed out.

The request goes straight to the transport: botocore's client layer above it (rules for endpoints, parameters, signing,
parsing) costs three times the request itself, and for thousands of small objects that is what one waits for.  An answer
that is an error is read by the client all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from urllib.parse import quote

import era5dl
from era5dl.bucket.body_reader import Tap
from era5dl.bucket.cancellation import SLICED, Abort, aborting
from era5dl.bucket.error_mapping import translate, translated
from era5dl.bucket.http_session import HTTPSession
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.response_headers import span_of_body
from era5dl.bucket.responses import read_error
from era5dl.errors import Era5Error, Stopped
from era5dl.proof.etag import is_weak

Refuse = Callable[[int, dict[str, str], bytes], Exception]
"""(status, headers, body) of an answer that is an error -> what the client library would have raised."""

PLAIN = {"Accept-Encoding": "identity", "User-Agent": f"era5dl/{era5dl.__version__}"}  # of every request


class Get:
    """Bytes of exactly this version of an object; `readinto` gives them as they come: those of `span`, or all of the
    object where something in between ignores ranges (`store.Body`).

    base: the URL of the bucket, with a slash at its end. timeout: seconds without a byte.
    """

    def __init__(
        self,
        transport: HTTPSession,
        base: str,
        obj: ObjectInfo,
        span: tuple[int, int],
        *,
        abort: Abort,
        timeout: float,
        refuse: Refuse,
    ) -> None:
        self._transport, self._refuse = transport, refuse
        self._obj, self._span = obj, span
        self._url = base + quote(obj.key, safe="/~")
        self._abort, self._timeout = abort, timeout
        self._aborting = aborting(abort)

    def __enter__(self) -> Get:
        self._aborting.__enter__()
        try:
            with translated(self._obj.key):
                self._raw = self._transport.get(self._url, self._asking())
                try:
                    if self._raw.status not in (200, 206):
                        raise self._refuse(self._raw.status, dict(self._raw.headers), self._error())
                    self.start, stop = span_of_body(self._raw.status, self._raw.headers, self._obj, self._span)
                    unranged = self._raw.status == 200 and not self._raw.headers.get("Content-Range", "")
                    self.whole = unranged or (self.start, stop) != self._span
                    self._tap = Tap(self._raw, stop - self.start, self._abort.socket, self._timeout)
                except BaseException:
                    self._raw.close()
                    raise
        except BaseException:
            self._aborting.__exit__(None, None, None)
            raise
        return self

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view` with the next bytes, as soon as any are there; how many, 0 at the end."""
        try:
            if SLICED and not self._tap.at_hand:
                self._abort.patience(self._timeout)
                if self._abort.why:  # and do not read: nothing may come, and nothing could wake us
                    raise Stopped(self._abort.why)
            return self._tap.readinto(view)
        except Era5Error:
            raise
        except Exception as error:
            raise translate(error, self._obj.key) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._raw.close()  # fully read: the connection is back in the pool; else it is dropped
        finally:
            self._aborting.__exit__(None, None, None)

    def _error(self) -> bytes:
        return read_error(self._raw, self._abort.socket)

    def _asking(self) -> dict[str, str]:
        start, stop = self._span
        return {
            "Range": f"bytes={start}-{stop - 1}",
            **PLAIN,
            **({"If-Match": self._obj.etag} if if_match(self._obj) else {}),
        }


def if_match(obj: ObjectInfo) -> dict[str, str]:
    """The condition that pins the version; a weak ETag can never satisfy it (RFC 9110, 13.1.1)."""
    return {"IfMatch": obj.etag} if obj.etag and not is_weak(obj.etag) else {}
