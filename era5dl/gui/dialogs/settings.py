"""The settings: each with its unit and bounds. What is entered holds at once; a problem stands below its field."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from tkinter import ttk
from typing import Any

from era5dl.gui.models import settings_form
from era5dl.gui.models.preferences import BOUNDS, CHOICES, Preferences
from era5dl.gui.models.settings_form import Field, Kind
from era5dl.gui.text.i18n import LANGUAGES, _, follow, translate
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.dialog_position import show_over
from era5dl.gui.widgets.number_field import NumberField
from era5dl.gui.widgets.toggle_switch import ToggleSwitch

_WIDE = 520  # of the column of fields, in our units


@dataclass(frozen=True, slots=True)
class SettingsCallbacks:
    """changed: gets the preferences each time one of them is another, and returns at once.

    choose_folder, choose_file: ask the person, starting from a path; an empty answer is none.
    """

    changed: Callable[[Preferences], object]
    choose_folder: Callable[[str], str]
    choose_file: Callable[[str], str]
    closed: Callable[[], object]


@dataclass(slots=True)
class _Line:
    """The widgets of one field."""

    field: Field
    label: ttk.Label
    control: Any
    unit: ttk.Label
    below: ttk.Label  # the hint, or what is wrong
    get: Callable[[], Any]
    set: Callable[[Any], object]


class SettingsDialog(tk.Toplevel):
    """One at a time; Escape closes it."""

    def __init__(self, master: tk.Misc, theme: Theme, preferences: Preferences, callbacks: SettingsCallbacks) -> None:
        super().__init__(master)
        self.withdraw()
        self._theme, self._do = theme, callbacks
        self._preferences = preferences
        self._lines: dict[str, _Line] = {}
        self._filling = False
        px = theme.px
        theme.follow(self, lambda palette: self.configure(background=palette.page))
        outer = ttk.Frame(self, style="Page.TFrame", padding=px(14))
        outer.pack(fill="both", expand=True)
        self._tabs = ttk.Notebook(outer)
        self._tabs.pack(fill="both", expand=True)
        for group in settings_form.GROUPS:
            page = ttk.Frame(self._tabs, style="Page.TFrame", padding=(0, px(10), 0, 0))
            card = Card(page, theme)
            card.pack(fill="both", expand=True)
            card.columnconfigure(1, weight=1, minsize=px(_WIDE))
            for row, entry in enumerate(group.fields):
                self._lines[entry.name] = self._make(card, row, entry)
            self._tabs.add(page)
        foot = ttk.Frame(outer, style="Page.TFrame")
        foot.pack(fill="x", pady=(px(12), 0))
        self._reset = ttk.Button(foot, style="Page.TButton", command=self._to_defaults)
        self._reset.pack(side="left")
        self._close = ttk.Button(foot, style="Page.Accent.TButton", command=self.close)
        self._close.pack(side="right")
        self.bind("<Escape>", lambda _event: self.close(), add="+")
        self.protocol("WM_DELETE_WINDOW", self.close)
        self._fill()
        follow(self, self.retranslate)
        self.resizable(width=True, height=False)
        show_over(self, master.winfo_toplevel())
        self._lines["folder"].control.focus_set()

    # --- for those who use it

    @property
    def preferences(self) -> Preferences:
        """As they are now; a field with a problem is as it was before."""
        return self._preferences

    def problem(self, name: str) -> str:
        """What is wrong with this field, in words; empty when nothing is."""
        return settings_form.read(self._entered(), self._preferences)[1].get(name, "")

    def enter(self, name: str, value: object) -> None:
        """Put something into a field, as a person would."""
        self._lines[name].set(value)
        self._changed()

    def show(self, preferences: Preferences) -> None:
        """They were changed elsewhere: the theme, the workers."""
        if preferences != self._preferences:
            self._preferences = preferences
            self._fill()
            self._changed()

    def close(self) -> None:
        """What is right has been taken already."""
        self.destroy()
        self._do.closed()

    def retranslate(self) -> None:
        """All texts in the language of now."""
        self.title(_("Settings"))
        for place, group in enumerate(settings_form.GROUPS):
            self._tabs.tab(place, text=translate(group.title))  # type: ignore[no-untyped-call]
        self._reset.configure(text=_("Reset to defaults"))
        self._close.configure(text=_("Close"))
        for line in self._lines.values():
            line.label.configure(text=translate(line.field.label))
            line.unit.configure(text=translate(line.field.unit) if line.field.unit else "")
            if line.field.kind is Kind.CHOICE:
                chosen = line.get()
                line.control.configure(values=list(_shown(line.field.name).values()))
                line.set(chosen)
            if isinstance(line.control, ToggleSwitch):
                line.control.configure(text=translate(line.field.hint))
        self._say_problems(settings_form.read(self._entered(), self._preferences)[1])

    # --- building

    def _make(self, card: ttk.Frame, row: int, entry: Field) -> _Line:
        px = self._theme.px
        label = ttk.Label(card)
        label.grid(row=2 * row, column=0, sticky="w", padx=(0, px(18)), pady=(px(5), 0))
        place = ttk.Frame(card)
        place.grid(row=2 * row, column=1, sticky="ew", pady=(px(5), 0))
        control, get, put = self._control(place, entry)
        unit = ttk.Label(place, style="Muted.TLabel")
        if entry.unit:
            unit.pack(side="left", padx=(px(10), 0))
        below = ttk.Label(card, style="Small.TLabel", wraplength=px(_WIDE), justify="left")
        below.grid(row=2 * row + 1, column=1, sticky="w", padx=(px(2), 0), pady=(px(1), px(5)))
        return _Line(entry, label, control, unit, below, get, put)

    def _control(self, place: ttk.Frame, entry: Field) -> tuple[Any, Callable[[], Any], Callable[[Any], object]]:
        theme = self._theme
        if entry.kind is Kind.FLAG:
            switch = ToggleSwitch(place, theme, text="", value=False, on_change=lambda _on: self._changed())
            switch.pack(side="left")
            return switch, switch.get, switch.set
        if entry.kind is Kind.WHOLE:
            least, most = BOUNDS[entry.name]
            stepper = NumberField(place, theme, value=int(least), least=int(least), most=int(most), on_change=_nothing)
            stepper.pack(side="left")
            stepper.variable.trace_add("write", lambda *_names: self._changed())
            return stepper, stepper.variable.get, stepper.variable.set
        if entry.kind is Kind.CHOICE:
            return self._choice(place, entry.name)
        return self._entry(place, entry)

    def _choice(self, place: ttk.Frame, name: str) -> tuple[Any, Callable[[], Any], Callable[[Any], object]]:
        box = ttk.Combobox(place, state="readonly", width=18)
        box.pack(side="left")
        box.bind("<<ComboboxSelected>>", lambda _event: self._changed(), add="+")
        values = CHOICES[name]

        def get() -> str:
            return values[box.current()] if box.current() >= 0 else values[0]

        def put(value: str) -> None:
            box.configure(values=list(_shown(name).values()))
            box.current(values.index(value))

        return box, get, put

    def _entry(self, place: ttk.Frame, entry: Field) -> tuple[Any, Callable[[], Any], Callable[[Any], object]]:
        short = entry.kind in (Kind.SECONDS, Kind.SIZE, Kind.RATE)
        variable = tk.StringVar(self)
        field = ttk.Entry(place, textvariable=variable, width=9 if short else 30)
        field.pack(side="left", fill="none" if short else "x", expand=not short)
        variable.trace_add("write", lambda *_names: self._changed())
        if entry.kind in (Kind.FOLDER, Kind.FILE):
            choose = ttk.Button(place, style="Icon.TButton", command=lambda: self._choose(entry, variable))
            self._theme.set_icon(choose, "folder", "muted", 16)
            choose.pack(side="left", padx=(self._theme.px(6), 0))
        return field, variable.get, variable.set

    def _choose(self, entry: Field, variable: tk.StringVar) -> None:
        ask = self._do.choose_folder if entry.kind is Kind.FOLDER else self._do.choose_file
        chosen = ask(variable.get())
        if chosen:
            variable.set(chosen)

    # --- what is entered

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
        made, problems = settings_form.read(self._entered(), self._preferences)
        self._say_problems(problems)
        if made != self._preferences:
            self._preferences = made
            self._do.changed(made)

    def _say_problems(self, problems: Mapping[str, str]) -> None:
        for name, line in self._lines.items():
            problem = problems.get(name, "")
            hint = "" if line.field.kind is Kind.FLAG or not line.field.hint else translate(line.field.hint)
            line.below.configure(text=problem or hint, style="Danger.TLabel" if problem else "Small.TLabel")
            if line.field.kind is not Kind.FLAG:
                line.control.state(["invalid" if problem else "!invalid"])
            if problem or hint:
                line.below.grid()
            else:
                line.below.grid_remove()

    def _to_defaults(self) -> None:
        """Everything the fields show; what they do not show stays."""
        defaults = Preferences()
        shown = {name: getattr(defaults, name) for name in self._lines}
        kept = {f.name: getattr(self._preferences, f.name) for f in fields(Preferences) if f.name not in shown}
        self._preferences = Preferences(**kept, **shown)
        self._fill()
        self._changed()
        self._do.changed(self._preferences)


def _shown(name: str) -> dict[str, str]:
    """The choices of a field in words, by their values."""
    if name == "theme":
        return {"light": _("Light"), "dark": _("Dark")}
    return {"": _("Same as system"), **LANGUAGES}


def _nothing(_value: int) -> None:
    """The variable of a stepper tells already."""
