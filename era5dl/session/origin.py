"""Origin check: a session's server that differs from the settings is contacted only with the user's consent.

A session is a file in a folder that may come from anybody: a colleague, an unpacked archive, or an attacker who wants
this computer to contact a certain server. So the server of a session is contacted only if the settings have the same
address, or if the user has agreed to exactly this address.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from era5dl.errors import OtherEndpoint
from era5dl.redaction import strip_credentials
from era5dl.settings import Settings


def address_of(settings: Settings) -> str:
    """Return the URL of the server.

    At Amazon the URL includes the bucket, since anybody can create one there. Any other endpoint is one server with all
    its buckets.
    """
    return settings.endpoint_url or f"https://{settings.bucket}.s3.{settings.region}.amazonaws.com"


def check_origin(session: Settings, configured: Settings, allowed: Collection[str]) -> None:
    """Raise OtherEndpoint unless the user has agreed to the server of a session.

    session: the settings that would be used for the session. configured: the settings from flags, environment,
    preferences and defaults, without the session. allowed: URLs that the user has agreed to. The default bucket is
    always allowed.
    """
    address = address_of(session)
    agreed = {_normalized(url) for url in (address_of(configured), address_of(Settings()), *allowed)}
    if _normalized(address) not in agreed:
        raise OtherEndpoint(
            f"the files of this session come from {address}, which is not the server of your settings "
            f"({address_of(configured)})",
            address=address,
            remedy=f"If you trust that server, run the same command again with --allow-endpoint {address}. If you do "
            "not, download into another folder.",
        )


def _normalized(url: str) -> str:
    """Return a form that is equal for URLs of the same server."""
    url = strip_credentials(url).rstrip("/")
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.hostname}:{port}{parts.path}"
