"""Part digests: records the part MD5s of verified multipart objects, so that a repair fetches only damaged parts.

ID.digests.jsonl has one line per object: [key, etag, MD5s of all parts in order, as one hex text]. Lines are only
appended, and a line truncated by a crash is skipped. The content need not be trusted: the caller has to check that the
MD5s together give the server's ETag.

Files with a subset of an object have lines, too: with their own path in place of the key, and the MD5 of the file that
was written.
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

from era5dl.bucket.interface import MAX_OBJECTS, ObjectInfo
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_folder_errors
from era5dl.folder.paths import OWN_FOLDER
from era5dl.proof.etag import MAX_PARTS
from era5dl.validation import Malformed, open_regular_file

_MAX_LINE = 32 * MAX_PARTS + 16_384  # bytes
_MIN_LINE = len('["",""]')
_MAX_LINES = 3 * MAX_OBJECTS  # each record takes two lines, one of them empty
_MAX_READ_TIME = 5.0  # seconds for reading the whole file
_MAX_FILE_SIZE = 1 << 30  # bytes; 150,000 files of 1.6 GB in parts of 8 MiB
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_log = logging.getLogger("era5dl")


class PartDigests:
    """The part digests of one session. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._offsets: dict[bytes, int] | None = None  # start of the newest line of each object; None before reading

    @classmethod
    def of_session(cls, folder: Path, session_id: str) -> PartDigests:
        """Return those of a session in this download folder."""
        return cls(folder / OWN_FOLDER / digests_file_name(session_id))

    def record(self, obj: ObjectInfo, md5s: Sequence[str]) -> None:
        """Append the MD5s (hex) of all parts of an object that has just been verified. Raises a DiskError."""
        line = json.dumps([obj.key, obj.etag, "".join(md5s)], ensure_ascii=False)
        data = f"\n{line}\n".encode("utf-8", "surrogatepass")  # the first newline ends a line truncated by a crash
        with self._lock:
            start = append_to(self._path, data)
            if start is not None and self._offsets is not None:
                self._offsets[object_digest(obj.key, obj.etag)] = start + 1

    def find(self, obj: ObjectInfo) -> tuple[str, ...]:
        """Return the recorded MD5s (hex) of this version of an object; () if there are none or they are unreadable."""
        with self._lock:
            try:
                with open_regular_file(self._path) as file:
                    if self._offsets is None:
                        self._offsets = _read_offsets(file)
                    offset = self._offsets.get(object_digest(obj.key, obj.etag))
                    if offset is None:
                        return ()
                    file.seek(offset)
                    return _parse_md5s(file.readline(_MAX_LINE), obj)
            except (OSError, Malformed):
                return ()


def append_to(path: Path, data: bytes) -> int | None:
    """Append to a file of records, which is created if it does not exist. Return where the data begin.

    Returns None and writes nothing if the file is not a regular file or has a second name: then it may be a file
    outside the folder. Raises a DiskError.
    """
    with translate_folder_errors(path), os.fdopen(ConfinedPath.from_path(path).open(_FLAGS), "ab") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return None
        file.write(data)
        return status.st_size


def digests_file_name(session_id: str) -> str:
    """Return the name of the file with the part digests of a session."""
    return f"{session_id}.digests.jsonl"


def _read_offsets(file: BinaryIO) -> dict[bytes, int]:
    """Return the offset of the newest line of each object, so that later look-ups need not read the whole file.

    The file may contain anything. If it is too large, it is not used.
    """
    offsets: dict[bytes, int] = {}
    deadline = time.monotonic() + _MAX_READ_TIME
    lines = offset = 0
    while line := file.readline(_MAX_LINE):
        lines += 1
        if lines > _MAX_LINES or offset > _MAX_FILE_SIZE or (lines % 256 == 0 and time.monotonic() > deadline):
            _log.warning("the record of MD5s is too large to be used; damaged files are fetched as a whole")
            return {}
        if (digest := _object_of_line(line)) is not None:
            offsets[digest] = offset
        offset += len(line)
    return offsets


def _object_of_line(line: bytes) -> bytes | None:
    """Return the digest of the object of a line; None if the line is not a valid record."""
    if len(line) < _MIN_LINE:
        return None
    try:
        entry = json.loads(line)
        if type(entry) is not list or not all(type(value) is str for value in entry[:2]):
            return None
        return object_digest(entry[0], entry[1])
    except (ValueError, IndexError, RecursionError):
        return None


def object_digest(key: str, etag: str) -> bytes:
    """Return 16 bytes that identify a version of an object and take less memory than its key."""
    return hashlib.blake2b(f"{key}\n{etag}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _parse_md5s(line: bytes, obj: ObjectInfo) -> tuple[str, ...]:
    try:
        entry = json.loads(line)
        if not isinstance(entry, list) or entry[:2] != [obj.key, obj.etag] or not isinstance(entry[2], str):
            return ()
        raw = bytes.fromhex(entry[2])
    except (ValueError, IndexError, RecursionError):
        return ()
    return tuple(raw[start : start + 16].hex() for start in range(0, len(raw) - 15, 16))
