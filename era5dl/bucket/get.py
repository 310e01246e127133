"""One GET of a byte range, and its body while the context lasts.

No answer is believed for its status alone.  A proxy that drops Range, a captive portal, a cache with another version:
each looks like success to a client library, so it is proven by Content-Range, Content-Length and ETag that these are
the bytes asked for before the first one is handed out.

The request goes straight to the transport: botocore's client layer above it (rules for endpoints, parameters, signing,
parsing) costs three times the request itself, and for thousands of small objects that is what one waits for.  An answer
that is an error is read by the client all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import quote

import era5dl
from era5dl.bucket.abort import SLICED, Abort, aborting
from era5dl.bucket.control import read_error
from era5dl.bucket.faults import translate, translated
from era5dl.bucket.store import ObjectInfo
from era5dl.bucket.tap import Tap
from era5dl.bucket.transport import Transport
from era5dl.errors import BadResponse, ObjectChanged, Stopped
from era5dl.proof.etag import is_weak, quoted
from era5dl.turns import spell

Refuse = Callable[[int, dict[str, str], bytes], Exception]
"""(status, headers, body) of an answer that is an error -> what the client library would have raised."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
PLAIN = {"Accept-Encoding": "identity", "User-Agent": f"era5dl/{era5dl.__version__}"}  # of every request


class Get:
    """Bytes [start, stop) of exactly this version of an object; `readinto` gives them as they come.

    base: the URL of the bucket, with a slash at its end. timeout: seconds without a byte.
    """

    def __init__(
        self,
        transport: Transport,
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
                        raise self._refuse(self._raw.status, dict(self._raw.headers), read_error(self._raw))
                    _prove(self._raw.headers, self._obj, self._span)
                    self._tap = Tap(self._raw, self._span[1] - self._span[0], self._abort.socket)
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
        except Stopped:
            raise
        except Exception as error:
            raise translate(error, self._obj.key) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        spell.give()
        try:
            self._raw.close()  # fully read: the connection is back in the pool; else it is dropped
        finally:
            self._aborting.__exit__(None, None, None)

    def _asking(self) -> dict[str, str]:
        start, stop = self._span
        return {"Range": f"bytes={start}-{stop - 1}", **PLAIN, **if_match(self._obj)}


def if_match(obj: ObjectInfo) -> dict[str, str]:
    """The condition that pins the version; a weak ETag can never satisfy it (RFC 9110, 13.1.1)."""
    return {"If-Match": obj.etag} if obj.etag and not is_weak(obj.etag) else {}


def _prove(headers: Any, obj: ObjectInfo, span: tuple[int, int]) -> None:
    """Raise unless these headers can only belong to these bytes of exactly this version."""
    start, stop = span
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if not found:
        raise BadResponse(f"{obj.key}: a part was asked for, something else came")
    first, last, total = map(int, found.groups())
    etag = quoted(headers.get("ETag", ""))
    if (etag and etag != obj.etag) or total != obj.size:
        raise ObjectChanged(f"{obj.key}: another version of the object came ({etag}, {total} bytes)")
    if etag != obj.etag:
        raise BadResponse(f"{obj.key}: the answer does not say which version it is")
    if (first, last) != (start, stop - 1) or headers.get("Content-Length") != str(stop - start):
        raise BadResponse(f"{obj.key}: bytes {start}-{stop - 1} were asked for, {first}-{last} came")
