"""Between the Download page and the conductor: from fields to a plan, from a plan to a run, from facts to what is seen.

No widget is made here, and Tk is only known as a page with `show` methods and a timer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from era5dl.engine.events import PROBLEM_STATES, State, StateChanged
from era5dl.errors import BadResponse, UsageError
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.gui.backend.service import BackendService
from era5dl.gui.backend.tk_bridge import Timer
from era5dl.gui.models import request_form
from era5dl.gui.models.queue import FileFilter, QueueModel
from era5dl.gui.models.request_form import Fields, PlanState
from era5dl.gui.models.sessions import rows
from era5dl.gui.pages.download import DownloadPage
from era5dl.gui.pages.totals_panel import SPAN
from era5dl.gui.text import error_text, status_text, summary_text
from era5dl.gui.text.i18n import _
from era5dl.gui.widgets.banner import BannerAction, BannerKind
from era5dl.session import SessionStatus, SessionSummary
from era5dl.settings import Settings

DEBOUNCE = 400  # ms after the last change of a field before the bucket is asked
SPEED_EVERY = 1.0  # seconds between two points of the speed chart


@dataclass(frozen=True, slots=True)
class SuspendDetector:
    """What it needs of the window. settings: raises UsageError. ended: hears a summary when a run is over."""

    settings: Callable[[], Settings]
    timer: Timer
    open_folder: Callable[[Path], object]
    remember: Callable[[Fields], object]
    running: Callable[[bool], object]
    ended: Callable[[str], object]


class DownloadController:
    """One for the life of the window; all methods on Tk's thread."""

    def __init__(self, service: BackendService, model: QueueModel, around: SuspendDetector) -> None:
        self._service, self._model, self._around = service, model, around
        self._page: DownloadPage | None = None
        self._fields = Fields()
        self._plan_state = PlanState(form=request_form.validate(Fields()))
        self._number = 0  # of the plan that is waited for
        self._armed: str | None = None
        self._folder_asked: Path | None = None
        self._begun = False  # the queue shows a run, not a preview
        self._opened: messages.SessionOpened | None = None
        self._trouble: State | None = None  # what the banner is about
        self._last: object = None
        self._speeds: deque[tuple[float, float | None]] = deque(maxlen=int(SPAN / SPEED_EVERY) + 2)
        self._charted = False  # the chart was drawn last, and the figures beside it have their turn
        self._offered = self._closed = False
        self.demo = False  # the bucket has another port each time, so sessions are found by what is in them

    def attach(self, page: DownloadPage) -> None:
        """The page it speaks to."""
        self._page = page

    @property
    def page(self) -> DownloadPage:
        assert self._page is not None
        return self._page

    @property
    def fields(self) -> Fields:
        return self._fields

    @property
    def preparing(self) -> bool:
        """Whether the demo's server is not up yet."""
        return self._plan_state.preparing

    def folder_of(self, index: int) -> Path | None:
        """Where the file of this place in the plan is, or will be."""
        root = self._opened.folder if self._begun and self._opened is not None else self._plan_state.form.folder
        if root is None:
            return None
        folder = (root / self._model.objects[index].key).parent
        return folder if folder.is_dir() else root

    # --- what the person does

    def fill(self, fields: Fields) -> None:
        """Begin with these fields."""
        self.page.show_fields(fields)
        self.changed(fields)

    def changed(self, fields: Fields) -> None:
        """The fields say something else: ask again a moment after the last change."""
        before, self._fields = self._fields, fields
        checked = request_form.validate(fields)
        same = checked.selection == self._plan_state.form.selection and checked.selection is not None
        if same and not self._plan_state.error:
            self._plan_state = replace(self._plan_state, form=checked)
        else:
            self._plan_state = replace(self._plan_state, form=checked, plan=None, error=None, progress=None)
            self._service.plan_no_more()
        if before.folder != fields.folder:
            self._plan_state = replace(self._plan_state, folder=None)
        self._arm()
        self._show()
        self._around.remember(fields)

    def replan(self) -> None:
        """Something else that a plan depends on has changed: the endpoint, a proxy."""
        self._plan_state = replace(self._plan_state, plan=None, error=None, progress=None)
        self._arm()
        self._show()

    def prepare(self, preparing: bool) -> None:
        """The demo's server is being started, or has been."""
        self._plan_state = replace(self._plan_state, preparing=preparing)
        if not preparing:
            self._arm()
        self._show()

    def start(self) -> None:
        """Fetch what is planned."""
        plan_state = self._plan_state
        if plan_state.blocking_reason() or plan_state.plan is None or plan_state.form.folder is None:
            return
        settings = self._settings()
        if settings is None:
            return
        self.page.hide_grid()
        self.page.banner.hide(at_once=True)
        self._occupy()
        earlier = self._earlier() if self.demo else None
        if earlier is not None:
            self._service.open_session(earlier.folder, earlier.id, settings)
        else:
            self._service.start(plan_state.plan, plan_state.form.folder, settings)

    def resume_session(self, folder: Path, session_id: str | None) -> None:
        """Go on with a session of the list, or the newest of a folder."""
        if self._service.occupied:
            return
        settings = self._settings()
        if settings is None:
            return
        self.page.banner.hide(at_once=True)
        self._occupy()
        self._service.open_session(folder, session_id, settings)

    def pause_or_resume(self) -> None:
        snapshot = self._service.snapshot()
        if snapshot is None:
            return
        if snapshot.state is State.PAUSED:
            self._service.resume()
        else:
            self._service.pause()

    def retry(self, indices: list[int] | None = None) -> None:
        """Failed files once more."""
        chosen = self._model.failed() if indices is None else indices
        if not chosen:
            return
        running = self._service.snapshot() is not None
        if not running:
            self.page.banner.hide(at_once=True)
            self._occupy()
        self._service.retry(chosen)

    def show_missing(self) -> None:
        """Name what the server does not have, with the reason."""
        plan = self._plan_state.plan
        if plan is None:
            return
        reasons: dict[str, list[str]] = {}
        for missing in plan.missing:
            reasons.setdefault(missing.reason, []).append(missing.key.rpartition("/")[2])
        lines = []
        for reason, keys in reasons.items():
            said = status_text.missing_file(reason)
            lines.append(f"{said.name} ({len(keys):,}): {said.hint}")
            lines += [f"    {key}" for key in keys[:6]]
            if len(keys) > 6:
                lines.append("    " + _("and {n:,} more", n=len(keys) - 6))
        self.page.banner.show(BannerKind.WARNING, "\n".join(lines))

    def close(self) -> None:
        """Nothing is asked any more."""
        if self._armed is not None:
            self._around.timer.after_cancel(self._armed)
            self._armed = None
        self._closed = True

    # --- what the conductor says

    def hear(self, fact: Message) -> None:
        match fact:
            case messages.PlanProgressed() if fact.number == self._number:
                self._plan_state = replace(self._plan_state, progress=(fact.done, fact.total))
                self._show()
            case messages.PlanReady() if fact.number == self._number:
                self._plan_state = replace(self._plan_state, plan=fact.plan, progress=None, error=None)
                if not self._service.occupied:
                    self._begun = False
                    self._model.load(fact.plan.objects)
                    self.page.queue.begin(False)
                self._show()
            case messages.PlanFailed() if fact.number == self._number:
                self._plan_state = replace(self._plan_state, error=fact.error, progress=None)
                self._show()
            case messages.FolderInspected() if fact.folder == self._folder_asked:
                self._plan_state = replace(self._plan_state, folder=fact)
                self._show()
            case messages.SessionOpened():
                self._open(fact)
            case messages.SessionNotOpened():
                self._free()
                if fact.error.kind != "Stopped":
                    self._failed(fact.error)
            case messages.ConsentRequired() if not fact.verifying:
                self._free()
            case messages.EngineEvent():
                self._model.hear(fact.event)
                if isinstance(fact.event, StateChanged):
                    self._state(fact.event)
            case messages.RunFinished():
                self._over(fact)
            case messages.SessionsListed():
                self._offer(fact.sessions)
            case _:
                return

    def draw(self, phase: int) -> None:
        """The numbers of this moment, in parts 0, 1, 2, so that no turn of Tk is long."""
        snapshot = self._service.snapshot()
        if snapshot is None:
            return
        now = time.monotonic()
        if phase == 0:
            states = self._service.states()
            if states is not None and len(states) == len(self._model.objects):
                self._model.update(snapshot, states, now)
        elif phase == 1:
            self.page.queue.refresh()
        elif self._charted or (self._speeds and now - self._speeds[-1][0] < SPEED_EVERY):
            self._charted = False  # never the chart twice running: where all is slow it is due each time
            self.page.totals.show(snapshot, True)
        else:
            self._charted = True
            self._speeds.append((now, snapshot.speed))
            self.page.totals.show_speeds(list(self._speeds), now)

    # --- inside

    def _arm(self) -> None:
        timer = self._around.timer
        if self._closed:
            return
        if self._armed is not None:
            timer.after_cancel(self._armed)
        self._armed = timer.after(DEBOUNCE, self._ask)

    def _ask(self) -> None:
        """Look at the folder, and ask the bucket if there is something to ask."""
        self._armed = None
        checked = self._plan_state.form
        if checked.folder is not None and self._plan_state.folder is None:
            self._folder_asked = checked.folder
            self._service.look_at(checked.folder)
        ready = not self._plan_state.preparing and not self._service.occupied
        if checked.selection is None or self._plan_state.plan is not None or not ready:
            return
        try:
            settings = self._around.settings()
        except UsageError as error:
            self._plan_state = replace(self._plan_state, error=ErrorInfo.of(error))
            self._show()
            return
        self._number = self._service.plan(checked.selection, settings)

    def _show(self) -> None:
        try:
            reserve = self._around.settings().disk_reserve
        except UsageError:
            reserve = 0
        self._plan_state = replace(
            self._plan_state, speed=self._service.speed, busy=self._service.occupied, reserve=reserve
        )
        self.page.show_plan_state(self._plan_state)

    def _settings(self) -> Settings | None:
        """As they are now; None, and the person is told, where they will not do."""
        try:
            return self._around.settings()
        except UsageError as error:
            self._failed(ErrorInfo.of(error))
            return None

    def _occupy(self) -> None:
        self._plan_state = replace(self._plan_state, busy=True)
        self.page.show_plan_state(self._plan_state)
        self._around.running(True)

    def _free(self) -> None:
        self._around.running(False)
        self._plan_state = replace(self._plan_state, folder=None)  # there is less room now, and a session
        self._arm()
        self._show()

    def _open(self, opened: messages.SessionOpened) -> None:
        errors_by_file = self._model.errors_by_file if opened.only is not None else {}
        self._opened, self._begun, self._trouble = opened, True, None
        self._model.load(opened.objects, opened.partial)
        if opened.only is not None:
            self._model.only, self._model.errors_by_file = opened.only, errors_by_file
        self._speeds.clear()
        self.page.queue.begin(True)
        notes = list(opened.notes)
        if opened.elsewhere:
            notes.append(
                _("The files of this session come from {endpoint}, not from Amazon.", endpoint=opened.elsewhere)
            )
        if notes:
            self.page.banner.show(BannerKind.WARNING, " ".join(notes))
        self._show()

    def _state(self, event: StateChanged) -> None:
        """A banner while something holds everything up, gone when it is over."""
        if event.state in PROBLEM_STATES or event.reason:
            self._trouble = event.state
            said = status_text.state(event.state)
            why = status_text.state_reason(event)
            if event.kind == BadResponse.__name__ and event.state is State.WAITING_FOR_NETWORK:
                why += " " + _(
                    "A login page or a proxy probably stands in between: open any web page in a browser, "
                    "and log in if it asks you to."
                )
            kind = BannerKind.WARNING if event.state in PROBLEM_STATES else BannerKind.INFO
            text = _("{name}. {hint}", name=said.name, hint=said.hint)
            self.page.banner.show(kind, f"{text}\n{why}".rstrip())
        elif self._trouble is not None:
            self._trouble = None
            self.page.banner.hide()

    def _over(self, over: messages.RunFinished) -> None:
        self._trouble = None
        if len(over.states) == len(self._model.objects):
            self._model.update(None, over.states, time.monotonic() + 1e6)
        self.page.queue.refresh()
        self.page.totals.show(over.last, False)
        kind, text, action = self._summary(over)
        text = f"{text} {summary_text.not_verified_files(self._model.checked())}".rstrip()
        self.page.banner.show(kind, text, action)
        self._free()
        self._around.ended(text)

    def _summary(self, over: messages.RunFinished) -> tuple[BannerKind, str, BannerAction | None]:
        """One message at the end, and what to do next."""
        ended, last = over.ended, over.last
        folder, session_id = over.folder, over.session_id
        failed = len(self._model.failed())
        go_on = BannerAction(_("Resume"), lambda: self.resume_session(folder, session_id))
        if ended.error:
            return BannerKind.DANGER, summary_text.ended_early(ended), go_on
        if ended.stopped and ended.unfinished:
            return BannerKind.INFO, summary_text.stopped(last), go_on
        if failed:
            self.page.queue.choose_show(FileFilter.ALL)
            retry = BannerAction(_("Retry"), lambda: self.retry())
            return BannerKind.WARNING, summary_text.completed_with_failures(ended, failed), retry
        show = BannerAction(_("Open folder"), lambda: self._around.open_folder(folder))
        return BannerKind.OK, summary_text.completed(ended, last, over.missing), show

    def _failed(self, error: ErrorInfo) -> None:
        said = error_text.explain(error.kind)
        self.page.banner.show(BannerKind.DANGER, f"{said.sentence} {said.hint}\n({error.detail})")
        self._show()

    def _offer(self, sessions: tuple[SessionSummary, ...]) -> None:
        """Once, when the window opens: the download that was interrupted last."""
        if self._offered or self._service.occupied:
            return
        self._offered = True
        last = next((one for one in sessions if one.status is SessionStatus.INTERRUPTED), None)
        if last is None:
            return
        share = f"{last.done_bytes * 100 // last.total_bytes} %" if last.total_bytes else "0 %"
        row = rows((last,))[0]
        title = f"{row.name}, {row.period}" if row.period else row.name
        text = _("“{title}” was interrupted at {percent}.", title=title, percent=share)
        action = BannerAction(_("Resume"), lambda: self.resume_session(last.folder, last.id))
        self.page.banner.show(BannerKind.INFO, text, action)

    def _earlier(self) -> SessionSummary | None:
        """A session of the demo that was begun with another port of its server."""
        plan, seen = self._plan_state.plan, self._plan_state.folder
        if plan is None or seen is None:
            return None
        alike = (one for one in seen.sessions if (one.files, one.total_bytes) == (len(plan.objects), plan.total_bytes))
        return next((one for one in alike if one.status is SessionStatus.INTERRUPTED), None)
