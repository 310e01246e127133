"""Words for an audit: why a file has its state, lists of what lacks, and a table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from era5dl.archive.states import Audit, AuditedFile, Cause, State
from era5dl.catalog import Cadence
from era5dl.formatting import format_count, printable
from era5dl.subset.description import describe_subset
from era5dl.subset.merge_plan import describe_spans, moment_of

CSV_COLUMNS = (
    "variable",
    "month",
    "start",
    "end",
    "state",
    "reason",
    "part",
    "bytes",
    "path",
    "key",
)
_WORDS = {
    Cause.NONE: "",
    Cause.NO_MD5: "its size and structure are right; it has no MD5 to compare with",
    Cause.NOT_COMPARED: "not compared with the bucket; era5dl verify does that",
    Cause.CHANGED: "modified, or copied, after it was verified; era5dl verify compares it again",
    Cause.NEWER: "the bucket has a newer version",
    Cause.PLACES: "it has other levels or another area than is wanted",
    Cause.GONE: "it was complete, and is gone",
    Cause.STARTED: "some of it is downloaded",
    Cause.NOT_STARTED: "not downloaded yet",
    Cause.NO_SESSION: "no session has asked for it",
    Cause.GAP: "between the first and the last file of its variable",
    Cause.RECENT: "newer than all files that are known here",
}


def describe_cause(file: AuditedFile) -> str:
    """Return why a file has its state; "" if it is proven."""
    if file.cause is Cause.SIZE:
        return f"it has {file.size:,} bytes, but {file.expected:,} are expected"
    if file.cause is Cause.HOURS:
        return f"no data for {describe_spans(spans_of(file.lacking))}"
    return _WORDS.get(file.cause, file.detail)


def spans_of(times: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return ascending times as ranges of consecutive hours [first, last]."""
    spans: list[tuple[int, int]] = []
    for time in times:
        if spans and time == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], time)
        else:
            spans.append((time, time))
    return spans


class Problem(NamedTuple):
    """Consecutive files of a variable that are not there for the same reason. first, last: their periods."""

    state: State
    variable: str
    first: AuditedFile
    last: AuditedFile
    files: int
    reason: str

    def __str__(self) -> str:
        first, last = period_of(self.first), period_of(self.last)
        period = f", {first}" if first == last else f", {first} to {last}"
        count = f" ({format_count(self.files, 'file')})" if self.files > 1 else ""
        return f"{self.state.value}: {self.variable}{period if first else ''}{count}: {self.reason}"


def problems(audit: Audit) -> Iterator[Problem]:
    """Yield the files that are not there, consecutive ones together."""

    def kind(file: AuditedFile) -> tuple[str, State, str]:
        return file.variable, file.state, describe_cause(file)

    for (variable, state, reason), files in groupby(audit.files, kind):
        members = list(files)
        if not state.is_there:
            yield Problem(state, variable, members[0], members[-1], len(members), reason)


def period_of(file: AuditedFile) -> str:
    """Return the period of a file: "2020-03", "2020-03-01" for files of a day or half a month; "" without times."""
    cadence = file.parts.product.cadence
    if cadence is Cadence.FIXED:
        return ""
    return f"{file.parts.start:%Y-%m}" if cadence is Cadence.MONTH else f"{file.parts.start:%Y-%m-%d}"


def to_csv(audit: Audit) -> bytes:
    """Return a table with a row for each file, as UTF-8 with a byte order mark, which spreadsheets expect."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for file in audit.files:
        start, end = file_times(file)
        writer.writerow(
            [
                file.variable,
                f"{file.month[:4]}-{file.month[4:]}" if file.month else "",
                start,
                end,
                file.state.value,
                _cell(describe_cause(file)),
                describe_part(file),
                file.size if file.path else "",
                _cell(str(file.path or "")),
                file.key,
            ]
        )
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "replace")


def file_times(file: AuditedFile) -> tuple[str, str]:
    """Return the first and the last valid hour that are wanted of a file, as "2020-01-01T00"; "" without times."""
    times = file.wanted_times()
    return (_iso(moment_of(times[0])), _iso(moment_of(times[-1]))) if times else ("", "")


def describe_part(file: AuditedFile) -> str:
    """Return what is wanted of the object; "" for all of it."""
    if not file.is_part:
        return ""
    return describe_subset(file.subset) if file.subset else "unknown"


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H}"


def _cell(text: str) -> str:
    """Return a text that a spreadsheet does not take for a formula."""
    return f"'{printable(text)}" if text.startswith(("=", "+", "-", "@")) else printable(text)
