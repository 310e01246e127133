"""Tests of the folder scan: ERA5 files are found by their names, with what sessions say about them."""

from __future__ import annotations

import os
from datetime import date

import pytest

from era5dl.archive import scan as scan_module
from era5dl.archive.scan import scan_folder
from era5dl.archive.session_records import FileStatus
from era5dl.errors import FolderUnusable, Stopped
from era5dl.subset.selection import EVERYTHING, Subset
from tests.archive_samples import SIZE, keys_of, make_session, plan_for, write_file

FIRST, LAST = date(2020, 1, 1), date(2020, 3, 31)
T2 = keys_of("an.sfc/2t", FIRST, LAST)
LSP = keys_of("fc.sfc.accumu/lsp", FIRST, LAST)


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(tmp_path / "state"))


def test_files_of_other_programs_are_found_in_any_folders(tmp_path):
    write_file(tmp_path, T2[0])  # the folders of the bucket
    write_file(tmp_path, T2[1].rpartition("/")[2])  # flat
    write_file(tmp_path, "my data/winter/" + LSP[1].rpartition("/")[2])
    write_file(tmp_path, "notes.nc")
    write_file(tmp_path, T2[2].replace("2020033123", "2020023030"))  # no such day
    write_file(tmp_path, T2[2] + ".abcdef.part")
    write_file(tmp_path, ".era5dl/" + T2[2].rpartition("/")[2])
    found = scan_folder(tmp_path)
    assert [(one.key, one.size, one.is_whole) for one in found.files] == [
        (T2[0], SIZE, True),
        (T2[1], SIZE, True),
        (LSP[1], SIZE, True),
    ]
    assert [str(one.variable) for one in found.files] == ["an.sfc/2t", "an.sfc/2t", "fc.sfc.accumu/lsp"]
    assert (found.files[2].start.day, found.files[2].end.day) == (1, 16)
    assert all(one.record is None and one.subset == EVERYTHING and one.path.is_file() for one in found.files)
    assert sorted(name for name, _ in found.passed_over)[1] == "notes.nc"
    assert found.others == 2


@pytest.mark.parametrize("flat", [False, True])
def test_each_file_has_the_record_of_its_session(tmp_path, flat):
    plan = plan_for(["2t"], FIRST, LAST, missing={T2[2]: "absent"})
    session = make_session(tmp_path, plan, verified=[0], failed={1: "403"}, flat=flat)
    found = scan_folder(tmp_path)
    (one,) = found.files
    assert one.record is not None
    assert (one.record.session, one.record.status, one.record.version) == (
        session.id,
        FileStatus.VERIFIED,
        plan.objects[0],
    )
    failed = found.records.files[T2[1].rpartition("/")[2]]
    assert (failed.status, failed.reason, failed.when) == (FileStatus.FAILED, "403", 1_700_000_000.0)
    assert found.records.missing == {T2[2]: "absent"}


def test_parts_have_the_subset_of_their_session(tmp_path):
    subset = Subset(hours=(0, 12))
    make_session(tmp_path, plan_for(["2t"], FIRST, LAST, subset), verified=[0])
    part, *_ = scan_folder(tmp_path).files
    assert (part.key, part.is_whole, part.subset_id) == (T2[0], False, subset.id)
    assert part.subset is not None
    assert part.subset.hours == (0, 12)
    assert part.record is not None
    assert part.record.status is FileStatus.CHECKED_PART
    part.path.rename(part.path.with_name(part.name.replace(part.subset_id, "00000000")))
    assert scan_folder(tmp_path).files[0].subset is None  # no session knows this one


def test_of_several_sessions_the_one_that_finished_the_file_counts(tmp_path):
    done = make_session(tmp_path, plan_for(["2t"], FIRST, LAST), verified=[0])
    make_session(tmp_path, plan_for(["2t", "lsp"], FIRST, LAST, missing={LSP[0]: "absent"}))
    found = scan_folder(tmp_path)
    record = found.records.files[T2[0].rpartition("/")[2]]
    assert (record.session, record.status) == (done.id, FileStatus.VERIFIED)
    assert found.records.files[T2[1].rpartition("/")[2]].status is FileStatus.WANTED
    (tmp_path / ".era5dl" / f"{done.id}.json").write_text("{")
    (tmp_path / ".era5dl" / f"{done.id}.json.bak").unlink(missing_ok=True)
    found = scan_folder(tmp_path)
    assert [session for session, _ in found.records.unreadable] == [done.id]
    assert found.files[0].record is not None
    assert found.files[0].record.status is FileStatus.WANTED


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_to_folders_are_not_followed(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    write_file(outside, T2[0])
    inside.mkdir()
    (inside / "e5.oper.an.sfc").symlink_to(outside / "e5.oper.an.sfc")
    (inside / "round").symlink_to(inside)
    (inside / T2[1].rpartition("/")[2]).symlink_to(outside / "nothing")
    found = scan_folder(inside)
    assert found.files == ()
    assert len(found.passed_over) == 3


def test_size_and_depth_of_a_folder_are_limited(tmp_path, monkeypatch):
    write_file(tmp_path, "/".join("abcdef") + "/" + T2[0].rpartition("/")[2])
    monkeypatch.setattr(scan_module, "MAX_DEPTH", 3)
    found = scan_folder(tmp_path)
    assert (found.files, found.passed_over) == ((), (("a/b/c/d", "too many folders in one another"),))
    monkeypatch.setattr(scan_module, "MAX_ENTRIES", 3)
    with pytest.raises(FolderUnusable) as error:
        scan_folder(tmp_path)
    assert error.value.remedy
    with pytest.raises(FolderUnusable):
        scan_folder(tmp_path / "none")
    monkeypatch.setattr(scan_module, "_POLL_INTERVAL", 1)
    with pytest.raises(Stopped):
        scan_folder(tmp_path, lambda: True)
