"""The queue as the table shows it: rows of a hundred thousand files, sorted, searched and filtered. No Tk.

The engine's states are one byte a file. All that is done for every file is done on those bytes by `translate` and
`count`, at the speed of C, and once a second at most; a row is only made when it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import compress

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.events import Event, FileDone, FileFailed, FileRestarted, FileRetrying, FileStarted
from era5dl.engine.progress import ActiveFile, FileState, Snapshot
from era5dl.engine.reporting import CHECKED_EARLIER, CheckedGroup, group_by_reason
from era5dl.gui.models.sort_filter import MaskedIndices, Part, RowOrder, mask_and, mask_without

REORDER_EVERY = 1.0  # seconds between two looks at the order, while states change


class SortKey(Enum):
    """By what the rows are sorted."""

    ACTIVITY = "activity"  # what is under way first, then what failed, what waits, what is done
    PROGRESS = "progress"
    FILE = "file"
    SIZE = "size"
    SPEED = "speed"
    STATUS = "status"
    ATTEMPTS = "attempts"


class FileFilter(Enum):
    """Which rows are shown."""

    ALL = "all"
    ACTIVE = "active"
    WAITING = "waiting"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"


_STATES_SHOWN = {
    FileFilter.ALL: tuple(FileState),
    FileFilter.ACTIVE: (FileState.ACTIVE,),
    FileFilter.WAITING: (FileState.WAITING,),
    FileFilter.HELD: (FileState.HELD,),
    FileFilter.DONE: (FileState.VERIFIED, FileState.CHECKED),
    FileFilter.FAILED: (FileState.FAILED,),
}
_FAILED = bytes(state == FileState.FAILED for state in range(256))
_BY_ACTIVITY = (
    (FileState.ACTIVE,),
    (FileState.FAILED,),
    (FileState.WAITING,),
    (FileState.HELD,),
    (FileState.VERIFIED, FileState.CHECKED),
)


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file. Sizes in bytes, speed in bytes per second. share: 0 to 1 of its bytes are here."""

    index: int
    key: str
    name: str
    size: int
    share: float
    speed: float
    state: FileState
    proving: bool
    attempts: int
    reason: str  # why it failed or is tried again; "" if neither
    kind: str  # of that error, for `words.told`
    checked_because: str  # why no more could be proven


@dataclass(frozen=True, slots=True)
class FileError:
    """What was last said against a file."""

    kind: str
    reason: str
    remedy: str
    failed: bool  # for good; else it is tried again


class QueueModel:
    """Files of one plan. All methods belong to one thread."""

    def __init__(self) -> None:
        self.order, self.descending = SortKey.ACTIVITY, False
        self.show, self.text = FileFilter.ALL, ""
        self.load(())

    def load(self, objects: Sequence[ObjectInfo], partial: dict[int, int] | None = None) -> None:
        """Other files, all of them waiting. partial: bytes of some of them that are on disk already."""
        self.objects = objects
        self.states = bytes(len(objects))
        self.only: frozenset[int] | None = None  # what a run of chosen files is about
        self.errors_by_file: dict[int, FileError] = {}
        self._partial = dict(partial or {})
        self._attempts: dict[int, int] = {}  # where there was more than one
        self._reasons: dict[int, str] = {}  # of files that are only checked
        self._sizes: dict[int, int] = {}  # where they changed upstream
        self._active: dict[int, ActiveFile] = {}
        self._matches: bytes | None = None  # of the search
        self._keys: list[str] = []  # in small letters, while there is a search
        self._static: dict[SortKey, list[int]] = {}
        self._counts: dict[FileFilter, int] = {}
        self._counted: bytes | None = None  # the states they are of
        self._reordered_at = 0.0
        self._stale = True
        if self.text:
            self.search(self.text)
        self._arrange()

    # What is told

    def hear(self, event: Event) -> None:
        """An event of the engine."""
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
                self._partial.pop(event.index, None)
                self.errors_by_file.pop(event.index, None)
                if event.reason:
                    self._reasons[event.index] = event.reason
            case _:
                return

    def update(self, snapshot: Snapshot | None, states: bytes, now: float) -> bool:
        """The numbers of this moment. now: monotonic. True when the order of the rows may be another one."""
        self._active = {} if snapshot is None else {one.index: one for one in snapshot.active}
        for one in self._active.values():
            self._partial[one.index] = one.done
            if one.size != self.objects[one.index].size:
                self._sizes[one.index] = one.size
        states = self._with_earlier_failures(states)
        if states != self.states:
            self.states, self._stale = states, True
        restless = self.order in (SortKey.SPEED, SortKey.PROGRESS) and bool(self._active)
        if (self._stale or restless) and now - self._reordered_at >= REORDER_EVERY:
            self._reordered_at = now
            self._arrange()
            return True
        return False

    # What is wished for

    def sort(self, order: SortKey, *, descending: bool = False) -> None:
        self.order, self.descending = order, descending
        self._arrange()

    def filter(self, show: FileFilter) -> None:
        self.show = show
        self._arrange()

    def search(self, text: str) -> None:
        """Only files in whose key every word occurs."""
        self.text = text.strip()
        words = self.text.lower().split()
        self._matches = None
        if words:
            self._keys = self._keys or [obj.key.lower() for obj in self.objects]
            self._matches = bytes([words[0] in key for key in self._keys])
            for word in words[1:]:
                self._matches = mask_and(self._matches, bytes([word in key for key in self._keys]))
        else:
            self._keys = []
        self._arrange()

    # What is asked

    def __len__(self) -> int:
        """Rows shown."""
        return len(self._view)

    def index_at(self, position: int) -> int:
        """Place in the plan of the row in this place of the table."""
        return self._view[position]

    def indices(self) -> Iterable[int]:
        """Places in the plan of all rows shown, in any order."""
        return iter(self._view)

    def position_of(self, index: int) -> int | None:
        """Where in the table a place in the plan is shown; None where it is not."""
        return self._view.position_of(index)

    def row(self, position: int) -> FileRow:
        return self.file(self._view[position])

    def file(self, index: int) -> FileRow:
        """The row of a place in the plan."""
        obj, state, active = self.objects[index], FileState(self.states[index]), self._active.get(index)
        size = self._sizes.get(index, obj.size)
        finished = state in (FileState.VERIFIED, FileState.CHECKED)
        done = size if finished else self._partial.get(index, 0)
        complaint = self.errors_by_file.get(index)
        return FileRow(
            index=index,
            key=obj.key,
            name=obj.key.rpartition("/")[2] or obj.key,
            size=size,
            share=1.0 if finished or not size else min(done / size, 1.0),
            speed=active.speed if active else 0.0,
            state=state,
            proving=active is not None and active.proving and active.done >= size,
            attempts=self._attempts.get(index, 1),
            reason=complaint.reason if complaint else "",
            kind=complaint.kind if complaint else "",
            checked_because=self._reasons.get(index, ""),
        )

    def counts(self) -> dict[FileFilter, int]:
        """How many files there are of each kind, whatever is shown."""
        if self._counted is not self.states:
            self._counted = self.states
            count = {state: self.states.count(state) for state in FileState}
            self._counts = {show: sum(count[state] for state in states) for show, states in _STATES_SHOWN.items()}
        return self._counts

    def among(self, indices: Iterable[int], *states: FileState) -> list[int]:
        """Those of these places in the plan that are in one of the states."""
        return [index for index in indices if self.states[index] in states]

    def checked(self) -> list[CheckedGroup]:
        """The files that are checked and not verified, by their reasons."""
        checked = (index for index, state in enumerate(self.states) if state == FileState.CHECKED)
        because = {index: self._reasons.get(index) or CHECKED_EARLIER for index in checked}
        return group_by_reason(because, [obj.key for obj in self.objects]) if because else []

    def failed(self) -> list[int]:
        """Places in the plan of all failed files."""
        return list(MaskedIndices(self.states.translate(_FAILED)))

    # Inside

    def _with_earlier_failures(self, states: bytes) -> bytes:
        """In a run of chosen files the others wait, as far as the engine knows; but those that failed, have failed."""
        if self.only is None or not self.errors_by_file:
            return states
        changed = bytearray(states)
        for index, complaint in self.errors_by_file.items():
            if complaint.failed and index not in self.only and changed[index] == FileState.WAITING:
                changed[index] = FileState.FAILED
        return bytes(changed)

    def _mask(self, states: Iterable[FileState]) -> bytes:
        """1 for each file in one of these states that the search lets through."""
        table = bytearray(256)
        for state in states:
            table[state] = 1
        mask = self.states.translate(bytes(table))
        return mask if self._matches is None else mask_and(mask, self._matches)

    def _arrange(self) -> None:
        self._stale = False
        self._view = RowOrder(self._parts(_STATES_SHOWN[self.show]), backwards=self.descending)

    def _parts(self, shown: Sequence[FileState]) -> list[Part]:
        if self.order in (SortKey.FILE, SortKey.SIZE):
            order, mask = self._static_order(), self._mask(shown)
            return [order if mask.count(1) == len(mask) else list(compress(order, map(mask.__getitem__, order)))]
        if self.order is SortKey.STATUS:
            return [MaskedIndices(self._mask((state,))) for state in shown]
        if self.order is SortKey.ACTIVITY:
            groups = ([state for state in group if state in shown] for group in _BY_ACTIVITY)
            return [MaskedIndices(self._mask(group)) for group in groups if group]
        return self._by_value(shown)

    def _by_value(self, shown: Sequence[FileState]) -> list[Part]:
        """Ascending. Only files that can have a value are looked at one by one; all others have the same."""
        special: Collection[int]
        value: Callable[[int], float]
        done = _STATES_SHOWN[FileFilter.DONE] if self.order is SortKey.PROGRESS else ()
        if self.order is SortKey.SPEED:
            special, value = self._active, lambda i: self._active[i].speed
        elif self.order is SortKey.ATTEMPTS:
            special, value = self._attempts, self._attempts.__getitem__
        else:
            special, value = self._partial, lambda i: self.file(i).share
        mask = self._mask(state for state in shown if state not in done)
        few = sorted((i for i in special if mask[i]), key=value)
        complete = self._mask(state for state in shown if state in done)
        return [MaskedIndices(mask_without(mask, few)), few, MaskedIndices(complete)]

    def _static_order(self) -> list[int]:
        """Sorted once by what does not change."""
        if self.order not in self._static:
            objects = self.objects
            if self.order is SortKey.FILE:
                self._static[self.order] = sorted(
                    range(len(objects)), key=[obj.key.rpartition("/")[2] for obj in objects].__getitem__
                )
            else:
                self._static[self.order] = sorted(range(len(objects)), key=[obj.size for obj in objects].__getitem__)
        return self._static[self.order]
