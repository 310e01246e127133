"""Opens the dialogs of the window: settings, help, questions, and the system's file dialogs."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import filedialog

from era5dl.formatting import printable
from era5dl.gui.dialogs.cds_request import CdsCallbacks, CdsRequestDialog
from era5dl.gui.dialogs.citation import CitationDialog
from era5dl.gui.dialogs.help import HelpDialog
from era5dl.gui.dialogs.question import QuestionDialog
from era5dl.gui.dialogs.settings import SettingsCallbacks, SettingsDialog
from era5dl.gui.models import preferences
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.text.i18n import _, ngettext
from era5dl.gui.theme.theme import Theme
from era5dl.log_file import log_path


class DialogOpener:
    """Opens each dialog at most once at a time."""

    def __init__(self, root: tk.Tk, theme: Theme) -> None:
        self._root, self._theme = root, theme
        self._settings: SettingsDialog | None = None
        self._help: HelpDialog | None = None
        self.cds_request: CdsRequestDialog | None = None
        self.citation: CitationDialog | None = None
        self.question: QuestionDialog | None = None
        self.consent: QuestionDialog | None = None
        self.replaced: QuestionDialog | None = None

    def show_help(self, folder: str) -> None:
        """Open the help. folder: download folder, listed among the file locations."""
        if self._help is None:
            places = (
                (_("Folder"), folder),
                (_("Settings"), str(preferences.preferences_file())),
                (_("Log"), str(log_path())),
            )
            self._help = HelpDialog(self._root, self._theme, places, self._help_closed)

    def show_settings(self, now: Preferences, changed: Callable[[Preferences], object]) -> None:
        """Open the settings. changed: called with the preferences after each change."""
        if self._settings is None:
            callbacks = SettingsCallbacks(
                changed=changed,
                choose_folder=self.choose_folder,
                choose_file=lambda _start: filedialog.askopenfilename(parent=self._root),
                closed=self._settings_closed,
            )
            self._settings = SettingsDialog(self._root, self._theme, now, callbacks)

    def show_cds_request(
        self, changed: Callable[[str], object], use: Callable[[int], object], closed: Callable[[], object]
    ) -> CdsRequestDialog:
        """Return the open dialog for CDS requests. Opens it if it is closed."""

        def forget() -> None:
            self.cds_request = None
            closed()

        if self.cds_request is None:
            self.cds_request = CdsRequestDialog(self._root, self._theme, CdsCallbacks(changed, use, forget))
        self.cds_request.lift()
        return self.cds_request

    def ask_to_close(self, on_yes: Callable[[], object]) -> None:
        """Ask whether to stop the download in progress and close the window."""
        self.question = QuestionDialog(
            self._root,
            self._theme,
            title=_("Stop the download and close?"),
            text=_("Everything downloaded so far is kept. You can resume the next time you open the window."),
            yes=_("Stop and close"),
            no=_("Keep downloading"),
            on_yes=on_yes,
            on_no=self._stay,
        )

    def ask_for_server(self, address: str, on_yes: Callable[[], object]) -> None:
        """Ask whether to download from the session's server, which is not the configured one."""
        if self.consent is not None and self.consent.winfo_exists():
            self.consent.destroy()
        self.consent = QuestionDialog(
            self._root,
            self._theme,
            title=_("Download from another server?"),
            text=_(
                "The files of this session come from {address}, which is not the server in the settings. "
                "Continue only if you trust that server, or the person who gave you the folder.",
                address=printable(address),
            ),
            yes=_("Use this server"),
            no=_("Cancel"),
            on_yes=on_yes,
            cautious=True,
        )

    def ask_for_replaced(self, number: int, on_yes: Callable[[], object], on_no: Callable[[], object]) -> None:
        """Ask whether files are downloaded again, because the bucket has new versions of them."""
        if self.replaced is not None and self.replaced.winfo_exists():
            self.replaced.destroy()
        self.replaced = QuestionDialog(
            self._root,
            self._theme,
            title=_("Download the new versions?"),
            text=ngettext(
                "{n:,} file was replaced on the server after it was downloaded. Your file stays until the new version "
                "is complete and verified.",
                "{n:,} files were replaced on the server after they were downloaded. Your files stay until the new "
                "versions are complete and verified.",
                number,
            ),
            yes=_("Download the new versions"),
            no=_("Keep my files"),
            on_yes=on_yes,
            on_no=on_no,
            cautious=True,
        )

    def choose_folder(self, start: str) -> str:
        """Let the user choose a folder in the system's dialog. Return its path; "" if the dialog was cancelled."""
        return filedialog.askdirectory(parent=self._root, initialdir=start or None)

    def choose_session_folder(self, start: str) -> str:
        """Let the user choose an existing folder. Return its path; "" if the dialog was cancelled."""
        return filedialog.askdirectory(parent=self._root, initialdir=start or None, mustexist=True)

    def show_citation(self, folder: str, text: str, bibtex: str, copy: Callable[[str], object]) -> None:
        """Show how to cite the data in a folder. copy: copies a text to the clipboard."""
        if self.citation is not None and self.citation.winfo_exists():
            self.citation.destroy()
        self.citation = CitationDialog(self._root, self._theme, folder, text, bibtex, copy)

    def choose_table(self, name: str) -> str:
        """Let the user choose a file for a table. Return its path; "" if the dialog was cancelled."""
        return filedialog.asksaveasfilename(parent=self._root, initialfile=f"{name}.csv", defaultextension=".csv")

    def choose_report(self) -> str:
        """Let the user choose a file for the support report. Return its path; "" if the dialog was cancelled."""
        from era5dl.gui.models import support_report

        return filedialog.asksaveasfilename(
            parent=self._root, initialfile=support_report.file_name(), defaultextension=".zip"
        )

    # --- inside

    def _settings_closed(self) -> None:
        self._settings = None

    def _help_closed(self) -> None:
        self._help = None

    def _stay(self) -> None:
        self.question = None
