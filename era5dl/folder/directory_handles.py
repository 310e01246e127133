"""File access relative to directory handles, so that replaced folders or links cannot lead out of the folder.

A path that was checked is another one by the time it is used: somebody renames a folder on its way and puts a link
there. So a file is reached from the chosen folder down, each folder opened relative to the one above it and never
through a link, and what is done then is done relative to the folder that is open: whatever its name comes to mean.
A link below the chosen folder whose target is below it, too, is followed by the same steps; any other is refused. The
chosen folder itself may be a link: it is the person's choice.

The folders are opened anew for each operation and closed after it. That costs some microseconds, keeps the number of
open files small, and holds no disk that somebody wants to take away.

Windows has no such operations. There the way is looked at (`paths.refuse_way_out`) just before each use. What remains:
somebody who exchanges a folder for a link within the microseconds between the two. The default rights of Windows let
only administrators make links to files, but everybody junctions.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from era5dl.errors import UnsafeKey
from era5dl.folder.paths import OWN_FOLDER, LeadsOut, long_path, refuse_way_out

RELATIVE = os.name == "posix" and {os.open, os.stat, os.unlink, os.rename, os.mkdir, os.readlink} <= os.supports_dir_fd
_FOLDER = (
    getattr(os, "O_PATH", os.O_RDONLY)  # which needs no right to list it
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FILE = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_PLAIN = _NO_LINK | getattr(os, "O_NONBLOCK", 0)  # a pipe must not make us wait
_MOST_LINKS = 40  # on one way, as for Linux


class Place:
    """The place of one file below `root`: root/folders/name. Every method raises OSError with the whole path in it,
    LeadsOut when a link on the way leads out of `root`; `root` itself must be there."""

    __slots__ = ("_folders", "_root", "name", "path")

    def __init__(self, root: str | Path, folders: Sequence[str], name: str) -> None:
        self._root = os.fspath(root)
        self._folders = tuple(folders)
        self.name = name
        self.path = long_path(os.path.join(self._root, *self._folders, name))  # noqa: PTH118 - once an object, for thousands

    @classmethod
    def below(cls, root: Path, path: Path) -> Place:
        """The place of `path`, which is lexically below `root`."""
        *folders, name = os.path.relpath(_short(path), root).split(os.sep)  # noqa: PTH206
        if ".." in folders:
            raise UnsafeKey(f"{path} is not in {root}")
        return cls(root, folders, name)

    @classmethod
    def of(cls, path: Path | Place) -> Place:
        """The place of a file of our own: in OUT/.era5dl, where that is its folder; else in its folder. A Place is its
        own."""
        if isinstance(path, Place):
            return path
        folder = path.parent
        if folder.name == OWN_FOLDER:
            return cls(folder.parent, (OWN_FOLDER,), path.name)
        return cls(folder, (), path.name)

    def beside(self, name: str) -> Place:
        """Another file in the same folder."""
        return Place(self._root, self._folders, name)

    def same_folder(self, other: Place) -> bool:
        """Whether both are in the same folder, reached in the same way."""
        return (self._root, self._folders) == (other._root, other._folders)

    @property
    def has_folders(self) -> bool:
        """Whether there is a folder between its root and it: else nobody can put a link in its way."""
        return bool(self._folders)

    def __str__(self) -> str:
        return self.path

    def __fspath__(self) -> str:
        return self.path

    # --- what can be done

    def open(self, flags: int, mode: int = 0o666) -> int:
        """A descriptor of the file; never through a link under its own name, and a pipe is not waited for."""
        with self.folder() as at:
            return os.open(at.name(self.name), flags | _FILE | _PLAIN, mode, dir_fd=at.fd)

    def make(self, flags: int, mode: int = 0o666) -> int:
        """A descriptor of the file, which is made where there is none, with the folders that are missing on its way
        from the root, which has to be there."""
        with self.folder(make=True) as at:
            return os.open(at.name(self.name), flags | os.O_CREAT | _FILE | _PLAIN, mode, dir_fd=at.fd)

    def open_followed(self) -> int:
        """A descriptor to read from; a link under the file's own name is followed wherever it leads."""
        with self.folder() as at:
            return os.open(at.name(self.name), os.O_RDONLY | _FILE | _PLAIN & ~_NO_LINK, dir_fd=at.fd)

    def read(self) -> BinaryIO:
        """The file, to read; a link under its own name is followed. What is no plain file cannot be read."""
        fd = self.open_followed()
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "it is no plain file", self.path)
        return os.fdopen(fd, "rb")

    def lstat(self) -> os.stat_result:
        with self.folder() as at:
            return at.lstat(self.name)

    def stat(self) -> os.stat_result:
        """Of what a link under the file's own name leads to."""
        with self.folder() as at:
            return os.stat(at.name(self.name), dir_fd=at.fd)

    @property
    def exists(self) -> bool:
        """Whether there is anything under this name, a broken link included, as far as can be seen."""
        try:
            self.lstat()
        except OSError:
            return False
        return True

    def unlink(self, *, missing_ok: bool = False) -> None:
        try:
            with self.folder() as at:
                at.unlink(self.name)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rename(self, new: str) -> None:
        """Give it another name in its folder, in place of what bore it."""
        with self.folder() as at:
            at.rename(self.name, new)

    def link(self, new: str) -> None:
        """Give it a second name in its folder, unless something bears that."""
        with self.folder() as at:
            at.link(self.name, new)

    def utime(self) -> None:
        """Touch it; not through a link."""
        with self.folder() as at:
            follow = os.utime not in os.supports_follow_symlinks
            os.utime(at.name(self.name), dir_fd=at.fd, follow_symlinks=follow)

    def names(self) -> list[str]:
        """What is in its folder."""
        with self.folder() as at:
            if at.fd is None:
                return os.listdir(at.path)  # noqa: PTH208
            fd = os.open(".", os.O_RDONLY | _FILE, dir_fd=at.fd)
            try:
                return os.listdir(fd)  # noqa: PTH208
            finally:
                os.close(fd)

    def folder(self, *, make: bool = False) -> Folder:
        """Its folder, to be opened by `with`. make: the folders that are missing below `root` are made and synced."""
        return Folder(self._root, self._folders, make=make)


class Folder:
    """An open folder, within `with`. fd: its descriptor; None where the system has no operations relative to one."""

    __slots__ = ("_folders", "_make", "_root", "fd", "path")

    def __init__(self, root: str, folders: Sequence[str], *, make: bool) -> None:
        self._root, self._folders, self._make = root, folders, make
        self.path = long_path(os.path.join(root, *folders) if folders else root)  # noqa: PTH118
        self.fd: int | None = None

    def __enter__(self) -> Folder:
        if RELATIVE:
            try:
                self.fd = _walk(self._root, self._folders, self._make)
            except OSError as error:
                raise _named(error, self.path) from error
            return self
        self._look()
        if self._make and self._folders:
            Path(self.path).mkdir(parents=True, exist_ok=True)
            self._look()
        return self

    def _look(self) -> None:
        try:
            refuse_way_out(self._root, self.path)
        except UnsafeKey as error:
            raise LeadsOut(self._root, self.path) from error

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        fd, self.fd = self.fd, None
        if fd is not None:
            os.close(fd)
        if isinstance(error, OSError) and isinstance(error.filename, str):
            if isinstance(error.filename2, str):
                error.filename2 = os.path.join(self.path, error.filename2)  # noqa: PTH118
            _named(error, os.path.join(self.path, error.filename))  # noqa: PTH118

    def name(self, name: str) -> str:
        """What to call a file of this folder, together with `dir_fd=self.fd`."""
        return name if self.fd is not None else os.path.join(self.path, name)  # noqa: PTH118

    def lstat(self, name: str) -> os.stat_result:
        return os.stat(self.name(name), dir_fd=self.fd, follow_symlinks=False)

    def unlink(self, name: str) -> None:
        os.unlink(self.name(name), dir_fd=self.fd)

    def rename(self, name: str, new: str) -> None:
        """Give a file another name in this folder, in place of what bore it."""
        os.replace(self.name(name), self.name(new), src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def link(self, name: str, new: str) -> None:
        """Give a file a second name in this folder."""
        os.link(self.name(name), self.name(new), src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)

    def sync(self) -> None:
        """Make renames in it survive a power cut. Not for Windows. Raises OSError."""
        fd = os.open(self.name("."), os.O_RDONLY | _FOLDER & ~getattr(os, "O_PATH", 0), dir_fd=self.fd)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def is_same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether both are of one file. Some network file systems give a file another number each time; then its time and
    size decide."""
    return os.path.samestat(one, other) or (one.st_mtime_ns, one.st_size) == (other.st_mtime_ns, other.st_size)


def _walk(root: str, folders: Sequence[str], make: bool) -> int:
    """The descriptor of root/folders. On the usual way, without links, two are open at most."""
    fd = os.open(root, _FOLDER)
    for name in folders:
        try:
            below = _step(fd, name, make)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):  # EMLINK is what FreeBSD says of a link
                return _walk_links(root, folders, make)
            raise
        finally:
            os.close(fd)
        fd = below
    return fd


def _step(fd: int, name: str, make: bool) -> int:
    """The descriptor of a folder in an open one; a link is none."""
    try:
        return os.open(name, _FOLDER | _NO_LINK, dir_fd=fd)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, dir_fd=fd)
    except FileExistsError:
        pass  # another thread needs it, too
    else:
        _sync(fd)
    return os.open(name, _FOLDER | _NO_LINK, dir_fd=fd)


def _sync(fd: int) -> None:
    """A new folder is entered in the one above it for good, where the file system lets us."""
    try:
        real = os.open(".", os.O_RDONLY | _FILE, dir_fd=fd)
    except OSError:
        return  # one that may not be listed
    try:
        os.fsync(real)
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOSPC, errno.EROFS):
            raise
    finally:
        os.close(real)


def _walk_links(root: str, folders: Sequence[str], make: bool) -> int:
    """The same where there are links on the way: each is replaced by the steps to its target, all of them below `root`.
    Which folders are above one is remembered, not asked of the system: somebody may move it meanwhile."""
    stack = [os.open(root, _FOLDER)]
    todo, links = deque(folders), 0
    try:
        while todo:
            name = todo.popleft()
            if name == "..":
                if len(stack) == 1:
                    raise LeadsOut(root, os.path.join(root, *folders))  # noqa: PTH118
                os.close(stack.pop())
            elif name not in ("", "."):
                try:
                    stack.append(_step(stack[-1], name, make))
                except OSError as error:
                    target = _target(stack[-1], name, error)
                    links += 1
                    if links > _MOST_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from error
                    if os.path.isabs(target):  # noqa: PTH117
                        while len(stack) > 1:
                            os.close(stack.pop())
                        target = _below(root, target, folders)
                    todo.extendleft(reversed(target.split("/")))
        return stack.pop()
    finally:
        for fd in stack:
            os.close(fd)


def _target(fd: int, name: str, error: OSError) -> str:
    """What a link says. Raises `error` when it is none."""
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError:
        raise error from None


def _below(root: str, target: str, folders: Sequence[str]) -> str:
    """An absolute target as steps from root; it is walked like any other, so it need not be true for long."""
    real_root, real = os.path.realpath(root), os.path.realpath(target)
    if real == real_root:
        return "."
    if not real.startswith(real_root.rstrip(os.sep) + os.sep):
        raise LeadsOut(root, os.path.join(root, *folders))  # noqa: PTH118
    return os.path.relpath(real, real_root)


def _short(path: Path) -> str:
    """A path of Windows without the prefix of `paths.long_path`."""
    text = os.fspath(path)
    if text.startswith("\\\\?\\UNC\\"):
        return "\\\\" + text[8:]
    return text.removeprefix("\\\\?\\")


def _named(error: OSError, path: str) -> OSError:
    """The error with the whole path in it, not only the name in its folder."""
    error.filename = path
    return error
