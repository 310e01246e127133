"""Drawing of the world map: coastlines, graticule, the selected box or point, and a line of text in the corner.

The land inside the box is drawn in another colour: Tk's canvas has no transparency. Only that part is drawn again while
the box is dragged, which takes a few milliseconds.
"""

from __future__ import annotations

import tkinter as tk
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.palette import Palette, blend
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.canvas_batch import CanvasBatch
from era5dl.gui.widgets.map_geometry import MapBox, Projection, Rectangle, clipped, meridians, overlaps
from era5dl.preview.coastlines import Outline, coastlines

_HANDLE = 7  # side of the squares at edges and corners, in unscaled pixels
_PARALLELS = (-60, -30, 0, 30, 60)


class MapView(tk.Canvas):
    """Shows what its attributes contain; subclasses change these, and call the methods that draw."""

    def __init__(self, master: tk.Misc, theme: Theme, *, width: float, height: float) -> None:
        super().__init__(
            master,
            width=theme.px(width),
            height=theme.px(height),
            highlightthickness=0,
            borderwidth=0,
            takefocus=1,
            cursor="crosshair",
        )
        self._theme = theme
        self._mode = "area"
        self._box: MapBox | None = None
        self._point: tuple[float, float] | None = None  # longitude, latitude
        self._projection = Projection(theme.px(width), theme.px(height))
        self._batch = CanvasBatch(self)
        self._focused = False
        self._hint = ""
        self.bind("<Configure>", self._resized)
        theme.follow(self, lambda _palette: self._draw_all())

    def set_texts(self, hint: str) -> None:
        """Set the text that is shown in the corner while the mouse is not on the map."""
        if hint != self._hint:
            self._hint = hint
            self._show_reading("")

    def _resized(self, event: tk.Event[Any]) -> None:
        self._projection = Projection(event.width, event.height)
        self._draw_all()
        self._show_reading("")

    def _draw_all(self) -> None:
        """Draw the map: sea, land and graticule, and the selection above them."""
        batch, projection, palette = self._batch, self._projection, self._theme.palette
        batch.delete("all")
        batch.configure(background=palette.card)
        sea, land, _, _ = colours(palette)
        left, top, right, bottom = projection.frame
        batch.create("rectangle", left, top, right, bottom, fill=sea, width=0)
        soft = blend(land, sea, 0.5)  # Tk does not smooth edges
        for coast in coastlines():
            fill = land if coast.land else sea
            batch.create("polygon", *self._pixels(coast.outline), fill=fill, outline=soft, width=1)
        for outside in (
            (0, 0, left, projection.height),
            (right, 0, projection.width + 1, projection.height + 1),
            (0, 0, projection.width, top),
            (0, bottom, projection.width + 1, projection.height + 1),
        ):
            batch.create("rectangle", *outside, fill=palette.card, width=0)  # over the edges of the polygons
        line = blend(palette.muted, sea, 0.22)
        for longitude in meridians():
            x, _y = projection.pixel(longitude, 0)
            batch.create("line", x, top, x, bottom, fill=line)
        for latitude in _PARALLELS:
            _x, y = projection.pixel(0, latitude)
            batch.create("line", left, y, right, y, fill=line)
        batch.send()
        self._draw_selection()

    def _pixels(self, outline: Outline | list[tuple[float, float]]) -> list[float]:
        scale, x, y = self._projection.scale, self._projection.width / 2, self._projection.height / 2
        return [number for longitude, latitude in outline for number in (x + longitude * scale, y - latitude * scale)]

    def _draw_selection(self) -> None:
        batch, palette, px = self._batch, self._theme.palette, self._theme.px
        batch.delete("selection")
        if self._mode == "area" and self._box is not None:
            self._draw_box(self._box)
        if self._mode == "point" and self._point is not None:
            self._draw_point(self._point)
        left, top, right, bottom = self._projection.frame
        width = px(2) if self._focused else 1
        inset = width // 2
        edge = palette.accent if self._focused else palette.border
        frame = (left + inset, top + inset, right - 1, bottom - 1)
        batch.create("rectangle", *frame, outline=edge, width=width, fill="", tags="selection")
        batch.send()

    def _draw_box(self, box: MapBox) -> None:
        batch, palette, px = self._batch, self._theme.palette, self._theme.px
        _, _, sea, land = colours(palette)
        for part in box.parts():
            west, north, east, south = part
            corners = (*self._projection.pixel(west, north), *self._projection.pixel(east, south))
            batch.create("rectangle", *corners, fill=sea, width=0, tags="selection")
            for coast in coastlines():
                if not overlaps(coast.bounds, part):
                    continue
                points = self._pixels(clipped(coast.outline, part))
                if len(points) >= 6:
                    fill = land if coast.land else sea
                    batch.create("polygon", *points, fill=fill, outline="", tags="selection")
            self._draw_graticule(part, blend(palette.accent, sea, 0.3))
            for line in _outline(box, part):
                pixels = [number for place in line for number in self._projection.pixel(*place)]
                batch.create("line", *pixels, fill=palette.accent, width=px(2), capstyle="projecting", tags="selection")
        half = px(_HANDLE) / 2
        for x, y in self._handles(box):
            square = (x - half, y - half, x + half, y + half)
            batch.create(
                "rectangle", *square, fill=palette.card, outline=palette.accent, width=px(1.5), tags="selection"
            )

    def _draw_graticule(self, part: Rectangle, colour: str) -> None:
        west, north, east, south = part
        lines = [((float(x), north), (float(x), south)) for x in meridians() if west < x < east]
        lines += [((west, float(y)), (east, float(y))) for y in _PARALLELS if south < y < north]
        for one, other in lines:
            ends = (*self._projection.pixel(*one), *self._projection.pixel(*other))
            self._batch.create("line", *ends, fill=colour, tags="selection")

    def _handles(self, box: MapBox) -> list[tuple[float, float]]:
        """Return the places of the handles in pixels: corners, and the middle of edges that are long enough."""
        room = self._theme.px(4 * _HANDLE) / self._projection.scale
        columns = [0.0, box.width] + ([box.width / 2] if box.width > room else [])
        rows = [box.north, box.south] + ([(box.north + box.south) / 2] if box.north - box.south > room else [])
        places = []
        for east in columns:
            for latitude in rows:
                if east not in (0.0, box.width) and latitude not in (box.north, box.south):
                    continue  # the middle of the box
                if box.width >= 360 and latitude not in (box.north, box.south):
                    continue
                longitude = box.west + east
                places.append(self._projection.pixel(longitude - 360 if longitude > 180 else longitude, latitude))
        return places

    def _draw_point(self, point: tuple[float, float]) -> None:
        batch, palette, px = self._batch, self._theme.palette, self._theme.px
        x, y = self._projection.pixel(*point)
        left, top, right, bottom = self._projection.frame
        thin = blend(palette.accent, colours(palette)[0], 0.55)
        for line in ((left, y, right, y), (x, top, x, bottom)):
            batch.create("line", *line, fill=thin, tags="selection")
        for radius, fill in ((6, palette.card), (4, palette.accent)):
            circle = (x - px(radius), y - px(radius), x + px(radius), y + px(radius))
            batch.create("oval", *circle, fill=fill, outline=palette.accent, width=px(1.5), tags="selection")

    def _show_reading(self, text: str) -> None:
        """Show a text in the lower left corner of the map."""
        self.delete("reading")
        text = text or self._hint
        if not text:
            return
        palette, px = self._theme.palette, self._theme.px
        left, _, _, bottom = self._projection.frame
        place = (left + px(8), bottom - px(7))
        item = self.create_text(*place, text=text, anchor="sw", fill=palette.text, font=scaling.SMALL, tags="reading")
        x0, y0, x1, y1 = self.bbox(item)
        box = (x0 - px(4), y0 - px(2), x1 + px(4), y1 + px(2))
        plate = self.create_rectangle(*box, fill=palette.card, outline=palette.line, tags="reading")
        self.tag_lower(plate, item)


def colours(palette: Palette) -> tuple[str, str, str, str]:
    """Return the colours of sea and land, and of both inside the selected box."""
    sea = blend(palette.accent, palette.card, 0.07 if palette.dark else 0.06)
    land = blend(palette.muted, palette.card, 0.42 if palette.dark else 0.38)
    return sea, land, blend(palette.accent, palette.card, 0.22), blend(palette.accent, palette.card, 0.66)


def _outline(box: MapBox, part: Rectangle) -> list[list[tuple[float, float]]]:
    """Return the lines around one rectangle of a box, without the edge of the map that runs through the box."""
    west, north, east, south = part
    lines = [[(west, north), (east, north)], [(west, south), (east, south)]]
    if box.width < 360:
        if west == box.west:
            lines.append([(west, north), (west, south)])
        if east in (box.west + box.width, box.west + box.width - 360):
            lines.append([(east, north), (east, south)])
    return lines
