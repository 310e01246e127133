"""Jobs controller: adds downloads to the queue, shows it, and runs the next job when a download has ended."""

from __future__ import annotations

from collections.abc import Sequence

from era5dl.engine.events import State
from era5dl.errors import UsageError
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import Message
from era5dl.gui.backend.service import BackendService
from era5dl.gui.controllers import Controller
from era5dl.gui.controllers.request import RequestController
from era5dl.gui.models.jobs import job_rows, waiting_count
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.pages.tabs import Tabs
from era5dl.gui.text import error_text, status_text
from era5dl.gui.text.i18n import _, ngettext
from era5dl.gui.widgets.banner import BannerAction, BannerKind
from era5dl.jobs.job import Job, JobState, Request, settings_of_job


class JobsController(Controller):
    """The queue is read when the window opens, and after each change by this window."""

    def __init__(
        self, pages: Tabs, service: BackendService, store: PreferenceStore, request: RequestController
    ) -> None:
        self._pages, self._service, self._store, self._request = pages, service, store, request
        self._jobs: tuple[Job, ...] = ()
        self._runner = ""
        self._is_offered = False

    # --- actions

    def add(self) -> None:
        """Add the download that the form describes to the queue."""
        state = self._request.plan_state
        banner = self._pages.download.banner
        if state.queue_obstacle():
            banner.show(BannerKind.INFO, state.queue_obstacle())
            return
        assert state.form.folder is not None, "checked above"
        try:
            settings = settings_of_job(self._store.current.to_settings(), {})
        except UsageError as error:
            banner.show(BannerKind.DANGER, error_text.explain(error).sentence)
            return
        request = Request(folder=state.form.folder, selection=state.form.selection, settings=settings)
        if any(job.request == request and job.state.is_open for job in self._jobs):
            banner.show(BannerKind.INFO, _("This download is in the queue already."), self._show_action())
            return
        self._service.jobs.add(request)
        banner.show(BannerKind.OK, _("Added to the queue."), self._show_action())

    def run(self) -> None:
        """Run the waiting jobs, one after the other."""
        try:
            self._service.jobs.run(self._store.current.to_settings())
        except UsageError as error:
            self._pages.sessions.show_message(error_text.explain(error).sentence)

    # --- messages

    def handle(self, message: Message) -> None:
        match message:
            case messages.JobsListed():
                before, self._jobs, self._runner = self._jobs, message.jobs, message.runner
                self._show()
                self._show_failure(before)
                for note in message.notes:
                    self._pages.sessions.show_message(note)
                self._offer_to_run()
            case messages.JobStarted() | messages.SessionOpened() | messages.SessionNotOpened():
                self._show()
            case messages.JobWaits():
                state = status_text.state(State.WAITING_FOR_NETWORK)
                text = _("{name}. {hint}", name=state.name, hint=state.hint)
                self._pages.download.banner.show(BannerKind.WARNING, text)
            case messages.JobsEnded():
                self._request.run_ended()
                self._show()
            case messages.JobsFailed():
                text = f"{error_text.explain(message.error.kind).text}\n({message.error.detail})"
                self._pages.sessions.show_message(text, BannerKind.DANGER)
            case messages.RunFinished():
                if waiting_count(self._jobs) and not message.result.stopped:
                    self.run()
                self._show()
            case _:
                return

    def retranslate(self) -> None:
        self._show()

    # --- inside

    def _show(self) -> None:
        self._pages.sessions.show_jobs(
            job_rows(self._jobs), runner=self._runner, busy=self._service.busy, running=self._service.jobs.running
        )
        self._request.set_waiting_jobs(waiting_count(self._jobs))

    def _show_failure(self, before: Sequence[Job]) -> None:
        """Say that a job could not be started. The end of a run has a message of its own."""
        running = {job.number for job in before if job.state is JobState.RUNNING}
        for job in self._jobs:
            if job.number in running and job.state is JobState.FAILED and not job.session:
                (row,) = job_rows([job])
                text = _("“{title}” was not downloaded.", title=row.name)
                self._pages.download.banner.show(BannerKind.WARNING, f"{text}\n{row.reason}", self._show_action())

    def _show_action(self) -> BannerAction:
        return BannerAction(_("Show queue"), lambda: self._pages.show_page(self._pages.sessions))

    def _offer_to_run(self) -> None:
        """Say once, when the window opens, that downloads wait."""
        if self._is_offered:
            return
        self._is_offered = True
        number = waiting_count(self._jobs)
        if number and not self._runner and not self._service.runs.busy:
            text = ngettext("{n} download waits in the queue.", "{n} downloads wait in the queue.", number)
            self._pages.download.banner.show(
                BannerKind.INFO, text, BannerAction(_("Run the queue"), self._run_from_banner)
            )

    def _run_from_banner(self) -> None:
        self._pages.download.banner.hide(at_once=True)
        self.run()
