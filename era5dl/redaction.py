"""Redaction of sensitive data: secrets in logs and messages, names of users, hosts and folders in support reports.

When in doubt it redacts. A missing word in a report can be asked for, but a password that was sent cannot be recalled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

REDACTED = "***"

_HEADER = re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\W{1,4})[^\r\n]+")
_URL_CREDENTIALS = re.compile(
    r"(?i)(\b[a-z][a-z0-9+.-]*:/{1,3})[^\s\"'<>]*@"
)  # up to the last @: a password may contain one
_BARE_CREDENTIALS = re.compile(r"[^\s/@:\"'<>=]+:(?!//)[^\s\"'<>]+@(?=[\w\[])")  # HTTP_PROXY often lacks the scheme
_SECRET_FIELD = re.compile(  # bounded repetitions, against catastrophic backtracking on hostile input
    r"(?i)((?:password|passwd|passphrase|secret|token|signature|credential|access_key)[\w-]{0,40}[\"']?\s{0,4}[:=]\s{0,4})"
    r"(\"[^\"]*\"|'[^']*'|[^\s&,;)}\]]+)"
)
_AUTH_SCHEME = re.compile(r"(?i)\b(basic|bearer)\s+[a-z0-9+/._~-]{6,}=*")


def redact_secrets(text: str) -> str:
    """Redact credentials in URLs, authorization headers, cookies, and values named password, token or the like."""
    text = _HEADER.sub(rf"\1\2{REDACTED}", text)
    text = _URL_CREDENTIALS.sub(rf"\1{REDACTED}@", text)
    text = _BARE_CREDENTIALS.sub(f"{REDACTED}@", text)
    text = _SECRET_FIELD.sub(rf"\1{REDACTED}", text)
    return _AUTH_SCHEME.sub(rf"\1 {REDACTED}", text)


_URL_SCHEME = re.compile(r"(?i)[a-z][a-z0-9+.-]{0,20}:/{1,3}")
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.%]*\]|[^/:?#\s]*)(:[0-9]{1,5}(?=[/?#]|$))?")  # host and port
_MAX_SHOWN = 200  # characters of a host


def has_credentials(url: str) -> bool:
    """Return whether a URL contains, or may contain, a user name or a password."""
    return "@" in url


def strip_credentials(url: str) -> str:
    """Return the URL without user name and password: without everything between the scheme and the last @."""
    scheme = _URL_SCHEME.match(url)
    start = scheme[0] if scheme else ""
    return start + url[len(start) :].rpartition("@")[2]


def redact_url(url: str) -> str:
    """Return a URL in a form that is safe in a message: scheme, host and port. Also for invalid URLs.

    Without an @, a colon may still precede a password, so only a port number is kept after the host.
    """
    scheme = _URL_SCHEME.match(url)
    start = scheme[0] if scheme else ""
    _, at, rest = url[len(start) :].rpartition("@")
    place = _HOST_AND_PORT.match(rest[:_MAX_SHOWN])
    shown = place[0] if place else ""
    more = "..." if rest[len(shown) :].strip("/") else ""
    return ascii(f"{start}{REDACTED + '@' if at else ''}{shown}{more}")[1:-1]


_HOME_FOLDER = re.compile(
    r"(?i)(?:[a-z]:)?(?:[\\/]{1,4}[^\\/\s\"':]+)*?[\\/]{1,4}(?:home|users|documents and settings)"
    r"[\\/]{1,4}[^\\/\s\"':;,)]+"
)
_SHARE = re.compile(r"(?<![\\\w:])\\{2,4}[^\\/\s\"']+")  # \\server\share
_NAME = r"[^\W_](?:[\w.-]*\w)?"  # host name, with or without a domain
_LOCK_HOST = re.compile(r"(\bprocess \d+ on )[^,()\s]+")
_NAMED_HOST = re.compile(
    r"(?i)(\bhost(?:name)?\s{0,2}[=:]\s{0,2}[\"']?|\bresolve [\"']?|\bconnection to |\bconnect to |\bthe name )"
    rf"({_NAME})"
    r"(?=[\"',;:)\s]|$)"
)
_HOST_PORT = re.compile(r"(?<![\w./@\\-])([^\W\d_][\w-]{0,62})(?=:\d{2,5}(?![\w:]))")
_COMPONENT = r"[^\\/\s\"'<>|*?;,()\[\]]+"
_PATH = re.compile(  # at least two components: a single one could be anything
    rf"(?i)(?<![\w.~>:/\\-])(?:file:)?(?:[a-z]:[\\/]+{_COMPONENT}|[\\/]{{1,4}}{_COMPONENT}[\\/]+{_COMPONENT})(?:[\\/]+{_COMPONENT})*[\\/]*"
)
_QUOTED_PATH = re.compile(r"([\"'])(?:[A-Za-z]:)?[\\/][^\"'\n]*[\\/][^\"'\n]*\1")
_URL_HOST = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://(?:\*\*\*@)?)(\[[^\]\s]*\]|[^\s/:?#\"'<>\]]+)")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)")
_IPV6 = re.compile(
    r"(?i)(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{1,4}|(?<=:))(?:%\w+)?(?![\w:])"
)
_DOMAIN = re.compile(r"(?i)(?<![\w./\\@-])(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,63}\.?(?![\w./\\(-])")
_PUBLIC_HOST = re.compile(r"(?i)(?:.+\.)?amazonaws\.com(?:\.cn)?|localhost|127\.\d+\.\d+\.\d+|\[?::1\]?")
_TIME = re.compile(r"[0-2]\d:[0-5]\d:[0-5]\d")
_NOT_A_HOST = re.compile(
    r"(?i)e5\..*|(?:era5dl|urllib3|botocore|boto3|ssl|http|socket|tkinter|psutil|python|threading|json|os|rich|py)\..*"
    r"|.*\.(?:nc|py|pem|crt|json|jsonl|txt|log|part|tmp|bak|csv|zip|exe|dll|so)"
)
_COMMON_NAMES = frozenset(("root", "user", "admin", "ubuntu", "data", "home", "users", "test", "public"))
_NEVER_REPLACED = {"", "/", "\\", ".", "~", "localhost", "127.0.0.1", "::1"}


class Redactor:
    """Redacts text that is sent to others, such as support reports: first known names, then general patterns.

    homes: all paths of the user's home folder. folders: download folders. user, machine: the user's and computer's
    names.
    urls: endpoint and proxy URLs; their hosts and passwords are also redacted where they occur alone.
    """

    def __init__(
        self,
        *,
        homes: Iterable[str | Path] = (),
        folders: Iterable[str | Path] = (),
        user: str = "",
        machine: str = "",
        urls: Iterable[str] = (),
    ) -> None:
        self._steps: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = []
        secrets, hosts = _secrets_and_hosts(urls)
        for secret in sorted(secrets, key=len, reverse=True):
            self._replace_text(secret, REDACTED, whole=len(secret) < 4)
        self._secret_steps = len(self._steps)  # passwords are replaced before the credential patterns, names after
        for names, mark in ((folders, "<folder>"), (homes, "~")):
            for name in sorted(map(str, names), key=len, reverse=True):
                self._replace_path(name.rstrip("/\\"), mark)
        self._steps.append((_HOME_FOLDER, "~"))
        hosts |= {machine, machine.split(".")[0]}
        for host in sorted(hosts, key=len, reverse=True):
            if not _PUBLIC_HOST.fullmatch(host):
                self._replace_text(host, "<host>", whole=True)
        if len(user) > 1 and user.lower() not in _COMMON_NAMES:
            self._replace_text(user, "<user>", whole=True)
        self._steps += [
            (_QUOTED_PATH, r"\1<path>\1"),
            (_PATH, "<path>"),
            (_LOCK_HOST, r"\1<host>"),
            (_NAMED_HOST, lambda found: found[0] if _PUBLIC_HOST.fullmatch(found[2]) else f"{found[1]}<host>"),
            (_HOST_PORT, lambda found: found[0] if _PUBLIC_HOST.fullmatch(found[1]) else "<host>"),
            (_MAIL, "<mail>"),
            (_URL_HOST, lambda found: found[0] if _PUBLIC_HOST.fullmatch(found[2]) else f"{found[1]}<host>"),
            (_SHARE, r"\\\\<host>"),
            (_IPV6, lambda found: found[0] if _is_public_address(found[0]) else "<address>"),
            (_IPV4, lambda found: found[0] if _PUBLIC_HOST.fullmatch(found[0]) else "<address>"),
            (_DOMAIN, lambda found: found[0] if _is_public_name(found[0]) else "<host>"),
        ]

    def __call__(self, text: str) -> str:
        """Return the redacted text."""
        for pattern, mark in self._steps[: self._secret_steps]:
            text = pattern.sub(mark, text)
        text = redact_secrets(text)
        for pattern, mark in self._steps[self._secret_steps :]:
            text = pattern.sub(mark, text)
        return text

    def _replace_text(self, text: str, mark: str, *, whole: bool) -> None:
        if text.lower() not in _NEVER_REPLACED:
            edge = (r"(?<!\w)", r"(?!\w)") if whole else ("", "")
            self._steps.append((re.compile(f"(?i){edge[0]}{re.escape(text)}{edge[1]}"), mark.replace("\\", "\\\\")))

    def _replace_path(self, path: str, mark: str) -> None:
        """Replace a path, whichever separators it has: /, \\, or doubled as in JSON."""
        if path in _NEVER_REPLACED or len(path) < 2:
            return
        spelled = r"[\\/]+".join(re.escape(part) for part in re.split(r"[\\/]+", path))
        self._steps.append((re.compile(f"(?i)(?<!\\w){spelled}(?![\\w-])"), mark))


def _secrets_and_hosts(urls: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the passwords in these URLs, both as written and percent-decoded, and their hosts."""
    secrets: set[str] = set()
    hosts: set[str] = set()
    for url in filter(None, urls):
        rest = url.partition("://")[2] or url
        login, at, place = rest.rpartition("@")
        if at:
            _, _, password = login.partition(":")
            secrets |= {password, unquote(password)}
        try:
            hosts.add(urlsplit(f"//{place}").hostname or "")
        except ValueError:
            hosts.add(re.split(r"[/:?#]", place)[0])
    return secrets - {""}, hosts - {""}


def _is_public_address(text: str) -> bool:
    return text == "::" or bool(_PUBLIC_HOST.fullmatch(text) or _TIME.fullmatch(text))


def _is_public_name(name: str) -> bool:
    return bool(_PUBLIC_HOST.fullmatch(name.rstrip(".")) or _NOT_A_HOST.fullmatch(name.rstrip(".")))
