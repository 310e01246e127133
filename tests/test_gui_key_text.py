"""Names of files in the languages of the window."""

from __future__ import annotations

from datetime import date

import pytest

from era5dl.gui.text import i18n, key_text

MONTH = "e5.oper.an.sfc/202102/e5.oper.an.sfc.128_167_2t.ll025sc.2021020100_2021022823.nc"
HALF = "e5.oper.fc.sfc.accumu/202102/e5.oper.fc.sfc.accumu.128_142_lsp.ll025sc.2021020106_2021021606.nc"
FIXED = "e5.oper.invariant/197901/e5.oper.invariant.128_172_lsm.ll025sc.1979010100_1979010100.nc"


@pytest.fixture
def chinese():
    i18n.switch("zh_CN")
    yield
    i18n.switch("en")


def test_a_file_is_named_by_variable_and_period():
    assert key_text.name(MONTH) == "2 m temperature, Feb 2021"
    assert key_text.name(HALF) == "Large-scale precipitation, 1 to 15 Feb 2021"
    assert key_text.name(FIXED) == "Land-sea mask"
    assert key_text.name("notes/readme.txt") == "notes/readme.txt"
    assert key_text.days(date(2020, 12, 31), date(2021, 1, 1)) == "31 Dec 2020 to 1 Jan 2021"


def test_names_are_translated(chinese):
    assert key_text.name(MONTH) == "2 米气温，2021 年 2 月"
    assert key_text.name(HALF) == "大尺度降水，2021 年 2 月 1–15 日"
    assert key_text.days(date(2021, 2, 3), date(2021, 2, 3)) == "2021 年 2 月 3 日"
