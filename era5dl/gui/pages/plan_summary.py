"""Summary of the plan with the Start button: files, size, missing files, disk space and duration."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import ttk

from era5dl.formatting import format_size
from era5dl.gui.models.plan_state import PlanState
from era5dl.gui.text import status_text
from era5dl.gui.text.i18n import _, ngettext
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import UpdatingLabel
from era5dl.gui.widgets.tooltip import Tooltip


class PlanSummary(ttk.Frame):
    """Part of the request panel. If no download can be started, Start is disabled, and the reason is shown below it.

    While a download is in progress, Start adds the next one to the queue.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        on_start: Callable[[], object],
        on_missing: Callable[[], object],
        on_whole_files: Callable[[], object],
    ) -> None:
        """on_whole_files: called when the user wants whole files, because parts of them save nothing."""
        super().__init__(master)
        self._theme = theme
        self._shown = self._is_adding = self._is_blocked = False
        self._compact, self._no_saving_text = False, ""
        self._missing_shown = 0
        px = self._px = theme.px
        self.columnconfigure(0, weight=1)
        rule = tk.Frame(self, height=px(1))
        theme.follow(rule, lambda palette: rule.configure(background=palette.line))
        rule.grid(row=0, column=0, sticky="ew", pady=(px(12), px(10)))
        line = ttk.Frame(self)
        line.grid(row=1, column=0, sticky="ew")
        self.figures = UpdatingLabel(line, style="Head.TLabel")
        self.figures.pack(side="left")
        self._missing = ttk.Button(line, style="Ghost.TButton", command=on_missing)
        self._missing.configure(padding=(px(6), px(1)))
        self._planning = UpdatingLabel(line, style="Muted.TLabel")
        self._planning.pack(side="right")
        self._expected = UpdatingLabel(self, style="Muted.TLabel")
        self._expected.grid(row=2, column=0, sticky="w", pady=(px(2), px(10)))
        self._no_saving = ttk.Frame(self)
        self._no_saving.columnconfigure(0, weight=1)
        self.no_saving = UpdatingLabel(self._no_saving, style="Warn.TLabel")
        self.no_saving.grid(row=0, column=0, sticky="w")
        Tooltip(self.no_saving, theme, lambda: self._no_saving_text if self._compact else "")
        self.whole_files = ttk.Button(self._no_saving, command=on_whole_files)
        self.whole_files.grid(row=0, column=1, padx=(px(8), 0))
        self._no_saving.grid(row=3, column=0, sticky="ew", pady=(0, px(10)))
        self._no_saving.grid_remove()
        self.start = ttk.Button(self, style="Accent.TButton", command=on_start)
        self.start.grid(row=4, column=0, sticky="ew")
        self._obstacle = UpdatingLabel(self, style="Small.TLabel")
        self._obstacle.grid(row=5, column=0, sticky="w", pady=(px(5), 0))

    def wrap(self, width: int) -> None:
        """Wrap texts at this width, in pixels."""
        for label in (self._expected, self._obstacle):
            label.configure(wraplength=width)
        self.no_saving.configure(wraplength=max(1, width - self.whole_files.winfo_reqwidth() - self._px(8)))

    def show(self, plan_state: PlanState) -> None:
        """Show the state of the download that the fields describe."""
        planning = plan_state.plan is None and plan_state.error is None and plan_state.form.selection is not None
        text = ""
        if planning and not plan_state.preparing:
            done, total = plan_state.progress or (0, 0)
            text = _("Checking… {done:,} / {total:,}", done=done, total=total) if total > 1 else _("Checking…")
        self._planning.show(text)  # called ten times a second during planning, when nothing else changes
        self.figures.show(" · ".join(plan_state.totals()))
        self._show_missing(len(plan_state.plan.missing) if plan_state.plan else 0)
        self._expected.show(_expected(plan_state))
        self._no_saving_text = plan_state.no_saving()
        self._show_no_saving()
        if plan_state.busy != self._is_adding or not self._shown:
            self._is_adding = plan_state.busy
            self._show_start()
        obstacle = plan_state.queue_obstacle() if plan_state.busy else plan_state.blocking_reason()
        self._obstacle.show(obstacle or _waiting(plan_state))
        if bool(obstacle) != self._is_blocked or not self._shown:
            self._is_blocked = bool(obstacle)
            self.start.state(["disabled" if obstacle else "!disabled"])
        self._shown = True

    def set_compact(self, compact: bool) -> None:
        """Set whether the warning that a subset saves nothing takes a single line; its tooltip has the full text."""
        self._compact = compact
        self._show_no_saving()

    def _show_no_saving(self) -> None:
        text = self._no_saving_text
        if text and self._compact:
            text = _("Saves only disk space.")
        if self.no_saving.show(text):
            (self._no_saving.grid if text else self._no_saving.grid_remove)()

    def retranslate(self) -> None:
        """Set the texts that `show` does not set."""
        self._missing_shown = -1
        self._show_start()
        self.whole_files.configure(text=_("Whole files"))

    def _show_start(self) -> None:
        adding = self._is_adding
        self.start.configure(text=_("Add to queue") if adding else _("Start download"), compound="left")
        self._theme.set_icon(self.start, "plus" if adding else "download", "on_accent", 15)

    def _show_missing(self, number: int) -> None:
        if number == self._missing_shown:
            return
        self._missing_shown = number
        if number:
            self._missing.configure(text=ngettext("{n:,} missing", "{n:,} missing", number))
            self._missing.pack(side="right")
        else:
            self._missing.pack_forget()


def _waiting(plan_state: PlanState) -> str:
    """Return how many downloads follow the one in progress; "" for none."""
    number = plan_state.waiting_jobs if plan_state.busy else 0
    return ngettext("Then {n} download from the queue.", "Then {n} downloads from the queue.", number) if number else ""


def _expected(plan_state: PlanState) -> str:
    """Return what is known of: size on the disk of parts of files, free space after the download, and its duration."""
    parts = [written] if (written := plan_state.written()) else []
    if plan_state.plan is not None and plan_state.newest is not None:
        parts.append(_("published until {date}", date=plan_state.newest))
    after = plan_state.free_after
    if after is not None and after >= 0:
        parts.append(_("{bytes} free afterwards", bytes=format_size(after)))
    elif plan_state.folder is not None and plan_state.folder.free is not None and plan_state.plan is None:
        parts.append(_("{bytes} free", bytes=format_size(plan_state.folder.free)))
    seconds = plan_state.seconds
    if seconds is not None:
        parts.append(_("about {time}", time=status_text.duration(max(1.0, seconds))))
    if left_out := plan_state.left_out():
        parts.append(left_out)
    return " · ".join(parts)
