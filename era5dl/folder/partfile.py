"""The unfinished file: bytes at their final offsets, and its final name only at the very end.

Every byte goes to where it belongs, so pieces may come in any order and the file is whole when the last gap closes.
The order that keeps a power cut harmless: bytes synced -> claimed in the resume file; bytes synced -> renamed.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from era5dl.errors import PartLost
from era5dl.folder.faults import disk_errors
from era5dl.folder.replace import replace

_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # a link planted under the part file's name must not lead us out of the folder
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

    def acquire(self) -> None:
        """Open it for one user more. The first time it is made, with its folders, and given its full size without
        taking the room yet; from then on it has to be there. Raises PartLost when it is not, or a DiskError."""
        with self._lock, disk_errors(self.path):
            if self._fd < 0:
                fd = self._open()
                try:
                    if os.fstat(fd).st_size != self.size:
                        os.ftruncate(fd, self.size)
                except BaseException:
                    os.close(fd)  # else the next user would find it open, and not ask for its size again
                    raise
                self._fd = fd
                self.must_exist = True
            self._users += 1

    def _open(self) -> int:
        try:
            return os.open(self.path, _FLAGS | _NO_LINK | (0 if self.must_exist else os.O_CREAT), 0o666)
        except FileNotFoundError as error:
            if self.must_exist:
                raise PartLost(f"the part file {self.path} has vanished") from error
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self.path, _FLAGS | _NO_LINK | os.O_CREAT, 0o666)

    def release(self) -> None:
        """One user less; the last one syncs and closes it, so that open files are as few as busy workers."""
        with self._lock, disk_errors(self.path):
            self._users -= 1
            if self._users == 0:
                try:
                    self._sync()
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
        """Return only when all that was written before is on the disk itself."""
        with self._lock, disk_errors(self.path):
            self._sync()

    def commit(self, final: Path) -> None:
        """Give it its final name, in place of what bore it before. Only for proven bytes, and after `release`, which
        has synced them."""
        with disk_errors(final):
            replace(self.path, final)

    def discard(self) -> None:
        """Delete it, after `release`; it need not exist."""
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)

    def _sync(self) -> None:
        if self._unsynced and self._fd >= 0:
            self._unsynced = False  # first: what is written while we sync must be synced next time
            try:
                os.fsync(self._fd)
            except OSError:
                self._unsynced = True
                raise
