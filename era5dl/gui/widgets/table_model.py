"""Data of a table: columns, rows, interface of the model, selection and scroll position. No Tk in here."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol


class StatusStyle(Enum):
    """Appearance of the status of a row: (icon, colour of icon and text, colour of a progress bar)."""

    WAITING = ("waiting", "muted", "control")
    ACTIVE = ("active", "accent", "accent")
    PAUSED = ("paused", "muted", "control")
    DONE = ("done", "ok", "ok")
    PART = ("part", "part", "part")
    WARNING = ("warning", "warn", "warn")
    FAILED = ("failed", "danger", "danger")

    @property
    def icon(self) -> str:
        """A name of `icons.NAMES`."""
        return self.value[0]

    @property
    def colour(self) -> str:
        """Name of a colour of the palette, for the icon and the text."""
        return self.value[1]

    @property
    def bar(self) -> str:
        """Name of a colour of the palette, for a progress bar."""
        return self.value[2]


class Show(Enum):
    """What a column shows."""

    TEXT = "text"
    PROGRESS = "progress"  # a bar for Row.progress in the colour of Row.status, then the text
    STATUS = "status"  # the icon of Row.status, then the text


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Lengths are in unscaled pixels."""

    name: str  # passed to `on_sort`
    title: str
    width: float = 100
    show: Show = Show.TEXT
    right: bool = False  # aligned to the right, for numbers
    stretch: bool = False  # takes the remaining width; set it for one column
    middle: bool = False  # long texts are shortened in the middle, for names that differ at their end
    least: float = 48
    optional: int = 0  # hidden if the table is too narrow for all columns, the highest first; 0: never
    spare: bool = False  # hidden before a column that stretches gets narrower than its width; for optional ones
    tip: bool = False  # its cells have the tooltip of the row
    muted: bool = False  # in the colour of secondary text


class Row(NamedTuple):
    """Contents of one row. Rows are compared with those on the screen, so that only changed cells are drawn."""

    texts: tuple[str, ...]  # one for each column
    progress: float = 0.0  # 0 to 1
    status: StatusStyle = StatusStyle.WAITING
    tip: str = ""  # tooltip
    heading: bool = False  # of the rows below it


class TableModel(Protocol):
    """Interface of the data of a table. `row` is called for visible rows only."""

    def row_count(self) -> int:
        """Return the number of rows."""
        ...

    def row(self, index: int) -> Row:
        """Return the row at this index."""
        ...

    def row_id(self, index: int) -> Hashable:
        """Return the id of a row, which stays the same when rows are sorted, added or removed."""
        ...

    def row_ids(self) -> Iterable[Hashable]:
        """Return the ids of all rows. Called when the user selects all."""
        ...

    def index_of(self, row_id: Hashable) -> int | None:
        """Return the index of a row; None if a filter hides it. Called for key presses and clicks only."""
        ...


class Selection:
    """Selected rows and the cursor (the focused row), by their ids."""

    def __init__(self, model: TableModel) -> None:
        self.model = model
        self.ids: frozenset[Hashable] = frozenset()
        self.cursor: Hashable = None
        self._anchor: Hashable = None  # start of a range

    def clear(self) -> None:
        """Deselect everything, and remove the cursor."""
        self.ids = frozenset()
        self.cursor = self._anchor = None

    def select(self, index: int) -> None:
        """Select this row only."""
        self.cursor = self._anchor = self.model.row_id(index)
        self.ids = frozenset({self.cursor})

    def toggle(self, index: int) -> None:
        """Select or deselect this row, and keep the others."""
        self.cursor = self._anchor = self.model.row_id(index)
        self.ids ^= {self.cursor}

    def extend(self, index: int) -> None:
        """Select the range from its start to this row."""
        start = self.model.index_of(self._anchor) if self._anchor is not None else None
        if start is None:
            self.select(index)
            return
        low, high = sorted((start, index))
        self.ids = frozenset(map(self.model.row_id, range(low, high + 1)))
        self.cursor = self.model.row_id(index)

    def select_all(self) -> None:
        """Select every row."""
        self.ids = frozenset(self.model.row_ids())

    def cursor_index(self) -> int | None:
        """Return the index of the focused row; None if there is none or a filter hides it."""
        return self.model.index_of(self.cursor) if self.cursor is not None else None


class Viewport:
    """The visible rows. top: index of the first one. height: number of rows that are completely visible."""

    def __init__(self) -> None:
        self.top, self.height = 0, 1

    def clamp(self, count: int) -> None:
        """Limit the position to `count` rows."""
        self.top = max(0, min(self.top, count - self.height))

    def show(self, index: int) -> None:
        """Scroll just as far as needed to make this row visible."""
        if index < self.top:
            self.top = index
        elif index >= self.top + self.height:
            self.top = index - self.height + 1

    def scroll(self, command: str, number: str, unit: str, count: int) -> None:
        """Execute a scrollbar command: ("moveto", fraction) or ("scroll", number, "units" or "pages")."""
        if command == "moveto":
            self.top = round(float(number) * count)
        else:
            self.top += int(number) * (self.height if unit == "pages" else 1)

    def fractions(self, count: int) -> tuple[float, float]:
        """Return the ends of the scrollbar's thumb as fractions."""
        count = max(1, count)
        return self.top / count, min(1.0, (self.top + self.height) / count)
