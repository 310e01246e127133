"""Tests of the area map, its geometry and the form of subsets: by mouse, by keyboard, and without a screen."""

from __future__ import annotations

import json
import tkinter as tk
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.catalog import find_variable
from era5dl.errors import UsageError
from era5dl.gui.backend import planning, runs
from era5dl.gui.backend.messages import FolderInspected
from era5dl.gui.models import area_presets, request_form, subset_form
from era5dl.gui.models.plan_state import PlanState
from era5dl.gui.models.subset_form import Place, SubsetFields
from era5dl.gui.pages.subset_panel import SubsetPanel
from era5dl.gui.text import i18n
from era5dl.gui.theme.palette import DARK, LIGHT
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.area_map import AreaMap
from era5dl.gui.widgets.map_geometry import MapBox, Projection, box_between, clipped
from era5dl.gui.widgets.search_combo import SearchCombo
from era5dl.planner import Plan, PlanEstimate
from era5dl.preview.coastlines import coastlines
from era5dl.subset import INSTALL
from era5dl.subset.estimate import Estimate
from era5dl.subset.selection import Area, Point, Subset
from tests.faultlab import FaultServer
from tests.gui_driver import Window, options

pytest_plugins = ["tests.gui_screen", "tests.gui_window"]

CHINA = (54.0, 73.0, 18.0, 135.0)
PRESSURE = [find_variable("an.pl/t")]


# --- geometry


def test_coastlines_are_land_and_sea_on_the_globe() -> None:
    shapes = coastlines()
    assert len(shapes) > 100
    assert {shape.land for shape in shapes} == {True, False}
    for shape in shapes:
        west, south, east, north = shape.bounds
        assert -180 <= west < east <= 180 and -90 <= south < north <= 90
        steps = [abs(a[0] - b[0]) for a, b in zip(shape.outline, shape.outline[1:], strict=False)]
        assert max(steps) < 180 or south == -90, "an outline must not cross the map; only Antarctica's lower edge does"


def test_a_box_crosses_180_degrees_and_keeps_its_size() -> None:
    box = MapBox.of(10, 170, -10, -170)
    assert box.width == 20 and box.edges == (10, 170, -10, -170)
    assert box.parts() == [(170, 10, 180, -10), (-180, 10, -170, -10)]
    assert box.moved(20, 0).edges == (10, -170, -10, -150)
    assert box.moved(0, 95).edges == (90, 170, 70, -170)
    assert MapBox.of(10, 350, -10, 370 - 360).edges == (10, -10, -10, 10)
    assert box_between((175, 0), (190, 10)) == MapBox(10, 175, 0, 15)
    assert box_between((-175, 0), (-190, 10)) == MapBox(10, 170, 0, 15)
    assert box_between((3, 3), (3, 9)) is None


def test_a_resized_box_keeps_the_other_edges() -> None:
    box = MapBox.of(10, 170, -10, -170)
    assert box.resized("e", 5, 0).edges == (10, 170, -10, -165)
    assert box.resized("nw", -5, 5).edges == (15, 165, -10, -170)
    assert box.resized("w", 100, 0).east == -170  # not turned inside out
    assert box.resized("s", 0, -200).edges == (10, 170, -90, -170)
    whole = box.resized("e", 400, 0)
    assert whole.edges == (10, -180, -10, 180) and whole.parts() == [(-180, 10, 180, -10)]


@pytest.mark.parametrize(
    ("place", "edges"),
    [((170, 10), "nw"), ((-170, 0), "e"), ((180, -10), "s"), ((-179, 0), ""), ((160, 0), None), ((175, 14), None)],
)
def test_edges_are_found_on_both_sides_of_180_degrees(place: tuple[float, float], edges: str | None) -> None:
    assert MapBox.of(10, 170, -10, -170).edges_at(*place, 2) == edges


def test_the_middle_of_a_small_box_can_still_be_dragged() -> None:
    assert MapBox.of(1, 0, 0, 1).edges_at(0.5, 0.5, 1.0) == ""


def test_polygons_are_clipped_to_a_window() -> None:
    diamond = [(0.0, 10.0), (10.0, 0.0), (0.0, -10.0), (-10.0, 0.0)]
    assert sorted(set(clipped(diamond, (-5, 20, 20, 0)))) == [(-5, 0), (-5, 5), (0, 10), (10, 0)]
    assert clipped(diamond, (20, 10, 30, 0)) == []


def test_positions_of_the_mouse_become_round_numbers() -> None:
    projection = Projection(720, 400)  # two pixels a degree
    assert projection.pixel(-180, 90) == (0, 20)
    assert projection.rounded_place(431.2, 180) == (35.5, 10)
    assert projection.place(0, 400)[1] == -90  # below the map


# --- form


def fields(**what: Any) -> SubsetFields:
    return replace(SubsetFields(), **what)


def area(north: object, west: object, south: object, east: object) -> SubsetFields:
    return fields(north=str(north), west=str(west), south=str(south), east=str(east))


def test_valid_fields_give_a_subset() -> None:
    asked = replace(area("54° N", "73", "18", "135E"), hours=frozenset({0, 12}), levels=frozenset({500}))
    result = subset_form.validate(asked, PRESSURE)
    assert result.errors == ()
    assert (result.subset.hours, result.subset.levels) == ((0, 12), (500,))
    assert result.subset.area == Area(54, 73, 18, 135)
    assert subset_form.summary(result) == "2 hours, 1 level, 54/73/18/135"
    assert subset_form.validate(asked).subset.levels == ()  # no variable on pressure levels
    assert subset_form.validate(SubsetFields()).subset.is_everything
    assert subset_form.validate(area(90, -180, -90, 180)).subset.is_everything


def test_a_point_has_its_nearest_grid_point() -> None:
    result = subset_form.validate(fields(place=Place.POINT, latitude="30.6", longitude="−70.3"))
    assert result.subset.points == (Point(30.6, -70.3),)
    assert result.grid_point == (30.5, -70.25)
    assert subset_form.validate(fields(place=Place.POINT)).errors[0][0] == "latitude"


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        (area(18, 73, 54, 135), "south", "southern edge is north"),
        (area(54, 10, 18, 10), "east", "same meridian"),
        (area(54, 10, 18, 370), "east", "longitudes are from"),
        (area(91, 73, 18, 135), "north", "latitudes are from"),
        (area(54, 73, "", 135), "south", "enter degrees"),
        (area(54, "nan", 18, 135), "west", "enter degrees"),
        (area(54, 73, "1e1", 135), "south", "enter degrees"),
        (area(30.2, 114.1, 30.1, 114.2), "north", "30.25, 114.25"),
    ],
)
def test_each_invalid_area_names_the_field_to_change(given: SubsetFields, field: str, says: str) -> None:
    result = subset_form.validate(given)
    assert result.errors[0][0] == field
    assert says in result.error
    assert result.subset.is_everything


def test_fields_are_saved_with_the_request() -> None:
    asked = replace(area(54, 73, 18, 135), hours=frozenset({6}), levels=frozenset({850}), only_days=True)
    assert subset_form.from_json(json.loads(json.dumps(subset_form.to_json(asked)))) == asked
    assert subset_form.to_json(SubsetFields()) == {}
    damaged = {"hours": [6, 24, "7", True], "levels": 5, "place": "moon", "north": "5" * 99}
    assert subset_form.from_json(damaged) == fields(hours=frozenset({6}), north="5" * 40)
    assert subset_form.from_json([]) == SubsetFields()


def test_the_request_contains_the_subset() -> None:
    asked = request_form.Fields(
        variables=frozenset({"an.sfc/2t"}), first="2021-02-01", last="2021-02-03", subset=area(54, 73, 18, 135)
    )
    selection = request_form.validate(asked).selection
    assert selection is not None and selection.subset.area == Area(54, 73, 18, 135)
    assert request_form.from_text(request_form.to_text(asked)) == asked
    only_days = request_form.validate(replace(asked, subset=fields(only_days=True))).selection
    assert only_days is not None and only_days.subset.days == selection.days
    whole = request_form.validate(replace(asked, subset=SubsetFields()))
    assert whole.selection is not None and whole.selection.subset.is_everything
    invalid = request_form.validate(replace(asked, subset=area(54, 10, 18, 10)))
    assert invalid.selection is None and "same meridian" in invalid.error_for("subset")


def test_named_areas_are_found_in_both_languages() -> None:
    assert [one.english for one in area_presets.find_presets("chin")] == ["China", "South China Sea"]
    china = area_presets.preset_of(Area(*CHINA))
    assert china is not None
    i18n.switch("zh_CN")
    try:
        assert china.name == "中国"
        assert area_presets.find_presets("中国")[0] is china and area_presets.find_presets("china")[0] is china
    finally:
        i18n.switch("en")
    areas = [one.area for one in area_presets.presets()]
    assert len(set(areas)) == len(areas)


# --- map


class Heard:
    """What the map has reported."""

    def __init__(self) -> None:
        self.boxes: list[Any] = []
        self.points: list[Any] = []


@pytest.fixture
def theme(root: tk.Tk) -> Theme:
    return Theme(root, LIGHT, 1.0)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def area_map(root: tk.Tk, theme: Theme, heard: Heard) -> AreaMap:
    made = AreaMap(root, theme, on_box=heard.boxes.append, on_point=heard.points.append, width=720, height=360)
    made.pack()
    root.update()
    made.focus_force()
    return made


def drag(area_map: AreaMap, *places: tuple[float, float]) -> None:
    """Press at the first place (longitude, latitude), move over the others, and release."""
    pixels = [tuple(map(round, area_map.projection.pixel(*place))) for place in places]
    area_map.event_generate("<ButtonPress-1>", x=pixels[0][0], y=pixels[0][1])
    for x, y in pixels[1:]:
        area_map.event_generate("<B1-Motion>", x=x, y=y)
    area_map.event_generate("<ButtonRelease-1>", x=pixels[-1][0], y=pixels[-1][1])
    area_map.update()


def press(area_map: AreaMap, *names: str) -> None:
    for name in names:
        area_map.event_generate(f"<{name}>")
    area_map.update()


def test_a_box_is_dragged_moved_and_resized(area_map: AreaMap, heard: Heard) -> None:
    drag(area_map, (70, 50), (100, 20), (140, 10))
    assert area_map.box == (50, 70, 10, 140) and heard.boxes[-1] == area_map.box
    drag(area_map, (100, 30), (110, 35))
    assert area_map.box == (55, 80, 15, 150)
    drag(area_map, (80, 30), (60, 30))
    assert area_map.box == (55, 60, 15, 150)
    drag(area_map, (150, 15), (140, 25))
    assert area_map.box == (55, 60, 25, 140)
    drag(area_map, (170, 0), (190, -10))  # beyond the edge of the map
    assert area_map.box == (0, 170, -10, -170)
    drag(area_map, (-175, -5), (-165, -5))
    assert area_map.box == (0, 180 - 360, -10, -160)
    for _time in range(2):
        area_map.event_generate("<ButtonPress-1>", x=5, y=5)
        area_map.event_generate("<ButtonRelease-1>", x=5, y=5)
    assert area_map.box is None and heard.boxes[-1] is None


def test_a_box_is_chosen_by_keyboard(area_map: AreaMap, heard: Heard) -> None:
    press(area_map, "Right")
    assert heard.boxes == [(60, -15, 30, 45)]
    press(area_map, "Right", "Up", "Control-Left", "Shift-Right", "Shift-Down")
    assert area_map.box == (61, -24, 30, 37)
    press(area_map, "Home")
    assert area_map.box is None
    press(area_map, "Down", "Escape")
    assert heard.boxes[-1] is None


def test_a_point_is_the_nearest_grid_point(area_map: AreaMap, heard: Heard) -> None:
    area_map.set_mode("point")
    x, y = area_map.projection.pixel(114.4, 30.4)
    area_map.event_generate("<ButtonPress-1>", x=round(x), y=round(y))
    assert heard.points[-1] == area_map.point == (30.5, 114.5)
    press(area_map, "Left", "Down")
    assert area_map.point == (30.25, 114.25)
    assert heard.boxes == []


def test_a_drag_draws_only_the_selection_again(area_map: AreaMap, theme: Theme) -> None:
    land = [item for item in area_map.find_all() if "selection" not in area_map.gettags(item)]
    drag(area_map, (70, 50), (100, 20), (140, 10))
    assert set(land) <= set(area_map.find_all())
    theme.use(DARK)
    assert area_map["background"] == DARK.card
    assert not set(land) & set(area_map.find_all())


def test_a_combo_box_is_searched_by_typing(root: tk.Tk, theme: Theme) -> None:
    chosen: list[str] = []
    names = ["Asia", "Australia", "Austria"]
    combo = SearchCombo(root, search=lambda t: [n for n in names if t.lower() in n.lower()], on_choose=chosen.append)
    combo.set_texts("Country")
    combo.pack()
    other = tk.Entry(root)
    other.pack()
    combo.focus_force()
    root.update()
    combo.variable.set("austr")
    combo._fill()
    assert combo["values"] == ("Australia", "Austria")
    combo.event_generate("<Return>")
    assert chosen == ["Australia"] and combo.get() == "Australia"
    combo.variable.set("nowhere")
    other.focus_force()
    root.update()
    assert combo.get() == "Australia"
    combo._fill()
    assert len(combo["values"]) == 3
    combo.show_choice("")
    assert combo.get() == "Country" and chosen == ["Australia"]
    combo.focus_force()
    root.update()
    for again in ("<Escape>", "<Button-1>"):  # then letters replace the placeholder, too
        combo.event_generate(again, x=20, y=8)
        combo.event_generate("<ButtonRelease-1>", x=20, y=8)
        combo.event_generate("<Key>", keysym="a")
        root.update()
        assert combo.get() == "a"
        combo.event_generate("<Escape>")
    other.focus_force()
    root.update()
    assert combo.get() == "Country" and not combo.selection_present()


# --- editor


@pytest.fixture
def panel(root: tk.Tk, theme: Theme) -> tuple[SubsetPanel, list[SubsetFields]]:
    changes: list[SubsetFields] = []
    made = SubsetPanel(root, theme, on_change=changes.append, on_close=lambda: None)
    made.pack(fill="both", expand=True)
    made.show(SubsetFields(), levels=False)
    root.update()
    return made, changes


def test_map_and_number_fields_show_the_same_area(panel: tuple[SubsetPanel, list[SubsetFields]]) -> None:
    editor, changes = panel
    part = editor.region
    part.presets._choose("China")
    assert [entry.get() for entry in part.entries.values()][:4] == ["54", "73", "18", "135"]
    assert part.map.box == CHINA
    part.entries["south"].delete(0, "end")
    part.entries["south"].insert(0, "60")
    assert part.entries["south"].instate(["invalid"]) and "southern edge" in part._error["text"]
    assert part.map.box == CHINA  # until the fields are valid again
    part.entries["south"].event_generate("<Prior>")
    part._texts["south"].set("10/20/-5/40")  # pasted
    assert part.map.box == (10, 20, -5, 40) and not part.entries["south"].instate(["invalid"])
    assert changes[-1].edges == ("10", "20", "-5", "40")
    part.globe.invoke()
    assert part.map.box is None and changes[-1] == SubsetFields()


def test_quick_choices_and_levels(panel: tuple[SubsetPanel, list[SubsetFields]]) -> None:
    editor, changes = panel
    assert str(editor.hours._count["text"]) == str(editor.levels._count["text"]) == "all", "none selected means all"
    assert not editor.levels.winfo_ismapped()
    assert editor.only_days.instate(["!disabled"])
    editor.hours._quick[1].invoke()
    assert changes[-1].hours == {0, 6, 12, 18}
    assert editor.only_days.instate(["disabled", "selected"])  # implied
    editor.show(changes[-1], levels=True)
    editor.update()
    assert editor.levels.winfo_ismapped()
    editor.levels._quick[0].invoke()
    assert changes[-1].levels == subset_form.STANDARD_LEVELS and changes[-1].hours == {0, 6, 12, 18}
    editor.whole_files.invoke()
    assert changes[-1] == SubsetFields()
    editor.only_days.invoke()
    assert changes[-1].only_days


def test_verified_subsets_can_be_chosen_where_there_is_one(panel: tuple[SubsetPanel, list[SubsetFields]]) -> None:
    editor, changes = panel
    assert editor.prove.instate(["disabled"]), "whole files are always verified"
    editor.hours._quick[1].invoke()
    editor.prove.invoke()
    assert subset_form.validate(changes[-1]).subset == Subset(hours=(0, 6, 12, 18), prove=True)
    assert subset_form.from_json(subset_form.to_json(changes[-1])) == changes[-1]
    editor.prove.invoke()
    assert not changes[-1].prove


def test_a_missing_package_is_shown_with_its_command(panel: tuple[SubsetPanel, list[SubsetFields]]) -> None:
    editor, _changes = panel
    editor.show_missing_package('pip install "era5dl[subset]"')
    assert 'pip install "era5dl[subset]"' in editor.banner.text
    editor._copy_command()
    assert editor.clipboard_get() == 'pip install "era5dl[subset]"'
    editor.show_missing_package("")
    assert editor.banner.text == ""


# --- plan and window


def plan_state(*sums: tuple[str, Estimate], exact: bool = False) -> PlanState:
    objects = tuple(ObjectInfo(f"{name}/x.nc", one.size, '"e"') for name, one in sums)
    estimate = PlanEstimate(dict(sums), is_exact=exact)
    return PlanState(form=request_form.FormResult(), plan=Plan({}, objects, ()), estimate=estimate, speed=1e6)


def test_the_plan_shows_what_is_fetched_and_written() -> None:
    state = plan_state(("e5.oper.an.sfc", Estimate(51_000_000, 2_400_000, 1_360_000_000)))
    assert state.totals() == ["1 file", "about 51.0 MB of 1.36 GB"]
    assert state.written() == "about 2.40 MB on disk"
    assert state.seconds == 51
    assert state.no_saving() == ""
    assert replace(state, folder=FolderInspected(Path("/data"), 5_000_000)).free_after == 2_600_000
    assert state.plan is not None and state.left_out() == ""
    passed_over = replace(state, plan=replace(state.plan, passed_over=("a/x.nc", "a/y.nc")))
    assert passed_over.left_out() == "2 files without these hours left out"
    exact = plan_state(("e5.oper.an.sfc", Estimate(51_000_000, 2_400_000, 1_360_000_000)), exact=True)
    assert exact.totals()[1] == "51.0 MB of 1.36 GB" and exact.written() == "2.40 MB on disk"


def test_the_plan_names_products_that_save_nothing_on_the_line() -> None:
    none = ("e5.oper.fc.sfc.accumu", Estimate(637_000_000, 2_000_000, 637_000_000))
    some = ("e5.oper.an.pl", Estimate(65_000_000, 45_000, 1_570_000_000))
    small = ("e5.oper.invariant", Estimate(1_000_000, 9_000, 1_000_000))
    assert plan_state(none, small).no_saving() == "Whole files are fetched anyway; this saves only disk space."
    assert plan_state(none, some).no_saving().startswith("Accumulations: whole files")
    assert plan_state(some, small).no_saving() == ""


def _no_h5py() -> None:
    raise UsageError("Subsets of files need h5py.", remedy=INSTALL)


@pytest.mark.slow
def test_parts_are_chosen_in_the_window_and_remembered(
    open_window: Callable[..., Window],
    fault_server: FaultServer,
    objects: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning, "_MOST_INDEXES", 0)  # the objects are no HDF5 files
    window = open_window(**options(fault_server, tmp_path / "out"))
    window.plan("an.pl/t")
    request, editor = window.page.request, window.page.subset_panel
    assert not editor.winfo_ismapped() and " of " not in request._plan_summary.figures["text"]
    request._subset.edit.invoke()
    window.root.update()
    assert editor.winfo_ismapped() and editor.levels.winfo_ismapped()
    editor.region.presets._choose("China")
    editor.hours._quick[1].invoke()
    assert request._subset.summary["text"] == "4 hours, 54/73/18/135"
    window.wait_until(lambda: "about" in request._plan_summary.figures["text"] and window.can_start)
    assert "on disk" in request._plan_summary._expected["text"]
    monkeypatch.setattr(runs, "import_writer", _no_h5py)
    request.start.invoke()
    window.wait_until(lambda: "pip install" in window.page.banner.text)
    assert not editor.winfo_ismapped()
    request._subset.edit.invoke()
    editor.hours._none.invoke()
    window.wait_until(lambda: request._plan_summary.whole_files.winfo_ismapped())
    assert request_form.from_text(window.app.store.current.selection).subset == request.fields.subset
    editor.region._texts["south"].set("60")
    assert not window.can_start and "southern edge" in request._subset._error["text"]
    request._plan_summary.whole_files.invoke()
    window.wait_until(lambda: window.can_start)
    assert editor.region.map.box is None and request.fields.subset == SubsetFields()


def test_a_missing_package_is_reported_before_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subset_form, "find_spec", lambda _name: None)
    asked = request_form.Fields(variables=frozenset({"an.sfc/2t"}), first="2021-02-01", last="2021-02-03")
    assert request_form.validate(asked).selection is not None
    form = request_form.validate(replace(asked, subset=fields(hours=frozenset({0}))))
    assert form.selection is None and 'pip install "era5dl[subset]"' in form.error_for("subset")
