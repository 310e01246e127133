"""Maps errors of botocore, urllib3 and sockets to `era5dl.errors`, with the English texts for CLI, JSON and log.

None of their errors leaves this package. Remedies are in `era5dl.errors`; the window has texts of its own, in
`era5dl.gui.text.error_text`.

The meaning of each class was found by experiment. Two results are surprising. If the process has no free file
descriptors, the client raises EndpointConnectionError, or SSLError over TLS; so the error number of the root cause is
checked before the class. And a TLS handshake that stalls is raised as a *read* timeout.
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
from era5dl.bucket.happy_eyeballs import SOCKET_LIMIT_ERRORS

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
_MAX_RETRY_AFTER = 120.0  # seconds; longer ones are cut


class map_errors:
    """Context manager that raises errors of the S3 client as Era5Errors about `key`. Era5Errors pass unchanged."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, errors.Era5Error):
            raise map_error(error, self._key) from error


def map_error(error: Exception, key: str) -> errors.Era5Error:
    """Return the Era5Error for `error`, or the one that is wrapped in it."""
    if isinstance(error, b.ClientError):
        return _map_response(error, key)
    chain = list(_causes(error))
    root = chain[-1]
    for inner in chain:
        if isinstance(inner, errors.Era5Error):  # raised by the connector, which knows the proxy
            return inner
    if isinstance(root, OSError) and root.errno in SOCKET_LIMIT_ERRORS:
        return errors.OutOfSockets(f"no more connections can be opened: {_one_line(root)}")
    if isinstance(error, b.SSLError) or isinstance(root, ssl.SSLCertVerificationError):
        no_ca_file = isinstance(root, FileNotFoundError) or any(word in str(root) for word in ("X509", "PEM"))
        if no_ca_file or isinstance(root, ssl.SSLCertVerificationError | ssl_match_hostname.CertificateError):
            return errors.Untrusted(f"the server's certificate is not trusted: {_one_line(root)}")
        return errors.ServerFault(f"TLS failed: {_one_line(root)}")
    if isinstance(error, b.EndpointConnectionError | b.ConnectTimeoutError | b.ProxyConnectionError):
        return errors.Unreachable(f"cannot connect: {_one_line(root)}")
    if isinstance(error, b.ConnectionClosedError):
        if isinstance(root, http.client.BadStatusLine) and not isinstance(root, http.client.RemoteDisconnected):
            return errors.BadResponse(f"{key}: the response is not HTTP")
        return errors.StaleConnection(f"{key}: the connection was closed before a response was received")
    if isinstance(error, b.ResponseStreamingError | b.IncompleteReadError | b.ReadTimeoutError | b.HTTPClientError):
        return errors.Interrupted(f"{key}: {_one_line(root)}")
    if isinstance(error, u.HTTPError | http.client.HTTPException | OSError | ssl.SSLError):
        return errors.Interrupted(f"{key}: {_one_line(root)}")
    if type(error).__name__ in {"ResponseParserError", "PaginationError"}:
        return errors.BadResponse(f"{key}: the response is not S3's: {_one_line(error)}")
    return errors.BucketError(f"{key}: {type(error).__name__}: {_one_line(error)}")  # unexpected: this object fails


def root_cause(error: BaseException) -> BaseException:
    """Return the error at the end of the chain of causes."""
    return list(_causes(error))[-1]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield this error and the errors that caused it. botocore stores the next one in `kwargs["error"]`, urllib3 as
    `__cause__` or in `args`."""
    seen: set[int] = set()
    cause: Any = error
    while isinstance(cause, BaseException) and id(cause) not in seen:
        seen.add(id(cause))
        yield (error := cause)
        cause = getattr(error, "kwargs", {}).get("error") if isinstance(error, b.BotoCoreError) else None
        if not isinstance(cause, BaseException):
            wrapped = [a for a in error.args[1:2] if isinstance(a, BaseException)]
            cause = error.__cause__ or error.__context__ or (wrapped[0] if wrapped else None)


def _map_response(error: b.ClientError, key: str) -> errors.Era5Error:
    """Return the Era5Error for a response with an error status."""
    meta = error.response.get("ResponseMetadata", {})
    status = meta.get("HTTPStatusCode", 0)
    code = str(error.response.get("Error", {}).get("Code", ""))[:100]
    message = f"{key}: the server responded with {status} {code if code != str(status) else ''}".rstrip()
    if code in _THROTTLE_CODES or status in (429, 503, 509):
        return errors.ServerBusy(message, retry_after=_retry_after(meta.get("HTTPHeaders", {})))
    if status in (500, 502, 504, 408) or code in _FAULT_CODES:
        return errors.ServerFault(message)
    if status in (412, 416):
        return errors.ObjectChanged(f"{key}: the object is no longer the version that was planned ({status})")
    if status == 407:
        return errors.BucketRefused(
            f"{message}: a proxy requires a login",
            remedy="Put the user name and password of the proxy into ERA5DL_PROXY.",
        )
    if code in _BUCKET_CODES:
        return errors.BucketRefused(message)
    if status < 200:  # an interim response; the client library stops at it, and the connection is lost
        return errors.BadResponse(f"{message}: something between here and the bucket sends interim responses")
    if status in (301, 302, 303, 307, 308):
        return errors.BadResponse(f"{message}: something between here and the bucket redirects")
    if status == 404:
        return errors.NotFound(f"{key}: no such object in the bucket")
    if status == 403 and code != "InvalidObjectState":
        return errors.Denied(message)
    return errors.Refused(message)


def _retry_after(headers: dict[str, str]) -> float | None:
    """Return the delay in seconds that the server asks for: `x-amz-retry-after` in milliseconds, or `Retry-After`."""
    for name, unit in (("x-amz-retry-after", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if value.isascii() and value.isdigit():
            return min(int(value[:9]) * unit, _MAX_RETRY_AFTER)
    return None


def _one_line(error: BaseException) -> str:
    """Return the error's text as one short line; never a traceback, which would keep its sockets open."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
