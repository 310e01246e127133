"""Selection of the period on the Download page: a date range, or a summary of the date grid."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from datetime import date
from tkinter import ttk

from era5dl.days import FIRST_DAY
from era5dl.gui.models.request_form import Fields, FormResult, Period, coverage
from era5dl.gui.text.i18n import _, ngettext, translate
from era5dl.gui.text.key_text import MONTHS
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import UpdatingLabel
from era5dl.gui.widgets.date_field import DateField
from era5dl.gui.widgets.date_input import DateTexts
from era5dl.gui.widgets.segmented_control import SegmentedControl


class PeriodPanel(ttk.Frame):
    """on_period: called when the user switches between range and grid. on_dates(first, last): called with the texts of
    the range after each change.

    show_grid: called when the user wants to edit the grid.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        on_period: Callable[[Period], object],
        on_dates: Callable[[str, str], object],
        show_grid: Callable[[], object],
    ) -> None:
        super().__init__(master)
        self._theme = theme
        self._on_period, self._on_dates, self._show_grid = on_period, on_dates, show_grid
        self._filling = False
        px = theme.px
        self.columnconfigure(0, weight=1)
        head = ttk.Frame(self)
        head.grid(row=0, column=0, sticky="ew", pady=(px(6), px(6)))
        self._title = ttk.Label(head, style="Head.TLabel")
        self._title.pack(side="left")
        self._period = SegmentedControl(
            head, theme, choices={"range": "", "grid": ""}, value="range", on_change=self._choose_period
        )
        self._period.pack(side="right")
        body = ttk.Frame(self)
        body.grid(row=1, column=0, sticky="ew")
        self._range, self._grid = ttk.Frame(body), ttk.Frame(body)
        self._from, self._to = ttk.Label(self._range), ttk.Label(self._range)
        self.first, self.last = (
            DateField(
                self._range,
                theme,
                first=FIRST_DAY,
                last=coverage(())[1],
                texts=date_texts(is_end=is_end),
                on_change=self._report_dates,
            )
            for is_end in (False, True)
        )
        self._from.pack(side="left", padx=(0, px(6)))
        self.first.pack(side="left", fill="x", expand=True)
        self._to.pack(side="left", padx=px(8))
        self.last.pack(side="left", fill="x", expand=True)
        self._grid_text = ttk.Label(self._grid, style="Muted.TLabel", justify="left")
        self._grid_text.pack(side="left")
        self._grid_button = ttk.Button(self._grid, command=show_grid)
        self._grid_button.pack(side="right")
        self._range.pack(fill="x")
        self._error = UpdatingLabel(self, style="Danger.TLabel")
        self._error.grid(row=2, column=0, sticky="w", pady=(px(3), 0))
        self._error.grid_remove()

    # --- interface

    def show_fields(self, fields: Fields) -> None:
        """Fill in all fields. No callback is called."""
        self._filling = True
        self.first.variable.set(fields.first)
        self.last.variable.set(fields.last)
        self._filling = False
        self._period.set(fields.period.value)
        self._arrange(fields.period)
        self.show_grid_summary(fields)

    def show_grid_summary(self, fields: Fields) -> None:
        """Show a summary of the selection in the grid."""
        self._grid_text.configure(text=grid_summary(fields))

    def set_bounds(self, first: date, last: date) -> None:
        """Set the first and last day that can be entered."""
        for field in (self.first, self.last):
            field.set_bounds(first, last)

    def show_errors(self, fields: Fields, form: FormResult) -> None:
        """Show the error of these fields, if there is one, and mark the invalid fields."""
        error = next((text for name in ("first", "last", "years", "days") if (text := form.error_for(name))), "")
        if self._error.show(error):
            (self._error.grid if error else self._error.grid_remove)()
        if not self.last.error:  # else it is marked already
            self.last.mark_invalid(fields.period is Period.RANGE and bool(form.error_for("last")))

    def wrap(self, width: int) -> None:
        """Wrap texts at this width, in pixels."""
        self._error.configure(wraplength=width)
        room = width - self._grid_button.winfo_reqwidth() - self._theme.px(8)
        self._grid_text.configure(wraplength=max(1, room))

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self._title.configure(text=_("Period"))
        self._period.set_texts({"range": _("Date range"), "grid": _("Date grid")})
        self._from.configure(text=_("From"))
        self._to.configure(text=_("to"))
        self.first.set_texts(date_texts())
        self.last.set_texts(date_texts(is_end=True))
        self._grid_button.configure(text=_("Choose…"))

    # --- inside

    def _report_dates(self) -> None:
        if not self._filling:
            self._on_dates(self.first.variable.get(), self.last.variable.get())

    def _choose_period(self, value: str) -> None:
        period = Period(value)
        self._on_period(period)
        self._arrange(period)
        if period is Period.GRID:
            self._show_grid()

    def _arrange(self, period: Period) -> None:
        grid = period is Period.GRID
        (self._range if grid else self._grid).pack_forget()
        (self._grid if grid else self._range).pack(fill="x")


def date_texts(*, is_end: bool = False) -> DateTexts:
    """Return the texts of the date fields in the current language. is_end: of the last day, which may be "latest"."""
    return DateTexts(
        weekdays=tuple(_("Mo Tu We Th Fr Sa Su").split()),
        month_title=lambda year, month: _("{month} {year}", month=translate(MONTHS[month - 1]), year=year),
        empty=_("Choose a date."),
        not_a_date=_("Enter the date as YYYY-MM-DD."),
        no_such_day=_("This date does not exist."),
        too_early=lambda first: _("The data begin on {date}.", date=first.isoformat()),
        too_late=lambda last: _("The data end on {date}.", date=last.isoformat()),
        latest=_("latest") if is_end else "",
        pick_latest=_("Latest available"),
    )


def grid_summary(fields: Fields) -> str:
    """Return a short summary of the selection in the date grid."""
    years = ngettext("{n} year", "{n} years", len(fields.years)) if fields.years else _("no year selected")
    months = ngettext("{n} month", "{n} months", len(fields.months)) if fields.months else _("all months")
    days = ngettext("{n} day", "{n} days", len(fields.days)) if fields.days else _("all days")
    return " · ".join((years, months, days))
