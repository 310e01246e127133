"""Tests of the request form: each invalid input has its message, and Start explains why it is disabled."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from unittest.mock import Mock

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import ErrorInfo, FolderInspected
from era5dl.gui.controllers.request import RequestController
from era5dl.gui.models import request_form
from era5dl.gui.models.plan_state import PlanState
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.models.request_form import FieldError, Fields, FormResult, Period
from era5dl.planner import Plan

TODAY = date(2026, 6, 15)
GOOD = Fields(variables=frozenset({"an.sfc/2t", "an.pl/t"}), first="2021-02-01", last="2021-02-03", folder="/data")


def changed(**what: object) -> Fields:
    return Fields(**{**{name: getattr(GOOD, name) for name in Fields.__slots__}, **what})  # type: ignore[arg-type]


def test_valid_fields_give_a_selection_and_a_folder() -> None:
    form = request_form.validate(GOOD, TODAY)
    assert form.errors == ()
    assert form.folder == Path("/data")
    assert form.selection is not None
    assert [v.name for v in form.selection.variables] == ["an.pl/t", "an.sfc/2t"]
    assert form.selection.days == ((date(2021, 2, 1), date(2021, 2, 3)),)


@pytest.mark.parametrize(
    ("what", "field", "says"),
    [
        ({"variables": frozenset()}, "variables", "at least one variable"),
        ({"variables": frozenset({"no/such"})}, "variables", "at least one variable"),
        ({"first": ""}, "first", "YYYY-MM-DD"),
        ({"first": "2021-2"}, "first", "YYYY-MM-DD"),
        ({"last": "2021-02-30"}, "last", "does not exist"),
        ({"first": "1939-12-31"}, "first", "1940-01-01"),
        ({"last": "2026-06-16"}, "last", "2026-06-15"),
        ({"last": "2021-01-31"}, "last", "before the start"),
        ({"folder": "  "}, "folder", "Choose a folder"),
        ({"folder": "a\0b"}, "folder", "not a valid folder name"),
        ({"period": Period.GRID}, "years", "at least one year"),
        (
            {"period": Period.GRID, "years": frozenset({2021}), "months": frozenset({2}), "days": frozenset({30})},
            "days",
            "None of the selected months",
        ),
        ({"period": Period.GRID, "years": frozenset({2049})}, "years", "2026-06-15"),
    ],
)
def test_each_invalid_field_has_its_error(what: dict[str, object], field: str, says: str) -> None:
    form = request_form.validate(changed(**what), TODAY)
    assert says in form.error_for(field)
    assert form.selection is None or field == "folder"


def test_a_date_grid_is_limited_to_available_dates() -> None:
    fields = changed(period=Period.GRID, years=frozenset({2026}), months=frozenset({5, 6, 7}))
    form = request_form.validate(fields, TODAY)
    assert form.selection is not None
    assert form.selection.days == ((date(2026, 5, 1), TODAY),)


def test_invariants_need_no_dates() -> None:
    form = request_form.validate(changed(variables=frozenset({"invariant/z"}), first="", last=""), TODAY)
    assert form.errors == ()


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("", None),
        ("0", None),
        ("5", 5_000_000),
        ("1.5", 1_500_000),
        ("500 kB/s", 500_000),
        ("5.00 MB/s", 5_000_000),
        ("off", None),
        ("8:00,1M 20:00,off", "08:00,1M 20:00,off"),
    ],
)
def test_a_rate_limit_is_parsed_as_people_write_it(text: str, limit: int | str | None) -> None:
    assert request_form.read_limit(text) == limit


@pytest.mark.parametrize("text", ["fast", "-1", "5 parsecs", ".", "8h,1M", "5 Mb/s", "0.0004", "08:00,0.4"])
def test_an_invalid_rate_limit_is_rejected(text: str) -> None:
    assert isinstance(request_form.read_limit(text), FieldError)


def test_saved_fields_are_restored_and_invalid_text_gives_defaults() -> None:
    fields = changed(period=Period.GRID, years=frozenset({1999}), folder="/x")
    assert request_form.from_text(request_form.to_text(fields), "/x") == fields
    usual = request_form.from_text("", "/x", TODAY)
    assert (usual.first, usual.last) == ("2025-12-01", "2025-12-31")
    for nonsense in ("[]", "{", '{"variables": 3}', '{"variables": [], "period": "x"}', "null"):
        assert request_form.from_text(nonsense, "/x", TODAY) == usual


OBJECT = ObjectInfo("a.nc", 1000, '"e"')
PLAN = Plan({"keys": "0", "count": 1}, (OBJECT,))
CHECKED = request_form.validate(GOOD, TODAY)
FOLDER = FolderInspected(Path("/data"), 10_000)


@pytest.mark.parametrize(
    ("plan_state", "says"),
    [
        (PlanState(form=CHECKED, plan=PLAN, folder=FOLDER), ""),
        (PlanState(form=CHECKED, plan=PLAN), ""),  # a share that hangs must not prevent the start
        (PlanState(form=CHECKED, plan=PLAN, folder=FOLDER, busy=True), "in progress"),
        (PlanState(form=CHECKED, preparing=True), "is starting"),
        (PlanState(form=request_form.validate(Fields(), TODAY)), "at least one variable"),
        (PlanState(form=CHECKED), "Checking which"),
        (PlanState(form=CHECKED, error=ErrorInfo("Unreachable", "x")), "cannot be reached"),
        (PlanState(form=CHECKED, plan=Plan({}, ())), "none of these files"),
        (PlanState(form=CHECKED, plan=PLAN, folder=FolderInspected(Path("/data"), 900)), "100 B more needed"),
        (PlanState(form=CHECKED, plan=PLAN, folder=FOLDER, reserve=9_500), "500 B more needed"),
        (
            PlanState(
                form=CHECKED, plan=PLAN, folder=FolderInspected(Path("/x"), None, (), ErrorInfo("FolderUnusable", "x"))
            ),
            "cannot be written",
        ),
    ],
)
def test_blocking_reason_names_what_prevents_start(plan_state: PlanState, says: str) -> None:
    if says:
        assert says in plan_state.blocking_reason()
    else:
        assert plan_state.blocking_reason() == ""


def test_plan_state_computes_free_space_and_duration() -> None:
    plan_state = PlanState(form=FormResult(), plan=PLAN, folder=FOLDER, speed=100.0)
    assert plan_state.free_after == 9_000
    assert plan_state.seconds == 10.0
    assert PlanState(form=FormResult(), plan=PLAN).free_after is None
    assert PlanState(form=FormResult(), plan=PLAN).seconds is None


@pytest.mark.parametrize("by", ["a field", "a setting"])
def test_a_plan_of_earlier_fields_that_arrives_late_is_not_shown_and_not_started(by: str) -> None:
    """Its message may be on the way when a field changes: the download would not be what the window shows."""
    service, store, timer = Mock(busy=False), Mock(current=Preferences()), Mock()
    service.runs = Mock(busy=False, measured_speed=None)
    service.planning.plan.side_effect = [1, 2]
    controller = RequestController(Mock(), Mock(), service, store, timer)

    def request_plan() -> None:
        timer.after.call_args.args[1]()

    controller.change(GOOD)
    request_plan()
    if by == "a field":
        controller.change(replace(GOOD, subset=replace(GOOD.subset, hours=frozenset({0}))))
    else:
        controller.replan()
    controller.handle(messages.PlanReady(1, PLAN))
    assert controller.ready() is None
    request_plan()
    assert service.planning.plan.call_args.args[0] == controller.plan_state.form.selection
    controller.handle(messages.PlanFailed(1, ErrorInfo("Unreachable", "x")))
    assert controller.plan_state.error is None
    newer = Plan({"keys": "0", "count": 1}, (OBJECT,))
    controller.handle(messages.PlanReady(2, newer))
    ready = controller.ready()
    assert ready is not None
    assert ready[0] is newer
