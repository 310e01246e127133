"""Translation of CDS requests: what each of them is in this bucket, what is missing, and what has to be known.

Nothing is dropped silently: a key or value without effect gives a warning, a name without a variable an absent item,
and a value that cannot be an error with its place. `translate` sends no requests.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

from era5dl.catalog import Cadence, Variable
from era5dl.cds import datasets
from era5dl.cds.datasets import Dataset, Family
from era5dl.cds.items import resolve
from era5dl.cds.notes import MARS_KEYS, notes_about_data, notes_about_keys, notes_about_output
from era5dl.cds.raw_request import RawRequest
from era5dl.cds.request import CdsItem, CdsRequest, Note, Status
from era5dl.cds.values import LEVEL_KEYS, Dates, Values, consecutive, whole_months
from era5dl.days import merge_days
from era5dl.errors import BadSelection
from era5dl.selection import Selection
from era5dl.subset.grid import era5_grid
from era5dl.subset.selection import Area, Point, Subset


def translate(raw: RawRequest, today: date | None = None) -> CdsRequest:
    """Return one request in the terms of this bucket. today: to warn of dates that are not yet published."""
    return _Translator(raw, today or datetime.now(timezone.utc).date()).request()


class _Translator:
    """Translates one request, and collects its warnings."""

    def __init__(self, raw: RawRequest, today: date) -> None:
        self._raw, self._today = raw, today
        self._warnings: list[Note] = []
        plain = Values(raw)
        self._names = list(dict.fromkeys(plain.texts("variable") + plain.texts("param")))
        self._dataset = self._find_dataset(plain)
        self._values = Values(raw, is_mars=self._dataset.family is Family.COMPLETE)

    def request(self) -> CdsRequest:
        refusal = self._refusal()
        if refusal.kind:
            return self._refused(refusal)
        values, family = self._values, self._family()
        if not self._names:
            raise values.error("variable", "The request names no variable.", "Add “variable” to it.")
        items = tuple(resolve(name, family) for name in self._names)
        variables = tuple(dict.fromkeys(variable for item in items for variable in item.variables))
        dates, hours = self._steps(values.dates(), values.hours())
        levels = self._levels(family)
        area, point = values.area(), values.point()
        if area and point:
            raise values.error("area", "Both “area” and “location” are given.", "Remove one of them.")
        if dates is None and any(variable.product.cadence is not Cadence.FIXED for variable in variables):
            raise values.error("date", "The request has no dates.", "Add “year”, “month” and “day”, or “date”.")
        self._warnings += notes_about_keys(values)
        self._warnings += notes_about_output(values, is_mars=self._dataset.family is Family.COMPLETE)
        needs_time = self._dataset.name.casefold() != datasets.TIME_SERIES
        self._warnings += notes_about_data(values, variables, dates, self._today, needs_time=needs_time)
        selection = self._select(variables, dates, hours, levels, area, point)
        return CdsRequest(
            dataset=self._dataset.name,
            supported=True,
            refusal=refusal,
            dates=dates,
            hours=hours,
            levels=levels,
            area=area,
            point=point,
            items=items,
            warnings=tuple(self._warnings),
            selection=selection,
            site=self._raw.site,
        )

    def _warn(self, kind: str, text: str, **values: Any) -> None:
        self._warnings.append(Note(kind, text, values))

    # --- dataset

    def _find_dataset(self, values: Values) -> Dataset:
        if self._raw.dataset:
            dataset = datasets.find_dataset(self._raw.dataset)
            if dataset.note.kind:
                self._warnings.append(dataset.note)
            return dataset
        name = datasets.SINGLE_LEVELS
        if values.get("levtype"):
            name = datasets.COMPLETE
        elif values.get(*LEVEL_KEYS) is not None or self._only_on_levels():
            name = datasets.PRESSURE_LEVELS
        elif values.get("location") is not None:
            name = datasets.TIME_SERIES
        self._warn("assumed-dataset", f"The text does not name the dataset: taken as {name}.", dataset=name)
        return datasets.find_dataset(name)

    def _only_on_levels(self) -> bool:
        """Return whether all names are variables on pressure levels, and none is one on a single level."""
        single = [resolve(name, Family.SINGLE).status for name in self._names]
        levels = [resolve(name, Family.PRESSURE).status for name in self._names]
        return bool(single) and set(single) == {Status.ABSENT} and set(levels) == {Status.FOUND}

    def _mars(self, key: str) -> str:
        return ", ".join(self._values.texts(key)).casefold()

    def _family(self) -> Family:
        if self._dataset.family is not Family.COMPLETE:
            return self._dataset.family
        has_levels = self._values.get(*LEVEL_KEYS) is not None
        return (
            Family.PRESSURE
            if self._mars("levtype") == "pl" or (has_levels and not self._mars("levtype"))
            else (Family.SINGLE)
        )

    def _refusal(self) -> Note:
        """Return why nothing of the request is in the bucket; an empty note if something may be."""
        if self._dataset.refusal.kind:
            return self._dataset.refusal
        types = [one.casefold() for one in self._values.texts("product_type")]
        refusal = datasets.refuse_product_types(types)
        if not refusal.kind and self._dataset.family is Family.COMPLETE:
            given = {key: text for key in MARS_KEYS if (text := self._mars(key))}
            refusal = datasets.refuse_mars(given)
        others = [one for one in types if one != "reanalysis"]
        if not refusal.kind and others:
            names = ", ".join(others)
            text = f"Only the reanalysis is in this bucket; {names} is not. Take it from the Climate Data Store."
            self._warn("reanalysis-only", text, types=names)
        return refusal

    def _refused(self, refusal: Note) -> CdsRequest:
        """Return the request with all its variables absent, and what can be read of the rest."""
        values = self._values
        return CdsRequest(
            dataset=self._dataset.name,
            supported=False,
            refusal=refusal,
            dates=_unless_wrong(values.dates),
            hours=_unless_wrong(values.hours),
            levels=None if refusal.kind == "model-levels" else _unless_wrong(values.levels),
            area=_unless_wrong(values.area),
            point=_unless_wrong(values.point),
            items=tuple(CdsItem(name, Status.ABSENT, (), refusal) for name in self._names),
            warnings=tuple(self._warnings),
            selection=None,
            site=self._raw.site,
        )

    # --- values

    def _steps(self, dates: Dates | None, hours: tuple[int, ...] | None) -> tuple[Dates | None, tuple[int, ...] | None]:
        """Return dates and hours of the valid times: for forecasts, the MARS key `step` is added to `time`."""
        steps = (
            [int(step) for step in self._values.texts("step") if step.isdigit()] if self._mars("type") == "fc" else []
        )
        if "to" in self._values.texts("step") and len(steps) in (2, 3):
            steps = list(range(steps[0], min(steps[1], 240) + 1, steps[2] if len(steps) == 3 and steps[2] else 1))
        if not steps or dates is None or hours is None:
            return dates, hours
        valid = [hour + step for hour in hours for step in steps]
        if max(valid) >= 24:
            last = timedelta(days=max(valid) // 24)
            dates = Dates(merge_days((first, end + last) for first, end in dates.days), dates.is_range)
        found = tuple(sorted({hour % 24 for hour in valid}))
        text = "Forecast steps are counted as valid times: the hours of each day are " + consecutive(found) + "."
        self._warn("forecast-steps", text, hours=consecutive(found))
        return dates, found if len(found) < 24 else None

    def _levels(self, family: Family) -> tuple[int, ...] | None:
        given = self._values.get(*LEVEL_KEYS)
        if family is Family.PRESSURE:
            levels = self._values.levels()
            if given is None:
                self._warn("all-levels", "No pressure level is given: all 37 are selected.")
            return levels
        if given is not None and self._mars("levtype") != "sfc":
            key = self._values.name_of(*LEVEL_KEYS)
            text = f"“{key}” has no effect: {self._dataset.name} has single levels."
            self._warn("no-levels", text, key=key, dataset=self._dataset.name)
        return None

    def _select(
        self,
        variables: tuple[Variable, ...],
        dates: Dates | None,
        hours: tuple[int, ...] | None,
        levels: tuple[int, ...] | None,
        area: Area | None,
        point: Point | None,
    ) -> Selection | None:
        if not variables:
            return None
        if area is not None and (area.north, area.south, area.width) == (90, -90, 360):
            area = None
        days = dates.days if dates else ()
        subset = Subset(hours or (), levels or (), area, (point,) if point else ())
        try:
            era5_grid().cells(subset)
        except BadSelection as error:
            raise self._values.error("area" if area else "location", str(error), error.remedy) from None
        long_files = any(v.product.cadence in (Cadence.MONTH, Cadence.HALF_MONTH) for v in variables)
        if subset.is_everything and long_files and not whole_months(days):
            subset = Subset(days=days)
        return Selection(variables, days, subset)

    # --- warnings


def _unless_wrong(read: Any) -> Any:
    """Return what a method returns; None if the value cannot be. For requests that are refused anyway."""
    try:
        return read()
    except BadSelection:
        return None
