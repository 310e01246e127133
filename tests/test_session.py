"""Tests of sessions: begin, save, resume, and every kind of damage to their files."""

from __future__ import annotations

import errno
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
from era5dl.folder import atomic_write as replace_module
from era5dl.locks import lock_file as lock_module
from era5dl.planner.plan import Plan
from era5dl.ranges import RangeSet
from era5dl.session import Checkpoint, Session, SessionStatus, Unfinished, list_sessions
from era5dl.session.info import title_of
from era5dl.settings import Settings
from tests.session_samples import objects, plan_of, something_of_everything

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
    """A session that was begun, saved something of everything, and ended."""
    with Session.begin(out, plan, settings) as session:
        checkpoint = something_of_everything(plan)
        session.save(checkpoint)
    return checkpoint


def test_the_same_request_goes_on_where_it_was(tmp_path):
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


def test_another_bucket_endpoint_or_layout_is_another_session(tmp_path):
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


def test_it_is_busy_while_it_is_open_and_free_afterwards(tmp_path):
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
def test_a_session_killed_in_the_middle_of_saving_over_and_over_goes_on(tmp_path):
    """A program that saves as fast as it can is killed; what it had saved last, or the one before, is there."""
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
            told = [int(program.stdout.readline()) for _ in range(pause)]
            program.kill()
            told += [int(line) for line in program.stdout]
        with Session.open(tmp_path) as session:
            assert session.checkpoint.done_bytes in (told[-1], told[-1] + 1)
            assert session.checkpoint.done_bytes > last
            last = session.checkpoint.done_bytes


def test_a_session_that_was_taken_over_is_not_saved_into(tmp_path):
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


def test_as_long_as_it_is_open_its_lock_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "HEARTBEAT_INTERVAL", 0.02)
    interrupted(tmp_path)
    with Session.open(tmp_path) as session:
        lock_file = home(tmp_path) / f"{session.id}.lock"
        os.utime(lock_file, (1.0, 1.0))
        give_up = time.monotonic() + 20
        while lock_file.stat().st_mtime < 1_600_000_000:
            assert time.monotonic() < give_up
            time.sleep(0.005)


# --- a plan that changed --------------------------------------------------------------------------------------------


def test_of_a_changed_plan_everything_about_unchanged_objects_is_kept(tmp_path):
    saved = interrupted(tmp_path)
    old = list(PLAN.objects)
    new = plan_of(
        [
            ObjectInfo("a new one", 7, '"n"'),
            old[6],  # unfinished, now in another place
            replace(old[0], size=5),  # verified, but another size
            replace(old[1], etag='"other"'),  # verified, but another version
            old[2],  # verified
            old[4],  # checked
            saved.replaced[5],  # unfinished in the version that replaced the planned one
            old[3],  # never begun
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


def test_a_finished_object_counts_in_the_version_that_was_fetched(tmp_path):
    """It had been replaced upstream since the plan was made; what lies on disk is the version that came instead."""
    newer = replace(PLAN.objects[1], etag='"newer"')
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        session.save(replace(Checkpoint.empty(), verified=RangeSet([(0, 2)]), replaced={1: newer}))
    with Session.begin(tmp_path, plan_of([*PLAN.objects[:2], ObjectInfo("more", 1, "x")]), SETTINGS) as session:
        assert list(session.checkpoint.verified) == [(0, 1)]
        session.save(replace(Checkpoint.empty(), verified=RangeSet([(0, 2)]), replaced={1: newer}))
    with Session.begin(tmp_path, plan_of([newer, PLAN.objects[0]]), SETTINGS) as session:
        assert list(session.checkpoint.verified) == [(0, 2)]


def test_an_unfinished_object_that_changed_upstream_begins_anew(tmp_path):
    interrupted(tmp_path)
    new = plan_of([replace(obj, etag='"other"') if n == 6 else obj for n, obj in enumerate(PLAN.objects)])
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        stale, kept = session.paths.part(6), session.paths.part(5)
        for part in (stale, kept):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(b"bytes")
    with Session.begin(tmp_path, new, SETTINGS) as session:
        assert session.checkpoint.unfinished == ()  # 5 is in the version that replaced the one in this plan
        assert not stale.exists()


def test_objects_without_an_etag_are_the_same_only_when_their_date_is(tmp_path):
    old = plan_of([ObjectInfo("dated", 5, "", 77), ObjectInfo("redated", 5, "", 77), ObjectInfo("undated", 5, "", 0)])
    with Session.begin(tmp_path, old, SETTINGS) as session:
        session.save(replace(Checkpoint.empty(), verified=RangeSet([(0, 3)])))
    new = plan_of(
        [old.objects[0], replace(old.objects[1], last_modified=78), old.objects[2], ObjectInfo("more", 1, "x")]
    )
    with Session.begin(tmp_path, new, SETTINGS) as session:
        assert list(session.checkpoint.verified) == [(0, 1)]


def test_a_missing_object_that_appeared_changes_the_plan_file_only(tmp_path):
    saved = interrupted(tmp_path)
    with Session.begin(tmp_path, replace(PLAN, missing=()), SETTINGS) as session:
        assert session.checkpoint == saved
    with Session.open(tmp_path) as session:
        assert session.plan.missing == ()


def test_plans_that_no_generation_speaks_of_are_removed(tmp_path):
    for version in "abcdef":
        with Session.begin(tmp_path, plan_of(objects(3, version=version)), SETTINGS):
            pass
    assert len(list(home(tmp_path).glob("*.plan.jsonl"))) == 2


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.data())
def test_nothing_is_ever_carried_over_to_an_object_that_differs(tmp_path_factory, data):
    versions = st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.integers(1, 2)), unique_by=lambda v: v[0]
    )

    def some_plan() -> Plan:
        found = data.draw(versions)
        return plan_of([ObjectInfo(f"k{key}", 100 * size, f'"{etag}"') for key, etag, size in found])

    out = tmp_path_factory.mktemp("carry")
    old, new = some_plan(), some_plan()
    states = [data.draw(st.sampled_from("vcu.")) for _ in old.objects]
    with Session.begin(out, old, SETTINGS) as session:
        session.save(
            replace(
                Checkpoint.empty(),
                verified=RangeSet((n, n + 1) for n, state in enumerate(states) if state == "v"),
                checked=RangeSet((n, n + 1) for n, state in enumerate(states) if state == "c"),
                unfinished=tuple(Unfinished(n, ((0, 50),), {}) for n, state in enumerate(states) if state == "u"),
            )
        )
    with Session.begin(out, new, SETTINGS) as session:
        found = session.checkpoint
    before = dict(zip(old.objects, states, strict=True))
    unfinished = {entry.index for entry in found.unfinished}
    for n, obj in enumerate(new.objects):
        state = "v" if n in found.verified else "c" if n in found.checked else "u" if n in unfinished else "."
        assert state == before.get(obj, ".")


# --- damage ---------------------------------------------------------------------------------------------------------


def test_a_damaged_resume_file_is_set_aside_and_the_one_before_it_used(tmp_path):
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


def test_when_both_are_damaged_open_says_what_to_do_and_begin_does_it(tmp_path):
    interrupted(tmp_path)
    path = resume_file(tmp_path)
    harmed = (path, path.with_name(path.name + ".bak"))
    for file in harmed:
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
    "harm",
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
def test_a_damaged_list_of_objects_is_recognised_and_the_same_command_mends_it(tmp_path, harm):
    saved = interrupted(tmp_path)
    (plan_file,) = home(tmp_path).glob("*.plan.jsonl")
    plan_file.write_bytes(harm(plan_file.read_bytes()))
    with pytest.raises(SessionDamaged, match="list of objects") as caught:
        Session.open(tmp_path)
    assert "Run the same download command again" in caught.value.remedy
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        assert session.checkpoint == saved
    Session.open(tmp_path).close()


def test_the_list_of_another_plan_under_this_name_is_not_believed(tmp_path):
    interrupted(tmp_path / "one")
    interrupted(tmp_path / "other", plan_of(objects(12, version="b")))
    (ours,) = home(tmp_path / "one").glob("*.plan.jsonl")
    (theirs,) = home(tmp_path / "other").glob("*.plan.jsonl")
    ours.write_bytes(theirs.read_bytes())
    with pytest.raises(SessionDamaged, match="another plan"):
        Session.open(tmp_path / "one")


def test_a_damaged_old_list_and_a_changed_plan_keep_at_least_what_is_unfinished(tmp_path):
    saved = interrupted(tmp_path)
    (plan_file,) = home(tmp_path).glob("*.plan.jsonl")
    plan_file.unlink()
    new = plan_of(PLAN.objects[6:])
    with Session.begin(tmp_path, new, SETTINGS) as session:
        assert [(entry.index, entry.done) for entry in session.checkpoint.unfinished] == [(0, saved.unfinished[1].done)]
        assert "verified once more" in session.notes[0]


@hypothesis_settings(deadline=None, max_examples=60)
@given(place=st.integers(0, 10**9), bit=st.integers(0, 7), cut=st.booleans())
def test_no_damage_to_the_plan_goes_unseen(tmp_path_factory, place, bit, cut):
    out = tmp_path_factory.mktemp("plan")
    interrupted(out)
    (plan_file,) = home(out).glob("*.plan.jsonl")
    data = bytearray(plan_file.read_bytes())
    place %= len(data)
    if cut:
        del data[place:]
    else:
        data[place] ^= 1 << bit
    plan_file.write_bytes(data)
    with pytest.raises(SessionDamaged):
        Session.open(out)


def test_a_resume_file_names_no_path_that_is_followed(tmp_path):
    """Its plan file is found by id and digest; what the text says is for people."""
    interrupted(tmp_path)
    path = resume_file(tmp_path)
    assert json.loads(path.read_text())["plan_file"].endswith(".plan.jsonl")
    for attack in ("../../../etc/passwd", "/etc/passwd", "x" * 12, "..", "", "0123456789AB"):
        with pytest.raises(SessionNotFound):
            Session.open(tmp_path, attack)


# --- the disk -------------------------------------------------------------------------------------------------------


def test_a_save_that_finds_no_room_says_so_and_the_last_one_stands(tmp_path, monkeypatch):
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        saved = something_of_everything(PLAN)
        session.save(saved)
        with monkeypatch.context() as patch, pytest.raises(DiskFull):
            patch.setattr(os, "fsync", no_room)
            session.save(Checkpoint.empty())
        assert session.checkpoint == saved
        assert not list(home(tmp_path).glob("*.tmp"))
    with Session.open(tmp_path) as session:
        assert session.checkpoint == saved


def no_room(fd: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_vanished_is_reported_and_not_made_again(tmp_path):
    """An unplugged disk leaves an empty mount point; the download must not go on into that."""
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


def test_an_out_that_is_a_file_is_the_folders_fault(tmp_path):
    (tmp_path / "out").write_text("a file")
    for folder in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(FolderUnusable):
            Session.begin(folder, PLAN, SETTINGS)


def test_our_own_folder_may_not_be_a_link_that_leads_out(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".era5dl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderUnusable, match="leads out"):
        Session.begin(tmp_path / "out", PLAN, SETTINGS)
    with pytest.raises(FolderUnusable, match="leads out"):
        Session.open(tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_planted_under_the_temp_name_is_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with Session.begin(tmp_path / "out", PLAN, SETTINGS) as session:
        (home(tmp_path / "out") / f"{session.id}.json.tmp").symlink_to(victim)
        session.save(Checkpoint.empty())
    assert victim.read_text() == "precious"


def test_the_bytes_are_synced_before_the_name_is_given(tmp_path, monkeypatch):
    steps: list[str] = []
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        real_fsync, real_replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), real_fsync(fd))[1])
        monkeypatch.setattr(os, "replace", lambda *a, **b: (steps.append("rename"), real_replace(*a, **b))[1])
        session.save(Checkpoint.empty())
    assert steps == ["sync", "rename", "rename", "sync"]
    assert replace_module.os is os


# --- opening --------------------------------------------------------------------------------------------------------


def test_without_an_id_the_newest_that_has_not_ended_is_opened(tmp_path, monkeypatch):
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


def test_no_session_is_said_with_a_remedy_and_nothing_is_made(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(SessionNotFound) as caught:
            Session.open(folder)
        assert caught.value.remedy
    with pytest.raises(SessionNotFound):
        Session.open(tmp_path, "0123456789ab")
    assert list(tmp_path.iterdir()) == []


def test_beginning_an_ended_session_with_failures_makes_it_unended(tmp_path):
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        session.save(replace(something_of_everything(PLAN), ended=True))
    with Session.begin(tmp_path, PLAN, SETTINGS):
        pass
    assert not list_sessions(tmp_path)[0].ended
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        session.save(replace(Checkpoint.empty(), verified=RangeSet([(0, 12)]), ended=True))
    with Session.begin(tmp_path, PLAN, SETTINGS):
        pass
    assert list_sessions(tmp_path)[0].ended


def test_a_summary_tells_how_far_it_is(tmp_path):
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
        ({}, "ERA5 files"),
    ],
)
def test_a_request_in_words(request_, title):
    assert title_of(request_) == title


# --- where files go -------------------------------------------------------------------------------------------------


def keys_plan(*keys: str) -> Plan:
    return plan_of([ObjectInfo(key, 5, f'"{n}"') for n, key in enumerate(keys)])


def test_files_lie_at_their_keys_and_parts_beside_them(tmp_path):
    plan = keys_plan("a/b.nc", "a/ü x.nc")
    with Session.begin(tmp_path, plan, SETTINGS) as session:
        assert session.paths.final(0) == tmp_path / "a" / "b.nc"
        assert session.paths.part(1) == tmp_path / "a" / f"ü x.nc.{session.id[:6]}.part"
    with Session.begin(tmp_path, plan, Settings(flat=True)) as flat:
        assert flat.paths.final(0) == tmp_path / "b.nc"
        assert flat.id[:6] != session.id[:6]


def test_keys_that_cannot_be_files_are_refused_and_the_rest_goes_on(tmp_path):
    plan = keys_plan("ok.nc", "../out.nc", "dir", "dir/file.nc", ".era5dl/evil.json", "also ok.nc")
    with Session.begin(tmp_path, plan, SETTINGS) as session:
        refused = {n for n in range(6) if raises_unsafe(session, n)}
    assert refused == {1, 3, 4}
    with Session.begin(tmp_path, keys_plan("a/x.nc", "b/x.nc", "y.nc"), Settings(flat=True)) as session:
        assert {n for n in range(3) if raises_unsafe(session, n)} == {1}


def raises_unsafe(session: Session, n: int) -> bool:
    try:
        session.paths.part(n)
    except UnsafeKey as exc:
        assert str(exc)
        return True
    return False


def test_no_key_can_be_a_part_file_of_its_own_session(tmp_path):
    """The id is known in advance to whoever makes the list; the bucket's owner could add such a key."""
    plan = keys_plan("a.nc")
    with Session.begin(tmp_path, plan, SETTINGS) as session:
        suffix = f".{session.id[:6]}.part"
    with Session.begin(tmp_path, keys_plan("a.nc", f"a.nc{suffix}"), SETTINGS) as session:
        assert raises_unsafe(session, 1)


def test_a_name_of_full_length_still_has_a_part_file(tmp_path):
    with Session.begin(tmp_path, keys_plan("n" * 255, "m" * 256), SETTINGS) as session:
        session.paths.part(0).write_bytes(b"x")
        assert session.paths.part(0).parent == tmp_path
        session.paths.part(0).replace(session.paths.final(0))
        assert raises_unsafe(session, 1)


def test_a_link_in_place_of_a_part_file_is_refused(tmp_path):
    with Session.begin(tmp_path, keys_plan("a.nc"), SETTINGS) as session:
        session.paths.part(0).symlink_to(tmp_path / "elsewhere")
        assert raises_unsafe(session, 0)


# --- forgetting -----------------------------------------------------------------------------------------------------


def test_forgetting_takes_what_is_ours_and_no_file_that_was_fetched(tmp_path):
    with Session.begin(tmp_path, PLAN, SETTINGS) as session:
        session.paths.final(0).parent.mkdir(parents=True)
        session.paths.final(0).write_bytes(b"whole")
        session.paths.part(1).write_bytes(b"half")
        foreign = session.paths.part(1).with_name("mine.part")
        foreign.write_bytes(b"of somebody else")
        session.save(Checkpoint.empty())
        (home(tmp_path) / f"{session.id}.digests.jsonl").write_text("{}")
        session.forget()
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {PLAN.objects[0].key, "e5.oper.an.pl/202102/mine.part"}
    assert not home(tmp_path).exists()
    with pytest.raises(Era5Error):
        session.save(Checkpoint.empty())


def test_two_sessions_in_one_folder_leave_each_other_alone(tmp_path):
    with (
        Session.begin(tmp_path, PLAN, SETTINGS) as one,
        Session.begin(tmp_path, PLAN, Settings(bucket="other")) as other,
    ):
        assert one.paths.part(0) != other.paths.part(0)
        one.forget()
        other.save(Checkpoint.empty())
    assert [summary.id for summary in list_sessions(tmp_path)] == [other.id]
