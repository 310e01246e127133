"""Sessions page: a table of the sessions on this computer, and buttons to resume, verify, open or remove one."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tkinter import ttk

from era5dl.gui.models.jobs import JobRow
from era5dl.gui.models.sessions import SessionRow
from era5dl.gui.pages.jobs_panel import JobsCallbacks, JobsPanel
from era5dl.gui.pages.session_table import COLUMNS, SessionTableModel
from era5dl.gui.text.i18n import _, follow, ngettext
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.banner import Banner, BannerAction, BannerKind
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.table import VirtualTable

_DESCENDING_FIRST = ("used", "size", "progress")


@dataclass(frozen=True, slots=True)
class SessionsCallbacks:
    """Callbacks of the page. Each must return at once. Sessions are given by folder and id."""

    resume: Callable[[Path, str], object]
    update: Callable[[Path, str], object]
    verify: Callable[[Path, str], object]
    stop_verifying: Callable[[], object]
    open_folder: Callable[[Path], object]
    forget: Callable[[Path, str], object]
    add_folder: Callable[[], object]
    write_manifest: Callable[[Path], object]
    cite: Callable[[Path], object]
    jobs: JobsCallbacks


class SessionsPage(ttk.Frame):
    """`show` may be called at any time and keeps the selection."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: SessionsCallbacks) -> None:
        super().__init__(master, style="Page.TFrame")
        self._theme, self._callbacks = theme, callbacks
        self._model = SessionTableModel()
        self._sort = ("used", True)
        px = theme.px
        self._banner = Banner(self, theme, on_close=lambda: None)
        self._banner.pack(fill="x")
        self.jobs = JobsPanel(self, theme, callbacks.jobs)
        card = self._card = Card(self, theme)
        card.pack(fill="both", expand=True)
        head = ttk.Frame(card)
        head.pack(fill="x", pady=(0, px(8)))
        self._title = ttk.Label(head, style="Head.TLabel")
        self._title.pack(side="left")
        self._count = ttk.Label(head, style="Muted.TLabel")
        self._count.pack(side="left", padx=px(8))
        self._add = self._button(head, "folder", callbacks.add_folder)
        self._add.pack(side="right")
        self._create_buttons(card)
        self._create_details(card)
        self.table = VirtualTable(
            card,
            theme,
            columns=COLUMNS,
            model=self._model,
            on_sort=self._sort_by,
            on_select=lambda _ids: self._update_details(),
            on_menu=self._show_menu,
            on_open=lambda _id: self._resume(),
            height=6,
        )
        self.table.pack(fill="both", expand=True)
        follow(self, self.retranslate)

    def _create_buttons(self, card: ttk.Frame) -> None:
        px = self._theme.px
        line = ttk.Frame(card)
        line.pack(side="bottom", fill="x", pady=(px(10), 0))
        self._resume_button = self._button(line, "play", self._resume, "Accent.TButton", "on_accent")
        self._update_button = self._button(line, "download", self._update)
        self._verify_button = self._button(line, "check", self._verify)
        self._open_button = self._button(line, "folder", self._open)
        self._manifest_button = self._button(line, "check", self._write_manifest)
        self._cite_button = self._button(line, "copy", self._cite)
        self._forget_button = self._button(line, "trash", self._ask_to_forget, "Danger.TButton", "danger")
        for button in (
            self._resume_button,
            self._update_button,
            self._verify_button,
            self._open_button,
            self._manifest_button,
            self._cite_button,
        ):
            button.pack(side="left", padx=(0, px(8)))
        self._forget_button.pack(side="right")

    def _create_details(self, card: ttk.Frame) -> None:
        px = self._theme.px
        details = ttk.Frame(card)
        details.pack(side="bottom", fill="x", pady=(px(8), 0))
        self._path = ttk.Label(details)
        self._path.pack(anchor="w")
        self._hint = ttk.Label(details, style="Muted.TLabel")
        self._hint.pack(anchor="w", pady=(px(2), 0))
        self._verification = ttk.Frame(details)
        self._progress = ttk.Progressbar(self._verification, maximum=1000)
        self._progress.pack(side="left", fill="x", expand=True)
        self._progress_text = ttk.Label(self._verification, style="Muted.TLabel")
        self._progress_text.pack(side="left", padx=px(10))
        self._cancel = ttk.Button(self._verification, command=self._callbacks.stop_verifying)
        self._cancel.pack(side="left")

    def _button(
        self,
        master: tk.Misc,
        icon: str,
        command: Callable[[], object],
        style: str = "TButton",
        colour: str = "text",
    ) -> ttk.Button:
        button = ttk.Button(master, style=style, command=command, compound="left")
        self._theme.set_icon(button, icon, colour, 15)
        return button

    # --- interface

    def show(self, rows: Sequence[SessionRow]) -> None:
        """Show these sessions. Their order does not matter."""
        self._model.show(rows, *self._sort)
        self.table.refresh()
        self._update_details()

    def show_jobs(self, rows: Sequence[JobRow], *, runner: str, busy: bool, running: bool) -> None:
        """Show the queue above the sessions, if it has any jobs. See `JobsPanel.show`."""
        if not rows:
            self.jobs.pack_forget()
        elif not self.jobs.winfo_manager():
            self.jobs.pack(fill="x", pady=(0, self._theme.px(10)), before=self._card)
        self.jobs.show(rows, runner=runner, busy=busy, running=running)

    def show_verifying(self, done: int, total: int) -> None:
        """Show the progress of a verification, in files."""
        if not self._verification.winfo_manager():
            self._verification.pack(fill="x", pady=(self._theme.px(8), 0))
        self._progress.configure(value=1000 * done / total if total else 0)
        self._progress_text.configure(text=_("Verifying: {done:,} of {total:,} files", done=done, total=total))

    def show_verified(self, verified: int, checked: int, wrong: int, parts: int = 0) -> None:
        """Show the result of a verification, as numbers of files.

        checked: without an MD5 to compare with. parts: of which only a part was wanted.
        """
        self._verification.pack_forget()
        if wrong:
            text = ngettext(
                "{n:,} file is missing or differs from the server's. Click Resume to download it.",
                "{n:,} files are missing or differ from the server's. Click Resume to download them.",
                wrong,
            )
            self._banner.show(BannerKind.WARNING, text)
        else:
            self._banner.show(BannerKind.OK, _verified_text(verified, checked, parts))

    def show_message(self, text: str, kind: BannerKind = BannerKind.WARNING) -> None:
        """Show a message, instead of the progress of a verification."""
        self._verification.pack_forget()
        self._banner.show(kind, text)

    def hide_message(self) -> None:
        """Hide the message."""
        self._banner.hide(at_once=True)

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self._title.configure(text=_("Sessions"))
        self._add.configure(text=_("Add folder…"))
        self._resume_button.configure(text=_("Resume"))
        self._update_button.configure(text=_("Update"))
        self._verify_button.configure(text=_("Verify"))
        self.jobs.retranslate()
        self._open_button.configure(text=_("Open folder"))
        self._manifest_button.configure(text=_("Manifest…"))
        self._cite_button.configure(text=_("Cite…"))
        self._forget_button.configure(text=_("Remove…"))
        self._cancel.configure(text=_("Cancel"))
        titles = [_("Download"), _("Period"), _("Progress"), _("Files"), _("Size"), _("Last used"), _("Status")]
        self.table.set_texts(
            titles,
            _(
                "Your downloads are listed here. After a stop, a closed window or a power failure, you can resume them "
                "where they left off. There are no downloads on this computer yet: start one on the Download page, or "
                "add a folder that contains one."
            ),
        )
        self.table.show_sort(self._sort[0], descending=self._sort[1])
        self._update_details()

    @property
    def chosen(self) -> SessionRow | None:
        """The selected session; None unless exactly one is selected."""
        return self._model.find(next(iter(self.table.selection))) if len(self.table.selection) == 1 else None

    # --- inside

    def _update_details(self) -> None:
        row = self.chosen
        for button, possible in (
            (self._resume_button, row is not None and row.can_resume),
            (self._update_button, row is not None and row.can_update),
            (self._verify_button, row is not None and row.can_verify),
            (self._open_button, row is not None and row.can_open_folder),
            (self._manifest_button, row is not None and row.can_open_folder),
            (self._cite_button, row is not None and row.can_open_folder),
            (self._forget_button, row is not None and row.can_forget),
        ):
            button.state(["!disabled" if possible else "disabled"])
        number = self._model.row_count()
        self._count.configure(text=f"{number:,}" if number else "")
        self._path.configure(text=str(row.folder) if row else "")
        self._hint.configure(text=row.status.hint if row else _("Select a session to resume.") if number else "")

    def _resume(self) -> None:
        row = self.chosen
        if row is not None and row.can_resume:
            self._callbacks.resume(row.folder, row.id)

    def _update(self) -> None:
        row = self.chosen
        if row is not None and row.can_update:
            self._banner.hide(at_once=True)
            self._callbacks.update(row.folder, row.id)

    def _verify(self) -> None:
        row = self.chosen
        if row is not None and row.can_verify:
            self._banner.hide(at_once=True)
            self._callbacks.verify(row.folder, row.id)

    def _open(self) -> None:
        row = self.chosen
        if row is not None and row.can_open_folder:
            self._callbacks.open_folder(row.folder)

    def _write_manifest(self) -> None:
        row = self.chosen
        if row is not None and row.can_open_folder:
            self._callbacks.write_manifest(row.folder)

    def _cite(self) -> None:
        row = self.chosen
        if row is not None and row.can_open_folder:
            self._callbacks.cite(row.folder)

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
            self._callbacks.forget(row.folder, row.id)

        self._banner.show(BannerKind.WARNING, text, BannerAction(_("Remove"), forget))

    def _show_menu(self, x: int, y: int) -> None:
        row = self.chosen
        if row is None:
            return
        menu = self._theme.menu(self)
        for text, command, possible in (
            (_("Resume"), self._resume, row.can_resume),
            (_("Update"), self._update, row.can_update),
            (_("Verify"), self._verify, row.can_verify),
            (_("Open folder"), self._open, row.can_open_folder),
            (_("Manifest…"), self._write_manifest, row.can_open_folder),
            (_("Cite…"), self._cite, row.can_open_folder),
            (_("Remove…"), self._ask_to_forget, row.can_forget),
        ):
            menu.add_command(label=text, command=command, state="normal" if possible else "disabled")
        menu.tk_popup(x, y)

    def _sort_by(self, name: str) -> None:
        column, descending = self._sort
        self._sort = (name, not descending if name == column else name in _DESCENDING_FIRST)
        self._model.sort(*self._sort)
        self.table.show_sort(name, descending=self._sort[1])
        self.table.refresh()


def _verified_text(verified: int, checked: int, parts: int) -> str:
    """Return the text for a verification that has found no wrong file."""
    sentences = []
    if verified or not (checked or parts):
        by_md5 = ngettext(
            "{n:,} file verified: identical to the server's.",
            "{n:,} files verified: identical to the server's.",
            verified,
        )
        sentences.append(by_md5)
    if checked:
        without_md5 = ngettext(
            "{n:,} file checked: size and structure are correct, but the server provides no MD5 to compare with.",
            "{n:,} files checked: size and structure are correct, but the server provides no MD5 to compare with.",
            checked,
        )
        sentences.append(without_md5)
    if parts:
        by_checksums = ngettext(
            "{n:,} subset of a file is in place; the server has no MD5 to compare a subset with.",
            "{n:,} subsets of files are in place; the server has no MD5 to compare a subset with.",
            parts,
        )
        sentences.append(by_checksums)
    return " ".join(sentences)
