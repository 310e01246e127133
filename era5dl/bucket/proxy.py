"""Chooses the proxy for a URL, records where it was configured, and explains its errors without passwords.

A proxy of the settings goes before HTTPS_PROXY and HTTP_PROXY, these before ALL_PROXY, and where none of them is set,
Windows and macOS are asked for theirs. A lower-case variable goes before its upper-case form, as everywhere.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from urllib.parse import unquote, urlsplit

from era5dl.errors import BucketRefused, Era5Error, Unreachable, Untrusted, UsageError

HTTP = {"http": 80, "https": 443}
SOCKS = {"socks5": 1080, "socks5h": 1080, "socks4": 1080, "socks4a": 1080}
SETTINGS = "the settings"
SYSTEM = "the system's settings"
VARIABLE = "ERA5DL_PROXY"
_PORTS = {**HTTP, **SOCKS}
_ALIASES = {"socks": "socks5h"}  # desktops write it so; the proxy knows the names that are meant for it
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,19})://")
_LONGEST_SOCKS_LOGIN = 127  # bytes that PySocks can count
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")  # how http.client says it
_HOW = (
    "Write it as http://HOST:PORT or socks5h://HOST:PORT; a user name and a password come before the host, "
    "USER:PASSWORD@HOST, and special characters in them as %40 for @."
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy is. source: the variable that names it, SETTINGS or SYSTEM."""

    scheme: str
    host: str
    port: int
    source: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """Without user name and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        return self.scheme in SOCKS

    @property
    def authorization(self) -> str | None:
        """The value of Proxy-Authorization; None without a user name or a password."""
        if not self.user and not self.password:
            return None
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")

    def __str__(self) -> str:
        return f"{self.url} (from {self.source})"


def parsed(text: str, source: str) -> Proxy:
    """The proxy that a text names, "host:port" being http's. Raises UsageError, which shows nothing of the text: in a
    mistyped one a password may be anywhere."""
    text = text.strip()
    scheme = _SCHEME.match(text)
    name = scheme[1].lower() if scheme else "http"
    name = _ALIASES.get(name, name)
    if name not in _PORTS:
        known = ", ".join(_PORTS)
        raise UsageError(
            f"the proxy from {source} cannot be used: its scheme {name!r} is not known",
            remedy=f"Known are {known}. {_HOW}",
        )
    rest = text[scheme.end() :] if scheme else text
    login, at, place = rest.rpartition("@")
    user, _, password = login.partition(":")
    place = place.removesuffix("/")
    host, port = _place(place)
    strange = not text.isprintable() or " " in text or any(mark in login for mark in "/?#")
    half_a_scheme = scheme is None and user.lower() in {*_PORTS, *_ALIASES}  # http:user:password@host
    if not host or strange or half_a_scheme or (at and not login):
        raise UsageError(f"the proxy from {source} cannot be used: it is not a URL of a proxy", remedy=_HOW)
    user, password = unquote(user), unquote(password)
    if name in SOCKS and max(len(user.encode()), len(password.encode())) > _LONGEST_SOCKS_LOGIN:
        raise UsageError(
            f"the proxy from {source} cannot be used: its user name or password is too long for SOCKS",
            remedy=f"At most {_LONGEST_SOCKS_LOGIN} bytes each can be sent.",
        )
    return Proxy(name, host, port or _PORTS[name], source, user, password)


def _place(place: str) -> tuple[str, int | None]:
    """("", None) for what is no host with or without a port."""
    try:
        parts = urlsplit(f"//{place}")
        if parts.path or parts.query or parts.fragment or parts.port == 0 or not place or place[-1] == ":":
            return "", None
        host = parts.hostname or ""
        return (host, parts.port) if re.fullmatch(r"[\w.:%-]+", host) else ("", None)
    except ValueError:  # a port that is no number, an unclosed [
        return "", None


def proxy_for(url: str, chosen: str | None = None, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy on the way to this URL. chosen: that of the settings, which NO_PROXY does not touch. Raises UsageError
    for one that cannot be used."""
    environ = os.environ if environ is None else environ
    if chosen:
        is_variable = environ.get(VARIABLE, "").strip().rstrip("/") == chosen.rstrip("/")
        return parsed(chosen, VARIABLE if is_variable else SETTINGS)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or HTTP.get(parts.scheme, 0)
    exceptions = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    source, text = _from_environment(parts.scheme, environ)
    if not source:
        source, text = SYSTEM, _from_system(parts.scheme, host)
    if not text or is_excepted(host, port, exceptions):
        return None
    return parsed(text, source)


def _from_environment(scheme: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """(variable, its value); ("", "") when no variable names any proxy, ("-", "") when one does for another scheme."""
    for kind in (scheme, "all"):
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            if text := environ.get(name, "").strip():
                return name, text
    other = {"http": "https", "https": "http"}.get(scheme, "http")
    return ("-", "") if environ.get(f"{other}_proxy") or environ.get(f"{other}_PROXY".upper()) else ("", "")


def _from_system(scheme: str, host: str) -> str:
    """What Windows or macOS has been told; "" elsewhere."""
    import urllib.request as system  # takes a while, and is needed only here

    for proxies, bypass in (
        ("getproxies_registry", "proxy_bypass_registry"),
        ("getproxies_macosx_sysconf", "proxy_bypass_macosx_sysconf"),
    ):
        if hasattr(system, proxies) and hasattr(system, bypass):
            with contextlib.suppress(OSError, ValueError):
                found: dict[str, str] = getattr(system, proxies)()
                text = found.get(scheme) or re.sub(r"^https?://", "socks5h://", found.get("socks", ""))
                return "" if not text or getattr(system, bypass)(host) else text
    return ""


def is_excepted(host: str, port: int, exceptions: str) -> bool:
    """Whether NO_PROXY says that this host is reached without a proxy.

    Its entries, with commas or blanks between them: a name, which stands for its subdomains too, with or without a dot
    before it; an address; a network such as 10.0.0.0/8; `*`. A name or an address may have a port behind it.
    """
    host = host.lower().rstrip(".")
    for entry in re.split(r"[,\s]+", exceptions.lower()):
        if entry == "*":
            return True
        name, only = _with_port(entry)
        if not name or only not in (None, port):
            continue
        if _is_in(host, name):
            return True
    return False


def _with_port(entry: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"\[([^\]]*)\](?::(\d{1,5}))?|([^:]*):(\d{1,5})", entry)
    if not found:
        return entry, None
    name, port = found[1] or found[3] or "", found[2] or found[4]
    return name, int(port) if port else None


def _is_in(host: str, name: str) -> bool:
    with contextlib.suppress(ValueError):  # no address
        address = ipaddress.ip_address(host)
        with contextlib.suppress(ValueError):
            return address in ipaddress.ip_network(name, strict=False)
        return False
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def failure(proxy: Proxy, error: BaseException) -> Era5Error:
    """What it means that no connection came about by way of this proxy."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted(f"the certificate of the proxy {proxy} is not trusted: {error.verify_message}")
    tunnel = _TUNNEL.search(str(error))
    if tunnel:
        return refusal(proxy, int(tunnel[1]), str(error)[tunnel.start(1) :])
    if isinstance(error, ConnectionRefusedError):
        said = "refuses the connection"
    elif isinstance(error, TimeoutError):
        said = "does not answer"
    elif isinstance(error, socket.gaierror | UnicodeError):
        said = "cannot be found: its name does not resolve"
    elif isinstance(error, ConnectionError | ssl.SSLError | HTTPException):
        said = "breaks off the connection, or is no proxy of this kind"
    else:
        said = f"cannot be reached: {_words(error)}"
    return Unreachable(f"the proxy {proxy} {said}", remedy=_remedy(proxy))


def refusal(proxy: Proxy, status: int, words: str = "") -> Era5Error:
    """What it means that this proxy answers with this HTTP status instead of letting us through."""
    if status == 407:
        return login_wanted(proxy)
    if status in (408, 425, 429) or status >= 500:
        return server_unreachable(proxy, words or str(status))
    return refused_by_rule(proxy, words or str(status))


def server_unreachable(proxy: Proxy, words: str) -> Era5Error:
    """The proxy is there, and cannot reach the server. That may pass."""
    return Unreachable(
        f"the proxy {proxy} cannot reach the server: {words}",
        remedy="Check that the proxy itself is online, and the endpoint URL.",
    )


def refused_by_rule(proxy: Proxy, words: str) -> Era5Error:
    """The proxy lets nobody through to this server."""
    return BucketRefused(
        f"the proxy {proxy} does not let anybody through to the server: {words}",
        remedy="Ask whoever runs the proxy, or use another one.",
    )


def login_wanted(proxy: Proxy) -> Era5Error:
    """The proxy lets nobody through without a login, or not with this one."""
    said = "does not accept the user name and password" if proxy.authorization else "wants a user name and a password"
    place = proxy.url.partition("://")[2]
    return BucketRefused(
        f"the proxy {proxy} {said}",
        remedy=f"Put them into {proxy.source} as {proxy.scheme}://USER:PASSWORD@{place}, with special characters in "
        "them as %40 for @.",
    )


def _remedy(proxy: Proxy) -> str:
    where = "the proxy in the settings" if proxy.source == SETTINGS else proxy.source
    return f"Check that the proxy program is running and that {where} names the right host and port."


def _words(error: BaseException) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return (" ".join(text.split()) or type(error).__name__)[:200]
