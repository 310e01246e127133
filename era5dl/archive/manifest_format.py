"""Manifest file: one JSON line for each file of an archive, with its size, version and digests.

A header, the files, and an end marker with the SHA-256 of all lines before, so that a truncated or altered manifest is
detected. It is written atomically.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from era5dl.bucket.interface import MAX_OBJECTS
from era5dl.errors import UsageError
from era5dl.folder.atomic_write import write_atomically
from era5dl.folder.disk_errors import translate_folder_errors
from era5dl.validation import JsonObject, Malformed, as_hex, as_integer, as_text, open_regular_file, parse_json

MANIFEST_NAME = "era5dl-manifest.jsonl"
SUMS_NAME = "SHA256SUMS"
_FORMAT = "era5dl-manifest"
_VERSION = 1
_MAX_HEADER = 64 << 20  # bytes; it has the requests of all sessions
_MAX_LINE = 1 << 20  # bytes; the subset of a file may have 10,000 points
_LARGEST_TIME = 1 << 62  # ns


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A file. path: below the folder, with slashes. key, etag, last_modified, object_size: of its object, if known.

    size: bytes; modified: ns since 1970. md5, sha256: hex; "" if not known. proof: "verified", "checked",
    "checked-part", or "" if no session has finished the file, or it has been modified since. when: seconds since 1970,
    the last save of its session. subset: what the file has of the object; None for all of it. session: its id.
    """

    path: str
    key: str
    size: int
    modified: int
    object_size: int = 0
    etag: str = ""
    last_modified: int = 0
    md5: str = ""
    sha256: str = ""
    proof: str = ""
    when: float = 0.0
    session: str = ""
    subset: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a manifest. created: seconds since 1970. program: that has written it, with its version.

    sessions: id, title, request, bucket, endpoint_url, created and updated of each session.
    """

    created: float
    program: str
    sessions: tuple[Mapping[str, Any], ...]
    files: tuple[ManifestEntry, ...]


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest, replacing an earlier one. Raises DiskErrors."""
    with translate_folder_errors(path):
        write_atomically(path, _serialize(manifest))


def read_manifest(path: Path) -> Manifest:
    """Return the manifest. Raises UsageError if it is damaged, DiskErrors."""
    try:
        with translate_folder_errors(path), open_regular_file(path) as file:
            return _parse(iter(file.readline, b""))
    except Malformed as error:
        raise UsageError(
            f"The manifest {path} cannot be used: {error}",
            remedy="Write a new one with `era5dl manifest DIR`; it can show later changes only.",
        ) from error


def require_manifest(path: Path) -> None:
    """Raise UsageError if there is no manifest."""
    if not path.exists():
        raise UsageError(f"There is no manifest {path}.", remedy="Write one first: `era5dl manifest DIR`.")


def write_sums(path: Path, files: Iterable[ManifestEntry]) -> int:
    """Write the SHA-256 sums of files, as `sha256sum --check` reads them. Return their number. Raises DiskErrors."""
    lines = [_sum_line(file) for file in files if file.sha256]
    with translate_folder_errors(path):
        write_atomically(path, ["".join(lines).encode("utf-8", "surrogateescape")])
    return len(lines)


def _sum_line(file: ManifestEntry) -> str:
    name = file.path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if name == file.path else chr(92)}{file.sha256}  {name}\n"


def _serialize(manifest: Manifest) -> Iterator[bytes]:
    digest = hashlib.sha256()
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "created": manifest.created,
        "program": manifest.program,
        "files": len(manifest.files),
        "bytes": sum(file.size for file in manifest.files),
        "sessions": list(manifest.sessions),
    }
    for record in (header, *map(_entry_to_json, manifest.files)):
        line = _to_line(record)
        digest.update(line)
        yield line
    yield _to_line(_end_marker(len(manifest.files), digest.hexdigest()))


def _entry_to_json(file: ManifestEntry) -> dict[str, Any]:
    """Return the fields that say something: without empty ones."""
    form = asdict(file)
    return {name: value for name, value in form.items() if value or name in ("path", "key", "size", "modified")}


def _end_marker(files: int, sha256: str) -> dict[str, Any]:
    return {"end": _FORMAT, "lines": files, "sha256": sha256}


def _to_line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def _parse(lines: Iterator[bytes]) -> Manifest:
    digest = hashlib.sha256()
    first = _next_line(lines, _MAX_HEADER)
    digest.update(first)
    header = JsonObject(parse_json(first))
    if header.text("format") != _FORMAT or header.integer("version") != _VERSION:
        raise Malformed("it is not a manifest that this version knows")
    count = header.integer("files", 0, MAX_OBJECTS)
    files = []
    for _ in range(count):
        line = _next_line(lines, _MAX_LINE)
        digest.update(line)
        files.append(_parse_entry(parse_json(line)))
    if _next_line(lines, _MAX_LINE) != _to_line(_end_marker(count, digest.hexdigest())):
        raise Malformed("its checksum is wrong: it is incomplete or was changed")
    sessions = tuple(one for one in header.array("sessions", 10_000) if isinstance(one, dict))
    return Manifest(header.timestamp("created"), header.text("program"), sessions, tuple(files))


def _next_line(lines: Iterator[bytes], limit: int) -> bytes:
    line = next(lines, b"")
    if not line.endswith(b"\n") or len(line) > limit:
        raise Malformed("it ends too early, or a line in it is too long")
    return line


def _parse_entry(raw: object) -> ManifestEntry:
    record = JsonObject(raw)
    given = {one.name for one in fields(ManifestEntry) if one.name in record}

    def text(name: str) -> str:
        return record.text(name) if name in given else ""

    def number(name: str) -> int:
        return record.integer(name) if name in given else 0

    subset = record.object("subset") if "subset" in given else None
    return ManifestEntry(
        path=as_text(record.text("path"), "path"),
        key=record.text("key"),
        size=record.integer("size"),
        modified=record.integer("modified", -_LARGEST_TIME, _LARGEST_TIME),
        object_size=number("object_size"),
        etag=text("etag"),
        last_modified=as_integer(number("last_modified"), "last_modified"),
        md5=as_hex(text("md5"), "md5", 32) if text("md5") else "",
        sha256=as_hex(text("sha256"), "sha256", 64) if text("sha256") else "",
        proof=text("proof"),
        when=record.timestamp("when") if "when" in given else 0.0,
        session=text("session"),
        subset=subset,
    )
