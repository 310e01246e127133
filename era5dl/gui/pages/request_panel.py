"""Request panel, the left side of the Download page: variables, period, part, folder, plan summary and Start button."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass, replace
from tkinter import ttk
from typing import Any

from era5dl.gui.models.plan_state import PlanState
from era5dl.gui.models.request_form import Fields, FormResult, chosen_variables, coverage
from era5dl.gui.models.subset_form import SubsetFields
from era5dl.gui.pages.period_panel import PeriodPanel
from era5dl.gui.pages.plan_summary import PlanSummary
from era5dl.gui.pages.subset_section import SubsetSection
from era5dl.gui.pages.variable_panel import VariablePanel
from era5dl.gui.text.i18n import _
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card

_COMPACT_HEIGHT = 620  # unscaled pixels, below which some lines are hidden or shortened
_LEAST_WIDTH = 308  # of the contents, in unscaled pixels


@dataclass(frozen=True, slots=True)
class RequestCallbacks:
    """Callbacks of the panel. changed: called with the values of the fields after each change."""

    changed: Callable[[Fields], object]
    start: Callable[[], object]
    choose_folder: Callable[[], object]
    show_missing: Callable[[], object]
    show_grid: Callable[[], object]
    show_subset: Callable[[], object]
    paste: Callable[[], object]


class RequestPanel(Card):
    """`show_fields` fills in the fields. `show` displays the state of the download that they describe."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: RequestCallbacks) -> None:
        super().__init__(master, theme)
        self._theme, self._callbacks = theme, callbacks
        self._fields = Fields()
        self._filling = False
        self._validated: tuple[FormResult, Fields] | None = None  # whose errors are shown
        self.columnconfigure(0, weight=1, minsize=theme.px(_LEAST_WIDTH))
        self.rowconfigure(0, weight=1)
        self._variables = VariablePanel(
            self, theme, on_change=lambda names: self._change(variables=names), on_paste=callbacks.paste
        )
        self._variables.grid(row=0, column=0, sticky="nsew")
        self._period = PeriodPanel(
            self,
            theme,
            on_period=lambda period: self._change(period=period),
            on_dates=lambda first, last: self._change(first=first, last=last),
            show_grid=callbacks.show_grid,
        )
        self._period.grid(row=1, column=0, sticky="ew")
        self._subset = SubsetSection(
            self, theme, on_edit=callbacks.show_subset, on_clear=lambda: self.show_subset_choice(SubsetFields())
        )
        self._subset.grid(row=2, column=0, sticky="ew", pady=(theme.px(8), 0))
        self._create_folder()
        self._plan_summary = PlanSummary(
            self,
            theme,
            on_start=callbacks.start,
            on_missing=callbacks.show_missing,
            on_whole_files=lambda: self.show_subset_choice(SubsetFields()),
        )
        self._plan_summary.grid(row=5, column=0, sticky="ew")
        self.search, self.tree = self._variables.search, self._variables.tree
        self.first, self.last = self._period.first, self._period.last
        self.start = self._plan_summary.start
        self._variables.bind("<Configure>", lambda event: self._wrap(event.width), add="+")
        self.bind("<Configure>", self._resized, add="+")
        self.retranslate()

    def _create_folder(self) -> None:
        px = self._theme.px
        self._folder_title = ttk.Label(self, style="Head.TLabel")
        self._folder_title.grid(row=3, column=0, sticky="w", pady=(px(10), px(5)))
        line = ttk.Frame(self)
        line.grid(row=4, column=0, sticky="ew")
        self._folder_text = tk.StringVar(self)
        self.folder = ttk.Entry(line, textvariable=self._folder_text)
        self.folder.pack(side="left", fill="x", expand=True)
        self._browse = ttk.Button(line, command=self._callbacks.choose_folder)
        self._browse.pack(side="left", padx=(px(6), 0))
        self._folder_text.trace_add("write", lambda *_args: self._change(folder=self._folder_text.get()))

    def _wrap(self, width: int) -> None:
        for part in (self._variables, self._period, self._subset, self._plan_summary):
            part.wrap(width)

    def _resized(self, event: tk.Event[Any]) -> None:
        compact = event.height < self._theme.px(_COMPACT_HEIGHT)
        for part in (self._variables, self._subset, self._plan_summary):
            part.set_compact(compact)

    # --- interface

    @property
    def fields(self) -> Fields:
        """Values of the fields."""
        return self._fields

    def show_fields(self, fields: Fields) -> None:
        """Fill in all fields. No callback is called."""
        self._filling = True
        self._fields = fields
        self._variables.show(fields.variables)
        self._period.show_fields(fields)
        self._folder_text.set(fields.folder)
        self._filling = False
        self._set_bounds()

    def set_folder(self, folder: str) -> None:
        """Enter a folder, as if it were typed."""
        self._folder_text.set(folder)

    def show_grid_choice(self, years: frozenset[int], months: frozenset[int], days: frozenset[int]) -> None:
        """Use the selection from the date grid."""
        self._change(years=years, months=months, days=days)

    def show_subset_choice(self, subset: SubsetFields) -> None:
        """Use the part of the files from the editor."""
        self._change(subset=subset)

    def focus_subset(self) -> None:
        """Focus the button that opens the editor for parts of files."""
        self._subset.edit.focus_set()

    def show(self, plan_state: PlanState) -> None:
        """Show the state of the download that the fields describe."""
        form = plan_state.form
        if (form, self._fields) != self._validated:
            self._validated = (form, self._fields)
            self._period.show_errors(self._fields, form)
            self._subset.show(self._fields.subset, form)
            invalid = bool(form.error_for("folder") and self._folder_text.get())  # an empty field is not marked
            self.folder.state(["invalid" if invalid else "!invalid"])
        self._plan_summary.show(plan_state)

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self._folder_title.configure(text=_("Folder"))
        self._browse.configure(text=_("Choose…"))
        for part in (self._variables, self._period, self._subset, self._plan_summary):
            part.retranslate()
        self._validated = None  # so that `show` sets the texts that depend on the fields
        self._set_bounds()

    # --- inside

    def _change(self, **values: Any) -> None:
        """Change fields by their names in `Fields`."""
        if self._filling:
            return
        fields = replace(self._fields, **values)
        if fields != self._fields:
            self._fields = fields
            self._set_bounds()
            self._callbacks.changed(fields)

    def _set_bounds(self) -> None:
        """Set the first and last day that can be entered, which depend on the selected variables."""
        self._period.set_bounds(*coverage(chosen_variables(self._fields.variables)))
        self._period.show_grid_summary(self._fields)
