"""Bucket client of the window, whose connections are reused, and the user's consent to servers of sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from era5dl.bucket.interface import Bucket
from era5dl.session.info import SessionInfo
from era5dl.session.origin import check_origin
from era5dl.settings import Settings

MakeBucket = Callable[[Settings], Bucket]


def s3_bucket(settings: Settings) -> Bucket:
    """Return the S3 bucket. Its library is imported here, on the calling thread, because that takes a while."""
    from era5dl.bucket.s3 import S3Bucket

    return S3Bucket(settings)


class BucketAccess:
    """Keeps one bucket open, with its connections, until the settings that it depends on change."""

    def __init__(self, make_bucket: MakeBucket) -> None:
        self._make_bucket = make_bucket
        self._lock = threading.Lock()
        self._cached: tuple[Settings, Bucket] | None = None
        self._trusted: set[str] = set()  # servers that the user has agreed to while this window is open

    def bucket(self, settings: Settings) -> Bucket:
        """Return the bucket for these settings."""
        key = replace(settings, rate_limit=None, retries=0, verify=True, opaque_etags=False, flat=False, disk_reserve=0)
        with self._lock:
            if self._cached is None or self._cached[0] != key:
                self._cached = (key, self._make_bucket(settings))
            return self._cached[1]

    def trust(self, address: str) -> None:
        """Remember the user's consent to a server. address: `messages.ConsentRequired.address`."""
        self._trusted.add(address)

    def checked_settings(self, info: SessionInfo, settings: Settings) -> Settings:
        """Return the settings for a session. Raises OtherEndpoint when the user has not consented to its server."""
        adapted = session_settings(info, settings)
        check_origin(adapted, settings, tuple(self._trusted))
        return adapted


def session_settings(info: SessionInfo, settings: Settings) -> Settings:
    """Return the settings to resume a session with: its own server and layout, and the current speed settings.

    If both the session's server and the configured one are on this machine, the configured one is used: the demo server
    gets another port each time.
    """
    endpoint = info.endpoint_url
    if (
        endpoint is not None
        and settings.endpoint_url is not None
        and _is_local(endpoint)
        and _is_local(settings.endpoint_url)
    ):
        endpoint = settings.endpoint_url
    return replace(
        settings,
        endpoint_url=endpoint,
        bucket=info.bucket,
        region=info.region,
        flat=info.flat,
        verify=info.verify,
    )


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "http://localhost:"))
