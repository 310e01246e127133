"""Help dialog (F1): getting started, keyboard shortcuts, file locations, citation and licence."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from datetime import date
from tkinter import ttk

from era5dl.gui.dialogs.dialog import Dialog
from era5dl.gui.text.i18n import N_, _, follow, translate
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card

_STEPS = (
    N_("Choose a product, then variables. Search by any name, or use a preset."),
    N_("Choose the period. All times are UTC; the first and the last day are included."),
    N_("Choose a folder. The number of files and the total size are shown as you choose."),
    N_("Click Start download. You can leave it running: after an outage or sleep it continues automatically."),
    N_("You can pause, stop or close the window at any time. Everything downloaded so far is kept."),
    N_("Resume later on the Sessions page, as often as needed."),
    N_("A file gets its final name only when it is complete and verified."),
    N_("Red rows are files that failed. Select one to see the reason, then retry it."),
    N_("Slow, or no connection? Run the network test on the Diagnostics page."),
    N_("Need help from someone? Save a support report on that page; it contains neither your name nor your folders."),
)
_KEYS = (
    ("Ctrl+Enter", N_("Start download")),
    ("Ctrl+Shift+Enter", N_("Add to queue")),
    ("Ctrl+P", N_("Pause or resume")),
    ("Ctrl+F", N_("Search")),
    ("Ctrl+1 … 5", N_("Switch pages")),
    ("Ctrl+,", N_("Settings")),
    ("Ctrl+R", N_("Retry all failed files")),
    ("Ctrl+H", N_("Hold or release the selected files")),
    ("Space", N_("Check or uncheck a variable")),
    ("F1", N_("This help")),
)
CITATION = (
    "European Centre for Medium-Range Weather Forecasts (2019, updated monthly): ERA5 Reanalysis (0.25 Degree "
    "Latitude-Longitude Grid). Research Data Archive at the National Center for Atmospheric Research, Computational "
    "and Information Systems Laboratory. https://doi.org/10.5065/BH6N-5N20. Accessed {day}.\n"
    "Hersbach et al. (2020): The ERA5 global reanalysis. Q. J. R. Meteorol. Soc. 146, 1999-2049. "
    "https://doi.org/10.1002/qj.3803"
)


def citation(today: date | None = None) -> str:
    """Return the citation for a list of references, which is English in all languages."""
    return CITATION.format(day=(today or date.today()).isoformat())


class HelpDialog(Dialog):
    """places: file locations as (English name, path). closed: called after the dialog is closed."""

    def __init__(
        self, master: tk.Misc, theme: Theme, places: Sequence[tuple[str, str]], closed: Callable[[], object]
    ) -> None:
        super().__init__(master, theme)
        self._closed, self._places = closed, tuple(places)
        px = theme.px
        outer = ttk.Frame(self, style="Page.TFrame", padding=px(14))
        outer.pack(fill="both", expand=True)
        self._texts: list[tuple[ttk.Label, Callable[[], str]]] = []
        upper = ttk.Frame(outer, style="Page.TFrame")
        upper.pack(fill="both", expand=True)
        self._create_steps(upper).pack(side="left", fill="both", expand=True, padx=(0, px(10)))
        self._create_keys(upper).pack(side="left", fill="both")
        self._create_citation(outer).pack(fill="x", pady=(px(10), 0))
        self._close = ttk.Button(outer, style="Page.Accent.TButton", command=self.close)
        self._close.pack(side="right", pady=(px(12), 0))
        follow(self, self.retranslate)
        self.open()
        self._close.focus_set()

    def close(self) -> None:
        """Close the dialog, and call `closed`."""
        self.destroy()
        self._closed()

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self.title(_("Help"))
        for label, text in self._texts:
            label.configure(text=text())
        self._close.configure(text=_("Close"))
        self._copy.configure(text=_("Copy citation"), compound="left")

    def _label(self, master: tk.Misc, text: Callable[[], str], style: str = "TLabel", wide: float = 0) -> ttk.Label:
        label = ttk.Label(master, style=style, justify="left")
        if wide:
            label.configure(wraplength=self._theme.px(wide))
        self._texts.append((label, text))
        return label

    def _create_steps(self, master: tk.Misc) -> Card:
        px = self._theme.px
        card = Card(master, self._theme)
        self._label(card, lambda: _("Getting started"), "Head.TLabel").grid(row=0, column=0, columnspan=2, sticky="w")
        for number, step in enumerate(_STEPS, 1):
            ttk.Label(card, text=f"{number}", style="Accent.TLabel").grid(
                row=number, column=0, sticky="ne", padx=(0, px(10)), pady=px(3)
            )
            self._label(card, lambda step=step: translate(step), wide=440).grid(  # type: ignore[misc]
                row=number, column=1, sticky="w", pady=px(3)
            )
        return card

    def _create_keys(self, master: tk.Misc) -> Card:
        px = self._theme.px
        card = Card(master, self._theme)
        self._label(card, lambda: _("Keyboard shortcuts"), "Head.TLabel").grid(
            row=0, column=0, columnspan=2, sticky="w"
        )
        for row, (key, action) in enumerate(_KEYS, 1):
            ttk.Label(card, text=key, style="Accent.TLabel").grid(row=row, column=0, sticky="w", pady=px(2))
            self._label(card, lambda action=action: translate(action)).grid(  # type: ignore[misc]
                row=row, column=1, sticky="w", padx=(px(14), 0), pady=px(2)
            )
        row = len(_KEYS) + 1
        self._label(card, lambda: _("File locations"), "Head.TLabel").grid(
            row=row, column=0, columnspan=2, sticky="w", pady=(px(12), 0)
        )
        for place, (name, path) in enumerate(self._places, row + 1):
            self._label(card, lambda name=name: translate(name), "Muted.TLabel").grid(  # type: ignore[misc]
                row=2 * place, column=0, columnspan=2, sticky="w", pady=(px(3), 0)
            )
            ttk.Label(card, text=path, wraplength=px(320)).grid(row=2 * place + 1, column=0, columnspan=2, sticky="w")
        return card

    def _create_citation(self, master: tk.Misc) -> Card:
        px = self._theme.px
        card = Card(master, self._theme)
        head = ttk.Frame(card)
        head.pack(fill="x")
        self._label(head, lambda: _("Citation and licence"), "Head.TLabel").pack(side="left")
        self._copy = ttk.Button(head, command=self._copy_citation)
        self._theme.set_icon(self._copy, "copy", "text", 15)
        self._copy.pack(side="right")
        ttk.Label(card, text=citation(), wraplength=px(820), justify="left", style="Muted.TLabel").pack(
            anchor="w", pady=(px(6), px(8))
        )
        self._label(card, _licence, wide=820).pack(anchor="w")
        return card

    def _copy_citation(self) -> None:
        self.clipboard_clear()
        self.clipboard_append(citation())


def _licence() -> str:
    return _(
        "ERA5 is a product of the Copernicus Climate Change Service, licensed under CC-BY 4.0 since July "
        "2025. Publications must state that they contain modified Copernicus Climate Change Service "
        "information, with the year. Neither the European Commission nor ECMWF is responsible for any use of "
        "it. For the copy at NSF NCAR, see www.ucar.edu/terms-of-use/data."
    )
