"""Names of keys for people: variable and period."""

from __future__ import annotations

from datetime import date

import pytest

from era5dl.catalog.key_names import describe_days, describe_key, display_name, name_and_key

NAMES = {
    "e5.oper.an.sfc/202102/e5.oper.an.sfc.128_167_2t.ll025sc.2021020100_2021022823.nc": "2 m temperature, Feb 2021",
    "e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.2021020100_2021020123.nc": "Temperature, 1 Feb 2021",
    "e5.oper.fc.sfc.accumu/202102/e5.oper.fc.sfc.accumu.128_142_lsp.ll025sc.2021020106_2021021606.nc": (
        "Large-scale precipitation, 1 to 15 Feb 2021"
    ),
    "e5.oper.fc.sfc.accumu/202112/e5.oper.fc.sfc.accumu.128_142_lsp.ll025sc.2021121606_2022010106.nc": (
        "Large-scale precipitation, 16 to 31 Dec 2021"
    ),
    "e5.oper.invariant/197901/e5.oper.invariant.128_172_lsm.ll025sc.1979010100_1979010100.nc": "Land-sea mask",
    "e5.oper.an.sfc/202102/e5.oper.an.sfc.128_999_xyz.ll025sc.2021020100_2021021523.nc": "xyz, 1 to 15 Feb 2021",
}


@pytest.mark.parametrize(("key", "name"), NAMES.items())
def test_a_key_has_the_name_of_its_variable_and_period(key, name):
    assert display_name(key) == name
    assert name_and_key(key) == f"{name} ({key})"


@pytest.mark.parametrize("key", ["index.html", "", "e5.oper.an.sfc/202102/", "e5.oper.an.sfc/2t.nc", "a\nb"])
def test_a_key_that_is_not_of_era5_is_shown_as_it_is(key):
    assert describe_key(key) is None
    assert display_name(key) == name_and_key(key) == key


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (date(2020, 2, 1), date(2020, 2, 29), "Feb 2020"),
        (date(2020, 2, 1), date(2020, 2, 28), "1 to 28 Feb 2020"),
        (date(2020, 12, 31), date(2021, 1, 1), "31 Dec 2020 to 1 Jan 2021"),
        (date(2021, 1, 30), date(2021, 2, 2), "30 Jan to 2 Feb 2021"),
        (None, None, ""),
    ],
)
def test_days_are_described_as_shortly_as_possible(first, last, text):
    assert describe_days(first, last) == text
