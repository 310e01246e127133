"""Tests of sessions: begin, save, resume, and every kind of damage to their files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from era5dl.bucket.interface import ObjectInfo
from era5dl.errors import (
    DiskFull,
    Era5Error,
    FolderUnusable,
    SessionBusy,
    SessionDamaged,
    SessionError,
    SessionNotFound,
    UnsafeKey,
)
from era5dl.folder import atomic_write
from era5dl.locks import lock_file as lock_module
from era5dl.planner.plan import Plan
from era5dl.ranges import RangeSet
from era5dl.session import Checkpoint, Session, SessionStatus, UnfinishedObject, list_sessions, plan_file
from era5dl.session.info import title_of
from era5dl.session.resume_format import render
from era5dl.settings import Settings
from tests.session_samples import example_checkpoint, objects, plan_of

PLAN = plan_of(objects(12))
SETTINGS = Settings()


@pytest.fixture(autouse=True)
def state(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(folder))
    return folder


def home(out: Path) -> Path:
    return out / ".era5dl"


def resume_file(out: Path) -> Path:
    (found,) = home(out).glob("*.json")
    return found


def interrupted(out: Path, plan: Plan = PLAN, settings: Settings = SETTINGS) -> Checkpoint:
    """Create a session, save a checkpoint with every kind of content, and close it."""
    with Session.begin(out, plan, settings) as session:
        checkpoint = example_checkpoint(plan)
        session.save(checkpoint)
    return checkpoint


def test_same_request_resumes_the_session(tmp_path):
    saved = interrupted(tmp_path)
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        assert session.checkpoint == saved
        assert session.plan is PLAN
        assert session.notes == ()
    with Session.open(tmp_path) as session:
        assert session.checkpoint == saved
        assert session.plan == PLAN
        assert (session.info.bucket, session.info.endpoint_url, session.info.flat, session.info.verify) == (
            "nsf-ncar-era5",
            None,
            False,
            True,
        )
        assert session.info.title == "t of e5.oper.an.pl, 2021-02-01 to 2021-02-28"


def test_other_bucket_endpoint_or_layout_is_another_session(tmp_path):
    ids = set()
    for settings in (
        SETTINGS,
        Settings(bucket="other"),
        Settings(endpoint_url="http://127.0.0.1:1"),
        Settings(flat=True),
        Settings(workers=3, verify=False),
    ):
        with Session.begin(tmp_path, PLAN, settings) as session:
            ids.add(session.id)
    assert len(ids) == 4


def test_open_session_is_busy_until_closed(tmp_path):
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        with pytest.raises(SessionBusy):
            Session.begin(tmp_path, PLAN, SETTINGS)
        with pytest.raises(SessionBusy):
            Session.open(tmp_path, session.id)
    with pytest.raises(SessionError, match="closed"):
        session.save(Checkpoint.empty())
    Session.open(tmp_path).close()
    assert not list(home(tmp_path).glob("*.lock*"))


@pytest.mark.slow
def test_session_killed_while_saving_can_be_resumed(tmp_path):
    """A program that saves as fast as it can is killed; its last or last but one checkpoint is there."""
    code = """
import sys
import time
from pathlib import Path
from era5dl.session import Session
from era5dl.ranges import RangeSet
from dataclasses import replace
from era5dl.settings import Settings
from tests.test_session import PLAN
with Session.begin(Path(sys.argv[1]), PLAN, Settings()) as session:
    number = session.checkpoint.done_bytes
    while True:
        number += 1
        session.save(replace(session.checkpoint, done_bytes=number))
        print(number, flush=True)
"""
    last = 0
    for pause in (3, 10, 25):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            saved = [int(program.stdout.readline()) for _ in range(pause)]
            program.kill()
            saved += [int(line) for line in program.stdout]
        with Session.open(tmp_path) as session:
            assert session.checkpoint.done_bytes in (saved[-1], saved[-1] + 1)
            assert session.checkpoint.done_bytes > last
            last = session.checkpoint.done_bytes


def test_save_fails_after_takeover_by_another_program(tmp_path):
    saved = interrupted(tmp_path)
    with Session.open(tmp_path) as session:
        lock_file = home(tmp_path) / f"{session.id}.lock"
        owner = {**json.loads(lock_file.read_text()), "host": "elsewhere.example", "token": "f" * 16}
        lock_file.write_text(json.dumps(owner))
        with pytest.raises(SessionBusy, match=r"elsewhere\.example"):
            session.save(Checkpoint.empty())
    lock_file.unlink()
    with Session.open(tmp_path) as session:
        assert session.checkpoint == saved


def test_open_session_keeps_its_heartbeat(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "HEARTBEAT_INTERVAL", 0.02)
    interrupted(tmp_path)
    with Session.open(tmp_path) as session:
        lock_file = home(tmp_path) / f"{session.id}.lock"
        os.utime(lock_file, (1.0, 1.0))
        give_up = time.monotonic() + 20
        while lock_file.stat().st_mtime < 1_600_000_000:
            assert time.monotonic() < give_up
            time.sleep(0.005)


# --- changed plans --------------------------------------------------------------------------------------------------


def test_changed_plan_keeps_the_state_of_unchanged_objects(tmp_path):
    saved = interrupted(tmp_path)
    old = list(PLAN.objects)
    new = plan_of(
        [
            ObjectInfo("a new one", 7, '"n"'),
            old[6],  # unfinished, now at another index
            replace(old[0], size=5),  # verified, but its size changed
            replace(old[1], etag='"other"'),  # verified, but its version changed
            old[2],  # verified
            old[4],  # checked
            saved.replaced[5],  # unfinished in the version that replaced the planned one
            old[3],  # not started
        ]
    )
    with Session.begin(tmp_path, new, SETTINGS) as session:
        found = session.checkpoint
    assert list(found.verified) == [(4, 5)]
    assert list(found.checked) == [(5, 6)]
    assert [(entry.index, entry.done) for entry in found.unfinished] == [
        (6, saved.unfinished[0].done),
        (1, saved.unfinished[1].done),
    ]
    assert found.unfinished[0].digests == saved.unfinished[0].digests
    assert found.replaced == {}
    assert found.done_bytes == 1002 + 1004 + 40_000 + 890
    with Session.open(tmp_path) as session:
        assert (session.checkpoint, session.plan) == (found, new)


def test_finished_object_is_compared_in_the_fetched_version(tmp_path):
    """It had been replaced upstream since the plan was made, and the new version was fetched."""
    newer = replace(PLAN.objects[1], etag='"newer"')
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        session.save(replace(Checkpoint.empty(), verified=RangeSet([(0, 2)]), replaced={1: newer}))
    with Session.begin(tmp_path, plan_of([*PLAN.objects[:2], ObjectInfo("more", 1, "x")]), SETTINGS) as session:
        assert list(session.checkpoint.verified) == [(0, 1)]
        session.save(replace(Checkpoint.empty(), verified=RangeSet([(0, 2)]), replaced={1: newer}))
    with Session.begin(tmp_path, plan_of([newer, PLAN.objects[0]]), SETTINGS) as session:
        assert list(session.checkpoint.verified) == [(0, 2)]


def test_unfinished_object_that_changed_upstream_restarts(tmp_path):
    interrupted(tmp_path)
    new = plan_of([replace(obj, etag='"other"') if n == 6 else obj for n, obj in enumerate(PLAN.objects)])
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        stale, kept = session.paths.part(6), session.paths.part(5)
        for part in (stale, kept):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(b"bytes")
    with Session.begin(tmp_path, new, SETTINGS) as session:
        assert session.checkpoint.unfinished == ()  # object 5 was in the version that replaced the planned one
        assert not stale.exists()


def test_stale_part_file_is_removed_also_when_its_name_is_shortened(tmp_path):
    old, new = (plan_of([ObjectInfo("n" * 255, 500, f'"{version}"')]) for version in ("a", "b"))
    with Session.begin(tmp_path, old, SETTINGS) as session:
        part = session.paths.part(0)
        part.write_bytes(b"bytes")
        session.save(replace(Checkpoint.empty(), unfinished=(UnfinishedObject(0, ((0, 5),)),)))
    with Session.begin(tmp_path, new, SETTINGS):
        assert not part.exists()


def test_objects_without_etag_are_compared_by_date(tmp_path):
    old = plan_of([ObjectInfo("dated", 5, "", 77), ObjectInfo("redated", 5, "", 77), ObjectInfo("undated", 5, "", 0)])
    with Session.begin(tmp_path, old, SETTINGS) as session:
        session.save(replace(Checkpoint.empty(), verified=RangeSet([(0, 3)])))
    new = plan_of(
        [old.objects[0], replace(old.objects[1], last_modified=78), old.objects[2], ObjectInfo("more", 1, "x")]
    )
    with Session.begin(tmp_path, new, SETTINGS) as session:
        assert list(session.checkpoint.verified) == [(0, 1)]


def test_missing_object_that_appeared_changes_only_the_plan_file(tmp_path):
    saved = interrupted(tmp_path)
    with Session.begin(tmp_path, replace(PLAN, missing=()), SETTINGS) as session:
        assert session.checkpoint == saved
    with Session.open(tmp_path) as session:
        assert session.plan.missing == ()


def test_plan_files_of_earlier_runs_are_removed(tmp_path):
    for version in "abcdef":
        with Session.begin(tmp_path, plan_of(objects(3, version=version)), SETTINGS):
            pass
    assert len(list(home(tmp_path).glob("*.plan.jsonl"))) == 2


@pytest.mark.slow
@hypothesis_settings(deadline=None, max_examples=30)
@given(st.data())
def test_state_is_never_carried_over_to_a_different_object(tmp_path_factory, data):
    versions = st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.integers(1, 2)), unique_by=lambda v: v[0]
    )

    def some_plan() -> Plan:
        found = data.draw(versions)
        return plan_of([ObjectInfo(f"k{key}", 100 * size, f'"{etag}"') for key, etag, size in found])

    out = tmp_path_factory.mktemp("reuse")
    old, new = some_plan(), some_plan()
    states = [data.draw(st.sampled_from("vcu.")) for _ in old.objects]
    with Session.begin(out, old, SETTINGS) as session:
        session.save(
            replace(
                Checkpoint.empty(),
                verified=RangeSet((n, n + 1) for n, state in enumerate(states) if state == "v"),
                checked=RangeSet((n, n + 1) for n, state in enumerate(states) if state == "c"),
                unfinished=tuple(UnfinishedObject(n, ((0, 50),), {}) for n, state in enumerate(states) if state == "u"),
            )
        )
    with Session.begin(out, new, SETTINGS) as session:
        found = session.checkpoint
    before = dict(zip(old.objects, states, strict=True))
    unfinished = {entry.index for entry in found.unfinished}
    for n, obj in enumerate(new.objects):
        state = "v" if n in found.verified else "c" if n in found.checked else "u" if n in unfinished else "."
        assert state == before.get(obj, ".")


# --- damaged files --------------------------------------------------------------------------------------------------


def test_backup_is_used_when_the_resume_file_is_damaged(tmp_path):
    saved = interrupted(tmp_path)
    with Session.open(tmp_path) as session:
        session.save(replace(saved, done_bytes=1))
    resume_file(tmp_path).write_bytes(b"\0" * 500)
    with Session.open(tmp_path) as session:
        assert session.checkpoint == saved
        assert "damaged-1" in session.notes[0]
        session.save(saved)
    assert (home(tmp_path) / f"{session.id}.json.damaged-1").read_bytes() == b"\0" * 500
    with Session.open(tmp_path) as session:
        assert session.notes == ()


def test_resume_file_and_backup_damaged_open_fails_and_begin_restarts(tmp_path):
    interrupted(tmp_path)
    path = resume_file(tmp_path)
    damaged = (path, path.with_name(path.name + ".bak"))
    for file in damaged:
        file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(SessionDamaged) as caught:
        Session.open(tmp_path)
    assert "Run the same download command again" in caught.value.remedy
    assert [summary.status for summary in list_sessions(tmp_path)] == [SessionStatus.DAMAGED]
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        assert session.checkpoint == Checkpoint.empty()
        assert len(session.notes) == 2
    assert len(list(home(tmp_path).glob("*.damaged-1"))) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[: data.rindex(b"\n", 0, -1) + 1],  # the end marker is missing
        lambda data: bytes(len(data)),
        lambda data: data.replace(b"1003", b"1004"),
        lambda data: data + b"{}\n",
        lambda data: b"",
        lambda data: b"[" * 100_000 + b"\n",
        lambda data: data.replace(b'"objects":12', b'"objects":9999999'),
        lambda data: b"\n" * 100,
    ],
)
def test_damaged_plan_file_is_detected_and_begin_replaces_it(tmp_path, damage):
    saved = interrupted(tmp_path)
    (plan_path,) = home(tmp_path).glob("*.plan.jsonl")
    plan_path.write_bytes(damage(plan_path.read_bytes()))
    with pytest.raises(SessionDamaged, match="list of objects") as caught:
        Session.open(tmp_path)
    assert "Run the same download command again" in caught.value.remedy
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        assert session.checkpoint == saved
    Session.open(tmp_path).close()


SUBSET_PLAN = replace(PLAN, request={"selection": {"subset": {"hours": [0, 12]}}})


def test_plan_files_with_a_subset_are_refused_by_earlier_versions(tmp_path):
    """They would fetch whole files: the version of the format is higher if there is a subset, and only then."""
    for plan, version in ((PLAN, 1), (SUBSET_PLAN, 2), (replace(PLAN, request={"subset": {"hours": [0, 12]}}), 2)):
        plan_file.write(path := tmp_path / "plan", plan)
        assert json.loads(path.read_bytes().partition(b"\n")[0])["version"] == version
        read = plan_file.read(path, plan.digest)
        assert (read, read.subset) == (plan, plan.subset)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"version":2', b'"version":1'), (b'"version":2', b'"version":3'), (b"[0,12]", b"[0,24]"), (b"[0,12]", b"[]")],
)
def test_plan_file_with_an_invalid_subset_is_damaged(tmp_path, old, new):
    header, *rows = [line + b"\n" for line in b"".join(plan_file._serialize(SUBSET_PLAN)).splitlines()][:-1]
    body = header.replace(old, new) + b"".join(rows)
    end = plan_file._end_marker(len(rows), hashlib.sha256(body).hexdigest())
    (path := tmp_path / "plan").write_bytes(body + end)
    with pytest.raises(SessionDamaged, match=r"version|subset"):
        plan_file.read(path, SUBSET_PLAN.digest)


def test_plan_file_of_another_plan_is_refused(tmp_path):
    interrupted(tmp_path / "one")
    interrupted(tmp_path / "other", plan_of(objects(12, version="b")))
    (ours,) = home(tmp_path / "one").glob("*.plan.jsonl")
    (theirs,) = home(tmp_path / "other").glob("*.plan.jsonl")
    ours.write_bytes(theirs.read_bytes())
    with pytest.raises(SessionDamaged, match="another plan"):
        Session.open(tmp_path / "one")


def test_unfinished_objects_are_kept_when_the_old_plan_file_is_missing(tmp_path):
    saved = interrupted(tmp_path)
    (plan_path,) = home(tmp_path).glob("*.plan.jsonl")
    plan_path.unlink()
    new = plan_of(PLAN.objects[6:])
    with Session.begin(tmp_path, new, SETTINGS) as session:
        assert [(entry.index, entry.done) for entry in session.checkpoint.unfinished] == [(0, saved.unfinished[1].done)]
        assert "verified again" in session.notes[0]


@pytest.mark.slow
@hypothesis_settings(deadline=None, max_examples=60)
@given(place=st.integers(0, 10**9), bit=st.integers(0, 7), cut=st.booleans())
def test_any_damage_to_the_plan_file_is_detected(tmp_path_factory, place, bit, cut):
    out = tmp_path_factory.mktemp("plan")
    interrupted(out)
    (plan_path,) = home(out).glob("*.plan.jsonl")
    data = bytearray(plan_path.read_bytes())
    place %= len(data)
    if cut:
        del data[place:]
    else:
        data[place] ^= 1 << bit
    plan_path.write_bytes(data)
    with pytest.raises(SessionDamaged):
        Session.open(out)


def test_session_id_cannot_be_a_path(tmp_path):
    """Its plan file is found by id and digest; the name in the file is only for people."""
    interrupted(tmp_path)
    path = resume_file(tmp_path)
    assert json.loads(path.read_text())["plan_file"].endswith(".plan.jsonl")
    for attack in ("../../../etc/passwd", "/etc/passwd", "x" * 12, "..", "", "0123456789AB"):
        with pytest.raises(SessionNotFound):
            Session.open(tmp_path, attack)


# --- disk errors ----------------------------------------------------------------------------------------------------


def test_save_on_a_full_disk_fails_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        saved = example_checkpoint(PLAN)
        session.save(saved)
        with monkeypatch.context() as patch, pytest.raises(DiskFull):
            patch.setattr(os, "fsync", disk_full)
            session.save(Checkpoint.empty())
        assert session.checkpoint == saved
        assert not list(home(tmp_path).glob("*.tmp"))
    with Session.open(tmp_path) as session:
        assert session.checkpoint == saved


def disk_full(fd: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_vanished_folder_is_reported_and_not_recreated(tmp_path):
    """An unplugged disk leaves an empty mount point, and the download must not continue into that."""
    out = tmp_path / "mount"
    with Session.begin(out, PLAN, SETTINGS) as session:
        out.rename(tmp_path / "unplugged")
        with pytest.raises(FolderUnusable):
            session.save(Checkpoint.empty())
        out.mkdir()
        with pytest.raises(FolderUnusable):
            session.save(Checkpoint.empty())
        assert list(out.iterdir()) == []
        out.rmdir()
        (tmp_path / "unplugged").rename(out)
        session.save(Checkpoint.empty())


def test_file_instead_of_a_folder_is_reported(tmp_path):
    (tmp_path / "out").write_text("a file")
    for folder in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(FolderUnusable):
            Session.begin(folder, PLAN, SETTINGS)


def test_own_folder_that_links_elsewhere_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".era5dl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderUnusable, match="leads out"):
        Session.begin(tmp_path / "out", PLAN, SETTINGS)
    with pytest.raises(FolderUnusable, match="leads out"):
        Session.open(tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_symlink_at_the_temp_file_name_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with Session.begin(tmp_path / "out", PLAN, SETTINGS) as session:
        (home(tmp_path / "out") / f"{session.id}.json.tmp").symlink_to(victim)
        session.save(Checkpoint.empty())
    assert victim.read_text() == "precious"


def test_content_is_synced_before_rename(tmp_path, monkeypatch):
    steps: list[str] = []
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        real_fsync, real_replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), real_fsync(fd))[1])
        monkeypatch.setattr(os, "replace", lambda *a, **b: (steps.append("rename"), real_replace(*a, **b))[1])
        session.save(Checkpoint.empty())
    assert steps == ["sync", "rename", "rename", "sync"]
    assert atomic_write.os is os


# --- opening --------------------------------------------------------------------------------------------------------


def test_open_without_id_chooses_the_newest_unended_session(tmp_path, monkeypatch):
    now = iter(range(1000, 2000))
    monkeypatch.setattr("era5dl.session.session.time.time", lambda: float(next(now)))
    ids = []
    for bucket, ended in (("one", False), ("two", False), ("three", True)):
        with Session.begin(tmp_path, PLAN, Settings(bucket=bucket)) as session:
            session.save(replace(Checkpoint.empty(), ended=ended))
            ids.append(session.id)
    with Session.open(tmp_path) as session:
        assert session.id == ids[1]
        session.save(replace(Checkpoint.empty(), ended=True))
    with Session.open(tmp_path, ids[0]) as session:
        session.save(replace(Checkpoint.empty(), ended=True))
    with Session.open(tmp_path) as session:
        assert session.id == ids[0]
    (home(tmp_path) / f"{ids[0]}.json").write_text("torn")
    (home(tmp_path) / f"{ids[0]}.json.bak").write_text("torn")
    with Session.open(tmp_path) as session:
        assert session.id == ids[1]


def test_open_without_any_session_fails_and_creates_nothing(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(SessionNotFound) as caught:
            Session.open(folder)
        assert caught.value.remedy
    with pytest.raises(SessionNotFound):
        Session.open(tmp_path, "0123456789ab")
    assert list(tmp_path.iterdir()) == []


def test_begin_says_that_a_folder_cannot_be_created(tmp_path, monkeypatch):
    """In /proc the system reports "No such file or directory" for the new folder, which alone is no explanation."""

    def mkdir(path, **_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(FolderUnusable, match="new cannot be created: No such file"):
        Session.begin(tmp_path / "new", PLAN, SETTINGS)


def test_begin_reopens_an_ended_session_with_failures(tmp_path):
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        session.save(replace(example_checkpoint(PLAN), ended=True))
    with Session.begin(tmp_path, PLAN, SETTINGS):
        pass
    assert not list_sessions(tmp_path)[0].ended
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        session.save(replace(Checkpoint.empty(), verified=RangeSet([(0, 12)]), ended=True))
    with Session.begin(tmp_path, PLAN, SETTINGS):
        pass
    assert list_sessions(tmp_path)[0].ended


def test_summary_shows_progress_and_status(tmp_path):
    interrupted(tmp_path)
    (summary,) = list_sessions(tmp_path)
    assert (summary.files, summary.done_files, summary.failed) == (12, 4, 1)
    assert (summary.total_bytes, summary.done_bytes, summary.ended) == (PLAN.total_bytes, 44_906, False)
    assert summary.status is SessionStatus.INTERRUPTED
    with Session.open(tmp_path):
        assert list_sessions(tmp_path)[0].status is SessionStatus.RUNNING


@pytest.mark.parametrize(
    ("request_", "title"),
    [
        ({"keys": "ab", "count": 1234}, "1,234 keys from a list"),
        ({"keys": "ab", "count": 1}, "1 key from a list"),
        (
            {"selection": {"variables": ["p/128_130_t", "p/128_131_u"], "days": [["2021-01-01", "2021-01-01"]]}},
            "t, u of p, 2021-01-01",
        ),
        (
            {"selection": {"variables": ["p/128_130_t", "q/128_131_u"], "days": [["2021-01-01", "2021-01-02"]] * 2}},
            "t, u of p and q, 2021-01-01 to 2021-01-02 (with gaps)",
        ),
        ({"selection": {"variables": ["p/1_2_a", "q/1_2_b", "r/1_2_c"], "days": []}}, "a, b, c"),
        ({"selection": {"variables": [f"p/1_2_{n}" for n in range(26)], "days": []}}, "26 variables of p"),
        ({"selection": 5}, "ERA5 files"),
        (
            {"selection": {"variables": ["p/1_2_a"], "days": [], "subset": {"hours": [0, 6], "area": "54/73/18/135"}}},
            "a of p; 0,6 UTC; area 54/73/18/135",
        ),
        (
            {"keys": "ab", "count": 2, "subset": {"hours": [*range(9)], "levels": [500]}},
            "2 keys from a list; 9 hours a day; 500 hPa",
        ),
        ({"keys": "ab", "count": 2, "subset": {"points": [[1, 2]] * 3}}, "2 keys from a list; point 1,2"),
        ({"keys": "ab", "count": 2, "subset": {"points": 5}}, "2 keys from a list"),
        ({}, "ERA5 files"),
    ],
)
def test_title_of_a_request(request_, title):
    assert title_of(request_) == title


# --- paths ----------------------------------------------------------------------------------------------------------


def keys_plan(*keys: str) -> Plan:
    return plan_of([ObjectInfo(key, 5, f'"{n}"') for n, key in enumerate(keys)])


def test_files_are_at_their_keys_with_part_files_beside_them(tmp_path):
    plan = keys_plan("a/b.nc", "a/ü x.nc")
    with Session.begin(tmp_path, plan, SETTINGS) as session:
        assert session.paths.final(0) == tmp_path / "a" / "b.nc"
        assert session.paths.part(1) == tmp_path / "a" / f"ü x.nc.{session.id[:6]}.part"
    with Session.begin(tmp_path, plan, Settings(flat=True)) as flat:
        assert flat.paths.final(0) == tmp_path / "b.nc"
        assert flat.id[:6] != session.id[:6]


def test_keys_that_cannot_be_files_are_refused_individually(tmp_path):
    plan = keys_plan("ok.nc", "../out.nc", "dir", "dir/file.nc", ".era5dl/evil.json", "also ok.nc")
    with Session.begin(tmp_path, plan, SETTINGS) as session:
        refused = {n for n in range(6) if is_refused(session, n)}
    assert refused == {1, 3, 4}
    with Session.begin(tmp_path, keys_plan("a/x.nc", "b/x.nc", "y.nc"), Settings(flat=True)) as session:
        assert {n for n in range(3) if is_refused(session, n)} == {1}


def is_refused(session: Session, n: int) -> bool:
    try:
        session.paths.part(n)
    except UnsafeKey as exc:
        assert str(exc)
        return True
    return False


def test_key_with_the_name_of_a_part_file_is_refused(tmp_path):
    """Whoever makes the list knows the id in advance, and the bucket's owner could add such a key."""
    plan = keys_plan("a.nc")
    with Session.begin(tmp_path, plan, SETTINGS) as session:
        suffix = f".{session.id[:6]}.part"
    with Session.begin(tmp_path, keys_plan("a.nc", f"a.nc{suffix}"), SETTINGS) as session:
        assert is_refused(session, 1)


def test_key_of_maximum_name_length_has_a_part_file(tmp_path):
    with Session.begin(tmp_path, keys_plan("n" * 255, "m" * 256), SETTINGS) as session:
        session.paths.part(0).write_bytes(b"x")
        assert session.paths.part(0).parent == tmp_path
        session.paths.part(0).replace(session.paths.final(0))
        assert is_refused(session, 1)


def test_symlink_at_part_path_is_refused(tmp_path):
    with Session.begin(tmp_path, keys_plan("a.nc"), SETTINGS) as session:
        session.paths.part(0).symlink_to(tmp_path / "elsewhere")
        assert is_refused(session, 0)


# --- forget ---------------------------------------------------------------------------------------------------------


def test_forget_removes_session_files_and_keeps_downloaded_files(tmp_path):
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        session.paths.final(0).parent.mkdir(parents=True)
        session.paths.final(0).write_bytes(b"whole")
        session.paths.part(1).write_bytes(b"half")
        foreign = session.paths.part(1).with_name("mine.part")
        foreign.write_bytes(b"somebody else's")
        session.save(Checkpoint.empty())
        (home(tmp_path) / f"{session.id}.digests.jsonl").write_text("{}")
        session.forget()
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {PLAN.objects[0].key, "e5.oper.an.pl/202102/mine.part"}
    assert not home(tmp_path).exists()
    with pytest.raises(Era5Error):
        session.save(Checkpoint.empty())


def test_sessions_in_one_folder_are_independent(tmp_path):
    with (
        Session.begin(tmp_path, PLAN, SETTINGS) as one,
        Session.begin(tmp_path, PLAN, Settings(bucket="other")) as other,
    ):
        assert one.paths.part(0) != other.paths.part(0)
        one.forget()
        other.save(Checkpoint.empty())
    assert [summary.id for summary in list_sessions(tmp_path)] == [other.id]


@pytest.mark.parametrize("saved_before", [True, False])
def test_program_that_wakes_up_cannot_save_over_the_progress_of_its_successor(tmp_path, saved_before):
    """Also not if the successor has ended, so that the lock is free again."""
    frozen = Session.begin(tmp_path, PLAN, SETTINGS)
    if saved_before:
        frozen.save(frozen.checkpoint)
    (lock,) = home(tmp_path).glob("*.lock")
    lock.unlink()  # as if another computer had taken it over
    with Session.begin(tmp_path, PLAN, SETTINGS) as successor:
        successor.save(example_checkpoint(PLAN))
    before = resume_file(tmp_path).read_bytes()
    with pytest.raises(SessionBusy, match="another program has continued this session"):
        frozen.save(frozen.checkpoint)
    assert resume_file(tmp_path).read_bytes() == before
    frozen.close()
    interrupted(tmp_path)


def test_resume_file_without_a_token_can_be_continued(tmp_path):
    """Earlier versions wrote none."""
    saved = interrupted(tmp_path)
    with Session.open(tmp_path) as session:
        info = session.info
    resume_file(tmp_path).write_bytes(render(info, saved, PLAN.objects, 1.0))
    assert b'"token"' not in resume_file(tmp_path).read_bytes()
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        assert session.checkpoint == saved
        session.save(saved)
    assert b'"token"' in resume_file(tmp_path).read_bytes()
