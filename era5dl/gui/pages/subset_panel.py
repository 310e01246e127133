"""Editor of a subset: area or point, hours, levels and days. It replaces the queue while it is shown."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import ttk

from era5dl.gui.models import subset_form
from era5dl.gui.models.subset_form import STANDARD_LEVELS, SubsetFields
from era5dl.gui.pages.place_panel import PlacePanel
from era5dl.gui.text.i18n import _, pgettext
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.banner import Banner, BannerAction, BannerKind
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.toggle_grid import ToggleGrid
from era5dl.subset.selection import HOURS_OF_DAY, pressure_levels

_EVERY = (3, 6, 12)  # hours; quick choices
_LEAST_WIDTH = 33  # of the button for an hour or a level, in unscaled pixels


class SubsetPanel(Card):
    """on_change: called with the fields after each change by the user. on_close: called when the user closes it."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        on_change: Callable[[SubsetFields], object],
        on_close: Callable[[], object],
    ) -> None:
        super().__init__(master, theme)
        self._theme, self._on_change = theme, on_change
        self._fields = SubsetFields()
        self._levels_shown = False
        self._install_command = ""
        px = theme.px
        self.columnconfigure(0, weight=1)
        self.rowconfigure(2, weight=1)
        head = ttk.Frame(self)
        head.grid(row=0, column=0, sticky="ew", pady=(0, px(8)))
        self._title = ttk.Label(head, style="Head.TLabel")
        self._title.pack(side="left")
        self._close = ttk.Button(head, style="Accent.TButton", command=on_close)
        self._close.pack(side="right")
        self.whole_files = ttk.Button(head, style="Ghost.TButton", command=lambda: self._use(SubsetFields()))
        self.whole_files.pack(side="right", padx=px(6))
        self.banner = Banner(self, theme)
        self.banner.grid(row=1, column=0, sticky="ew")
        self.region = PlacePanel(self, theme, on_change=self._place_changed)
        self.region.grid(row=2, column=0, sticky="nsew")
        self.hours = ToggleGrid(
            self,
            theme,
            choices=[(hour, f"{hour:02}") for hour in HOURS_OF_DAY],
            on_change=lambda hours: self._use(subset_form.changed(self._fields, hours=hours)),
            quick=[HOURS_OF_DAY[::step] for step in _EVERY],
            least_width=_LEAST_WIDTH,
        )
        self.hours.grid(row=3, column=0, sticky="ew", pady=(px(6), 0))
        self.levels = ToggleGrid(
            self,
            theme,
            choices=[(level, str(level)) for level in sorted(pressure_levels(), reverse=True)],
            on_change=lambda levels: self._use(subset_form.changed(self._fields, levels=levels)),
            quick=[STANDARD_LEVELS],
            least_width=_LEAST_WIDTH,
        )
        self.levels.grid(row=4, column=0, sticky="ew", pady=(px(6), 0))
        self._days_value = tk.BooleanVar(self)
        self.only_days = ttk.Checkbutton(self, variable=self._days_value, command=self._days_toggled)
        self.only_days.grid(row=5, column=0, sticky="w", pady=(px(8), 0))
        self._prove_value = tk.BooleanVar(self)
        self.prove = ttk.Checkbutton(self, variable=self._prove_value, command=self._prove_toggled)
        self.prove.grid(row=6, column=0, sticky="w", pady=(px(2), 0))
        self.region.bind("<Configure>", lambda event: self.region.wrap(event.width), add="+")
        self.retranslate()

    # --- interface

    def show(self, fields: SubsetFields, *, levels: bool) -> None:
        """Fill in the fields. levels: whether a variable on pressure levels is selected. No callback is called."""
        self._fields = fields
        self.region.show(fields)
        self.hours.set(fields.hours)
        self.levels.set(fields.levels)
        self._levels_shown = levels
        (self.levels.grid if levels else self.levels.grid_remove)()
        self._show_checks()

    def show_missing_package(self, install_command: str) -> None:
        """Show that a package has to be installed before parts can be downloaded; "" if nothing is missing."""
        self._install_command = install_command
        if not install_command:
            self.banner.hide(at_once=True)
            return
        text = _("Subsets of files need a package. Install it with: {command}", command=install_command)
        self.banner.show(BannerKind.WARNING, text, BannerAction(_("Copy"), self._copy_command))

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self._title.configure(text=_("Subset of each file"))
        self.whole_files.configure(text=_("Whole files"))
        self._close.configure(text=pgettext("button", "Done"))
        every = [_("{n}-hourly", n=step) for step in _EVERY]
        nothing = pgettext("hours or levels", "all")
        for grid, title, quick in (
            (self.hours, _("Hours (UTC)"), every),
            (self.levels, _("Levels (hPa)"), [_("Standard")]),
        ):
            grid.set_texts(title=title, all_text=_("All"), none_text=_("None"), quick=quick, nothing_text=nothing)
        self.only_days.configure(text=_("Only the selected days, not the whole months or half months of the files"))
        self.prove.configure(text=_("Verify by MD5: downloads the whole files, keeps only the subsets"))
        self.region.retranslate()
        self.show_missing_package(self._install_command)

    # --- inside

    def _use(self, fields: SubsetFields) -> None:
        self.show(fields, levels=self._levels_shown)
        self._on_change(fields)

    def _place_changed(self, fields: SubsetFields) -> None:
        place = {name: getattr(fields, name) for name in ("place", *subset_form.EDGES, *subset_form.COORDINATES)}
        self._fields = subset_form.changed(self._fields, **place)
        self._show_checks()
        self._on_change(self._fields)

    def _days_toggled(self) -> None:
        self._use(subset_form.changed(self._fields, only_days=self._days_value.get()))

    def _prove_toggled(self) -> None:
        self._use(subset_form.changed(self._fields, prove=self._prove_value.get()))

    def _show_checks(self) -> None:
        """Show the check boxes. Any other restriction implies that of the days; without one, all files are verified."""
        implied = subset_form.restricts(self._fields, levels=self._levels_shown)
        self._days_value.set(implied or self._fields.only_days)
        self.only_days.state(["disabled" if implied else "!disabled"])
        restricted = implied or self._fields.only_days
        self._prove_value.set(restricted and self._fields.prove)
        self.prove.state(["!disabled" if restricted else "disabled"])

    def _copy_command(self) -> None:
        self.clipboard_clear()
        self.clipboard_append(self._install_command)
