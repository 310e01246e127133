"""The sessions this user has begun, wherever their folders are: a small file in the user's own state folder.

A convenience and nothing more: it is rebuilt as sessions are used, and whatever is wrong with it, a download neither
stops nor waits for it.
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
from era5dl.folder.private_files import close_files, make_private_folder
from era5dl.locks.lock_file import Lock
from era5dl.session.backup import previous, set_aside
from era5dl.session.summary import Standing, Summary, absent, summary_of
from era5dl.validation import Fields, Malformed, parse_json, read_regular

MAX_ENTRIES = 500
_LIMIT = 8 * 1024 * 1024
_FORMAT = "era5dl-sessions"
_PATIENCE = 1.0  # seconds to wait for another program that is writing


@dataclass(frozen=True, slots=True)
class Entry:
    """One session that was begun."""

    id: str
    folder: str
    title: str
    created: float
    updated: float  # when it was last opened


def state_folder() -> Path:
    """Where this user's era5dl keeps what belongs to no download: ERA5DL_STATE_DIR, or the system's usual place."""
    chosen = os.environ.get("ERA5DL_STATE_DIR")
    if chosen:
        return Path(chosen).absolute()
    import platformdirs  # not needed to import this package

    return platformdirs.user_state_path("era5dl", appauthor=False)


def remember(session_id: str, folder: Path, title: str, created: float) -> None:
    """Put a session at the head of the list. Never fails."""
    entry = Entry(session_id, str(folder), title, created, time.time())
    _change(lambda entries: [entry, *_without(entries, session_id, str(folder))][:MAX_ENTRIES])


def forget(session_id: str, folder: Path) -> None:
    """Take a session off the list. Never fails, and touches nothing in its folder."""
    _change(lambda entries: _without(entries, session_id, str(folder)))


def entries() -> list[Entry]:
    """The list, newest first; empty when there is none that can be read."""
    try:
        return _read(state_folder() / "sessions.json")
    except (OSError, Malformed):
        return []


def known_sessions() -> list[Summary]:
    """Every session on the list as it stands now, newest first."""
    return [_summary(entry) for entry in entries()]


def folder_of(session_id: str) -> Path | None:
    """The folder of a session on the list, the one used last when several folders have it."""
    return next((Path(entry.folder) for entry in entries() if entry.id == session_id), None)


def _summary(entry: Entry) -> Summary:
    home = Path(entry.folder) / OWN_FOLDER
    path = home / f"{entry.id}.json"
    try:
        there = any(map(os.path.lexists, (path, previous(path))))
    except (OSError, ValueError):
        there = False
    if not there:
        return absent(entry.id, home.parent, entry.title, entry.updated, Standing.FOLDER_MISSING)
    return summary_of(home, entry.id)


def _without(entries: list[Entry], session_id: str, folder: str) -> list[Entry]:
    return [entry for entry in entries if (entry.id, entry.folder) != (session_id, folder)]


def _change(change: Callable[[list[Entry]], list[Entry]]) -> None:
    """Read, change, write, while no other program does. A state folder that cannot be used is left alone."""
    try:
        folder = state_folder()
        make_private_folder(folder)
        lock = _lock(folder / "sessions.lock")
        try:
            close_files([lock.path])
            path = folder / "sessions.json"
            try:
                known = _read(path)
            except Malformed:
                set_aside(path)
                known = []
            body = {"format": _FORMAT, "version": 1, "sessions": [asdict(entry) for entry in change(known)]}
            write_atomically(path, [json.dumps(body, indent=1).encode("ascii")], private_files.FILE)
        finally:
            lock.release()
    except (OSError, ValueError, RuntimeError, Era5Error):
        return  # RuntimeError: no home folder


def _lock(path: Path) -> Lock:
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return Lock.acquire(path)
        except Era5Error:  # noqa: PERF203
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)


def _read(path: Path) -> list[Entry]:
    """Raises Malformed, OSError; no file is an empty list."""
    try:
        data = read_regular(path, _LIMIT)
    except FileNotFoundError:
        return []
    top = Fields(parse_json(data))
    if top.text("format") != _FORMAT or top.whole("version") != 1:
        raise Malformed("it is not a list of sessions that this version knows")
    return [_entry(item) for item in top.items("sessions", MAX_ENTRIES)]


def _entry(raw: object) -> Entry:
    item = Fields(raw)
    return Entry(
        item.hex("id", 12), item.text("folder"), item.text("title"), item.instant("created"), item.instant("updated")
    )
