"""Tests of the audit: each file that lacks is found, with the reason, and nothing else."""

from __future__ import annotations

import os
from datetime import date, datetime

import netCDF4
import pytest

from era5dl.api_select import select
from era5dl.archive.audit import audit_folder, restrict
from era5dl.archive.states import Audit, Cause, State
from era5dl.subset.selection import Subset
from tests.archive_samples import SIZE, hdf5_bytes, keys_of, make_session, plan_for, write_file
from tests.netcdf_files import write_sample

FIRST, LAST = date(2020, 1, 1), date(2020, 4, 30)
T2 = keys_of("an.sfc/2t", FIRST, LAST)
TODAY = date(2021, 6, 1)


@pytest.fixture(autouse=True)
def state(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(tmp_path_factory.mktemp("state")))


def states(audit: Audit) -> list[tuple[State, Cause]]:
    return [(file.state, file.cause) for file in audit.files]


def test_every_state_of_the_files_of_a_session(tmp_path):
    names = ["2t", "msl"]
    msl = keys_of("an.sfc/msl", FIRST, LAST)
    plan = plan_for(names, FIRST, LAST, missing={T2[2]: "absent", T2[3]: "not yet published"})
    order = [obj.key for obj in plan.objects]
    make_session(
        tmp_path,
        plan,
        verified=[order.index(key) for key in (T2[0], msl[0], msl[1])],
        checked=[order.index(T2[1])],
        failed={order.index(msl[2]): "403 Forbidden"},
    )
    assert not audit_folder(tmp_path).is_complete
    (tmp_path / msl[0]).unlink()
    (tmp_path / msl[1]).write_bytes(b"x" * (SIZE - 1))
    audit = audit_folder(tmp_path)
    found = {file.key: (file.state, file.cause) for file in audit.files}
    assert found == {
        T2[0]: (State.PROVEN, Cause.NONE),
        T2[1]: (State.UNPROVEN, Cause.NO_MD5),
        T2[2]: (State.NOT_IN_BUCKET, Cause.ABSENT),
        T2[3]: (State.NOT_PUBLISHED, Cause.ABSENT),
        msl[0]: (State.MISSING, Cause.GONE),
        msl[1]: (State.TRUNCATED, Cause.SIZE),
        msl[2]: (State.FAILED, Cause.ERROR),
        msl[3]: (State.MISSING, Cause.NOT_STARTED),
    }
    assert [file.key for file in audit.gaps] == [*msl, T2[3]]
    assert audit.months["an.sfc/msl", "202002"].state is State.TRUNCATED
    only = restrict(audit, ["an.sfc/2t"], ((date(2020, 1, 5), date(2020, 2, 2)),))
    assert [file.key for file in only.files] == T2[:2]
    assert only.is_complete


def test_complete_session_is_complete_without_opening_a_file(tmp_path, monkeypatch):
    plan = plan_for(["2t", "lsp", "invariant/z"], FIRST, LAST)
    make_session(tmp_path, plan, verified=range(len(plan.objects)))
    monkeypatch.setattr("era5dl.archive.contents.DirectoryHandle", None)
    audit = audit_folder(tmp_path)
    assert audit.is_complete
    assert set(states(audit)) == {(State.PROVEN, Cause.NONE)}
    assert audit.size == SIZE * len(plan.objects)


def test_file_that_was_modified_later_is_not_proven(tmp_path):
    plan = plan_for(["2t"], FIRST, LAST)
    make_session(tmp_path, plan, verified=range(4))
    os.utime(tmp_path / T2[1], (1.0, 1.0))
    assert states(audit_folder(tmp_path))[:2] == [(State.PROVEN, Cause.NONE), (State.UNPROVEN, Cause.CHANGED)]


def test_replaced_file_is_found_when_a_newer_session_lists_another_version(tmp_path):
    plan = plan_for(["2t"], FIRST, LAST)
    make_session(tmp_path, plan, verified=range(4))
    newer = plan_for(["2t", "msl"], FIRST, LAST)
    changed = tuple(
        type(obj)(
            obj.key, obj.size, '"ff"' if obj.key == T2[1] else plan.objects[T2.index(obj.key)].etag, 1_700_000_000
        )
        if obj.key in T2
        else obj
        for obj in newer.objects
    )
    make_session(tmp_path, type(newer)(newer.request, changed), verified=())
    found = [file for file in audit_folder(tmp_path).files if file.variable == "an.sfc/2t"]
    assert [file.state for file in found] == [State.PROVEN, State.REPLACED, State.PROVEN, State.PROVEN]


def test_folder_of_another_program(tmp_path):
    """Without sessions a hole is found between files, and a truncated file by its HDF5 header."""
    for key in (T2[0], T2[3]):
        write_file(tmp_path, "flat/" + key.rpartition("/")[2])
    (tmp_path / "flat" / T2[1].rpartition("/")[2]).write_bytes(hdf5_bytes(SIZE)[:-3])
    (tmp_path / "flat" / keys_of("an.sfc/msl", FIRST, FIRST)[0].rpartition("/")[2]).write_bytes(b"<html>")
    audit = audit_folder(tmp_path, today=TODAY)
    assert states(audit) == [
        (State.TRUNCATED, Cause.STRUCTURE),
        (State.UNPROVEN, Cause.NOT_COMPARED),
        (State.TRUNCATED, Cause.SIZE),
        (State.MISSING, Cause.GAP),
        (State.UNPROVEN, Cause.NOT_COMPARED),
    ]
    assert audit.files[2].expected == SIZE


def test_selection_shows_what_is_missing_and_not_yet_published(tmp_path):
    for key in T2[:2]:
        write_file(tmp_path, key)
    chosen = select(["2t"], start="2019-12-01", end="2020-04-30")
    audit = audit_folder(tmp_path, chosen, today=date(2020, 6, 1))
    assert states(audit) == [
        (State.MISSING, Cause.NO_SESSION),
        (State.UNPROVEN, Cause.NOT_COMPARED),
        (State.UNPROVEN, Cause.NOT_COMPARED),
        (State.NOT_PUBLISHED, Cause.RECENT),
        (State.NOT_PUBLISHED, Cause.RECENT),
    ]
    latest = audit_folder(tmp_path, select(["2t"], start="2020-01-01", end="latest"))
    assert [file.key for file in latest.files] == T2[:2]
    make_session(tmp_path, plan_for(["2t"], date(2020, 1, 1), date(2020, 2, 20)), checked=[0, 1], write=False)
    audit = audit_folder(tmp_path, chosen, today=TODAY)
    assert [file.state for file in audit.files] == [
        State.NOT_ASKED,
        State.UNPROVEN,
        State.UNPROVEN,
        State.NOT_ASKED,
        State.NOT_ASKED,
    ]
    by_keys = audit_folder(tmp_path, keys=T2[1:3], today=TODAY)
    assert [file.state for file in by_keys.files] == [State.UNPROVEN, State.NOT_ASKED]


def test_missing_hours_of_parts(tmp_path):
    days = {"start": "2020-01-01", "end": "2020-01-31"}
    make_session(tmp_path, plan_for(["2t"], FIRST, date(2020, 1, 31), Subset(hours=(0, 12))), verified=[0])
    own = audit_folder(tmp_path)
    assert (own.is_complete, states(own)) == (True, [(State.UNPROVEN, Cause.NO_MD5)])
    whole = audit_folder(tmp_path, select(["2t"], **days), today=TODAY)
    assert states(whole) == [(State.PARTIAL, Cause.HOURS)]
    assert len(whole.files[0].lacking) == 31 * 22
    day, hours = next(iter(whole.days("an.sfc/2t", "202001")))
    assert day == FIRST
    assert [hour for hour, one in enumerate(hours) if one is State.UNPROVEN] == [0, 12]
    assert hours[1] is State.MISSING
    more = select(["2t"], **days, hours="0,6,12")
    assert len(audit_folder(tmp_path, more).files[0].lacking) == 31
    fewer = select(["2t"], start="2020-01-05", end="2020-01-06", hours="12")
    assert audit_folder(tmp_path, fewer).is_complete
    area = select(["2t"], **days, hours="0", area="54/73/18/135")
    assert audit_folder(tmp_path, area).is_complete  # the part has the whole globe
    (part,) = (tmp_path / "e5.oper.an.sfc").rglob("*.nc")
    part.write_bytes(part.read_bytes()[:-1])
    assert states(audit_folder(tmp_path)) == [(State.TRUNCATED, Cause.SIZE)]


def test_a_whole_file_has_the_wanted_part_too(tmp_path):
    write_file(tmp_path, T2[0])
    chosen = select(["2t"], start="2020-01-01", end="2020-01-31", hours="6")
    audit = audit_folder(tmp_path, chosen)
    assert states(audit) == [(State.UNPROVEN, Cause.NOT_COMPARED)]
    assert [one for one in next(iter(audit.days("an.sfc/2t", "202001")))[1] if one] == [State.UNPROVEN]


def test_first_hours_of_a_month_are_in_the_forecast_file_before(tmp_path):
    keys = keys_of("fc.sfc.accumu/lsp", date(2020, 2, 1), date(2020, 2, 29))
    assert len(keys) == 3
    for key in keys:
        write_file(tmp_path, key)
    (tmp_path / keys[0]).write_bytes(b"")
    audit = audit_folder(tmp_path)
    days = dict(audit.days("fc.sfc.accumu/lsp", "202002"))
    assert days[date(2020, 2, 1)] == (State.TRUNCATED,) * 7 + (State.UNPROVEN,) * 17
    assert days[date(2020, 2, 29)] == (State.UNPROVEN,) * 24


def test_deep_audit_finds_a_missing_hour_within_a_file(tmp_path):
    sample = write_sample(tmp_path, "an.pl/t", datetime(2020, 1, 1), step=30.0)
    assert audit_folder(tmp_path, deep=True).is_complete
    with netCDF4.Dataset(sample.path) as source:
        source.set_auto_mask(False)
        times = source.variables["time"][:]
    with netCDF4.Dataset(sample.path, "a") as file:
        file.variables["time"][5] = times[4]
    audit = audit_folder(tmp_path, deep=True)
    assert states(audit) == [(State.PARTIAL, Cause.HOURS)]
    assert audit.files[0].lacking == (times[5],)
    assert audit_folder(tmp_path).is_complete
