"""Tests of sessions of subsets: names of their files, and what one session concludes from another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.planner.plan import Plan
from era5dl.ranges import RangeSet
from era5dl.session import Checkpoint, Session, list_sessions
from era5dl.session.object_paths import new_file_of
from era5dl.settings import Settings

KEY = "e5.oper.an.sfc/202102/e5.oper.an.sfc.128_167_2t.ll025sc.2021020100_2021022823.nc"
OTHER = "readme.nc"
OBJECTS = (ObjectInfo(KEY, 100, '"a"', 1), ObjectInfo(OTHER, 100, '"b"', 1))
EUROPE, CHINA = {"area": "72/-15/34/40"}, {"area": "54/73/18/135"}

pytestmark = pytest.mark.usefixtures("no_user_settings")


def plan_of(subset: dict[str, object] | None) -> Plan:
    request = {"keys": "0" * 64, "count": 2}
    return Plan(request if subset is None else {**request, "subset": subset}, OBJECTS)


def begin(folder: Path, subset: dict[str, object] | None, *, flat: bool = False) -> Session:
    return Session.begin(folder, plan_of(subset), Settings(flat=flat))


def test_a_subset_has_a_name_of_its_own(tmp_path: Path) -> None:
    with begin(tmp_path, EUROPE) as europe, begin(tmp_path, CHINA) as china, begin(tmp_path, None) as whole:
        names = {session.paths.final(0).name for session in (europe, china, whole)}
        assert len(names) == 3
        assert KEY.rpartition("/")[2] in names
        name = europe.paths.final(0).name
        assert name == f"{KEY.rpartition('/')[2][:-3]}.{plan_of(EUROPE).subset.id}.nc"
        assert europe.paths.final(0).parent == whole.paths.final(0).parent
        assert europe.paths.part(0).name == f"{name}.{europe.id[:6]}.part"
        assert europe.paths.relative(0) == str(europe.paths.final(0).relative_to(tmp_path)), "claims are for this file"
        assert europe.paths.final(1) == tmp_path / OTHER, "of unknown files all is fetched"
        assert europe.paths.subset(1).is_everything
        assert not europe.claims.claim(0) and not china.claims.claim(0) and not whole.claims.claim(0)
        assert europe.claims.claim(1) == "" and china.claims.claim(1) != ""


def test_a_file_that_was_fetched_whole_keeps_its_usual_name(tmp_path: Path) -> None:
    """Its layout was not supported. Verified or checked, it is a whole file; only checked-part means a subset."""
    for name, is_whole in (("verified", True), ("checked", True), ("checked_part", False)):
        with begin(tmp_path, EUROPE) as session:
            session.save(dataclasses.replace(Checkpoint.empty(), **{name: RangeSet([(0, 1)])}))
        with Session.open(tmp_path) as session:
            assert (session.paths.final(0) == tmp_path / KEY) == is_whole
            assert session.paths.subset(0).is_everything == is_whole
            assert list_sessions(tmp_path)[0].done_files == 1


def test_subsets_and_whole_files_prove_nothing_about_each_other(tmp_path: Path) -> None:
    with begin(tmp_path, EUROPE) as europe:
        europe.save(
            dataclasses.replace(Checkpoint.empty(), checked_part=RangeSet([(0, 1)]), checked=RangeSet([(1, 2)]))
        )
    with begin(tmp_path, None) as whole, begin(tmp_path, CHINA) as china:
        for session in (whole, china):
            assert not session.finished_by_others(0, OBJECTS[0])
            assert session.finished_by_others(1, OBJECTS[1])
    with begin(tmp_path, EUROPE, flat=True) as same:
        assert same.finished_by_others(0, OBJECTS[0])
        assert not same.finished_by_others(0, dataclasses.replace(OBJECTS[0], etag='"c"'))
        same.paths.fetched_whole.add(0)
        assert not same.finished_by_others(0, OBJECTS[0])


def test_forgetting_a_session_removes_its_temporary_files(tmp_path: Path) -> None:
    with begin(tmp_path, EUROPE) as session:
        part, final = session.paths.part(0), session.paths.final(0)
        session.paths.fetched_whole.add(0)
        whole = session.paths.part(0)
        part.parent.mkdir(parents=True)
        for path in (part, whole, new_file_of(part), final):
            path.write_bytes(b"x")
        session.forget()
    assert list(part.parent.iterdir()) == [final]
