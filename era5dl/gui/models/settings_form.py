"""Fields of the settings dialog: their definitions (`GROUPS`) and validation. No Tk.

To add a field: add it to `Preferences`, with its bounds or choices if it has any, and to `GROUPS`. The dialog creates
the widgets.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from era5dl.errors import UsageError
from era5dl.formatting import format_exact_size, parse_size
from era5dl.gui.models.preferences import BOUNDS, Preferences
from era5dl.gui.text.i18n import N_, _, translate
from era5dl.rate_timetable import normalize_rate_limit
from era5dl.redaction import has_credentials
from era5dl.settings import AUTO, Settings


class Kind(Enum):
    """Type of the value of a field."""

    FOLDER = "folder"
    FILE = "file"
    TEXT = "text"
    WHOLE = "whole"  # a whole number, with buttons to change it
    AUTO_WHOLE = "auto or whole"
    SECONDS = "seconds"
    SIZE = "size"
    RATE = "rate"
    FLAG = "flag"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. name: attribute of `Preferences`. unit: text after the field. hint: text below it."""

    name: str
    label: str
    kind: Kind
    unit: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The fields on one tab. title: title of the tab."""

    title: str
    fields: tuple[Field, ...]


GROUPS = (
    Group(
        N_("Download"),
        (
            Field(
                "folder",
                N_("Folder"),
                Kind.FOLDER,
                hint=N_("Folder for new downloads. Leave it empty to be asked each time."),
            ),
            Field(
                "workers",
                N_("Workers"),
                Kind.AUTO_WHOLE,
                N_("simultaneous requests"),
                N_("Auto finds the best number by measuring. Or enter a number from 1 to 64."),
            ),
            Field(
                "rate_limit",
                N_("Rate limit"),
                Kind.RATE,
                N_("per second"),
                N_(
                    "For example 5M, or by the time of day: 08:00,1M 20:00,off. Sat-08:00,off is for Saturdays only. "
                    "Empty: no limit."
                ),
            ),
            Field(
                "retries",
                N_("Retries"),
                Kind.WHOLE,
                N_("in a row without progress"),
                N_("After that the file fails, and the next one starts."),
            ),
            Field(
                "disk_reserve",
                N_("Keep free"),
                Kind.SIZE,
                N_("on the disk"),
                N_("The download waits while less space than this is free."),
            ),
            Field(
                "verify", N_("Verify every file"), Kind.FLAG, hint=N_("Compare the MD5 of each file with the server's.")
            ),
            Field(
                "read_back",
                N_("Read back"),
                Kind.FLAG,
                hint=N_("Verify what is on the disk, not only what was received. Slower."),
            ),
            Field("flat", N_("No subfolders"), Kind.FLAG, hint=N_("New downloads put all files into one folder.")),
        ),
    ),
    Group(
        N_("Connection"),
        (
            Field(
                "proxy",
                N_("Proxy"),
                Kind.TEXT,
                hint=N_("http://host:port or socks5h://host:port. Leave it empty to use the system's proxy."),
            ),
            Field(
                "ca_bundle",
                N_("CA file"),
                Kind.FILE,
                hint=N_("Only its certificates are trusted. Leave it empty to trust those of the system."),
            ),
            Field("connect_timeout", N_("Connection timeout"), Kind.SECONDS, N_("seconds")),
            Field("read_timeout", N_("Response timeout"), Kind.SECONDS, N_("seconds")),
            Field(
                "endpoint_url",
                N_("Endpoint"),
                Kind.TEXT,
                hint=N_("Leave it empty for Amazon, or enter the address of a mirror."),
            ),
            Field("bucket", N_("Bucket"), Kind.TEXT),
            Field("region", N_("Region"), Kind.TEXT),
            Field(
                "opaque_etags",
                N_("ETags are not MD5s"),
                Kind.FLAG,
                hint=N_("Only for mirrors whose ETags are not MD5s. Files are then checked but not verified."),
            ),
        ),
    ),
    Group(
        N_("Window"),
        (
            Field("language", N_("Language"), Kind.CHOICE),
            Field("theme", N_("Theme"), Kind.CHOICE),
            Field(
                "notifications",
                N_("Notifications"),
                Kind.FLAG,
                hint=N_("Show a notification when a download has ended."),
            ),
        ),
    ),
)

FIELDS = {field.name: field for group in GROUPS for field in group.fields}


def texts(preferences: Preferences) -> dict[str, Any]:
    """Return the contents of the fields for these preferences: a text, or a bool for a flag."""
    return {name: _shown(field, getattr(preferences, name)) for name, field in FIELDS.items()}


def read(entered: Mapping[str, Any], before: Preferences) -> tuple[Preferences, dict[str, str]]:
    """Return the entered preferences, and the errors by field. A field with an error keeps its value from `before`."""
    errors: dict[str, str] = {}
    result = before
    for name, field in FIELDS.items():
        if name in entered:
            try:
                result = replace(result, **{name: _read(field, entered[name])})
            except _FieldError as error:
                errors[name] = str(error)
    return result, errors


class _FieldError(Exception):
    """The reason why a value is invalid, in the language of the window."""


def _shown(field: Field, value: Any) -> Any:
    if field.kind in (Kind.RATE, Kind.SIZE):
        if field.kind is Kind.RATE and not value:
            return ""  # no limit
        return value if isinstance(value, str) else format_exact_size(value)
    if field.kind is Kind.SECONDS:
        return f"{value:g}"
    if value == AUTO:
        return _("Auto")
    return value if field.kind is Kind.FLAG else str(value)


def _read(field: Field, entered: Any) -> Any:
    if field.kind is Kind.FLAG:
        return bool(entered)
    text = str(entered).strip()
    if field.kind is Kind.CHOICE:
        return text
    if field.kind in (Kind.TEXT, Kind.FILE, Kind.FOLDER):
        return _text(field, text)
    return _number(field, text)


def _number(field: Field, text: str) -> int | float | str:
    value = _parse_number(field.kind, text)
    if isinstance(value, str):  # a timetable, or automatic
        return value
    low, high = BOUNDS[field.name]
    if not low <= value <= high:
        if field.kind in (Kind.RATE, Kind.SIZE):
            raise _FieldError(_("The maximum is {most}.", most=format_exact_size(int(high))))
        raise _FieldError(_("Enter a value from {least:g} to {most:g}.", least=low, most=high))
    return value


def _parse_number(kind: Kind, text: str) -> int | float | str:
    try:
        if kind is Kind.RATE:
            return normalize_rate_limit(text or "0")
        if kind is Kind.SIZE:
            return parse_size(text or "0")
        if kind is Kind.SECONDS and len(text) < 20:
            return float(text)
        if kind is Kind.AUTO_WHOLE and text.casefold().startswith((AUTO, _("Auto").casefold())):
            return AUTO
        if kind in (Kind.WHOLE, Kind.AUTO_WHOLE) and text.isascii():
            return int(text)
    except ValueError:
        pass
    except UsageError:
        raise _FieldError(_amount_wanted(kind, text)) from None
    raise _FieldError(_("Enter a number."))


def _amount_wanted(kind: Kind, text: str) -> str:
    if kind is Kind.RATE and ("," in text or ":" in text):
        return _("Enter a timetable such as 08:00,1M 20:00,off or Mon-08:00,1M Sat-00:00,off.")
    return _("Enter a value such as 500K, 5M or 1.5G.")


def _text(field: Field, text: str) -> str:
    if field.kind is Kind.FOLDER:
        path = os.path.expanduser(text)  # noqa: PTH111 - Path.expanduser raises an error for an unknown user
        if text and not Path(path).is_absolute():
            raise _FieldError(_("Enter the full path."))
        return str(Path(path)) if text else ""
    if not text.isprintable():
        raise _FieldError(_("It contains invalid characters."))
    if field.name in ("bucket", "region") and not text:
        return str(getattr(Preferences(), field.name))
    if field.name == "endpoint_url" and has_credentials(text):
        raise _FieldError(_("Remove the user name and password; no account is needed."))
    try:
        entry: dict[str, Any] = {field.name: text or None}
        Settings(**entry)
    except UsageError:
        raise _FieldError(translate(_INVALID[field.name])) from None
    return text


_INVALID = {
    "proxy": N_("This is not a proxy address. Use http://host:port or socks5h://host:port."),
    "endpoint_url": N_("This is not a web address. Use http://host:port."),
    "ca_bundle": N_("This file does not exist."),
    "bucket": N_("Enter only the name, without s3:// or a path."),
    "region": N_("Enter a region such as us-west-2."),
}
