"""Tests of CDS requests: what scripts, dicts and JSON ask for, what of it is in the bucket, and bad input."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pytest

import era5dl
from era5dl.catalog import Cadence, derived_variables, variables
from era5dl.catalog import data as facts
from era5dl.cds import Status, from_cds, script_values
from era5dl.cds.datasets import Family
from era5dl.cds.items import resolve
from era5dl.cds.read import read_requests
from era5dl.cds.translate import translate
from era5dl.errors import BadSelection
from era5dl.planner import make_plan
from tests.memory_bucket import MemoryBucket

SINGLE, PRESSURE = "reanalysis-era5-single-levels", "reanalysis-era5-pressure-levels"
LSP, CP = "fc.sfc.accumu/lsp", "fc.sfc.accumu/cp"


@dataclass(frozen=True)
class Case:
    """One text, and what it has to be translated to. items: (asked, status, variables)."""

    text: Any
    items: list[tuple[str, str, list[str]]]
    dates: Any
    hours: list[int]
    levels: list[int] | None = None
    area: list[float] | None = None
    point: list[float] | None = None
    dataset: str = SINGLE
    supported: bool = True
    warnings: tuple[str, ...] = ()
    default: str | None = None


ALL_HOURS = list(range(24))
CASES = {
    "a script of the old CDS": Case(
        """
import cdsapi

c = cdsapi.Client()
c.retrieve(
    'reanalysis-era5-single-levels',
    {
        'product_type': 'reanalysis',
        'format': 'netcdf',   # the usual one
        'variable': ['2m_temperature', 'total_precipitation',],
        'year': '2021', 'month': ['02'], 'day': ['27', '28', '29', '30', '31'],
        'time': ['00:00', '06:00'],
        'area': [54, 73, 18, 135,],
    },
    'download.nc')
""",
        [("2m_temperature", "found", ["an.sfc/2t"]), ("total_precipitation", "derived", [LSP, CP])],
        ["2021-02-27", "2021-02-28"],
        [0, 6],
        area=[54, 73, 18, 135],
        warnings=("forecasts",),
    ),
    "a script of the new CDS": Case(
        """
dataset = "reanalysis-era5-pressure-levels"
request = {
    "product_type": ["reanalysis"],
    "variable": ["geopotential", "temperature"],
    "year": ["2021"], "month": ["09"], "day": ["02"],
    "time": [f"{h:02d}:00" for h in range(0, 24, 12)],
    "pressure_level": ["500", "850"],
    "data_format": "grib", "download_format": "zip",
}
client = cdsapi.Client()
client.retrieve(dataset, request).download()
""",
        [("geopotential", "found", ["an.pl/z"]), ("temperature", "found", ["an.pl/t"])],
        ["2021-09-02"],
        [0, 12],
        levels=[500, 850],
        dataset=PRESSURE,
        warnings=("grib", "archive"),
    ),
    "JSON with dataset and request": Case(
        '{"dataset": "reanalysis-era5-single-levels", "request": {"variable": "geopotential", "date": '
        '"2021-09-02/2021-09-04", "time": "00/to/23/by/6", "area": "10/-20/-10/20", "grid": [1.0, 1.0], "x": null}}',
        [("geopotential", "found", ["invariant/z"])],
        {"start": "2021-09-02", "end": "2021-09-04"},
        [0, 6, 12, 18],
        area=[10, -20, -10, 20],
        warnings=("grid", "unknown-key"),
    ),
    "a dict with numbers": Case(
        {"variable": ["u10", "10v", "tp"], "year": 2020, "month": 2, "day": [28, 29, 30], "time": 18},
        [("u10", "found", ["an.sfc/10u"]), ("10v", "found", ["an.sfc/10v"]), ("tp", "derived", [LSP, CP])],
        ["2020-02-28", "2020-02-29"],
        [18],
        default=SINGLE,
        warnings=("forecasts",),
    ),
    "a dict without dataset, with levels": Case(
        "{'variable': 'vertical_velocity', 'pressure_level': '1000/to/850', 'date': ['2021-01-01', '2021-01-05'],}",
        [("vertical_velocity", "found", ["an.pl/w"])],
        ["2021-01-01", "2021-01-05"],
        ALL_HOURS,
        levels=[850, 875, 900, 925, 950, 975, 1000],
        dataset=PRESSURE,
        warnings=("assumed-dataset", "all-hours"),
    ),
    "a time series": Case(
        {
            "variable": ["2m_temperature"],
            "location": {"longitude": 114.3, "latitude": "30.6"},
            "date": ["2020-12-30/2021-01-02"],
            "data_format": "csv",
        },
        [("2m_temperature", "found", ["an.sfc/2t"])],
        {"start": "2020-12-30", "end": "2021-01-02"},
        ALL_HOURS,
        point=[30.6, 114.3],
        dataset=f"{SINGLE}-timeseries",
        default=f"{SINGLE}-timeseries",
        warnings=("csv",),
    ),
    "the MARS keys of the complete data set": Case(
        "server.retrieve({'class': 'ea', 'dataset': 'era5', 'expver': '1', 'stream': 'oper', 'levtype': 'pl',\n"
        "'levelist': '500/850', 'param': '130.128/131', 'date': '2021-01-01/to/2021-01-03', 'type': 'an',\n"
        "'time': '00:00:00/12:00:00', 'grid': '0.25/0.25', 'target': 'x.nc'})",
        [("130.128", "found", ["an.pl/t"]), ("131", "found", ["an.pl/u"])],
        {"start": "2021-01-01", "end": "2021-01-03"},
        [0, 12],
        levels=[500, 850],
        dataset="era5",
    ),
    "ERA5-Land": Case(
        {"variable": ["2m_temperature", "snow_cover"], "year": "2021", "month": "1", "day": "1", "time": "00:00"},
        [("2m_temperature", "absent", []), ("snow_cover", "absent", [])],
        ["2021-01-01"],
        [0],
        dataset="reanalysis-era5-land",
        default="reanalysis-era5-land",
        supported=False,
    ),
    "monthly means": Case(
        {"product_type": "monthly_averaged_reanalysis", "variable": "t2m", "year": 2021, "month": 2, "time": "00:00"},
        [("t2m", "absent", [])],
        [f"2021-02-{day:02}" for day in range(1, 29)],
        [0],
        dataset=f"{SINGLE}-monthly-means",
        default=f"{SINGLE}-monthly-means",
        supported=False,
    ),
    "the ensemble": Case(
        {"product_type": ["ensemble_mean"], "variable": "2t", "date": "20210102", "time": "03"},
        [("2t", "absent", [])],
        ["2021-01-02"],
        [3],
        default=SINGLE,
        supported=False,
    ),
    "the ensemble and the reanalysis": Case(
        {"product_type": ["reanalysis", "ensemble_spread"], "variable": "2t", "date": 20210102, "time": "all"},
        [("2t", "found", ["an.sfc/2t"])],
        ["2021-01-02"],
        ALL_HOURS,
        default=SINGLE,
        warnings=("reanalysis-only",),
    ),
    "waves, typing errors and variables of the other data set": Case(
        {
            "variable": ["mean_wave_period", "2m_temprature", "temperature", "land_sea_mask", "orography"],
            "date": "2021-02-01",
            "time": "12:00",
            "pressure_level": "500",
            "area:": [1, 2, 3, 4],
        },
        [
            ("mean_wave_period", "absent", []),
            ("2m_temprature", "absent", []),
            ("temperature", "absent", []),
            ("land_sea_mask", "found", ["invariant/lsm"]),
            ("orography", "derived", ["invariant/z"]),
        ],
        ["2021-02-01"],
        [12],
        default=SINGLE,
        warnings=("no-levels", "unknown-key"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_request_is_translated(case: Case) -> None:
    (request,) = from_cds(case.text, case.default).requests
    expected = {
        "dataset": case.dataset,
        "supported": case.supported,
        "reason": request.reason,
        "dates": case.dates,
        "hours": case.hours,
        "levels": case.levels,
        "area": case.area,
        "point": case.point,
    }
    assert request.to_json() == expected
    assert bool(request.reason) is not case.supported
    found = [(item.asked, item.status.value, [v.name for v in item.variables]) for item in request.items]
    assert found == case.items
    assert all(item.reason for item in request.items if item.status is not Status.FOUND)
    kinds = {note.kind for note in request.warnings} - {"all-days"}
    assert kinds == set(case.warnings)
    assert request.is_complete is all(status != "absent" for _, status, _ in case.items)


def test_the_selection_is_that_of_the_request() -> None:
    translation = era5dl.from_cds(CASES["a script of the old CDS"].text)
    assert translation.selection == era5dl.select(
        ["2t", "tp"], start="2021-02-27", end="2021-02-28", hours=(0, 6), area="54/73/18/135"
    )
    objects = make_plan(translation.selection, MemoryBucket([]), today=date(2021, 3, 1)).missing
    assert [missing.key[-24:-3] for missing in objects] == ["2021020100_2021022823"] + 2 * ["2021021606_2021030106"]


def test_whole_months_of_all_hours_are_whole_files_and_single_days_are_not() -> None:
    request = {"variable": ["2t"], "year": 2021, "month": [1, 2], "day": list(range(1, 32)), "time": list(range(24))}
    assert from_cds(request, SINGLE).selection == era5dl.select("2t", start="2021-01-01", end="2021-02-28")
    request |= {"day": 5, "month": 1}
    days = {"start": "2021-01-05", "end": "2021-01-05"}
    assert from_cds(request, SINGLE).selection == era5dl.select("2t", **days, only_days=True)
    request |= {"variable": "t", "pressure_level": [1000]}
    assert from_cds(request, PRESSURE).selection == era5dl.select("an.pl/t", **days, levels=1000)


def test_requests_that_belong_together_become_one_selection() -> None:
    script = """
common = {"date": "2021-01-01/2021-01-02", "time": ["00:00"], "area": [50, 0, 40, 10]}
for name, level, values in (("single", None, ["2t", "lsm"]), ("pressure", 500, ["t"])):
    request = dict(common, variable=values)
    if level:
        request["pressure_level"] = [level]
    c.retrieve(f"reanalysis-era5-{name}-levels", request, name + ".nc")
"""
    translation = from_cds(script)
    assert len(translation.requests) == 2
    names = [variable.name for variable in translation.selection.variables]
    assert names == ["an.pl/t", "an.sfc/2t", "invariant/lsm"]
    assert translation.selection.subset.levels == (500,)


def test_a_loop_over_months_is_one_request_and_different_levels_are_two_selections() -> None:
    script = """
def fetch(year, month):
    c.retrieve("reanalysis-era5-single-levels", {"variable": "2t", "year": str(year), "month": "%02d" % month,
        "day": [str(d) for d in range(1, calendar.monthrange(year, month)[1] + 1)], "time": "00:00"}, f"{year}.nc")
for year in range(2019, 2021):
    for month in (1, 12):
        if year == 2019 and month == 1:
            continue
        fetch(year, month)
"""
    (request,) = from_cds(script).requests
    days = ((date(2019, 12, 1), date(2020, 1, 31)), (date(2020, 12, 1), date(2020, 12, 31)))
    assert request.days == days
    assert from_cds(script).selection.days == days
    asked = {"t": 500, "z": 1}
    levels = [{"variable": name, "pressure_level": level, "date": "2021-01-01"} for name, level in asked.items()]
    assert len(from_cds(levels).selections) == 2
    with pytest.raises(BadSelection, match="2 selections"):
        from_cds(levels).selection  # noqa: B018


NAMES = {variable.cds_name for variable in variables()} | {row["cds_name"] for row in facts.read_csv("absent.csv")}


@pytest.mark.parametrize("family", [Family.SINGLE, Family.PRESSURE])
def test_every_cds_name_is_found_derived_or_absent_with_a_reason(family: Family) -> None:
    """The data set decides: of the names on both, `geopotential` is another variable on pressure levels."""
    counts = dict.fromkeys(Status, 0)
    for name in sorted(NAMES):
        item = resolve(name, family)
        counts[item.status] += 1
        if item.status is Status.FOUND:
            assert bool(item.variables[0].product.levels_hpa) is (family is Family.PRESSURE)
            assert bool(item.reason) is (item.variables[0].product.cadence is Cadence.FIXED)
        else:
            assert item.reason
    assert counts[Status.FOUND] == sum(bool(v.product.levels_hpa) is (family is Family.PRESSURE) for v in variables())
    assert counts[Status.DERIVED] == (2 if family is Family.SINGLE else 0)  # tp and 10m_wind_speed
    assert {resolve(one.cds_name, Family.SINGLE).status for one in derived_variables()} == {Status.DERIVED}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"day": ["30", "31"], "month": "02"}, "None of these months has any of these days"),
        ({"month": 13}, "13 is not a month"),
        ({"year": "1939"}, "1939 is not a year"),
        ({"year": None, "date": "2021-02-30"}, "no 2021-02-30 in the calendar"),
        ({"year": None, "date": "2021-03-01/2021-02-01"}, "ends, 2021-02-01, before it begins"),
        ({"year": None, "date": "-5"}, "is not a date"),
        ({"date": "2021-05-01"}, "name different days"),
        ({"year": None}, "without “year”"),
        ({"year": None, "month": None, "day": None}, "no dates"),
        ({"time": "06:30"}, "no 06:30"),
        ({"time": ["24:00"]}, "no hour 24"),
        ({"time": "noon"}, "not an hour"),
        ({"time": "0/to/23/by/0"}, "must be a positive number"),
        ({"area": [1, 2, 3]}, "3 of 4 numbers"),
        ({"area": [10, 0, 20, 5]}, "north of north"),
        ({"area": [10.1, 0.1, 10.05, 0.2]}, "."),
        ({"area": [1, 2, 3, "x"]}, "not a number"),
        ({"location": {"latitude": 99, "longitude": 0}}, "Latitude is 99"),
        ({"location": [1, 2], "area": [2, 1, 1, 2]}, "Both"),
        ({"variable": []}, "names no variable"),
        ({"variable": [True]}, "not a value"),
        ({"Time": "00:00"}, "there twice"),
    ],
)
def test_values_that_cannot_be_are_errors(values: dict[str, Any], message: str) -> None:
    request = {"variable": "2t", "year": 2021, "month": 2, "day": 1, "time": "00:00"} | values
    with pytest.raises(BadSelection, match=message):
        from_cds({key: value for key, value in request.items() if value is not None}, SINGLE)


def test_levels_that_do_not_exist_are_errors_with_the_nearest() -> None:
    with pytest.raises(BadSelection, match="no level at 510") as caught:
        from_cds({"variable": "t", "pressure_level": [500, "510 hPa"], "date": "2021-01-01"}, PRESSURE)
    assert "500 hPa and 550 hPa" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "line", "marked"),
    [
        ("c.retrieve('x', {\n  'variable': 'a' 'year': 3})", 2, ""),
        ('{"variable": "2t",\n "year": }', 2, ""),
        ("c.retrieve('x',\n {'year': [1, now().year]})", 2, "now()"),
        ("import os\nc.retrieve('x', {'date': os.environ['D']})", 2, "os"),
        ("def f(day):\n    c.retrieve('é', {'é': 'é', 'date': day})", 1, "day):"),
        ("y = sys.argv[1]\nr = {'é': 'é', 'year': y}\nc.retrieve('x', r)", 1, "sys.argv"),
        ("c.retrieve('x', {'é': 'é', 'date': day()})", 1, "day()"),
        ("c.retrieve('reanalysis-era5-single-levels', {'variable': '2t',\n  'date': '2021-02-31'})", 2, "'2021"),
        (
            "c.retrieve('reanalysis-era5-single-levels', {'variable': '2t', 'date': '2021-02-01',\n'time': '1:30'})",
            2,
            "'1",
        ),
        ("r = {}\nr['date'] = 5\nr['variable'] = ['2t']\nc.retrieve('reanalysis-era5-single-levels', r)", 2, "5"),
    ],
)
def test_errors_show_line_and_caret(text: str, line: int, marked: str) -> None:
    with pytest.raises(BadSelection) as caught:
        from_cds(text)
    first, shown, caret = str(caught.value).split("\n")
    assert first.startswith(f"Line {line}: ")
    assert shown[caret.index("^") :].startswith(marked)
    assert caught.value.remedy


TOWER = "a = [1] * 99\nb = [2] * 99\n" + "a = [a] * 99\nb = [b] * 99\n" * 9
"""Lists in lists: few objects, but 99**10 values for whoever visits all of them."""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "hello world",
        "42",
        "[]",
        "{}",
        "[1, 2]",
        "\0\1\2",
        "\udcff",
        "x" * (10 << 20),
        "[" * 90 + "]" * 90,
        "[" * 100_000,
        "-" * 100_000 + "1",
        "a" + ".b" * 100_000,
        "1" + "+1" * 100_000,
        "{'a':" * 5_000,
        '{"year": ' * 50 + "1" + "}" * 50,
        "c.retrieve('x', {'year': [0] * 10**9})",
        "c.retrieve('x', {'year': '0' * 1000000000})",
        "c.retrieve('x', {'year': list(range(10**12))})",
        "c.retrieve('x', {'year': f'{1:1000000000}'})",
        "c.retrieve('x', {'year': '%999999999d' % 1})",
        "c.retrieve('x', {'year': '{:>999999999}'.format(1)})",
        "c.retrieve('x', {'year': '{0.__class__}'.format(1)})",
        "c.retrieve('x', {'year': 'a'.replace('', 'b' * 99999)})",
        "a = 'x' * 99999\nfor i in range(99999):\n    a = a + a\nc.retrieve('x', {'year': a})",
        *(
            f"{TOWER}c.retrieve('x', {{'year': {value}}})"
            for value in ("a", "[a, 1]", "str(a)", "f'{a!r}'", "f'{a}'", "'%s' % a", "'{}'.format(a)", "'/'.join(a)")
        ),
        *(
            f"{TOWER}c.retrieve('x', {{'year': {value}}})"
            for value in ("a == b", "min(a, b)", "sorted([a, b])", "1 if a < b else 2", "a in [b]", "set(a)")
        ),
        "a = [1]\na.append(a)\nc.retrieve('x', {'year': a})",
        "b = list(range(99999))\nc.retrieve('x', {'year': [i for i in b if 1.5 in b]})",
        "c.retrieve('x', {'year': [a for a in range(9999) for b in range(9999)]})",
        "for i in range(99999):\n    c.retrieve('x', {'year': i})",
        "def f(x):\n    f(x)\n    f(x)\nf(1)",
        "while True:\n    pass",
        "c.retrieve('x', {'year': (lambda: 1)()})",
        "c.retrieve('x', __import__('os').system('touch PWNED'))",
        "c.retrieve('x', {'year': ().__class__.__bases__[0].__subclasses__()})",
        "c.retrieve(exec('1'), {'year': eval('1')})",
        "c.retrieve('x', {'year': open('/etc/passwd').read()})",
    ],
    ids=lambda text: repr(text[:9] + text[-40:]),
)
def test_hostile_texts_are_refused_at_once(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_values, "MAX_STEPS", 20_000)
    began = time.process_time()
    with pytest.raises(BadSelection) as caught:
        from_cds(text)
    assert time.process_time() - began < 2
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("```python\n", "\n```"),
        ("%matplotlib inline\n!pip install cdsapi\n", ""),
        ("\ufeff", ""),
        ("    ", ""),
        ("if __name__ == '__main__':\n    ", ""),
        ("try:\n    ", "\nexcept Exception as error:\n    print(error)"),
        (">>> ", ""),
        ("with open('log') as log:\n    ", ""),
        ("async def main():\n    await asyncio.sleep(1)\n    ", ""),
    ],
)
def test_what_surrounds_a_request_is_no_hindrance(before: str, after: str) -> None:
    call = f"c.retrieve(name='{SINGLE}', request=dict(variable='2t', date='2021-01-01', time='00:00'), target=path)"
    (raw,) = read_requests(before + call + after)
    assert (raw.dataset, raw.values["variable"]) == (SINGLE, "2t")


def test_notebooks_dates_and_numbers_that_are_not() -> None:
    call = f"c.retrieve('{SINGLE}', dict(variable='2t', date='2021-01-01'))"
    cells = [{"cell_type": "markdown", "source": "# x"}, {"cell_type": "code", "source": ["%time 1\n", call]}]
    (raw,) = read_requests(json.dumps({"cells": cells, "metadata": {}}))
    assert raw.dataset == SINGLE
    request = {"variable": "2t", "date": [date(2021, 1, 1), datetime(2021, 1, 2, 5)], "time": range(24)}
    assert from_cds(request, SINGLE).requests[0].days == ((date(2021, 1, 1), date(2021, 1, 2)),)
    for value in (float("nan"), float("inf")):
        with pytest.raises(BadSelection, match="not a value"):
            from_cds(request | {"grid": value}, SINGLE)


@pytest.mark.parametrize(
    "text",
    [
        f"'{SINGLE}', {{'variable': '2t', 'date': '2021-01-01'}}, 'x.nc'",
        f'["{SINGLE}", {{"variable": "2t", "date": "2021-01-01", "nocache": true}}]',
        f'{{"inputs": {{"variable": "2t", "date": "2021-01-01"}}, "collection_id": "{SINGLE}"}}',
        f"dataset = '{SINGLE}'\nrequest = {{'variable': '2t', 'date': '2021-01-01'}}",
        f"client.submit('{SINGLE}', {{“variable”: “2t”, ‘date’: ‘2021-01-01’}})",
        f"earthkit.data.from_source('cds', '{SINGLE}', variable='2t', date='2021-01-01')",
        f"keys = dict(variable='2t')\nkeys.update({{'date': '2021-01-01'}})\nc.retrieve('{SINGLE}', {{**keys}}, 'x')",
        f"def go(day):\n  c.retrieve('{SINGLE}', {{'variable': '2t', 'date': day}})\npool.map(go, ['2021-01-01'])",
        f"days = []\nfor n in [1]:\n  days.append('2021-01-' + str(n).zfill(2))\n"
        f"c.retrieve('{SINGLE}', {{'variable': '2t', 'date': days}})",
    ],
)
def test_ways_to_write_a_request(text: str) -> None:
    request = translate(read_requests(text)[0], today=date(2026, 1, 1))
    assert request.dataset == SINGLE
    assert [item.asked for item in request.items] == ["2t"]
    assert request.days == ((date(2021, 1, 1), date(2021, 1, 1)),)


def test_recent_dates_and_the_first_day_are_warned_of() -> None:
    (raw,) = read_requests({"variable": ["tp"], "date": ["1940-01-01", "2025-12-01"], "time": "0"}, SINGLE)
    kinds = {note.kind for note in translate(raw, today=date(2026, 1, 1)).warnings}
    assert kinds == {"forecasts", "first-day", "recent"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"levtype": "ml", "levelist": "1/to/137"}, "model-levels"),
        ({"stream": "enda", "levtype": "sfc"}, "ensemble"),
        ({"stream": "moda", "levtype": "sfc"}, "monthly-means"),
        ({"stream": "wave", "levtype": "sfc"}, "waves"),
        ({"class": "od", "levtype": "sfc"}, "other-dataset"),
        ({"levtype": "pv", "levelist": "2000"}, "levtype"),
    ],
)
def test_what_the_complete_data_set_has_beyond_this_bucket_is_refused(values: dict[str, str], kind: str) -> None:
    (request,) = from_cds({"param": "130", "date": "2021-01-01", "time": "00"} | values).requests
    assert (request.supported, request.refusal.kind) == (False, kind)
    with pytest.raises(BadSelection, match="Nothing of this request"):
        from_cds({"param": "130", "date": "2021-01-01"} | values).selection  # noqa: B018


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reanalysis-era5-single-level", "unknown-dataset"),
        ("derived-era5-single-levels-daily-statistics", "daily-statistics"),
        ("cams-global-reanalysis-eac4", "other-dataset"),
        ("reanalysis-era5-land-timeseries", "era5-land"),
    ],
)
def test_other_data_sets_are_refused_with_a_reason(name: str, kind: str) -> None:
    (request,) = from_cds({"variable": ["2t"], "statistic": "nonsense", "date": "nonsense"}, name).requests
    assert (request.supported, request.refusal.kind, request.to_json()["dates"]) == (False, kind, [])


def test_steps_of_forecasts_are_valid_times() -> None:
    values = {"levtype": "sfc", "type": "fc", "param": "tp", "date": "2021-01-01", "time": "18", "step": "5/6/7"}
    (request,) = from_cds(values).requests
    assert request.hours == (0, 1, 23)
    assert request.days == ((date(2021, 1, 1), date(2021, 1, 2)),)


REQUEST = "{'variable': '2m_temperature', 'year': y, 'month': '01', 'day': '01', 'time': '00:00'}"
RETRIEVE = f"c.retrieve('reanalysis-era5-single-levels', {REQUEST}, 'x.nc')"
CONTROL = {
    "while": (f"y = 2018\nwhile y <= 2020:\n    {RETRIEVE}\n    y = y + 1", [2018, 2019, 2020]),
    "while True": (f"y = 2018\nwhile True:\n    if y > 2019: break\n    {RETRIEVE}\n    y += 1", [2018, 2019]),
    "retried": (
        f"y = 2018\nwhile True:\n    try:\n        {RETRIEVE}\n        break\n    except OSError: wait()",
        [2018],
    ),
    "continue in with": (
        f"for y in range(2018, 2022):\n    with open('log') as f:\n        if y < 2020: continue\n    {RETRIEVE}",
        [2020, 2021],
    ),
    "walrus": (f"y = 2018\n(y := 2021)\n{RETRIEVE}", [2021]),
    "global": (f"y = 2018\ndef g():\n    global y\n    y = 2021\ng()\n{RETRIEVE}", [2021]),
    "del": (
        f"r = {REQUEST.replace('y,', '2018,')}\nr['year'] = [2018, 2021]\ndel r['year'][0]\nc.retrieve(D, r)",
        [2021],
    ),
    "unknown test, same value": (f"import sys\ny = 2018\nif sys.argv: y = 2018\n{RETRIEVE}", [2018]),
    "while of unknown length": (f"y = 2018\nwhile more():\n    {RETRIEVE}\n    y += 1", None),
    "break of unknown time": (f"y = 2018\nwhile True:\n    {RETRIEVE}\n    y += 1\n    if late(): break", None),
    "endless": (f"y = 2018\nwhile True:\n    y = y\n{RETRIEVE}", None),
    "unknown test": (f"import sys\ny = 2018\nif len(sys.argv) > 1: y = 2021\n{RETRIEVE}", None),
    "unknown test, changed in place": (f"y = [2018]\nif late(): y.append(2021)\n{RETRIEVE}", None),
    "unknown key": (f"r = {REQUEST.replace('y,', '2018,')}\nr[k()] = 2021\nc.retrieve('x', r)", None),
    "slice": (f"y = [2018, 2019]\ny[0:1] = [2021]\n{RETRIEVE}", None),
    "del of a variable": (f"y = 2018\ndel y\n{RETRIEVE}", None),
    "module of the same name": (f"y = 2018\nimport numpy as y\n{RETRIEVE}", None),
    "match": (f"y = 2018\nmatch late():\n    case 1: y = 2021\n{RETRIEVE}", None),
    "assigned when an error occurs": (f"y = 2018\ntry: late()\nexcept OSError: y = 2021\n{RETRIEVE}", None),
    "list extended in place": (f"y = [2018]\nr = {REQUEST}\ny += [2021]\nc.retrieve(D, r)", [2018, 2021]),
    "list cleared": (f"y = [2018]\ny.clear()\n{RETRIEVE}", None),
}


@pytest.mark.parametrize("name", CONTROL)
def test_control_flow_of_scripts_is_followed_or_refused(name: str) -> None:
    """Never other years than those that running the script would request."""
    script, years = CONTROL[name]
    script = "D = 'reanalysis-era5-single-levels'\n" + script
    if years is None:
        with pytest.raises(BadSelection):
            from_cds(script)
        return
    found = [request.days for request in from_cds(script).requests]
    assert sorted({day.year for days in found for span in days for day in span}) == years
