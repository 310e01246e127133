"""Parses dates that a user enters, and explains errors in them. No Tk in here."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

_LATEST_WORDS = ("latest", "最新")  # all languages: the text stays when the language changes


@dataclass(frozen=True, slots=True)
class DateTexts:
    """Texts of a date field and its calendar, in one language."""

    weekdays: tuple[str, ...]  # short, Monday first
    month_title: Callable[[int, int], str]  # arguments: year and month
    empty: str  # this and the following texts are errors
    not_a_date: str
    no_such_day: str
    too_early: Callable[[date], str]  # argument: the first valid day
    too_late: Callable[[date], str]  # argument: the last valid day
    latest: str = ""  # a word that may be entered instead of a date; "" for none
    pick_latest: str = ""  # the button that enters it


def parse_date(text: str) -> date | None:
    """Return a date written as 2023-1-31, 2023/01/31, 2023.01.31, 20230131 or 2023年1月31日; None for anything else."""
    text = text.strip()
    for separator in "/.年月":
        text = text.replace(separator, "-")
    text = text.removesuffix("日")
    if len(text) == 8 and text.isascii() and text.isdigit():
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    parts = text.split("-")
    if [len(part) for part in parts[:1]] != [4] or len(parts) != 3 or not all(map(_is_number, parts)):
        return None
    try:
        return date(*map(int, parts))
    except ValueError:
        return None


def is_latest_word(text: str) -> bool:
    """Return whether this is the word for the newest data, in any language of the window."""
    return text.strip().lower() in _LATEST_WORDS


def date_error(text: str, first: date, last: date, texts: DateTexts) -> str:
    """Return why this is not a date from `first` to `last`; "" if it is one."""
    text = text.strip()
    if not text:
        return texts.empty
    if texts.latest and is_latest_word(text):
        return ""
    day = parse_date(text)
    if day is None:
        looks_like_a_date = len(text) == 10 and all(_is_number(text[i:j]) for i, j in ((0, 4), (5, 7), (8, 10)))
        return texts.no_such_day if looks_like_a_date else texts.not_a_date
    if day < first:
        return texts.too_early(first)
    return texts.too_late(last) if day > last else ""


def months_later(day: date, months: int) -> date:
    """Return the date `months` months later; the last day if that month is shorter. Limited to the range of `date`."""
    number = min(max(day.year * 12 + day.month - 1 + months, 12), 9999 * 12 + 11)
    year, month = divmod(number, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4
