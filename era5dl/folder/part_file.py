"""Part file of an unfinished download (NAME.part): random-access writes, fsync, and the rename to the final name.

Every byte is written at its final offset, so pieces may arrive in any order. Two rules make a power cut harmless: bytes
are synced before the resume file claims them, and before the file gets its final name.

Bytes covered by a failed fsync are lost (`era5dl.folder.synced_ranges` says why). After one, a PartFile refuses every
operation; the caller creates a new one from the ranges that `synced` returns.
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

    must_exist: its bytes are relied on; a new file in its place would be full of holes.
    """

    def __init__(self, path: Path | ConfinedPath, size: int, predecessor: PartFile | None = None) -> None:
        """predecessor: the PartFile used for this path until a disk error. A file that replaced it since is
        detected."""
        self._confined = ConfinedPath.from_path(path)
        self.path = Path(path)
        self.size = size
        self.must_exist = False
        self._fd = -1
        self._users = 0
        self._lock = threading.Lock()
        self._failure = ""  # message of the failed sync or close; then every operation is refused
        self._sized = False  # it had its full size when it was opened
        self._name_synced = False
        self._last_seen: tuple[int, int, int] | None = None  # device, inode and mtime when the last user released it
        self._inherited = predecessor._last_seen if predecessor and predecessor.path == self.path else None
        self._changed = False  # by another program, while it was closed here
        self._bypass_cache = False  # at the next opening
        self._ranges = SyncedRanges(size)

    def restore(self, ranges: RangeSet) -> None:
        """Set the ranges that an earlier PartFile or run has synced. If there are any, the file must exist."""
        if ranges:
            self.must_exist = True
            self._last_seen = self._inherited
            self._ranges.restore(ranges)

    def synced(self, done: RangeSet) -> RangeSet:
        """Return the synced part of the ranges `done`: what survives a power cut."""
        return self._ranges.intersection(done)

    def acquire(self) -> None:
        """Add a user; the first one opens the file.

        Creates the file and its folders at the first opening, with its full size but without allocating the space.
        Later the file must exist. Raises PartLost when it is missing, shortened or replaced by another file, UnsafeKey
        when it is not a regular file, or a DiskError.
        """
        with self._lock, translate_disk_errors(self.path):
            self._refuse_after_failure()
            if self._fd < 0:
                fd = self._open()
                try:
                    self._prepare(fd)
                except BaseException:
                    os.close(fd)  # otherwise the next user would take it for prepared
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
        """Check the file just opened, and set its size."""
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
        """Raise PartLost when another file is now under our name.

        Bytes hashed on arrival are not read again, so a file put there by a file synchronisation program would get the
        final name unverified. Inode and time must both differ: some network file systems change the inode number each
        time, on others the time changes after the last write. The device number changes when a disk is reconnected.
        """
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeKey(f"{self.path} is in the way: it is not a regular file", remedy="Move it away.")
        seen = self._last_seen
        if seen is not None and status.st_ino != seen[1] and status.st_mtime_ns != seen[2]:
            self._ranges.lost_from(0)
            raise self._replaced()

    def _refuse_hard_link(self, status: os.stat_result) -> None:
        """Writing to a file with a second name would change that file, perhaps outside the download folder."""
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
        """Remove a user; the last one syncs and closes the file, so that only busy workers keep files open.

        Raises PartLost when the file was renamed, replaced or shortened, or a DiskError.
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
            return  # Windows does not let anybody move or delete an open file
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
        except OSError as error:  # NFS and quotas report errors here; anything written since the opening may be lost
            self._ranges.close_failed()
            self._fail("closing", error)
            raise

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`. Raises PartLost when the file has been shortened, or a DiskError."""
        start, stop = offset, offset + len(data)
        self._ranges.before_write(start, stop)
        with translate_disk_errors(self.path):
            self._refuse_shortened(os.fstat(self._fd))  # writing at the end would restore its size, with a hole
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
        """Return the `length` bytes at `offset`. Raises PartLost when the file ends earlier, or a DiskError."""
        data = b""
        with translate_disk_errors(self.path):
            while len(data) < length:
                try:
                    more = self._read(offset + len(data), length - len(data))
                except OSError:
                    self._ranges.lost(offset, offset + length)  # a bad sector, which the disk remaps when written
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
        """From the next opening on, read from the disk and not from the page cache, where the system supports that."""
        self._bypass_cache = True

    @property
    def changed_by_others(self) -> bool:
        """Whether its size or time shows a change by another program while it was closed here.

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
        """Make all bytes written so far durable, and the file's name. Raises FolderUnusable after an earlier
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

    def commit(self, final: Path) -> None:
        """Rename to the final name, replacing any file there. Only for verified bytes, and after `release`.

        Raises PartLost when it is not the file that was verified, or a DiskError; nothing then has the final name.
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
                rename(target, self._confined)  # so that the next attempt changes the folder again, and syncs it
                raise

    def _refuse_other_size(self, status: os.stat_result) -> None:
        self._refuse_shortened(status)
        if status.st_size > self.size:
            self._ranges.lost_from(0)
            raise PartLost(f"the part file {self.path} has grown to {status.st_size} bytes")

    def _sibling(self, path: Path) -> ConfinedPath:
        """Return `path` confined to the same root, where it is in the same folder."""
        if path.parent == self.path.parent:
            return self._confined.sibling(path.name)
        return ConfinedPath.from_path(path)

    def discard(self) -> None:
        """Delete the file, if it exists. Call after `release`. Raises a DiskError."""
        with translate_disk_errors(self.path):
            self._confined.unlink(missing_ok=True)

    @property
    def mismatch_path(self) -> Path:
        """Where bytes are kept that do not match the server's MD5. No program mistakes this name for data."""
        return self.path.with_suffix(".mismatch")

    def keep_mismatch(self, file: Path) -> None:
        """Rename `file` to `mismatch_path`, replacing an older one. It need not exist. Raises a DiskError."""
        with translate_disk_errors(file), contextlib.suppress(FileNotFoundError):
            rename(self._sibling(file), self._sibling(self.mismatch_path))

    def discard_mismatch(self) -> None:
        """Delete the file at `mismatch_path`, if it exists. Raises a DiskError."""
        with translate_disk_errors(self.mismatch_path):
            self._sibling(self.mismatch_path).unlink(missing_ok=True)
