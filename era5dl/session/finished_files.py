"""Record of finished files: size and modification time of each, so that a later run notices files changed since.

ID.files.jsonl has one line per file: [path, etag, size, modification time in ns, bytes fetched]. The path is relative
to the download folder; the ETag is that of the object. Lines are only appended; the last one of a file counts, and a
line truncated by a crash is skipped. A file without a line is accepted if its size is right, as in earlier versions.
"""

from __future__ import annotations

import json
import logging
import os
import time
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from era5dl.bucket.interface import MAX_OBJECTS
from era5dl.session.part_digests import append_to, object_digest
from era5dl.validation import Malformed, as_integer, as_text, open_regular_file, parse_json

MAX_LINES = 4 * MAX_OBJECTS
_MAX_LINE = 16_384  # bytes
_BATCH = 256  # lines that are parsed together
_MIN_LINE = len('["","",0,0,0]')
_MAX_READ_TIME = 10.0  # seconds
_LIMIT = 1 << 62
_log = logging.getLogger("era5dl")


class FinishedFile(NamedTuple):
    """A file that had the right bytes. size: its bytes. modified: ns since 1970. fetched: bytes received for it."""

    name: str  # path relative to the download folder, with slashes
    etag: str
    size: int
    modified: int
    fetched: int


class FinishedFiles:
    """What was recorded about the finished files of a session, by their indices in its plan.

    It takes little memory, since a plan may have 100,000 files.
    """

    def __init__(self, count: int) -> None:
        self._known = bytearray(count)
        self._sizes, self._modified, self._fetched = (array("q", bytes(8 * count)) for _ in range(3))

    def __contains__(self, index: int) -> bool:
        return bool(self._known[index])

    def size(self, index: int) -> int:
        """Return the size of a file that is in the record, in bytes."""
        return self._sizes[index]

    def modified(self, index: int) -> int:
        """Return the modification time of a file that is in the record, in ns since 1970."""
        return self._modified[index]

    def fetched(self, index: int) -> int:
        """Return how many bytes were received for a file that is in the record."""
        return self._fetched[index]

    def is_unchanged(self, index: int, status: os.stat_result) -> bool:
        """Whether a file that is in the record still has its size and its modification time."""
        return (self._sizes[index], self._modified[index]) == (status.st_size, status.st_mtime_ns)

    def add(self, index: int, file: FinishedFile) -> None:
        """Add a file, or replace what was recorded about it."""
        self._known[index] = 1
        self._sizes[index], self._modified[index], self._fetched[index] = file.size, file.modified, file.fetched


def record_file_name(session_id: str) -> str:
    """Return the name of the file with the finished files of a session."""
    return f"{session_id}.files.jsonl"


def append(home: Path, session_id: str, files: Iterable[FinishedFile]) -> None:
    """Append files to the record of a session. home: folder of its resume file. Raises a DiskError."""
    lines = "".join(json.dumps(file) + "\n" for file in files)
    append_to(home / record_file_name(session_id), f"\n{lines}".encode("ascii"))


def read(home: Path, session_id: str, names: Iterable[tuple[int, str, str]], count: int) -> FinishedFiles:
    """Return what a session has recorded about some files. Never fails: the record may contain anything.

    home: folder of its resume file. names: index in the plan, path and ETag of each of these files. count: number of
    objects in the plan. If the record is too large, it is not used.
    """
    found = FinishedFiles(count)
    wanted = {object_digest(name, etag): index for index, name, etag in names}
    deadline = time.monotonic() + _MAX_READ_TIME
    try:
        with open_regular_file(home / record_file_name(session_id)) as file:
            lines = 0
            while batch := _read_lines(file):
                lines += len(batch)
                if lines > MAX_LINES or time.monotonic() > deadline:
                    _log.warning("the record of finished files is too large to be used; changed files are not noticed")
                    return FinishedFiles(count)
                for entry in _parse(batch):
                    index = wanted.get(object_digest(entry.name, entry.etag))
                    if index is not None:
                        found.add(index, entry)
    except (OSError, Malformed):
        pass
    return found


def _read_lines(file: BinaryIO) -> list[bytes]:
    """Return the next lines, at most _BATCH; those that are too long in several pieces."""
    return list(islice(iter(lambda: file.readline(_MAX_LINE), b""), _BATCH))


def _parse(lines: list[bytes]) -> Iterator[FinishedFile]:
    """Yield the files of the lines that are valid records. Parses them together, which is faster, if all are valid."""
    records = [line for line in lines if len(line) >= _MIN_LINE]
    try:
        values = parse_json(b"[" + b",".join(records) + b"]")
        if len(values) != len(records):  # a line has several values
            raise Malformed("a line is not a record")
    except Malformed:
        values = list(filter(None, map(_parse_line, records)))
    yield from filter(None, map(_file_of, values))


def _parse_line(line: bytes) -> object:
    try:
        return parse_json(line)
    except Malformed:
        return None


def _file_of(raw: object) -> FinishedFile | None:
    """Return the file of a record; None if it is not valid."""
    if type(raw) is not list or len(raw) != 5:
        return None
    try:
        size, fetched = (as_integer(value, "a size") for value in (raw[2], raw[4]))
        modified = as_integer(raw[3], "a time", -_LIMIT, _LIMIT)
        return FinishedFile(as_text(raw[0], "path"), as_text(raw[1], "etag"), size, modified, fetched)
    except Malformed:
        return None
