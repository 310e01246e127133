"""Part file of an unfinished download (NAME.part): random-access writes, fsync, and the rename to the final name.

Every byte is written at its final offset, so pieces may arrive in any order. A power cut is harmless because bytes are
synced before the resume file lists them, and before the file gets its final name.

After a failed fsync the bytes that it covers are lost (`era5dl.folder.synced_ranges` explains why). Then a PartFile
refuses every operation, and the caller creates a new one with the ranges that `synced` returns.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from pathlib import Path

from era5dl.errors import FolderUnusable, PartLost, UnsafeKey
from era5dl.folder.atomic_write import drop_page_cache, make_folders, rename, sync_folder
from era5dl.folder.confined_path import ConfinedPath, is_same_file
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.folder.synced_ranges import SyncedRanges
from era5dl.ranges import RangeSet

_HAS_PWRITE = hasattr(os, "pwrite")  # Windows has neither pwrite nor pread


class PartFile:
    """One part file of `size` bytes. Many threads may read and write, each between `acquire` and `release`.

    must_exist: bytes in the file are needed, so a new, empty file must not be created in its place.
    """

    def __init__(self, path: Path | ConfinedPath, size: int, predecessor: PartFile | None = None) -> None:
        """predecessor: the PartFile that was used for this path until a disk error. It is used to detect that the file
        was replaced since."""
        self._confined = ConfinedPath.from_path(path)
        self.path = Path(path)
        self.size = size
        self.must_exist = False
        self._fd = -1
        self._users = 0
        self._lock = threading.Lock()
        self._failure = ""  # message of a failed sync or close, after which every operation is refused
        self._sized = False  # the file has had its full size
        self._name_synced = False
        self._last_seen: tuple[int, int, int] | None = None  # device, inode and mtime when it was closed
        self._inherited = predecessor._last_seen if predecessor and predecessor.path == self.path else None
        self._changed = False  # another program has changed the file while it was closed here
        self._bypass_cache = False  # drop its page cache when it is opened next
        self._ranges = SyncedRanges(size)

    @property
    def layout(self) -> str:
        """Where the bytes of the object are in this file; "" if every byte is at its offset."""
        return ""

    def stored(self, offsets: RangeSet) -> RangeSet:
        """Return the positions in this file of ranges of the object. The resume file lists them with `layout`."""
        return offsets

    def offsets(self, stored: RangeSet) -> RangeSet:
        """Return the ranges of the object that are at these positions: the inverse of `stored`."""
        return stored

    def restore(self, ranges: RangeSet) -> None:
        """Set the ranges that an earlier PartFile or run has synced. If there are any, the file must exist."""
        if ranges:
            self.must_exist = True
            self._last_seen = self._inherited
            self._ranges.restore(self.stored(ranges))

    def synced(self, done: RangeSet) -> RangeSet:
        """Return the synced part of the ranges `done`. A power cut cannot destroy these bytes."""
        return self.offsets(self._ranges.intersection(self.stored(done)))

    def acquire(self) -> None:
        """Add a user; the first user opens the file.

        The first opening creates the file and its folders. The file gets its full size without allocating the space.
        Later the file must exist. Raises PartLost if it is missing, truncated or replaced by another file, UnsafeKey if
        it is not a regular file, or a DiskError.
        """
        with self._lock, translate_disk_errors(self.path):
            self._refuse_after_failure()
            if self._fd < 0:
                fd = self._open()
                try:
                    self._prepare(fd)
                except BaseException:
                    os.close(fd)
                    raise
                self._fd = fd
                self.must_exist = self._sized = True
            self._users += 1

    def _open(self) -> int:
        try:
            return self._confined.open(os.O_RDWR | (0 if self.must_exist else os.O_CREAT))
        except FileNotFoundError as error:
            if self.must_exist:
                self._ranges.lost_from(0)
                raise self._missing() from error
        if not self._confined.is_nested:
            make_folders(self.path.parent)
        return self._confined.create(os.O_RDWR)

    def _prepare(self, fd: int) -> None:
        """Check the file that was just opened, and set its size."""
        status = os.fstat(fd)
        self._refuse_other_file(status)
        self._refuse_hard_link(status)
        if self._sized:
            self._refuse_shortened(status)
        self._changed = self.changed_by_others
        if status.st_size != self.size:
            os.ftruncate(fd, self.size)
        if self._bypass_cache:
            drop_page_cache(fd)
            self._bypass_cache = False
        self._ranges.file_opened()

    def _refuse_other_file(self, status: os.stat_result) -> None:
        """Raise PartLost if another file has replaced ours.

        Bytes hashed on arrival are not read again, so a file from, for example, a file synchronization program would
        get the final name unverified. Inode and time must both differ: some network file systems change the inode
        number each time, on others the time changes after the last write. The device number is not compared, since it
        changes when a disk is reconnected.
        """
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeKey(f"{self.path} is not a regular file", remedy="Move it away.")
        seen = self._last_seen
        if seen is not None and status.st_ino != seen[1] and status.st_mtime_ns != seen[2]:
            self._ranges.lost_from(0)
            raise self._replaced()

    def _refuse_hard_link(self, status: os.stat_result) -> None:
        """Delete the file and raise PartLost if it has another hard link: writing would change a file that may be
        outside the download folder."""
        if status.st_nlink > 1:
            self._confined.unlink()
            self._ranges.lost_from(0)
            raise PartLost(f"the part file {self.path} had a second name (hard link); it is downloaded again")

    def _refuse_shortened(self, status: os.stat_result) -> None:
        if status.st_size < self.size:
            self._ranges.lost_from(status.st_size)
            raise PartLost(f"the part file {self.path} was truncated to {status.st_size} bytes")

    def _refuse_after_failure(self) -> None:
        if self._failure:
            raise FolderUnusable(self._failure)

    def _missing(self) -> PartLost:
        return PartLost(f"the part file {self.path} is missing")

    def _replaced(self) -> PartLost:
        return PartLost(f"the part file {self.path} was replaced by another file")

    def release(self) -> None:
        """Remove a user; the last user syncs and closes the file, so that only busy workers keep files open.

        Raises PartLost if the file was renamed, replaced or truncated, or a DiskError.
        """
        with self._lock, translate_disk_errors(self.path):
            self._users -= 1
            if self._users == 0:
                try:
                    self._check_open_file()
                    self._sync()
                    self._remember(os.fstat(self._fd))
                finally:
                    self._close()

    def _remember(self, status: os.stat_result) -> None:
        self._last_seen = status.st_dev, status.st_ino, status.st_mtime_ns

    def _check_open_file(self) -> None:
        """Raise PartLost unless the open file still has its name and its size."""
        ours = os.fstat(self._fd)
        self._refuse_shortened(ours)
        if os.name == "nt":
            return  # on Windows an open file cannot be moved or deleted
        try:
            named = self._confined.lstat()
        except FileNotFoundError as error:
            raise self._missing() from error
        if not os.path.samestat(ours, named):
            self._remember(ours)
            self._refuse_other_file(named)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        try:
            os.close(fd)
        except OSError as error:  # NFS and quotas report errors here; bytes written since the opening may be lost
            self._ranges.close_failed()
            self._fail("closing", error)
            raise

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`. Raises PartLost if the file has been truncated, or a DiskError."""
        start, stop = offset, offset + len(data)
        self._ranges.before_write(start, stop)
        with translate_disk_errors(self.path):
            self._refuse_shortened(os.fstat(self._fd))  # a write would restore the size, with a hole of zeros
            while data:
                if _HAS_PWRITE:
                    written = os.pwrite(self._fd, data, offset)
                else:
                    with self._lock:
                        os.lseek(self._fd, offset, os.SEEK_SET)
                        written = os.write(self._fd, data)
                if written <= 0:
                    raise OSError(errno.EIO, "the system wrote nothing")
                data, offset = data[written:], offset + written
        self._ranges.after_write(start, stop)

    def read(self, offset: int, length: int) -> bytes:
        """Return the `length` bytes at `offset`. Raises PartLost if the file is too short, or a DiskError."""
        data = b""
        with translate_disk_errors(self.path):
            while len(data) < length:
                try:
                    more = self._read(offset + len(data), length - len(data))
                except OSError:
                    self._ranges.lost(offset, offset + length)  # a bad sector; writing again lets the disk remap it
                    raise
                if not more:
                    self._refuse_shortened(os.fstat(self._fd))
                    raise OSError(errno.EIO, "the system returned no data before the end of the file")
                data = data + more if data else more
        return data

    def _read(self, offset: int, length: int) -> bytes:
        if _HAS_PWRITE:
            return os.pread(self._fd, length, offset)
        with self._lock:
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.read(self._fd, length)

    def bypass_page_cache(self) -> None:
        """Drop the page cache of the file when it is opened next, so that reads are from the disk, if supported."""
        self._bypass_cache = True

    @property
    def changed_by_others(self) -> bool:
        """Whether size or time of the file show that another program has changed it while it was closed here.

        Always False on Windows, where the time may change after the last write.
        """
        if self._changed or self._last_seen is None or os.name == "nt":
            return self._changed
        try:
            status = self._confined.lstat()
        except OSError:
            return True
        return (status.st_mtime_ns, status.st_size) != (self._last_seen[2], self.size)

    def sync(self) -> None:
        """Make all bytes written so far and the file's name durable. Raises a DiskError, also after an earlier
        failure."""
        with self._lock, translate_disk_errors(self.path):
            self._refuse_after_failure()
            self._sync()
            if self.must_exist and not self._name_synced:
                sync_folder(self._confined)
                self._name_synced = True

    def _sync(self) -> None:
        self._refuse_after_failure()
        if self._fd < 0 or not self._ranges.begin_sync():
            return
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._fail("syncing", error)
            raise
        self._ranges.end_sync()

    def _fail(self, doing: str, error: OSError) -> None:
        error.strerror = f"{error.strerror} while {doing} the file; unsynced bytes are downloaded again"
        self._failure = f"{self.path}: {error.strerror}"

    def commit(self, final: Path) -> os.stat_result:
        """Rename the file to its final name, replacing any existing file. Only for verified bytes, after `release`.

        Return the status of the file.

        Raises PartLost if it is not the file that was verified, or a DiskError. Then the file does not get the final
        name.
        """
        target = self._sibling(final)
        with translate_disk_errors(final):
            self._refuse_after_failure()
            try:
                ours = self._confined.lstat()
            except FileNotFoundError as error:
                raise self._missing() from error
            self._refuse_other_file(ours)
            self._refuse_other_size(ours)
            if not self._ranges.is_complete:
                raise PartLost(f"the part file {self.path} is not completely synced")
            rename(self._confined, target)
            try:
                now = target.lstat()
                if now.st_size != self.size or not is_same_file(ours, now):
                    self._ranges.lost_from(0)
                    raise self._replaced()
                sync_folder(target)
            except (OSError, PartLost):
                rename(target, self._confined)  # so that the next attempt renames it and syncs the folder again
                raise
            return now

    def _refuse_other_size(self, status: os.stat_result) -> None:
        self._refuse_shortened(status)
        if status.st_size > self.size:
            self._ranges.lost_from(0)
            raise PartLost(f"the part file {self.path} has grown to {status.st_size} bytes")

    def _sibling(self, path: Path) -> ConfinedPath:
        """Return `path` as a ConfinedPath, confined to the same root if it is in the same folder as the part file."""
        if path.parent == self.path.parent:
            return self._confined.sibling(path.name)
        return ConfinedPath.from_path(path)

    def discard(self) -> None:
        """Delete the file, if it exists. Call after `release`. Raises a DiskError."""
        with translate_disk_errors(self.path):
            self._confined.unlink(missing_ok=True)

    @property
    def mismatch_path(self) -> Path:
        """Path for bytes that do not match the server's MD5. Its suffix prevents that they are used as data."""
        return self.path.with_suffix(".mismatch")

    def keep_mismatch(self, file: Path) -> None:
        """Rename `file` to `mismatch_path`, replacing an older one. It need not exist. Raises a DiskError."""
        with translate_disk_errors(file), contextlib.suppress(FileNotFoundError):
            rename(self._sibling(file), self._sibling(self.mismatch_path))

    def discard_mismatch(self) -> None:
        """Delete the file at `mismatch_path`, if it exists. Raises a DiskError."""
        with translate_disk_errors(self.mismatch_path):
            self._sibling(self.mismatch_path).unlink(missing_ok=True)
