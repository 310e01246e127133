"""Table model of the Sessions page: columns, sorting, and the appearance of each status. No Tk in here."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from era5dl.gui.models.sessions import RowState, SessionRow
from era5dl.gui.widgets.table_model import Column, Row, Show, StatusStyle

COLUMNS = (
    Column("name", "", 170, stretch=True, least=140),
    Column("period", "", 270, least=256, muted=True),
    Column("progress", "", 156, show=Show.PROGRESS, least=100),
    Column("files", "", 132, right=True, least=70),
    Column("size", "", 84, right=True, least=70),
    Column("used", "", 112, least=94, muted=True),
    Column("status", "", 250, show=Show.STATUS, least=150),
)
_STATUS_STYLES = {
    RowState.RUNNING: StatusStyle.ACTIVE,
    RowState.PAUSED: StatusStyle.PAUSED,
    RowState.INTERRUPTED: StatusStyle.WARNING,
    RowState.DONE: StatusStyle.DONE,
    RowState.FAILED: StatusStyle.FAILED,
    RowState.FOLDER_MISSING: StatusStyle.FAILED,
    RowState.DAMAGED: StatusStyle.FAILED,
}
_SORT_KEYS: dict[str, Callable[[SessionRow], object]] = {
    "name": lambda row: row.name.casefold(),
    "period": lambda row: row.period,
    "progress": lambda row: -1 if row.percent is None else row.percent,
    "files": lambda row: row.files,
    "size": lambda row: row.total_bytes,
    "used": lambda row: row.used,
    "status": lambda row: row.status.name,
}


class SessionTableModel:
    """Rows of the table, as `TableModel` describes them."""

    def __init__(self) -> None:
        self._rows: list[SessionRow] = []
        self._indices: dict[Hashable, int] = {}  # by key

    def show(self, rows: Sequence[SessionRow], column: str, descending: bool) -> None:
        """Set the rows, and sort them by a column."""
        self._rows = sorted(rows, key=_SORT_KEYS[column], reverse=descending)  # type: ignore[arg-type]
        self._indices = {row.key: index for index, row in enumerate(self._rows)}

    def sort(self, column: str, descending: bool) -> None:
        """Sort the rows by a column."""
        self.show(self._rows, column, descending)

    def find(self, row_id: Hashable) -> SessionRow | None:
        """Return the session with this key."""
        index = self._indices.get(row_id)
        return None if index is None else self._rows[index]

    def row_count(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> Row:
        row = self._rows[index]
        percent = "" if row.percent is None else f"{row.percent} %"
        texts = (row.name, row.period, percent, row.files, row.size, row.last_used, row.status.name)
        return Row(texts, (row.percent or 0) / 100, _STATUS_STYLES[row.state])

    def row_id(self, index: int) -> Hashable:
        return self._rows[index].key

    def row_ids(self) -> Iterable[Hashable]:
        return self._indices

    def index_of(self, row_id: Hashable) -> int | None:
        return self._indices.get(row_id)
