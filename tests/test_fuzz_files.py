"""Fuzz tests of the files that are read: the written value or a clear error; everything written is read back equal."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from era5dl.cli.commands.sessions import _row
from era5dl.engine.engine import Engine
from era5dl.errors import SessionDamaged, UsageError
from era5dl.gui.models.preferences import BOUNDS, CHOICES, Preferences, load, save
from era5dl.gui.models.request_form import Fields, from_text, to_text, validate
from era5dl.gui.models.sessions import rows
from era5dl.locks.lock_file import current_owner
from era5dl.locks.owner import Owner
from era5dl.planner.plan import Plan
from era5dl.rate_timetable import normalize_rate_limit
from era5dl.session import Session, finished_files, index, known_sessions, list_sessions, plan_file
from era5dl.session import session as session_module
from era5dl.session.finished_files import FinishedFile
from era5dl.session.part_digests import PartDigests
from era5dl.session.resume_format import parse, render
from era5dl.settings import AUTO, Settings
from era5dl.validation import Malformed, canonical_json, parse_json
from tests.fuzzing import NASTY, bounded, harmed, spoilt
from tests.memory_bucket import MemoryBucket
from tests.session_samples import checkpoints, example_checkpoint, objects, plan_of

pytestmark = pytest.mark.slow

PLAN = plan_of(objects(12))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of this module, each of which writes its own files."""
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # these tests are not about power cuts


# --- the resume file, changed by somebody who can compute its checksum


@cache
def begun() -> tuple[str, dict[str, Any]]:
    """Return the id of a session with every kind of content, and its resume file."""
    with tempfile.TemporaryDirectory() as out, Session.begin(Path(out), PLAN, Settings()) as session:
        session.save(example_checkpoint(PLAN))
        body = json.loads((Path(out) / ".era5dl" / f"{session.id}.json").read_bytes())
        return session.id, body


def signed(body: Any) -> bytes:
    """Return the content with a correct checksum."""
    with contextlib.suppress(Malformed, TypeError, AttributeError):
        body.pop("checksum", None)
        body = {"checksum": hashlib.sha256(canonical_json(body)).hexdigest(), **body}
    return json.dumps(body).encode("utf-8", "surrogatepass")


@bounded(80)
@given(st.data())
def test_any_signed_resume_file_is_used_or_refused(folder: Path, data: st.DataObject) -> None:
    """It is opened, listed, displayed, and used for a run."""
    session_id, right = begun()
    home = folder / ".era5dl"
    home.mkdir(exist_ok=True)
    for file in home.iterdir():
        file.unlink()
    body = data.draw(spoilt(right))
    (home / f"{session_id}.json").write_bytes(signed(body))
    with contextlib.suppress(UsageError):
        plan_file.write(home / plan_file.plan_file_name(session_id, PLAN.digest), PLAN)
    for summary in list_sessions(folder):
        assert all(isinstance(cell, str) for cell in _row(summary))
        assert rows([summary], now=1.7e9)
    try:
        session = Session.open(folder, session_id)
    except SessionDamaged as damaged:
        assert damaged.remedy
        return
    with session:
        with contextlib.suppress(UsageError):
            Settings(endpoint_url=session.info.endpoint_url, bucket=session.info.bucket, region=session.info.region)
        engine = Engine(MemoryBucket([]), session, Settings())
        snapshot = engine.snapshot()
        assert 0 <= snapshot.done_files <= snapshot.total_files == len(PLAN.objects)
        session.save(session.checkpoint)


@bounded(150)
@given(st.data())
def test_any_bytes_are_parsed_as_a_resume_file_or_refused(data: st.DataObject) -> None:
    for text in (data.draw(harmed(signed(dict(begun()[1])))), signed(data.draw(NASTY))):
        with contextlib.suppress(Malformed):
            parse(text).checkpoint_for(PLAN.objects)


@bounded(60)
@given(checkpoints(PLAN))
def test_a_checkpoint_round_trip(checkpoint: Any) -> None:
    info = parse(signed(dict(begun()[1]))).info
    assert parse(render(info, checkpoint, PLAN.objects, 5.0)).checkpoint_for(PLAN.objects) == checkpoint


@bounded(200)
@given(st.binary(max_size=60) | NASTY.map(lambda v: json.dumps(v).encode()))
@example(b"[" * 1_000_000)
@example(b'{"a":' * 1_000_000)
@example(b"1e999")
@example(b"-1e999")
@example(b"NaN")
@example(b"9" * 5000)
@example(b'"\\ud800"')
@example(b"\xff")
def test_any_json_is_parsed_or_refused(text: bytes) -> None:
    with contextlib.suppress(Malformed):
        canonical_json(parse_json(text))


@pytest.mark.parametrize("text", [b"1e999", b"[-1e999]", b"NaN", b"9" * 25, b"[" * 100_000])
def test_infinite_and_huge_numbers_are_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse_json(text)


# --- the plan


@bounded(150)
@given(st.data())
def test_any_plan_file_is_read_or_damaged(folder: Path, data: st.DataObject) -> None:
    path = folder / "x.plan.jsonl"
    lines = [json.loads(line) for line in b"".join(plan_file._serialize(PLAN)).splitlines()][:-1]
    if data.draw(st.booleans()):
        body = b"".join(json.dumps(line).encode() + b"\n" for line in data.draw(spoilt(lines)) or [])
    else:
        body = data.draw(harmed(b"".join(plan_file._serialize(PLAN))))
    path.write_bytes(
        body + plan_file._end_marker(data.draw(st.sampled_from([13, 0])), hashlib.sha256(body).hexdigest())
    )
    try:
        plan = plan_file.read(path, PLAN.digest)
    except SessionDamaged as damaged:
        assert damaged.remedy
    else:
        assert all(obj.size >= 0 and isinstance(obj.key, str) for obj in plan.objects)


# --- digests, locks, the list of sessions


@bounded(100)
@given(st.data())
def test_any_record_of_digests_is_read_or_ignored(folder: Path, data: st.DataObject) -> None:
    path = folder / "x.digests.jsonl"
    path.unlink(missing_ok=True)
    record, obj = PartDigests(path), PLAN.objects[0]
    md5s = data.draw(st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), min_size=1, max_size=4))
    record.record(obj, md5s)
    assert record.find(obj) == tuple(md5s)
    line = data.draw(spoilt([obj.key, obj.etag, "".join(md5s)]))
    path.write_bytes(data.draw(harmed(path.read_bytes())) + b"\n" + json.dumps(line).encode())
    assert all(len(md5) == 32 for md5 in record.find(obj))
    record.record(obj, md5s)
    assert record.find(obj) == tuple(md5s)


@bounded(100)
@given(st.data())
def test_any_record_of_finished_files_is_read_or_ignored(folder: Path, data: st.DataObject) -> None:
    home = folder / ".era5dl"
    home.mkdir(exist_ok=True)
    path = home / finished_files.record_file_name("x")
    path.unlink(missing_ok=True)
    good = FinishedFile("a.nc", '"e"', 7, data.draw(st.integers(-(2**62), 2**62)), 9)
    line = data.draw(spoilt(list(good)))
    finished_files.append(home, "x", [good])
    path.write_bytes(data.draw(harmed(path.read_bytes())) + b"\n" + json.dumps(line).encode())
    finished_files.read(home, "x", [(0, "a.nc", '"e"')], 1)
    finished_files.append(home, "x", [good])
    found = finished_files.read(home, "x", [(0, "a.nc", '"e"'), (1, "b.nc", "")], 2)
    assert (0 in found, found.size(0), found.fetched(0), 1 in found) == (True, 7, 9, False)


OWNER = {"pid": 7, "host": "h", "started": 1.0, "since": 2.0, "program": "p", "token": "0" * 16, "kernel": False}


@bounded(60)
@given(spoilt(OWNER) | NASTY)
@example({**OWNER, "pid": 2**40})
@example({**OWNER, "since": 999_999_999_999})
@example({**OWNER, "started": 1e308})
def test_any_lock_file_is_parsed_or_ignored(folder: Path, raw: Any) -> None:
    path = folder / "x.lock"
    path.write_text(json.dumps(raw))
    with contextlib.suppress(Malformed):
        assert str(Owner.parse(path.read_bytes()))
    current_owner(path)


def test_a_time_after_the_year_3000_is_refused() -> None:
    """Windows cannot convert later times, and such a session must not break the list of sessions."""
    with pytest.raises(Malformed, match="not a time"):
        Owner.parse(json.dumps({**OWNER, "since": 32_503_680_000}).encode())


@bounded(25)
@given(st.data())
def test_any_list_of_sessions_is_read_or_renamed(folder: Path, data: st.DataObject) -> None:
    path = index.state_folder() / "sessions.json"
    path.unlink(missing_ok=True)
    index.remember("0" * 12, folder, "title", 5.0)
    (before,) = index.entries()
    path.write_text(json.dumps(data.draw(spoilt(json.loads(path.read_text())))))
    for summary in known_sessions():
        assert all(isinstance(cell, str) for cell in _row(summary))
        assert rows([summary], now=1.7e9)
    index.remember("0" * 12, folder, "title", 5.0)
    assert (index.entries()[0].id, index.entries()[0].folder) == (before.id, before.folder)


# --- preferences of the window


@bounded(150)
@given(st.data())
def test_any_preferences_file_gives_values_within_bounds(folder: Path, data: st.DataObject) -> None:
    path = folder / "window.json"
    value = {field.name: field.default for field in fields(Preferences)}
    path.write_bytes(json.dumps(data.draw(spoilt(value) | NASTY)).encode())
    found = load(path)
    for name, (low, high) in BOUNDS.items():
        value = getattr(found, name)
        if not isinstance(value, str):
            assert low <= value <= high
        elif name == "workers":
            assert value == AUTO
        else:
            assert name == "rate_limit"
            assert normalize_rate_limit(value) == value
    for name, choices in CHOICES.items():
        assert getattr(found, name) in choices
    with contextlib.suppress(UsageError):
        found.to_settings()
    assert save(found, path)
    assert load(path) == found
    path.write_bytes(data.draw(harmed(path.read_bytes())))
    load(path)


@bounded(200)
@given(spoilt(json.loads(to_text(Fields(variables=frozenset(["an.sfc/2t"]), years=frozenset([2020]))))) | NASTY)
def test_any_saved_selection_fills_the_form(raw: Any) -> None:
    validate(from_text(json.dumps(raw), "folder"))


def test_a_plan_too_large_for_its_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_OBJECTS", 11)
    with pytest.raises(UsageError, match="too many"):
        Session.begin(tmp_path, Plan(PLAN.request, PLAN.objects), Settings())
    assert list(tmp_path.iterdir()) == []
