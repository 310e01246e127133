"""The resume file: what a session has done so far, as JSON that a person can read and a damaged disk cannot fake.

The checksum inside covers all the rest in canonical form, so a torn or flipped file is known as such. The text is
bounded (`LIMIT`) whatever the session holds: what does not fit is left out, first what costs least to be without. A
missing digest is computed again from disk, a missing range is fetched again; nothing wrong is ever kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from era5dl.bucket.interface import MOST_OBJECTS, ObjectInfo
from era5dl.redaction import has_login, without_login
from era5dl.session.checkpoint import Checkpoint, Facts, Saved
from era5dl.session.resume_entries import (
    MAX_FAILURES,
    MAX_REPLACED,
    MAX_UNFINISHED,
    drop_digests,
    drop_failures,
    drop_replaced,
    drop_unfinished,
    lists_form,
    parse_failure,
    parse_set,
    parse_unfinished,
    parse_version,
    set_form,
)
from era5dl.validation import Fields, Malformed, canonical, parse_json

FORMAT = "era5dl-session"
VERSION = 1
LIMIT = 256 * 1024  # bytes of a resume file as we write it
READ_LIMIT = 16 * LIMIT  # bytes of one we are ready to look at: a person may have indented it
_CHECKSUM_ROOM = 100  # letters of the line that is added last
_REQUEST_LIMIT = 32 * 1024


def render(facts: Facts, checkpoint: Checkpoint, objects: Sequence[ObjectInfo], now: float) -> bytes:
    """The resume file. Raises ValueError when the checkpoint speaks of objects or bytes that are not in the plan."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "id": facts.id,
        "title": facts.title,
        "created": facts.created,
        "updated": now,
        "ended": checkpoint.ended,
        "files": facts.files,
        "done_files": checkpoint.verified.total() + checkpoint.checked.total(),
        "failed": len(checkpoint.failures),
        "missing": facts.missing,
        "total_bytes": facts.total_bytes,
        "done_bytes": checkpoint.done_bytes,
        "bucket": facts.bucket,
        "endpoint_url": facts.endpoint_url,
        "region": facts.region,
        "flat": facts.flat,
        "verify": facts.verify,
        "request": _request_form(facts.request),
        "plan_digest": facts.plan_digest,
        "plan_file": plan_name(facts.id, facts.plan_digest),
        "verified": set_form(checkpoint.verified, facts.files),
        "checked": set_form(checkpoint.checked, facts.files),
        **lists_form(checkpoint, objects),
    }
    for drop in (drop_replaced, drop_digests, drop_failures, drop_unfinished):
        excess = len(_text(body)) + _CHECKSUM_ROOM - LIMIT
        if excess <= 0:
            break
        drop(body, excess)
    return _text({"checksum": hashlib.sha256(canonical(body)).hexdigest(), **body}).encode("ascii")


def parse(data: bytes) -> Saved:
    """What `render` wrote. Raises Malformed, and nothing else, for any other bytes."""
    raw = parse_json(data)
    top = Fields(raw)
    if top.text("format") != FORMAT:
        raise Malformed("it is not a resume file of era5dl")
    checksum = raw.pop("checksum", None)
    if checksum != hashlib.sha256(canonical(raw)).hexdigest():
        raise Malformed("its checksum is wrong: it is torn or was changed")
    if top.whole("version") != VERSION:
        raise Malformed(f"it is of version {top.whole('version')}, written by another era5dl; this one knows {VERSION}")
    files = top.whole("files", 0, MOST_OBJECTS)
    facts = Facts(
        id=top.hex("id", 12),
        title=top.text("title"),
        created=top.instant("created"),
        bucket=top.text("bucket"),
        endpoint_url=_endpoint(top.text_or_none("endpoint_url")),
        region=top.text("region"),
        flat=top.flag("flat"),
        verify=top.flag("verify"),
        request=top.record("request"),
        plan_digest=top.hex("plan_digest", 64),
        files=files,
        missing=top.whole("missing", 0, MOST_OBJECTS),
        total_bytes=top.whole("total_bytes"),
    )
    verified, checked = (parse_set(top.text(name, 4 * MOST_OBJECTS), files) for name in ("verified", "checked"))
    if any(True for start, stop in verified for _ in checked.overlapping(start, stop)):
        raise Malformed("an object is in two states")
    pairs = [parse_unfinished(item, files) for item in top.items("unfinished", MAX_UNFINISHED)]
    unfinished = tuple(entry for entry, _ in pairs)
    if len({entry.index for entry in unfinished}) != len(unfinished):
        raise Malformed("an object is there twice")
    if any(entry.index in verified or entry.index in checked for entry in unfinished):
        raise Malformed("an object is in two states")
    checkpoint = Checkpoint(
        verified,
        checked,
        unfinished,
        tuple(parse_failure(item, files) for item in top.items("failures", MAX_FAILURES)),
        dict(parse_version(item, files) for item in top.items("replaced", MAX_REPLACED)),
        top.whole("done_bytes"),
        top.flag("ended"),
    )
    versions = {entry.index: version for entry, version in pairs}
    had_login = has_login(top.text_or_none("endpoint_url") or "")
    return Saved(facts, top.instant("updated"), checkpoint, versions, top.whole("failed"), had_login)


def _endpoint(url: str | None) -> str | None:
    """Earlier versions took an address with a password in it. What is read here is shown, and written again."""
    return None if url is None else without_login(url)


def plan_name(session_id: str, plan_digest: str) -> str:
    """The file name of a plan, beside the resume file. Computed, never taken from a file."""
    return f"{session_id}.{plan_digest[:8]}.plan.jsonl"


def _text(body: Mapping[str, Any]) -> str:
    """One line per field, and per entry of a list."""
    lines = []
    for name, value in body.items():
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(json.dumps(item) for item in value) + "\n ]"
        else:
            text = json.dumps(value, allow_nan=False)
        lines.append(f' "{name}": {text}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _request_form(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request, for people; the plan file has it in full when it is a very long one."""
    text = canonical(dict(request))
    if len(text) <= _REQUEST_LIMIT:
        return request
    return {"in": "the plan file", "sha256": hashlib.sha256(text).hexdigest()}
