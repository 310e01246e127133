"""Two generations of a resume file on disk: ID.json and the one before it, ID.json.bak.

Saving renames the present one to .bak and then the new one into place, each at once: at every instant, a power cut
included, one whole generation lies under one of the two names. Reading takes the newest that is sound.
"""

from __future__ import annotations

from pathlib import Path

from era5dl.errors import SessionDamaged, SessionNotFound
from era5dl.folder.atomic_write import rename, replace, write_temp
from era5dl.folder.directory_handles import Place
from era5dl.session.checkpoint import Saved
from era5dl.session.resume_file import READ_LIMIT, parse
from era5dl.validation import Malformed, read_regular

REMEDY = (
    "Run the same download command again: it makes the resume file anew, keeps the files that are there and proves "
    "each of them once. The damaged file is kept beside it."
)


def previous(path: Path) -> Path:
    """Where the generation before `path` lies."""
    return path.with_name(path.name + ".bak")


def store(path: Path, data: bytes) -> None:
    """Make `data` the newest generation. Raises OSError; what was there is then still there, under either name."""
    temp = write_temp(path, [data])
    if Place.of(path).exists:
        rename(path, previous(path))
    replace(temp, path)


def load(path: Path, session_id: str) -> tuple[Saved, tuple[Path, ...]]:
    """The newest sound generation, and the files that were found damaged on the way to it.

    Raises SessionNotFound when there is neither, SessionDamaged when none is sound, OSError when the disk fails.
    """
    faults: list[str] = []
    damaged: list[Path] = []
    for file in (path, previous(path)):
        try:
            saved = parse(read_regular(file, READ_LIMIT))
            if saved.facts.id != session_id:
                raise Malformed("it belongs to another session")
            return saved, tuple(damaged)
        except FileNotFoundError:  # noqa: PERF203
            continue
        except Malformed as exc:
            damaged.append(file)
            faults.append(f"{file.name}: {exc}")
    if faults:
        raise SessionDamaged(f"the resume file in {path.parent} cannot be used ({'; '.join(faults)})", remedy=REMEDY)
    raise SessionNotFound(f"there is no session {session_id} in {path.parent.parent}")


def set_aside(path: Path) -> Path | None:
    """Give a damaged file a name of its own, NAME.damaged-N, so that nothing is lost; None when there is no file."""
    if not Place.of(path).exists:
        return None
    number = 1
    while Place.of(aside := path.with_name(f"{path.name}.damaged-{number}")).exists:
        number += 1
    rename(path, aside)
    return aside
