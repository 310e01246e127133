"""Session index: a list of this user's sessions in all folders, stored in the user's state folder.

It is only a convenience: errors with it never stop a download, and sessions are added again when they are used.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from era5dl.errors import Era5Error
from era5dl.folder import private_files
from era5dl.folder.atomic_write import write_atomically
from era5dl.folder.paths import OWN_FOLDER
from era5dl.folder.private_files import make_private_folder, restrict_files
from era5dl.locks.lock_file import Lock
from era5dl.session.resume_file import backup_path, rename_damaged
from era5dl.session.summary import SessionStatus, SessionSummary, summary_of, unreadable
from era5dl.validation import JsonObject, Malformed, parse_json, read_regular_file

MAX_ENTRIES = 500
_MAX_FILE_SIZE = 8 * 1024 * 1024  # bytes
_FORMAT = "era5dl-sessions"
_LOCK_TIMEOUT = 1.0  # seconds to wait while another program is writing


@dataclass(frozen=True, slots=True)
class Entry:
    """One session, with the fields of the file. Times are seconds since 1970."""

    id: str
    folder: str
    title: str
    created: float
    updated: float  # when it was last opened


def state_folder() -> Path:
    """Return the folder for files that do not belong to a download: ERA5DL_STATE_DIR, or the system's default."""
    chosen = os.environ.get("ERA5DL_STATE_DIR")
    if chosen:
        return Path(chosen).absolute()
    import platformdirs  # not needed to import this package

    return platformdirs.user_state_path("era5dl", appauthor=False)


def remember(session_id: str, folder: Path, title: str, created: float) -> None:
    """Put a session at the top of the list. Never fails."""
    entry = Entry(session_id, str(folder), title, created, time.time())
    _update(lambda entries: [entry, *_without(entries, session_id, str(folder))][:MAX_ENTRIES])


def forget(session_id: str, folder: Path) -> None:
    """Remove a session from the list; its files are not changed. Never fails."""
    _update(lambda entries: _without(entries, session_id, str(folder)))


def entries() -> list[Entry]:
    """Return the list, the session used last first; an empty one if the file is missing or unreadable."""
    try:
        return _read(state_folder() / "sessions.json")
    except (OSError, Malformed):
        return []


def known_sessions() -> list[SessionSummary]:
    """Return the current state of every session on the list, the one used last first."""
    return [_summarize(entry) for entry in entries()]


def folder_of(session_id: str) -> Path | None:
    """Return the folder of a session on the list; the one used last if several folders have this session."""
    return next((Path(entry.folder) for entry in entries() if entry.id == session_id), None)


def _summarize(entry: Entry) -> SessionSummary:
    home = Path(entry.folder) / OWN_FOLDER
    path = home / f"{entry.id}.json"
    try:
        exists = any(map(os.path.lexists, (path, backup_path(path))))
    except (OSError, ValueError):
        exists = False
    if not exists:
        return unreadable(entry.id, home.parent, entry.title, entry.updated, SessionStatus.FOLDER_MISSING)
    return summary_of(home, entry.id)


def _without(entries: list[Entry], session_id: str, folder: str) -> list[Entry]:
    return [entry for entry in entries if (entry.id, entry.folder) != (session_id, folder)]


def _update(change: Callable[[list[Entry]], list[Entry]]) -> None:
    """Read, change and write the list under a lock. Errors of the state folder are ignored."""
    try:
        folder = state_folder()
        make_private_folder(folder)
        lock = _acquire(folder / "sessions.lock")
        try:
            restrict_files([lock.path])
            path = folder / "sessions.json"
            try:
                known = _read(path)
            except Malformed:
                rename_damaged(path)
                known = []
            body = {"format": _FORMAT, "version": 1, "sessions": [asdict(entry) for entry in change(known)]}
            write_atomically(path, [json.dumps(body, indent=1).encode("ascii")], private_files.FILE_MODE)
        finally:
            lock.release()
    except (OSError, ValueError, RuntimeError, Era5Error):
        return  # RuntimeError: the user has no home folder


def _acquire(path: Path) -> Lock:
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            return Lock.acquire(path)
        except Era5Error:  # noqa: PERF203
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _read(path: Path) -> list[Entry]:
    """Return the entries of the file; none if there is no file. Raises Malformed, OSError."""
    try:
        data = read_regular_file(path, _MAX_FILE_SIZE)
    except FileNotFoundError:
        return []
    top = JsonObject(parse_json(data))
    if top.text("format") != _FORMAT or top.integer("version") != 1:
        raise Malformed("it is not a list of sessions that this version knows")
    return [_parse_entry(item) for item in top.array("sessions", MAX_ENTRIES)]


def _parse_entry(raw: object) -> Entry:
    item = JsonObject(raw)
    return Entry(
        item.hex("id", 12),
        item.text("folder"),
        item.text("title"),
        item.timestamp("created"),
        item.timestamp("updated"),
    )
