"""Years, months and days as chips, in the place of the queue while they are being chosen."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from datetime import date
from tkinter import ttk

from era5dl.gui.text.i18n import N_, _, pgettext, translate
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.toggle_grid import ToggleGrid

Taken = Callable[[frozenset[int], frozenset[int], frozenset[int]], object]

_MONTHS = (
    *(N_("Jan"), N_("Feb"), N_("Mar"), N_("Apr"), N_("May"), N_("Jun")),
    *(N_("Jul"), N_("Aug"), N_("Sep"), N_("Oct"), N_("Nov"), N_("Dec")),
)


class DateGridPanel(Card):
    """on_change: the years, months and days taken. on_close: the person is done."""

    def __init__(self, master: tk.Misc, theme: Theme, *, on_change: Taken, on_close: Callable[[], object]) -> None:
        super().__init__(master, theme)
        self._on_change = on_change
        px = theme.px
        head = ttk.Frame(self)
        head.pack(fill="x", pady=(0, px(8)))
        self._title = ttk.Label(head, style="Head.TLabel")
        self._title.pack(side="left")
        self._close = ttk.Button(head, style="Accent.TButton", command=on_close)
        self._close.pack(side="right")
        self._hint = ttk.Label(self, style="Muted.TLabel")
        self._hint.pack(anchor="w", pady=(0, px(8)))
        self.years, self.months, self.days = (
            ToggleGrid(self, theme, choices=choices, on_change=lambda _taken: self._told())
            for choices in (
                [(year, str(year)) for year in range(1940, date.today().year + 1)],
                [(number, name) for number, name in enumerate(_MONTHS, start=1)],
                [(day, f"{day:02}") for day in range(1, 32)],
            )
        )
        for grid in (self.years, self.months, self.days):
            grid.pack(fill="x", pady=(0, px(10)))
        self.retranslate()

    def show(self, years: frozenset[int], months: frozenset[int], days: frozenset[int]) -> None:
        """Take these."""
        self.years.set(years)
        self.months.set(months)
        self.days.set(days)

    def retranslate(self) -> None:
        """All texts in the language of now."""
        self._title.configure(text=_("Years, months and days"))
        self._hint.configure(
            text=_("Click or drag to select. No month selected: all months. No day selected: all days.")
        )
        self._close.configure(text=pgettext("button", "Done"))
        every, none = _("All"), _("None")
        self.years.set_texts(title=_("Years"), all_text=every, none_text=none)
        months = [(number, translate(name)) for number, name in enumerate(_MONTHS, start=1)]
        self.months.set_texts(title=_("Months"), choices=months, all_text=every, none_text=none)
        self.days.set_texts(title=_("Days"), all_text=every, none_text=none)

    def _told(self) -> None:
        self._on_change(self.years.get(), self.months.get(), self.days.get())
