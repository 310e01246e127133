"""Resume file: reads and writes ID.json, and keeps the previous version as a backup in ID.json.bak.

Saving renames the current file to .bak and then the new file to ID.json, each atomically. So at any time, even after a
power cut, there is a complete version under one of the two names. Reading returns the newest undamaged version.
"""

from __future__ import annotations

from pathlib import Path

from era5dl.errors import SessionDamaged, SessionNotFound
from era5dl.folder.atomic_write import rename, replace, write_temp
from era5dl.folder.confined_path import ConfinedPath
from era5dl.session.checkpoint import SavedSession
from era5dl.session.resume_format import HEAD_LENGTH, READ_LIMIT, parse, token_of
from era5dl.validation import Malformed, open_regular_file, read_regular_file

REMEDY = (
    "Run the same download command again: it creates a new resume file, keeps the existing files and verifies each of "
    "them once. The damaged file is kept under another name."
)


def backup_path(path: Path) -> Path:
    """Return the path of the previous version of the resume file at `path`."""
    return path.with_name(path.name + ".bak")


def exists(path: Path) -> bool:
    """Return whether there is a resume file or its backup. Raises OSError."""
    return any(ConfinedPath.from_path(file).exists for file in (path, backup_path(path)))


def saved_by(path: Path) -> str:
    """Return the token of the lock under which the file was saved; "" if there is none. Raises OSError."""
    try:
        with open_regular_file(path) as file:
            return token_of(file.read(HEAD_LENGTH))
    except (FileNotFoundError, Malformed):
        return ""


def write(path: Path, data: bytes) -> None:
    """Save a new version. Raises OSError; then the previous version still exists under one of the two names."""
    temp = write_temp(path, [data])
    if ConfinedPath.from_path(path).exists:
        rename(path, backup_path(path))
    replace(temp, path)


def read(path: Path, session_id: str) -> tuple[SavedSession, tuple[Path, ...]]:
    """Return the newest undamaged version, and the damaged files that were skipped.

    Raises SessionNotFound if there is no file, SessionDamaged if all are damaged, OSError if the disk fails.
    """
    problems: list[str] = []
    damaged: list[Path] = []
    for file in (path, backup_path(path)):
        try:
            saved = parse(read_regular_file(file, READ_LIMIT))
            if saved.info.id != session_id:
                raise Malformed("it belongs to another session")
            return saved, tuple(damaged)
        except FileNotFoundError:  # noqa: PERF203
            continue
        except Malformed as exc:
            damaged.append(file)
            problems.append(f"{file.name}: {exc}")
    if problems:
        raise SessionDamaged(f"the resume file in {path.parent} cannot be used ({'; '.join(problems)})", remedy=REMEDY)
    raise SessionNotFound(f"there is no session {session_id} in {path.parent.parent}")


def read_if_usable(path: Path) -> tuple[SavedSession | None, list[str]]:
    """Like `read`, but return None if there is no undamaged version.

    Damaged files are renamed. The second value has a message for the user about each of them. Raises OSError.
    """
    try:
        saved, damaged = read(path, path.stem)
        return saved, [keep_damaged(file) for file in damaged]
    except SessionNotFound:
        return None, []
    except SessionDamaged:
        return None, [keep_damaged(file) for file in (path, backup_path(path)) if ConfinedPath.from_path(file).exists]


def keep_damaged(file: Path) -> str:
    """Rename a damaged file as in `rename_damaged`; return a message for the user. Raises OSError."""
    renamed = rename_damaged(file)
    return f"{file.name} was damaged; it is kept as {renamed.name if renamed else 'it was'}."


def rename_damaged(path: Path) -> Path | None:
    """Rename a damaged file to NAME.damaged-N, with the first free N, so that nothing is lost.

    Return the new path; None if there is no such file. Raises OSError.
    """
    if not ConfinedPath.from_path(path).exists:
        return None
    number = 1
    while ConfinedPath.from_path(renamed := path.with_name(f"{path.name}.damaged-{number}")).exists:
        number += 1
    rename(path, renamed)
    return renamed
