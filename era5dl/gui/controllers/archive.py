"""Archive controller: the calendar of a folder, its gaps, its table, its manifest, and the citation of its data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from era5dl.errors import UsageError
from era5dl.formatting import format_size
from era5dl.gui.backend import archives, messages
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.gui.backend.service import BackendService
from era5dl.gui.controllers import Controller
from era5dl.gui.dialogs.opener import DialogOpener
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.pages.archive import ArchivePage
from era5dl.gui.text import error_text
from era5dl.gui.text.i18n import _, ngettext
from era5dl.gui.widgets.banner import BannerAction, BannerKind
from era5dl.planner.plan import Plan

_TASKS = (archives.AUDIT, archives.FILES, archives.GAPS)


class ArchiveController(Controller):
    """start: downloads a plan into a folder. copy: copies a text to the clipboard."""

    def __init__(
        self,
        page: ArchivePage,
        service: BackendService,
        store: PreferenceStore,
        dialogs: DialogOpener,
        *,
        start: Callable[[Plan, Path], object],
        copy: Callable[[str], object],
    ) -> None:
        self._page, self._service, self._store, self._dialogs = page, service, store, dialogs
        self._start, self._copy = start, copy
        self._folder: Path | None = None
        self._was_visible = False
        self._is_stale = False  # files have changed since the audit

    # --- actions

    def choose_folder(self) -> None:
        """Look at a folder that the user chooses."""
        chosen = self._dialogs.choose_session_folder(str(self._folder or self._store.current.folder))
        if chosen:
            self.look_at(Path(chosen))

    def look_at(self, folder: Path) -> None:
        """Audit a folder."""
        self._folder, self._is_stale = folder, False
        self._page.banner.hide(at_once=True)
        self._page.show_busy(folder)
        self._service.archives.audit(folder)

    def look_again(self) -> None:
        """Audit the same folder again."""
        if self._folder is not None:
            self.look_at(self._folder)

    def fetch_gaps(self) -> None:
        """Look up what lacks; then offer to download it."""
        audit = self._page.audit
        if self._folder is None or audit is None or not audit.gaps:
            return
        if self._service.runs.busy:
            self._page.banner.show(BannerKind.INFO, _("Wait for the end of the download in progress, or stop it."))
            return
        try:
            settings = self._store.current.to_settings()
        except UsageError as error:
            self._show_error(ErrorInfo.of(error))
            return
        number = len(audit.gaps)
        self._page.banner.show(BannerKind.INFO, ngettext("Looking up {n:,} file …", "Looking up {n:,} files …", number))
        self._service.archives.plan_gaps(self._folder, audit, settings)

    def save_csv(self) -> None:
        """Save the table of all files."""
        audit = self._page.audit
        if self._folder is not None and audit is not None:
            name = self._dialogs.choose_table(self._folder.name)
            if name:
                self._service.archives.save_csv(self._folder, audit, Path(name))

    def write_manifest(self, folder: Path | None = None) -> None:
        """Write the manifest of the folder that is shown, or of this one."""
        wanted = folder or self._folder
        if wanted is not None:
            self._service.archives.write_manifest(wanted)

    def cite(self, folder: Path | None = None) -> None:
        """Show how to cite the data in the folder that is shown, or in this one."""
        wanted = folder or self._folder
        if wanted is not None:
            self._service.archives.cite(wanted)

    # --- messages

    def handle(self, message: Message) -> None:
        match message:
            case messages.ArchiveAudited() if message.folder == self._folder:
                self._page.show(message.folder, message.audit, message.calendar)
            case messages.ArchiveFailed():
                if not message.is_audit:
                    self._show_error(message.error)
                elif message.folder == self._folder:
                    self._page.show(message.folder, None, None)
                    text = _("This folder cannot be looked at. Check that it exists and that its disk is connected.")
                    self._page.banner.show(BannerKind.WARNING, f"{text}\n({message.error.detail})")
            case messages.GapsPlanned() if message.folder == self._folder:
                self._offer(message)
            case messages.ArchiveFileWritten():
                self._page.banner.show(BannerKind.OK, _("Saved: {path}", path=message.path))
            case messages.ManifestProgressed():
                self._show_progress(message)
            case messages.ManifestWritten():
                self._show_manifest(message)
            case messages.CitationMade():
                self._dialogs.show_citation(str(message.folder), message.text, message.bibtex, self._copy)
            case messages.RunFinished():
                self._is_stale = True
            case messages.TaskCrashed() if message.task in _TASKS:
                if self._folder is not None:
                    self._page.show(self._folder, self._page.audit, None)
                self._show_error(message.error)
            case _:
                return

    def refresh(self) -> None:
        """Audit the download folder when the page is opened for the first time, and again after a download."""
        visible = bool(self._page.winfo_viewable())
        if visible and not self._was_visible:
            folder = self._folder or _existing(self._store.current.folder)
            if folder is not None and (self._folder is None or self._is_stale):
                self.look_at(folder)
        self._was_visible = visible

    # --- inside

    def _offer(self, message: messages.GapsPlanned) -> None:
        """Offer to download what lacks."""
        plan, folder = message.plan, message.folder
        if not plan.objects:
            self._page.banner.show(BannerKind.INFO, _("The server does not have any of the missing files."))
            return
        number = len(plan.objects)
        size = format_size(plan.total_bytes)
        text = ngettext("{n:,} file to fetch, {size}.", "{n:,} files to fetch, {size}.", number, size=size)
        if plan.missing:
            text += " " + ngettext(
                "{n:,} more is not on the server.", "{n:,} more are not on the server.", len(plan.missing)
            )
        if message.more:
            text += " " + _("Parts of another kind follow when these are complete.")

        def start() -> None:
            self._page.banner.hide(at_once=True)
            self._start(plan, folder)

        self._page.banner.show(BannerKind.INFO, text, BannerAction(_("Download"), start))

    def _show_progress(self, message: messages.ManifestProgressed) -> None:
        done, total = format_size(message.done), format_size(message.total)
        action = BannerAction(_("Cancel"), self._stop_manifest)
        self._page.banner.show(BannerKind.INFO, _("Computing sums: {done} of {total}", done=done, total=total), action)

    def _stop_manifest(self) -> None:
        self._service.archives.stop_files()
        self._page.banner.hide(at_once=True)

    def _show_manifest(self, message: messages.ManifestWritten) -> None:
        """Report the manifest, and offer to compute sums, which takes as long as reading the files."""
        if message.changed:
            text = ngettext(
                "{n:,} file does not have the bytes of the server any more: {name}. Verify its session to repair it.",
                "{n:,} files do not have the bytes of the server any more, such as {name}. Verify their sessions to "
                "repair them.",
                len(message.changed),
                name=message.changed[0],
            )
            self._page.banner.show(BannerKind.DANGER, text)
            return
        path, number = message.path, message.files
        text = ngettext("Manifest of {n:,} file: {path}", "Manifest of {n:,} files: {path}", number, path=path)
        action = None
        if message.unsummed:
            size = format_size(message.unsummed)
            action = BannerAction(
                _("Add SHA-256 sums (reads {size})", size=size),
                lambda: self._service.archives.write_manifest(message.folder, sha256=True),
            )
        self._page.banner.show(BannerKind.OK, text, action)

    def _show_error(self, error: ErrorInfo) -> None:
        text = error_text.explain(error.kind).text
        self._page.banner.show(BannerKind.WARNING, f"{text}\n({error.detail})" if error.detail else text)


def _existing(folder: str) -> Path | None:
    """Return a folder, if it exists."""
    try:
        path = Path(folder)
        return path if folder and path.is_dir() else None
    except (OSError, ValueError):
        return None
