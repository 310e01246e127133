"""Widgets of the settings dialog, which are created from `models.settings_form.GROUPS`.

A new field is added there, and usually needs no change here. Valid values take effect at once; errors are shown below
their fields.
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from tkinter import ttk
from typing import Any

from era5dl.gui.dialogs.dialog import Dialog
from era5dl.gui.models import settings_form
from era5dl.gui.models.preferences import BOUNDS, CHOICES, Preferences
from era5dl.gui.models.settings_form import Field, Kind
from era5dl.gui.text.i18n import LANGUAGES, _, follow, translate
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.auto_number_field import AutoNumberField
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.number_field import NumberField
from era5dl.gui.widgets.toggle_switch import ToggleSwitch

_USUAL = (4, 8, 16, 32, 64)  # numbers of workers in the list
_WIDTH = 520  # of the column of fields, in unscaled pixels


@dataclass(frozen=True, slots=True)
class SettingsCallbacks:
    """changed: called with the preferences after each change; must return at once.

    choose_folder, choose_file: let the user choose, starting at a path; return "" if the dialog was cancelled.
    """

    changed: Callable[[Preferences], object]
    choose_folder: Callable[[str], str]
    choose_file: Callable[[str], str]
    closed: Callable[[], object]


@dataclass(slots=True)
class _Line:
    """Widgets of one field."""

    field: Field
    label: ttk.Label
    control: Any
    unit: ttk.Label
    below: ttk.Label  # the hint, or the error
    get: Callable[[], Any]
    set: Callable[[Any], object]


class SettingsDialog(Dialog):
    """Tabs with fields. There is no OK button: each change is reported at once."""

    def __init__(self, master: tk.Misc, theme: Theme, preferences: Preferences, callbacks: SettingsCallbacks) -> None:
        super().__init__(master, theme)
        self._callbacks = callbacks
        self._preferences = preferences
        self._lines: dict[str, _Line] = {}
        self._filling = False
        px = theme.px
        outer = ttk.Frame(self, style="Page.TFrame", padding=px(14))
        outer.pack(fill="both", expand=True)
        self._tabs = ttk.Notebook(outer)
        self._tabs.pack(fill="both", expand=True)
        for group in settings_form.GROUPS:
            page = ttk.Frame(self._tabs, style="Page.TFrame", padding=(0, px(10), 0, 0))
            card = Card(page, theme)
            card.pack(fill="both", expand=True)
            card.columnconfigure(1, weight=1, minsize=px(_WIDTH))
            for row, field in enumerate(group.fields):
                self._lines[field.name] = self._create_line(card, row, field)
            self._tabs.add(page)
        foot = ttk.Frame(outer, style="Page.TFrame")
        foot.pack(fill="x", pady=(px(12), 0))
        self._reset = ttk.Button(foot, style="Page.TButton", command=self._reset_to_defaults)
        self._reset.pack(side="left")
        self._close = ttk.Button(foot, style="Page.Accent.TButton", command=self.close)
        self._close.pack(side="right")
        self._fill()
        follow(self, self.retranslate)
        self.resizable(width=True, height=False)
        self.open()
        self._lines["folder"].control.focus_set()

    # --- interface

    @property
    def preferences(self) -> Preferences:
        """Current preferences. A field with an error keeps its last valid value."""
        return self._preferences

    def error(self, name: str) -> str:
        """Return the error of this field; "" for none."""
        return settings_form.read(self._entered(), self._preferences)[1].get(name, "")

    def enter(self, name: str, value: object) -> None:
        """Enter a value into a field, as if it were typed."""
        self._lines[name].set(value)
        self._changed()

    def show(self, preferences: Preferences) -> None:
        """Show preferences that were changed elsewhere, such as the theme or the workers."""
        if preferences != self._preferences:
            self._preferences = preferences
            self._fill()
            self._changed()

    def close(self) -> None:
        """Close the dialog, and call `closed`. Valid values have been reported already."""
        self.destroy()
        self._callbacks.closed()

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self.title(_("Settings"))
        for index, group in enumerate(settings_form.GROUPS):
            self._tabs.tab(index, text=translate(group.title))  # type: ignore[no-untyped-call]
        self._reset.configure(text=_("Reset to defaults"))
        self._close.configure(text=_("Close"))
        for line in self._lines.values():
            line.label.configure(text=translate(line.field.label))
            line.unit.configure(text=translate(line.field.unit) if line.field.unit else "")
            if line.field.kind is Kind.CHOICE:
                chosen = line.get()
                line.control.configure(values=list(_choice_texts(line.field.name).values()))
                line.set(chosen)
            if isinstance(line.control, AutoNumberField):
                line.control.set_texts(_("Auto"))
            if isinstance(line.control, ToggleSwitch):
                line.control.configure(text=translate(line.field.hint))
        self._show_errors(settings_form.read(self._entered(), self._preferences)[1])

    # --- widgets

    def _create_line(self, card: ttk.Frame, row: int, field: Field) -> _Line:
        px = self._theme.px
        label = ttk.Label(card)
        label.grid(row=2 * row, column=0, sticky="w", padx=(0, px(18)), pady=(px(5), 0))
        frame = ttk.Frame(card)
        frame.grid(row=2 * row, column=1, sticky="ew", pady=(px(5), 0))
        control, get, set_value = self._create_control(frame, field)
        unit = ttk.Label(frame, style="Muted.TLabel")
        if field.unit:
            unit.pack(side="left", padx=(px(10), 0))
        below = ttk.Label(card, style="Small.TLabel", wraplength=px(_WIDTH), justify="left")
        below.grid(row=2 * row + 1, column=1, sticky="w", padx=(px(2), 0), pady=(px(1), px(5)))
        return _Line(field, label, control, unit, below, get, set_value)

    def _create_control(self, frame: ttk.Frame, field: Field) -> tuple[Any, Callable[[], Any], Callable[[Any], object]]:
        theme = self._theme
        if field.kind is Kind.FLAG:
            switch = ToggleSwitch(frame, theme, text="", value=False, on_change=lambda _on: self._changed())
            switch.pack(side="left")
            return switch, switch.get, switch.set
        if field.kind is Kind.WHOLE:
            least, most = BOUNDS[field.name]
            number = NumberField(frame, theme, value=int(least), least=int(least), most=int(most))
            number.pack(side="left")
            number.variable.trace_add("write", lambda *_names: self._changed())
            return number, number.variable.get, number.variable.set
        if field.kind is Kind.AUTO_WHOLE:
            least, most = BOUNDS[field.name]
            box = AutoNumberField(frame, value=int(least), least=int(least), most=int(most), usual=_USUAL)
            box.pack(side="left")
            box.variable.trace_add("write", lambda *_names: self._changed())
            return box, box.variable.get, box.enter
        if field.kind is Kind.CHOICE:
            return self._create_choice(frame, field.name)
        return self._create_entry(frame, field)

    def _create_choice(self, frame: ttk.Frame, name: str) -> tuple[Any, Callable[[], Any], Callable[[Any], object]]:
        box = ttk.Combobox(frame, state="readonly", width=18)
        box.pack(side="left")
        box.bind("<<ComboboxSelected>>", lambda _event: self._changed(), add="+")
        values = CHOICES[name]

        def get() -> str:
            return values[box.current()] if box.current() >= 0 else values[0]

        def set_value(value: str) -> None:
            box.configure(values=list(_choice_texts(name).values()))
            box.current(values.index(value))

        return box, get, set_value

    def _create_entry(self, frame: ttk.Frame, field: Field) -> tuple[Any, Callable[[], Any], Callable[[Any], object]]:
        width = {Kind.SECONDS: 9, Kind.SIZE: 9, Kind.RATE: 30}.get(field.kind)
        variable = tk.StringVar(self)
        entry = ttk.Entry(frame, textvariable=variable, width=width or 30)
        entry.pack(side="left", fill="none" if width else "x", expand=not width)
        variable.trace_add("write", lambda *_names: self._changed())
        if field.kind in (Kind.FOLDER, Kind.FILE):
            choose = ttk.Button(frame, style="Icon.TButton", command=lambda: self._choose(field, variable))
            self._theme.set_icon(choose, "folder", "muted", 16)
            choose.pack(side="left", padx=(self._theme.px(6), 0))
        return entry, variable.get, variable.set

    def _choose(self, field: Field, variable: tk.StringVar) -> None:
        ask = self._callbacks.choose_folder if field.kind is Kind.FOLDER else self._callbacks.choose_file
        chosen = ask(variable.get())
        if chosen:
            variable.set(chosen)

    # --- values

    def _entered(self) -> dict[str, Any]:
        return {name: line.get() for name, line in self._lines.items()}

    def _fill(self) -> None:
        self._filling = True
        try:
            for name, value in settings_form.texts(self._preferences).items():
                self._lines[name].set(value)
        finally:
            self._filling = False

    def _changed(self) -> None:
        if self._filling:
            return
        preferences, errors = settings_form.read(self._entered(), self._preferences)
        self._show_errors(errors)
        if preferences != self._preferences:
            self._preferences = preferences
            self._callbacks.changed(preferences)

    def _show_errors(self, errors: Mapping[str, str]) -> None:
        for name, line in self._lines.items():
            error = errors.get(name, "")
            hint = "" if line.field.kind is Kind.FLAG or not line.field.hint else translate(line.field.hint)
            line.below.configure(text=error or hint, style="Danger.TLabel" if error else "Small.TLabel")
            if line.field.kind is not Kind.FLAG:
                line.control.state(["invalid" if error else "!invalid"])
            if error or hint:
                line.below.grid()
            else:
                line.below.grid_remove()

    def _reset_to_defaults(self) -> None:
        """Reset all settings that have a field, and keep the others."""
        defaults = Preferences()
        reset = {name: getattr(defaults, name) for name in self._lines}
        kept = {f.name: getattr(self._preferences, f.name) for f in fields(Preferences) if f.name not in reset}
        self._preferences = Preferences(**kept, **reset)
        self._fill()
        self._changed()
        self._callbacks.changed(self._preferences)


def _choice_texts(name: str) -> dict[str, str]:
    """Return the texts of the choices of a field, by value."""
    if name == "theme":
        return {"light": _("Light"), "dark": _("Dark")}
    return {"": _("Same as system"), **LANGUAGES}
