"""What the fields say: every way of being wrong has its sentence, and Start says why it would make no sense."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.gui.backend.messages import FolderSeen, Trouble
from era5dl.gui.models import request_form
from era5dl.gui.models.request_form import Checked, Fields, Outlook, Period, Wrong
from era5dl.planner import Plan

TODAY = date(2026, 6, 15)
GOOD = Fields(variables=frozenset({"an.sfc/2t", "an.pl/t"}), first="2021-02-01", last="2021-02-03", folder="/data")


def changed(**what: object) -> Fields:
    return Fields(**{**{name: getattr(GOOD, name) for name in Fields.__slots__}, **what})  # type: ignore[arg-type]


def test_good_fields_are_a_selection_and_a_folder() -> None:
    checked = request_form.check(GOOD, TODAY)
    assert checked.wrong == ()
    assert checked.folder == Path("/data")
    assert checked.selection is not None
    assert [v.name for v in checked.selection.variables] == ["an.pl/t", "an.sfc/2t"]
    assert checked.selection.days == ((date(2021, 2, 1), date(2021, 2, 3)),)


@pytest.mark.parametrize(
    ("what", "field", "says"),
    [
        ({"variables": frozenset()}, "variables", "at least one variable"),
        ({"variables": frozenset({"no/such"})}, "variables", "at least one variable"),
        ({"first": ""}, "first", "YYYY-MM-DD"),
        ({"first": "2021-2"}, "first", "YYYY-MM-DD"),
        ({"last": "2021-02-30"}, "last", "no such day"),
        ({"first": "1939-12-31"}, "first", "1940-01-01"),
        ({"last": "2026-06-16"}, "last", "2026-06-15"),
        ({"last": "2021-01-31"}, "last", "before the start"),
        ({"folder": "  "}, "folder", "Choose the folder"),
        ({"folder": "a\0b"}, "folder", "cannot be the name"),
        ({"period": Period.GRID}, "years", "at least one year"),
        (
            {"period": Period.GRID, "years": frozenset({2021}), "months": frozenset({2}), "days": frozenset({30})},
            "days",
            "exclude one another",
        ),
        ({"period": Period.GRID, "years": frozenset({2049})}, "years", "2026-06-15"),
    ],
)
def test_what_is_wrong_is_said_about_its_field(what: dict[str, object], field: str, says: str) -> None:
    checked = request_form.check(changed(**what), TODAY)
    assert says in checked.about(field)
    assert checked.selection is None or field == "folder"


def test_a_grid_is_cut_to_what_there_can_be() -> None:
    fields = changed(period=Period.GRID, years=frozenset({2026}), months=frozenset({5, 6, 7}))
    checked = request_form.check(fields, TODAY)
    assert checked.selection is not None
    assert checked.selection.days == ((date(2026, 5, 1), TODAY),)


def test_invariants_need_no_dates() -> None:
    checked = request_form.check(changed(variables=frozenset({"invariant/z"}), first="", last=""), TODAY)
    assert checked.wrong == ()


@pytest.mark.parametrize(
    ("text", "limit"),
    [("", None), ("0", None), ("5", 5_000_000), ("1.5", 1_500_000), ("500 kB/s", 500_000), ("5.00 MB/s", 5_000_000)],
)
def test_a_limit_is_read_as_people_write_it(text: str, limit: int | None) -> None:
    assert request_form.read_limit(text) == limit


@pytest.mark.parametrize("text", ["fast", "-1", "5 parsecs", "."])
def test_what_is_no_limit_is_refused(text: str) -> None:
    assert isinstance(request_form.read_limit(text), Wrong)


def test_what_was_remembered_comes_back_and_nonsense_is_the_default() -> None:
    fields = changed(period=Period.GRID, years=frozenset({1999}), folder="/x")
    assert request_form.from_text(request_form.to_text(fields), "/x") == fields
    usual = request_form.from_text("", "/x", TODAY)
    assert (usual.first, usual.last) == ("2025-12-01", "2025-12-31")
    for nonsense in ("[]", "{", '{"variables": 3}', '{"variables": [], "period": "x"}', "null"):
        assert request_form.from_text(nonsense, "/x", TODAY) == usual


OBJECT = ObjectInfo("a.nc", 1000, '"e"')
PLAN = Plan({"keys": "0", "count": 1}, (OBJECT,))
CHECKED = request_form.check(GOOD, TODAY)
FOLDER = FolderSeen(Path("/data"), 10_000)


@pytest.mark.parametrize(
    ("outlook", "says"),
    [
        (Outlook(checked=CHECKED, plan=PLAN, folder=FOLDER), ""),
        (Outlook(checked=CHECKED, plan=PLAN), ""),  # a share that hangs must not keep anybody from starting
        (Outlook(checked=CHECKED, plan=PLAN, folder=FOLDER, busy=True), "going on"),
        (Outlook(checked=CHECKED, preparing=True), "being prepared"),
        (Outlook(checked=request_form.check(Fields(), TODAY)), "at least one variable"),
        (Outlook(checked=CHECKED), "Looking up"),
        (Outlook(checked=CHECKED, trouble=Trouble("Unreachable", "x")), "cannot be reached"),
        (Outlook(checked=CHECKED, plan=Plan({}, ())), "none of these files"),
        (Outlook(checked=CHECKED, plan=PLAN, folder=FolderSeen(Path("/data"), 900)), "100 B too little"),
        (Outlook(checked=CHECKED, plan=PLAN, folder=FOLDER, reserve=9_500), "500 B too little"),
        (
            Outlook(
                checked=CHECKED, plan=PLAN, folder=FolderSeen(Path("/x"), None, (), Trouble("FolderUnusable", "x"))
            ),
            "cannot be written",
        ),
    ],
)
def test_start_says_why_it_makes_no_sense(outlook: Outlook, says: str) -> None:
    if says:
        assert says in outlook.obstacle()
    else:
        assert outlook.obstacle() == ""


def test_the_outlook_knows_room_and_time() -> None:
    outlook = Outlook(checked=Checked(), plan=PLAN, folder=FOLDER, speed=100.0)
    assert outlook.free_after == 9_000
    assert outlook.seconds == 10.0
    assert Outlook(checked=Checked(), plan=PLAN).free_after is None
    assert Outlook(checked=Checked(), plan=PLAN).seconds is None
