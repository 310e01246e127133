"""Dates as a person writes them, and the words around them in each language. No Tk in here."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class DateWords:
    """What a date field says. `{date}` and `{example}` are filled in."""

    weekdays: tuple[str, ...]  # short, Monday first
    title: Callable[[int, int], str]  # of a month: year, month
    today: str
    incomplete: str
    no_date: str
    no_such_day: str
    too_early: str
    too_late: str


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
ENGLISH = DateWords(
    weekdays=("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"),
    title=lambda year, month: f"{_MONTHS[month - 1]} {year}",
    today="Today",
    incomplete="Choose a date",
    no_date="Write the date as {example}",
    no_such_day="There is no such day",
    too_early="Before {date}, when the data begin",
    too_late="After {date}, when the data end",
)
CHINESE = DateWords(
    weekdays=("一", "二", "三", "四", "五", "六", "日"),
    title=lambda year, month: f"{year} 年 {month} 月",
    today="今天",
    incomplete="请选择日期",
    no_date="请按 {example} 的格式填写",
    no_such_day="没有这一天",
    too_early="早于数据的起始日期 {date}",
    too_late="晚于数据的结束日期 {date}",
)
_EXAMPLE = "2023-01-31"


def words_for(language: str) -> DateWords:
    """In the language of this code ("en", "zh_CN"); English for one we lack."""
    return CHINESE if language.startswith("zh") else ENGLISH


def read(text: str) -> date | None:
    """A date written as 2023-1-31, 2023/01/31, 2023.01.31 or 20230131; None if it is none."""
    text = text.strip()
    for mark in "/.年月":
        text = text.replace(mark, "-")
    text = text.removesuffix("日")
    if len(text) == 8 and text.isascii() and text.isdigit():
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    parts = text.split("-")
    if [len(part) for part in parts[:1]] != [4] or len(parts) != 3 or not all(_is_number(part) for part in parts):
        return None
    try:
        return date(*map(int, parts))
    except ValueError:
        return None


def problem(text: str, first: date, last: date, words: DateWords) -> str:
    """Why this is no date between `first` and `last`, in a sentence; "" if it is one."""
    if not text.strip():
        return words.incomplete
    day = read(text)
    if day is None:
        looks_right = len(text.strip()) == 10 and all(
            _is_number(text.strip()[i:j]) for i, j in ((0, 4), (5, 7), (8, 10))
        )
        return words.no_such_day if looks_right else words.no_date.format(example=_EXAMPLE)
    if day < first:
        return words.too_early.format(date=first.isoformat())
    return words.too_late.format(date=last.isoformat()) if day > last else ""


def months_later(day: date, months: int) -> date:
    """The same day so many months later, or the last one of a shorter month; within what dates can be."""
    number = min(max(day.year * 12 + day.month - 1 + months, 12), 9999 * 12 + 11)
    year, month = divmod(number, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4
