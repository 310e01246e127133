"""Validation of untrusted files: reads regular files only, limits their size, and checks every JSON field.

Anything wrong raises Malformed; callers turn that into an Era5Error of their own.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from era5dl.folder.confined_path import ConfinedPath

MAX_SIZE = 2**53  # bytes of one object: far above the limit of S3, and exact in every JSON reader
_YEAR_3000 = 32_503_680_000  # Windows supports no later date


class Malformed(ValueError):
    """The content of a file is not valid."""


def open_regular_file(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises Malformed for anything else (link, pipe, folder), OSError on failure."""
    place = ConfinedPath.from_path(path)
    if not stat.S_ISREG(place.lstat().st_mode):
        raise Malformed("it is not a regular file")
    fd = place.open(os.O_RDONLY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Malformed("it is not a regular file")
    return os.fdopen(fd, "rb")


def read_regular_file(path: Path, limit: int) -> bytes:
    """Return the content of a regular file. Raises Malformed when it is longer than `limit`, OSError on failure."""
    with open_regular_file(path) as file:
        data = file.read(min(os.fstat(file.fileno()).st_size, limit + 1))  # read(limit) would allocate all of it first
    if len(data) > limit:
        raise Malformed(f"it is larger than {limit} bytes")
    return data


def canonical_json(value: object) -> bytes:
    """Return `value` as canonical JSON, for digests. Raises Malformed for what JSON cannot represent."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (ValueError, RecursionError) as exc:
        raise Malformed(f"it cannot be written as JSON: {exc}") from exc
    return text.encode("ascii")


def parse_json(data: bytes) -> Any:
    """Parse JSON. Raises Malformed, also for deep nesting, long numbers and constants that only an attacker writes."""
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


class JsonObject:
    """A JSON object whose fields are read by name, type and limits. Every method raises Malformed."""

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

    def integer(self, name: str, low: int = 0, high: int = MAX_SIZE) -> int:
        return as_integer(self._get(name), name, low, high)

    def timestamp(self, name: str) -> float:
        """Return seconds since 1970, up to a date that every system supports."""
        value = self._get(name)
        if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value < _YEAR_3000:
            raise Malformed(f"{name} is not a time")
        return float(value)

    def boolean(self, name: str) -> bool:
        value = self._get(name)
        if type(value) is not bool:
            raise Malformed(f"{name} is neither true nor false")
        return value

    def array(self, name: str, limit: int) -> list[Any]:
        return as_array(self._get(name), name, limit)

    def object(self, name: str) -> dict[str, Any]:
        value = self._get(name)
        if type(value) is not dict:
            raise Malformed(f"{name} is not a record")
        return value

    def _get(self, name: str) -> Any:
        if name not in self._raw:
            raise Malformed(f"{name} is missing")
        return self._raw[name]


def as_text(value: object, name: str, limit: int = 4096) -> str:
    if type(value) is not str or len(value) > limit:
        raise Malformed(f"{name} is not a text, or too long")
    return value


def as_hex(value: object, name: str, length: int) -> str:
    text = as_text(value, name, length)
    if len(text) != length or not set(text) <= set("0123456789abcdef"):
        raise Malformed(f"{name} is not a digest")
    return text


def as_integer(value: object, name: str, low: int = 0, high: int = MAX_SIZE) -> int:
    if type(value) is not int or not low <= value <= high:
        raise Malformed(f"{name} is not a number from {low} to {high}")
    return value


def as_array(value: object, name: str, limit: int, length: int | None = None) -> list[Any]:
    if type(value) is not list or len(value) > limit or (length is not None and len(value) != length):
        raise Malformed(f"{name} is not a list, or too long")
    return value
