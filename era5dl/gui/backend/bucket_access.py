"""Which bucket a request goes to: a cached connection pool, and the user's consent to servers named by sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from era5dl.bucket.interface import Bucket
from era5dl.session import Session
from era5dl.session.origin import check_origin
from era5dl.settings import Settings

MakeBucket = Callable[[Settings], Bucket]


def s3_bucket(settings: Settings) -> Bucket:
    """Return the real bucket. Its library takes a while to import, so that happens on the thread that needs it."""
    from era5dl.bucket.s3 import S3Bucket

    return S3Bucket(settings)


class BucketAccess:
    """Keeps one bucket open, with its connections, for as long as the settings that matter to it stay the same."""

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
        """Remember that the user agrees to a server: `messages.ConsentRequired.address`."""
        self._trusted.add(address)

    def checked_settings(self, session: Session, settings: Settings) -> Settings:
        """Return the settings for a session. Raises OtherEndpoint when its server is not one the user agreed to."""
        adapted = session_settings(session, settings)
        check_origin(adapted, settings, tuple(self._trusted))
        return adapted


def session_settings(session: Session, settings: Settings) -> Settings:
    """Return the settings to resume a session with: its own server and layout, and the current speed settings.

    A session from a server on this machine is looked for at the configured endpoint if that is local too: the demo
    server gets another port each time.
    """
    endpoint = session.info.endpoint_url
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
        bucket=session.info.bucket,
        region=session.info.region,
        flat=session.info.flat,
        verify=session.info.verify,
    )


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "http://localhost:"))
