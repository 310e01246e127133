"""The part MD5s of finished multipart objects, so that a damaged file can be mended by fetching only its bad parts.

ID.digests.jsonl, one line an object: [key, etag, MD5s of all parts in order, run together as hex].  Only ever appended
to; a line torn by a crash is passed over.  Nothing in it needs to be trusted: the MD5s count only if together they give
the server's ETag, which whoever reads them has to check.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from era5dl.bucket.store import ObjectInfo
from era5dl.folder.faults import folder_errors
from era5dl.proof.etag import MOST_PARTS
from era5dl.session.untrusted import Malformed, open_regular

_LINE_LIMIT = 32 * MOST_PARTS + 16_384  # bytes
_READ_LIMIT = 1 << 30  # bytes; 150,000 files of 1.6 GB in parts of 8 MiB
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class Digests:
    """The record of one session. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def record(self, obj: ObjectInfo, md5s: Sequence[str]) -> None:
        """Remember the MD5s (hex) of all parts of an object that has just been proven. Raises a DiskError."""
        line = json.dumps([obj.key, obj.etag, "".join(md5s)], ensure_ascii=False)
        data = f"\n{line}\n".encode("utf-8", "surrogatepass")  # the newline in front ends a line that a crash tore
        with (
            self._lock,
            folder_errors(self._path),
            os.fdopen(os.open(self._path, _FLAGS | _PLAIN, 0o666), "ab") as file,
        ):
            now = os.fstat(file.fileno())
            if stat.S_ISREG(now.st_mode) and now.st_nlink == 1:  # else it may be a file outside of the folder
                file.write(data)

    def _opened(self) -> BinaryIO:
        return os.fdopen(os.open(self._path, _FLAGS | _PLAIN, 0o666), "ab")

    def find(self, obj: ObjectInfo) -> tuple[str, ...]:
        """The MD5s that were recorded for this version of the object; () when there are none, or none can be read."""
        found: tuple[str, ...] = ()
        try:
            with self._lock, open_regular(self._path) as file:
                while (line := file.readline(_LINE_LIMIT)) and file.tell() < _READ_LIMIT:
                    found = _md5s(line, obj) or found
        except (OSError, Malformed):
            return ()
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
