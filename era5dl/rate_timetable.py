"""Timetable of the rate limit, such as "08:00,1M 20:00,off": which limit holds at which time of the week.

The notation is that of rclone's --bwlimit. Entries TIME,RATE are separated by spaces, and each holds until the next
one, across midnight and from Sunday to Monday; a single entry holds always. "Mon-08:00,1M" holds on Mondays only, and
replaces an entry for every day at the same time. RATE is a rate as in `formatting.parse_rate`, or "off" for no limit.

Times are those of the computer's clock, in its time zone. When summer time begins or ends, the limit follows the clock:
an entry in the hour that is left out holds from the end of that hour, and an hour that comes twice has its limit twice.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime

from era5dl.errors import UsageError
from era5dl.formatting import format_exact_size, parse_rate

OFF = "off"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
REMEDY = (
    "Write one rate, such as 5M, or a timetable, such as 08:00,1M 20:00,off, where Sat-08:00,off holds on Saturdays "
    "only. Days are Mon, Tue, Wed, Thu, Fri, Sat and Sun."
)
MAX_ENTRIES = 1000
_DAY_MINUTES = 24 * 60
_ENTRY = re.compile(r"(?:([A-Za-z]+)-)?([0-9]{1,2}):([0-9]{2}),(.+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the limit. day: 0 is Monday, None every day. minute: of the day. rate: bytes per second, 0 off."""

    day: int | None
    minute: int
    rate: int

    def __str__(self) -> str:
        day = "" if self.day is None else f"{DAYS[self.day]}-"
        return f"{day}{self.minute // 60:02}:{self.minute % 60:02},{format_exact_size(self.rate) if self.rate else OFF}"


class RateTimetable:
    """The entries of one timetable, at least one. `str` returns its text, which `parse_rate_limit` reads."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        week: dict[int, int] = {}
        for entry in sorted(entries, key=lambda entry: entry.day is not None):  # those of one day replace the others
            for day in range(len(DAYS)) if entry.day is None else (entry.day,):
                week[day * _DAY_MINUTES + entry.minute] = entry.rate
        self._starts = sorted(week)
        self._rates = [week[start] for start in self._starts]

    def rate_at(self, when: datetime) -> int | None:
        """Return the limit at this local time, in bytes per second; None for no limit."""
        minute = when.weekday() * _DAY_MINUTES + when.hour * 60 + when.minute
        return self._rates[bisect_right(self._starts, minute) - 1] or None  # [-1]: the last entry of the week before

    def __str__(self) -> str:
        return " ".join(map(str, self.entries))


def parse_rate_limit(text: str) -> int | RateTimetable:
    """Read a rate ("5M", "500K"; "off" and 0 are no limit) or a timetable. Raises UsageError."""
    words = text.split()
    if text.strip().lower() == OFF:
        return 0
    if not any("," in word or ":" in word for word in words):
        return parse_rate(text)
    if len(words) > MAX_ENTRIES:
        raise UsageError(f"the timetable has {len(words):,} entries", remedy=f"Write {MAX_ENTRIES:,} at most.")
    entries: dict[tuple[int | None, int], Entry] = {}
    for word in words:
        entry = _parse_entry(word)
        if (entry.day, entry.minute) in entries:
            raise UsageError(f"the timetable has two entries for the time of {word!r}", remedy="Leave one of them out.")
        entries[entry.day, entry.minute] = entry
    return RateTimetable(tuple(entries.values()))


def normalize_rate_limit(text: str) -> int | str:
    """Return a rate as a number of bytes per second, and a timetable in its usual notation. Raises UsageError."""
    limit = parse_rate_limit(text)
    return str(limit) if isinstance(limit, RateTimetable) else limit


def _parse_entry(word: str) -> Entry:
    match = _ENTRY.fullmatch(word)
    if match is None:
        raise UsageError(f"{word!r} is not an entry of a timetable", remedy=REMEDY)
    day = _parse_day(match[1]) if match[1] else None
    hour, minute = int(match[2]), int(match[3])
    if day == -1 or hour > 23 or minute > 59:
        what = "a day of the week" if day == -1 else "a time from 00:00 to 23:59"
        raise UsageError(f"{word!r} does not begin with {what}", remedy=REMEDY)
    try:
        rate = 0 if match[4].lower() == OFF else parse_rate(match[4])
    except UsageError as error:
        raise UsageError(f"in {word!r}, {error}", remedy=f"{error.remedy} {REMEDY}") from None
    return Entry(day, 60 * hour + minute, rate)


def _parse_day(name: str) -> int:
    """Return the number of a day from its name or the first letters of it, three or more; -1 for other texts."""
    whole = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    return next((n for n, day in enumerate(whole) if len(name) >= 3 and day.startswith(name.lower())), -1)
