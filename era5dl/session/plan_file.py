"""Plan file: stores the plan of a session as JSON lines, one per object. It is written once and never changed.

It has a header, one line per object, and an end marker with the SHA-256 of all previous bytes, so that a truncated or
altered file is detected. It is written and read as a stream, without a second copy of the plan in memory. Numbers in
the header do not determine how much memory is allocated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from era5dl.bucket.interface import MAX_OBJECTS, ObjectInfo
from era5dl.errors import BadSelection, SessionDamaged
from era5dl.folder.atomic_write import write_atomically
from era5dl.planner.plan import Missing, Plan
from era5dl.validation import JsonObject, Malformed, as_array, as_integer, as_text, open_regular_file, parse_json

FORMAT = "era5dl-plan"
VERSION = 1
SUBSET_VERSION = 2  # of plans with a subset: earlier versions of era5dl, which would fetch whole files, refuse it
_MAX_HEADER = 8 * 1024 * 1024  # bytes; a request of single days over 80 years takes about 100 kB
_MAX_LINE = 32 * 1024  # bytes
_BATCH = 500  # lines converted to or from JSON at once
_encode = json.JSONEncoder(separators=(",", ":")).encode


def plan_file_name(session_id: str, plan_digest: str) -> str:
    """Return the name of the plan file, which is in the same folder as the resume file. A name in a resume file is not
    trusted."""
    return f"{session_id}.{plan_digest[:8]}.plan.jsonl"


def write(path: Path, plan: Plan) -> None:
    """Write the plan, unless the file already has exactly this content. Raises OSError."""
    if not _is_written(path, plan):
        write_atomically(path, _serialize(plan))


def read(path: Path, digest: str) -> Plan:
    """Return the plan with this digest. Raises SessionDamaged, with a remedy, if the file is missing or damaged."""
    try:
        with open_regular_file(path) as file:
            return _parse(file, digest)
    except (Malformed, FileNotFoundError) as exc:
        reason = "it is missing" if isinstance(exc, FileNotFoundError) else str(exc)
        raise SessionDamaged(
            f"the list of objects of this session, {path}, cannot be used: {reason}",
            remedy="Run the same download command again: it creates a new list and keeps all existing files.",
        ) from exc


def _is_written(path: Path, plan: Plan) -> bool:
    """Return whether the file already has exactly the bytes that would be written."""
    try:
        with open_regular_file(path) as file:
            return all(file.read(len(chunk)) == chunk for chunk in _serialize(plan)) and not file.read(1)
    except (OSError, Malformed):
        return False


def _serialize(plan: Plan) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for chunk in _header_and_rows(plan):
        digest.update(chunk)
        yield chunk
    yield _end_marker(len(plan.objects) + len(plan.missing), digest.hexdigest())


def _end_marker(lines: int, sha256: str) -> bytes:
    return _to_line({"end": FORMAT, "lines": lines, "sha256": sha256})


def _header_and_rows(plan: Plan) -> Iterator[bytes]:
    yield _to_line(
        {
            "format": FORMAT,
            "version": _version(plan),
            "digest": plan.digest,
            "objects": len(plan.objects),
            "missing": len(plan.missing),
            "request": dict(plan.request),
        }
    )
    objects: Iterator[list[Any]] = ([obj.key, obj.size, obj.etag, obj.last_modified] for obj in plan.objects)
    rows = chain(objects, ([missing.key, missing.reason] for missing in plan.missing))
    while batch := list(islice(rows, _BATCH)):
        yield b"".join(map(_to_line, batch))


def _version(plan: Plan) -> int:
    return VERSION if plan.subset.is_everything else SUBSET_VERSION


def _to_line(value: object) -> bytes:
    return (_encode(value) + "\n").encode("ascii")


def _parse(file: BinaryIO, digest: str) -> Plan:
    sha256 = hashlib.sha256()
    header = JsonObject(parse_json(_next_line(file, _MAX_HEADER, sha256)))
    if header.text("format") != FORMAT or header.integer("version") not in (VERSION, SUBSET_VERSION):
        raise Malformed("it is not a list of objects that this version knows")
    if header.hex("digest", 64) != digest:
        raise Malformed("it belongs to another plan")
    objects: list[ObjectInfo] = []
    for row in _rows(file, header.integer("objects", 0, MAX_OBJECTS), 4, sha256):
        key, size, etag, last_modified = row
        as_text(key, "a key"), as_text(etag, "an ETag")
        objects.append(ObjectInfo(key, as_integer(size, "a size"), etag, as_integer(last_modified, "a time")))
    missing: list[Missing] = []
    for key, reason in _rows(file, header.integer("missing", 0, MAX_OBJECTS), 2, sha256):
        missing.append(Missing(as_text(key, "a key"), as_text(reason, "a reason")))
    end = _end_marker(len(objects) + len(missing), sha256.hexdigest())
    if file.read(len(end) + 1) != end:
        raise Malformed("its checksum is wrong: it is incomplete or was changed")
    plan = Plan(request=header.object("request"), objects=tuple(objects), missing=tuple(missing))
    try:
        if header.integer("version") != _version(plan):
            raise Malformed("its version is not that of its subset")
    except BadSelection as exc:
        raise Malformed(f"its subset is not valid: {exc}") from exc
    return plan


def _rows(file: BinaryIO, count: int, width: int, sha256: Any) -> Iterator[list[Any]]:
    """Yield the next `count` lines, each as a list of `width` values. Parses lines in batches, which is faster."""
    while count > 0:
        lines = [_next_line(file, _MAX_LINE, sha256) for _ in range(min(_BATCH, count))]
        count -= len(lines)
        rows = as_array(parse_json(b"[" + b",".join(lines) + b"]"), "a line", _BATCH, length=len(lines))
        for row in rows:
            yield as_array(row, "a line", width, length=width)


def _next_line(file: BinaryIO, limit: int, sha256: Any) -> bytes:
    line = file.readline(limit + 1)
    if not line.endswith(b"\n"):
        raise Malformed("it ends too early" if len(line) <= limit else "a line in it is too long")
    sha256.update(line)
    return line
