"""What a run can be told: one frozen value, checked when it is made, read from the environment where asked.

Sizes in bytes, speeds in bytes per second, times in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from era5dl.bucket.proxy import SETTINGS, VARIABLE, parsed
from era5dl.errors import UsageError
from era5dl.formatting import parse_rate, parse_size
from era5dl.redaction import has_credentials, redact_secrets, redact_url

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to reach the bucket and how hard to pull. Raises UsageError, with the remedy, for what cannot be."""

    endpoint_url: str | None = None  # None: Amazon's own
    bucket: str = "nsf-ncar-era5"
    region: str = "us-west-2"
    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)  # may have a password in it
    workers: int = 8  # requests in flight
    rate_limit: int | None = None  # of all workers together; 0 is taken as None, unlimited
    retries: int = 6  # attempts in a row without a new byte, before an object fails
    verify: bool = True
    read_back: bool = False  # hash each file from the disk before its final name, not only as it comes
    opaque_etags: bool = False  # the user says: this server's ETags are no MD5s, even where they look like some
    flat: bool = False  # files beside each other instead of in the bucket's folders
    connect_timeout: float = 5.0
    read_timeout: float = 20.0
    disk_reserve: int = 512 * MIB  # left free on the disk for everybody else

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
            if not low <= value <= high:
                raise UsageError(f"{name} is {value}", remedy=f"Take a value from {low} to {high}.")
        if self.rate_limit is not None and self.rate_limit < 0:
            raise UsageError(f"rate_limit is {self.rate_limit}", remedy="Take 0 for no limit, or bytes per second.")
        object.__setattr__(self, "rate_limit", self.rate_limit or None)
        object.__setattr__(self, "endpoint_url", _endpoint(self.endpoint_url))
        object.__setattr__(self, "proxy", _proxy(self.proxy))
        self._check_names()

    @property
    def pool_size(self) -> int:
        """Connections kept open for reuse."""
        return 4 * self.workers

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **overrides: Any) -> Settings:
        """The settings that variables such as ERA5DL_WORKERS hold; `overrides` that are not None go before them.

        A variable is named after the option of the command line: --limit-rate is ERA5DL_LIMIT_RATE. Empty ones
        count as not set.
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
            parsed(found["proxy"], VARIABLE)  # here its error can name the variable
        found.update((name, value) for name, value in overrides.items() if value is not None)
        return cls(**found)

    def _check_types(self) -> None:
        """Callers from Python can pass anything; a wrong type should not surface hours later in a worker."""
        for names, types, what in (
            (("bucket", "region"), str, "a text"),
            (("endpoint_url", "ca_bundle", "proxy"), (str, type(None)), "a text or None"),
            (("workers", "retries", "disk_reserve"), int, "a whole number"),
            (("rate_limit",), (int, type(None)), "a whole number or None"),
            (("connect_timeout", "read_timeout"), (int, float), "a number of seconds"),
            (("verify", "read_back", "opaque_etags", "flat"), bool, "True or False"),
        ):
            for name in names:
                value = getattr(self, name)
                if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
                    shown = type(value).__name__ if name in ("endpoint_url", "proxy") else repr(value)  # or a password
                    raise UsageError(f"{name} is {shown}, which is not {what}")

    def _check_names(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise UsageError(
                f"{self.bucket!r} is not the name of a bucket",
                remedy="Give the bare name, such as nsf-ncar-era5, without s3:// and without a path.",
            )
        if not _REGION.fullmatch(self.region):
            raise UsageError(f"{self.region!r} is not the name of a region", remedy="Give one such as us-west-2.")
        if self.ca_bundle is not None and not Path(self.ca_bundle).is_file():
            raise UsageError(
                f"there is no CA file {self.ca_bundle}", remedy="Give the path of a PEM file with the certificates."
            )


def _proxy(text: str | None) -> str | None:
    """The proxy as it was written, without a slash at its end; None for none."""
    if not text or not text.strip():
        return None
    parsed(text, SETTINGS)
    return text.strip().rstrip("/")


def _endpoint(url: str | None) -> str | None:
    """The address without a slash at its end; None stays None, and so does an empty text."""
    if not url:
        return None
    if has_credentials(url):
        raise UsageError(
            f"the endpoint URL {redact_url(url)} has a user name or a password in it",
            remedy="Leave out everything before the @: the bucket is read without an account, and nothing secret is "
            "to be kept in the folder of a download.",
        )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, an unclosed [
        usable = False
    if usable and (parts.query or parts.fragment):
        usable = False  # no endpoint has these, but a signed address does
    if not usable or not url.isprintable() or " " in url:
        shown = ascii(url.partition("?")[0])
        raise UsageError(f"endpoint_url {shown} is not a web address", remedy="Give one such as http://127.0.0.1:9000.")
    return url.rstrip("/")


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise UsageError("not a whole number")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", text):
        raise UsageError("not a number of seconds")
    return float(text)


def _flag(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise UsageError("neither yes nor no", remedy="Say 1 or 0.")


def _not(text: str) -> bool:
    return not _flag(text)


_ENVIRONMENT: dict[str, tuple[str, Callable[[str], object]]] = {
    "ERA5DL_ENDPOINT_URL": ("endpoint_url", str),
    "ERA5DL_BUCKET": ("bucket", str),
    "ERA5DL_REGION": ("region", str),
    "ERA5DL_CA_BUNDLE": ("ca_bundle", str),
    "ERA5DL_PROXY": ("proxy", str),
    "ERA5DL_WORKERS": ("workers", _whole),
    "ERA5DL_LIMIT_RATE": ("rate_limit", parse_rate),
    "ERA5DL_RETRIES": ("retries", _whole),
    "ERA5DL_NO_VERIFY": ("verify", _not),
    "ERA5DL_READ_BACK": ("read_back", _flag),
    "ERA5DL_OPAQUE_ETAGS": ("opaque_etags", _flag),
    "ERA5DL_FLAT": ("flat", _flag),
    "ERA5DL_CONNECT_TIMEOUT": ("connect_timeout", _seconds),
    "ERA5DL_READ_TIMEOUT": ("read_timeout", _seconds),
    "ERA5DL_DISK_RESERVE": ("disk_reserve", parse_size),
}
