"""Tests of the dialog for CDS requests: its texts, the fields that it fills in, mouse and keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from era5dl.catalog import find_variable
from era5dl.cds import from_cds
from era5dl.demo import DAYS, VARIABLES
from era5dl.gui.models.cds_form import EXAMPLE, choices, error_lines, fields_of, lines_of
from era5dl.gui.models.request_form import Fields, Period, validate
from era5dl.gui.pages.variable_panel import _leaf
from era5dl.gui.text import cds_text, i18n
from era5dl.selection import Selection
from tests.gui_driver import Window

pytest_plugins = ["tests.gui_screen", "tests.gui_window"]

SINGLE = "reanalysis-era5-single-levels"
SCRIPT = f"""
c.retrieve('{SINGLE}', {{'variable': ['2t', 'tp', 'swh'], 'date': '2021-02-01/2021-02-03',
    'time': ['00:00', '12:00'], 'area': [54, 73, 18, 135]}}, 'x.nc')
c.retrieve('reanalysis-era5-pressure-levels', {{'variable': 't', 'date': '2021-02-01/2021-02-03', 'pressure_level': 500,
    'time': ['00:00', '12:00'], 'area': [54, 73, 18, 135]}}, 'y.nc')
"""


def test_every_kind_of_note_has_a_text() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in Path("era5dl/cds").glob("*.py"))
    kinds = set(re.findall(r'(?:Note|_warn)\(\s*"([a-z0-9-]+)"', sources))
    assert kinds | {"waves", "not-in-bucket"} == set(cds_text.NOTES)


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_lines_of_a_request(language: str) -> None:
    values = {"variable": ["2t", "tp", "swh", "z", "kx", "2m_temprature"], "year": 2021, "month": 2, "day": [1, 3]}
    translation = from_cds(values | {"grid": "1/1", "area:": 1, "time": "0", "format": "grib"}, SINGLE)
    i18n.switch(language)
    try:
        lines = lines_of(translation)
        refused = lines_of(from_cds(values, "reanalysis-era5-land"))
    finally:
        i18n.switch("en")
    styles = " ".join(line.style for line in lines)
    assert styles == "head muted found found absent found absent absent note note note note"
    assert "fc.sfc.accumu" in lines[3].text
    assert "2m_temperature" in lines[7].text  # the nearest name
    assert (language == "en") is ("Ocean waves" in lines[4].text)
    assert refused[-1].style == "absent"


def selection_of(fields: Fields) -> Selection:
    found = validate(fields).selection
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("values", "period"),
    [
        ({"date": "2021-02-01/2021-02-28"}, Period.RANGE),
        ({"date": "2021-02-05", "time": "all"}, Period.RANGE),
        ({"year": [2020, 2021], "month": [1, 2], "day": list(range(1, 32)), "time": ["6:00"]}, Period.GRID),
        ({"year": 2021, "month": 6, "day": [1, 15], "time": ["6:00"], "area": [10, 350, -10, 20]}, Period.GRID),
        ({"date": "2021-02-01/2021-02-28", "location": {"latitude": -30.5, "longitude": 114.25}}, Period.RANGE),
    ],
)
def test_fields_select_the_same_as_the_request(values: dict[str, object], period: Period) -> None:
    selection = from_cds({"variable": ["2t", "lsm"], **values}, SINGLE).selection
    fields, note = fields_of(selection, Fields(folder="/data"))
    assert (fields.period, note, fields.folder) == (period, "", "/data")
    assert selection_of(fields) == selection


def test_days_that_the_form_cannot_express_become_a_range_with_a_note() -> None:
    request = {"variable": "2t", "date": ["2021-01-30", "2021-02-02"], "time": "0"}
    fields, note = fields_of(from_cds(request, SINGLE).selection, Fields())
    assert (fields.first, fields.last) == ("2021-01-30", "2021-02-02")
    assert note == "This window selects 2 days more."
    (only,) = choices(from_cds(request, SINGLE))
    assert only == "1: 2t · 2021-01-30 … 2021-02-02"


def test_the_name_of_a_derived_variable_finds_its_sources_in_the_window() -> None:
    for name in ("fc.sfc.accumu/lsp", "fc.sfc.accumu/cp"):
        leaf = _leaf(find_variable(name))
        assert {"tp", "total_precipitation"} <= set(leaf.searchable.split())


def test_the_example_is_in_the_bucket_of_the_demo() -> None:
    selection = from_cds(EXAMPLE).selection
    assert {variable.name for variable in selection.variables} <= set(VARIABLES)
    assert [first for first, _last in selection.days] == list(DAYS)
    fields, note = fields_of(selection, Fields())
    assert (selection_of(fields), note) == (selection, "")


def test_an_error_names_its_line() -> None:
    lines, place = error_lines("Line 3: wrong.\n  x = y\n  ^", "Do better.")
    assert (place, [line.text for line in lines][1:]) == (3, ["Line 3: wrong.", "Do better."])
    assert error_lines("Empty.", "")[1] == 0


def test_a_pasted_request_fills_in_the_form(open_window: Callable[..., Window], tmp_path: Path) -> None:
    window = open_window(folder=None)
    root, dialogs = window.root, window.app.dialogs
    root.clipboard_clear()
    root.clipboard_append(SCRIPT)
    root.focus_force()
    root.update()
    root.event_generate("<Control-Shift-V>")
    dialog = dialogs.cds_request
    assert dialog is not None
    assert dialog.text.get("1.0", "end").strip() == SCRIPT.strip()  # from the clipboard
    window.wait_until(lambda: not dialog.ok.instate(["disabled"]))
    assert "✗ swh" in dialog.answer.get("1.0", "end")
    dialog.example.invoke()
    window.wait_until(lambda: "land_sea_mask" in dialog.answer.get("1.0", "end"))
    dialog.text.delete("1.0", "end")
    dialog.text.insert("1.0", "\n{'variable': ")
    window.wait_until(lambda: "Line 2" in dialog.answer.get("1.0", "end"))
    assert dialog.ok.instate(["disabled"])
    assert str(dialog.text.tag_ranges("wrong")[0]) == "2.0"
    dialog.text.focus_force()
    dialog.text.event_generate("<Control-Return>")  # nothing to use
    assert dialogs.cds_request is dialog
    dialog.text.delete("1.0", "end")
    dialog.text.insert("1.0", SCRIPT)
    window.wait_until(lambda: not dialog.ok.instate(["disabled"]))
    dialog.text.event_generate("<Tab>")
    root.update()
    assert root.focus_get() is not dialog.text  # Tab leaves the text
    dialog.text.event_generate("<Control-Return>")
    root.update()
    assert dialogs.cds_request is None
    fields = window.page.request.fields
    assert sorted(fields.variables) == ["an.pl/t", "an.sfc/2t", "fc.sfc.accumu/cp", "fc.sfc.accumu/lsp"]
    assert selection_of(fields) == from_cds(SCRIPT).selection
    window.app.actions.paste_cds_request()
    again = dialogs.cds_request
    assert again is not None
    again.text.focus_force()
    root.update()
    again.text.event_generate("<Escape>")
    root.update()
    assert dialogs.cds_request is None
    assert window.page.request.fields == fields
