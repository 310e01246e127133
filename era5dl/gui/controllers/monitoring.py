"""Between the conductor and the pages that look on: Sessions, Diagnostics and Log. All on Tk's thread."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from era5dl.diagnosis.metrics import Metrics
from era5dl.diagnosis.network_test import NetworkTest
from era5dl.engine.events import State
from era5dl.engine.verify_files import FileCondition
from era5dl.errors import UsageError
from era5dl.formatting import plain
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import Message
from era5dl.gui.backend.service import TESTING, VERIFYING, BackendService
from era5dl.gui.models import sessions
from era5dl.gui.models.charts import chart_data
from era5dl.gui.models.log import Level, LogModel
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.models.sessions import parts_of_title
from era5dl.gui.pages.diagnostics import DiagnosticsPage
from era5dl.gui.pages.log import LogPage
from era5dl.gui.pages.sessions import SessionsPage
from era5dl.gui.text import diagnosis_text, error_text
from era5dl.gui.text.i18n import _
from era5dl.gui.widgets.banner import BannerKind
from era5dl.session import SessionSummary
from era5dl.settings import Settings

SLOW = 2.0  # seconds between two looks at what changes slowly


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages it speaks to."""

    sessions: SessionsPage
    diagnostics: DiagnosticsPage
    log: LogPage


class MonitoringController:
    """One for the life of the window."""

    def __init__(self, service: BackendService, settings: Callable[[], Settings]) -> None:
        self._service, self._settings = service, settings
        self.book = LogModel()
        self.metrics = Metrics(service.snapshot, service.request_metrics)
        self._pages: Pages | None = None
        self._sessions: tuple[SessionSummary, ...] = ()
        self._network_test: NetworkTest | None = None
        self._tested_alone = True  # nothing was downloaded meanwhile
        self._running: tuple[str, Path] | None = None
        self._next = 0.0

    def attach(self, pages: Pages) -> None:
        self._pages = pages

    @property
    def pages(self) -> Pages:
        assert self._pages is not None
        return self._pages

    @property
    def unfinished(self) -> int:
        """Sessions that could go on."""
        return sum(row.can_resume for row in sessions.rows(self._sessions))

    # --- what the person does

    def verify(self, folder: Path, session_id: str) -> None:
        try:
            self._service.verify(folder, session_id, self._settings())
        except UsageError as error:
            self.pages.sessions.show_message(error_text.explain(error).sentence)

    def test(self) -> None:
        """Run the network test."""
        try:
            settings = self._settings()
        except UsageError as error:
            self.book.add(Level.ERROR, str(error))
            self.pages.diagnostics.show_message(error_text.explain(error).sentence, BannerKind.WARNING)
            return
        self.pages.diagnostics.show_testing(True)
        self._tested_alone = not self._service.occupied
        self._service.diagnose(settings)

    def save_report(self, path: Path, preferences: Preferences) -> None:
        """Put the support report into this file, and say where it is, or why it is not."""
        try:
            self._write_report(path, preferences)
        except OSError as error:
            self.book.add(Level.ERROR, str(error))
            text = _("The report could not be saved: {reason}", reason=plain(str(error)))
            self.pages.diagnostics.show_message(text, BannerKind.DANGER)
        else:
            self.pages.diagnostics.show_message(_("The report is saved: {path}", path=plain(str(path))), BannerKind.OK)

    def _write_report(self, path: Path, preferences: Preferences) -> None:
        from era5dl.gui.models import support_report  # 20 ms that opening the window need not take

        said = self._diagnoses()
        material = support_report.Material(
            preferences=preferences,
            network_test=self._network_test,
            diagnoses=tuple(one.diagnosis for one in said),
            samples=self.metrics.history(),
            sessions=self._sessions,
            log=tuple(f"{line.clock} {line.text}" for line in self.book.lines()),
        )
        support_report.write(path, material)

    # --- what the conductor says

    def hear(self, fact: Message) -> None:
        pages = self.pages
        match fact:
            case messages.SessionsListed():
                self._sessions = fact.sessions
                self.show_sessions()
            case messages.VerifyProgressed():
                pages.sessions.show_verifying(fact.done, fact.total)
            case messages.VerifyFinished():
                found = Counter(one.condition for one in fact.examined)
                verified, checked = found[FileCondition.VERIFIED], found[FileCondition.CHECKED]
                pages.sessions.show_verified(verified, checked, found.total() - verified - checked)
                self._service.list_sessions()
            case messages.VerifyFailed():
                pages.sessions.show_message(_said(fact.error), BannerKind.WARNING)
            case messages.SessionForgotten():
                if fact.error is not None:
                    pages.sessions.show_message(_said(fact.error))
                self._service.list_sessions()
            case messages.NetworkTested():
                self._network_test = fact.network_test
                self._tested_alone = self._tested_alone and not self._service.occupied
                pages.diagnostics.show_testing(False)
                self._show_test()
            case messages.SessionOpened():
                self._running = (fact.session_id, fact.folder)
                what = ", ".join(filter(None, parts_of_title(fact.title)))
                self.book.add(Level.INFO, f"{what} → {fact.folder}")
                self._service.list_sessions()
            case messages.RunFinished():
                self._running = None
                self._service.list_sessions()
            case messages.EngineEvent():
                self.book.hear(fact.event)
            case messages.TaskCrashed():
                self._stumbled(fact)
            case messages.PlanFailed() | messages.SessionNotOpened() | messages.DemoFailed():
                self.book.add(Level.ERROR, fact.error.detail)
            case _:
                return

    def draw(self, visible: object) -> None:
        """Ten times a second; only the page that is seen costs anything."""
        if visible is self.pages.log:
            self.pages.log.show(self.book)
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + SLOW
        if visible is self.pages.diagnostics:
            self.pages.diagnostics.show(chart_data(self.metrics.history(), now))
            self._conclude()
        if visible is self.pages.sessions:
            self._service.list_sessions()

    def show_sessions(self) -> None:
        """The list as it is known, with what this window is doing."""
        snapshot = self._service.snapshot()
        doing: dict[tuple[str, Path], State] = {}
        if self._running is not None and snapshot is not None:
            doing[self._running] = snapshot.state
        self.pages.sessions.show(sessions.rows(self._sessions, doing))

    def retranslate(self) -> None:
        """The language is another one: say again what the pages were given as words."""
        self.show_sessions()
        self._show_test()

    def _stumbled(self, fact: messages.TaskCrashed) -> None:
        """A bug is logged, and the page that waits for an answer is told that none comes."""
        error = fact.error
        self.book.add(Level.ERROR, error.detail)
        said = f"{_said(error)}\n({error.detail})"
        if fact.where == VERIFYING:
            self.pages.sessions.show_message(said, BannerKind.DANGER)
        elif fact.where == TESTING:
            self.pages.diagnostics.show_testing(False)
            self.pages.diagnostics.show_message(said, BannerKind.DANGER)

    def _show_test(self) -> None:
        if self._network_test is not None:
            self.pages.diagnostics.show_steps(diagnosis_text.network_test_rows(self._network_test))
        self._conclude()

    def _conclude(self) -> None:
        self.pages.diagnostics.show_diagnoses(self._diagnoses())

    def _diagnoses(self) -> tuple[diagnosis_text.DiagnosisText, ...]:
        return diagnosis_text.describe_diagnoses(self.metrics.history(), self._network_test, alone=self._tested_alone)


def _said(error: messages.ErrorInfo) -> str:
    said = error_text.explain(error.kind)
    return f"{said.sentence} {said.hint}"
