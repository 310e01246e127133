"""Line of the request panel about parts of files: a summary, and the buttons that open the editor and clear it."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import ttk
from tkinter.font import nametofont

from era5dl.gui.models import subset_form
from era5dl.gui.models.request_form import FormResult
from era5dl.gui.models.subset_form import SubsetFields
from era5dl.gui.text.i18n import _
from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import UpdatingLabel
from era5dl.gui.widgets.tooltip import Tooltip


class SubsetSection(ttk.Frame):
    """on_edit: called when the user wants to edit the subset, on_clear: when whole files are wanted again."""

    def __init__(
        self, master: tk.Misc, theme: Theme, *, on_edit: Callable[[], object], on_clear: Callable[[], object]
    ) -> None:
        super().__init__(master)
        px = self._px = theme.px
        self._compact, self._width, self._text = False, 0, ""
        self.columnconfigure(1, weight=1)
        self._title = ttk.Label(self, style="Head.TLabel")
        self._title.grid(row=0, column=0, sticky="w")
        self._state = ttk.Label(self, style="Muted.TLabel")
        self._state.grid(row=0, column=1, sticky="w", padx=px(8))
        self.summary = UpdatingLabel(self, style="Muted.TLabel")
        self.summary.grid(row=1, column=0, columnspan=4, sticky="w", pady=(px(2), 0))
        self.summary.grid_remove()
        self.clear = ttk.Button(self, style="Icon.TButton", command=on_clear)
        theme.set_icon(self.clear, "cross", "muted", 14)
        self.clear.grid(row=0, column=2, padx=(0, px(4)))
        Tooltip(self.clear, theme, lambda: _("Whole files"))
        self.edit = ttk.Button(self, command=on_edit)
        self.edit.grid(row=0, column=3)
        self._error = UpdatingLabel(self, style="Danger.TLabel")
        self._error.grid(row=2, column=0, columnspan=4, sticky="w")
        self._error.grid_remove()

    def show(self, fields: SubsetFields, form: FormResult) -> None:
        """Show what is selected, or the error of the fields."""
        error = form.error_for("subset")
        text = "" if error else subset_form.summary(form.subset, only_days=fields.only_days)
        self._text = text
        self._show_text(_("no, whole files") if not text and not error else "")
        (self.clear.grid if text or error else self.clear.grid_remove)()
        if self._error.show(error):
            (self._error.grid if error else self._error.grid_remove)()

    def wrap(self, width: int) -> None:
        """Wrap texts at this width, in pixels."""
        self._error.configure(wraplength=width)
        self.summary.configure(wraplength=width)
        self._width = width
        if self._text:
            self._show_text("")

    def set_compact(self, compact: bool) -> None:
        """Set whether the summary is in the line of the title if there is room for it."""
        self._compact = compact
        if self._text:
            self._show_text("")

    def _show_text(self, otherwise: str) -> None:
        """Show what is selected. otherwise: text of the title's line if nothing is."""
        used = sum(one.winfo_reqwidth() for one in (self._title, self.clear, self.edit)) + self._px(24)
        font = nametofont(scaling.TEXT, root=self)
        inline = bool(self._text) and self._compact and font.measure(self._text) <= self._width - used
        self._state.configure(text=self._text if inline else otherwise)
        below = "" if inline else self._text
        if self.summary.show(below):
            (self.summary.grid if below else self.summary.grid_remove)()

    def retranslate(self) -> None:
        """Set the texts that `show` does not set."""
        self._title.configure(text=_("Subset"))
        self.edit.configure(text=_("Choose…"))
