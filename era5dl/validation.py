"""Reading what anybody may have written: bounded, plain files only, every field checked before it is believed.

Whatever is wrong leaves as Malformed; callers turn that into the error of their own tree.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from era5dl.folder.confined_path import ConfinedPath

MAX_SIZE = 2**53  # bytes of one object; far above what a bucket takes, and exact in every JSON reader
_YEAR_3000 = 32_503_680_000  # Windows knows no date beyond


class Malformed(ValueError):
    """What was read is not what was written."""


def open_regular(path: Path) -> BinaryIO:
    """A plain file, to read. Raises Malformed for anything else under that name, OSError when it cannot be read."""
    place = ConfinedPath.from_path(path)
    if not stat.S_ISREG(place.lstat().st_mode):
        raise Malformed("it is not a plain file")
    fd = place.open(os.O_RDONLY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Malformed("it is not a plain file")
    return os.fdopen(fd, "rb")


def read_regular(path: Path, limit: int) -> bytes:
    """All bytes of a plain file; Malformed when there are more than `limit`."""
    with open_regular(path) as file:
        data = file.read(min(os.fstat(file.fileno()).st_size, limit + 1))  # to read `limit` is to allocate it first
    if len(data) > limit:
        raise Malformed(f"it is larger than {limit} bytes")
    return data


def canonical(value: object) -> bytes:
    """The one way to write `value` as JSON: for digests. Raises Malformed for what JSON cannot hold."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (ValueError, RecursionError) as exc:
        raise Malformed(f"it cannot be written as JSON: {exc}") from exc
    return text.encode("ascii")


def parse_json(data: bytes) -> Any:
    """The value in `data`. Raises Malformed, also for nesting, numbers and constants that only an attacker writes."""
    try:
        return json.loads(data.decode("utf-8"), parse_int=_short_int, parse_float=_finite, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise Malformed(f"it is not JSON: {str(exc)[:100]}") from exc


def _short_int(text: str) -> int:
    if len(text) > 20:
        raise ValueError("a number in it is too long")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number in it is too large")
    return number


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


class Fields:
    """A JSON object whose fields are asked for by name, type and bounds. Every method raises Malformed."""

    __slots__ = ("_raw",)

    def __init__(self, raw: object) -> None:
        if type(raw) is not dict:
            raise Malformed("a record is missing")
        self._raw = raw

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def text(self, name: str, limit: int = 4096) -> str:
        return as_text(self._get(name), name, limit)

    def text_or_none(self, name: str, limit: int = 4096) -> str | None:
        return None if self._get(name) is None else self.text(name, limit)

    def hex(self, name: str, length: int) -> str:
        return as_hex(self._get(name), name, length)

    def whole(self, name: str, low: int = 0, high: int = MAX_SIZE) -> int:
        return as_whole(self._get(name), name, low, high)

    def instant(self, name: str) -> float:
        """Seconds since 1970, in a year that every system has a calendar for."""
        value = self._get(name)
        if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value < _YEAR_3000:
            raise Malformed(f"{name} is no time")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._get(name)
        if type(value) is not bool:
            raise Malformed(f"{name} is neither true nor false")
        return value

    def items(self, name: str, limit: int) -> list[Any]:
        return as_list(self._get(name), name, limit)

    def record(self, name: str) -> dict[str, Any]:
        value = self._get(name)
        if type(value) is not dict:
            raise Malformed(f"{name} is no record")
        return value

    def _get(self, name: str) -> Any:
        if name not in self._raw:
            raise Malformed(f"{name} is missing")
        return self._raw[name]


def as_text(value: object, name: str, limit: int = 4096) -> str:
    if type(value) is not str or len(value) > limit:
        raise Malformed(f"{name} is no text")
    return value


def as_hex(value: object, name: str, length: int) -> str:
    text = as_text(value, name, length)
    if len(text) != length or not set(text) <= set("0123456789abcdef"):
        raise Malformed(f"{name} is no digest")
    return text


def as_whole(value: object, name: str, low: int = 0, high: int = MAX_SIZE) -> int:
    if type(value) is not int or not low <= value <= high:
        raise Malformed(f"{name} is no number from {low} to {high}")
    return value


def as_list(value: object, name: str, limit: int, length: int | None = None) -> list[Any]:
    if type(value) is not list or len(value) > limit or (length is not None and len(value) != length):
        raise Malformed(f"{name} is no list, or too long")
    return value
