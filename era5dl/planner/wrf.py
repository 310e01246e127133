"""WRF and WPS: compares a plan with the files that NCAR's era5_to_int opens for pressure levels (`-i`).

For each time that is converted, era5_to_int opens the file of the day (pressure levels) or of the month (surface) of
every variable, by its exact name, and looks for it in the folders of `--path`, not in their subfolders. Two of its
files are in another archive of NCAR (d633006) and not in this bucket: surface pressure and surface geopotential on
ECMWF's Gaussian grid. The bucket has both on the grid of 0.25 degrees, which the script can read after two of its lines
are changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from era5dl.catalog import find_variable, key_of, periods
from era5dl.catalog.lookup import normalize
from era5dl.days import Days, days_from_json
from era5dl.planner.plan import Plan

PRESET = "wrf"

WPS_FIELDS = {
    "GEOPT": "an.pl/z",
    "SPECHUMD": "an.pl/q",
    "TT": "an.pl/t",
    "UU": "an.pl/u",
    "VV": "an.pl/v",
    "LANDSEA": "invariant/lsm",
    "SST": "an.sfc/sstk",
    "SKINTEMP": "an.sfc/skt",
    "SM000007": "an.sfc/swvl1",
    "SM007028": "an.sfc/swvl2",
    "SM028100": "an.sfc/swvl3",
    "SM100289": "an.sfc/swvl4",
    "ST000007": "an.sfc/stl1",
    "ST007028": "an.sfc/stl2",
    "ST028100": "an.sfc/stl3",
    "ST100289": "an.sfc/stl4",
    "SEAICE": "an.sfc/ci",
    "TT (2 m)": "an.sfc/2t",
    "DEWPT": "an.sfc/2d",
    "UU (10 m)": "an.sfc/10u",
    "VV (10 m)": "an.sfc/10v",
    "SNOW_DEN": "an.sfc/rsn",
    "SNOW_EC": "an.sfc/sd",
    "PMSL": "an.sfc/msl",
}
"""The fields of era5_to_int whose files are in this bucket, with their variables."""

REPLACED = {"PSFC": "an.sfc/sp", "SOILGEO": "invariant/z"}
"""The fields whose files are not in this bucket, with the variables that replace them."""


@dataclass(frozen=True, slots=True)
class WrfCheck:
    """What era5_to_int finds of a plan. lacking: names of files that it opens, and that the plan does not have.

    last_hour: "2021-02-28_23", the last time that can be converted. folders: relative to the download folder, for
    `--path`. is_subset: files of subsets have other names, so that it does not find them.
    """

    expected: int
    lacking: tuple[str, ...]
    first_hour: str
    last_hour: str
    folders: tuple[str, ...]
    is_subset: bool

    def command(self, out: Path | None, *, flat: bool) -> str:
        """Return the command that converts all days, every six hours."""
        base = "DIR" if out is None else str(out)
        paths = [base] if flat else [f"{base}/{folder}" for folder in self.folders]
        last = f"{self.last_hour.partition('_')[0]}_18"
        return f"python era5_to_int.py -i -p {','.join(paths)} {self.first_hour} {last} 6"


def check_wrf(plan: Plan) -> WrfCheck | None:
    """Compare a plan with what era5_to_int opens on the selected days; None if no day is selected."""
    selection = plan.request.get("selection")
    days = days_from_json(selection.get("days", [])) if isinstance(selection, dict) else ()
    if not days:
        return None
    expected = expected_keys(days)
    planned = {_file_name(obj.key) for obj in plan.objects}
    return WrfCheck(
        expected=len(expected),
        lacking=tuple(_file_name(key) for key in expected if _file_name(key) not in planned),
        first_hour=f"{days[0][0]}_00",
        last_hour=f"{days[-1][1]}_23",
        folders=_folders(expected),
        is_subset=not plan.subset.is_everything,
    )


def expected_keys(days: Days) -> list[str]:
    """Return the keys of all files that era5_to_int opens on these days, with those that replace two of its own."""
    found: dict[str, None] = {}
    for name in (*WPS_FIELDS.values(), *REPLACED.values()):
        variable = find_variable(name)
        for first, last in days:
            found.update((key_of(variable, period), None) for period in periods(variable.product, first, last))
    return list(found)


def wrf_lines(check: WrfCheck, out: Path | None, *, flat: bool) -> list[str]:
    """Return what a user of era5_to_int has to know about a plan."""
    found = check.expected - len(check.lacking)
    lines = [f"era5_to_int -i: {found:,} of its {check.expected:,} files are planned, for {_hours(check)}"]
    if check.lacking:
        shown = ", ".join(check.lacking[:3]) + (" ..." if len(check.lacking) > 3 else "")
        lines.append(f"  lacking, so that it stops there: {shown}")
    if check.is_subset:
        lines.append("  It does not find files of subsets, which have other names, and expects the whole globe:")
        lines.append("  leave --hours, --levels, --area and --point out.")
    lines += [
        f"  For a run that ends at 00 UTC of the next day, add that day: --end {_next_day(check)}",
        "  PSFC and SOILGEO are not in this bucket; an.sfc/sp and invariant/z replace them after two lines of",
        "  era5_to_int.py are changed (.github/docs/other-tools.md has them). Then:",
        f"  {check.command(out, flat=flat)}",
    ]
    return lines


def is_wrf(preset: str | None) -> bool:
    """Return whether the name is that of this preset."""
    return preset is not None and normalize(preset) == PRESET


def _hours(check: WrfCheck) -> str:
    return f"{check.first_hour} to {check.last_hour}"


def _next_day(check: WrfCheck) -> str:
    last = date.fromisoformat(check.last_hour.partition("_")[0])
    return date.fromordinal(last.toordinal() + 1).isoformat()


def _folders(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({key.rpartition("/")[0] for key in keys}))


def _file_name(key: str) -> str:
    return key.rpartition("/")[2]
