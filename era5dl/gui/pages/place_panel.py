"""Choice of an area or a point: a world map, the number fields bound to it, and named areas."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import ttk

from era5dl.gui.models import area_presets, subset_form
from era5dl.gui.models.subset_form import COORDINATES, EDGES, Place, SubsetFields, SubsetResult
from era5dl.gui.text.i18n import _
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.area_map import AreaMap, Edges
from era5dl.gui.widgets.basic_widgets import UpdatingLabel
from era5dl.gui.widgets.search_combo import SearchCombo
from era5dl.gui.widgets.segmented_control import SegmentedControl
from era5dl.subset.grid import era5_grid

_STEPS = {"Up": 1.0, "Down": -1.0, "Prior": 10.0, "Next": -10.0}  # degrees by which a key changes a field


class PlacePanel(ttk.Frame):
    """on_change: called with new fields after each change by the user. Map and number fields show the same place."""

    def __init__(self, master: tk.Misc, theme: Theme, *, on_change: Callable[[SubsetFields], object]) -> None:
        super().__init__(master)
        self._theme, self._on_change = theme, on_change
        self._fields = SubsetFields()
        self._filling = False
        self.columnconfigure(0, weight=1)
        self.rowconfigure(1, weight=1)
        self._create_toolbar()
        self.map = AreaMap(self, theme, on_box=self._box_chosen, on_point=self._point_chosen, width=400, height=90)
        self.map.grid(row=1, column=0, sticky="nsew")
        self._create_fields()

    def _create_toolbar(self) -> None:
        px = self._theme.px
        bar = ttk.Frame(self)
        bar.grid(row=0, column=0, sticky="ew", pady=(0, px(8)))
        self.kind = SegmentedControl(
            bar,
            self._theme,
            choices={Place.AREA.value: "", Place.POINT.value: ""},
            value=Place.AREA.value,
            on_change=lambda value: self._change(place=Place(value)),
        )
        self.kind.pack(side="left")
        self.globe = ttk.Button(bar, command=lambda: self._box_chosen(None))
        self.globe.pack(side="right")
        self.presets = SearchCombo(
            bar,
            search=lambda text: [preset.name for preset in area_presets.find_presets(text)],
            on_choose=self._preset_chosen,
        )
        self.presets.pack(side="left", fill="x", expand=True, padx=px(8))

    def _create_fields(self) -> None:
        px = self._theme.px
        line = ttk.Frame(self)
        line.grid(row=2, column=0, sticky="ew", pady=(px(8), 0))
        self.entries: dict[str, ttk.Entry] = {}
        self._labels: dict[str, ttk.Label] = {}
        self._texts: dict[str, tk.StringVar] = {}
        self._groups = {Place.AREA: ttk.Frame(line), Place.POINT: ttk.Frame(line)}
        for place, names in ((Place.AREA, EDGES), (Place.POINT, COORDINATES)):
            for name in names:
                text = self._texts[name] = tk.StringVar(self)
                label = self._labels[name] = ttk.Label(self._groups[place], style="Muted.TLabel")
                entry = self.entries[name] = ttk.Entry(
                    self._groups[place], textvariable=text, width=8, justify="center"
                )
                label.pack(side="left", padx=(px(10) if name != names[0] else 0, px(6)))
                entry.pack(side="left", fill="x", expand=True)
                text.trace_add("write", lambda *_names, name=name: self._typed(name))
                for key, step in _STEPS.items():
                    entry.bind(f"<{key}>", lambda _event, name=name, step=step: self._step(name, step))  # type: ignore[misc]
        self._error = UpdatingLabel(self, style="Danger.TLabel")
        self._error.grid(row=3, column=0, sticky="w", pady=(px(3), 0))
        self._error.grid_remove()

    # --- interface

    def show(self, fields: SubsetFields) -> None:
        """Fill in the fields. No callback is called."""
        self._fields = fields
        self._filling = True
        for name, text in self._texts.items():
            if text.get() != getattr(fields, name):
                text.set(getattr(fields, name))
        self._filling = False
        self.kind.set(fields.place.value)
        area = fields.place is Place.AREA
        (self._groups[Place.POINT] if area else self._groups[Place.AREA]).pack_forget()
        self._groups[fields.place].pack(fill="x")
        self.presets.state(["!disabled" if area else "disabled"])
        self.map.set_mode(fields.place.value)
        self._show_result()

    def wrap(self, width: int) -> None:
        """Wrap texts at this width, in pixels."""
        self._error.configure(wraplength=width)

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self.kind.set_texts({Place.AREA.value: _("Area"), Place.POINT.value: _("Point")})
        self.presets.set_texts(_("Continent, ocean or country"))
        self.globe.configure(text=_("Whole globe"))
        for name, label in self._labels.items():
            label.configure(text=subset_form.title(name))
        self._show_result()

    # --- inside

    def _show_result(self) -> None:
        """Show what the fields mean: on the map, as the name of an area, or as an error."""
        fields = self._fields
        result = subset_form.validate(fields)
        invalid = {name for name, _text in result.errors}
        for name, entry in self.entries.items():
            entry.state(["invalid" if name in invalid and getattr(fields, name) else "!invalid"])
        error = result.error if any(getattr(fields, name) for name in invalid) else ""  # none while all is empty
        if self._error.show(error):
            (self._error.grid if error else self._error.grid_remove)()
        area = result.subset.area
        if fields.place is Place.AREA:
            if not invalid:
                self.map.show_box((area.north, area.west, area.south, area.east) if area else None)
            preset = area_presets.preset_of(area) if area else None
            self.presets.show_choice(preset.name if preset else "")
        elif result.grid_point is not None:
            self.map.show_point(result.grid_point)
        self.map.set_texts(self._hint_for(result))

    def _hint_for(self, result: SubsetResult) -> str:
        if result.grid_point is not None:
            latitude, longitude = result.grid_point
            return _("Nearest grid point: {place}", place=f"{latitude:g}, {longitude:g}")
        if self._fields.place is Place.POINT:
            return _("Click a point on the map.")
        area = result.subset.area
        if area is None:
            return "" if result.error else _("The whole globe. Drag a box on the map.")
        cells = era5_grid().inside(area)
        rows, columns = cells.shape
        return _("{rows:,} × {columns:,} grid points", rows=rows, columns=columns)

    def _change(self, **values: object) -> None:
        fields = subset_form.changed(self._fields, **values)
        self.show(fields)
        self._on_change(fields)

    def _typed(self, name: str) -> None:
        if self._filling:
            return
        pasted = subset_form.read_area(self._texts[name].get()) if name in EDGES else None
        if pasted is not None:
            self._box_chosen(pasted)
        else:
            self._fields = subset_form.changed(self._fields, **{name: self._texts[name].get()})
            self._show_result()
            self._on_change(self._fields)

    def _step(self, name: str, step: float) -> str:
        degrees = subset_form.read_degrees(self._texts[name].get())
        self._texts[name].set(f"{(degrees or 0.0) + step:g}")
        return "break"

    def _box_chosen(self, edges: Edges | None) -> None:
        fields = self._fields.with_area(edges)
        self.show(fields)
        self._on_change(fields)

    def _point_chosen(self, point: tuple[float, float]) -> None:
        fields = self._fields.with_point(point)
        self.show(fields)
        self._on_change(fields)

    def _preset_chosen(self, name: str) -> None:
        preset = next((one for one in area_presets.presets() if one.name == name), None)
        if preset is not None:
            area = preset.area
            self._box_chosen((area.north, area.west, area.south, area.east))
