"""Finds the downloaded files of a folder that can be merged, by the attributes that say where they come from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from era5dl.catalog import parse_key
from era5dl.catalog.keys import key_of_file_name
from era5dl.errors import BadSelection, DiskError, FolderUnusable, Stopped, UnsafeKey
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.folder.paths import OWN_FOLDER
from era5dl.hdf5 import DamagedFile, Index, SparseBytes, UnsupportedLayout, complete_index, first_ranges
from era5dl.ranges import Range
from era5dl.subset.merge_plan import MARK, Part, make_part

_SUFFIX = ".nc"


@dataclass(frozen=True, slots=True)
class FoundParts:
    """Result of `find_parts`. passed_over: the other netCDF files, each with the reason why it is not merged."""

    parts: tuple[Part, ...]
    passed_over: tuple[tuple[Path, str], ...]


def find_parts(folder: Path, stopped: Callable[[], bool] = lambda: False) -> FoundParts:
    """Return the downloaded files in a folder and its subfolders: subsets, and whole files with their usual names.

    Merged files are ignored; other netCDF files are in `passed_over`. Raises FolderUnusable, Stopped.
    """
    if not folder.is_dir():
        raise FolderUnusable(f"{folder} is not a folder", remedy="Give the folder with the downloaded files.")
    parts: list[Part] = []
    passed_over: list[tuple[Path, str]] = []
    for path in _netcdf_files(folder):
        if stopped():
            raise Stopped("while searching for files")
        try:
            parts.append(_part_of(folder, path))
        except (UnsupportedLayout, DamagedFile, DiskError, UnsafeKey, BadSelection) as error:
            passed_over.append((path, str(error)))
    return FoundParts(tuple(parts), tuple(passed_over))


def _netcdf_files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):  # does not follow links
        folders[:] = sorted(name for name in folders if name != OWN_FOLDER)
        yield from (Path(place, name) for name in sorted(names) if name.endswith(_SUFFIX) and MARK not in name)


def _part_of(folder: Path, path: Path) -> Part:
    with open_part(folder, path) as file:
        index = read_local_index(file)
    source = _text(index, "era5dl_source")
    if not source:  # a whole file; its ETag is not in it
        key = key_of_file_name(path.name)
        parts = parse_key(key)
        if parts is None:
            raise UnsupportedLayout("no attribute era5dl_source, and not the name of an ERA5 file")
        return make_part(path, key, parts, {}, "", index.size)
    parts = parse_key(source)
    if parts is None:
        raise UnsupportedLayout("a source that is not an ERA5 file")
    size = index.attributes.get("era5dl_source_size")
    return make_part(
        path,
        source,
        parts,
        subset_form(index),
        _text(index, "era5dl_source_etag"),
        int.from_bytes(size.data, "little") if size else 0,
    )


def subset_form(index: Index) -> dict[str, Any]:
    """Return the JSON form of the subset that a file is, from its attribute. Raises UnsupportedLayout."""
    try:
        form = json.loads(_text(index, "era5dl_subset"))
    except (ValueError, RecursionError):
        form = None
    if not isinstance(form, dict):
        raise UnsupportedLayout("no valid attribute era5dl_subset")
    return form


def _text(index: Index, name: str) -> str:
    """Return a text attribute of the file; "" if there is none."""
    attribute = index.attributes.get(name)
    return (attribute.text if attribute else "") or ""


def read_local_index(file: FileIO) -> Index:
    """Return the index of an open HDF5 file. Raises DamagedFile, UnsupportedLayout, OSError."""
    size = file.seek(0, os.SEEK_END)
    source = SparseBytes(size)

    def read(ranges: list[Range]) -> None:
        for start, stop in ranges:
            source.add(start, read_bytes(file, start, stop - start))

    return complete_index(source, read, first_ranges(size))


def open_part(root: Path, path: Path) -> FileIO:
    """Open a file below `root` for reading. Links that lead out of `root` are not followed. Raises DiskErrors."""
    with translate_disk_errors(path), ConfinedPath.below(root, path).open_for_reading() as file:
        return FileIO(os.dup(file.fileno()), "rb")


def read_bytes(file: FileIO, start: int, length: int) -> bytes:
    """Return these bytes. Raises DamagedFile if the file ends before the last of them."""
    file.seek(start)
    found = b""
    while len(found) < length:
        data = file.read(length - len(found))
        if not data:
            raise DamagedFile("it ends too early")
        found = found + data if found else data
    return found
