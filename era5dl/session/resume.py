"""The resume file: what a session has done so far, as JSON that a person can read and a damaged disk cannot fake.

The checksum inside covers all the rest in canonical form, so a torn or flipped file is known as such. The text is
bounded (`LIMIT`) whatever the session holds: what does not fit is left out in the order of what it costs to be
without it. A missing digest is computed again from disk, a missing range is fetched again; nothing wrong is ever kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from era5dl.bucket.store import ObjectInfo
from era5dl.ranges import Range, RangeSet
from era5dl.session.checkpoint import Checkpoint, Facts, Failure, Saved, Unfinished
from era5dl.session.untrusted import Fields, Malformed, as_hex, as_list, as_text, as_whole, canonical, parse_json

FORMAT = "era5dl-session"
VERSION = 1
LIMIT = 256 * 1024  # bytes of a resume file as we write it
READ_LIMIT = 16 * LIMIT  # bytes of one we are ready to look at: a person may have indented it
MAX_FAILURES = 200
MAX_OBJECTS = 10_000_000
_MAX_UNFINISHED = 1000
_MAX_REPLACED = 2000
_MAX_PARTS = 10_000  # S3 takes no more parts for one object
_MAX_RUNS = 2000  # ranges in "0-1023,1025" before a bit for each object is shorter
_MAX_TEXT = 500  # letters of a reason or a remedy
_REQUEST_LIMIT = 32 * 1024
_RUNS = re.compile(r"(\d{1,8}(-\d{1,8})?)(,\d{1,8}(-\d{1,8})?)*", re.ASCII)


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
        "verified": _set_form(checkpoint.verified, facts.files),
        "checked": _set_form(checkpoint.checked, facts.files),
        **_lists(checkpoint, objects),
    }
    data = _encode(body)
    for drop in (_drop_replaced, _drop_digests, _drop_failures, _drop_unfinished):
        if len(data) <= LIMIT:
            break
        drop(body, len(data) - LIMIT)
        data = _encode(body)
    return data


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
    files = top.whole("files", 0, MAX_OBJECTS)
    facts = Facts(
        id=top.hex("id", 12),
        title=top.text("title"),
        created=top.instant("created"),
        bucket=top.text("bucket"),
        endpoint_url=top.text_or_none("endpoint_url"),
        region=top.text("region"),
        flat=top.flag("flat"),
        verify=top.flag("verify"),
        request=top.record("request"),
        plan_digest=top.hex("plan_digest", 64),
        files=files,
        missing=top.whole("missing", 0, MAX_OBJECTS),
        total_bytes=top.whole("total_bytes"),
    )
    verified, checked = (_parse_set(top.text(name, 4 * MAX_OBJECTS), files) for name in ("verified", "checked"))
    if any(True for start, stop in verified for _ in checked.overlapping(start, stop)):
        raise Malformed("an object is in two states")
    pairs = [_parse_unfinished(item, files) for item in top.items("unfinished", _MAX_UNFINISHED)]
    unfinished = tuple(entry for entry, _ in pairs)
    if len({entry.index for entry in unfinished}) != len(unfinished):
        raise Malformed("an object is there twice")
    if any(entry.index in verified or entry.index in checked for entry in unfinished):
        raise Malformed("an object is in two states")
    checkpoint = Checkpoint(
        verified,
        checked,
        unfinished,
        tuple(_parse_failure(item, files) for item in top.items("failures", MAX_FAILURES)),
        dict(_parse_version(item, files) for item in top.items("replaced", _MAX_REPLACED)),
        top.whole("done_bytes"),
        top.flag("ended"),
    )
    versions = {entry.index: version for entry, version in pairs}
    return Saved(facts, top.instant("updated"), checkpoint, versions, top.whole("failed"))


def plan_name(session_id: str, plan_digest: str) -> str:
    """The file name of a plan, beside the resume file. Computed, never taken from a file."""
    return f"{session_id}.{plan_digest[:8]}.plan.jsonl"


def _encode(body: Mapping[str, Any]) -> bytes:
    """One line per field, and per entry of a list."""
    whole = {"checksum": hashlib.sha256(canonical(body)).hexdigest(), **body}
    lines = []
    for name, value in whole.items():
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(json.dumps(item) for item in value) + "\n ]"
        else:
            text = json.dumps(value, allow_nan=False)
        lines.append(f' "{name}": {text}')
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def _request_form(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request, for people; the plan file has it in full when it is a very long one."""
    text = canonical(dict(request))
    if len(text) <= _REQUEST_LIMIT:
        return request
    return {"in": "the plan file", "sha256": hashlib.sha256(text).hexdigest()}


def _lists(checkpoint: Checkpoint, objects: Sequence[ObjectInfo]) -> dict[str, Any]:
    """The parts of the file that grow, each with a ceiling of its own."""
    entries = checkpoint.unfinished
    if len(entries) > _MAX_UNFINISHED:
        entries = tuple(sorted(entries, key=lambda entry: RangeSet(entry.done).total())[-_MAX_UNFINISHED:])
    listed = {entry.index for entry in entries}  # these carry their version themselves
    others = [index for index in checkpoint.replaced if index not in listed][-_MAX_REPLACED:]
    return {
        "unfinished": [
            _unfinished_form(entry, checkpoint.replaced.get(entry.index, objects[entry.index])) for entry in entries
        ],
        "replaced": [_version_form(index, checkpoint.replaced[index]) for index in others],
        "failures": [
            {
                "index": _in_plan(failure.index, objects),
                "key": failure.key,
                "reason": failure.reason[:_MAX_TEXT],
                "remedy": failure.remedy[:_MAX_TEXT],
                "when": failure.when,
            }
            for failure in checkpoint.failures[-MAX_FAILURES:]
        ],
    }


def _in_plan(index: int, objects: Sequence[ObjectInfo]) -> int:
    if not 0 <= index < len(objects):
        raise ValueError(f"there is no object {index} in the plan")
    return index


def _version_form(index: int, obj: ObjectInfo) -> dict[str, Any]:
    return {
        "index": index,
        "key": obj.key,
        "size": obj.size,
        "etag": obj.etag,
        "last_modified": obj.last_modified,
    }


def _parse_version(raw: object, files: int) -> tuple[int, ObjectInfo]:
    item = Fields(raw)
    version = ObjectInfo(item.text("key"), item.whole("size"), item.text("etag"), item.whole("last_modified"))
    return item.whole("index", 0, files - 1), version


def _unfinished_form(entry: Unfinished, version: ObjectInfo) -> dict[str, Any]:
    """Digests of neighbouring parts are written in one text: [first part, "hex of it, hex of the next, ..."]."""
    done = list(RangeSet(entry.done))
    if done and (done[0][0] < 0 or done[-1][1] > version.size):
        raise ValueError(f"{version.key} has no bytes {done[0][0]}-{done[-1][1] - 1}")
    runs: list[tuple[int, list[str]]] = []
    for part in sorted(entry.digests):
        if not runs or part != runs[-1][0] + len(runs[-1][1]):
            runs.append((part, []))
        runs[-1][1].append(entry.digests[part])
    return {
        **_version_form(entry.index, version),
        "done": done,
        "digests": [[first, "".join(digests)] for first, digests in runs],
    }


def _parse_unfinished(raw: object, files: int) -> tuple[Unfinished, ObjectInfo]:
    index, version = _parse_version(raw, files)
    item = Fields(raw)
    done: list[Range] = []
    for pair in item.items("done", LIMIT):
        start, stop = as_list(pair, "done", 2, length=2)
        low = done[-1][1] if done else 0
        done.append((as_whole(start, "done", low, version.size), as_whole(stop, "done", low, version.size)))
        if start >= stop:
            raise Malformed("a range is empty")
    digests: dict[int, str] = {}
    for run in item.items("digests", _MAX_PARTS):
        first, text = as_list(run, "digests", 2, length=2)
        count = len(as_text(text, "digests", 32 * _MAX_PARTS)) // 32
        as_whole(first, "digests", 0, _MAX_PARTS - count)
        as_hex(text, "digests", 32 * count)
        digests.update((first + place, text[32 * place : 32 * place + 32]) for place in range(count))
    return Unfinished(index, tuple(done), digests), version


def _parse_failure(raw: object, files: int) -> Failure:
    item = Fields(raw)
    index = item.whole("index", 0, files - 1)
    return Failure(index, item.text("key"), item.text("reason"), item.text("remedy"), item.instant("when"))


def _set_form(members: RangeSet, files: int) -> str:
    """ "0-1023,1025", or, when it is all holes, "bits:" and a bit for each object, the first one highest."""
    runs = list(members)
    if runs and (runs[0][0] < 0 or runs[-1][1] > files):
        raise ValueError(f"there is no object {runs[-1][1] - 1} in the plan")
    if len(runs) <= _MAX_RUNS:
        return ",".join(f"{start}-{stop - 1}" if stop - start > 1 else f"{start}" for start, stop in runs)
    length = -(-files // 8)
    flags = bytearray(b"0") * (8 * length)
    for start, stop in runs:
        flags[start:stop] = b"1" * (stop - start)
    return "bits:" + int(flags, 2).to_bytes(length, "big").hex()


def _parse_set(text: str, files: int) -> RangeSet:
    if text.startswith("bits:"):
        length = -(-files // 8)
        packed = bytes.fromhex(as_hex(text[5:], "a set", 2 * length))
        flags = f"{int.from_bytes(packed, 'big'):0{8 * length}b}" if length else ""
        found = RangeSet(match.span() for match in re.finditer("1+", flags))
    elif text and not _RUNS.fullmatch(text):
        raise Malformed("a set of objects cannot be read")
    else:
        found = RangeSet()
        at = 0
        for run in text.split(",") if text else ():
            first, _, last = run.partition("-")
            if not at <= int(first) <= int(last or first):  # in order, as we write them: adding stays quick
                raise Malformed("a set of objects cannot be read")
            at = int(last or first) + 1
            found.add(int(first), at)
    if found and list(found)[-1][1] > files:
        raise Malformed("it speaks of objects that are not in its plan")
    return found


def _drop_replaced(body: dict[str, Any], excess: int) -> None:
    """Without it: the object's version is asked for again."""
    _drop_first(body["replaced"], excess)


def _drop_digests(body: dict[str, Any], excess: int) -> None:
    """Without them: those parts are read from disk again."""
    for entry in sorted(body["unfinished"], key=lambda entry: len(json.dumps(entry["digests"])), reverse=True):
        if excess <= 0:
            break
        excess -= len(json.dumps(entry["digests"]))
        entry["digests"] = []


def _drop_failures(body: dict[str, Any], excess: int) -> None:
    """Without them: the oldest failures are not told of; those objects are simply unfinished."""
    _drop_first(body["failures"], excess)


def _drop_unfinished(body: dict[str, Any], excess: int) -> None:
    """Without them: those bytes are fetched again. The entries with the longest text go first."""
    body["unfinished"].sort(key=lambda entry: len(json.dumps(entry)), reverse=True)
    _drop_first(body["unfinished"], excess)


def _drop_first(items: list[Any], excess: int) -> None:
    count = 0
    while count < len(items) and excess > 0:
        excess -= len(json.dumps(items[count])) + 1
        count += 1
    del items[:count]
