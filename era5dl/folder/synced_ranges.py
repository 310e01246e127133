"""Tracks which byte ranges of a file are on the disk: those that a successful fsync has covered.

The page cache proves nothing. When a sync fails, Linux marks the pages clean all the same: the next sync succeeds, and
reading gives bytes that the disk never got.
"""

from __future__ import annotations

import threading

from era5dl.ranges import RangeSet


class DurableRanges:
    """Account of one file of `size` bytes. Thread-safe, and no lock is held over I/O."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._synced = RangeSet()
        self._syncing = RangeSet()  # covered by the sync that is under way
        self._written = RangeSet()  # since that began
        self._at_opening = RangeSet()  # `_synced` when the file was opened

    def recall(self, ranges: RangeSet) -> None:
        """These ranges were synced earlier."""
        with self._lock:
            self._synced = ranges.copy()

    def of(self, ranges: RangeSet) -> RangeSet:
        """What of these ranges is on the disk."""
        with self._lock:
            return RangeSet(span for start, stop in ranges for span in self._synced.overlapping(start, stop))

    @property
    def whole(self) -> bool:
        """Every byte of the file is on the disk."""
        with self._lock:
            return self._synced.covers(0, self._size)

    def opened(self) -> None:
        """The file has been opened anew."""
        with self._lock:
            self._at_opening = self._synced.copy()

    def close_failed(self) -> None:
        """Nothing written since the opening counts."""
        with self._lock:
            self._synced = self._at_opening.copy()

    def about_to_write(self, start: int, stop: int) -> None:
        """Call before writing there: what a sync has covered, or is about to, is about to change."""
        with self._lock:
            for ranges in (self._synced, self._syncing, self._at_opening):
                ranges.remove(start, stop)

    def written(self, start: int, stop: int) -> None:
        """Call after writing there: the next sync covers it."""
        with self._lock:
            self._written.add(start, stop)

    def begin_sync(self) -> bool:
        """A sync begins, of all that was written before; False when there is nothing to sync."""
        with self._lock:
            self._syncing, self._written = self._written, RangeSet()
            return bool(self._syncing)

    def end_sync(self) -> None:
        """It has succeeded."""
        with self._lock:
            for start, stop in self._syncing:
                self._synced.add(start, stop)
            self._syncing = RangeSet()

    def lost_from(self, offset: int) -> None:
        """Nothing from here on is there any more."""
        self.lost(offset, self._size)

    def lost(self, start: int, stop: int) -> None:
        """These bytes cannot be read, or are not there any more."""
        with self._lock:
            for ranges in (self._synced, self._syncing, self._written, self._at_opening):
                ranges.remove(start, stop)
