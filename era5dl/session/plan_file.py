"""The plan of a session on disk: written once, a line for each object, never changed.

A header, one JSON list a line, and an end marker with the SHA-256 of all before it, so that a file that was cut or
flipped is known as such. It is read and written as a stream: no second copy of the plan stands in memory meanwhile, and
the size of what is read is bounded by what it holds, not by what it claims.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from era5dl.bucket.interface import MOST_OBJECTS, ObjectInfo
from era5dl.errors import SessionDamaged
from era5dl.folder.atomic_write import write_atomically
from era5dl.validation import Fields, Malformed, as_list, as_text, as_whole, open_regular, parse_json

if TYPE_CHECKING:
    from era5dl.planner.plan import Missing, Plan

FORMAT = "era5dl-plan"
VERSION = 1
_HEADER_LIMIT = 8 * 1024 * 1024  # bytes; a request of single days over 80 years takes some 100 kB
_LINE_LIMIT = 32 * 1024
_BATCH = 500  # lines turned to and from JSON at once
_encode = json.JSONEncoder(separators=(",", ":")).encode


def write(path: Path, plan: Plan) -> None:
    """Write the plan, unless exactly these bytes are there already. Raises OSError."""
    if not _stands(path, plan):
        write_atomically(path, _lines(plan))


def read(path: Path, digest: str) -> Plan:
    """The plan of that digest. Raises SessionDamaged, with what to do, when the file is not what was written."""
    try:
        with open_regular(path) as file:
            return _parse(file, digest)
    except (Malformed, FileNotFoundError) as exc:
        reason = "it is missing" if isinstance(exc, FileNotFoundError) else str(exc)
        raise SessionDamaged(
            f"the list of objects of this session, {path}, cannot be used: {reason}",
            remedy="Run the same download command again: it makes the list anew and keeps everything that is there.",
        ) from exc


def _stands(path: Path, plan: Plan) -> bool:
    """Whether the file has exactly the bytes that would be written."""
    try:
        with open_regular(path) as file:
            return all(file.read(len(chunk)) == chunk for chunk in _lines(plan)) and not file.read(1)
    except (OSError, Malformed):
        return False


def _lines(plan: Plan) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for chunk in _body(plan):
        digest.update(chunk)
        yield chunk
    yield _end(len(plan.objects) + len(plan.missing), digest.hexdigest())


def _end(lines: int, sha256: str) -> bytes:
    return _line({"end": FORMAT, "lines": lines, "sha256": sha256})


def _body(plan: Plan) -> Iterator[bytes]:
    yield _line(
        {
            "format": FORMAT,
            "version": VERSION,
            "digest": plan.digest,
            "objects": len(plan.objects),
            "missing": len(plan.missing),
            "request": dict(plan.request),
        }
    )
    there: Iterator[list[Any]] = ([obj.key, obj.size, obj.etag, obj.last_modified] for obj in plan.objects)
    rows = chain(there, ([gap.key, gap.reason] for gap in plan.missing))
    while batch := list(islice(rows, _BATCH)):
        yield b"".join(map(_line, batch))


def _line(value: object) -> bytes:
    return (_encode(value) + "\n").encode("ascii")


def _parse(file: BinaryIO, digest: str) -> Plan:
    from era5dl.planner.plan import Missing, Plan  # same floor, and only here needed to run

    sha256 = hashlib.sha256()
    header = Fields(parse_json(_next_line(file, _HEADER_LIMIT, sha256)))
    if header.text("format") != FORMAT or header.whole("version") != VERSION:
        raise Malformed("it is not a list of objects that this version knows")
    if header.hex("digest", 64) != digest:
        raise Malformed("it belongs to another plan")
    objects: list[ObjectInfo] = []
    for row in _rows(file, header.whole("objects", 0, MOST_OBJECTS), 4, sha256):
        key, size, etag, last_modified = row
        as_text(key, "a key"), as_text(etag, "an ETag")
        objects.append(ObjectInfo(key, as_whole(size, "a size"), etag, as_whole(last_modified, "a time")))
    missing: list[Missing] = []
    for key, reason in _rows(file, header.whole("missing", 0, MOST_OBJECTS), 2, sha256):
        missing.append(Missing(as_text(key, "a key"), as_text(reason, "a reason")))
    end = _end(len(objects) + len(missing), sha256.hexdigest())
    if file.read(len(end) + 1) != end:
        raise Malformed("its checksum is wrong: it is torn or was changed")
    return Plan(request=header.record("request"), objects=tuple(objects), missing=tuple(missing))


def _rows(file: BinaryIO, count: int, width: int, sha256: Any) -> Iterator[list[Any]]:
    """The next `count` lines, each a list of `width` values. Read in batches: one JSON text a line is slow."""
    while count > 0:
        lines = [_next_line(file, _LINE_LIMIT, sha256) for _ in range(min(_BATCH, count))]
        count -= len(lines)
        rows = as_list(parse_json(b"[" + b",".join(lines) + b"]"), "a line", _BATCH, length=len(lines))
        for row in rows:
            yield as_list(row, "a line", width, length=width)


def _next_line(file: BinaryIO, limit: int, sha256: Any) -> bytes:
    line = file.readline(limit + 1)
    if not line.endswith(b"\n"):
        raise Malformed("it ends too early" if len(line) <= limit else "a line in it is too long")
    sha256.update(line)
    return line
