"""Date grid: selection of years, months and days with toggle buttons. It replaces the queue while it is shown."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from datetime import date
from tkinter import ttk

from era5dl.gui.text.i18n import _, pgettext, translate
from era5dl.gui.text.key_text import MONTHS
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.toggle_grid import ToggleGrid

DatesCallback = Callable[[frozenset[int], frozenset[int], frozenset[int]], object]


class DateGridPanel(Card):
    """on_change(years, months, days): called after each change. on_close: called when the user closes the grid."""

    def __init__(
        self, master: tk.Misc, theme: Theme, *, on_change: DatesCallback, on_close: Callable[[], object]
    ) -> None:
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
            ToggleGrid(self, theme, choices=choices, on_change=lambda _selected: self._report())
            for choices in (
                [(year, str(year)) for year in range(1940, date.today().year + 1)],
                [(number, name) for number, name in enumerate(MONTHS, start=1)],
                [(day, f"{day:02}") for day in range(1, 32)],
            )
        )
        for grid in (self.years, self.months, self.days):
            grid.pack(fill="x", pady=(0, px(10)))
        self.retranslate()

    def show(self, years: frozenset[int], months: frozenset[int], days: frozenset[int]) -> None:
        """Select these values. `on_change` is not called."""
        self.years.set(years)
        self.months.set(months)
        self.days.set(days)

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self._title.configure(text=_("Years, months and days"))
        self._hint.configure(
            text=_("Click or drag to select. No month selected: all months. No day selected: all days.")
        )
        self._close.configure(text=pgettext("button", "Done"))
        all_text, none_text = _("All"), _("None")
        self.years.set_texts(title=_("Years"), all_text=all_text, none_text=none_text)
        months = [(number, translate(name)) for number, name in enumerate(MONTHS, start=1)]
        self.months.set_texts(title=_("Months"), choices=months, all_text=all_text, none_text=none_text)
        self.days.set_texts(title=_("Days"), all_text=all_text, none_text=none_text)

    def _report(self) -> None:
        self._on_change(self.years.get(), self.months.get(), self.days.get())
