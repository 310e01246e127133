"""The unfinished file: bytes at their final offsets, and its final name only at the very end.

Every byte goes to where it belongs, so pieces may come in any order and the file is whole when the last gap closes.
The order that keeps a power cut harmless: bytes synced -> claimed in the resume file; bytes synced -> renamed.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from era5dl.errors import PartLost, UnsafeKey
from era5dl.folder.faults import disk_errors
from era5dl.folder.making import make_folders
from era5dl.folder.replace import replace, sync_folder
from era5dl.turns import Waits, turn

_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# A link planted under the part file's name must not lead us out of the folder, nor a pipe make us wait.
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_SYNCING = Waits()
_POSITIONED = hasattr(os, "pwrite")  # Windows has neither pwrite nor pread


class PartFile:
    """One part file of `size` bytes. Reads and writes may come from many threads, between `acquire` and `release`.

    must_exist: bytes of it are counted on, so a new file in its place would be full of holes.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.must_exist = False
        self._fd = -1
        self._users = 0
        self._lock = threading.Lock()
        self._unsynced = False
        self._entered = False  # its name was synced
        self._left: tuple[int, int] | None = None  # its number and its time when the last user left it

    def acquire(self) -> None:
        """Open it for one user more. The first time it is made, with its folders, and given its full size without
        taking the room yet; from then on it has to be there. Raises PartLost when it is not or another file is in its
        place, UnsafeKey when it is no plain file, or a DiskError."""
        with self._lock, disk_errors(self.path):
            if self._fd < 0:
                fd = self._open()
                try:
                    now = os.fstat(fd)
                    self._recognise(now)
                    self._refuse_second_name(now)
                    if now.st_size != self.size:
                        os.ftruncate(fd, self.size)
                except BaseException:
                    os.close(fd)  # else the next user would find it open, and not ask for its size again
                    raise
                self._fd = fd
                self.must_exist = True
            self._users += 1

    def _open(self) -> int:
        try:
            return os.open(self.path, _FLAGS | _PLAIN | (0 if self.must_exist else os.O_CREAT), 0o666)
        except FileNotFoundError as error:
            if self.must_exist:
                raise PartLost(f"the part file {self.path} has vanished") from error
        make_folders(self.path.parent)
        return os.open(self.path, _FLAGS | _PLAIN | os.O_CREAT, 0o666)

    def _recognise(self, now: os.stat_result) -> None:
        """Whether what is under its name is the file we left there. What was hashed while it came is not read again, so
        a file that a synchronising program puts in its place would get the final name unseen.

        Both number and time must differ: some network file systems give a file another number each time, and on others
        the time moves after the last write.
        """
        if not stat.S_ISREG(now.st_mode):
            raise UnsafeKey(f"{self.path} is no plain file, and a part file is one", remedy="Move it away.")
        if self._left is not None and now.st_ino != self._left[0] and now.st_mtime_ns != self._left[1]:
            raise PartLost(f"another file has taken the place of the part file {self.path}")

    def _refuse_second_name(self, now: os.stat_result) -> None:
        """Writing into a file that has another name, too, would change what is there, perhaps outside of the folder."""
        if now.st_nlink > 1:
            self.path.unlink()
            raise PartLost(f"the part file {self.path} had another name, too; it is begun anew")

    def release(self) -> None:
        """One user less; the last one syncs and closes it, so that open files are as few as busy workers."""
        with self._lock, disk_errors(self.path):
            self._users -= 1
            if self._users == 0:
                try:
                    self._sync()
                    left = os.fstat(self._fd)
                    self._left = left.st_ino, left.st_mtime_ns
                finally:
                    fd, self._fd = self._fd, -1
                    os.close(fd)

    def write(self, offset: int, data: memoryview) -> None:
        """Put `data` at `offset`; all of it, or raises a DiskError."""
        with disk_errors(self.path):
            while data:
                if _POSITIONED:
                    written = os.pwrite(self._fd, data, offset)
                else:
                    with self._lock:
                        os.lseek(self._fd, offset, os.SEEK_SET)
                        written = os.write(self._fd, data)
                data, offset = data[written:], offset + written
        self._unsynced = True

    def read(self, offset: int, length: int) -> bytes:
        """The `length` bytes at `offset`."""
        with disk_errors(self.path):
            if _POSITIONED:
                data = os.pread(self._fd, length, offset)
            else:
                with self._lock:
                    os.lseek(self._fd, offset, os.SEEK_SET)
                    data = os.read(self._fd, length)
        return data

    def sync(self) -> None:
        """Return only when all that was written before is on the disk itself, and so is the file's name."""
        with self._lock, disk_errors(self.path):
            self._sync()
            if self.must_exist and not self._entered:
                sync_folder(self.path.parent)
                self._entered = True

    def commit(self, final: Path) -> None:
        """Give it its final name, in place of what bore it before. Only for proven bytes, and after `release`, which
        has synced them. Raises PartLost when it is not the file that was proven, or a DiskError."""
        with disk_errors(final):
            try:
                self._recognise(os.lstat(self.path))
            except FileNotFoundError as error:
                raise PartLost(f"the part file {self.path} has vanished") from error
            replace(self.path, final)

    def discard(self) -> None:
        """Delete it, after `release`; it need not exist."""
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)

    def _sync(self) -> None:
        if self._unsynced and self._fd >= 0:
            self._unsynced = False  # first: what is written while we sync must be synced next time
            try:
                with turn.away(_SYNCING):
                    os.fsync(self._fd)
            except OSError:
                self._unsynced = True
                raise
