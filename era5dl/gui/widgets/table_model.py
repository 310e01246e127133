"""What a table shows: columns, rows, the contract of its model, and a selection by id. No Tk in here."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from era5dl.gui.widgets.status_color import Tone

ELLIPSIS = "…"


class Show(Enum):
    """How a column shows its text."""

    TEXT = "text"
    PROGRESS = "progress"  # a bar for Row.progress in the colour of Row.tone, then the text
    STATE = "state"  # the icon of Row.tone, then the text


@dataclass(frozen=True, slots=True)
class Column:
    """A column; lengths in our units (pixels at a scale of 1)."""

    name: str  # what `on_sort` gets
    title: str
    width: float = 100
    show: Show = Show.TEXT
    right: bool = False  # text at the right end: numbers
    stretch: bool = False  # takes the room that is left; one column should
    middle: bool = False  # cut texts in the middle: names whose ends differ
    least: float = 48
    spare: bool = False  # not shown where there is no room for the least of all
    quiet: bool = False  # in the muted colour
    sortable: bool = True


class Row(NamedTuple):
    """A row as it is to be seen; compared with what is on the screen, so that only what changed is drawn."""

    texts: tuple[str, ...]  # one for each column
    progress: float = 0.0  # 0 … 1
    tone: Tone = Tone.WAITING


class TableModel(Protocol):
    """What a table asks; it calls `row` for rows on the screen only."""

    def row_count(self) -> int:
        """How many rows there are now."""
        ...

    def row(self, index: int) -> Row:
        """The row in this place."""
        ...

    def row_id(self, index: int) -> Hashable:
        """What stays the same when rows are sorted or come and go."""
        ...

    def row_ids(self) -> Iterable[Hashable]:
        """Of all rows. Asked when all are selected."""
        ...

    def index_of(self, row_id: Hashable) -> int | None:
        """The place of this row now; None when it is not shown. Asked at keys and clicks only."""
        ...


class Selection:
    """Which rows are selected, by id, and where the keyboard is (the cursor)."""

    def __init__(self, model: TableModel) -> None:
        self.model = model
        self.ids: frozenset[Hashable] = frozenset()
        self.cursor: Hashable = None
        self._anchor: Hashable = None  # where a range began

    def clear(self) -> None:
        """Nothing selected, no cursor."""
        self.ids = frozenset()
        self.cursor = self._anchor = None

    def take(self, index: int) -> None:
        """This row alone."""
        self.cursor = self._anchor = self.model.row_id(index)
        self.ids = frozenset({self.cursor})

    def toggle(self, index: int) -> None:
        """This row in or out, the others as they are."""
        self.cursor = self._anchor = self.model.row_id(index)
        self.ids ^= {self.cursor}

    def extend(self, index: int) -> None:
        """All rows from where the range began up to this one."""
        start = self.model.index_of(self._anchor) if self._anchor is not None else None
        if start is None:
            self.take(index)
            return
        low, high = sorted((start, index))
        self.ids = frozenset(map(self.model.row_id, range(low, high + 1)))
        self.cursor = self.model.row_id(index)

    def all(self) -> None:
        """Every row there is."""
        self.ids = frozenset(self.model.row_ids())

    def place(self) -> int | None:
        """The index of the cursor, if its row is shown."""
        return self.model.index_of(self.cursor) if self.cursor is not None else None


class TextFitter:
    """Cuts texts to a width, and remembers how.

    A text is as wide as its letters, each of which is measured once: to ask Tk about whole texts takes longer than all
    the rest of drawing them, and Tk's thread waits for Python's lock after each answer. (Letters that draw together,
    as kerning does, make it narrower than that by a pixel or two.)
    """

    _MOST = 4000

    def __init__(self, measure: Callable[[str], int]) -> None:
        self._widths = _Widths(measure)
        self._known: dict[tuple[str, int, bool], str] = {}

    def fit(self, text: str, width: int, *, middle: bool = False) -> str:
        """The text, or as much of it as is not wider than `width` pixels, with an ellipsis."""
        if not text:
            return text
        key = (text, width, middle)
        fitted = self._known.get(key)
        if fitted is None:
            if len(self._known) > self._MOST:
                self._known.clear()
            fitted = self._known[key] = self._cut(text, width, middle)
        return fitted

    def widest(self, texts: Iterable[str]) -> int:
        """Pixels of the longest of them."""
        return max(map(self.measure, texts), default=0)

    def measure(self, text: str) -> int:
        """Pixels of a text."""
        return sum(map(self._widths.__getitem__, text))

    def _cut(self, text: str, width: int, middle: bool) -> str:
        if self.measure(text) <= width:
            return text
        least, most = 0, len(text) - 1  # characters kept
        while least < most:
            kept = (least + most + 1) // 2
            if self.measure(_shortened(text, kept, middle)) <= width:
                least = kept
            else:
                most = kept - 1
        return _shortened(text, least, middle)


class _Widths(dict[str, int]):
    """Pixels of each letter, measured when it comes up first."""

    def __init__(self, measure: Callable[[str], int]) -> None:
        super().__init__()
        self._measure = measure

    def __missing__(self, letter: str) -> int:
        width = self[letter] = self._measure(letter)
        return width


def _shortened(text: str, kept: int, middle: bool) -> str:
    if not middle:
        return text[:kept] + ELLIPSIS
    front = kept - kept // 2
    return text[:front] + ELLIPSIS + text[len(text) - (kept - front) :]
