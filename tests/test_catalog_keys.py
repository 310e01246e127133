"""Tests of keys: file names, periods and calendar rules of each product."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.catalog import (
    Cadence,
    find_product,
    find_variable,
    key_of,
    parse_key,
    period_of,
    periods,
    products,
    variables,
)

EXAMPLES = [
    line.split()[1]
    for line in (Path(__file__).with_name("example_keys.txt")).read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
FORECASTS = [p for p in products() if p.cadence is Cadence.HALF_MONTH]
ANALYSES = [p for p in products() if p.cadence in (Cadence.DAY, Cadence.MONTH)]
HOUR = timedelta(hours=1)

days = st.dates(date(1940, 1, 1), date(2049, 12, 31))


def keys(variable: str, first: str, last: str) -> list[str]:
    found = find_variable(variable)
    return [key_of(found, p) for p in periods(found.product, date.fromisoformat(first), date.fromisoformat(last))]


def stamps(variable: str, first: str, last: str) -> list[str]:
    return [key.rsplit(".", 2)[1] for key in keys(variable, first, last)]


def test_there_are_56_examples():
    assert len(set(EXAMPLES)) == 56


@pytest.mark.parametrize("key", EXAMPLES)
def test_every_example_key_is_predicted(key):
    parsed = parse_key(key)
    assert parsed is not None
    assert parsed.variable is not None
    day = parsed.end.date()
    made = [key_of(parsed.variable, p) for p in periods(parsed.product, day, day)]
    assert key in made


def test_pressure_level_files_are_daily_and_the_wind_is_on_the_uv_grid():
    assert keys("an.pl/u", "2023-01-01", "2023-01-02") == [
        "e5.oper.an.pl/202301/e5.oper.an.pl.128_131_u.ll025uv.2023010100_2023010123.nc",
        "e5.oper.an.pl/202301/e5.oper.an.pl.128_131_u.ll025uv.2023010200_2023010223.nc",
    ]
    assert ".ll025sc." in keys("an.sfc/100u", "2023-01-01", "2023-01-01")[0]


@pytest.mark.parametrize(("month", "last"), [("2023-02", "28"), ("2024-02", "29"), ("1900-02", ""), ("2000-02", "29")])
def test_monthly_files_end_on_the_last_day_also_in_leap_years(month, last):
    if not last:  # before ERA5 there are no files
        assert keys("2t", f"{month}-01", f"{month}-28") == []
        return
    compact = month.replace("-", "")
    assert stamps("2t", f"{month}-05", f"{month}-06") == [f"{compact}0100_{compact}{last}23"]


def test_one_calendar_month_needs_three_forecast_files():
    assert keys("fc.sfc.accumu/lsp", "2025-01-01", "2025-01-31") == [
        "e5.oper.fc.sfc.accumu/202412/e5.oper.fc.sfc.accumu.128_142_lsp.ll025sc.2024121606_2025010106.nc",
        "e5.oper.fc.sfc.accumu/202501/e5.oper.fc.sfc.accumu.128_142_lsp.ll025sc.2025010106_2025011606.nc",
        "e5.oper.fc.sfc.accumu/202501/e5.oper.fc.sfc.accumu.128_142_lsp.ll025sc.2025011606_2025020106.nc",
    ]


@pytest.mark.parametrize(
    ("valid", "stamp"),
    [
        ("2025-01-01T00", "2024121606_2025010106"),
        ("2025-01-01T06", "2024121606_2025010106"),
        ("2025-01-01T07", "2025010106_2025011606"),
        ("2025-01-16T06", "2025010106_2025011606"),
        ("2025-01-16T07", "2025011606_2025020106"),
        ("2024-03-01T06", "2024021606_2024030106"),
        ("2023-03-01T06", "2023021606_2023030106"),
        ("1940-01-01T07", "1940010106_1940011606"),
    ],
)
@pytest.mark.parametrize("product", FORECASTS, ids=str)
def test_the_file_of_a_forecast_hour_is_chosen_by_its_initial_time(product, valid, stamp):
    assert period_of(product, datetime.fromisoformat(valid + ":00")).stamp == stamp


def test_forecast_time_stamps_exclude_the_start():
    period = period_of(find_product("accumu"), datetime(2025, 1, 10))
    assert period.start not in period
    assert period.start + HOUR in period
    assert period.end in period
    assert period.end + HOUR not in period


def test_forecasts_start_with_the_first_initial_time():
    assert stamps("cp", "1940-01-01", "1940-01-01") == ["1940010106_1940011606"]
    assert stamps("cp", "1940-01-01", "1940-01-31") == ["1940010106_1940011606", "1940011606_1940020106"]
    assert find_product("accumu").first_hour == datetime(1940, 1, 1, 7)


def test_there_are_no_files_before_1940():
    for product in (*FORECASTS, *ANALYSES):
        assert list(periods(product, date(1930, 1, 1), date(1939, 12, 31))) == []
    assert stamps("2t", "1939-12-01", "1940-01-02") == ["1940010100_1940013123"]


@pytest.mark.parametrize("day", ["1940-05-05", "1979-01-01", "2024-02-29"])
def test_an_invariant_has_one_file_for_all_dates(day):
    assert keys("invariant/z", day, day) == [
        "e5.oper.invariant/197901/e5.oper.invariant.128_129_z.ll025sc.1979010100_1979010100.nc"
    ]


@given(st.sampled_from(FORECASTS + ANALYSES), days, st.integers(0, 70), st.data())
def test_every_valid_hour_is_in_exactly_one_planned_file(product, first, length, data):
    last = min(first + timedelta(days=length), date(2049, 12, 31))
    planned = list(periods(product, first, last))
    begin, until = datetime(first.year, first.month, first.day), datetime(last.year, last.month, last.day, 23)
    hour = begin + HOUR * data.draw(st.integers(0, int((until - begin) / HOUR)))
    holding = [p for p in planned if hour in p]
    assert len(holding) == (0 if hour < product.first_hour else 1)
    if holding:
        assert holding == [period_of(product, hour)]
    if product.cadence is Cadence.HALF_MONTH:
        assert all(p.start < hour <= p.end for p in holding)
    else:
        assert all(p.start <= hour <= p.end for p in holding)


@given(st.sampled_from(FORECASTS + ANALYSES), days, st.integers(0, 400))
def test_every_planned_file_contains_a_requested_hour(product, first, length):
    last = min(first + timedelta(days=length), date(2049, 12, 31))
    planned = list(periods(product, first, last))
    begin, until = datetime(first.year, first.month, first.day), datetime(last.year, last.month, last.day, 23)
    assert planned, "every day of ERA5 is in some file"
    assert all(p.first_valid <= until and p.end >= begin for p in planned)
    assert all(a.end < b.first_valid for a, b in pairwise(planned)), "in order, never overlapping"


@given(st.sampled_from(variables()), days)
def test_parse_key_inverts_key_of(variable, day):
    for period in periods(variable.product, day, day):
        parsed = parse_key(key_of(variable, period))
        assert parsed is not None
        assert parsed.variable == variable
        assert (parsed.start, parsed.end, parsed.folder) == (period.start, period.end, period.folder)


@pytest.mark.parametrize(
    "key",
    [
        "index.html",
        "e5.oper.an.pl/",
        "e5.oper.an.pl/202301/",
        "",
        "e5.oper.an.pl/202301/e5.oper.an.sfc.128_130_t.ll025sc.2023010100_2023010123.nc",  # two products
        "e5.oper.an.pl/202302/e5.oper.an.pl.128_130_t.ll025sc.2023010100_2023010123.nc",  # another month's folder
        "e5.oper.an.pl/202301/e5.oper.an.pl.128_130_t.ll025sc.2023013200_2023013223.nc",  # no such day
        "e5.oper.an.pl/202301/e5.oper.an.pl.128_130_t.ll025sc.2023010100_2022010123.nc",  # ends before it begins
        "e5.oper.an.ml/202301/e5.oper.an.ml.128_130_t.ll025sc.2023010100_2023010123.nc",  # not a product of the bucket
        "e5.oper.an.pl/202301/e5.oper.an.pl.128_130_t.ll025sc.2023010100_2023010123.nc\n",
        "x/e5.oper.an.pl/202301/e5.oper.an.pl.128_130_t.ll025sc.2023010100_2023010123.nc",
        "e5.oper.an.pl/202301/e5.oper.an.pl.128_130_t.regn320sc.2023010100_2023010123.nc",
    ],
)
def test_other_keys_are_not_parsed(key):
    assert parse_key(key) is None


def test_a_key_of_an_unknown_variable_is_parsed_without_a_variable():
    parsed = parse_key("e5.oper.an.sfc/202301/e5.oper.an.sfc.128_228_tp.ll025sc.2023010100_2023013123.nc")
    assert parsed is not None
    assert parsed.variable is None


def test_a_variable_is_identified_by_numbers_and_short_name():
    """246 is clwc in table 128 and 100u in table 228, so table, number and short name must match."""
    parsed = parse_key("e5.oper.an.pl/202301/e5.oper.an.pl.228_246_clwc.ll025sc.2023010100_2023010123.nc")
    assert parsed is not None
    assert parsed.variable is None
