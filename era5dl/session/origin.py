"""The server a session's files come from, and the user's consent to a server that is not the configured one.

A session is a file in a folder, and anybody may have put it there: a colleague, an archive that was unpacked, somebody
who wants this computer to ask a server of theirs. So what a session names is reached only where the settings name
the same address, or where a person has said yes to exactly this one.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from era5dl.errors import OtherEndpoint
from era5dl.redaction import without_login
from era5dl.settings import Settings


def address_of(settings: Settings) -> str:
    """The server as a URL. At Amazon each bucket has a host of its own, which anybody can have; elsewhere the endpoint
    is one server with all its buckets."""
    return settings.endpoint_url or f"https://{settings.bucket}.s3.{settings.region}.amazonaws.com"


def check_origin(session: Settings, configured: Settings, allowed: Collection[str]) -> None:
    """Raise OtherEndpoint unless the server that a session is to be fetched from is one that was agreed to.

    session: the settings as they would be used for it. configured: what flags, environment, preferences and defaults
    say without it. allowed: addresses that a person has said yes to. The bucket that this program is made for is always
    right.
    """
    address = address_of(session)
    agreed = {_compared(url) for url in (address_of(configured), address_of(Settings()), *allowed)}
    if _compared(address) not in agreed:
        raise OtherEndpoint(
            f"the files of this session come from {address}, which is not the server of your settings "
            f"({address_of(configured)})",
            address=address,
            remedy=f"If you trust that server, run the same command again with --allow-endpoint {address}. If you do "
            "not, download into another folder.",
        )


def _compared(url: str) -> str:
    """A form that is the same for addresses that mean the same server."""
    url = without_login(url).rstrip("/")
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.hostname}:{port}{parts.path}"
