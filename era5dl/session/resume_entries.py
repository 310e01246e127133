"""The parts of a resume file that grow with the work: how each is written, checked when read, and kept small.

Each list has a ceiling of its own, so that a checkpoint costs about the same whatever happens; together they may still
be too long, and then the `drop_` functions make room, beginning with what is cheapest to be without.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from era5dl.bucket.interface import ObjectInfo
from era5dl.ranges import Range, RangeSet
from era5dl.redaction import without_secrets
from era5dl.session.checkpoint import Checkpoint, Failure, Unfinished
from era5dl.validation import Fields, Malformed, as_hex, as_list, as_text, as_whole

MAX_FAILURES = 200
MAX_UNFINISHED = 400
MAX_REPLACED = 400
_MAX_DIGESTS = 4600  # of all objects together: 144 KiB, those of 23 files of 1.6 GB in parts of 8 MiB
_MAX_RANGES = 5000  # of all unfinished objects together
_MAX_PARTS = 10_000  # S3 takes no more parts for one object
_MAX_RUNS = 2000  # ranges in "0-1023,1025" before a bit for each object is shorter
_MAX_TEXT = 500  # letters of a reason or a remedy
_RUNS = re.compile(r"(\d{1,8}(-\d{1,8})?)(,\d{1,8}(-\d{1,8})?)*", re.ASCII)


def lists_form(checkpoint: Checkpoint, objects: Sequence[ObjectInfo]) -> dict[str, Any]:
    """The parts of the file that grow, each with a ceiling of its own."""
    entries = _within_ceilings(checkpoint.unfinished)
    listed = {entry.index for entry in entries}  # these carry their version themselves
    others = [index for index in checkpoint.replaced if index not in listed][-MAX_REPLACED:]
    return {
        "unfinished": [
            _unfinished_form(entry, checkpoint.replaced.get(entry.index, objects[entry.index])) for entry in entries
        ],
        "replaced": [_version_form(index, checkpoint.replaced[index]) for index in others],
        "failures": [
            {
                "index": _in_plan(failure.index, objects),
                "key": failure.key,
                "reason": _sayable(failure.reason),
                "remedy": _sayable(failure.remedy),
                "when": failure.when,
                "kind": failure.kind[:_MAX_TEXT],
            }
            for failure in checkpoint.failures[-MAX_FAILURES:]
        ],
    }


def _sayable(text: str) -> str:
    """A text of an error, short and without what is secret: this file lies in a folder that many may read."""
    return without_secrets(text[: 2 * _MAX_TEXT])[:_MAX_TEXT]


def _within_ceilings(entries: Sequence[Unfinished]) -> list[Unfinished]:
    """The entries with the most bytes, as many as there is room for; those last in line without their digests."""
    if len(entries) > MAX_UNFINISHED:
        entries = sorted(entries, key=lambda entry: sum(stop - start for start, stop in entry.done), reverse=True)
    kept = []
    ranges, digests = _MAX_RANGES, _MAX_DIGESTS
    for entry in entries[:MAX_UNFINISHED]:
        if len(entry.done) <= ranges:
            ranges -= len(entry.done)
            fits = len(entry.digests) <= digests
            digests -= len(entry.digests) if fits else 0
            kept.append(entry if fits else Unfinished(entry.index, entry.done))
    return kept


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


def parse_version(raw: object, files: int) -> tuple[int, ObjectInfo]:
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
        "part_size": entry.part_size,
        "digests": [[first, "".join(digests)] for first, digests in runs],
    }


def parse_unfinished(raw: object, files: int) -> tuple[Unfinished, ObjectInfo]:
    index, version = parse_version(raw, files)
    item = Fields(raw)
    done: list[Range] = []
    for pair in item.items("done", _MAX_RANGES):
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
    part_size = item.whole("part_size") if "part_size" in item else 0  # earlier versions did not write it
    return Unfinished(index, tuple(done), digests, part_size), version


def parse_failure(raw: object, files: int) -> Failure:
    item = Fields(raw)
    index = item.whole("index", 0, files - 1)
    kind = item.text("kind") if "kind" in item else ""  # earlier versions did not write it
    return Failure(index, item.text("key"), item.text("reason"), item.text("remedy"), item.instant("when"), kind)


def set_form(members: RangeSet, files: int) -> str:
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


def parse_set(text: str, files: int) -> RangeSet:
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


def drop_replaced(body: dict[str, Any], excess: int) -> None:
    """Without it: the object's version is asked for again."""
    _drop_first(body["replaced"], excess)


def drop_digests(body: dict[str, Any], excess: int) -> None:
    """Without them: those parts are read from disk again."""
    for entry in sorted(body["unfinished"], key=_digest_letters, reverse=True):
        if excess <= 0:
            break
        excess -= _digest_letters(entry)
        entry["digests"] = []


def _digest_letters(entry: dict[str, Any]) -> int:
    return sum(len(text) for _, text in entry["digests"])


def drop_failures(body: dict[str, Any], excess: int) -> None:
    """Without them: the oldest failures are not told of; those objects are simply unfinished."""
    _drop_first(body["failures"], excess)


def drop_unfinished(body: dict[str, Any], excess: int) -> None:
    """Without them: those bytes are fetched again. The entries with the longest text go first."""
    body["unfinished"].sort(key=lambda entry: len(json.dumps(entry)), reverse=True)
    _drop_first(body["unfinished"], excess)


def _drop_first(items: list[Any], excess: int) -> None:
    count = 0
    while count < len(items) and excess > 0:
        excess -= len(json.dumps(items[count])) + 1
        count += 1
    del items[:count]
