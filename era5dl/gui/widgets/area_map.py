"""World map on which the user drags a box, or clicks a point. It shows coastlines and the place at the mouse.

    area_map = AreaMap(card, theme, on_box=..., on_point=...)
    area_map.show_box((54, 73, 18, 135))  # north, west, south, east; None for the whole globe
    area_map.show_point((30.5, 114.25))  # latitude, longitude

A point is (latitude, longitude) for callers; inside this class a place is (longitude, latitude), like (x, y).
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from typing import Any

from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.map_geometry import MapBox, Projection, box_between, place_text
from era5dl.gui.widgets.map_view import MapView

Edges = tuple[float, float, float, float]
_REACH = 6  # unscaled pixels; a drag that starts this close to an edge of the box resizes it
_START = MapBox(60.0, -15.0, 30.0, 60.0)  # the first box that a key creates
_CURSORS = {
    **dict.fromkeys(("n", "s"), "sb_v_double_arrow"),
    **dict.fromkeys(("w", "e"), "sb_h_double_arrow"),
    "nw": "top_left_corner",
    "ne": "top_right_corner",
    "sw": "bottom_left_corner",
    "se": "bottom_right_corner",
    "": "fleur",
}
_ARROWS = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, 1), "Down": (0, -1)}


class AreaMap(MapView):
    """Map with a box or a point.

    Mouse: drag outside of the box for a new one, inside to move it, at its edges and corners to resize it.
    Keys: arrows move the box by a degree, with Ctrl by ten; Shift and arrows resize it at the south-east. Double click,
    Escape and Home select the whole globe. With `set_mode("point")`, clicks and arrows choose a point of a grid.
    on_box: called with north, west, south and east, or None for the globe; on_point: with latitude and longitude.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        on_box: Callable[[Edges | None], object],
        on_point: Callable[[tuple[float, float]], object],
        grid_step: float = 0.25,
        width: float = 360,
        height: float = 180,
    ) -> None:
        """grid_step: degrees between grid points, to which a clicked point is rounded."""
        super().__init__(master, theme, width=width, height=height)
        self._on_box, self._on_point, self._grid_step = on_box, on_point, grid_step
        self._drag: tuple[str | None, tuple[float, float], MapBox | None] | None = None  # edges, start, first box
        self._scheduled: str | None = None  # idle callback that reports the box
        self._bind_events()

    # --- interface

    @property
    def box(self) -> Edges | None:
        """North, west, south and east; None for the whole globe."""
        return self._box.edges if self._box else None

    @property
    def point(self) -> tuple[float, float] | None:
        """Latitude and longitude."""
        return (self._point[1], self._point[0]) if self._point else None

    @property
    def projection(self) -> Projection:
        """The projection from places to pixels of the canvas."""
        return self._projection

    def show_box(self, edges: Edges | None) -> None:
        """Show a box: north, west, south and east. `on_box` is not called."""
        box = MapBox.of(*edges) if edges else None
        if box != self._box:
            self._box = box
            self._draw_selection()

    def show_point(self, point: tuple[float, float] | None) -> None:
        """Show a point: latitude and longitude. `on_point` is not called."""
        place = (point[1], point[0]) if point else None
        if place != self._point:
            self._point = place
            self._draw_selection()

    def set_mode(self, mode: str) -> None:
        """Set what the user selects: "area" or "point"."""
        if mode != self._mode:
            self._mode = mode
            self._draw_selection()

    # --- events

    def _bind_events(self) -> None:
        self.bind("<Button-1>", self._press)
        self.bind("<B1-Motion>", self._dragged)
        self.bind("<ButtonRelease-1>", self._released)
        self.bind("<Double-Button-1>", lambda _event: self._choose_globe())
        self.bind("<Motion>", self._hovered)
        self.bind("<Leave>", lambda _event: self._show_reading(""))
        self.bind("<FocusIn>", lambda _event: self._set_focused(True))
        self.bind("<FocusOut>", lambda _event: self._set_focused(False))
        for key in ("Escape", "Home", "Delete"):
            self.bind(f"<{key}>", lambda _event: self._choose_globe())
        for key, (east, north) in _ARROWS.items():
            for modifiers, times in (("", 1), ("Control-", 10)):
                self.bind(f"<{modifiers}{key}>", self._on_arrow(east * times, north * times, resizes=False))
                self.bind(f"<{modifiers}Shift-{key}>", self._on_arrow(east * times, north * times, resizes=True))

    def _on_arrow(self, east: int, north: int, *, resizes: bool) -> Callable[[object], str]:
        def arrow(_event: object) -> str:
            if self._mode == "point":
                step = self._grid_step * (4 if resizes else 1)
                x, y = self._point or (0.0, 0.0)
                self._choose_point((x + east * step, y + north * step))
            elif self._box is None:
                self._choose_box(_START)
            else:
                self._choose_box(self._box.resized("se", east, north) if resizes else self._box.moved(east, north))
            return "break"

        return arrow

    def _set_focused(self, focused: bool) -> None:
        self._focused = focused
        self._draw_selection()

    def _edges_at(self, event: tk.Event[Any]) -> str | None:
        if self._box is None or self._mode == "point":
            return None
        return self._box.edges_at(
            *self._projection.place(event.x, event.y), self._theme.px(_REACH) / self._projection.scale
        )

    def _hovered(self, event: tk.Event[Any]) -> None:
        edges = self._edges_at(event)
        cursor = "crosshair" if edges is None else _CURSORS[edges]
        if str(self["cursor"]) != cursor:
            self.configure(cursor=cursor)
        left, top, right, bottom = self._projection.frame
        inside = left <= event.x <= right and top <= event.y <= bottom
        self._show_reading(place_text(*self._projection.rounded_place(event.x, event.y)) if inside else "")

    def _press(self, event: tk.Event[Any]) -> None:
        self.focus_set()
        place = self._projection.rounded_place(event.x, event.y)
        if self._mode == "point":
            self._choose_point(self._projection.place(event.x, event.y))
            return
        self._drag = (self._edges_at(event), place, self._box)

    def _dragged(self, event: tk.Event[Any]) -> None:
        if self._mode == "point":
            self._choose_point(self._projection.place(event.x, event.y))
        elif self._drag is not None:
            edges, start, box = self._drag
            place = self._projection.rounded_place(event.x, event.y)
            east, north = place[0] - start[0], place[1] - start[1]
            if edges is None or box is None:
                self._preview(box_between(start, place) or box)
            else:
                self._preview(box.resized(edges, east, north) if edges else box.moved(east, north))
        self._show_reading(place_text(*self._projection.rounded_place(event.x, event.y)))

    def _released(self, _event: object) -> None:
        self._drag = None
        self._report_preview()

    def _preview(self, box: MapBox | None) -> None:
        """Show a box during a drag. It is drawn and reported once Tk is idle, not at each motion event."""
        if box != self._box:
            self._box = box
            if self._scheduled is None:
                self._scheduled = self.after_idle(self._report_preview)

    def _report_preview(self) -> None:
        if self._scheduled is not None:
            self.after_cancel(self._scheduled)
            self._scheduled = None
            self._choose_box(self._box)

    def _choose_globe(self) -> str:
        self._drag = None
        if self._mode == "area" and self._box is not None:
            self._choose_box(None)
        return "break"

    def _choose_box(self, box: MapBox | None) -> None:
        self._box = box
        self._draw_selection()
        self._on_box(self.box)

    def _choose_point(self, place: tuple[float, float]) -> None:
        step = self._grid_step
        longitude, latitude = round(place[0] / step) * step, round(place[1] / step) * step
        longitude = (longitude + 180) % 360 - 180
        self._point = (longitude, min(90.0, max(-90.0, latitude)))
        self._draw_selection()
        self._on_point((self._point[1], self._point[0]))
