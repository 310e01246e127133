"""Paths of the objects of a session: final files and part files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from era5dl.errors import UnsafeKey
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.paths import name_conflicts, name_fits, safe_path
from era5dl.planner.plan import Plan


class ObjectPaths:
    """The paths of one session. Each call computes the path again and checks the symbolic links in it.

    flat: all files directly in the folder instead of in the bucket's folders.
    """

    def __init__(self, folder: Path, plan: Plan, session_id: str, *, flat: bool) -> None:
        self._folder = folder
        self._root = Path(os.path.abspath(folder))  # noqa: PTH100 - like `safe_path`, without resolving links
        self._plan = plan
        self._flat = flat
        self._part_suffix = f".{session_id[:6]}.part"
        self._refused = name_conflicts([obj.key for obj in plan.objects], flat=flat)

    def final(self, index: int) -> Path:
        """Return the path of object `index` of the plan. Raises UnsafeKey."""
        key = self._plan.objects[index].key
        if index in self._refused:
            raise UnsafeKey(f"{key!a} is not a possible file name here: {self._refused[index]}")
        path = safe_path(self._folder, key, flat=self._flat)
        if path.name.endswith(self._part_suffix):
            raise UnsafeKey(f"{key!a} has the name of a part file of this session")
        return path

    def part(self, index: int) -> Path:
        """Return the path of the part file, which is in the same folder as the final file. Raises UnsafeKey.

        Each session has its own suffix for part files, so that two sessions never use the same file.
        """
        return self.final_and_part(index)[1]

    def final_and_part(self, index: int) -> tuple[Path, Path]:
        """Return the final path and the path of the part file. Faster than separate calls. Raises UnsafeKey."""
        final = self.final(index)
        part = self._part_of(final)
        if part.is_symlink():
            raise UnsafeKey(f"{part} is a symbolic link, which a part file must not be", remedy="Remove that link.")
        return final, part

    def part_of_key(self, key: str) -> Path:
        """Return the path of the part file of a key, which need not be in the plan. Raises UnsafeKey."""
        return self._part_of(safe_path(self._folder, key, flat=self._flat))

    def relative(self, index: int) -> str:
        """Return the path of an object below the folder, without any check."""
        key = self._plan.objects[index].key
        return key.rpartition("/")[2] if self._flat else key

    def place(self, path: Path) -> ConfinedPath:
        """Return the path confined to the download folder, so that symbolic links cannot lead out of it."""
        return ConfinedPath.below(self._root, path)

    def _part_of(self, final: Path) -> Path:
        name = final.name + self._part_suffix
        if not name_fits(name):
            name = hashlib.sha256(final.name.encode("utf-8", "surrogatepass")).hexdigest() + self._part_suffix
        return final.with_name(name)
