"""The unfinished file: bytes at their final offsets, and its final name only at the very end.

Every byte goes to where it belongs, so pieces may come in any order and the file is whole when the last gap closes.
The order that keeps a power cut harmless: bytes synced -> claimed in the resume file; bytes synced -> renamed.

What a failed sync covered is lost (`era5dl.folder.synced_ranges` says why). After one a PartFile refuses everything: a
new one starts from the ranges that `safe` gives.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from pathlib import Path

from era5dl.errors import FolderUnusable, PartLost, UnsafeKey
from era5dl.folder.atomic_write import drop_page_cache, rename, sync_folder
from era5dl.folder.directory_handles import Place
from era5dl.folder.disk_errors import disk_errors
from era5dl.folder.make_folders import make_folders
from era5dl.folder.synced_ranges import DurableRanges
from era5dl.ranges import RangeSet

_POSITIONED = hasattr(os, "pwrite")  # Windows has neither pwrite nor pread


class PartFile:
    """One part file of `size` bytes. Reads and writes may come from many threads, between `acquire` and `release`.

    must_exist: bytes of it are counted on, so a new file in its place would be full of holes.
    before: what was known of this part file until disk trouble; a file that took its place since is not taken for it.
    """

    def __init__(self, path: Path | Place, size: int, before: PartFile | None = None) -> None:
        """path: a Place is reached through handles, from the chosen folder down."""
        self._place = Place.of(path)
        self.path = Path(path)
        self.size = size
        self.must_exist = False
        self._fd = -1
        self._users = 0
        self._lock = threading.Lock()
        self._sized = False  # it had its full size when we opened it
        self._failed = ""  # the sync or close that failed; then nothing more is done with it
        self._entered = False  # its name was synced
        # Its device, number and time when the last user left it
        self._left: tuple[int, int, int] | None = None
        self._known = before._left if before and before.path == self.path else None
        self._changed = False  # by somebody else, while nobody here had it open
        self._cold = False  # drop the page cache at the next opening
        self._durable = DurableRanges(size)

    def recall(self, ranges: RangeSet) -> None:
        """An earlier PartFile, or an earlier run, has synced these ranges: if any, they have to be there."""
        if ranges:
            self.must_exist = True
            self._left = self._known
            self._durable.recall(ranges)

    def safe(self, done: RangeSet) -> RangeSet:
        """Of the ranges `done`, what a good sync has covered: all that counts after a fault or a power cut."""
        return self._durable.of(done)

    def acquire(self) -> None:
        """Open it for one user more. The first time it is made, with its folders, and given its full size without
        taking the room yet; from then on it has to be there. Raises PartLost when it is not, is shorter than it was, or
        another file is in its place, UnsafeKey when it is no plain file, or a DiskError."""
        with self._lock, disk_errors(self.path):
            self._refuse_after_failure()
            if self._fd < 0:
                fd = self._open()
                try:
                    self._take_over(fd)
                except BaseException:
                    os.close(fd)  # else the next user would find it open, and not ask for its size again
                    raise
                self._fd = fd
                self.must_exist = self._sized = True
            self._users += 1

    def _open(self) -> int:
        try:
            return self._place.open(os.O_RDWR | (0 if self.must_exist else os.O_CREAT))
        except FileNotFoundError as error:
            if self.must_exist:
                self._durable.lost_from(0)
                raise self._vanished() from error
        if not self._place.has_folders:
            make_folders(self.path.parent)
        return self._place.make(os.O_RDWR)

    def _take_over(self, fd: int) -> None:
        """Look at what was opened, and give it its size."""
        now = os.fstat(fd)
        self._recognise(now)
        self._refuse_second_name(now)
        if self._sized:
            self._refuse_short(now)
        self._changed = self.touched
        if now.st_size != self.size:
            os.ftruncate(fd, self.size)
        if self._cold:
            drop_page_cache(fd)
            self._cold = False
        self._durable.opened()

    def _recognise(self, now: os.stat_result) -> None:
        """Whether what is under its name is the file we left there. What was hashed while it came is not read again, so
        a file that a synchronising program puts in its place would get the final name unseen.

        Both number and time must differ: some network file systems give a file another number each time, and on others
        the time moves after the last write. A disk that was plugged in again may have another device number.
        """
        if not stat.S_ISREG(now.st_mode):
            raise UnsafeKey(f"{self.path} is no plain file, and a part file is one", remedy="Move it away.")
        if self._left is not None and now.st_ino != self._left[1] and now.st_mtime_ns != self._left[2]:
            self._durable.lost_from(0)
            raise PartLost(f"another file has taken the place of the part file {self.path}")

    def _refuse_second_name(self, now: os.stat_result) -> None:
        """Writing into a file that has another name, too, would change what is there, perhaps outside of the folder."""
        if now.st_nlink > 1:
            self._place.unlink()
            self._durable.lost_from(0)
            raise PartLost(f"the part file {self.path} had another name, too; it is begun anew")

    def _refuse_short(self, now: os.stat_result) -> None:
        """Something else has cut it: what is not there any more does not count."""
        if now.st_size < self.size:
            self._durable.lost_from(now.st_size)
            raise PartLost(f"the part file {self.path} has been cut short to {now.st_size} bytes")

    def _refuse_after_failure(self) -> None:
        if self._failed:
            raise FolderUnusable(self._failed)

    def _vanished(self) -> PartLost:
        return PartLost(f"the part file {self.path} has vanished")

    def release(self) -> None:
        """One user less; the last one syncs and closes it, so that open files are as few as busy workers. Raises
        PartLost when it is not under its name any more or has been cut short, or a DiskError."""
        with self._lock, disk_errors(self.path):
            self._users -= 1
            if self._users == 0:
                try:
                    self._look()
                    self._sync()
                    left = os.fstat(self._fd)
                    self._left = left.st_dev, left.st_ino, left.st_mtime_ns
                finally:
                    self._close()

    def _look(self) -> None:
        """Whether the open file still bears its name and has its size."""
        ours = os.fstat(self._fd)
        self._refuse_short(ours)
        if os.name == "nt":
            return  # an open file cannot be moved or deleted there
        try:
            named = self._place.lstat()
        except FileNotFoundError as error:
            raise self._vanished() from error
        if not os.path.samestat(ours, named):
            self._left = ours.st_dev, ours.st_ino, ours.st_mtime_ns
            self._recognise(named)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        try:
            os.close(fd)
        except OSError as error:  # NFS and quotas tell it here; then what was written since the opening may be lost
            self._durable.close_failed()
            self._fail("closing", error)
            raise

    def write(self, offset: int, data: memoryview) -> None:
        """Put `data` at `offset`; all of it, or raises a DiskError; PartLost when the file has been cut short."""
        start, stop = offset, offset + len(data)
        self._durable.about_to_write(start, stop)
        with disk_errors(self.path):
            self._refuse_short(os.fstat(self._fd))  # writing at the end would hide it
            while data:
                if _POSITIONED:
                    written = os.pwrite(self._fd, data, offset)
                else:
                    with self._lock:
                        os.lseek(self._fd, offset, os.SEEK_SET)
                        written = os.write(self._fd, data)
                if written <= 0:
                    raise OSError(errno.EIO, "the system has written nothing of what it was given")
                data, offset = data[written:], offset + written
        self._durable.written(start, stop)

    def read(self, offset: int, length: int) -> bytes:
        """The `length` bytes at `offset`. Raises PartLost when the file ends before, or a DiskError."""
        data = b""
        with disk_errors(self.path):
            while len(data) < length:
                try:
                    more = self._read(offset + len(data), length - len(data))
                except OSError:
                    self._durable.lost(offset, offset + length)  # a bad sector: fetched again, it is written elsewhere
                    raise
                if not more:
                    self._refuse_short(os.fstat(self._fd))
                    raise OSError(errno.EIO, "the system gives nothing of what is there")
                data = data + more if data else more
        return data

    def _read(self, offset: int, length: int) -> bytes:
        if _POSITIONED:
            return os.pread(self._fd, length, offset)
        with self._lock:
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.read(self._fd, length)

    def read_from_disk(self) -> None:
        """From the next opening on, read what the disk holds and not what the page cache does, where the system can."""
        self._cold = True

    @property
    def touched(self) -> bool:
        """Whether something else has changed it while nobody here had it open, as far as its time tells. On Windows the
        time moves by itself after the last write, and tells nothing."""
        if self._changed or self._left is None or os.name == "nt":
            return self._changed
        try:
            now = self._place.lstat()
        except OSError:
            return True
        return (now.st_mtime_ns, now.st_size) != (self._left[2], self.size)

    def sync(self) -> None:
        """Return only when all that was written before is on the disk itself, and so is the file's name."""
        with self._lock, disk_errors(self.path):
            self._refuse_after_failure()
            self._sync()
            if self.must_exist and not self._entered:
                sync_folder(self._place)
                self._entered = True

    def commit(self, final: Path) -> None:
        """Give it its final name, in place of what bore it before. Only for proven bytes, and after `release`, which
        has synced them. Raises PartLost when it is not the file that was proven, or a DiskError; then the final name
        means nothing."""
        named = self._beside(final)
        with disk_errors(final):
            self._refuse_after_failure()
            try:
                ours = self._place.lstat()
            except FileNotFoundError as error:
                raise self._vanished() from error
            self._recognise(ours)
            self._refuse_other_size(ours)
            if not self._durable.whole:
                raise PartLost(f"not all of the part file {self.path} has been synced")
            rename(self._place, named)
            try:
                now = named.lstat()
                if now.st_size != self.size or not (os.path.samestat(ours, now) or _same_time(ours, now)):
                    self._durable.lost_from(0)
                    raise PartLost(f"another file has taken the place of the part file {self.path}")
                sync_folder(named)
            except (OSError, PartLost):
                rename(named, self._place)  # so that the next attempt changes the folder anew, and syncs that
                raise

    def _beside(self, path: Path) -> Place:
        """The place of another file, reached as this one is where it is in the same folder."""
        return self._place.beside(path.name) if path.parent == self.path.parent else Place.of(path)

    def _refuse_other_size(self, now: os.stat_result) -> None:
        self._refuse_short(now)
        if now.st_size > self.size:
            self._durable.lost_from(0)
            raise PartLost(f"the part file {self.path} has grown to {now.st_size} bytes")

    def discard(self) -> None:
        """Delete it, after `release`; it need not exist."""
        with disk_errors(self.path):
            self._place.unlink(missing_ok=True)

    @property
    def aside(self) -> Path:
        """The name for a file whose bytes are not the server's: no program takes it for data."""
        return self.path.with_suffix(".mismatch")

    def set_aside(self, file: Path) -> None:
        """Give `file` that name, in place of what bore it before; it need not exist. Raises a DiskError."""
        with disk_errors(file), contextlib.suppress(FileNotFoundError):
            rename(self._beside(file), self._beside(self.aside))

    def discard_aside(self) -> None:
        """Delete what was set aside: the right file is there now. Raises a DiskError."""
        with disk_errors(self.aside):
            self._beside(self.aside).unlink(missing_ok=True)

    def _sync(self) -> None:
        self._refuse_after_failure()
        if self._fd < 0 or not self._durable.begin_sync():
            return
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._fail("syncing", error)
            raise
        self._durable.end_sync()

    def _fail(self, doing: str, error: OSError) -> None:
        self._failed = f"{self.path}: {error.strerror} while {doing} it; what was not synced before is fetched again"
        error.strerror = f"{error.strerror} while {doing} it; what was not synced before is fetched again"


def _same_time(one: os.stat_result, other: os.stat_result) -> bool:
    return one.st_mtime_ns == other.st_mtime_ns
