"""Tests of selections and their canonical form."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.catalog import find_preset, variables
from era5dl.days import FIRST_DAY, LAST_DAY, days_until, is_open, parse_date, select_days
from era5dl.errors import AmbiguousName, BadSelection, UnknownName
from era5dl.selection import Selection, select_variables
from era5dl.subset.selection import Subset

JANUARY = select_days(start="2021-01-01", end="2021-01-31")
era5_days = st.dates(FIRST_DAY, LAST_DAY)
spans = st.tuples(era5_days, st.integers(0, 900)).map(lambda s: (s[0], min(s[0] + timedelta(days=s[1]), LAST_DAY)))
selections = st.builds(
    Selection,
    st.lists(st.sampled_from(variables()), min_size=1).map(tuple),
    st.lists(spans, min_size=1, max_size=6).map(tuple),
)


def days_in(days) -> set[date]:
    return {first + timedelta(days=n) for first, last in days for n in range((last - first).days + 1)}


def test_start_and_end_are_included():
    assert select_days(start="2021-02-01", end="2021-02-28") == ((date(2021, 2, 1), date(2021, 2, 28)),)
    assert select_days(start=date(2021, 2, 1), end="2021-02-01") == ((date(2021, 2, 1), date(2021, 2, 1)),)
    assert select_days() == ()


def test_years_months_and_days():
    assert select_days(years=[2020]) == ((date(2020, 1, 1), date(2020, 12, 31)),)
    assert select_days(years=[2020, 2021]) == ((date(2020, 1, 1), date(2021, 12, 31)),)
    assert select_days(years=["2020"], months=["6-8"]) == ((date(2020, 6, 1), date(2020, 8, 31)),)
    assert select_days(years=["2020,2022"], months=[2], days=[1, "28-29"]) == (
        (date(2020, 2, 1), date(2020, 2, 1)),
        (date(2020, 2, 28), date(2020, 2, 29)),
        (date(2022, 2, 1), date(2022, 2, 1)),
        (date(2022, 2, 28), date(2022, 2, 28)),
    )


def test_days_that_a_month_does_not_have_are_ignored():
    days = select_days(years=[2021], days=[31])
    assert [first.month for first, _ in days] == [1, 3, 5, 7, 8, 10, 12]


@pytest.mark.parametrize(
    "arguments",
    [
        {"years": [2021], "months": [2], "days": [30, 31]},
        {"years": [2021], "months": [2], "days": [29]},
        {"start": "2021-01-01", "end": "2021-01-31", "months": [2]},
        {"start": "2021-01-01", "end": "2021-01-31", "years": [2020]},
    ],
)
def test_arguments_without_any_day_are_refused(arguments):
    with pytest.raises(BadSelection, match="No such day"):
        select_days(**arguments)


def test_months_restrict_a_range():
    days = select_days(start="2000-07-15", end="2002-06-10", months=[6, 7])
    assert days == (
        (date(2000, 7, 15), date(2000, 7, 31)),
        (date(2001, 6, 1), date(2001, 7, 31)),
        (date(2002, 6, 1), date(2002, 6, 10)),
    )


@given(
    st.sets(st.integers(1940, 2049), min_size=1, max_size=4), st.sets(st.integers(1, 12)), st.sets(st.integers(1, 31))
)
def test_years_months_and_days_agree_with_the_calendar(years, months, days):
    expected = {
        day
        for year in years
        for day in (date(year, 1, 1) + timedelta(days=n) for n in range(366))
        if day.year == year and (not months or day.month in months) and (not days or day.day in days)
    }
    if not expected:
        with pytest.raises(BadSelection):
            select_days(years=list(years), months=list(months), days=list(days))
    else:
        assert days_in(select_days(years=list(years), months=list(months), days=list(days))) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": "2021-01-02", "end": "2021-01-01"}, "before the start"),
        ({"start": "1939-12-31", "end": "1940-01-02"}, "begins on 1940-01-01"),
        ({"years": [1939]}, "1939"),
        ({"start": "2202-01-01", "end": "2202-01-02"}, "future"),
        ({"start": "2021-01-01"}, "both"),
        ({"end": "2021-01-01"}, "both"),
        ({"months": [1]}, "need years"),
        ({"days": [1]}, "need years"),
        ({"years": ["last"]}, "not a year"),
        ({"years": ["2005-2000"]}, "not a year between"),
        ({"years": [2020], "months": [13]}, "not a month"),
        ({"years": [2020], "months": [0]}, "not a month"),
        ({"years": [2020], "days": [32]}, "not a day"),
        ({"years": [2020], "days": [-1]}, "not a day"),
        ({"years": [""]}, "not a year"),
    ],
)
def test_invalid_dates_and_numbers_are_refused(arguments, message):
    with pytest.raises(BadSelection, match=message):
        select_days(**arguments)


@pytest.mark.parametrize("text", ["2021-02-29", "2021-13-01", "2021-00-10", "0000-01-01", "2021-04-31"])
def test_nonexistent_date_is_refused(text):
    with pytest.raises(BadSelection, match="calendar") as caught:
        parse_date(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text", ["", "2021", "2021-02", "20210228", "28.02.2021", "2021-02-28T00", "२०२१-०२-०१", "tomorrow"]
)
def test_text_that_is_not_a_date_is_refused(text):
    with pytest.raises(BadSelection, match="not a date") as caught:
        parse_date(text)
    assert "YYYY-MM-DD" in caught.value.remedy


def test_valid_dates_are_parsed():
    assert parse_date(" 2021-2-8 ") == date(2021, 2, 8)
    assert parse_date(datetime(2021, 2, 8, 23)) == date(2021, 2, 8)
    assert type(parse_date(datetime(2021, 2, 8, 23))) is date


def test_select_variables_by_names_and_presets():
    assert [v.name for v in select_variables(["t2m", "2t", "an.pl/t"])] == ["an.sfc/2t", "an.pl/t"]
    assert select_variables(presets=["wrf"]) == find_preset("wrf").variables
    assert select_variables(["tcwv"], presets=["pangu"])[-1].name == "an.sfc/tcwv"
    assert select_variables(["z"], product="invariant")[0].name == "invariant/z"
    with pytest.raises(AmbiguousName):
        select_variables(["z"])
    with pytest.raises(UnknownName):
        select_variables(["2t"], product="an.pl")


def test_equivalent_selections_are_equal():
    one = Selection(select_variables(["2t", "t", "2t"]), select_days(years=[2021], months=["1-12"]))
    other = Selection(select_variables(["an.pl/t", "t2m"]), select_days(start="2021-01-01", end="2021-12-31"))
    assert one == other
    assert one.to_json() == other.to_json()
    assert [v.name for v in one.variables] == ["an.pl/t", "an.sfc/2t"]
    assert [p.name for p in one.products] == ["an.pl", "an.sfc"]


def test_adjacent_and_overlapping_ranges_are_merged():
    days = (
        (date(2021, 1, 5), date(2021, 1, 9)),
        (date(2021, 1, 1), date(2021, 1, 4)),
        (date(2021, 1, 2), date(2021, 1, 3)),
    )
    assert Selection(select_variables(["2t"]), days).days == ((date(2021, 1, 1), date(2021, 1, 9)),)


def test_invariants_need_no_dates():
    alone = Selection(select_variables(["lsm", "invariant/z"]))
    assert alone.days == ()
    assert alone == Selection(select_variables(["lsm", "invariant/z"]), JANUARY)
    with pytest.raises(BadSelection, match="No day"):
        Selection(select_variables(["lsm", "2t"]))


def test_subsets_have_the_days_of_the_selection():
    whole = Selection(select_variables(["2t"]), JANUARY)
    some_hours = Selection(select_variables(["2t"]), JANUARY, Subset(hours=(0, 12), levels=(500,)))
    assert some_hours.subset == Subset(hours=(0, 12), days=JANUARY)
    assert "subset" not in whole.to_json()  # the ids of sessions are derived from it
    assert Selection.from_json(some_hours.to_json()) == some_hours
    assert Selection(select_variables(["2t"]), JANUARY, Subset(levels=(500,))) == whole
    with pytest.raises(BadSelection):
        Selection(select_variables(["2t"]), JANUARY, Subset(days=((date(2020, 1, 1), date(2020, 1, 1)),)))


def test_selection_without_variables_is_refused():
    with pytest.raises(BadSelection, match="No variable"):
        Selection((), JANUARY)


def test_days_before_era5_are_refused():
    with pytest.raises(BadSelection, match="1940-01-01"):
        Selection(select_variables(["2t"]), ((date(1939, 1, 1), date(1950, 1, 1)),))


@given(selections)
def test_json_round_trip(selection):
    text = json.dumps(selection.to_json())
    assert Selection.from_json(json.loads(text)) == selection


@given(selections)
def test_days_are_sorted_and_disjoint(selection):
    days = selection.days
    assert all(first <= last for first, last in days)
    assert all((b[0] - a[1]).days > 1 for a, b in pairwise(days))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.just("an.sfc/2t")
    | st.just("2021-01-01"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["variables", "days", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(json_values)
def test_arbitrary_json_raises_bad_selection_only(value):
    try:
        Selection.from_json(value)
    except BadSelection as error:
        assert str(error)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"variables": "an.sfc/2t", "days": []},
        {"variables": [1], "days": []},
        {"variables": ["an.sfc/2t"], "days": "2021"},
        {"variables": ["an.sfc/2t"], "days": [["2021-01-01"]]},
        {"variables": ["an.sfc/2t"], "days": [["2021-01-02", "2021-01-01"]]},
        {"variables": ["an.sfc/2t"], "days": [["2021-01-02", 5]]},
        {"variables": ["an.sfc/2t"], "days": [["1800-01-02", "1801-01-01"]]},
        {"variables": ["an.sfc/2t"], "days": [["2021-01-01", "9999-12-31"]]},
        {"variables": ["an.sfc/2t"], "days": []},
        {"variables": ["an.sfc/2t"], "days": [["2021-01-01", "2021-01-01"]], "subset": None},
        {"variables": ["an.sfc/2t"], "days": [["2021-01-01", "2021-01-01"]], "subset": {"hours": [24]}},
        {"variables": [], "days": []},
        {"variables": ["tp"], "days": []},
        {"variables": ["z"], "days": []},
    ],
)
def test_invalid_json_is_refused(value):
    with pytest.raises(BadSelection):
        Selection.from_json(value)


def test_a_derived_name_selects_what_it_is_computed_from():
    assert [v.name for v in select_variables(["tp", "cp"])] == ["fc.sfc.accumu/lsp", "fc.sfc.accumu/cp"]
    assert [v.name for v in select_variables(["orography", "z"], product="invariant")] == ["invariant/z"]
    with pytest.raises(UnknownName, match=r"tp .* is not in this bucket"):
        select_variables(["tp"], product="an.sfc")


def test_selection_that_ends_in_latest_has_no_end():
    days = select_days(start="2021-01-01", end="Latest")
    assert is_open(days)
    assert days_until(days, date(2021, 3, 5)) == ((date(2021, 1, 1), date(2021, 3, 5)),)
    summers = select_days(start="2021-01-01", end="latest", months=["6-8"])
    assert is_open(summers), "the months left out at the end do not matter"
    assert days_until(summers, date(2022, 6, 1))[1:] == ((date(2022, 6, 1), date(2022, 6, 1)),)
    assert not is_open(JANUARY) and not is_open(())
    assert is_open(Selection.from_json(Selection(select_variables(["2t"]), days).to_json()).days)
    with pytest.raises(BadSelection, match="Only the end"):
        select_days(start="latest", end="latest")
