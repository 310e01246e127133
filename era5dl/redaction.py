"""Taking out of texts what is nobody's business: secrets from the log, people and places from a support report.

It errs on the side of taking too much: a report with a word missing can be asked about, a password cannot be unsent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

REDACTED = "***"

_HEADER = re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\W{1,4})[^\r\n]+")
_LOGIN = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*:/{1,3})[^\s\"'<>]*@")  # up to the last @: a password may hold one
_BARE_LOGIN = re.compile(r"[^\s/@:\"'<>=]+:(?!//)[^\s\"'<>]+@(?=[\w\[])")  # HTTP_PROXY often has no scheme
_FIELD = re.compile(  # bounded throughout: a text made to match it nearly, everywhere, must not take minutes
    r"(?i)((?:password|passwd|passphrase|secret|token|signature|credential|access_key)[\w-]{0,40}[\"']?\s{0,4}[:=]\s{0,4})"
    r"(\"[^\"]*\"|'[^']*'|[^\s&,;)}\]]+)"
)
_SCHEME = re.compile(r"(?i)\b(basic|bearer)\s+[a-z0-9+/._~-]{6,}=*")


def redact_secrets(text: str) -> str:
    """The text without logins of proxies, authorization headers, cookies, and whatever is called password or token."""
    text = _HEADER.sub(rf"\1\2{REDACTED}", text)
    text = _LOGIN.sub(rf"\1{REDACTED}@", text)
    text = _BARE_LOGIN.sub(f"{REDACTED}@", text)
    text = _FIELD.sub(rf"\1{REDACTED}", text)
    return _SCHEME.sub(rf"\1 {REDACTED}", text)


_WEB_SCHEME = re.compile(r"(?i)[a-z][a-z0-9+.-]{0,20}:/{1,3}")
_PLACE = re.compile(r"(\[[0-9a-fA-F:.%]*\]|[^/:?#\s]*)(:[0-9]{1,5}(?=[/?#]|$))?")  # host and port
_SHOWN = 200  # letters of a host that are shown


def has_credentials(url: str) -> bool:
    """Whether a URL has a user name or a password in it, or something that may be meant as one."""
    return "@" in url


def strip_credentials(url: str) -> str:
    """The URL without the user name and the password: without all that is between its scheme and its last @."""
    scheme = _WEB_SCHEME.match(url)
    start = scheme[0] if scheme else ""
    return start + url[len(start) :].rpartition("@")[2]


def redact_url(url: str) -> str:
    """A URL, perhaps a mistyped one, as a message may show it: scheme, host and port, and never a login.

    Where there is no @ a colon may still stand before a password; so after the host nothing but a port is shown.
    """
    scheme = _WEB_SCHEME.match(url)
    start = scheme[0] if scheme else ""
    _, at, rest = url[len(start) :].rpartition("@")
    place = _PLACE.match(rest[:_SHOWN])
    shown = place[0] if place else ""
    more = "..." if rest[len(shown) :].strip("/") else ""
    return ascii(f"{start}{REDACTED + '@' if at else ''}{shown}{more}")[1:-1]


_OTHERS_HOME = re.compile(
    r"(?i)(?:[a-z]:)?(?:[\\/]{1,4}[^\\/\s\"':]+)*?[\\/]{1,4}(?:home|users|documents and settings)"
    r"[\\/]{1,4}[^\\/\s\"':;,)]+"
)
_SHARE = re.compile(r"(?<![\\\w:])\\{2,4}[^\\/\s\"']+")  # \\server\share
_NAME = r"[^\W_](?:[\w.-]*\w)?"  # of a computer, also one without a dot
_LOCK_HOST = re.compile(r"(\bprocess \d+ on )[^,()\s]+")
_SAID_HOST = re.compile(
    r"(?i)(\bhost(?:name)?\s{0,2}[=:]\s{0,2}[\"']?|\bresolve [\"']?|\bconnection to |\bconnect to |\bthe name )"
    rf"({_NAME})"
    r"(?=[\"',;:)\s]|$)"
)
_HOST_PORT = re.compile(r"(?<![\w./@\\-])([^\W\d_][\w-]{0,62})(?=:\d{2,5}(?![\w:]))")
_PART = r"[^\\/\s\"'<>|*?;,()\[\]]+"
_PATH = re.compile(  # of more than one folder: a single one could be anything
    rf"(?i)(?<![\w.~>:/\\-])(?:file:)?(?:[a-z]:[\\/]+{_PART}|[\\/]{{1,4}}{_PART}[\\/]+{_PART})(?:[\\/]+{_PART})*[\\/]*"
)
_QUOTED_PATH = re.compile(r"([\"'])(?:[A-Za-z]:)?[\\/][^\"'\n]*[\\/][^\"'\n]*\1")
_URL_HOST = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://(?:\*\*\*@)?)(\[[^\]\s]*\]|[^\s/:?#\"'<>\]]+)")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)")
_IPV6 = re.compile(
    r"(?i)(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{1,4}|(?<=:))(?:%\w+)?(?![\w:])"
)
_DOMAIN = re.compile(r"(?i)(?<![\w./\\@-])(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,63}\.?(?![\w./\\(-])")
_PUBLIC = re.compile(r"(?i)(?:.+\.)?amazonaws\.com(?:\.cn)?|localhost|127\.\d+\.\d+\.\d+|\[?::1\]?")
_TIME = re.compile(r"[0-2]\d:[0-5]\d:[0-5]\d")
_NO_HOST = re.compile(
    r"(?i)e5\..*|(?:era5dl|urllib3|botocore|boto3|ssl|http|socket|tkinter|psutil|python|threading|json|os|rich|py)\..*"
    r"|.*\.(?:nc|py|pem|crt|json|jsonl|txt|log|part|tmp|bak|csv|zip|exe|dll|so)"
)
_COMMON_NAMES = frozenset(("root", "user", "admin", "ubuntu", "data", "home", "users", "test", "public"))
_ORDINARY = {"", "/", "\\", ".", "~", "localhost", "127.0.0.1", "::1"}


class Redactor:
    """Makes texts fit to be sent to strangers. Everything it is told of is taken out literally, then come the patterns.

    homes: the user's home folder under all its names. folders: where downloads lie. user, machine: their names.
    urls: endpoint and proxies, whose hosts and passwords are taken out wherever they stand alone, too.
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
        secrets, hosts = _of_urls(urls)
        for secret in sorted(secrets, key=len, reverse=True):
            self._literally(secret, REDACTED, whole=len(secret) < 4)
        self._before = len(self._steps)  # passwords come out before the patterns of logins, names after
        for names, mark in ((folders, "<folder>"), (homes, "~")):
            for name in sorted(map(str, names), key=len, reverse=True):
                self._path(name.rstrip("/\\"), mark)
        self._steps.append((_OTHERS_HOME, "~"))
        hosts |= {machine, machine.split(".")[0]}
        for host in sorted(hosts, key=len, reverse=True):
            if not _PUBLIC.fullmatch(host):
                self._literally(host, "<host>", whole=True)
        if len(user) > 1 and user.lower() not in _COMMON_NAMES:
            self._literally(user, "<user>", whole=True)
        self._steps += [
            (_QUOTED_PATH, r"\1<path>\1"),
            (_PATH, "<path>"),
            (_LOCK_HOST, r"\1<host>"),
            (_SAID_HOST, lambda found: found[0] if _PUBLIC.fullmatch(found[2]) else f"{found[1]}<host>"),
            (_HOST_PORT, lambda found: found[0] if _PUBLIC.fullmatch(found[1]) else "<host>"),
            (_MAIL, "<mail>"),
            (_URL_HOST, lambda found: found[0] if _PUBLIC.fullmatch(found[2]) else f"{found[1]}<host>"),
            (_SHARE, r"\\\\<host>"),
            (_IPV6, lambda found: found[0] if _no_address(found[0]) else "<address>"),
            (_IPV4, lambda found: found[0] if _PUBLIC.fullmatch(found[0]) else "<address>"),
            (_DOMAIN, lambda found: found[0] if _harmless(found[0]) else "<host>"),
        ]

    def __call__(self, text: str) -> str:
        """The text, redacted."""
        for pattern, mark in self._steps[: self._before]:
            text = pattern.sub(mark, text)
        text = redact_secrets(text)
        for pattern, mark in self._steps[self._before :]:
            text = pattern.sub(mark, text)
        return text

    def _literally(self, text: str, mark: str, *, whole: bool) -> None:
        if text.lower() not in _ORDINARY:
            edge = (r"(?<!\w)", r"(?!\w)") if whole else ("", "")
            self._steps.append((re.compile(f"(?i){edge[0]}{re.escape(text)}{edge[1]}"), mark.replace("\\", "\\\\")))

    def _path(self, path: str, mark: str) -> None:
        """However its separators are written: /, \\, doubled as in JSON."""
        if path in _ORDINARY or len(path) < 2:
            return
        spelled = r"[\\/]+".join(re.escape(part) for part in re.split(r"[\\/]+", path))
        self._steps.append((re.compile(f"(?i)(?<!\\w){spelled}(?![\\w-])"), mark))


def _of_urls(urls: Iterable[str]) -> tuple[set[str], set[str]]:
    """The passwords in these addresses, as written and decoded, and their hosts."""
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


def _no_address(text: str) -> bool:
    return text == "::" or bool(_PUBLIC.fullmatch(text) or _TIME.fullmatch(text))


def _harmless(name: str) -> bool:
    return bool(_PUBLIC.fullmatch(name.rstrip(".")) or _NO_HOST.fullmatch(name.rstrip(".")))
