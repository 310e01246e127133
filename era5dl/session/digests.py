"""The part MD5s of finished multipart objects, so that a damaged file can be mended by fetching only its bad parts.

ID.digests.jsonl, one line an object: [key, etag, MD5s of all parts in order, run together as hex].  Only ever appended
to; a line torn by a crash is passed over.  Nothing in it needs to be trusted: the MD5s count only if together they give
the server's ETag, which whoever reads them has to check.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

from era5dl.bucket.store import ObjectInfo
from era5dl.folder.faults import disk_errors
from era5dl.proof.etag import MOST_PARTS

_LINE_LIMIT = 32 * MOST_PARTS + 16_384  # bytes


class Digests:
    """The record of one session. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def record(self, obj: ObjectInfo, md5s: Sequence[str]) -> None:
        """Remember the MD5s (hex) of all parts of an object that has just been proven. Raises a DiskError."""
        line = json.dumps([obj.key, obj.etag, "".join(md5s)], ensure_ascii=False)
        data = f"\n{line}\n".encode("utf-8", "surrogatepass")  # the newline in front ends a line that a crash tore
        with self._lock, disk_errors(self._path), self._path.open("ab") as file:
            file.write(data)

    def find(self, obj: ObjectInfo) -> tuple[str, ...]:
        """The MD5s that were recorded for this version of the object; () when there are none."""
        found: tuple[str, ...] = ()
        with self._lock, disk_errors(self._path):
            try:
                file = self._path.open("rb")
            except FileNotFoundError:
                return ()
            with file:
                while line := file.readline(_LINE_LIMIT):
                    found = _md5s(line, obj) or found
        return found


def _md5s(line: bytes, obj: ObjectInfo) -> tuple[str, ...]:
    try:
        entry = json.loads(line)
        if not isinstance(entry, list) or entry[:2] != [obj.key, obj.etag] or not isinstance(entry[2], str):
            return ()
        raw = bytes.fromhex(entry[2])
    except (ValueError, IndexError, RecursionError):
        return ()
    return tuple(raw[at : at + 16].hex() for at in range(0, len(raw) - 15, 16))
