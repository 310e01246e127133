"""Sessions in a few figures: what a list of them shows. Reads resume files only; takes no lock, writes nothing."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from era5dl.errors import SessionDamaged, SessionNotFound
from era5dl.folder.paths import OWN_FOLDER
from era5dl.formatting import count
from era5dl.locks.lock_file import current_owner
from era5dl.session.backup import load

SESSION_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)
_FILE = re.compile(r"([0-9a-f]{12})\.json(\.bak)?", re.ASCII)
_TABLE_NUMBERS = re.compile(r"^\d+_\d+_", re.ASCII)  # 128_130_t: table 128, parameter 130
_NAMES_SHOWN = 5
MOST_LISTED = 500  # sessions of one folder
_PATIENCE = 10.0  # seconds that reading them may take


class Standing(str, Enum):
    """How a session stands, as far as one can see from outside."""

    INTERRUPTED = "interrupted"
    DONE = "done"
    RUNNING = "running"
    FOLDER_MISSING = "folder missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Summary:
    """One session in a list. Sizes in bytes, instants in seconds since 1970."""

    id: str
    folder: Path
    title: str
    created: float
    updated: float
    files: int
    done_files: int
    total_bytes: int
    done_bytes: int
    failed: int
    ended: bool
    state: Standing


def list_sessions(folder: Path) -> list[Summary]:
    """The sessions of a folder, the one touched last first. No folder, or none in it: an empty list."""
    home = Path(folder).absolute() / OWN_FOLDER
    give_up = time.monotonic() + _PATIENCE
    found = []
    for session_id in _ids(home):
        if time.monotonic() > give_up:
            break
        found.append(summary_of(home, session_id))
    return sorted(found, key=lambda summary: (summary.updated, summary.id), reverse=True)


def _ids(home: Path) -> list[str]:
    """The sessions whose files are there. Of more than a person can have begun only those touched last: anybody may
    have put files there."""
    touched: dict[str, float] = {}
    try:
        with os.scandir(home) as entries:
            for entry in entries:
                if match := _FILE.fullmatch(entry.name):
                    touched[match[1]] = max(touched.get(match[1], 0.0), entry.stat(follow_symlinks=False).st_mtime)
    except OSError:
        pass  # what was seen until then
    return sorted(touched, key=lambda one: touched[one], reverse=True)[:MOST_LISTED]


def summary_of(home: Path, session_id: str) -> Summary:
    """The figures of one session, whatever state it is in."""
    path = home / f"{session_id}.json"
    try:
        saved, _ = load(path, session_id)
    except (SessionDamaged, SessionNotFound, OSError):
        return absent(session_id, home.parent, "?", _touched(path), Standing.DAMAGED)
    facts, progress = saved.facts, saved.checkpoint
    if current_owner(path.with_suffix(".lock")) is not None:
        state = Standing.RUNNING
    else:
        state = Standing.DONE if progress.ended else Standing.INTERRUPTED
    done = progress.verified.total() + progress.checked.total()
    return Summary(
        id=session_id,
        folder=home.parent,
        title=facts.title,
        created=facts.created,
        updated=saved.updated,
        files=facts.files,
        done_files=done,
        total_bytes=facts.total_bytes,
        done_bytes=progress.done_bytes,
        failed=saved.failed,
        ended=progress.ended,
        state=state,
    )


def absent(session_id: str, folder: Path, title: str, updated: float, state: Standing) -> Summary:
    """A session of which there is nothing to read."""
    return Summary(session_id, folder, title, updated, updated, 0, 0, 0, 0, 0, False, state)


def title_of(request: Mapping[str, Any]) -> str:
    """A request in words: "t, u, v of e5.oper.an.pl, 2021-02-01 to 2021-02-28"; works on any request."""
    number = request.get("count")
    if type(number) is int:
        return f"{count(number, 'key')} from a list"
    selection = request.get("selection")
    if not isinstance(selection, Mapping):
        return "ERA5 files"
    what = _variables_in_words(selection.get("variables"))
    when = _days_in_words(selection.get("days"))
    return f"{what}, {when}" if when else what


def _variables_in_words(names: object) -> str:
    if not isinstance(names, list) or not names:
        return "ERA5 files"
    products: dict[str, list[str]] = {}
    for name in names:
        product, _, variable = str(name).rpartition("/")
        products.setdefault(product, []).append(_TABLE_NUMBERS.sub("", variable))
    if len(names) > _NAMES_SHOWN:
        what = count(len(names), "variable")
    else:
        what = ", ".join(variable for variables in products.values() for variable in variables)
    return f"{what} of {' and '.join(products)}" if len(products) <= 2 and all(products) else what


def _days_in_words(days: object) -> str:
    if not isinstance(days, list) or not days or not all(isinstance(span, list) and len(span) == 2 for span in days):
        return ""
    first, last = str(days[0][0]), str(days[-1][1])
    if first == last:
        return first
    return f"{first} to {last}" + (" (with gaps)" if len(days) > 1 else "")


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
