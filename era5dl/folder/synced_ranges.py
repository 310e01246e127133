"""Tracks which byte ranges of a file are durable: those covered by a successful fsync.

Reading bytes back does not prove that they are on the disk. After a failed fsync Linux marks the dirty pages as clean:
the next fsync succeeds, and reads return bytes from the page cache that were never written to the disk.
"""

from __future__ import annotations

import threading

from era5dl.ranges import RangeSet


class SyncedRanges:
    """Synced byte ranges of one file of `size` bytes. Thread-safe. Does no I/O."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._synced = RangeSet()
        self._syncing = RangeSet()  # covered by the running fsync
        self._unsynced = RangeSet()  # written since that fsync started
        self._at_opening = RangeSet()  # `_synced` when the file was opened

    def restore(self, ranges: RangeSet) -> None:
        """Set the ranges that an earlier run or an earlier PartFile has synced."""
        with self._lock:
            self._synced = ranges.copy()

    def intersection(self, ranges: RangeSet) -> RangeSet:
        """Return the synced part of `ranges`."""
        with self._lock:
            return RangeSet(span for start, stop in ranges for span in self._synced.overlapping(start, stop))

    @property
    def is_complete(self) -> bool:
        """Whether every byte of the file is synced."""
        with self._lock:
            return self._synced.covers(0, self._size)

    def file_opened(self) -> None:
        """Save the synced ranges when the file is opened, for `close_failed`."""
        with self._lock:
            self._at_opening = self._synced.copy()

    def close_failed(self) -> None:
        """Discard the ranges written since the file was opened."""
        with self._lock:
            self._synced = self._at_opening.copy()

    def before_write(self, start: int, stop: int) -> None:
        """Call before writing [start, stop): earlier syncs, including a running one, do not cover the new bytes."""
        with self._lock:
            for ranges in (self._synced, self._syncing, self._at_opening):
                ranges.remove(start, stop)

    def after_write(self, start: int, stop: int) -> None:
        """Call after writing [start, stop): the next sync covers these bytes."""
        with self._lock:
            self._unsynced.add(start, stop)

    def begin_sync(self) -> bool:
        """Call before fsync. Return False if there is nothing to sync."""
        with self._lock:
            self._syncing, self._unsynced = self._unsynced, RangeSet()
            return bool(self._syncing)

    def end_sync(self) -> None:
        """Call after a successful fsync."""
        with self._lock:
            for start, stop in self._syncing:
                self._synced.add(start, stop)
            self._syncing = RangeSet()

    def lost(self, start: int, stop: int) -> None:
        """Discard [start, stop): these bytes are lost or cannot be read."""
        with self._lock:
            for ranges in (self._synced, self._syncing, self._unsynced, self._at_opening):
                ranges.remove(start, stop)

    def lost_from(self, offset: int) -> None:
        """Discard all bytes from `offset` on."""
        self.lost(offset, self._size)
