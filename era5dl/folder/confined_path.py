"""Access to one file below the download folder; no symbolic link can redirect it to a file outside.

For each operation `ConfinedPath` opens the file's folder (`era5dl.folder.directory_handle` explains why and how), works
relative to that handle and closes it again. This takes some microseconds, keeps few files open, and does not prevent
the removal of a disk.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from era5dl.errors import UnsafeKey
from era5dl.folder.directory_handle import DirectoryHandle
from era5dl.folder.paths import OWN_FOLDER, long_path, without_long_prefix


class ConfinedPath:
    """The path of one file below a root folder: root/folders/name.

    The root must exist. It may itself be a symbolic link, since the user chose it. All methods raise OSErrors with the
    full path, and LinkLeadsOut if a link below the root leads outside.
    """

    __slots__ = ("_folders", "_root", "name", "path")

    def __init__(self, root: str | Path, folders: Sequence[str], name: str) -> None:
        self._root = os.fspath(root)
        self._folders = tuple(folders)
        self.name = name
        self.path = long_path(os.path.join(self._root, *self._folders, name))  # noqa: PTH118 - fast: once per object

    @classmethod
    def below(cls, root: Path, path: Path) -> ConfinedPath:
        """Return `path` confined to `root`. Raises UnsafeKey if it is not below `root`; checks only the text."""
        *folders, name = os.path.relpath(without_long_prefix(path), root).split(os.sep)  # noqa: PTH206
        if ".." in folders:
            raise UnsafeKey(f"{path} is not in {root}")
        return cls(root, folders, name)

    @classmethod
    def from_path(cls, path: Path | ConfinedPath) -> ConfinedPath:
        """Return `path` confined to the folder that contains it, or to OUT for a file in OUT/.era5dl. A ConfinedPath is
        returned unchanged."""
        if isinstance(path, ConfinedPath):
            return path
        folder = path.parent
        if folder.name == OWN_FOLDER:
            return cls(folder.parent, (OWN_FOLDER,), path.name)
        return cls(folder, (), path.name)

    def sibling(self, name: str) -> ConfinedPath:
        """Return the path of another file in the same folder."""
        return ConfinedPath(self._root, self._folders, name)

    def same_folder(self, other: ConfinedPath) -> bool:
        """Return whether both are in the same folder below the same root."""
        return (self._root, self._folders) == (other._root, other._folders)

    @property
    def is_nested(self) -> bool:
        """Whether there is a folder between the root and the file. Without one, no link can redirect the path."""
        return bool(self._folders)

    def __str__(self) -> str:
        return self.path

    def __fspath__(self) -> str:
        return self.path

    def open(self, flags: int, mode: int = 0o666) -> int:
        """Return a file descriptor. Does not follow a link, and does not block on a named pipe."""
        with self.open_folder() as folder:
            return folder.open(self.name, flags, mode)

    def create(self, flags: int, mode: int = 0o666) -> int:
        """Return a file descriptor; create the file and the folders between it and the root if they do not exist."""
        with self.open_folder(create=True) as folder:
            return folder.open(self.name, flags | os.O_CREAT, mode)

    def open_following_link(self) -> int:
        """Return a descriptor for reading. If the file itself is a link, it is followed, also out of the root."""
        with self.open_folder() as folder:
            return folder.open(self.name, os.O_RDONLY, follow_link=True)

    def open_for_reading(self) -> BinaryIO:
        """Open a regular file for reading. If the file itself is a link, it is followed. Raises OSError for any other
        kind of file."""
        fd = self.open_following_link()
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", self.path)
        return os.fdopen(fd, "rb")

    def lstat(self) -> os.stat_result:
        """Return the status of the file. If the file itself is a link, return that of the link."""
        with self.open_folder() as folder:
            return folder.lstat(self.name)

    def stat(self) -> os.stat_result:
        """Return the status of the file. If the file itself is a link, it is followed."""
        with self.open_folder() as folder:
            return folder.stat(self.name)

    @property
    def exists(self) -> bool:
        """Whether there is anything with this name, including a broken link. False if that cannot be determined."""
        try:
            self.lstat()
        except OSError:
            return False
        return True

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete the file. If the file itself is a link, delete the link."""
        try:
            with self.open_folder() as folder:
                folder.unlink(self.name)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rename(self, new: str) -> None:
        """Rename the file within its folder, replacing any file named `new`."""
        with self.open_folder() as folder:
            folder.rename(self.name, new)

    def link(self, new: str) -> None:
        """Create a hard link named `new` in the same folder. Raises FileExistsError if the name exists."""
        with self.open_folder() as folder:
            folder.link(self.name, new)

    def utime(self) -> None:
        """Set the file's times to now. Does not follow a link if the system supports that."""
        with self.open_folder() as folder:
            folder.utime(self.name)

    def list_folder(self) -> list[str]:
        """Return the names of all entries of the file's folder."""
        with self.open_folder() as folder:
            return folder.names()

    def open_folder(self, *, create: bool = False) -> DirectoryHandle:
        """Return a context manager for the file's folder. create: create and sync missing folders below the root."""
        return DirectoryHandle(self._root, self._folders, create=create)


def is_same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Return whether both results are of one file: same device and inode, or same time and size.

    Some network file systems report a new inode number each time, so time and size are compared, too.
    """
    return os.path.samestat(one, other) or (one.st_mtime_ns, one.st_size) == (other.st_mtime_ns, other.st_size)
