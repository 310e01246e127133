"""Calendar of an archive: the state of each variable in each month, from the first month to the last."""

from __future__ import annotations

from dataclasses import dataclass

from era5dl.archive.states import FIXED, Audit, State


@dataclass(frozen=True, slots=True)
class Calendar:
    """variables: names, a row each. months: "202001", a column each, without holes; FIXED comes first, if there is any.

    states: of each row, by column; None where no file is wanted.
    """

    variables: tuple[str, ...]
    months: tuple[str, ...]
    states: tuple[tuple[State | None, ...], ...]


def calendar_of(audit: Audit) -> Calendar:
    """Return the calendar of an audit."""
    found = {month for _, month in audit.months}
    months = _months_between(found - {FIXED})
    columns = ([FIXED] if FIXED in found else []) + months
    place = {month: column for column, month in enumerate(columns)}
    rows: dict[str, list[State | None]] = {name: [None] * len(columns) for name in audit.variables}
    for (variable, month), summary in audit.months.items():
        rows[variable][place[month]] = summary.state
    return Calendar(tuple(rows), tuple(columns), tuple(map(tuple, rows.values())))


def _months_between(months: set[str]) -> list[str]:
    """Return all months from the first to the last of these."""
    if not months:
        return []
    first, last = (int(month[:4]) * 12 + int(month[4:6]) - 1 for month in (min(months), max(months)))
    return [f"{number // 12:04}{number % 12 + 1:02}" for number in range(first, last + 1)]
