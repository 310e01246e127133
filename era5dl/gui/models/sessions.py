"""The sessions as the table of the Sessions page shows them: one row a session, every cell a text. Tk-free."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path

from era5dl.catalog import products
from era5dl.engine.events import PROBLEM_STATES, State
from era5dl.formatting import format_size, printable
from era5dl.gui.text import catalog_text, status_text
from era5dl.gui.text.i18n import Term, _, ngettext
from era5dl.session.summary import SessionStatus, SessionSummary

_PERIOD = re.compile(r"(.*), (\d{4}-\d\d-\d\d)(?: to (\d{4}-\d\d-\d\d))?( \(with gaps\))?", re.DOTALL)
_LISTED = re.compile(r"([\d,]{1,15}) keys? from a list")
_COUNTED = re.compile(r"([\d,]{1,15}) variables?( of (.*))?", re.DOTALL)

_PAUSED = PROBLEM_STATES | {State.PAUSED}


class RowState(Enum):
    """How a row looks; besides the standings of the disk there is what only this window knows."""

    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"  # all was tried, some files failed
    FOLDER_MISSING = "folder missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session. percent: 0 to 100, never 100 before all is done. used: seconds since 1970, for sorting."""

    id: str
    folder: Path
    name: str
    period: str
    files: str
    percent: int | None  # None: nothing is known
    size: str
    used: float
    last_used: str
    standing: RowState
    status: Term
    here: bool  # it is the one that this window is working on
    total_bytes: int

    @property
    def key(self) -> str:
        """Tells rows apart: the same session may have been begun in two folders."""
        return f"{self.id} {self.folder}"

    @property
    def can_resume(self) -> bool:
        return not self.here and self.standing in (RowState.INTERRUPTED, RowState.FAILED, RowState.PAUSED)

    @property
    def can_verify(self) -> bool:
        return not self.here and self.standing in (RowState.INTERRUPTED, RowState.FAILED, RowState.DONE)

    @property
    def can_forget(self) -> bool:
        return not self.here and self.standing is not RowState.RUNNING

    @property
    def can_open_folder(self) -> bool:
        return self.standing is not RowState.FOLDER_MISSING


def rows(
    sessions: Iterable[SessionSummary],
    active: Mapping[tuple[str, Path], State] | None = None,
    *,
    now: float | None = None,
) -> list[SessionRow]:
    """A row for each session, in their order. active: what this window is doing with which of them."""
    moment = time.time() if now is None else now
    return [_row(summary, (active or {}).get((summary.id, summary.folder)), moment) for summary in sessions]


def _row(summary: SessionSummary, doing: State | None, now: float) -> SessionRow:
    name, period = parts_of_title(summary.title)
    standing, status = _status(summary, doing)
    known = summary.files > 0
    return SessionRow(
        id=summary.id,
        folder=summary.folder,
        name=name if name != "?" else printable(summary.folder.name),  # what is damaged cannot say what it was
        period=period,
        files=f"{summary.done_files:,} / {summary.files:,}" if known else "",
        percent=_percent(summary) if known else None,
        size=format_size(summary.total_bytes) if known else "",
        used=summary.updated,
        last_used=ago(summary.updated, now),
        standing=standing,
        status=status,
        here=doing is not None and doing is not State.ENDED,
        total_bytes=summary.total_bytes,
    )


def _status(summary: SessionSummary, doing: State | None) -> tuple[RowState, Term]:
    if doing is not None and doing is not State.ENDED:
        return (RowState.PAUSED if doing in _PAUSED else RowState.RUNNING), status_text.state(doing)
    if summary.status is SessionStatus.DONE and summary.failed:
        name = ngettext("{n:,} file failed", "{n:,} files failed", summary.failed)
        return RowState.FAILED, Term(name, _("Press Resume to try them again; complete files are not touched."))
    return RowState(summary.status.value), status_text.session_status(summary.status)


def _percent(summary: SessionSummary) -> int:
    if summary.done_files >= summary.files:
        return 100
    return min(99, int(100 * summary.done_bytes / summary.total_bytes)) if summary.total_bytes else 0


def parts_of_title(title: str) -> tuple[str, str]:
    """What a session is called and which days it is about, from a title such as
    "t, u of e5.oper.an.pl, 2021-02-01 to 2021-02-28 (with gaps)"."""
    found = _PERIOD.fullmatch(title)
    if found is None:
        return _name(title), ""
    period = found[2] if not found[3] else f"{found[2]} – {found[3]}"
    return _name(found[1]), _("{period} (with gaps)", period=period) if found[4] else period


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
    """When that was, as one says it: "2 min ago", "today 14:05", "yesterday 09:30", "2026-03-01"."""
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
