"""Window with the map of a file: time by slider and keys, level, values below the mouse, and a picture to save."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from tkinter import filedialog, ttk

from era5dl.gui.text import map_text
from era5dl.gui.text.i18n import _, follow
from era5dl.gui.theme.palette import Palette
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.basic_widgets import Card, UpdatingLabel
from era5dl.gui.widgets.field_view import FieldView
from era5dl.gui.widgets.slider import Slider
from era5dl.preview.shown_map import ShownMap

_DAY = 24  # times that PgUp and PgDn move by: most files are hourly
_SIZE, _LEAST = (900, 640), (560, 420)  # unscaled pixels


@dataclass(frozen=True, slots=True)
class MapCallbacks:
    """Callbacks of the window. Each must return at once."""

    time: Callable[[int], object]
    level: Callable[[float], object]
    variable: Callable[[str], object]
    resized: Callable[[], object]
    save: Callable[[str], object]
    closed: Callable[[], object]


class FieldMapWindow(tk.Toplevel):
    """Keys: Left, Right, PgUp, PgDn, Home, End for the time, Up and Down for the level, Ctrl+S, Escape."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: MapCallbacks) -> None:
        super().__init__(master)
        self.withdraw()
        self._theme, self._callbacks = theme, callbacks
        self._shown: ShownMap | None = None
        self._message: Callable[[], str] = lambda: ""
        px = theme.px
        outer = ttk.Frame(self, style="Page.TFrame", padding=px(10))
        outer.pack(fill="both", expand=True)
        card = Card(outer, theme)
        card.pack(fill="both", expand=True)
        self._create_head(card)
        self._create_controls(card)
        self.view = FieldView(card, theme, on_resize=callbacks.resized, on_point=self._show_point)
        self.view.pack(fill="both", expand=True, pady=(px(8), px(4)))
        theme.follow(self, self._paint)
        self.protocol("WM_DELETE_WINDOW", self.close)
        self._bind_keys()
        follow(self, self.retranslate)
        self._open()

    def show(self, shown: ShownMap) -> None:
        """Show a map."""
        self._shown = shown
        self.view.show(shown, map_text.units(shown))
        self._point.show("")
        self._show_texts()
        has_times = len(shown.times) > 1 and shown.layout is not None
        self.slider.show(shown.time, max(1, len(shown.times)))
        self._place(self.slider, has_times)
        self._place(self._moment, has_times)
        for field, label, values, at, is_there in (
            (self.level, self._level_label, [map_text.level(one) for one in shown.levels], shown.level, True),
            (self.variable, self._variable_label, list(shown.variables), shown.variables.index(shown.variable), False),
        ):
            field.configure(values=values)
            field.set(values[at] if values else "")
            wanted = len(values) > 1 or (is_there and bool(values))
            self._place(label, wanted)
            self._place(field, wanted)

    def show_message(self, text: Callable[[], str]) -> None:
        """Show a text instead of a map. text: returns it in the current language."""
        self._shown, self._message = None, text
        self._point.show("")
        self.view.show_text(text())
        self._show_texts()
        for widget in (self.slider, self._moment, self._level_label, self.level, self._variable_label, self.variable):
            self._place(widget, False)

    def show_saved(self, text: str) -> None:
        """Show what has become of the picture."""
        self._point.show(text)

    def show_time(self, position: int) -> None:
        """Show the time that is being read."""
        if self._shown is not None:
            self._moment.show(map_text.time(self._shown, position))

    def close(self) -> None:
        """Close the window."""
        self.destroy()
        self._callbacks.closed()

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self._save.configure(text=_("Save picture…"))
        self._level_label.configure(text=_("Level"))
        self._variable_label.configure(text=_("Variable"))
        if self._shown is None:
            self.view.show_text(self._message())
        self._show_texts()

    # --- inside

    def _create_head(self, card: ttk.Frame) -> None:
        px = self._theme.px
        head = ttk.Frame(card)
        head.pack(fill="x")
        self._name = UpdatingLabel(head, style="Head.TLabel")
        self._name.pack(side="left")
        self._when = UpdatingLabel(head, style="Muted.TLabel")
        self._when.pack(side="left", padx=px(10))
        self._save = ttk.Button(head, command=self._choose_picture)
        self._save.pack(side="right")
        line = ttk.Frame(card)
        line.pack(fill="x", pady=(px(4), 0))
        self._statistics = UpdatingLabel(line, style="Small.TLabel")
        self._statistics.pack(side="left")
        self._point = UpdatingLabel(line, style="Small.TLabel")
        self._point.pack(side="right")

    def _create_controls(self, card: ttk.Frame) -> None:
        px = self._theme.px
        line = ttk.Frame(card, height=px(34))
        line.pack(side="bottom", fill="x")
        line.columnconfigure(1, weight=1)
        self._moment = UpdatingLabel(line, style="TLabel")
        self.slider = Slider(line, self._theme, on_change=self._time_chosen, page=_DAY)
        self._level_label = ttk.Label(line, style="Muted.TLabel")
        self.level = ttk.Combobox(line, state="readonly", width=10)
        self.level.bind("<<ComboboxSelected>>", lambda _event: self._level_chosen())
        self._variable_label = ttk.Label(line, style="Muted.TLabel")
        self.variable = ttk.Combobox(line, state="readonly", width=12)
        self.variable.bind("<<ComboboxSelected>>", lambda _event: self._callbacks.variable(self.variable.get()))
        self._columns: dict[tk.Misc, tuple[int, str, int]] = {
            self._moment: (0, "w", 0),
            self.slider: (1, "ew", 8),
            self._level_label: (2, "e", 8),
            self.level: (3, "e", 0),
            self._variable_label: (4, "e", 8),
            self.variable: (5, "e", 0),
        }

    def _place(self, widget: ttk.Label | ttk.Combobox | Slider, wanted: bool) -> None:
        """Show or hide a control."""
        if not wanted:
            widget.grid_remove()
        elif not widget.grid_info():
            column, sticky, space = self._columns[widget]
            widget.grid(row=0, column=column, sticky=sticky, padx=self._theme.px(space))

    def _bind_keys(self) -> None:
        for key, action in self.slider.key_actions().items():
            self.bind(f"<{key}>", lambda _event, action=action: action())  # type: ignore[misc]
        self.bind("<Up>", lambda _event: self._move_level(-1))
        self.bind("<Down>", lambda _event: self._move_level(1))
        self.bind("<Escape>", lambda _event: self.close())
        self.bind("<Control-s>", lambda _event: self._choose_picture())

    def _move_level(self, step: int) -> str:
        """Choose the next level in the order of the file, in which the highest one is first."""
        shown = self._shown
        if shown is not None and 0 <= self.level.current() + step < len(shown.levels):
            self.level.current(self.level.current() + step)
            self._level_chosen()
        return "break"

    def _level_chosen(self) -> None:
        self.level.selection_clear()
        if self._shown is not None:
            self._callbacks.level(self._shown.levels[self.level.current()])

    def _time_chosen(self, position: int) -> None:
        self.show_time(position)
        self._callbacks.time(position)

    def _show_point(self, place: tuple[float, float] | None) -> None:
        found = self._shown.value_at(*place) if self._shown and place else None
        self._point.show(map_text.value(found, self._shown) if found and self._shown else "")

    def _show_texts(self) -> None:
        shown = self._shown
        self.title(_("Map of the file") if shown is None else shown.path.name)
        self._name.show("" if shown is None else map_text.name(shown))
        parts = []
        if shown is not None:
            parts = [map_text.level(shown.levels[shown.level])] if shown.levels else []
            parts += [map_text.time(shown)] if shown.times and shown.layout else []
        self._when.show(" · ".join(parts))
        self._statistics.show("" if shown is None else map_text.statistics(shown))
        self._moment.show("" if shown is None else map_text.time(shown))
        self._save.state(["disabled" if shown is None else "!disabled"])

    def _choose_picture(self) -> str:
        if self._shown is not None:
            name = f"{self._shown.path.stem}.png"
            path = filedialog.asksaveasfilename(parent=self, initialfile=name, defaultextension=".png")
            if path:
                self._callbacks.save(path)
        return "break"

    def _paint(self, palette: Palette) -> None:
        self.configure(background=palette.page)

    def _open(self) -> None:
        """Show the window beside or over the main window, on the screen."""
        px = self._theme.px
        width = min(px(_SIZE[0]), self.winfo_screenwidth() - px(40))
        height = min(px(_SIZE[1]), self.winfo_screenheight() - px(80))
        window = self.master.winfo_toplevel()
        x = window.winfo_rootx() + (window.winfo_width() - width) // 2
        y = window.winfo_rooty() + (window.winfo_height() - height) // 2
        x = max(0, min(x, self.winfo_screenwidth() - width))
        self.geometry(f"{width}x{height}+{x}+{max(0, y)}")
        self.minsize(min(width, px(_LEAST[0])), min(height, px(_LEAST[1])))
        self.deiconify()
        self.lift()
        self.slider.focus_set()
