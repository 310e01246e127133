"""What the settings dialog's fields say, checked as they are typed: texts in, preferences or problems out. Tk-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from era5dl.errors import UsageError
from era5dl.formatting import parse_rate, parse_size
from era5dl.gui.models.preferences import BOUNDS, Preferences
from era5dl.gui.text.i18n import N_, _, translate
from era5dl.redaction import has_credentials
from era5dl.settings import Settings


class Kind(Enum):
    """What a field takes."""

    FOLDER = "folder"
    FILE = "file"
    TEXT = "text"
    WHOLE = "whole"  # a number, with buttons for more and less
    SECONDS = "seconds"
    SIZE = "size"
    RATE = "rate"
    FLAG = "flag"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Field:
    """One setting. name: of `Preferences`. unit: what stands behind the field. when: from when on it holds."""

    name: str
    label: str
    kind: Kind
    unit: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Settings that belong together, under a heading."""

    title: str
    fields: tuple[Field, ...]


GROUPS = (
    Group(
        N_("Download"),
        (
            Field("folder", N_("Folder"), Kind.FOLDER, hint=N_("Where new downloads go. Empty: asked each time.")),
            Field(
                "workers",
                N_("Workers"),
                Kind.WHOLE,
                N_("requests at once"),
                N_("8 is right for most; 16 or 32 far from America."),
            ),
            Field("rate_limit", N_("Rate limit"), Kind.RATE, N_("per second"), N_("5M, 500K; 0 or empty: no limit.")),
            Field(
                "retries",
                N_("Retries"),
                Kind.WHOLE,
                N_("in a row without a new byte"),
                N_("Then a file fails and the next one comes."),
            ),
            Field(
                "disk_reserve",
                N_("Keep free"),
                Kind.SIZE,
                N_("on the disk"),
                N_("The download waits rather than fill the disk."),
            ),
            Field("verify", N_("Verify every file"), Kind.FLAG, hint=N_("Prove each byte against the server's MD5.")),
            Field(
                "read_back",
                N_("Read back"),
                Kind.FLAG,
                hint=N_("Prove what the disk holds, not only what came. Slower."),
            ),
            Field("flat", N_("No subfolders"), Kind.FLAG, hint=N_("All files beside each other, for new downloads.")),
        ),
    ),
    Group(
        N_("Connection"),
        (
            Field(
                "proxy",
                N_("Proxy"),
                Kind.TEXT,
                hint=N_("http://host:port or socks5h://host:port. Empty: what the system says."),
            ),
            Field("ca_bundle", N_("CA file"), Kind.FILE, hint=N_("Trusted alone. Empty: what the system trusts.")),
            Field("connect_timeout", N_("Connect within"), Kind.SECONDS, N_("seconds")),
            Field("read_timeout", N_("Answer within"), Kind.SECONDS, N_("seconds")),
            Field(
                "endpoint_url", N_("Endpoint"), Kind.TEXT, hint=N_("Empty: Amazon. Otherwise the address of a mirror.")
            ),
            Field("bucket", N_("Bucket"), Kind.TEXT),
            Field("region", N_("Region"), Kind.TEXT),
            Field(
                "opaque_etags",
                N_("ETags are no MD5s"),
                Kind.FLAG,
                hint=N_("Only for a mirror whose ETags prove nothing: files are then checked, not verified."),
            ),
        ),
    ),
    Group(
        N_("Window"),
        (
            Field("language", N_("Language"), Kind.CHOICE),
            Field("theme", N_("Theme"), Kind.CHOICE),
            Field("notifications", N_("Notifications"), Kind.FLAG, hint=N_("Tell when a download has ended.")),
        ),
    ),
)

FIELDS = {field.name: field for group in GROUPS for field in group.fields}


def texts(preferences: Preferences) -> dict[str, Any]:
    """What the fields show for these preferences: a text, or True and False for a flag."""
    return {name: _shown(field, getattr(preferences, name)) for name, field in FIELDS.items()}


def read(entered: Mapping[str, Any], before: Preferences) -> tuple[Preferences, dict[str, str]]:
    """The preferences that the fields say, and the problem of each field that has one.

    A field with a problem keeps what it was before.
    """
    problems: dict[str, str] = {}
    made = before
    for name, field in FIELDS.items():
        if name in entered:
            try:
                made = replace(made, **{name: _read(field, entered[name])})
            except _Problem as problem:
                problems[name] = str(problem)
    return made, problems


class _Problem(Exception):
    """What is wrong with a field, in the window's language."""


def _shown(field: Field, value: Any) -> Any:
    if field.kind in (Kind.RATE, Kind.SIZE):
        return amount(value)
    if field.kind is Kind.SECONDS:
        return f"{value:g}"
    return value if field.kind is Kind.FLAG else str(value)


def amount(count: int) -> str:
    """Bytes as a person would write them, and `parse_size` reads them back exactly: "5M", "512Mi", "1500000"."""
    for unit, factor in (("T", 1000**4), ("G", 1000**3), ("M", 1000**2), ("K", 1000)):
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    for unit, factor in (("Gi", 1024**3), ("Mi", 1024**2), ("Ki", 1024)):
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)


def _read(field: Field, entered: Any) -> Any:
    if field.kind is Kind.FLAG:
        return bool(entered)
    text = str(entered).strip()
    if field.kind is Kind.CHOICE:
        return text
    if field.kind in (Kind.TEXT, Kind.FILE, Kind.FOLDER):
        return _text(field, text)
    return _number(field, text)


def _number(field: Field, text: str) -> int | float:
    value: int | float
    try:
        if field.kind is Kind.WHOLE:
            value = int(text) if text.isascii() else _fail()
        elif field.kind is Kind.SECONDS:
            value = float(text) if len(text) < 20 else _fail()
        elif field.kind is Kind.RATE:
            value = parse_rate(text or "0")
        else:
            value = parse_size(text or "0")
    except ValueError:
        raise _Problem(_("Write a number.")) from None
    except UsageError:
        raise _Problem(_("Write it as 500K, 5M or 1.5G.")) from None
    low, high = BOUNDS[field.name]
    if not low <= value <= high:
        if field.kind in (Kind.RATE, Kind.SIZE):
            raise _Problem(_("At most {most}.", most=amount(int(high))))
        raise _Problem(_("From {least:g} to {most:g}.", least=low, most=high))
    return value


def _text(field: Field, text: str) -> str:
    if field.kind is Kind.FOLDER:
        if text and not Path(text).expanduser().is_absolute():
            raise _Problem(_("Give the whole path."))
        return str(Path(text).expanduser()) if text else ""
    if not text.isprintable():
        raise _Problem(_("There are characters in it that do not belong there."))
    if field.name in ("bucket", "region") and not text:
        return str(getattr(Preferences(), field.name))
    if field.name == "endpoint_url" and has_credentials(text):
        raise _Problem(_("Leave out the user name and the password: no account is needed."))
    try:
        entry: dict[str, Any] = {field.name: text or None}
        Settings(**entry)
    except UsageError:
        raise _Problem(translate(_WRONG[field.name])) from None
    return text


_WRONG = {
    "proxy": N_("This is no proxy. Write it as http://host:port or socks5h://host:port."),
    "endpoint_url": N_("This is no web address. Write it as http://host:port."),
    "ca_bundle": N_("There is no such file."),
    "bucket": N_("Only the bare name, without s3:// and without a path."),
    "region": N_("Write it as us-west-2."),
}


def _fail() -> int:
    raise ValueError
