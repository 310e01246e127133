"""Monitoring controller: the Diagnostics page (metrics, network test, support report) and the Log page."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from era5dl.diagnosis.metrics import Metrics
from era5dl.diagnosis.network_test import NetworkTest
from era5dl.errors import UsageError
from era5dl.formatting import printable
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import Message
from era5dl.gui.backend.service import NETWORK_TEST, BackendService
from era5dl.gui.controllers import Controller
from era5dl.gui.models.charts import chart_data
from era5dl.gui.models.log import LogModel
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.models.sessions import parts_of_title
from era5dl.gui.pages.diagnostics import DiagnosticsPage
from era5dl.gui.pages.log import LogPage
from era5dl.gui.text import diagnosis_text, error_text
from era5dl.gui.text.event_text import LogLevel
from era5dl.gui.text.i18n import _
from era5dl.gui.widgets.banner import BannerKind
from era5dl.session.summary import SessionSummary
from era5dl.settings import AUTO

CHART_INTERVAL = 2.0  # seconds between two updates of the charts

_log = logging.getLogger("era5dl")


class MonitoringController(Controller):
    """log: lines of the Log page. metrics: sampled from `start` to `close`, whichever page is visible."""

    def __init__(
        self, diagnostics: DiagnosticsPage, log_page: LogPage, service: BackendService, store: PreferenceStore
    ) -> None:
        self._diagnostics, self._log_page, self._service, self._store = diagnostics, log_page, service, store
        self.log = LogModel()
        self.metrics = Metrics(service.runs.snapshot, service.request_metrics)
        self._sessions: tuple[SessionSummary, ...] = ()
        self._network_test: NetworkTest | None = None
        self._tested_while_idle = True
        self._next_charts = 0.0

    def start(self) -> None:
        """Start sampling metrics."""
        self.metrics.start()

    def close(self) -> None:
        self.metrics.stop()

    # --- actions

    def test_network(self) -> None:
        try:
            settings = self._store.current.to_settings()
        except UsageError as error:
            self.log.add(LogLevel.ERROR, str(error))
            self._diagnostics.show_message(error_text.explain(error).sentence, BannerKind.WARNING)
            return
        self._diagnostics.show_testing(True)
        self._tested_while_idle = not self._service.runs.busy
        self._service.test_network(settings)

    def save_report(self, path: Path) -> None:
        """Write the support report to this file. Show its path, or the reason why it could not be saved."""
        try:
            self._write_report(path)
        except OSError as error:
            self.log.add(LogLevel.ERROR, str(error))
            text = _("The report could not be saved: {reason}", reason=printable(str(error)))
            self._diagnostics.show_message(text, BannerKind.DANGER)
        else:
            self._diagnostics.show_message(_("Report saved: {path}", path=printable(str(path))), BannerKind.OK)

    # --- messages

    def handle(self, message: Message) -> None:
        match message:
            case messages.SessionsListed():
                self._sessions = message.sessions
            case messages.NetworkTested():
                self._network_test = message.network_test
                self._tested_while_idle = self._tested_while_idle and not self._service.runs.busy
                self._diagnostics.show_testing(False)
                self.retranslate()
            case messages.SessionOpened():
                title = ", ".join(filter(None, parts_of_title(message.title)))
                self.log.add(LogLevel.INFO, f"{title} → {message.folder}")
            case messages.EngineEvent():
                self.log.handle_event(message.event)
            case messages.TaskCrashed():
                _log.error("%s: %s", message.task, message.error.detail)
                self.log.add(LogLevel.ERROR, message.error.detail)
                if message.task == NETWORK_TEST:
                    self._show_crash(message)
            case messages.PlanFailed() | messages.SessionNotOpened() | messages.DemoFailed():
                self.log.add(LogLevel.ERROR, message.error.detail)
            case _:
                return

    def refresh(self) -> None:
        """Update the visible page, but the charts only every two seconds."""
        if self._log_page.winfo_viewable():
            self._log_page.show(self.log)
        now = time.monotonic()
        if now >= self._next_charts and self._diagnostics.winfo_viewable():
            self._next_charts = now + CHART_INTERVAL
            self._diagnostics.show(chart_data(self.metrics.history(), now))
            self._show_diagnoses()

    def retranslate(self) -> None:
        if self._network_test is not None:
            self._diagnostics.show_steps(diagnosis_text.network_test_rows(self._network_test))
        self._show_diagnoses()

    # --- inside

    def _show_crash(self, crash: messages.TaskCrashed) -> None:
        text = error_text.explain(crash.error.kind).text
        self._diagnostics.show_testing(False)
        self._diagnostics.show_message(f"{text}\n({crash.error.detail})", BannerKind.DANGER)

    def _show_diagnoses(self) -> None:
        self._diagnostics.show_diagnoses(self._diagnoses())

    def _diagnoses(self) -> tuple[diagnosis_text.DiagnosisText, ...]:
        samples = self.metrics.history()
        return diagnosis_text.describe_diagnoses(
            samples, self._network_test, alone=self._tested_while_idle, auto=self._store.current.workers == AUTO
        )

    def _write_report(self, path: Path) -> None:
        from era5dl.gui.models import (
            support_report,  # takes 20 ms to import, which opening the window need not wait for
        )

        data = support_report.ReportData(
            preferences=self._store.current,
            network_test=self._network_test,
            diagnoses=tuple(one.diagnosis for one in self._diagnoses()),
            samples=self.metrics.history(),
            sessions=self._sessions,
            log=tuple(f"{line.clock} {line.text}" for line in self.log.lines()),
        )
        support_report.write(path, data)
