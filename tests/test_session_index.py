"""Tests of the list of known sessions: it never prevents a download."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from era5dl.locks.lock_file import Lock
from era5dl.session import Session, SessionStatus, folder_of, index, known_sessions
from era5dl.settings import Settings
from tests.session_samples import objects, plan_of

PLAN = plan_of(objects(3))
ID = "0123456789ab"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "state" / "deep"
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(folder))
    return folder


def test_known_sessions_of_all_folders_are_sorted_by_last_use(tmp_path):
    for name in ("one", "two"):
        with Session.begin(tmp_path / name, PLAN, Settings()) as session:
            pass
    assert [summary.folder.name for summary in known_sessions()] == ["two", "one"]
    with Session.open(tmp_path / "one"):
        assert [summary.status for summary in known_sessions()] == [SessionStatus.RUNNING, SessionStatus.INTERRUPTED]
    assert folder_of(session.id) == tmp_path / "one"
    assert folder_of("ffffffffffff") is None
    shutil.rmtree(tmp_path / "one")
    first = known_sessions()[0]
    assert (first.status, first.title) == (SessionStatus.FOLDER_MISSING, "t of e5.oper.an.pl, 2021-02-01 to 2021-02-28")
    index.forget(first.id, first.folder)
    assert [summary.folder.name for summary in known_sessions()] == ["two"]


def test_forgotten_session_is_removed_from_the_list(tmp_path):
    with Session.begin(tmp_path / "out", PLAN, Settings()) as session:
        session.forget()
    assert known_sessions() == []


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[" * 100_000, '{"format": "era5dl-sessions", "version": 1, "sessions": [5]}']
)
def test_damaged_list_is_kept_and_a_new_one_started(state, tmp_path, text):
    state.mkdir(parents=True)
    (state / "sessions.json").write_text(text)
    assert index.entries() == []
    index.remember(ID, tmp_path, "t", 1.0)
    assert [entry.id for entry in index.entries()] == [ID]
    assert (state / "sessions.json.damaged-1").read_text() == text


def test_unusable_state_folder_does_not_stop_a_session(state, tmp_path):
    state.parent.mkdir(parents=True)
    state.write_text("a file where the folder should be")
    with Session.begin(tmp_path / "out", PLAN, Settings()) as session:
        session.save(session.checkpoint)
    assert known_sessions() == []


def test_locked_list_is_skipped_after_a_short_wait(state, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "_LOCK_TIMEOUT", 0.05)
    state.mkdir(parents=True)
    lock = Lock.acquire(state / "sessions.lock")
    began = time.monotonic()
    index.remember(ID, tmp_path, "t", 1.0)
    assert time.monotonic() - began < 1
    lock.release()
    assert index.entries() == []


@pytest.mark.slow
def test_concurrent_programs_lose_no_entries(tmp_path):
    code = """
import sys
from pathlib import Path
from era5dl.session import index
index._LOCK_TIMEOUT = 30
for n in range(8):
    index.remember(f"{int(sys.argv[1]):04x}{n:08x}", Path("/somewhere"), "t", 1.0)
"""
    programs = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(3)]
    assert [program.wait() for program in programs] == [0, 0, 0]
    assert len(index.entries()) == 24


def test_length_of_the_list_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "MAX_ENTRIES", 5)
    for n in range(8):
        index.remember(f"{n:012x}", tmp_path, "t", 1.0)
    assert [int(entry.id, 16) for entry in index.entries()] == [7, 6, 5, 4, 3]


def test_folder_name_with_invalid_characters_is_stored(tmp_path):
    out = tmp_path / "données é \udcff"
    with Session.begin(out, PLAN, Settings()) as session:
        pass
    assert folder_of(session.id) == out
    assert known_sessions()[0].status is SessionStatus.INTERRUPTED


def test_default_state_folder_is_the_systems(monkeypatch):
    monkeypatch.delenv("ERA5DL_STATE_DIR")
    assert index.state_folder().name == "era5dl"
