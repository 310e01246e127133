"""An open directory below a root, opened without following links out of the root (openat, O_NOFOLLOW).

A path that was checked can be redirected before it is used, if somebody replaces a folder in it by a symbolic link.
Therefore each folder is opened relative to the handle of its parent, without following links, and files are accessed
relative to the last handle. A link to a target below the root is resolved in the same way; any other link is refused.
The root itself may be a link, since the user chose it.

Windows has no such operations. There the path is checked for links (`paths.refuse_link_out`) just before each use. A
race condition remains: somebody can replace a folder by a link in the microseconds between the check and the use. By
default only administrators can create symbolic links on Windows, but everybody can create junctions.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from era5dl.errors import UnsafeKey
from era5dl.folder.paths import LinkLeadsOut, long_path, refuse_link_out

SUPPORTS_DIR_FD = (
    os.name == "posix" and {os.open, os.stat, os.unlink, os.rename, os.mkdir, os.readlink} <= os.supports_dir_fd
)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FILE_FLAGS = (
    getattr(os, "O_BINARY", 0) | _CLOEXEC | getattr(os, "O_NONBLOCK", 0)  # opening a named pipe must not block
)
_FOLDER_FLAGS = (
    getattr(os, "O_PATH", os.O_RDONLY)  # O_PATH works without the right to list the folder
    | getattr(os, "O_DIRECTORY", 0)
    | _CLOEXEC
)
_LISTING_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC
_MAX_LINKS = 40  # in one path, as in Linux


class DirectoryHandle:
    """Context manager for the folder root/folders. Its methods take names of files in that folder.

    create: create and sync missing folders below the root. Errors are raised with full paths.
    """

    __slots__ = ("_create", "_fd", "_folders", "_root", "path")

    def __init__(self, root: str, folders: Sequence[str], *, create: bool) -> None:
        self._root, self._folders, self._create = root, folders, create
        self.path = long_path(os.path.join(root, *folders) if folders else root)  # noqa: PTH118
        self._fd: int | None = None  # remains None if the system has no operations relative to a handle

    def __enter__(self) -> DirectoryHandle:
        if SUPPORTS_DIR_FD:
            try:
                self._fd = _walk(self._root, self._folders, self._create)
            except OSError as error:
                error.filename = self.path
                raise
            return self
        self._refuse_links_out()
        if self._create and self._folders:
            Path(self.path).mkdir(parents=True, exist_ok=True)
            self._refuse_links_out()
        return self

    def _refuse_links_out(self) -> None:
        try:
            refuse_link_out(self._root, self.path)
        except UnsafeKey as error:
            raise LinkLeadsOut(self._root, self.path) from error

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        if isinstance(error, OSError) and isinstance(error.filename, str):
            error.filename = os.path.join(self.path, error.filename)  # noqa: PTH118
            if isinstance(error.filename2, str):
                error.filename2 = os.path.join(self.path, error.filename2)  # noqa: PTH118

    def _argument(self, name: str) -> str:
        """Return the path argument for a system call with `dir_fd=self._fd`."""
        return name if self._fd is not None else os.path.join(self.path, name)  # noqa: PTH118

    def open(self, name: str, flags: int, mode: int = 0o666, *, follow_link: bool = False) -> int:
        """Return a file descriptor."""
        flags |= _FILE_FLAGS | (0 if follow_link else _NO_FOLLOW)
        return os.open(self._argument(name), flags, mode, dir_fd=self._fd)

    def lstat(self, name: str) -> os.stat_result:
        """Return the status of a file or link."""
        return os.stat(self._argument(name), dir_fd=self._fd, follow_symlinks=False)

    def stat(self, name: str) -> os.stat_result:
        """Return the status of a file; a link is followed."""
        return os.stat(self._argument(name), dir_fd=self._fd)

    def unlink(self, name: str) -> None:
        """Delete a file or link."""
        os.unlink(self._argument(name), dir_fd=self._fd)

    def rename(self, name: str, new: str) -> None:
        """Rename a file within this folder, replacing any file named `new`."""
        os.replace(self._argument(name), self._argument(new), src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def link(self, name: str, new: str) -> None:
        """Create a hard link to a file in this folder."""
        paths = self._argument(name), self._argument(new)
        os.link(*paths, src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=False)

    def utime(self, name: str) -> None:
        """Set a file's times to now. Does not follow a link if the system supports that."""
        follow = os.utime not in os.supports_follow_symlinks
        os.utime(self._argument(name), dir_fd=self._fd, follow_symlinks=follow)

    def names(self) -> list[str]:
        """Return the names of all entries of the folder."""
        if self._fd is None:
            return os.listdir(self.path)  # noqa: PTH208
        fd = os.open(".", _LISTING_FLAGS, dir_fd=self._fd)
        try:
            return os.listdir(fd)  # noqa: PTH208
        finally:
            os.close(fd)

    def sync(self) -> None:
        """Make renames in this folder durable. Not available on Windows. Raises OSError."""
        fd = os.open(self._argument("."), _LISTING_FLAGS, dir_fd=self._fd)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _walk(root: str, folders: Sequence[str], create: bool) -> int:
    """Return a descriptor of root/folders. If there are no links, at most two folders are open at a time."""
    fd = os.open(root, _FOLDER_FLAGS)
    for name in folders:
        try:
            below = _open_subfolder(fd, name, create)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):  # a link; FreeBSD reports EMLINK
                return _walk_resolving_links(root, folders, create)
            raise
        finally:
            os.close(fd)
        fd = below
    return fd


def _open_subfolder(fd: int, name: str, create: bool) -> int:
    """Return a descriptor of a folder in an open folder. Raises OSError for a link."""
    try:
        return os.open(name, _FOLDER_FLAGS | _NO_FOLLOW, dir_fd=fd)
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(name, dir_fd=fd)
    except FileExistsError:
        pass  # another thread has just created it
    else:
        _sync_after_mkdir(fd)
    return os.open(name, _FOLDER_FLAGS | _NO_FOLLOW, dir_fd=fd)


def _sync_after_mkdir(fd: int) -> None:
    """Make a new subfolder durable, if the file system supports that."""
    try:
        listing = os.open(".", _LISTING_FLAGS, dir_fd=fd)
    except OSError:
        return  # no right to list the folder
    try:
        os.fsync(listing)
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOSPC, errno.EROFS):
            raise
    finally:
        os.close(listing)


def _walk_resolving_links(root: str, folders: Sequence[str], create: bool) -> int:
    """Like `_walk`, but replace each link by the components of its target, all of which must be below `root`.

    Parent folders are kept on a stack. ".." is never passed to the system, because the folder may have been moved.
    """
    stack = [os.open(root, _FOLDER_FLAGS)]
    steps, links = deque(folders), 0
    try:
        while steps:
            name = steps.popleft()
            if name == "..":
                if len(stack) == 1:
                    raise LinkLeadsOut(root, os.path.join(root, *folders))  # noqa: PTH118
                os.close(stack.pop())
            elif name not in ("", "."):
                try:
                    stack.append(_open_subfolder(stack[-1], name, create))
                except OSError as error:
                    target = _link_target(stack[-1], name, error)
                    links += 1
                    if links > _MAX_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from error
                    if os.path.isabs(target):  # noqa: PTH117
                        while len(stack) > 1:
                            os.close(stack.pop())
                        target = _relative_to_root(root, target, folders)
                    steps.extendleft(reversed(target.split("/")))
        return stack.pop()
    finally:
        for fd in stack:
            os.close(fd)


def _link_target(fd: int, name: str, error: OSError) -> str:
    """Return the target of a link. Raises `error` if it is not a link."""
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError:
        raise error from None


def _relative_to_root(root: str, target: str, folders: Sequence[str]) -> str:
    """Return an absolute link target relative to `root`. The caller opens it component by component, so a later change
    of the target is harmless."""
    real_root, real = os.path.realpath(root), os.path.realpath(target)
    if real == real_root:
        return "."
    if not real.startswith(real_root.rstrip(os.sep) + os.sep):
        raise LinkLeadsOut(root, os.path.join(root, *folders))  # noqa: PTH118
    return os.path.relpath(real, real_root)
