"""Numbers and names for people: sizes, speeds, durations, and text that cannot draw on a terminal.

Units are decimal (1 GB = 1e9 bytes), as disks and networks are sold.
"""

from __future__ import annotations

import re
import unicodedata

from era5dl.errors import UsageError

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?) ?([kmgtp]?)(i?)(b|bytes?|)", re.ASCII | re.IGNORECASE)
_RATE_END = re.compile(r" ?/s(ec)?$", re.IGNORECASE)  # not "ps": Mbps are bits
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (bidi overrides!), lone surrogates, line separators


def format_size(count: float) -> str:
    """Bytes, with three digits that matter: "999 B", "1.20 GB", "16.0 MB", "640 MB"."""
    value = float(count)
    unit = 0
    while abs(value) >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    if unit == 0 or abs(value) >= 99.95:
        return f"{value:.0f} {_UNITS[unit]}"
    return f"{value:.1f} {_UNITS[unit]}" if abs(value) >= 9.995 else f"{value:.2f} {_UNITS[unit]}"


def format_speed(bytes_per_second: float) -> str:
    """ "28.0 MB/s" """
    return f"{format_size(bytes_per_second)}/s"


def format_duration(seconds: float) -> str:
    """ "0:42", "1:02:03", "3 d 04:05:06" """
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def format_count(number: int, noun: str) -> str:
    """ "1 file", "12,000 files" """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str) -> str:
    """The text on one line without anything a terminal would obey: a hostile key or server cannot draw with it."""
    if text.isprintable():
        return text
    return "".join("�" if unicodedata.category(char) in _HIDDEN else char for char in text)


def parse_size(text: str) -> int:
    """Bytes from what a person wrote: "500K", "1.5 GB", "512MiB", "1024". Raises UsageError.

    K, M, G are decimal, as everything this program shows is; Ki, Mi, Gi are the powers of 1024.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise UsageError(f"{text!r} is not a size", remedy="Write it as 500K, 1.5G, 512MiB or a number of bytes.")
    unit: int = (1024 if match[3] else 1000) ** " kmgtp".index(match[2].lower() or " ")
    return round(float(match[1]) * unit)


def parse_rate(text: str) -> int:
    """Bytes per second from "5M", "500K", "5MB/s", "1.5 MiB/s"; 0 means no limit. Raises UsageError."""
    try:
        return parse_size(_RATE_END.sub("", text.strip()))
    except UsageError:
        raise UsageError(
            f"{text!r} is not a speed", remedy="Write it as 5M, 500K, 1.5MiB/s (bytes per second), or 0 for no limit."
        ) from None
