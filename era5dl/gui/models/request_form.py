"""Validation of the request form on the Download page: converts field values to a selection, or to errors. No Tk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

from era5dl.catalog import Cadence, Variable, variables
from era5dl.days import FIRST_DAY, LAST_DAY, parse_date, select_days
from era5dl.errors import BadSelection
from era5dl.gui.models import subset_form
from era5dl.gui.models.subset_form import SubsetFields, SubsetResult
from era5dl.gui.text import error_text
from era5dl.gui.text.i18n import _
from era5dl.gui.widgets.date_input import is_latest_word
from era5dl.rate_timetable import normalize_rate_limit
from era5dl.selection import Selection

_WHOLE_FILES = SubsetFields()  # no field restricts anything
_ALL_OF_IT = SubsetResult()


class Period(Enum):
    """How the user enters dates: first and last day, or sets of years, months and days."""

    RANGE = "range"
    GRID = "grid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The values of the fields as entered. variables: full names, such as "an.sfc/2t". subset: parts of the files."""

    variables: frozenset[str] = frozenset()
    period: Period = Period.RANGE
    first: str = ""
    last: str = ""
    years: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    folder: str = ""
    subset: SubsetFields = _WHOLE_FILES


@dataclass(frozen=True, slots=True)
class FieldError:
    """The reason why a value is invalid. field: its name in `Fields`."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class FormResult:
    """Result of the validation: a selection and a folder, or errors, at most one per field.

    subset: the part of each file, which the selection contains, too.
    """

    selection: Selection | None = None
    folder: Path | None = None
    errors: tuple[FieldError, ...] = field(default=())
    subset: SubsetResult = _ALL_OF_IT

    def error_for(self, name: str) -> str:
        """Return the error of this field; "" for none."""
        return next((error.text for error in self.errors if error.field == name), "")


def validate(fields: Fields, today: date | None = None) -> FormResult:
    """Validate all fields, without access to server or disk. today: the last day allowed; None is today in UTC."""
    errors: list[FieldError] = []
    chosen = chosen_variables(fields.variables)
    if not chosen:
        errors.append(FieldError("variables", _("Choose at least one variable.")))
    timeless = bool(chosen) and all(variable.product.cadence is Cadence.FIXED for variable in chosen)
    days: tuple[tuple[date, date], ...] = ()
    if not timeless:
        problems, days = _read_days(fields, coverage(chosen, today))
        errors += problems
    folder = read_folder(fields.folder)
    if isinstance(folder, FieldError):
        errors.append(folder)
    subset = subset_form.validate(fields.subset, chosen)
    if subset.error:
        errors.append(FieldError("subset", subset.error))
    elif (fields.subset.only_days or not subset.subset.is_everything) and subset_form.missing_package():
        command = subset_form.missing_package()
        missing = _("Subsets of files need a package. Install it with: {command}", command=command)
        errors.append(FieldError("subset", missing))
    selection = None
    if not {one.field for one in errors} - {"folder"}:
        try:
            only = days if fields.subset.only_days else ()
            selection = Selection(chosen, days, replace(subset.subset, days=only))
        except BadSelection as error:
            errors.append(FieldError("first", error_text.explain(error).sentence))
    return FormResult(selection, folder if isinstance(folder, Path) else None, tuple(errors), subset)


def chosen_variables(names: Iterable[str]) -> tuple[Variable, ...]:
    """Return the variables with these full names, in the order of the catalogue. Unknown names are ignored."""
    wanted = frozenset(names)
    return tuple(variable for variable in variables() if variable.name in wanted)


def coverage(chosen: Iterable[Variable], today: date | None = None) -> tuple[date, date]:
    """Return the first day of the earliest of these variables, and today (UTC)."""
    firsts = [v.product.first_hour.date() for v in chosen if v.product.cadence is not Cadence.FIXED]
    return min(firsts, default=FIRST_DAY), today or datetime.now(timezone.utc).date()


def read_folder(text: str) -> Path | FieldError:
    """Return the folder that the user entered; ~ is the home folder."""
    bare = text.strip()
    if not bare:
        return FieldError("folder", _("Choose a folder for the files."))
    if "\0" in bare:
        return FieldError("folder", _("This is not a valid folder name."))
    try:
        return Path(bare).expanduser().absolute()
    except (OSError, RuntimeError, ValueError):
        return FieldError("folder", _("This is not a valid folder name."))


def read_limit(text: str) -> int | str | FieldError | None:
    """Return a rate limit in bytes per second, from a text such as "5M" or "500 kB/s". A plain number is in MB/s.

    Returns None, which is no limit, for an empty text or 0, and the text of a timetable in its usual notation.
    """
    bare = text.strip()
    if not bare:
        return None
    try:
        return normalize_rate_limit(f"{bare}M" if bare.replace(".", "", 1).isdigit() else bare) or None
    except Exception:  # noqa: BLE001 - UsageError, or an error of float()
        return FieldError("limit", _("Enter a speed such as 5 MB/s, or leave it empty for no limit."))


def _read_days(fields: Fields, bounds: tuple[date, date]) -> tuple[list[FieldError], tuple[tuple[date, date], ...]]:
    if fields.period is Period.GRID:
        if not fields.years:
            return [FieldError("years", _("Choose at least one year."))], ()
        try:
            days = select_days(years=sorted(fields.years), months=sorted(fields.months), days=sorted(fields.days))
        except BadSelection:
            return [FieldError("days", _("None of the selected months has any of the selected days."))], ()
        low, high = bounds
        inside = tuple((max(a, low), min(b, high)) for a, b in days if b >= low and a <= high)
        return ([] if inside else [FieldError("years", _between(bounds))]), inside
    found: dict[str, date] = {}
    errors: list[FieldError] = []
    for name in ("first", "last"):
        text = getattr(fields, name)
        answer = LAST_DAY if name == "last" and is_latest_word(text) else read_date(text, bounds)
        if isinstance(answer, date):
            found[name] = answer
        else:
            errors.append(FieldError(name, answer))
    if not errors and found["last"] < found["first"]:
        errors.append(FieldError("last", _("The end is before the start.")))
    return errors, () if errors else ((found["first"], found["last"]),)


def read_date(text: str, bounds: tuple[date, date]) -> date | str:
    """Return the date that the user entered, or the error. bounds: first and last day allowed."""
    if not text.strip():
        return _("Enter a date as YYYY-MM-DD.")
    try:
        day = parse_date(text)
    except BadSelection as error:
        if error.remedy.startswith("Write"):
            return _("Enter the date as YYYY-MM-DD.")
        return _("This date does not exist.")
    return day if bounds[0] <= day <= bounds[1] else _between(bounds)


def _between(bounds: tuple[date, date]) -> str:
    return _("Data are available from {first} to {last} at most.", first=bounds[0], last=bounds[1])


# --- saving


def to_text(fields: Fields) -> str:
    """Return the fields as JSON for the preferences, without the folder, which is a separate preference."""
    return json.dumps(
        {
            "variables": sorted(fields.variables),
            "period": fields.period.value,
            "first": fields.first,
            "last": fields.last,
            "years": sorted(fields.years),
            "months": sorted(fields.months),
            "days": sorted(fields.days),
            **({"subset": subset} if (subset := subset_form.to_json(fields.subset)) else {}),
        }
    )


def from_text(text: str, folder: str = "", today: date | None = None) -> Fields:
    """Return the fields that `to_text` saved. An invalid text gives no variables and the default month."""
    try:
        raw = json.loads(text)
        return Fields(
            variables=frozenset(v.name for v in chosen_variables(str(name) for name in raw["variables"])),
            period=Period(raw["period"]),
            first=str(raw["first"])[:20],
            last=str(raw["last"])[:20],
            years=_numbers(raw["years"], 1940, 2049),
            months=_numbers(raw["months"], 1, 12),
            days=_numbers(raw["days"], 1, 31),
            folder=folder,
            subset=subset_form.from_json(raw.get("subset")),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        first, last = default_month(today or datetime.now(timezone.utc).date())
        return Fields(first=first.isoformat(), last=last.isoformat(), folder=folder)


def default_month(today: date) -> tuple[date, date]:
    """Return the first and last day of the month half a year ago, whose data have certainly been published."""
    day = (today - timedelta(days=183)).replace(day=1)
    return day, (day + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _numbers(raw: object, low: int, high: int) -> frozenset[int]:
    if not isinstance(raw, list):
        raise TypeError
    return frozenset(n for n in raw if type(n) is int and low <= n <= high)
