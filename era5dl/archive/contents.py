"""What a file says about itself: its size in the HDF5 header, the times that it has, and what it is a part of."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from era5dl.archive.scan import FoundFile
from era5dl.archive.states import times_of
from era5dl.errors import BadSelection, Stopped
from era5dl.folder.directory_handle import DirectoryHandle
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.hdf5 import DamagedFile, Index, UnsupportedLayout
from era5dl.hdf5.superblock import MAX_SIZE, SIGNATURE, end_of_file_address
from era5dl.subset.find_parts import open_part, read_local_index, subset_form
from era5dl.subset.geometry import absent_times
from era5dl.subset.selection import EVERYTHING, Subset


def file_errors(root: Path, files: Iterable[FoundFile], stopped: Callable[[], bool]) -> dict[Path, int | str | OSError]:
    """Return what is wrong with files, by path: the size that a file should have according to its header, why it is
    not an HDF5 file, or why it cannot be read. Reads 96 bytes of each. Raises Stopped.
    """
    folders: dict[Path, list[FoundFile]] = {}
    for file in files:
        folders.setdefault(file.folder, []).append(file)
    errors: dict[Path, int | str | OSError] = {}
    for folder, members in folders.items():
        if stopped():
            raise Stopped("while reading the headers of files")
        names = folder.relative_to(root).parts
        try:
            with DirectoryHandle(str(root), names, create=False) as handle:
                for file in members:
                    if error := _file_error(handle, file):
                        errors[file.path] = error
        except OSError as error:
            errors.update((file.path, error) for file in members)
    return errors


def _file_error(handle: DirectoryHandle, file: FoundFile) -> int | str | OSError:
    """Return what is wrong with one file; "" if nothing is."""
    try:
        fd = handle.open(file.name, os.O_RDONLY, follow_link=True)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return "it is not a regular file"
            head = os.read(fd, MAX_SIZE)
        finally:
            os.close(fd)
    except OSError as error:
        return error
    expected = end_of_file_address(head)
    if expected is None:
        if head.startswith(SIGNATURE):
            return "it ends within its header"
        return "" if head.startswith(b"CDF") else "it is not an HDF5 file"
    return "" if expected == file.size else expected


def missing_times(root: Path, file: FoundFile) -> tuple[int, ...]:
    """Return the valid times (hours since 1900) that a whole file lacks, although its name says that it has them.

    Returns () for parts, and for files whose layout cannot be read. Raises DiskError.
    """
    index = _index(root, file) if file.is_whole else None
    try:
        lacking = frozenset(absent_times(index, file.parts)) if index else frozenset()
    except UnsupportedLayout:
        return ()
    return tuple(time for time in times_of(file.parts, EVERYTHING) if time in lacking)


def read_subset(root: Path, file: FoundFile) -> Subset | None:
    """Return what a part has of its object, as its attributes say; None if they do not. Raises DiskError."""
    index = _index(root, file)
    try:
        return Subset.from_json(subset_form(index)) if index else None
    except (UnsupportedLayout, BadSelection):
        return None


def _index(root: Path, file: FoundFile) -> Index | None:
    with open_part(root, file.path) as opened, translate_disk_errors(file.path):
        try:
            return read_local_index(opened)
        except (DamagedFile, UnsupportedLayout):
            return None
