"""Paths of the objects of a session: final files and part files.

A subset of an object has a name of its own, NAME.ID.nc, where ID is derived from what is restricted. So whole files and
different subsets of the same object can be in one folder, and sessions that fetch them do not claim the same file.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from era5dl.catalog import parse_key
from era5dl.errors import BadSelection, UnsafeKey
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.paths import name_conflicts, name_fits, safe_path
from era5dl.planner.plan import Plan
from era5dl.subset.selection import EVERYTHING, Subset

_SUFFIX = ".nc"
_SUBSET_NAME = re.compile(r"\.[0-9a-f]{8}\.nc$", re.ASCII | re.IGNORECASE)


class ObjectPaths:
    """The paths of one session. Each call computes the path again and checks the symbolic links in it.

    flat: all files directly in the folder instead of in the bucket's folders. fetched_whole: objects of which a subset
    is wanted, but of which the whole file is kept because its layout is not supported. cropped: objects of which the
    whole file is fetched, and a subset of it is written. The engine adds to both; with `Subset.prove` that is every
    object.
    """

    def __init__(
        self, folder: Path, plan: Plan, session_id: str, *, flat: bool, fetched_whole: Iterable[int] = ()
    ) -> None:
        self.fetched_whole, self.cropped = set(fetched_whole), set[int]()
        self._folder = folder
        self._root = Path(os.path.abspath(folder))  # noqa: PTH100 - like `safe_path`, without resolving links
        self._plan = plan
        self._flat = flat
        self._part_suffix = f".{session_id[:6]}.part"
        keys = [obj.key for obj in plan.objects]
        self._refused = name_conflicts(keys, flat=flat)
        if not plan.subset.is_everything and any(map(_SUBSET_NAME.search, keys)):  # others cannot conflict
            self._refused |= name_conflicts([subset_key(key, plan.subset) for key in keys], flat=flat)

    def subset(self, index: int) -> Subset:
        """Return what is wanted of object `index` of the plan. It restricts nothing if the whole file is fetched."""
        if index in self.fetched_whole:
            return EVERYTHING
        return subset_of(self._plan.objects[index].key, self._plan.subset)

    def is_cropped(self, index: int) -> bool:
        """Return whether the whole object is fetched, and then a subset of it is written."""
        proves = self._plan.subset.prove or index in self.cropped
        return proves and not self.subset(index).is_everything

    def final(self, index: int) -> Path:
        """Return the path of object `index` of the plan. Raises UnsafeKey."""
        key = self._plan.objects[index].key
        if index in self._refused:
            raise UnsafeKey(f"{key!a} is not a possible file name here: {self._refused[index]}")
        path = safe_path(self._folder, self._key(index), flat=self._flat)
        if path.name.endswith(self._part_suffix):
            raise UnsafeKey(f"{key!a} has the name of a part file of this session")
        return path

    def part(self, index: int) -> Path:
        """Return the path of the part file, which is in the same folder as the final file. Raises UnsafeKey.

        Each session has its own suffix for part files, so that two sessions never use the same file.
        """
        return self.final_and_part(index)[1]

    def final_and_part(self, index: int) -> tuple[Path, Path]:
        """Return the final path and the path of the part file. Faster than separate calls. Raises UnsafeKey.

        The part file of an object that is cropped has the name for the whole file, which may be kept after all.
        """
        final = self.final(index)
        key = self._plan.objects[index].key
        part = self._part_of(safe_path(self._folder, key, flat=self._flat) if self.is_cropped(index) else final)
        if part.is_symlink():
            raise UnsafeKey(f"{part} is a symbolic link, which a part file must not be", remedy="Remove that link.")
        return final, part

    def parts_of_key(self, key: str) -> list[Path]:
        """Return the paths of the part files of a key, which need not be in the plan: of the whole file, and of the
        subset. Raises UnsafeKey."""
        names = dict.fromkeys((key, subset_key(key, self._plan.subset)))
        return [self._part_of(safe_path(self._folder, name, flat=self._flat)) for name in names]

    def relative(self, index: int) -> str:
        """Return the path of an object below the folder, without any check."""
        key = self._key(index)
        return key.rpartition("/")[2] if self._flat else key

    def place(self, path: Path) -> ConfinedPath:
        """Return the path confined to the download folder, so that symbolic links cannot lead out of it."""
        return ConfinedPath.below(self._root, path)

    def _key(self, index: int) -> str:
        key = self._plan.objects[index].key
        return key if index in self.fetched_whole else subset_key(key, self._plan.subset)

    def _part_of(self, final: Path) -> Path:
        name = final.name + self._part_suffix
        if not name_fits(name):
            name = hashlib.sha256(final.name.encode("utf-8", "surrogatepass")).hexdigest() + self._part_suffix
        return final.with_name(name)


def subset_of(key: str, subset: Subset) -> Subset:
    """Return what a subset restricts in the file with this key: nothing if the key is not that of an ERA5 file.

    If nothing of the file is selected, which the engine reports when it reads the file, that is the whole subset.
    """
    if subset.is_everything:
        return subset
    parts = parse_key(key) if key.endswith(_SUFFIX) else None
    try:
        return EVERYTHING if parts is None else subset.for_file(parts)
    except BadSelection:
        return subset


def subset_key(key: str, subset: Subset) -> str:
    """Return the key with the name of its file in the download folder: KEY, or KEY.ID.nc for a part of the file."""
    wanted = subset_of(key, subset)
    return key if wanted.is_everything else f"{key.removesuffix(_SUFFIX)}.{wanted.id}{_SUFFIX}"


def temporary_siblings(part: Path) -> tuple[Path, Path, Path]:
    """Return the files that may exist while an object is being fetched: its part file, the bytes of it that did not
    match the server's MD5, and the new file of a subset."""
    return part, part.with_suffix(".mismatch"), new_file_of(part)


def new_file_of(part: Path) -> Path:
    """Return the path of the file that is written from a part file with packed ranges."""
    return part.with_suffix(".new")
