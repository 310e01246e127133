"""The Sessions page: everything that was ever begun, and how to go on with it."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tkinter import ttk

from era5dl.gui.models.sessions import RowState, SessionRow
from era5dl.gui.text.i18n import _, follow, ngettext
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.banner import Banner, BannerAction, BannerKind
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.table import VirtualTable
from era5dl.gui.widgets.table_model import Column, Row, Show, StatusStyle

_STATUS_STYLES = {
    RowState.RUNNING: StatusStyle.ACTIVE,
    RowState.PAUSED: StatusStyle.PAUSED,
    RowState.INTERRUPTED: StatusStyle.WARNING,
    RowState.DONE: StatusStyle.DONE,
    RowState.FAILED: StatusStyle.FAILED,
    RowState.FOLDER_MISSING: StatusStyle.FAILED,
    RowState.DAMAGED: StatusStyle.FAILED,
}


@dataclass(frozen=True, slots=True)
class SessionsCallbacks:
    """What the page asks for; each returns at once."""

    resume: Callable[[Path, str], object]
    verify: Callable[[Path, str], object]
    stop_verifying: Callable[[], object]
    open_folder: Callable[[Path], object]
    forget: Callable[[Path, str], object]
    add_folder: Callable[[], object]


class SessionsPage(ttk.Frame):
    """`show` the rows as often as you like; what is selected stays selected."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: SessionsCallbacks) -> None:
        super().__init__(master, style="Page.TFrame")
        self._theme, self._do = theme, callbacks
        self._model = _Rows()
        self._sort = ("used", True)
        px = theme.px
        self._banner = Banner(self, theme, on_close=lambda: None)
        self._banner.pack(fill="x")
        card = Card(self, theme)
        card.pack(fill="both", expand=True)
        head = ttk.Frame(card)
        head.pack(fill="x", pady=(0, px(8)))
        self._title = ttk.Label(head, style="Head.TLabel")
        self._title.pack(side="left")
        self._count = ttk.Label(head, style="Muted.TLabel")
        self._count.pack(side="left", padx=px(8))
        self._add = _button(head, theme, "folder", callbacks.add_folder)
        self._add.pack(side="right")
        self._foot(card)
        self.table = VirtualTable(
            card,
            theme,
            columns=[Column(name, "", *rest[:1], **rest[1]) for name, *rest in _COLUMNS],  # type: ignore[arg-type]
            model=self._model,
            on_sort=self._sorted,
            on_select=lambda _ids: self._arrange(),
            on_menu=self._menu,
            on_open=lambda _id: self._resume(),
            height=6,
        )
        self.table.pack(fill="both", expand=True)
        follow(self, self.retranslate)

    def _foot(self, card: ttk.Frame) -> None:
        px, theme = self._theme.px, self._theme
        foot = ttk.Frame(card)
        foot.pack(side="bottom", fill="x", pady=(px(10), 0))
        self._resume_button = _button(foot, theme, "play", self._resume, "Accent.TButton", "on_accent")
        self._verify_button = _button(foot, theme, "check", self._verify)
        self._open_button = _button(foot, theme, "folder", self._open)
        self._forget_button = _button(foot, theme, "trash", self._ask_to_forget, "Danger.TButton", "danger")
        for button in (self._resume_button, self._verify_button, self._open_button):
            button.pack(side="left", padx=(0, px(8)))
        self._forget_button.pack(side="right")
        about = ttk.Frame(card)
        about.pack(side="bottom", fill="x", pady=(px(8), 0))
        self._path = ttk.Label(about)
        self._path.pack(anchor="w")
        self._hint = ttk.Label(about, style="Muted.TLabel")
        self._hint.pack(anchor="w", pady=(px(2), 0))
        self._proving = ttk.Frame(about)
        self._progress = ttk.Progressbar(self._proving, maximum=1000)
        self._progress.pack(side="left", fill="x", expand=True)
        self._progress_text = ttk.Label(self._proving, style="Muted.TLabel")
        self._progress_text.pack(side="left", padx=px(10))
        self._cancel = ttk.Button(self._proving, command=self._do.stop_verifying)
        self._cancel.pack(side="left")

    # --- values in

    def show(self, rows: Sequence[SessionRow]) -> None:
        """These sessions, in any order."""
        self._model.set(rows)
        self._model.sort(*self._sort)
        self.table.refresh()
        self._arrange()

    def show_verifying(self, done: int, total: int) -> None:
        """So many files have been looked at."""
        if not self._proving.winfo_manager():
            self._proving.pack(fill="x", pady=(self._theme.px(8), 0))
        self._progress.configure(value=1000 * done / total if total else 0)
        self._progress_text.configure(text=_("Verifying: {done:,} of {total:,} files", done=done, total=total))

    def show_verified(self, verified: int, checked: int, wrong: int) -> None:
        """All have been looked at: so many are proven by their MD5, so many are whole as far as can be told without
        one, so many are missing, incomplete or wrong."""
        self._proving.pack_forget()
        if wrong:
            text = ngettext(
                "{n:,} file is missing or differs from the server's. Click Resume to download it.",
                "{n:,} files are missing or differ from the server's. Click Resume to download them.",
                wrong,
            )
            self._banner.show(BannerKind.WARNING, text)
        else:
            self._banner.show(BannerKind.OK, _whole(verified, checked))

    def show_message(self, text: str, kind: BannerKind = BannerKind.WARNING) -> None:
        """Say something about what was asked for; an ended verification shows no progress any more."""
        self._proving.pack_forget()
        self._banner.show(kind, text)

    def retranslate(self) -> None:
        """All texts in the language of now."""
        self._title.configure(text=_("Sessions"))
        self._add.configure(text=_("Add folder…"))
        self._resume_button.configure(text=_("Resume"))
        self._verify_button.configure(text=_("Verify"))
        self._open_button.configure(text=_("Open folder"))
        self._forget_button.configure(text=_("Remove…"))
        self._cancel.configure(text=_("Cancel"))
        for button in (self._add, self._resume_button, self._verify_button, self._open_button, self._forget_button):
            button.configure(compound="left")
        titles = [_("Download"), _("Period"), _("Progress"), _("Files"), _("Size"), _("Last used"), _("Status")]
        self.table.set_texts(
            titles,
            _(
                "Your downloads are listed here. After a stop, a closed window or a power failure, you can resume "
                "them where they left off. There are no downloads on this computer yet: start one on the Download "
                "page, or add a folder that contains one."
            ),
        )
        self.table.show_sort(self._sort[0], descending=self._sort[1])
        self._arrange()

    # --- what is selected, and what can be done with it

    @property
    def chosen(self) -> SessionRow | None:
        """The one session that is selected."""
        return self._model.find(next(iter(self.table.selection))) if len(self.table.selection) == 1 else None

    def _arrange(self) -> None:
        row = self.chosen
        for button, possible in (
            (self._resume_button, row is not None and row.can_resume),
            (self._verify_button, row is not None and row.can_verify),
            (self._open_button, row is not None and row.can_open_folder),
            (self._forget_button, row is not None and row.can_forget),
        ):
            button.state(["!disabled" if possible else "disabled"])
        number = self._model.row_count()
        self._count.configure(text=f"{number:,}" if number else "")
        self._path.configure(text=str(row.folder) if row else "")
        hint = row.status.hint if row else (_("Select a session to resume.") if number else "")
        self._hint.configure(text=hint)

    def _resume(self) -> None:
        row = self.chosen
        if row is not None and row.can_resume:
            self._do.resume(row.folder, row.id)

    def _verify(self) -> None:
        row = self.chosen
        if row is not None and row.can_verify:
            self._banner.hide(at_once=True)
            self._do.verify(row.folder, row.id)

    def _open(self) -> None:
        row = self.chosen
        if row is not None and row.can_open_folder:
            self._do.open_folder(row.folder)

    def _ask_to_forget(self) -> None:
        row = self.chosen
        if row is None or not row.can_forget:
            return
        text = _(
            "Remove “{name}” from this list? Its unfinished files are deleted; complete files are kept.",
            name=row.name,
        )

        def forget() -> None:
            self._banner.hide(at_once=True)
            self._do.forget(row.folder, row.id)

        self._banner.show(BannerKind.WARNING, text, BannerAction(_("Remove"), forget))

    def _menu(self, x: int, y: int) -> None:
        row = self.chosen
        if row is None:
            return
        menu = self._theme.menu(self)
        for text, command, possible in (
            (_("Resume"), self._resume, row.can_resume),
            (_("Verify"), self._verify, row.can_verify),
            (_("Open folder"), self._open, row.can_open_folder),
            (_("Remove…"), self._ask_to_forget, row.can_forget),
        ):
            menu.add_command(label=text, command=command, state="normal" if possible else "disabled")
        menu.tk_popup(x, y)

    def _sorted(self, name: str) -> None:
        column, descending = self._sort
        self._sort = (name, not descending if name == column else name in ("used", "size", "progress"))
        self._model.sort(*self._sort)
        self.table.show_sort(name, descending=self._sort[1])
        self.table.refresh()


def _whole(verified: int, checked: int) -> str:
    """How many files are whole, and how far that is proven; only an MD5 speaks for each byte."""
    proven = ngettext(
        "{n:,} file verified: identical to the server's.",
        "{n:,} files verified: identical to the server's.",
        verified,
    )
    if not checked:
        return proven
    sound = ngettext(
        "{n:,} file checked: size and structure are correct, but the server provides no MD5 to compare with.",
        "{n:,} files checked: size and structure are correct, but the server provides no MD5 to compare with.",
        checked,
    )
    return f"{proven} {sound}" if verified else sound


_COLUMNS: tuple[tuple[str, float, dict[str, object]], ...] = (
    ("name", 190, {"stretch": True, "least": 140}),
    ("period", 262, {"least": 90, "muted": True}),
    ("progress", 156, {"show": Show.PROGRESS, "least": 152}),
    ("files", 132, {"right": True, "least": 70}),
    ("size", 84, {"right": True, "least": 70}),
    ("used", 132, {"least": 80, "muted": True}),
    ("status", 250, {"show": Show.STATUS, "least": 100}),
)


class _Rows:
    """The model of the table."""

    def __init__(self) -> None:
        self._rows: list[SessionRow] = []
        self._places: dict[Hashable, int] = {}

    def set(self, rows: Sequence[SessionRow]) -> None:
        self._rows = list(rows)

    def sort(self, column: str, descending: bool) -> None:
        keys: dict[str, Callable[[SessionRow], object]] = {
            "name": lambda row: row.name.casefold(),
            "period": lambda row: row.period,
            "progress": lambda row: -1 if row.percent is None else row.percent,
            "files": lambda row: row.files,
            "size": lambda row: row.total_bytes,
            "used": lambda row: row.used,
            "status": lambda row: row.status.name,
        }
        self._rows.sort(key=keys[column], reverse=descending)  # type: ignore[arg-type]
        self._places = {row.key: place for place, row in enumerate(self._rows)}

    def find(self, row_id: Hashable) -> SessionRow | None:
        place = self._places.get(row_id)
        return None if place is None else self._rows[place]

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
        return self._places

    def index_of(self, row_id: Hashable) -> int | None:
        return self._places.get(row_id)


def _button(
    master: tk.Misc,
    theme: Theme,
    icon: str,
    command: Callable[[], object],
    style: str = "TButton",
    colour: str = "text",
) -> ttk.Button:
    button = ttk.Button(master, style=style, command=command)
    theme.set_icon(button, icon, colour, 15)
    return button
