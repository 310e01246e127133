"""Request controller: requests a plan for the fields of the Download page, and shows its files, size and errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from era5dl.errors import UsageError
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.gui.backend.service import BackendService
from era5dl.gui.backend.tk_bridge import Timer
from era5dl.gui.controllers import Controller
from era5dl.gui.models import request_form
from era5dl.gui.models.plan_state import PlanState
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.models.queue import QueueModel
from era5dl.gui.models.request_form import Fields
from era5dl.gui.pages.download import DownloadPage
from era5dl.gui.text import key_text, status_text
from era5dl.gui.text.i18n import _
from era5dl.gui.widgets.banner import BannerKind
from era5dl.planner.plan import Plan

DEBOUNCE = 400  # ms from the last change of a field to the request for a plan
EXAMPLES = 6  # missing files that are listed per reason


class RequestController(Controller):
    """timer: delays requests for a plan. queue: shows the planned files while no download is in progress."""

    def __init__(
        self, page: DownloadPage, queue: QueueModel, service: BackendService, store: PreferenceStore, timer: Timer
    ) -> None:
        self._page, self._queue, self._service, self._store, self._timer = page, queue, service, store, timer
        self._fields = Fields()
        self._plan_state = PlanState(form=request_form.validate(Fields()))
        self._number = 0  # of the latest request for a plan
        self._scheduled: str | None = None
        self._inspected_folder: Path | None = None
        self._closed = False

    @property
    def fields(self) -> Fields:
        return self._fields

    @property
    def plan_state(self) -> PlanState:
        return self._plan_state

    def ready(self) -> tuple[Plan, Path] | None:
        """Return plan and folder if the download can be started, else None."""
        state = self._plan_state
        if state.blocking_reason() or state.plan is None or state.form.folder is None:
            return None
        return state.plan, state.form.folder

    # --- actions

    def fill(self, fields: Fields) -> None:
        """Fill the fields of the page with these values."""
        self._page.show_fields(fields)
        self.change(fields)

    def change(self, fields: Fields) -> None:
        """React to a changed field: request a plan if no further change follows immediately."""
        before, self._fields = self._fields, fields
        form = request_form.validate(fields)
        same = form.selection == self._plan_state.form.selection and form.selection is not None
        if same and not self._plan_state.error:
            self._plan_state = replace(self._plan_state, form=form)
        else:
            self._plan_state = replace(self._plan_state, form=form)
            self._discard_plan()
        if before.folder != fields.folder:
            self._plan_state = replace(self._plan_state, folder=None)
        self._schedule()
        self.update()
        self._store.update(selection=request_form.to_text(fields), folder=fields.folder)

    def replan(self) -> None:
        """Request the plan again, after a change of the server, the proxy or a similar setting."""
        self._discard_plan()
        self._schedule()
        self.update()

    def show_missing(self) -> None:
        """Show the files that are missing on the server, and why."""
        plan = self._plan_state.plan
        if plan is None:
            return
        names_by_reason: dict[str, list[str]] = {}
        for missing in plan.missing:
            names_by_reason.setdefault(missing.reason, []).append(key_text.name(missing.key))
        lines = []
        for reason, names in names_by_reason.items():
            explanation = status_text.missing_file(reason)
            lines.append(f"{explanation.name} ({len(names):,}): {explanation.hint}")
            lines += [f"    {name}" for name in names[:EXAMPLES]]
            if len(names) > EXAMPLES:
                lines.append("    " + _("and {n:,} more", n=len(names) - EXAMPLES))
        self._page.banner.show(BannerKind.WARNING, "\n".join(lines))

    # --- for other controllers

    def set_preparing(self, preparing: bool) -> None:
        """Set whether the demo server is still starting."""
        self._plan_state = replace(self._plan_state, preparing=preparing)
        if not preparing:
            self._schedule()
        self.update()

    def set_waiting_jobs(self, number: int) -> None:
        """Show how many downloads wait in the queue."""
        self._plan_state = replace(self._plan_state, waiting_jobs=number)
        self.update()

    def run_started(self, *, from_form: bool = False) -> None:
        """Show that another download can only be added to the queue during a run. from_form: that of the form runs."""
        form = self._plan_state.form
        running = (form.selection, form.folder) if from_form else None
        self._plan_state = replace(self._plan_state, busy=True, running=running)
        self._page.show_plan_state(self._plan_state)

    def run_ended(self) -> None:
        """Inspect the folder again after a run: its free space and its sessions have changed."""
        self._plan_state = replace(self._plan_state, folder=None, running=None)
        self._schedule()
        self.update()

    def update(self) -> None:
        """Show the plan, with the current state of the run and the settings."""
        try:
            reserve = self._store.current.to_settings().disk_reserve
        except UsageError:
            reserve = 0
        runs = self._service.runs
        self._plan_state = replace(
            self._plan_state, speed=runs.measured_speed, busy=self._service.busy, reserve=reserve
        )
        self._page.show_plan_state(self._plan_state)

    def close(self) -> None:
        """Cancel the delayed request for a plan."""
        if self._scheduled is not None:
            self._timer.after_cancel(self._scheduled)
            self._scheduled = None
        self._closed = True

    # --- messages

    def handle(self, message: Message) -> None:
        match message:
            case messages.PlanProgressed() if message.number == self._number:
                self._plan_state = replace(self._plan_state, progress=(message.done, message.total))
            case messages.PlanReady() if message.number == self._number:
                self._plan_state = replace(
                    self._plan_state,
                    plan=message.plan,
                    estimate=message.estimate,
                    newest=message.newest,
                    progress=None,
                    error=None,
                )
                if not self._service.busy:
                    self._queue.load(message.plan.objects, message.sizes)
                    self._page.queue.begin(False)
            case messages.PlanEstimated() if message.number == self._number:
                self._plan_state = replace(self._plan_state, estimate=message.estimate)
            case messages.PlanFailed() if message.number == self._number:
                self._plan_state = replace(self._plan_state, error=message.error, progress=None)
            case messages.FolderInspected() if message.folder == self._inspected_folder:
                self._plan_state = replace(self._plan_state, folder=message)
            case _:
                return
        self.update()

    def retranslate(self) -> None:
        self.fill(self._fields)

    # --- requests to the backend

    def _discard_plan(self) -> None:
        """Forget the plan, and ignore the answer to the request in progress, which may already be on its way here.

        Otherwise the plan of earlier fields would be shown, and downloaded, as that of the present ones.
        """
        self._plan_state = replace(self._plan_state, plan=None, estimate=None, error=None, progress=None)
        self._service.planning.cancel()
        self._number = 0  # no request has this number

    def _schedule(self) -> None:
        if self._closed:
            return
        if self._scheduled is not None:
            self._timer.after_cancel(self._scheduled)
        self._scheduled = self._timer.after(DEBOUNCE, self._ask)

    def _ask(self) -> None:
        """Request the information that is missing: the free space of the folder, and the plan."""
        self._scheduled = None
        form = self._plan_state.form
        if form.folder is not None and self._plan_state.folder is None:
            self._inspected_folder = form.folder
            self._service.planning.inspect_folder(form.folder)
        if form.selection is None or self._plan_state.plan is not None or self._plan_state.preparing:
            return
        try:
            settings = self._store.current.to_settings()
        except UsageError as error:
            self._plan_state = replace(self._plan_state, error=ErrorInfo.of(error))
            self.update()
            return
        self._number = self._service.planning.plan(form.selection, settings)
