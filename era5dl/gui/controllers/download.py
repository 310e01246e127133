"""Download controller: starts and resumes runs, and shows their progress, problems and results."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from era5dl.engine.events import PROBLEM_STATES, State, StateChanged
from era5dl.engine.progress import Snapshot
from era5dl.errors import BadResponse, UsageError
from era5dl.gui.backend import desktop, messages
from era5dl.gui.backend.desktop import SleepInhibitor
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.gui.backend.runs import RunService
from era5dl.gui.controllers import Controller
from era5dl.gui.controllers.request import RequestController
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.models.queue import FileFilter, QueueModel
from era5dl.gui.models.sessions import rows
from era5dl.gui.pages.download import DownloadPage
from era5dl.gui.pages.totals_panel import SPAN
from era5dl.gui.text import error_text, status_text, summary_text
from era5dl.gui.text.i18n import _
from era5dl.gui.widgets.banner import BannerAction, BannerKind
from era5dl.planner.plan import Plan
from era5dl.session.info import title_of
from era5dl.session.summary import SessionStatus, SessionSummary
from era5dl.settings import Settings

SPEED_INTERVAL = 1.0  # seconds between two points of the speed chart


class DownloadController(Controller):
    """demo: find sessions by their files, since the demo server has another port each time."""

    def __init__(
        self,
        page: DownloadPage,
        queue: QueueModel,
        runs: RunService,
        store: PreferenceStore,
        request: RequestController,
        *,
        demo: bool = False,
    ) -> None:
        self._page, self._queue, self._runs, self._store, self._request = page, queue, runs, store, request
        self._demo = demo
        self._sleep_inhibitor = SleepInhibitor()
        self._waiting_state: State | None = None  # that the banner explains
        self._speeds: deque[tuple[float, float | None]] = deque(maxlen=int(SPAN / SPEED_INTERVAL) + 2)
        self._refresh_step = 0
        self._chart_was_last = False
        self._resume_offered = False

    # --- actions

    def start(self) -> None:
        """Start the planned download."""
        ready = self._request.ready()
        settings = self._settings() if ready is not None else None
        if ready is None or settings is None:
            return
        plan, folder = ready
        self._page.hide_grid()
        self._page.hide_subset()
        self._begin(from_form=True)
        earlier = self._demo_session() if self._demo else None
        if earlier is not None:
            self._runs.open_session(earlier.folder, earlier.id, settings)
        else:
            self._runs.start(plan, folder, settings)

    def start_plan(self, plan: Plan, folder: Path) -> None:
        """Download a plan that does not come from the fields of the page."""
        settings = None if self._runs.busy else self._settings()
        if settings is not None:
            self._begin()
            self._runs.start(plan, folder, settings)

    def resume_session(self, folder: Path, session_id: str | None) -> None:
        """Resume a session; without an id, the newest unfinished session of the folder."""
        if self._request.plan_state.busy:
            return
        settings = self._settings()
        if settings is None:
            return
        self._begin()
        self._runs.open_session(folder, session_id, settings)

    def start_update(self, plan: Plan, folder: Path, settings: Settings) -> None:
        """Start the download of an update."""
        if not self._request.plan_state.busy:
            self._begin()
            self._runs.start(plan, folder, settings)

    def pause_or_resume(self) -> None:
        snapshot = self._runs.snapshot()
        if snapshot is None:
            return
        if snapshot.state is State.PAUSED:
            self._runs.resume()
        else:
            self._runs.pause()

    def retry(self, indices: Sequence[int] | None = None) -> None:
        """Retry all failed files, or those at these indices of the plan."""
        chosen = self._queue.failed() if indices is None else indices
        if not chosen:
            return
        if self._runs.snapshot() is None:
            self._begin()
        self._runs.retry(chosen)

    def open_folder(self, folder: Path) -> None:
        """Show a folder in the file manager; without a file manager, show its path."""
        if not desktop.open_folder(folder):
            self._page.banner.show(BannerKind.INFO, str(folder))

    def open_folder_of(self, index: int) -> None:
        """Show the folder of the file at this index of the plan, or the folder of the download if it does not exist."""
        root = self._queue.folder or self._request.plan_state.form.folder
        if root is not None:
            folder = (root / self._queue.objects[index].key).parent
            self.open_folder(folder if folder.is_dir() else root)

    def close(self) -> None:
        """Stop preventing sleep."""
        self._sleep_inhibitor.release()

    # --- messages

    def handle(self, message: Message) -> None:
        match message:
            case messages.JobStarted():
                self._request.run_started()
                self._sleep_inhibitor.acquire()
            case messages.SessionOpened():
                self._session_opened(message)
            case messages.SessionNotOpened():
                self._end()
                if message.error.kind != "Stopped":
                    self._show_error(message.error)
            case messages.JobsEnded():
                self._sleep_inhibitor.release()
            case messages.ConsentRequired() if not (message.verifying or message.updating):
                self._end()
            case messages.EngineEvent():
                self._queue.handle_event(message.event)
                if isinstance(message.event, StateChanged):
                    self._state_changed(message.event)
            case messages.RunFinished():
                self._run_finished(message)
            case messages.SessionsListed() if not self._request.plan_state.preparing:
                self._offer_resume(message.sessions)
            case _:
                return

    def refresh(self) -> None:
        """Update a third of the page, another one at each call, so that no call keeps Tk busy for long."""
        step, self._refresh_step = self._refresh_step, (self._refresh_step + 1) % 3
        snapshot = self._runs.snapshot()
        if snapshot is None:
            return
        now = time.monotonic()
        if step == 0:
            states = self._runs.states()
            if states is not None and len(states) == len(self._queue.objects):
                self._queue.update(snapshot, states, now)
        elif step == 1:
            self._page.queue.refresh()
        else:
            self._refresh_totals(snapshot, now)

    def _refresh_totals(self, snapshot: Snapshot, now: float) -> None:
        """Update the numbers, or the chart if it is due, but never the chart twice in a row on a slow computer."""
        if self._chart_was_last or (self._speeds and now - self._speeds[-1][0] < SPEED_INTERVAL):
            self._chart_was_last = False
            self._page.totals.show(snapshot, True)
        else:
            self._chart_was_last = True
            self._speeds.append((now, snapshot.speed))
            self._page.totals.show_speeds(list(self._speeds), now)

    # --- start, state and end of a run

    def _settings(self) -> Settings | None:
        """Return the current settings. If they are invalid, show the error and return None."""
        try:
            return self._store.current.to_settings()
        except UsageError as error:
            self._show_error(ErrorInfo.of(error))
            return None

    def _begin(self, *, from_form: bool = False) -> None:
        self._page.banner.hide(at_once=True)
        self._request.run_started(from_form=from_form)
        self._sleep_inhibitor.acquire()

    def _end(self) -> None:
        self._sleep_inhibitor.release()
        self._request.run_ended()

    def _session_opened(self, opened: messages.SessionOpened) -> None:
        self._waiting_state = None
        self._queue.load_run(opened.objects, opened.folder, opened.partial_bytes, opened.only, opened.sizes)
        self._speeds.clear()
        self._page.queue.begin(True)
        notes = list(opened.notes)
        if opened.other_server:
            notes.append(
                _("The files of this session come from {endpoint}, not from Amazon.", endpoint=opened.other_server)
            )
        if notes:
            self._page.banner.show(BannerKind.WARNING, " ".join(notes))
        self._request.update()

    def _state_changed(self, event: StateChanged) -> None:
        """Show a banner while the whole run waits, and hide it afterwards."""
        if event.state in PROBLEM_STATES or event.reason:
            self._waiting_state = event.state
            state = status_text.state(event.state)
            reason = status_text.state_reason(event)
            if event.kind == BadResponse.__name__ and event.state is State.WAITING_FOR_NETWORK:
                reason += " " + _(
                    "This is probably a login page or a proxy. Open any web page in a browser, and log in if asked."
                )
            kind = BannerKind.WARNING if event.state in PROBLEM_STATES else BannerKind.INFO
            text = _("{name}. {hint}", name=state.name, hint=state.hint)
            self._page.banner.show(kind, f"{text}\n{reason}".rstrip())
        elif self._waiting_state is not None:
            self._waiting_state = None
            self._page.banner.hide()

    def _run_finished(self, finished: messages.RunFinished) -> None:
        self._waiting_state = None
        if len(finished.states) == len(self._queue.objects):
            self._queue.update(None, finished.states, time.monotonic() + 1e6)
        self._page.queue.refresh()
        self._page.totals.show(finished.snapshot, False)
        kind, text, action = self._summary(finished)
        text = f"{text} {summary_text.not_verified_files(self._queue.checked())}".rstrip()
        self._page.banner.show(kind, text, action)
        self._end()
        if self._store.current.notifications:
            desktop.notify(_("ERA5 Downloader"), text)

    def _summary(self, finished: messages.RunFinished) -> tuple[BannerKind, str, BannerAction | None]:
        """Return the message at the end of a run, and an action for its button."""
        result, snapshot = finished.result, finished.snapshot
        failed = len(self._queue.failed())
        resume = BannerAction(_("Resume"), lambda: self.resume_session(finished.folder, finished.session_id))
        if result.error:
            return BannerKind.DANGER, summary_text.ended_early(result), resume
        if result.stopped and result.unfinished:
            return BannerKind.INFO, summary_text.stopped(snapshot), resume
        if failed:
            self._page.queue.choose_show(FileFilter.ALL)
            retry = BannerAction(_("Retry"), lambda: self.retry())
            return BannerKind.WARNING, summary_text.completed_with_failures(result, failed), retry
        show = BannerAction(_("Open folder"), lambda: self.open_folder(finished.folder))
        return BannerKind.OK, summary_text.completed(result, snapshot, finished.missing), show

    def _show_error(self, error: ErrorInfo) -> None:
        detail = error.detail
        if error.kind == UsageError.__name__ and error.remedy:  # the explanation of this kind is general
            detail = f"{detail} {error.remedy}"
        self._page.banner.show(BannerKind.DANGER, f"{error_text.explain(error.kind).text}\n({detail})")
        self._request.update()

    # --- earlier sessions

    def _offer_resume(self, sessions: Sequence[SessionSummary]) -> None:
        """Offer to resume the latest interrupted download, once, when the window opens."""
        if self._resume_offered or self._runs.busy:
            return
        self._resume_offered = True
        if self._request.plan_state.waiting_jobs:
            return  # the queue is offered, and may contain it
        latest = next((one for one in sessions if one.status is SessionStatus.INTERRUPTED), None)
        if latest is None:
            return
        percent = f"{latest.done_bytes * 100 // latest.total_bytes} %" if latest.total_bytes else "0 %"
        row = rows((latest,))[0]
        title = f"{row.name}, {row.period}" if row.period else row.name
        text = _("“{title}” was interrupted at {percent}.", title=title, percent=percent)
        action = BannerAction(_("Resume"), lambda: self.resume_session(latest.folder, latest.id))
        self._page.banner.show(BannerKind.INFO, text, action)

    def _demo_session(self) -> SessionSummary | None:
        """Return the interrupted demo session in the chosen folder with the planned files; None if there is none."""
        plan, folder = self._request.plan_state.plan, self._request.plan_state.folder
        if plan is None or folder is None:
            return None
        planned = (len(plan.objects), plan.total_bytes, title_of(plan.request))  # the title has the subset
        alike = (one for one in folder.sessions if (one.files, one.total_bytes, one.title) == planned)
        return next((one for one in alike if one.status is SessionStatus.INTERRUPTED), None)
