"""Tests of files in the folder that are larger or more than era5dl writes: they cost seconds, not minutes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.session import Session, list_sessions, part_digests
from era5dl.session.part_digests import PartDigests
from era5dl.session.summary import MAX_LISTED, SessionStatus
from era5dl.settings import Settings
from tests.session_samples import objects, plan_of

pytestmark = pytest.mark.slow

LONG = 40.0  # seconds of CPU, so that a busy machine does not matter; each takes 1 to 8
PARTS = tuple(f"{n:032x}" for n in range(3))
OBJ = ObjectInfo("a/b.nc", 3, '"x-3"', 1)


@pytest.mark.parametrize(
    "line",
    [b"\n", b"[]\n", b'["a","b","c"]\n', b"[" * 1000 + b"\n", b"x"],
    ids=["empty", "tiny", "short", "deep", "one"],
)
def test_an_oversized_record_is_given_up_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, line: bytes) -> None:
    path = tmp_path / "x.digests.jsonl"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(line * ((1 << 20) // len(line)))
    record = PartDigests(path)
    began = time.process_time()
    for _ in range(1000):
        assert record.find(OBJ) == ()
    assert time.process_time() - began < LONG
    assert caplog.text.count("too large to be used") == (line != b"x")
    record.record(OBJ, PARTS)
    if line != b"x":
        assert record.find(OBJ) == PARTS


def test_a_record_is_read_once_and_includes_later_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    read_offsets = part_digests._read_offsets
    monkeypatch.setattr(part_digests, "_read_offsets", lambda file: read.append(1) or read_offsets(file))
    record = PartDigests(tmp_path / "x.digests.jsonl")
    many = [ObjectInfo(f"é {n}", n, f'"{n}-3"', 1) for n in range(50)]
    for obj in many:
        record.record(obj, [f"{obj.size:032x}", *PARTS])
    again = PartDigests(tmp_path / "x.digests.jsonl")
    assert all(again.find(obj) == (f"{obj.size:032x}", *PARTS) for obj in many)
    again.record(many[3], PARTS)
    assert again.find(many[3]) == PARTS
    assert again.find(OBJ) == ()
    again.record(OBJ, PARTS)
    assert again.find(OBJ) == PARTS
    assert len(read) == 1


def test_of_ten_thousand_sessions_the_latest_are_listed(tmp_path: Path) -> None:
    made = plan_of(objects(3))
    with Session.begin(tmp_path, made, Settings()) as session:
        pass
    home = tmp_path / ".era5dl"
    for number in range(10_000):
        os.close(os.open(home / f"{number:012x}.json", os.O_CREAT | os.O_WRONLY))
        os.utime(home / f"{number:012x}.json", (1, 1))
    began = time.process_time()
    found = list_sessions(tmp_path)
    assert time.process_time() - began < LONG
    assert len(found) == MAX_LISTED
    assert session.id in [one.id for one in found if one.status is not SessionStatus.DAMAGED]
    with Session.open(tmp_path) as again:
        assert again.id == session.id


def test_sessions_with_large_files_are_listed_quickly(tmp_path: Path) -> None:
    home = tmp_path / ".era5dl"
    home.mkdir()
    (home / f"{0:012x}.json").write_text(json.dumps([[1] * 10] * 120_000))  # slightly less than the maximum size
    for number in range(1, 400):
        os.link(home / f"{0:012x}.json", home / f"{number:012x}.json")
    began = time.process_time()
    list_sessions(tmp_path)
    assert time.process_time() - began < LONG
