"""View model of the queue table: rows of up to 100,000 files, with sorting, search and filters. No Tk.

The engine reports the states of all files as one byte each. Operations on all files use `translate` and `count` on
these bytes, which is as fast as C, at most once per second. A row is created only when it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.events import Event, FileDone, FileFailed, FileRestarted, FileRetrying, FileStarted
from era5dl.engine.progress import FINISHED, ActiveFile, FileState, Snapshot
from era5dl.engine.reporting import CHECKED_EARLIER, CheckedGroup, group_by_reason
from era5dl.gui.models.queue_rows import FileError, FileRow, GroupRow
from era5dl.gui.models.sort_filter import MaskedIndices, QueueSorter, SortKey

REORDER_INTERVAL = 1.0  # seconds between two sorts, while states change


class FileFilter(Enum):
    """Which files are shown."""

    ALL = "all"
    ACTIVE = "active"
    WAITING = "waiting"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"


_STATES = {
    FileFilter.ALL: tuple(FileState),
    FileFilter.ACTIVE: (FileState.ACTIVE,),
    FileFilter.WAITING: (FileState.WAITING,),
    FileFilter.HELD: (FileState.HELD,),
    FileFilter.DONE: tuple(sorted(FINISHED)),
    FileFilter.FAILED: (FileState.FAILED,),
}
_FINISHED_MASK = bytes(state in FINISHED for state in range(256))
_FAILED_MASK = bytes(state == FileState.FAILED for state in range(256))


class QueueModel:
    """The files of one plan. All methods must be called on the same thread. Indices are positions in the plan."""

    def __init__(self) -> None:
        self.sort_key, self.descending = SortKey.ACTIVITY, False
        self.grouped = False  # the order that no column is chosen for: by variable instead of by activity
        self.shown, self.search_text = FileFilter.ALL, ""
        self.load(())

    # --- loading and updating

    def load(self, objects: Sequence[ObjectInfo], sizes: Mapping[int, int] | None = None) -> None:
        """Show these files as planned: all are waiting, and no bytes are on disk.

        sizes: of files that have another size than their object, by index.
        """
        self.objects = objects
        self.states = bytes(len(objects))
        self.folder: Path | None = None  # of the run whose files these are; None while they are only planned
        self.errors_by_file: dict[int, FileError] = {}
        self._only: frozenset[int] | None = None
        self._partial_bytes: dict[int, int] = {}
        self._attempts: dict[int, int] = {}  # of files with more than one
        self._checked_reasons: dict[int, str] = {}
        self._new_sizes = dict(sizes or {})  # of files that have changed on the server, and of parts of files
        self._active: dict[int, ActiveFile] = {}
        self._counts: dict[FileFilter, int] = {}
        self._counted_states: bytes | None = None
        self._reordered_at = 0.0
        self._groups: dict[int, GroupRow] = {}  # by id of the heading; counted again when the rows are sorted
        self._sorter = QueueSorter(objects, self._new_sizes)
        self._sorter.search(self.search_text)
        self._reorder()

    def load_run(
        self,
        objects: Sequence[ObjectInfo],
        folder: Path,
        partial_bytes: Mapping[int, int],
        only: frozenset[int] | None = None,
        sizes: Mapping[int, int] | None = None,
    ) -> None:
        """Show the files of a run. partial_bytes: bytes on disk of unfinished files, by index.

        only: indices of the files that the run downloads, if not all. Failures of the others stay visible. sizes: of
        files that have another size than their object.
        """
        earlier_errors = self.errors_by_file if only is not None else {}
        self.load(objects, sizes)
        self.folder, self._only, self.errors_by_file = folder, only, earlier_errors
        self._partial_bytes = dict(partial_bytes)
        self._reorder()

    def handle_event(self, event: Event) -> None:
        """Update the files that an event of the engine concerns."""
        match event:
            case FileStarted():
                self.errors_by_file.pop(event.index, None)
            case FileRetrying():
                self._attempts[event.index] = self._attempts.get(event.index, 1) + 1
                self.errors_by_file[event.index] = FileError(event.kind, event.reason, "", failed=False)
            case FileRestarted():
                self._attempts[event.index] = self._attempts.get(event.index, 1) + 1
            case FileFailed():
                self.errors_by_file[event.index] = FileError(event.kind, event.reason, event.remedy, failed=True)
                self._stale = True
            case FileDone():
                self._partial_bytes.pop(event.index, None)
                self.errors_by_file.pop(event.index, None)
                if event.size != self.objects[event.index].size:
                    self._new_sizes[event.index] = event.size
                    self._sorter.forget_sizes()
                if event.reason:
                    self._checked_reasons[event.index] = event.reason
            case _:
                return

    def update(self, snapshot: Snapshot | None, states: bytes, now: float) -> bool:
        """Update the rows from a snapshot. now: monotonic seconds. Return whether the rows were sorted again."""
        self._active = {} if snapshot is None else {one.index: one for one in snapshot.active}
        for one in self._active.values():
            self._partial_bytes[one.index] = one.done
            if one.size != self.objects[one.index].size:
                self._new_sizes[one.index] = one.size
        states = self._with_earlier_failures(states)
        if states != self.states:
            self.states, self._stale = states, True
        changing = self.sort_key in (SortKey.SPEED, SortKey.PROGRESS) and bool(self._active)
        if (self._stale or changing) and now - self._reordered_at >= REORDER_INTERVAL:
            self._reordered_at = now
            self._reorder()
            return True
        return False

    # --- sorting, filter and search

    def sort(self, key: SortKey, *, descending: bool = False) -> None:
        self.sort_key, self.descending = key, descending
        self._reorder()

    def group(self, grouped: bool) -> None:
        """Choose the usual order: grouped by variable, or by activity."""
        self.grouped = grouped
        self.sort_as_usual()

    def sort_as_usual(self) -> None:
        """Sort by no column."""
        self.sort(SortKey.GROUPED if self.grouped else SortKey.ACTIVITY)

    @property
    def sorted_as_usual(self) -> bool:
        """Whether the rows are sorted by no column."""
        return self.sort_key in (SortKey.ACTIVITY, SortKey.GROUPED)

    def retranslate(self) -> None:
        """Sort by the names in the new language of the window."""
        self._sorter.forget_names()
        self._sorter.search(self.search_text)
        self._reorder()

    def filter(self, shown: FileFilter) -> None:
        self.shown = shown
        self._reorder()

    def search(self, text: str) -> None:
        """Show only files whose key, variable or period contains every word of the text."""
        self.search_text = text.strip()
        self._sorter.search(self.search_text)
        self._reorder()

    # --- rows

    def __len__(self) -> int:
        """Return the number of rows shown, headings included."""
        return len(self._order)

    def index_at(self, position: int) -> int:
        """Return the index of the file at this position of the table; negative for a heading."""
        return self._order[position]

    def indices(self) -> Iterable[int]:
        """Return the indices of all files shown, in any order."""
        return (index for index in self._order if index >= 0) if self.sort_key is SortKey.GROUPED else iter(self._order)

    def position_of(self, index: int) -> int | None:
        """Return the position of an index in the table; None if it is not shown."""
        return self._order.position_of(index)

    def files_of(self, ids: Iterable[object]) -> list[int]:
        """Return the indices of the files with these ids, and of those below headings with these ids, ascending."""
        found: set[int] = set()
        for one in ids:
            if isinstance(one, int):
                found.update((one,) if one >= 0 else self._group(one))
        return sorted(index for index in found if index < len(self.objects))

    def row(self, position: int) -> FileRow | GroupRow:
        index = self._order[position]
        return self.file(index) if index >= 0 else self.heading(index)

    def heading(self, index: int) -> GroupRow:
        """Return the heading with this negative index."""
        if index not in self._groups:
            files = self._group(index)
            done = bytes(map(self.states.__getitem__, files)).translate(_FINISHED_MASK).count(1)
            size = sum(self._new_sizes.get(one, self.objects[one].size) for one in files)
            self._groups[index] = GroupRow(self._sorter.columns.variables[-1 - index], len(files), done, size)
        return self._groups[index]

    def file(self, index: int) -> FileRow:
        """Return the row of an index."""
        obj, state, active = self.objects[index], FileState(self.states[index]), self._active.get(index)
        size = self._new_sizes.get(index, obj.size)
        finished = state in FINISHED
        done = size if finished else self._partial_bytes.get(index, 0)
        error = self.errors_by_file.get(index)
        return FileRow(
            index=index,
            key=obj.key,
            size=size,
            share=1.0 if finished or not size else min(done / size, 1.0),
            speed=active.speed if active else 0.0,
            state=state,
            proving=active is not None and active.proving and active.done >= size,
            attempts=self._attempts.get(index, 1),
            reason=error.reason if error else "",
            kind=error.kind if error else "",
            checked_because=self._checked_reasons.get(index, ""),
        )

    # --- groups of files

    def counts(self) -> dict[FileFilter, int]:
        """Return the number of files for each filter, independent of the current filter and search."""
        if self._counted_states is not self.states:
            self._counted_states = self.states
            count = {state: self.states.count(state) for state in FileState}
            self._counts = {one: sum(count[state] for state in states) for one, states in _STATES.items()}
        return self._counts

    def in_states(self, indices: Iterable[int], *states: FileState) -> list[int]:
        """Return those of the indices whose file is in one of the states."""
        return [index for index in indices if self.states[index] in states]

    def failed(self) -> list[int]:
        """Return the indices of all failed files."""
        return list(MaskedIndices(self.states.translate(_FAILED_MASK)))

    def checked(self) -> list[CheckedGroup]:
        """Return the files that are checked but not verified, grouped by reason."""
        checked = (index for index, state in enumerate(self.states) if state == FileState.CHECKED)
        reasons = {index: self._checked_reasons.get(index) or CHECKED_EARLIER for index in checked}
        return group_by_reason(reasons, [obj.key for obj in self.objects]) if reasons else []

    # --- inside

    def _with_earlier_failures(self, states: bytes) -> bytes:
        """Mark files that failed earlier. In a run of selected files, the engine reports all others as waiting."""
        if self._only is None or not self.errors_by_file:
            return states
        changed = bytearray(states)
        for index, error in self.errors_by_file.items():
            if error.failed and index not in self._only and changed[index] == FileState.WAITING:
                changed[index] = FileState.FAILED
        return bytes(changed)

    def _group(self, index: int) -> list[int]:
        """Return the files that are shown below a heading."""
        return self._sorter.group(-1 - index, self._sorter.mask(self.states, _STATES[self.shown]))

    def _reorder(self) -> None:
        self._stale = False
        self._groups = {}
        self.files_shown = self._sorter.mask(self.states, _STATES[self.shown]).count(1)
        self._order = self._sorter.arrange(
            self.states, _STATES[self.shown], self.sort_key, self._sort_values(), descending=self.descending
        )

    def _sort_values(self) -> Mapping[int, float]:
        """Return the values to sort by, for the files whose value may differ from the common one."""
        match self.sort_key:
            case SortKey.SPEED:
                return {index: active.speed for index, active in self._active.items()}
            case SortKey.ATTEMPTS:
                return self._attempts
            case SortKey.PROGRESS:
                return {index: self.file(index).share for index in self._partial_bytes}
        return {}
