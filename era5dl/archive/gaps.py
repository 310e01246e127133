"""Lists of keys to fetch what an archive lacks, one for each subset, with the command that fetches it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from era5dl.archive.states import AuditedFile
from era5dl.formatting import format_count
from era5dl.subset.selection import EVERYTHING, Subset

_MOST_POINTS = 20  # that are written as flags


GAPS_MARK = b" to fetch"
"""In the first line of each list, so that it is recognised when the next one replaces it."""


@dataclass(frozen=True, slots=True)
class GapList:
    """Keys of which the same is wanted. subset: without days, because a list of keys has none; then all days of these
    files are fetched."""

    subset: Subset
    keys: tuple[str, ...]

    def command(self, path: Path, folder: Path) -> str:
        """Return the command that downloads what is in this list, which is in the file `path`, into the folder."""
        words = ["era5dl", "download", "--keys-file", str(path), "--out", str(folder), *_flags(self.subset)]
        return shlex.join(words)

    def text(self, path: Path, folder: Path) -> str:
        """Return the content of the file `path`: the keys, one per line, after a comment with the command."""
        lines = [
            f"# {format_count(len(self.keys), 'file')} to fetch with",
            f"# {self.command(path, folder)}",
            *self.keys,
        ]
        return "\n".join(line.replace("\n", " ") for line in lines) + "\n"


def gap_lists(gaps: Iterable[AuditedFile]) -> tuple[GapList, ...]:
    """Return the keys of these files, in lists of the same subset; whole files first."""
    keys: dict[Subset, dict[str, None]] = {}
    for file in gaps:
        keys.setdefault(replace(file.subset or EVERYTHING, days=()), {})[file.key] = None
    lists = [GapList(subset, tuple(found)) for subset, found in keys.items()]
    return tuple(sorted(lists, key=lambda one: not one.subset.is_everything))


def gap_paths(path: Path, count: int) -> Iterator[Path]:
    """Yield the paths for this many lists: gaps.txt, gaps-2.txt, gaps-3.txt."""
    for number in range(1, count + 1):
        yield path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _flags(subset: Subset) -> Iterator[str]:
    if subset.hours:
        yield from ("--hours", ",".join(map(str, subset.hours)))
    if subset.levels:
        yield from ("--levels", ",".join(map(str, subset.levels)))
    if subset.area:
        yield f"--area={subset.area}"
    for point in subset.points[:_MOST_POINTS]:
        yield f"--point={point}"
    if len(subset.points) > _MOST_POINTS:
        yield from ("--points", "POINTS.csv")
