"""Folder scan: finds the ERA5 files in a folder by their names, with what the sessions have recorded about each.

Files are recognized by their own name alone, so it does not matter which program has put them into which folders: the
folders of the bucket, others, or none. No file is opened. Links to folders are not followed: their target is either
below the folder, and found there, or outside.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from era5dl.archive.session_records import FileRecord, SessionRecords, read_records
from era5dl.catalog import KeyParts, Variable, parse_key
from era5dl.catalog.keys import key_of_file_name
from era5dl.errors import FolderUnusable, Stopped
from era5dl.folder.disk_errors import translate_folder_errors
from era5dl.folder.paths import OWN_FOLDER
from era5dl.subset.merge_plan import MARK
from era5dl.subset.selection import EVERYTHING, Subset

MAX_ENTRIES = 4_000_000  # files and folders below the folder: five times the number of objects in the bucket
MAX_DEPTH = 32  # folders in folders
MAX_PASSED_OVER = 1000  # other netCDF files that are listed
_SUFFIX = ".nc"
_SUBSET_NAME = re.compile(r"(.+)\.([0-9a-f]{8})\.nc", re.ASCII)
_POLL_INTERVAL = 256  # folders between two calls of `stopped`


class FoundFile(NamedTuple):  # like FileRecord
    """An ERA5 file in a folder.

    folder: the folder that contains it. key: of its object in the bucket. parts: the components of the key, with the
    period. size: in bytes. modified: in ns since 1970. subset_id: "" for a whole file, else the digits in the name
    of a part. subset: what the part has of the object; EVERYTHING for a whole file; None for a part that no session
    knows (its attribute era5dl_subset says it). record: of the session that has fetched it or wants it.
    """

    folder: Path
    name: str
    key: str
    parts: KeyParts
    size: int
    modified: int
    subset_id: str
    subset: Subset | None
    record: FileRecord | None

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self.folder / self.name

    @property
    def variable(self) -> Variable | None:
        """Its variable; None if that is not in the catalogue."""
        return self.parts.variable

    @property
    def is_whole(self) -> bool:
        """Whether it has all of the object."""
        return not self.subset_id

    @property
    def start(self) -> datetime:
        """The first time stamp of its key."""
        return self.parts.start

    @property
    def end(self) -> datetime:
        """The second time stamp of its key."""
        return self.parts.end


@dataclass(frozen=True, slots=True)
class Scan:
    """Result of `scan_folder`.

    files: sorted by product, variable, start and name. records: of all sessions, also about files that are not there.
    passed_over: what was left out, as path below the folder and reason, at most MAX_PASSED_OVER; others: the number of
    all of these.
    """

    folder: Path
    files: tuple[FoundFile, ...]
    records: SessionRecords
    passed_over: tuple[tuple[str, str], ...]
    others: int


def scan_folder(folder: Path, stopped: Callable[[], bool] = lambda: False) -> Scan:
    """Return the ERA5 files in a folder and its subfolders, without opening them.

    Raises FolderUnusable if it is no folder, cannot be read, or has more than MAX_ENTRIES entries; Stopped.
    """
    root = Path(folder).absolute()
    with translate_folder_errors(root):
        if not root.is_dir():
            raise FolderUnusable(f"{root} is not a folder", remedy="Give the folder with the downloaded files.")
    records = read_records(root, stopped)
    walk = _Walk(root, stopped)
    found = [one for entry in walk.netcdf_files() if (one := _found_file(entry, records, walk))]
    found.sort(key=lambda one: (one.parts.product.prefix, one.parts.table, one.parts.param, one.start, one.name))
    return Scan(root, tuple(found), records, tuple(walk.passed_over), walk.others)


@dataclass(frozen=True, slots=True)
class _Entry:
    folder: Path
    place: str  # of the folder, below the root
    name: str
    status: os.stat_result


class _Walk:
    """Walks through a folder without following links to folders."""

    def __init__(self, root: Path, stopped: Callable[[], bool]) -> None:
        self._root, self._stopped = root, stopped
        self.passed_over: list[tuple[str, str]] = []
        self.others = 0

    def pass_over(self, place: str, name: str, reason: str) -> None:
        """Record something that is left out."""
        self.others += 1
        if len(self.passed_over) < MAX_PASSED_OVER:
            self.passed_over.append((f"{place}/{name}" if place else name, reason))

    def netcdf_files(self) -> Iterator[_Entry]:
        """Yield all regular files NAME.nc, other than merged ones. Raises FolderUnusable, Stopped."""
        todo = [("", 0)]
        entries = folders = 0
        while todo:
            place, depth = todo.pop()
            folders += 1
            if folders % _POLL_INTERVAL == 0 and self._stopped():
                raise Stopped("while searching for files")
            path = self._root / place if place else self._root
            for entry in self._entries(path, place):
                entries += 1
                if entries > MAX_ENTRIES:
                    raise FolderUnusable(
                        f"{self._root} has more than {MAX_ENTRIES:,} files and folders",
                        remedy="Give the folder with the downloaded files, not one above it.",
                    )
                name = entry.name
                if entry.is_dir(follow_symlinks=False):
                    if name == OWN_FOLDER:
                        continue
                    if depth < MAX_DEPTH:
                        todo.append((f"{place}/{name}" if place else name, depth + 1))
                    else:
                        self.pass_over(place, name, "too many folders in one another")
                elif name.endswith(_SUFFIX) and MARK not in name:
                    if status := self._status(entry, place):
                        yield _Entry(path, place, name, status)
                elif entry.is_symlink() and entry.is_dir():
                    self.pass_over(place, name, "a link to a folder, which is not followed")

    def _entries(self, path: Path, place: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(path) as entries:
                yield from entries
        except OSError as error:
            if not place:
                with translate_folder_errors(path):
                    raise
            self.pass_over(place, "", error.strerror or str(error))

    def _status(self, entry: os.DirEntry[str], place: str) -> os.stat_result | None:
        """Return the status of a regular file, also if it is a link to one; None for anything else."""
        try:
            status = entry.stat()
        except OSError as error:  # such as a link that leads nowhere
            self.pass_over(place, entry.name, error.strerror or str(error))
            return None
        if stat.S_ISREG(status.st_mode):
            return status
        self.pass_over(place, entry.name, "not a regular file")
        return None


def _found_file(entry: _Entry, records: SessionRecords, walk: _Walk) -> FoundFile | None:
    record = records.files.get(entry.name)
    match = _SUBSET_NAME.fullmatch(entry.name) if record is None or not record.subset.is_everything else None
    name, subset_id = (f"{match[1]}{_SUFFIX}", match[2]) if match else (entry.name, "")
    key = record.version.key if record else key_of_file_name(name)
    parts = records.parts.get(key) or parse_key(key)
    if parts is None:
        walk.pass_over(entry.place, entry.name, "not the name of an ERA5 file")
        return None
    subset: Subset | None = EVERYTHING
    if subset_id:
        subset = record.subset if record else None
    status = entry.status
    return FoundFile(
        entry.folder, entry.name, key, parts, status.st_size, status.st_mtime_ns, subset_id, subset, record
    )
