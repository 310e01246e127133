"""Session summaries: progress and status of sessions, for lists. Only reads files, and acquires no lock."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from era5dl.days import LATEST
from era5dl.errors import SessionDamaged, SessionNotFound
from era5dl.folder.paths import OWN_FOLDER
from era5dl.locks.lock_file import current_owner
from era5dl.session import resume_file

MAX_LISTED = 500  # sessions of one folder
_MAX_READ_TIME = 10.0  # seconds for reading them
_RESUME_FILE = re.compile(r"([0-9a-f]{12})\.json(\.bak)?", re.ASCII)


class SessionStatus(str, Enum):
    """The status of a session according to its files."""

    INTERRUPTED = "interrupted"
    DONE = "done"
    RUNNING = "running"
    FOLDER_MISSING = "folder missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One session in a list. Sizes in bytes, times in seconds since 1970."""

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
    status: SessionStatus
    ends_in_latest: bool = False


def list_sessions(folder: Path) -> list[SessionSummary]:
    """Return the sessions of a folder, the one saved last first; an empty list if there are none."""
    home = Path(folder).absolute() / OWN_FOLDER
    deadline = time.monotonic() + _MAX_READ_TIME
    found = []
    for session_id in _session_ids(home):
        if time.monotonic() > deadline:
            break
        found.append(summary_of(home, session_id))
    return sorted(found, key=lambda summary: (summary.updated, summary.id), reverse=True)


def _session_ids(home: Path) -> list[str]:
    """Return the ids of the MAX_LISTED sessions in a folder that were saved last.

    The limit is for folders that somebody has filled with files that look like sessions.
    """
    modified: dict[str, float] = {}
    try:
        with os.scandir(home) as entries:
            for entry in entries:
                if match := _RESUME_FILE.fullmatch(entry.name):
                    modified[match[1]] = max(modified.get(match[1], 0.0), entry.stat(follow_symlinks=False).st_mtime)
    except OSError:
        pass  # return the sessions found so far
    return sorted(modified, key=lambda one: modified[one], reverse=True)[:MAX_LISTED]


def summary_of(home: Path, session_id: str) -> SessionSummary:
    """Return the summary of one session; never fails. home: OUT/.era5dl."""
    path = home / f"{session_id}.json"
    try:
        saved, _ = resume_file.read(path, session_id)
    except (SessionDamaged, SessionNotFound, OSError):
        return unreadable(session_id, home.parent, "?", _modification_time(path), SessionStatus.DAMAGED)
    info, checkpoint = saved.info, saved.checkpoint
    if current_owner(path.with_suffix(".lock")) is not None:
        status = SessionStatus.RUNNING
    else:
        status = SessionStatus.DONE if checkpoint.ended else SessionStatus.INTERRUPTED
    return SessionSummary(
        id=session_id,
        folder=home.parent,
        title=info.title,
        created=info.created,
        updated=saved.updated,
        files=info.files,
        done_files=checkpoint.finished.total(),
        total_bytes=info.total_bytes,
        done_bytes=checkpoint.done_bytes,
        failed=saved.failed,
        ended=checkpoint.ended,
        status=status,
        ends_in_latest=f" to {LATEST}" in info.title.partition(";")[0],
    )


def unreadable(session_id: str, folder: Path, title: str, updated: float, status: SessionStatus) -> SessionSummary:
    """Return the summary of a session whose resume file is missing or damaged."""
    return SessionSummary(session_id, folder, title, updated, updated, 0, 0, 0, 0, 0, False, status)


def _modification_time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
