"""Values of the keys of a CDS request: dates, hours, levels, area and place, in old and new spellings.

Every list may be written as a list, as one value, as "A/B/C", or as "A/to/B/by/C". A value that cannot be is an error
with the place of its key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any

from era5dl.cds.raw_request import RawRequest
from era5dl.cds.script_values import flatten
from era5dl.days import FIRST_DAY, LAST_DAY, Days, merge_days, parse_date, select_days
from era5dl.errors import BadSelection
from era5dl.subset.parsing import parse_area, parse_point
from era5dl.subset.selection import HOURS_OF_DAY, Area, Point, Subset, pressure_levels

ALL_HOURS = tuple(HOURS_OF_DAY)
_DAY = timedelta(days=1)
_MOST = 40_000  # dates of one request; 110 years
LEVEL_KEYS = ("pressure_level", "levelist", "level")
_WHOLE_GLOBE = ("global", "g", "globe")


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates of a request. is_range: asked for as a first and a last day. no_day: without days of the month."""

    days: Days
    is_range: bool = False
    no_day: bool = False


class Values:
    """The values of one request. Methods raise BadSelection with the place of the key.

    is_mars: "A/B" in `date` means two days, as in MARS, and not the days from A to B, as in the CDS.
    """

    def __init__(self, raw: RawRequest, *, is_mars: bool = False) -> None:
        self.raw, self._is_mars = raw, is_mars
        self._keys = {str(key).strip().casefold(): key for key in raw.values}
        if len(self._keys) < len(raw.values):
            twice = next(key for key in raw.values if self._keys[str(key).strip().casefold()] != key)
            raise self.error(twice, f"“{twice[:40]}” is there twice, in different spellings.")

    @property
    def names(self) -> tuple[str, ...]:
        """The keys in lower case, in the order of the request."""
        return tuple(self._keys)

    def error(self, key: str, message: str, remedy: str = "") -> BadSelection:
        """Return an error about the value of a key."""
        return self.raw.source.error(message, self.raw.places.get(self._keys.get(key, key)), remedy=remedy)

    def get(self, *keys: str) -> Any:
        """Return the value of the first of these keys that the request has; None for none, an empty text or list."""
        found = next((self.raw.values[self._keys[key]] for key in keys if key in self._keys), None)
        return None if found in ("", [], {}, ()) else found

    def name_of(self, *keys: str) -> str:
        """Return which of these keys the request has; the first if none."""
        return next((key for key in keys if key in self._keys), keys[0])

    def texts(self, *keys: str) -> list[str]:
        """Return the values of a key as texts, with "A/to/B" in separate texts "A", "to", "B"."""
        texts: list[str] = []
        for one in self._flat(*keys):
            texts += re.split(r"\s*[/,]\s*", _text(one).strip())
        return [text for text in texts if text]

    def _flat(self, *keys: str) -> list[Any]:
        """Return the values of a key in one list. Raises BadSelection for others than texts and numbers."""
        value = self.get(*keys)
        if value is None:
            return []
        name = self.name_of(*keys)
        try:
            flat = flatten(value)
        except ValueError:
            raise self.error(name, f"“{name}” has too many values.") from None
        for one in flat:
            is_finite = not isinstance(one, float) or math.isfinite(one)
            if isinstance(one, bool) or not isinstance(one, (str, int, float)) or not is_finite:
                raise self.error(name, f"{_shown(one)} is not a value of “{name}”.")
        return flat

    # --- dates

    def dates(self) -> Dates | None:
        """Return the dates of `date`, or of `year`, `month` and `day`; None if the request has neither."""
        by_date = self._by_date() if self.get("date") is not None else None
        by_number = self._by_number() if self.get("year") is not None else None
        if by_date and by_number and by_date.days != by_number.days:
            message = "“date” and “year”, “month”, “day” name different days."
            raise self.error("date", message, "Remove one of them.")
        if by_date is None and by_number is None and (key := next((k for k in ("month", "day") if self.get(k)), "")):
            raise self.error(key, f"“{key}” is given without “year”.", "Add “year”, or use “date”.")
        return by_date or by_number

    def _by_number(self) -> Dates:
        years = self._numbers("year", FIRST_DAY.year, LAST_DAY.year - 1)
        months = self._numbers("month", 1, 12)
        days = self._numbers("day", 1, 31)
        try:
            found = select_days(years=years, months=months, days=days)
        except BadSelection as error:
            if str(error).startswith("No such day"):
                message = "None of these months has any of these days."
                raise self.error("day", message, "Choose days that the months have.") from None
            raise self.error("year", str(error), error.remedy) from None
        return Dates(found, no_day=not days)

    def _numbers(self, key: str, least: int, most: int) -> list[int]:
        """Return numbers; none stands for all of them."""
        texts = self.texts(key)
        if [text.casefold() for text in texts] in (["all"], ["*"]) and key != "year":
            return []
        found: list[int] = []
        for number in self._expand(key, texts, lambda text: self._integer(key, text)):
            if not least <= number <= most:
                raise self.error(key, f"{number} is not a {key} between {least} and {most}.")
            found.append(number)
        return sorted(set(found))

    def _integer(self, key: str, text: str) -> int:
        if re.fullmatch(r"[0-9]{1,9}(\.0)?", text, re.ASCII) is None:
            raise self.error(key, f"{_shown(text)} is not a {key}.")
        return int(float(text))

    def _expand(self, key: str, texts: Sequence[str], parse: Any) -> list[Any]:
        """Return the values of texts, in which A, "to", B (and "by", S) stands for all values between."""
        found: list[Any] = []
        at = 0
        while at < len(texts):
            first = parse(texts[at])
            if at + 2 < len(texts) and texts[at + 1].casefold() == "to":
                last, step, at = parse(texts[at + 2]), 1, at + 3
                if at < len(texts) and texts[at].casefold() == "by":
                    step = self._integer(key, texts[at + 1].removeprefix("-")) if at + 1 < len(texts) else 0
                    at += 2
                found += self._steps(key, first, last, step)
            else:
                found.append(first)
                at += 1
            if len(found) > _MOST:
                raise self.error(key, f"“{key}” has more than {_MOST:,} values.")
        return found

    def _steps(self, key: str, first: Any, last: Any, step: int) -> list[Any]:
        if last < first and key in LEVEL_KEYS:  # from the surface upwards
            first, last = last, first
        if last < first:
            raise self.error(key, f"The range of “{key}” ends, {last}, before it begins, {first}.", "Swap them.")
        if step < 1:
            raise self.error(key, f"The step after “by” in “{key}” must be a positive number.")
        if isinstance(first, date):
            return [first + n * _DAY for n in range(0, min((last - first).days + 1, _MOST * step + 1), step)]
        return list(range(first, min(last + 1, first + _MOST * step + 1), step))

    def _by_date(self) -> Dates:
        """Return the days of `date`: one or several days, or ranges "A/B" or "A/to/B"."""
        pieces = [_text(piece) for piece in self._flat("date")]
        if [piece.casefold() for piece in pieces[1:2]] == ["to"]:  # ["A", "to", "B"]
            pieces = ["/".join(pieces)]
        ranges: list[list[date]] = []
        is_range = False
        for piece in pieces:
            texts = re.split(r"\s*[/,]\s*", piece.strip())
            if len(texts) == 2 and "/" in piece and not self._is_mars:  # A/B
                texts = [texts[0], "to", texts[1]]
            is_range = len(pieces) == 1 and "to" in map(str.casefold, texts)
            ranges.append(self._expand("date", texts, self._date))
        days = sorted({day for some in ranges for day in some})
        if not days:
            raise self.error("date", "“date” has no day.")
        try:
            merged = merge_days((day, day) for day in days)
        except BadSelection as error:
            raise self.error("date", str(error), error.remedy) from None
        return Dates(merged, is_range=is_range and len(merged) == 1)

    def _date(self, text: str) -> date:
        if re.fullmatch(r"[0-9]{8}", text, re.ASCII):
            text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
        match = re.fullmatch(r"([0-9-]+)[T ]00:00(:00)?(\.0+)?Z?", text, re.ASCII)
        try:
            return parse_date(match[1] if match else text)
        except BadSelection as error:
            remedy = error.remedy
            if re.fullmatch(r"-?[0-9]{1,4}|[a-z]+", text.casefold(), re.ASCII):
                remedy = "Dates relative to today are not supported, because this bucket is months behind. " + remedy
            raise self.error("date", str(error), remedy) from None

    # --- hours, levels, place

    def hours(self) -> tuple[int, ...] | None:
        """Return the hours of `time` (UTC), ascending; None if there is no time, or all of them are asked for."""
        texts = self.texts("time")
        if not texts or [text.casefold() for text in texts] in (["all"], ["*"]):
            return None
        hours = tuple(sorted(set(self._expand("time", texts, self._hour))))
        return None if hours == ALL_HOURS else hours

    def _hour(self, text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,2})(?::?([0-9]{2}))?(?::?([0-9]{2}))?(?:\.0)?Z?", text, re.ASCII)
        if match is None:
            raise self.error("time", f"{_shown(text)} is not an hour of the day.", "Write hours such as 06:00, in UTC.")
        hour = int(match[1])
        if (match[2] or "00", match[3] or "00") != ("00", "00"):
            raise self.error("time", f"There is no {text}: ERA5 has whole hours.", "Write hours such as 06:00, in UTC.")
        if hour not in HOURS_OF_DAY:
            remedy = "Hour 24 is hour 0 of the next day." if hour == 24 else "Hours are 0 to 23, in UTC."
            raise self.error("time", f"There is no hour {hour}.", remedy)
        return hour

    def levels(self) -> tuple[int, ...] | None:
        """Return the pressure levels in hPa, ascending; None if there are none, or all are asked for."""
        key = self.name_of(*LEVEL_KEYS)
        texts = [re.sub(r"\s*(hpa|mb|millibars?)$", "", text.casefold()) for text in self.texts(key)]
        if not texts or texts in (["all"], ["*"]):
            return None
        found = self._expand(key, texts, lambda text: self._integer(key, text))
        if "to" in texts and "by" not in texts:
            found = [level for level in found if level in pressure_levels()]
        try:
            return Subset(levels=tuple(found)).levels or tuple(sorted(set(found)))
        except BadSelection as error:
            raise self.error(key, str(error), error.remedy) from None

    def area(self) -> Area | None:
        """Return the area [north, west, south, east]; None if there is none, or it is called global."""
        value = self.get("area")
        if value is None or (isinstance(value, str) and value.strip().casefold() in _WHOLE_GLOBE):
            return None
        if isinstance(value, dict):
            named = {str(key)[:1].casefold(): edge for key, edge in value.items()}
            value = [named.get(letter) for letter in "nwse"]
        try:
            return parse_area(_numbers_of(value))
        except BadSelection as error:
            raise self.error("area", str(error), error.remedy) from None

    def point(self) -> Point | None:
        """Return the place of `location`; None if there is none."""
        value = self.get("location")
        if value is None:
            return None
        if isinstance(value, dict):
            named = {str(key).casefold()[:3]: degrees for key, degrees in value.items()}
            value = [named.get("lat"), named.get("lon")]
        try:
            return parse_point(_numbers_of(value))
        except BadSelection as error:
            remedy = "Write {“latitude”: 30.6, “longitude”: 114.3}."
            raise self.error("location", str(error), remedy) from None

    def grid(self) -> tuple[str, ...]:
        """Return what `grid` and `resol` ask for, as texts."""
        return (*self.texts("grid"), *self.texts("resol"))


def dates_json(dates: Dates | None) -> Any:
    """Return a list of ISO dates, or {"start", "end"} for a range."""
    if dates is None:
        return []
    if dates.is_range:
        return {"start": dates.days[0][0].isoformat(), "end": dates.days[-1][1].isoformat()}
    return [day.isoformat() for day in each_day(dates.days)]


def each_day(days: Days) -> list[date]:
    """Return all days of these ranges."""
    return [first + number * _DAY for first, last in days for number in range((last - first).days + 1)]


def whole_months(days: Days) -> bool:
    """Return whether the days are whole calendar months."""
    return all(first.day == 1 and (last + _DAY).day == 1 for first, last in days)


def consecutive(numbers: Sequence[int]) -> str:
    """Return numbers in few characters: "0-5, 12"."""
    parts = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}")
    return ", ".join(parts)


def _text(value: Any) -> str:
    """Return a value as a text; whole floats as integers."""
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def _numbers_of(value: Any) -> Any:
    """Return a list of numbers from texts and numbers, as parse_area and parse_point expect it."""
    if isinstance(value, str):
        return value.strip().strip("[]()")
    if isinstance(value, (list, tuple)):
        return [one.strip() if isinstance(one, str) else one for one in flatten(list(value))]
    return value


def _shown(value: Any) -> str:
    return f"“{str(value)[:60]}”"
