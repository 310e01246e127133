"""Chooses the proxy for a URL, records where it was configured, and explains its errors without passwords.

The proxy of the settings has priority over HTTPS_PROXY and HTTP_PROXY, and these over ALL_PROXY. If none is set, the
system settings of Windows and macOS apply. A lower-case variable has priority over its upper-case form.
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
_ALIASES = {"socks": "socks5h"}  # as desktops write it; the proxy resolves the names
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,19})://")
_MAX_SOCKS_LOGIN = 127  # bytes; PySocks has a signed byte for the length
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")  # in a message of http.client
_HOW = (
    "Write it as http://HOST:PORT or socks5h://HOST:PORT. A user name and a password come before the host, as "
    "USER:PASSWORD@HOST, with special characters escaped, as %40 for @."
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """Address of a proxy. source: the variable that names it, SETTINGS or SYSTEM."""

    scheme: str
    host: str
    port: int
    source: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """URL without user name and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        return self.scheme in SOCKS

    @property
    def authorization(self) -> str | None:
        """Value of Proxy-Authorization; None without a user name and a password."""
        if not self.user and not self.password:
            return None
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")

    def __str__(self) -> str:
        return f"{self.url} (from {self.source})"


def parse_proxy(text: str, source: str) -> Proxy:
    """Parse the address of a proxy; "host:port" without a scheme is an HTTP proxy.

    Raises UsageError. Its message does not quote the text, since a mistyped one may have a password anywhere.
    """
    text = text.strip()
    scheme = _SCHEME.match(text)
    name = scheme[1].lower() if scheme else "http"
    name = _ALIASES.get(name, name)
    if name not in _PORTS:
        known = ", ".join(_PORTS)
        raise UsageError(
            f"the proxy from {source} cannot be used: its scheme {name!r} is unknown",
            remedy=f"Use one of {known}. {_HOW}",
        )
    rest = text[scheme.end() :] if scheme else text
    login, at, address = rest.rpartition("@")
    user, _, password = login.partition(":")
    host, port = _host_and_port(address.removesuffix("/"))
    is_invalid = not text.isprintable() or " " in text or any(mark in login for mark in "/?#")
    has_half_scheme = scheme is None and user.lower() in {*_PORTS, *_ALIASES}  # http:user:password@host
    if not host or is_invalid or has_half_scheme or (at and not login):
        raise UsageError(f"the proxy from {source} cannot be used: it is not the URL of a proxy", remedy=_HOW)
    user, password = unquote(user), unquote(password)
    if name in SOCKS and max(len(user.encode()), len(password.encode())) > _MAX_SOCKS_LOGIN:
        raise UsageError(
            f"the proxy from {source} cannot be used: its user name or password is too long for SOCKS",
            remedy=f"Each has at most {_MAX_SOCKS_LOGIN} bytes.",
        )
    return Proxy(name, host, port or _PORTS[name], source, user, password)


def _host_and_port(address: str) -> tuple[str, int | None]:
    """Split HOST or HOST:PORT; ("", None) for anything else."""
    try:
        parts = urlsplit(f"//{address}")
        if parts.path or parts.query or parts.fragment or parts.port == 0 or not address or address[-1] == ":":
            return "", None
        host = parts.hostname or ""
        return (host, parts.port) if re.fullmatch(r"[\w.:%-]+", host) else ("", None)
    except ValueError:  # a port that is not a number, an unclosed [
        return "", None


def proxy_for(url: str, chosen: str | None = None, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """Return the proxy for this URL, or None for a direct connection.

    chosen: the proxy of the settings, to which NO_PROXY does not apply. Raises UsageError if the proxy is not valid.
    """
    environ = os.environ if environ is None else environ
    if chosen:
        is_variable = environ.get(VARIABLE, "").strip().rstrip("/") == chosen.rstrip("/")
        return parse_proxy(chosen, VARIABLE if is_variable else SETTINGS)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or HTTP.get(parts.scheme, 0)
    exceptions = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    source, text = _from_environment(parts.scheme, environ)
    if not source:
        source, text = SYSTEM, _from_system(parts.scheme, host)
    if not text or is_bypassed(host, port, exceptions):
        return None
    return parse_proxy(text, source)


def _from_environment(scheme: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and value of the proxy variable; ("", "") if there is none, ("-", "") if there is one only for
    the other scheme, in which case the system settings do not apply."""
    for kind in (scheme, "all"):
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            if text := environ.get(name, "").strip():
                return name, text
    other = {"http": "https", "https": "http"}.get(scheme, "http")
    return ("-", "") if environ.get(f"{other}_proxy") or environ.get(f"{other}_PROXY".upper()) else ("", "")


def _from_system(scheme: str, host: str) -> str:
    """Return the proxy of the system settings of Windows or macOS; "" elsewhere."""
    import urllib.request as system  # slow to import, and needed only here

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


def is_bypassed(host: str, port: int, exceptions: str) -> bool:
    """Whether NO_PROXY says to connect to this host without a proxy.

    Its entries are separated by commas or blanks: a name, with or without a leading dot, which includes its subdomains;
    an address; a network such as 10.0.0.0/8; or `*`. A name or an address may be followed by a port.
    """
    host = host.lower().rstrip(".")
    for entry in re.split(r"[,\s]+", exceptions.lower()):
        if entry == "*":
            return True
        name, entry_port = _split_port(entry)
        if not name or entry_port not in (None, port):
            continue
        if _matches(host, name):
            return True
    return False


def _split_port(entry: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"\[([^\]]*)\](?::(\d{1,5}))?|([^:]*):(\d{1,5})", entry)
    if not found:
        return entry, None
    name, port = found[1] or found[3] or "", found[2] or found[4]
    return name, int(port) if port else None


def _matches(host: str, name: str) -> bool:
    with contextlib.suppress(ValueError):  # not an address
        address = ipaddress.ip_address(host)
        with contextlib.suppress(ValueError):
            return address in ipaddress.ip_network(name, strict=False)
        return False
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def connection_error(proxy: Proxy, error: BaseException) -> Era5Error:
    """Return the error for a connection through this proxy that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted(f"the certificate of the proxy {proxy} is not trusted: {error.verify_message}")
    tunnel = _TUNNEL.search(str(error))
    if tunnel:
        return status_error(proxy, int(tunnel[1]), str(error)[tunnel.start(1) :])
    if isinstance(error, ConnectionRefusedError):
        problem = "refuses the connection"
    elif isinstance(error, TimeoutError):
        problem = "does not answer"
    elif isinstance(error, socket.gaierror | UnicodeError):
        problem = "cannot be found: its name does not resolve"
    elif isinstance(error, ConnectionError | ssl.SSLError | HTTPException):
        problem = "closes the connection, or is not a proxy of this kind"
    else:
        problem = f"cannot be reached: {_one_line(error)}"
    return Unreachable(f"the proxy {proxy} {problem}", remedy=_remedy(proxy))


def status_error(proxy: Proxy, status: int, text: str = "") -> Era5Error:
    """Return the error for a proxy that responds with this HTTP status instead of opening the connection."""
    if status == 407:
        return login_required(proxy)
    if status in (408, 425, 429) or status >= 500:
        return server_unreachable(proxy, text or str(status))
    return forbidden(proxy, text or str(status))


def server_unreachable(proxy: Proxy, text: str) -> Era5Error:
    """Return the error for a proxy that cannot reach the server, perhaps for the moment."""
    return Unreachable(
        f"the proxy {proxy} cannot reach the server: {text}",
        remedy="Check that the proxy itself is online, and the endpoint URL.",
    )


def forbidden(proxy: Proxy, text: str) -> Era5Error:
    """Return the error for a proxy that does not allow connections to this server."""
    return BucketRefused(
        f"the proxy {proxy} does not allow connections to the server: {text}",
        remedy="Ask whoever runs the proxy, or use another one.",
    )


def login_required(proxy: Proxy) -> Era5Error:
    """Return the error for a proxy that requires a login, or does not accept this one."""
    problem = (
        "does not accept the user name and password" if proxy.authorization else "requires a user name and password"
    )
    address = proxy.url.partition("://")[2]
    return BucketRefused(
        f"the proxy {proxy} {problem}",
        remedy=f"Put them into {proxy.source} as {proxy.scheme}://USER:PASSWORD@{address}, with special characters "
        "escaped, as %40 for @.",
    )


def _remedy(proxy: Proxy) -> str:
    setting = "the proxy in the settings" if proxy.source == SETTINGS else proxy.source
    return f"Check that the proxy program is running and that {setting} names the right host and port."


def _one_line(error: BaseException) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return (" ".join(text.split()) or type(error).__name__)[:200]
