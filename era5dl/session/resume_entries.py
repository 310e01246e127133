"""Resume file entries: converts the lists of a checkpoint to JSON and back, validates them and limits their size.

Each list has its own limit, so that the cost of saving a checkpoint is bounded. Together the lists may still be too
long; then the `drop_` functions remove entries until `excess` characters of JSON are saved. The caller
starts with the function whose entries are cheapest to restore.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

from era5dl.bucket.interface import ObjectInfo
from era5dl.ranges import Range, RangeSet
from era5dl.redaction import redact_secrets
from era5dl.session.checkpoint import Checkpoint, FailedObject, UnfinishedObject
from era5dl.validation import JsonObject, Malformed, as_array, as_hex, as_integer, as_text

MAX_FAILURES = 200
MAX_UNFINISHED = 400
MAX_REPLACED = 400
_MAX_DIGESTS = 4600  # of all objects together: 144 KiB, enough for 23 files of 1.6 GB in parts of 8 MiB
_MAX_RANGES = 5000  # of all unfinished objects together
_MAX_PARTS = 10_000  # S3's limit for one object
_MAX_RUNS = 2000  # ranges in a text such as "0-1023,1025"; a set with more is saved with one bit per object
LAYOUT_LENGTH = 32  # hex digits of the id of a packed part file's layout
_MAX_TEXT = 500  # characters of a reason or a remedy
_RUNS = re.compile(r"(\d{1,8}(-\d{1,8})?)(,\d{1,8}(-\d{1,8})?)*", re.ASCII)


def lists_to_json(checkpoint: Checkpoint, objects: Sequence[ObjectInfo]) -> dict[str, Any]:
    """Return the fields of the resume file that are lists, each cut to its limit. objects: those of the plan.

    Raises ValueError if the checkpoint refers to objects or bytes that are not in the plan.
    """
    entries = _within_limits(checkpoint.unfinished)
    listed = {entry.index for entry in entries}  # these entries include their version
    others = [index for index in checkpoint.replaced if index not in listed][-MAX_REPLACED:]
    return {
        "unfinished": [
            _unfinished_to_json(entry, checkpoint.replaced.get(entry.index, objects[entry.index])) for entry in entries
        ],
        "replaced": [_version_to_json(index, checkpoint.replaced[index]) for index in others],
        "failures": [
            {
                "index": _checked_index(failure.index, objects),
                "key": failure.key,
                "reason": _short_text_without_secrets(failure.reason),
                "remedy": _short_text_without_secrets(failure.remedy),
                "when": failure.when,
                "kind": failure.kind[:_MAX_TEXT],
            }
            for failure in checkpoint.failures[-MAX_FAILURES:]
        ],
    }


def _short_text_without_secrets(text: str) -> str:
    """Shorten the text of an error and remove secrets: other people may be able to read the folder."""
    return redact_secrets(text[: 2 * _MAX_TEXT])[:_MAX_TEXT]


def _within_limits(entries: Sequence[UnfinishedObject]) -> list[UnfinishedObject]:
    """Return the entries that fit into the limits, those with the most bytes if there are too many. Entries with too
    many ranges are left out, and those with too many digests are kept without them."""
    if len(entries) > MAX_UNFINISHED:
        entries = sorted(entries, key=lambda entry: sum(stop - start for start, stop in entry.done), reverse=True)
    kept = []
    ranges, digests = _MAX_RANGES, _MAX_DIGESTS
    for entry in entries[:MAX_UNFINISHED]:
        if len(entry.done) <= ranges:
            ranges -= len(entry.done)
            fits = len(entry.digests) <= digests
            digests -= len(entry.digests) if fits else 0
            kept.append(entry if fits else dataclasses.replace(entry, digests={}, part_size=0))
    return kept


def _checked_index(index: int, objects: Sequence[ObjectInfo]) -> int:
    if not 0 <= index < len(objects):
        raise ValueError(f"there is no object {index} in the plan")
    return index


def _version_to_json(index: int, obj: ObjectInfo) -> dict[str, Any]:
    return {
        "index": index,
        "key": obj.key,
        "size": obj.size,
        "etag": obj.etag,
        "last_modified": obj.last_modified,
    }


def parse_version(raw: object, files: int) -> tuple[int, ObjectInfo]:
    """Return the index and the version of an object. files: objects in the plan. Raises Malformed."""
    item = JsonObject(raw)
    version = ObjectInfo(item.text("key"), item.integer("size"), item.text("etag"), item.integer("last_modified"))
    return item.integer("index", 0, files - 1), version


def _unfinished_to_json(entry: UnfinishedObject, version: ObjectInfo) -> dict[str, Any]:
    """Return a JSON record. The digests of consecutive parts are joined: [index of the first part, hex digits]."""
    done = list(RangeSet(entry.done))
    if done and (done[0][0] < 0 or done[-1][1] > version.size):
        raise ValueError(f"{version.key} has no bytes {done[0][0]}-{done[-1][1] - 1}")
    runs: list[tuple[int, list[str]]] = []
    for part in sorted(entry.digests):
        if not runs or part != runs[-1][0] + len(runs[-1][1]):
            runs.append((part, []))
        runs[-1][1].append(entry.digests[part])
    return {
        **_version_to_json(entry.index, version),
        "done": done,
        "part_size": entry.part_size,
        "digests": [[first, "".join(digests)] for first, digests in runs],
        **({"layout": entry.layout} if entry.layout else {}),
    }


def parse_unfinished(raw: object, files: int) -> tuple[UnfinishedObject, ObjectInfo]:
    """Return an unfinished object, and the version that its ranges belong to. Raises Malformed."""
    index, version = parse_version(raw, files)
    item = JsonObject(raw)
    done: list[Range] = []
    for pair in item.array("done", _MAX_RANGES):
        start, stop = as_array(pair, "done", 2, length=2)
        low = done[-1][1] if done else 0
        done.append((as_integer(start, "done", low, version.size), as_integer(stop, "done", low, version.size)))
        if start >= stop:
            raise Malformed("a range is empty")
    digests: dict[int, str] = {}
    for run in item.array("digests", _MAX_PARTS):
        first, text = as_array(run, "digests", 2, length=2)
        count = len(as_text(text, "digests", 32 * _MAX_PARTS)) // 32
        as_integer(first, "digests", 0, _MAX_PARTS - count)
        as_hex(text, "digests", 32 * count)
        digests.update((first + place, text[32 * place : 32 * place + 32]) for place in range(count))
    part_size = item.integer("part_size") if "part_size" in item else 0  # earlier versions did not write it
    layout = item.hex("layout", LAYOUT_LENGTH) if "layout" in item else ""  # only packed part files have one
    return UnfinishedObject(index, tuple(done), digests, part_size, layout), version


def parse_failure(raw: object, files: int) -> FailedObject:
    """Return a failed object. Raises Malformed."""
    item = JsonObject(raw)
    index = item.integer("index", 0, files - 1)
    kind = item.text("kind") if "kind" in item else ""  # earlier versions did not write it
    return FailedObject(index, item.text("key"), item.text("reason"), item.text("remedy"), item.timestamp("when"), kind)


def index_set_to_text(members: RangeSet, files: int) -> str:
    """Return a set of indices as "0-1023,1025", or with too many ranges as "bits:" and hex, one bit per object.

    The highest bit stands for object 0. Raises ValueError for an index that is not in the plan.
    """
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


def parse_index_set(text: str, files: int) -> RangeSet:
    """Return the set of indices that a text describes. Raises Malformed."""
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
            if not at <= int(first) <= int(last or first):  # they are written sorted; adding unsorted ones is slow
                raise Malformed("a set of objects cannot be read")
            at = int(last or first) + 1
            found.add(int(first), at)
    if found and list(found)[-1][1] > files:
        raise Malformed("it names objects that are not in its plan")
    return found


def drop_replaced(body: dict[str, Any], excess: int) -> None:
    """Drop versions of replaced objects. They will be requested from the server again."""
    _drop_first(body["replaced"], excess)


def drop_digests(body: dict[str, Any], excess: int) -> None:
    """Drop digests of parts. They will be computed again from disk."""
    for entry in sorted(body["unfinished"], key=_digests_length, reverse=True):
        if excess <= 0:
            break
        excess -= _digests_length(entry)
        entry["digests"] = []


def _digests_length(entry: dict[str, Any]) -> int:
    return sum(len(text) for _, text in entry["digests"])


def drop_failures(body: dict[str, Any], excess: int) -> None:
    """Drop the oldest failures. Their objects count as unfinished."""
    _drop_first(body["failures"], excess)


def drop_unfinished(body: dict[str, Any], excess: int) -> None:
    """Drop unfinished objects, those with the longest text first. Their bytes will be fetched again."""
    body["unfinished"].sort(key=lambda entry: len(json.dumps(entry)), reverse=True)
    _drop_first(body["unfinished"], excess)


def _drop_first(items: list[Any], excess: int) -> None:
    """Drop items from the front until their JSON is shorter by `excess` characters, or none is left."""
    count = 0
    while count < len(items) and excess > 0:
        excess -= len(json.dumps(items[count])) + 1
        count += 1
    del items[:count]
