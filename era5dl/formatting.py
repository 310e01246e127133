"""Human-readable formatting and parsing: sizes, speeds, durations, counts, and text safe to print on a terminal.

Units are decimal (1 GB = 1e9 bytes), as usual for disks and networks.
"""

from __future__ import annotations

import re
import unicodedata

from era5dl.errors import UsageError

MIN_RATE = 1000  # bytes per second; a lower limit would never finish, and is rather a forgotten unit
MAX_RATE = 1000**5  # bytes per second; higher values are typing errors, and would have no exact short text
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?) ?([kmgtp]?)(i?)(b|bytes?|)", re.ASCII | re.IGNORECASE)
_PER_SECOND = re.compile(r" ?/s(ec)?$", re.IGNORECASE)
_BITS_PER_SECOND = re.compile(
    r"[0-9.]+ ?[kKmMgGtTpP]?i?(b|[bB]its?)(ps| ?/s(ec)?)?", re.ASCII
)  # 5Mb is bits, 5MB bytes
_UNSAFE_CATEGORIES = {
    "Cc",
    "Cf",
    "Cs",
    "Zl",
    "Zp",
}  # control, format (including bidi overrides), lone surrogates, line separators


def format_size(bytes_: float) -> str:
    """Return a number of bytes with three significant digits: "999 B", "1.20 GB", "16.0 MB", "640 MB"."""
    value = float(bytes_)
    unit = 0
    while abs(value) >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    if unit == 0 or abs(value) >= 99.95:
        return f"{value:.0f} {_UNITS[unit]}"
    return f"{value:.1f} {_UNITS[unit]}" if abs(value) >= 9.995 else f"{value:.2f} {_UNITS[unit]}"


def format_exact_size(bytes_: int) -> str:
    """Return bytes as a short text that `parse_size` converts back exactly: "5M", "512Mi", "1500000"."""
    for unit, factor in (("T", 1000**4), ("G", 1000**3), ("M", 1000**2), ("K", 1000)):
        if bytes_ and bytes_ % factor == 0:
            return f"{bytes_ // factor}{unit}"
    for unit, factor in (("Gi", 1024**3), ("Mi", 1024**2), ("Ki", 1024)):
        if bytes_ and bytes_ % factor == 0:
            return f"{bytes_ // factor}{unit}"
    return str(bytes_)


def format_speed(bytes_per_second: float) -> str:
    """Return a speed such as "28.0 MB/s"."""
    return f"{format_size(bytes_per_second)}/s"


def format_duration(seconds: float) -> str:
    """Return a duration such as "0:42", "1:02:03" or "3 d 04:05:06"."""
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def format_count(number: int, noun: str) -> str:
    """Return a number with its noun: "1 file", "12,000 files"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str) -> str:
    """Return the text on one line, with control characters replaced: a hostile key or server message could otherwise
    control the terminal."""
    if text.isprintable():
        return text
    return "".join("�" if unicodedata.category(char) in _UNSAFE_CATEGORIES else char for char in text)


def parse_size(text: str) -> int:
    """Parse a size such as "500K", "1.5 GB", "512MiB" or "1024"; return bytes. Raises UsageError.

    K, M, G are powers of 1000, as in all output of this program; Ki, Mi, Gi are powers of 1024.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise UsageError(f"{text!r} is not a size", remedy="Write it as 500K, 1.5G, 512MiB or a number of bytes.")
    unit: int = (1024 if match[3] else 1000) ** " kmgtp".index(match[2].lower() or " ")
    return round(float(match[1]) * unit)


def parse_rate(text: str) -> int:
    """Parse a rate such as "5M", "500K", "5MB/s" or "1.5 MiB/s"; return bytes per second, 0 for no limit.

    Only zero itself is no limit: 0.5 must not be rounded to it. Bits, as in 5Mb or 5Mbps, are refused. Raises
    UsageError, also for a rate that `check_rate` refuses.
    """
    stripped = text.strip()
    if _BITS_PER_SECOND.fullmatch(stripped):
        raise UsageError(
            f"{text!r} is not a speed in bytes per second: b stands for bits",
            remedy="Write B for bytes: 5MB/s, or 5M for short, is 40 Mb/s.",
        )
    number = _PER_SECOND.sub("", stripped)
    try:
        rate = parse_size(number)
    except UsageError:
        raise UsageError(
            f"{text!r} is not a speed", remedy="Write it as 5M, 500K, 1.5MiB/s (bytes per second), or 0 for no limit."
        ) from None
    if rate == 0 and not re.search("[1-9]", number):
        return 0
    check_rate(rate, number)
    return rate


def check_rate(rate: int, text: str) -> None:
    """Raise UsageError unless a limit is from MIN_RATE to MAX_RATE. text: how the user wrote it."""
    if rate > MAX_RATE:
        raise UsageError(
            f"{text} is more than {MAX_RATE:,} bytes per second", remedy="Write a lower limit, or 0 for no limit."
        )
    if rate < MIN_RATE:
        example = text if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text, re.ASCII) else "5"
        raise UsageError(
            f"{text} is less than {MIN_RATE:,} bytes per second, the lowest limit",
            remedy=f"Write the unit: {example}M is {parse_size(f'{example}M'):,} bytes per second. 0 is no limit.",
        )
