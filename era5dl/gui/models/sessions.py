"""View model of the Sessions page: one row for each session, with the texts of its cells. No Tk."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path

from era5dl.catalog import products
from era5dl.days import LATEST
from era5dl.engine.events import PROBLEM_STATES, State
from era5dl.formatting import format_size, printable
from era5dl.gui.text import catalog_text, status_text
from era5dl.gui.text.i18n import Term, _, ngettext
from era5dl.session.summary import SessionStatus, SessionSummary

_PERIOD = re.compile(r"(.*), (\d{4}-\d\d-\d\d)(?: to (\d{4}-\d\d-\d\d|latest))?( \(with gaps\))?", re.DOTALL)
_LISTED = re.compile(r"([\d,]{1,15}) keys? from a list")
_COUNTED = re.compile(r"([\d,]{1,15}) variables?( of (.*))?", re.DOTALL)
_PART_COUNTED = re.compile(r"([\d,]{1,15}) (hours a day|levels|points)")

_PAUSED = PROBLEM_STATES | {State.PAUSED}


class RowState(Enum):
    """State of a row: the status on disk, or that of the run in this window."""

    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"  # the run is done, but some files failed
    FOLDER_MISSING = "folder missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session. percent: 0 to 100, and 100 only if it is complete; None if unknown. used: seconds since 1970.

    here: the run is in this window.
    """

    id: str
    folder: Path
    name: str
    period: str
    files: str
    percent: int | None
    size: str
    used: float
    last_used: str
    state: RowState
    status: Term
    here: bool
    total_bytes: int
    ends_in_latest: bool = False

    @property
    def key(self) -> str:
        """Identifies the row. The session id alone is not unique: the same request in two folders has the same id."""
        return f"{self.id} {self.folder}"

    @property
    def can_resume(self) -> bool:
        return not self.here and self.state in (RowState.INTERRUPTED, RowState.FAILED, RowState.PAUSED)

    @property
    def can_update(self) -> bool:
        """Whether it can fetch what has appeared in the bucket since."""
        return self.ends_in_latest and self.can_verify

    @property
    def can_verify(self) -> bool:
        return not self.here and self.state in (RowState.INTERRUPTED, RowState.FAILED, RowState.DONE)

    @property
    def can_forget(self) -> bool:
        return not self.here and self.state is not RowState.RUNNING

    @property
    def can_open_folder(self) -> bool:
        return self.state is not RowState.FOLDER_MISSING


def rows(
    sessions: Iterable[SessionSummary],
    active: Mapping[tuple[str, Path], State] | None = None,
    *,
    now: float | None = None,
) -> list[SessionRow]:
    """Return a row for each session, in the same order. active: states of runs in this window, by id and folder."""
    moment = time.time() if now is None else now
    return [_row(summary, (active or {}).get((summary.id, summary.folder)), moment) for summary in sessions]


def _row(summary: SessionSummary, run_state: State | None, now: float) -> SessionRow:
    name, period = parts_of_title(summary.title)
    state, status = _status(summary, run_state)
    known = summary.files > 0
    return SessionRow(
        id=summary.id,
        folder=summary.folder,
        name=name if name != "?" else printable(summary.folder.name),  # a damaged session has no title
        period=period,
        files=f"{summary.done_files:,} / {summary.files:,}" if known else "",
        percent=_percent(summary) if known else None,
        size=format_size(summary.total_bytes) if known else "",
        used=summary.updated,
        last_used=ago(summary.updated, now),
        state=state,
        status=status,
        here=run_state is not None and run_state is not State.ENDED,
        total_bytes=summary.total_bytes,
        ends_in_latest=summary.ends_in_latest,
    )


def _status(summary: SessionSummary, run_state: State | None) -> tuple[RowState, Term]:
    if run_state is not None and run_state is not State.ENDED:
        return (RowState.PAUSED if run_state in _PAUSED else RowState.RUNNING), status_text.state(run_state)
    if summary.status is SessionStatus.DONE and summary.failed:
        name = ngettext("{n:,} file failed", "{n:,} files failed", summary.failed)
        return RowState.FAILED, Term(name, _("Click Resume to retry them. Complete files are not affected."))
    return RowState(summary.status.value), status_text.session_status(summary.status)


def _percent(summary: SessionSummary) -> int:
    if summary.done_files >= summary.files:
        return 100
    return min(99, int(100 * summary.done_bytes / summary.total_bytes)) if summary.total_bytes else 0


def parts_of_title(title: str) -> tuple[str, str]:
    """Split the title of a session into its name and period, for display.

    A title is, for example, "t, u of e5.oper.an.pl, 2021-02-01 to 2021-02-28 (with gaps)". For parts of files they
    follow: "; 0,12 UTC; area 54/73/18/135"; the name contains them, too.
    """
    whole, *subset = title.split("; ")
    parts = "".join(f" · {_part(text)}" for text in subset)
    found = _PERIOD.fullmatch(whole)
    if found is None:
        return _name(whole) + parts, ""
    last = _("latest") if found[3] == LATEST else found[3]
    period = f"{found[2]} – {last}" if last else found[2]
    return _name(found[1]) + parts, _("{period} (with gaps)", period=period) if found[4] else period


def _part(text: str) -> str:
    """Return a part of the description of a subset for display; one that is not known as it is."""
    if counted := _PART_COUNTED.fullmatch(text):
        number = int(counted[1].replace(",", ""))
        match counted[2]:
            case "hours a day":
                return ngettext("{n} hour", "{n} hours", number)
            case "levels":
                return ngettext("{n} level", "{n} levels", number)
        return ngettext("{n:,} point", "{n:,} points", number)
    if text == "only these days":
        return _("selected days")
    return printable(text.removeprefix("area ").removeprefix("point "))


def _name(what: str) -> str:
    if listed := _LISTED.fullmatch(what):
        return ngettext("{n:,} file from a list", "{n:,} files from a list", int(listed[1].replace(",", "")))
    if counted := _COUNTED.fullmatch(what):
        number = int(counted[1].replace(",", ""))
        variables = ngettext("{n:,} variable", "{n:,} variables", number)
    else:
        variables = what.partition(" of ")[0]
    product = what.partition(" of ")[2]
    if not product:
        return printable(_("ERA5 files") if what == "ERA5 files" else variables)
    names = {known.prefix: catalog_text.product(known).name for known in products()}
    shown = ", ".join(names.get(prefix, prefix) for prefix in product.split(" and "))
    return printable(f"{variables} · {shown}")


def ago(then: float, now: float) -> str:
    """Return a time for display: "2 min ago", "today 14:05", "yesterday 09:30" or "2026-03-01"."""
    if then <= 0:
        return ""
    seconds = now - then
    if 0 <= seconds < 60:
        return _("just now")
    if 0 <= seconds < 3600:
        return _("{minutes} min ago", minutes=int(seconds // 60))
    try:
        moment, today = datetime.fromtimestamp(then), datetime.fromtimestamp(now).date()
    except (OverflowError, OSError, ValueError):
        return ""
    clock = f"{moment:%H:%M}"
    days = (today - date(moment.year, moment.month, moment.day)).days
    if days == 0:
        return _("today {clock}", clock=clock)
    if days == 1:
        return _("yesterday {clock}", clock=clock)
    return f"{moment:%Y-%m-%d}"
