"""Resume file format: converts a checkpoint to readable JSON with a checksum, and parses it with full validation.

The checksum covers all other fields in canonical form, so a truncated or altered file is detected. The size is limited
to `MAX_SIZE`. If it is exceeded, entries are left out, starting with those that are cheapest to restore: a missing
digest is computed again from disk, a missing range is fetched again. Entries that are kept are always correct.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from era5dl.bucket.interface import MAX_OBJECTS, ObjectInfo
from era5dl.ranges import RangeSet
from era5dl.redaction import has_credentials, strip_credentials
from era5dl.session.checkpoint import Checkpoint, SavedSession
from era5dl.session.info import SessionInfo
from era5dl.session.plan_file import plan_file_name
from era5dl.session.resume_entries import (
    MAX_FAILURES,
    MAX_REPLACED,
    MAX_UNFINISHED,
    drop_digests,
    drop_failures,
    drop_replaced,
    drop_unfinished,
    index_set_to_text,
    lists_to_json,
    parse_failure,
    parse_index_set,
    parse_unfinished,
    parse_version,
)
from era5dl.validation import JsonObject, Malformed, canonical_json, parse_json

FORMAT = "era5dl-session"
VERSION = 1
MAX_SIZE = 256 * 1024  # bytes of a resume file that we write
READ_LIMIT = 16 * MAX_SIZE  # bytes of a resume file that we read; somebody may have reformatted it
_CHECKSUM_LINE = 100  # maximum length of the line with the checksum, in characters
_MAX_REQUEST = 32 * 1024  # characters
HEAD_LENGTH = 256  # bytes
_TOKEN = re.compile(rb'"version":\s*\d+,\s*"token":\s*"([0-9a-f]{16})"')


def render(
    info: SessionInfo, checkpoint: Checkpoint, objects: Sequence[ObjectInfo], now: float, token: str = ""
) -> bytes:
    """Return the content of the resume file. objects: those of the plan. now: seconds since 1970. token: of the lock of
    the program that saves it.

    Raises ValueError if the checkpoint refers to objects or bytes that are not in the plan.
    """
    body: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        **({"token": token} if token else {}),
        "id": info.id,
        "title": info.title,
        "created": info.created,
        "updated": now,
        "ended": checkpoint.ended,
        "files": info.files,
        "done_files": checkpoint.finished.total(),
        "failed": len(checkpoint.failures),
        "missing": info.missing,
        "total_bytes": checkpoint.total_bytes or info.total_bytes,
        "done_bytes": checkpoint.done_bytes,
        "bucket": info.bucket,
        "endpoint_url": info.endpoint_url,
        "region": info.region,
        "flat": info.flat,
        "verify": info.verify,
        "request": _request_to_json(info.request),
        "plan_digest": info.plan_digest,
        "plan_file": plan_file_name(info.id, info.plan_digest),
        "verified": index_set_to_text(checkpoint.verified, info.files),
        "checked": index_set_to_text(checkpoint.checked, info.files),
        **_parts_to_json(checkpoint, info),
        **lists_to_json(checkpoint, objects),
    }
    for drop in (drop_replaced, drop_digests, drop_failures, drop_unfinished):
        excess = len(_to_text(body)) + _CHECKSUM_LINE - MAX_SIZE
        if excess <= 0:
            break
        drop(body, excess)
    return _to_text({"checksum": hashlib.sha256(canonical_json(body)).hexdigest(), **body}).encode("ascii")


def parse(data: bytes) -> SavedSession:
    """Parse the content of a resume file. Raises only Malformed, whatever the bytes are."""
    raw = parse_json(data)
    top = JsonObject(raw)
    if top.text("format") != FORMAT:
        raise Malformed("it is not a resume file of era5dl")
    checksum = raw.pop("checksum", None)
    if checksum != hashlib.sha256(canonical_json(raw)).hexdigest():
        raise Malformed("its checksum is wrong: it is incomplete or was changed")
    if top.integer("version") != VERSION:
        raise Malformed(f"it has version {top.integer('version')}, of another era5dl; this one knows version {VERSION}")
    files = top.integer("files", 0, MAX_OBJECTS)
    info = SessionInfo(
        id=top.hex("id", 12),
        title=top.text("title"),
        created=top.timestamp("created"),
        bucket=top.text("bucket"),
        endpoint_url=_endpoint_strip_credentials(top.text_or_none("endpoint_url")),
        region=top.text("region"),
        flat=top.boolean("flat"),
        verify=top.boolean("verify"),
        request=top.object("request"),
        plan_digest=top.hex("plan_digest", 64),
        files=files,
        missing=top.integer("missing", 0, MAX_OBJECTS),
        total_bytes=top.integer("total_bytes"),
    )
    verified, checked, checked_part = (
        parse_index_set(top.text(name, 4 * MAX_OBJECTS), files) if name in top or name != "checked_part" else RangeSet()
        for name in ("verified", "checked", "checked_part")
    )
    cropped = parse_index_set(top.text("cropped", 4 * MAX_OBJECTS), files) if "cropped" in top else RangeSet()
    whole = RangeSet([*verified, *checked])
    if not all(whole.covers(*span) for span in cropped):
        raise Malformed("a subset of an object that is not complete")
    finished = RangeSet([*verified, *checked, *checked_part])
    if finished.total() != verified.total() + checked.total() + checked_part.total():
        raise Malformed("an object is in two states")
    pairs = [parse_unfinished(item, files) for item in top.array("unfinished", MAX_UNFINISHED)]
    unfinished = tuple(entry for entry, _ in pairs)
    if len({entry.index for entry in unfinished}) != len(unfinished):
        raise Malformed("an object is listed twice")
    if any(entry.index in finished for entry in unfinished):
        raise Malformed("an object is in two states")
    checkpoint = Checkpoint(
        verified,
        checked,
        unfinished,
        tuple(parse_failure(item, files) for item in top.array("failures", MAX_FAILURES)),
        dict(parse_version(item, files) for item in top.array("replaced", MAX_REPLACED)),
        top.integer("done_bytes"),
        top.boolean("ended"),
        checked_part,
        cropped=cropped,
    )
    versions = {entry.index: version for entry, version in pairs}
    had_login = has_credentials(top.text_or_none("endpoint_url") or "")
    return SavedSession(info, top.timestamp("updated"), checkpoint, versions, top.integer("failed"), had_login)


def token_of(head: bytes) -> str:
    """Return the token of the lock under which a resume file was saved; "" for files of earlier versions.

    head: its first HEAD_LENGTH bytes. The token is in the fourth line, before any text of users.
    """
    found = _TOKEN.search(head[:HEAD_LENGTH])
    return found[1].decode("ascii") if found else ""


def _parts_to_json(checkpoint: Checkpoint, info: SessionInfo) -> dict[str, str]:
    """Return the fields for subsets of files. Sessions without any have no such fields, as in earlier versions."""
    sets = {"checked_part": checkpoint.checked_part, "cropped": checkpoint.cropped}
    return {name: index_set_to_text(members, info.files) for name, members in sets.items() if members}


def _endpoint_strip_credentials(url: str | None) -> str | None:
    """Remove a user name and password, which earlier versions accepted, since the URL is displayed and saved again."""
    return None if url is None else strip_credentials(url)


def _to_text(body: Mapping[str, Any]) -> str:
    """Return the JSON text, with one line per field and per entry of a list."""
    lines = []
    for name, value in body.items():
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(json.dumps(item) for item in value) + "\n ]"
        else:
            text = json.dumps(value, allow_nan=False)
        lines.append(f' "{name}": {text}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _request_to_json(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the request. It is informative only. A very long one is only in the plan file."""
    text = canonical_json(dict(request))
    if len(text) <= _MAX_REQUEST:
        return request
    return {"in": "the plan file", "sha256": hashlib.sha256(text).hexdigest()}
