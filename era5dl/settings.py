"""Settings: how to reach the bucket and how to download, as one immutable, validated object.

They can be read from environment variables. Sizes are in bytes, rates in bytes per second, times in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from era5dl.bucket.proxy import SETTINGS, VARIABLE, parse_proxy
from era5dl.errors import UsageError
from era5dl.formatting import check_rate, parse_size
from era5dl.rate_timetable import normalize_rate_limit
from era5dl.redaction import has_credentials, redact_secrets, redact_url

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")
MIB = 1024 * 1024
AUTO: Final = "auto"
MAX_AUTO_WORKERS = 64  # maximum of concurrent requests for workers="auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a download. Raises UsageError, with a remedy, for values that are not valid."""

    endpoint_url: str | None = None  # None for Amazon S3
    bucket: str = "nsf-ncar-era5"
    region: str = "us-west-2"
    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)  # may contain a password
    workers: int | Literal["auto"] = AUTO  # requests at a time; "auto": found by measuring, MAX_AUTO_WORKERS at most
    rate_limit: int | str | None = None  # of all workers together; None or 0: unlimited; a text: see `rate_timetable`
    retries: int = 6  # consecutive attempts without a new byte before an object fails
    verify: bool = True
    read_back: bool = False  # also hash each file as read from disk before it gets its final name
    opaque_etags: bool = False  # this server's ETags are not MD5s, even if they look like MD5s
    flat: bool = False  # all files in one folder instead of in the bucket's folders
    connect_timeout: float = 5.0
    read_timeout: float = 20.0
    disk_reserve: int = 512 * MIB  # bytes to keep free on the disk

    def __post_init__(self) -> None:
        self._check_types()
        for name, low, high in (
            ("workers", 1, 256),
            ("retries", 0, 1000),
            ("connect_timeout", 0.1, 600),
            ("read_timeout", 0.1, 600),
            ("disk_reserve", 0, 2**50),
        ):
            value = getattr(self, name)
            if value != AUTO and not low <= value <= high:
                or_auto = ", or auto" if name == "workers" else ""
                raise UsageError(f"{name} is {value}", remedy=f"Use a value from {low} to {high}{or_auto}.")
        object.__setattr__(self, "rate_limit", _valid_rate_limit(self.rate_limit))
        object.__setattr__(self, "endpoint_url", _valid_endpoint(self.endpoint_url))
        object.__setattr__(self, "proxy", _valid_proxy(self.proxy))
        self._check_names()

    @property
    def pool_size(self) -> int:
        """Maximum number of connections kept open for reuse: four times the highest number of requests at a time."""
        return 4 * (MAX_AUTO_WORKERS if self.workers == AUTO else self.workers)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **overrides: Any) -> Settings:
        """Return settings from environment variables; `overrides` that are not None have priority.

        A variable is named after the command-line option: --limit-rate is ERA5DL_LIMIT_RATE. An empty one counts as
        not set. Raises UsageError, whose message has the name of the variable.
        """
        found: dict[str, Any] = {}
        for variable, (name, read) in _ENVIRONMENT.items():
            text = environ.get(variable, "").strip()
            if text:
                try:
                    found[name] = read(text)
                except (ValueError, UsageError) as exc:
                    remedy = exc.remedy if isinstance(exc, UsageError) else ""
                    raise UsageError(
                        f"the environment variable {variable} is {redact_secrets(repr(text))}: {exc}", remedy=remedy
                    ) from exc
        if "proxy" in found:
            parse_proxy(found["proxy"], VARIABLE)  # so that the error message has the name of the variable
        found.update((name, value) for name, value in overrides.items() if value is not None)
        return cls(**found)

    def _check_types(self) -> None:
        """Check types, because Python callers can pass anything, and a worker would fail only hours later."""
        for names, types, what in (
            (("bucket", "region"), str, "a text"),
            (("endpoint_url", "ca_bundle", "proxy"), (str, type(None)), "a text or None"),
            (("workers", "retries", "disk_reserve"), int, "a whole number"),
            (("rate_limit",), (int, str, type(None)), "a whole number, a text or None"),
            (("connect_timeout", "read_timeout"), (int, float), "a number of seconds"),
            (("verify", "read_back", "opaque_etags", "flat"), bool, "True or False"),
        ):
            for name in names:
                value = getattr(self, name)
                if (name, value) == ("workers", AUTO):
                    continue
                if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
                    may_have_password = name in ("endpoint_url", "proxy")
                    shown = type(value).__name__ if may_have_password else repr(value)
                    raise UsageError(f"{name} is {shown}, which is not {what}")

    def _check_names(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise UsageError(
                f"{self.bucket!r} is not a bucket name",
                remedy="Specify only the name, such as nsf-ncar-era5, without s3:// and without a path.",
            )
        if not _REGION.fullmatch(self.region):
            raise UsageError(f"{self.region!r} is not a region name", remedy="Specify one such as us-west-2.")
        if self.ca_bundle is not None and not Path(self.ca_bundle).is_file():
            raise UsageError(
                f"there is no CA file {self.ca_bundle}", remedy="Specify the path of a PEM file with the certificates."
            )


def _valid_rate_limit(limit: int | str | None) -> int | str | None:
    """Return bytes per second, a timetable in its usual notation, or None for no limit. Raises UsageError."""
    if isinstance(limit, str):
        try:
            limit = normalize_rate_limit(limit)
        except UsageError as error:
            raise UsageError(f"rate_limit is {limit!r}: {error}", remedy=error.remedy) from None
    if limit and not isinstance(limit, str):
        if limit < 0:
            raise UsageError(f"rate_limit is {limit}", remedy="Use 0 for no limit, or bytes per second.")
        try:
            check_rate(limit, str(limit))
        except UsageError as error:
            raise UsageError(f"rate_limit is {limit}: {error}", remedy=error.remedy) from None
    return limit or None


def _valid_proxy(text: str | None) -> str | None:
    """Validate a proxy URL; return it without a trailing slash, or None if it is empty."""
    if not text or not text.strip():
        return None
    parse_proxy(text, SETTINGS)
    return text.strip().rstrip("/")


def _valid_endpoint(url: str | None) -> str | None:
    """Validate an endpoint URL; return it without a trailing slash, or None if it is empty."""
    if not url:
        return None
    if has_credentials(url):
        raise UsageError(
            f"the endpoint URL {redact_url(url)} has a user name or a password in it",
            remedy="Remove them: the bucket is read without an account, and the folder of a download must not contain "
            "secrets.",
        )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # an invalid port, an unclosed [
        usable = False
    if usable and (parts.query or parts.fragment):
        usable = False  # this is a signed URL, and not an endpoint
    if not usable or not url.isprintable() or " " in url:
        shown = ascii(url.partition("?")[0])
        raise UsageError(
            f"endpoint_url {shown} is not a web address", remedy="Specify one such as http://127.0.0.1:9000."
        )
    return url.rstrip("/")


def parse_workers(text: str) -> int | Literal["auto"]:
    """Parse a number of workers, or "auto". Raises UsageError."""
    return "auto" if text.strip().lower() == AUTO else _parse_integer(text)


def _parse_integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise UsageError("not a whole number")
    return int(text)


def _parse_seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", text):
        raise UsageError("not a number of seconds")
    return float(text)


def _parse_boolean(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise UsageError("neither yes nor no", remedy="Use 1 or 0.")


def _parse_negated(text: str) -> bool:
    return not _parse_boolean(text)


_ENVIRONMENT: dict[str, tuple[str, Callable[[str], object]]] = {
    "ERA5DL_ENDPOINT_URL": ("endpoint_url", str),
    "ERA5DL_BUCKET": ("bucket", str),
    "ERA5DL_REGION": ("region", str),
    "ERA5DL_CA_BUNDLE": ("ca_bundle", str),
    "ERA5DL_PROXY": ("proxy", str),
    "ERA5DL_WORKERS": ("workers", parse_workers),
    "ERA5DL_LIMIT_RATE": ("rate_limit", normalize_rate_limit),
    "ERA5DL_RETRIES": ("retries", _parse_integer),
    "ERA5DL_NO_VERIFY": ("verify", _parse_negated),
    "ERA5DL_READ_BACK": ("read_back", _parse_boolean),
    "ERA5DL_OPAQUE_ETAGS": ("opaque_etags", _parse_boolean),
    "ERA5DL_FLAT": ("flat", _parse_boolean),
    "ERA5DL_CONNECT_TIMEOUT": ("connect_timeout", _parse_seconds),
    "ERA5DL_READ_TIMEOUT": ("read_timeout", _parse_seconds),
    "ERA5DL_DISK_RESERVE": ("disk_reserve", parse_size),
}
