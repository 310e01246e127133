"""Contents of the queue table: its columns, a row for each file, and a heading for the files of one variable."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from era5dl.catalog.key_names import describe_key
from era5dl.engine.progress import FileState
from era5dl.formatting import format_size, format_speed
from era5dl.gui.models.queue import QueueModel
from era5dl.gui.models.queue_rows import FileRow, GroupRow
from era5dl.gui.text import key_text
from era5dl.gui.text.i18n import _, ngettext
from era5dl.gui.widgets import table_model
from era5dl.gui.widgets.table_model import StatusStyle

_STATUS_STYLES = {
    FileState.WAITING: StatusStyle.WAITING,
    FileState.ACTIVE: StatusStyle.ACTIVE,
    FileState.VERIFIED: StatusStyle.DONE,
    FileState.CHECKED: StatusStyle.DONE,
    FileState.CHECKED_PART: StatusStyle.PART,
    FileState.FAILED: StatusStyle.FAILED,
    FileState.HELD: StatusStyle.PAUSED,
}
COLUMNS = (
    table_model.Column("variable", "", 200, stretch=True, least=96, tip=True),
    table_model.Column("period", "", 100, least=90, tip=True),
    table_model.Column("product", "", 120, least=110, muted=True, optional=4, spare=True, tip=True),
    table_model.Column("progress", "", 156, show=table_model.Show.PROGRESS, least=90, optional=2),
    table_model.Column("size", "", 76, right=True, least=70, optional=1),
    table_model.Column("speed", "", 84, right=True, least=82, optional=3),
    table_model.Column("status", "", 124, show=table_model.Show.STATUS, least=122),
    table_model.Column("attempts", "", 80, right=True, least=78, muted=True, optional=5, spare=True),
    table_model.Column("key", "", 300, stretch=True, middle=True, least=160, muted=True, tip=True),
)


def titles() -> list[str]:
    """Return the titles of the columns."""
    names = [_("Variable"), _("Period"), _("Product"), _("Progress"), _("Size"), _("Speed"), _("Status")]
    return [*names, _("Attempts"), _("Key")]


class QueueRows:
    """The queue as a `TableModel`. status_text: returns the text for the status of a file."""

    def __init__(self, files: QueueModel, status_text: Callable[[FileRow], str]) -> None:
        self._files, self._status_text = files, status_text

    def row_count(self) -> int:
        return len(self._files)

    def row(self, index: int) -> table_model.Row:
        file = self._files.row(index)
        if isinstance(file, GroupRow):
            return _heading(file)
        percent = "100 %" if file.share >= 1 else f"{int(file.share * 100)} %" if file.share else ""
        attempts = str(file.attempts) if file.attempts > 1 else ""
        pace = format_speed(file.speed) if file.speed else ""
        known = describe_key(file.key)
        names = (file.key, "", "")
        if known is not None:
            names = (key_text.variable(known), key_text.period(known) or _("all dates"), key_text.product(known))
        short_key = file.key.rpartition("/")[2].removeprefix("e5.oper.") or file.key  # the folders say the same
        texts = (*names, percent, format_size(file.size), pace, self._status_text(file), attempts, short_key)
        status = StatusStyle.WARNING if file.state is FileState.ACTIVE and file.reason else _STATUS_STYLES[file.state]
        return table_model.Row(texts, file.share, status, tip=file.key)

    def row_id(self, index: int) -> Hashable:
        return self._files.index_at(index)

    def row_ids(self) -> Iterable[Hashable]:
        return self._files.indices()

    def index_of(self, row_id: Hashable) -> int | None:
        return self._files.position_of(int(str(row_id)))


def _heading(group: GroupRow) -> table_model.Row:
    """Return the row above the files of a variable: its name, number of files, size, and how many are complete."""
    files = ngettext("{n:,} file", "{n:,} files", group.files)
    names = (_("Other files"), files, "")
    if group.known is not None:
        names = (key_text.variable(group.known), files, key_text.product(group.known))
    done = _("{n:,} done", n=group.done) if group.done else ""
    return table_model.Row((*names, "", format_size(group.size), "", done, "", ""), heading=True)
