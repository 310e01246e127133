"""The one door through which foreign errors become ours: botocore's, urllib3's and the socket's, as `era5dl.errors`.

Which class means what was found by experiment, not from documentation; two traps first.  A process that has run out of
file descriptors raises EndpointConnectionError, or SSLError over TLS: so the innermost error number is looked at before
the class.  And a handshake that stalls arrives as a *read* timeout.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from typing import Any

import botocore.exceptions as b
import urllib3.exceptions as u
from urllib3.util import ssl_match_hostname

from era5dl import errors
from era5dl.bucket.happy_eyeballs import OUT_OF_SOCKETS

_THROTTLE_CODES = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "BandwidthLimitExceeded",
    "ServiceUnavailable",
}
_FAULT_CODES = {"InternalError", "RequestTimeout", "RequestTimeoutException"}
_BUCKET_CODES = {"NoSuchBucket", "AllAccessDisabled", "InvalidBucketName", "RequestTimeTooSkewed", "PermanentRedirect"}
_LONGEST_WAIT = 120.0  # seconds of Retry-After that are believed


class translated:
    """Raise whatever the S3 client raises inside as a BucketError about `key`; ours pass through."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, errors.Era5Error):
            raise translate(error, self._key) from error


def translate(error: Exception, key: str) -> errors.Era5Error:
    """The error of ours that `error` means, or that is wrapped in it."""
    if isinstance(error, b.ClientError):
        return _answer(error, key)
    chain = list(_downwards(error))
    root = chain[-1]
    for inner in chain:
        if isinstance(inner, errors.Era5Error):  # of the connector, which knows the proxy
            return inner
    if isinstance(root, OSError) and root.errno in OUT_OF_SOCKETS:
        return errors.OutOfSockets(f"no more connections can be opened: {_text(root)}")
    if isinstance(error, b.SSLError) or isinstance(root, ssl.SSLCertVerificationError):
        no_ca_file = isinstance(root, FileNotFoundError) or any(word in str(root) for word in ("X509", "PEM"))
        if no_ca_file or isinstance(root, ssl.SSLCertVerificationError | ssl_match_hostname.CertificateError):
            return errors.Untrusted(f"the server's certificate is not trusted: {_text(root)}")
        return errors.ServerFault(f"TLS failed: {_text(root)}")
    if isinstance(error, b.EndpointConnectionError | b.ConnectTimeoutError | b.ProxyConnectionError):
        return errors.Unreachable(f"cannot connect: {_text(root)}")
    if isinstance(error, b.ConnectionClosedError):
        if isinstance(root, http.client.BadStatusLine) and not isinstance(root, http.client.RemoteDisconnected):
            return errors.BadResponse(f"{key}: the answer is not HTTP")
        return errors.StaleConnection(f"{key}: the connection was closed before an answer came")
    if isinstance(error, b.ResponseStreamingError | b.IncompleteReadError | b.ReadTimeoutError | b.HTTPClientError):
        return errors.Interrupted(f"{key}: {_text(root)}")
    if isinstance(error, u.HTTPError | http.client.HTTPException | OSError | ssl.SSLError):
        return errors.Interrupted(f"{key}: {_text(root)}")
    if type(error).__name__ in {"ResponseParserError", "PaginationError"}:
        return errors.BadResponse(f"{key}: the answer is not S3's: {_text(error)}")
    return errors.BucketError(f"{key}: {type(error).__name__}: {_text(error)}")  # not foreseen: fails this object


def innermost(error: BaseException) -> BaseException:
    """The error at the bottom."""
    return list(_downwards(error))[-1]


def _downwards(error: BaseException) -> Iterator[BaseException]:
    """This error and those it was made of: botocore keeps the next in `kwargs["error"]`, urllib3 in its cause or its
    arguments."""
    seen: set[int] = set()
    below: Any = error
    while isinstance(below, BaseException) and id(below) not in seen:
        seen.add(id(below))
        yield (error := below)
        below = getattr(error, "kwargs", {}).get("error") if isinstance(error, b.BotoCoreError) else None
        if not isinstance(below, BaseException):
            wrapped = [a for a in error.args[1:2] if isinstance(a, BaseException)]
            below = error.__cause__ or error.__context__ or (wrapped[0] if wrapped else None)


def _answer(error: b.ClientError, key: str) -> errors.Era5Error:
    """The meaning of an answer with an error status."""
    meta = error.response.get("ResponseMetadata", {})
    status = meta.get("HTTPStatusCode", 0)
    code = str(error.response.get("Error", {}).get("Code", ""))[:100]
    said = f"{key}: the server said {status} {code if code != str(status) else ''}".rstrip()
    if code in _THROTTLE_CODES or status in (429, 503, 509):
        return errors.ServerBusy(said, retry_after=_retry_after(meta.get("HTTPHeaders", {})))
    if status in (500, 502, 504, 408) or code in _FAULT_CODES:
        return errors.ServerFault(said)
    if status in (412, 416):
        return errors.ObjectChanged(f"{key}: the object is no longer the version that was planned ({status})")
    if status == 407:
        return errors.BucketRefused(
            f"{said}: a proxy wants a login", remedy="Name the proxy with its user name and password in ERA5DL_PROXY."
        )
    if code in _BUCKET_CODES:
        return errors.BucketRefused(said)
    if status < 200:  # "an answer follows"; the client library stops listening after it, and lets go of the connection
        return errors.BadResponse(f"{said}: something between here and the bucket speaks before it answers")
    if status in (301, 302, 303, 307, 308):
        return errors.BadResponse(f"{said}: something between here and the bucket redirects")
    if status == 404:
        return errors.NotFound(f"{key}: no such object in the bucket")
    if status == 403 and code != "InvalidObjectState":
        return errors.Denied(said)
    return errors.Refused(said)


def _retry_after(headers: dict[str, str]) -> float | None:
    """The server's wish in seconds: `x-amz-retry-after` counts milliseconds, `Retry-After` whole seconds."""
    for name, unit in (("x-amz-retry-after", 0.001), ("retry-after", 1.0)):
        said = headers.get(name, "").strip()
        if said.isascii() and said.isdigit():
            return min(int(said[:9]) * unit, _LONGEST_WAIT)
    return None


def _text(error: BaseException) -> str:
    """One short line; never a traceback, which would keep its sockets alive."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
