"""The part MD5s of finished multipart objects, so that a damaged file can be mended by fetching only its bad parts.

ID.digests.jsonl, one line an object: [key, etag, MD5s of all parts in order, run together as hex].  Only ever appended
to; a line torn by a crash is passed over.  Nothing in it needs to be trusted: the MD5s count only if together they give
the server's ETag, which whoever reads them has to check.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from era5dl.bucket.interface import MOST_OBJECTS, ObjectInfo
from era5dl.folder.directory_handles import Place
from era5dl.folder.disk_errors import folder_errors
from era5dl.proof.etag import MAX_PARTS
from era5dl.validation import Malformed, open_regular

_LINE_LIMIT = 32 * MAX_PARTS + 16_384  # bytes
_LEAST = len('["",""]')
_MOST_LINES = 3 * MOST_OBJECTS  # each record is a line and an empty one
_PATIENCE = 5.0  # seconds that reading all of it may take
_READ_LIMIT = 1 << 30  # bytes; 150,000 files of 1.6 GB in parts of 8 MiB
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_log = logging.getLogger("era5dl")


class Digests:
    """The record of one session. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._places: dict[bytes, int] | None = None  # where the newest line about an object begins

    def record(self, obj: ObjectInfo, md5s: Sequence[str]) -> None:
        """Remember the MD5s (hex) of all parts of an object that has just been proven. Raises a DiskError."""
        line = json.dumps([obj.key, obj.etag, "".join(md5s)], ensure_ascii=False)
        data = f"\n{line}\n".encode("utf-8", "surrogatepass")  # the newline in front ends a line that a crash tore
        with (
            self._lock,
            folder_errors(self._path),
            os.fdopen(Place.of(self._path).open(_FLAGS), "ab") as file,
        ):
            now = os.fstat(file.fileno())
            if stat.S_ISREG(now.st_mode) and now.st_nlink == 1:  # else it may be a file outside of the folder
                file.write(data)
                if self._places is not None:
                    self._places[_name(obj.key, obj.etag)] = now.st_size + 1

    def find(self, obj: ObjectInfo) -> tuple[str, ...]:
        """The MD5s that were recorded for this version of the object; () when there are none, or none can be read."""
        with self._lock:
            try:
                with open_regular(self._path) as file:
                    if self._places is None:
                        self._places = _places(file)
                    place = self._places.get(_name(obj.key, obj.etag))
                    if place is None:
                        return ()
                    file.seek(place)
                    return _md5s(file.readline(_LINE_LIMIT), obj)
            except (OSError, Malformed):
                return ()


def _places(file: BinaryIO) -> dict[bytes, int]:
    """Where the newest line about each object begins. Read once: a look for each damaged file would read it as often.

    Somebody may have put anything there; where it is too much, it is done without.
    """
    found: dict[bytes, int] = {}
    give_up = time.monotonic() + _PATIENCE
    lines = at = 0
    while line := file.readline(_LINE_LIMIT):
        lines += 1
        if lines > _MOST_LINES or at > _READ_LIMIT or (lines % 256 == 0 and time.monotonic() > give_up):
            _log.warning("the record of MD5s is too large to be used; what is damaged is fetched as a whole")
            return {}
        if (name := _named(line)) is not None:
            found[name] = at
        at += len(line)
    return found


def _named(line: bytes) -> bytes | None:
    """Which object a line is about; None when it is about none."""
    if len(line) < _LEAST:
        return None
    try:
        entry = json.loads(line)
        return _name(entry[0], entry[1]) if type(entry) is list and all(type(one) is str for one in entry[:2]) else None
    except (ValueError, IndexError, RecursionError):
        return None


def _name(key: str, etag: str) -> bytes:
    return hashlib.blake2b(f"{key}\n{etag}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _md5s(line: bytes, obj: ObjectInfo) -> tuple[str, ...]:
    try:
        entry = json.loads(line)
        if not isinstance(entry, list) or entry[:2] != [obj.key, obj.etag] or not isinstance(entry[2], str):
            return ()
        raw = bytes.fromhex(entry[2])
    except (ValueError, IndexError, RecursionError):
        return ()
    return tuple(raw[at : at + 16].hex() for at in range(0, len(raw) - 15, 16))
