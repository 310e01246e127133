"""The preset wrf against the files that NCAR's era5_to_int opens for pressure levels."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from era5dl.catalog import find_preset, key_of, periods
from era5dl.days import select_days
from era5dl.planner import make_plan
from era5dl.planner.wrf import check_wrf, expected_keys, wrf_lines
from era5dl.selection import Selection
from era5dl.subset.selection import Subset
from tests.command_line import Command
from tests.faultlab import FaultServer
from tests.memory_bucket import MemoryBucket

DAILY = ("128_129_z.ll025sc", "128_133_q.ll025sc", "128_130_t.ll025sc", "128_131_u.ll025uv", "128_132_v.ll025uv")
MONTHLY = (
    *("034_sstk", "235_skt", "039_swvl1", "040_swvl2", "041_swvl3", "042_swvl4", "139_stl1", "170_stl2", "183_stl3"),
    *("236_stl4", "031_ci", "167_2t", "168_2d", "165_10u", "166_10v", "033_rsn", "141_sd", "151_msl"),
)
LAND = "e5.oper.invariant.128_172_lsm.ll025sc.1979010100_1979010100.nc"
REPLACED = {
    "e5.oper.an.sfc.128_134_sp.ll025sc.2021020100_2021022823.nc",
    "e5.oper.an.sfc.128_134_sp.ll025sc.2021030100_2021033123.nc",
    "e5.oper.invariant.128_129_z.ll025sc.1979010100_1979010100.nc",
}
DAYS = select_days(start="2021-02-27", end="2021-03-01")


def names_of_the_script() -> set[str]:
    """The file names that era5_to_int builds for these days, from the templates in its source."""
    days = ("20210227", "20210228", "20210301")
    months = ("2021020100_2021022823", "2021030100_2021033123")
    return (
        {f"e5.oper.an.pl.{name}.{day}00_{day}23.nc" for name in DAILY for day in days}
        | {f"e5.oper.an.sfc.128_{name}.ll025sc.{month}.nc" for name in MONTHLY for month in months}
        | {LAND}
    )


def names(keys: list[str]) -> set[str]:
    return {key.rpartition("/")[2] for key in keys}


def bucket(first: date, last: date) -> MemoryBucket:
    variables = find_preset("wrf").variables
    return MemoryBucket([key_of(v, period) for v in variables for period in periods(v.product, first, last)])


def test_the_preset_has_every_file_that_era5_to_int_opens_over_the_end_of_a_month() -> None:
    assert names(expected_keys(DAYS)) == names_of_the_script() | REPLACED
    server = bucket(date(2021, 2, 1), date(2021, 3, 31))
    plan = make_plan(Selection(find_preset("wrf").variables, DAYS), server, today=date(2022, 1, 1))
    assert names([obj.key for obj in plan.objects]) == names_of_the_script() | REPLACED
    check = check_wrf(plan)
    assert check is not None and check.lacking == ()
    assert check.command(Path("era5"), flat=False) == (
        "python era5_to_int.py -i -p era5/e5.oper.an.pl/202102,era5/e5.oper.an.pl/202103,era5/e5.oper.an.sfc/202102,"
        "era5/e5.oper.an.sfc/202103,era5/e5.oper.invariant/197901 2021-02-27_00 2021-03-01_18 6"
    )
    assert " -p era5 2021" in check.command(Path("era5"), flat=True)


def test_what_lacks_is_named_and_subsets_are_refused() -> None:
    server = bucket(date(2021, 2, 1), date(2021, 2, 28))
    selection = Selection(find_preset("wrf").variables, DAYS, Subset(hours=frozenset({0, 12})))
    check = check_wrf(make_plan(selection, server, today=date(2022, 1, 1)))
    assert check is not None and check.is_subset
    assert "e5.oper.an.pl.128_130_t.ll025sc.2021030100_2021030123.nc" in check.lacking
    assert "e5.oper.an.sfc.128_151_msl.ll025sc.2021030100_2021033123.nc" in check.lacking
    text = "\n".join(wrf_lines(check, None, flat=False))
    assert "lacking" in text and "does not find files of subsets" in text and "--end 2021-03-02" in text


def test_plan_says_what_era5_to_int_lacks(fault_server: FaultServer, tmp_path: Path) -> None:
    for key in expected_keys(DAYS):
        if "_2t." not in key:
            fault_server.put(key, b"x")
    command = Command(fault_server.endpoint_url, tmp_path / "state")
    line = ("plan", "--preset", "WRF", "--start", "2021-02-27", "--end", "2021-03-01", "--bucket", fault_server.bucket)
    shown = command(*line)
    assert shown.returncode == 1
    assert "53 of its 55 files are planned, for 2021-02-27_00 to 2021-03-01_23" in " ".join(shown.stdout.split())
    (record,) = [r for r in map(json.loads, command(*line, "--json").stdout.splitlines()) if r["event"] == "wrf"]
    assert [name.split(".")[4] for name in record["lacking"]] == ["128_167_2t", "128_167_2t"]
