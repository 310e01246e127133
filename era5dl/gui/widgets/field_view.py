"""Drawing of a map of a field: image, frame, graticule texts, and a colour bar with its numbers below."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.canvas_batch import CanvasBatch
from era5dl.preview.map_layout import MapLayout
from era5dl.preview.shown_map import ColourBar, ShownMap

_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 22, 8, 78  # room around the map, in unscaled pixels


class FieldView(tk.Canvas):
    """Shows a `ShownMap`, or a text.

    on_resize: called when there is room for a map of another size. on_point: called with latitude and longitude while
    the mouse is on the map, and with None when it leaves it.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        on_resize: Callable[[], object],
        on_point: Callable[[tuple[float, float] | None], object],
    ) -> None:
        super().__init__(master, highlightthickness=0, borderwidth=0, width=theme.px(760), height=theme.px(440))
        self._theme, self._on_resize, self._on_point = theme, on_resize, on_point
        self._batch = CanvasBatch(self)
        self._shown: ShownMap | None = None
        self._message, self._units = "", ""
        self._images: list[tk.PhotoImage] = []  # Tk deletes them with the last reference
        self._corner = (0, 0)
        self.bind("<Configure>", self._resized)
        self.bind("<Motion>", self._moved)
        self.bind("<Leave>", lambda _event: self._on_point(None))
        theme.follow(self, lambda _palette: self._draw())

    @property
    def room(self) -> tuple[int, int]:
        """Width and height in pixels that a map may have."""
        px = self._theme.px
        width = self.winfo_width() - px(_LEFT) - px(_RIGHT)
        return max(40, width), max(20, self.winfo_height() - px(_TOP) - px(_BOTTOM))

    def show(self, shown: ShownMap, units: str) -> None:
        """Show a map. units: the text below the colour bar."""
        self._shown, self._units, self._message = shown, units, ""
        kind = "ppm" if shown.image.startswith(b"P6") else "png"
        self._images = [tk.PhotoImage(master=self, data=shown.image, format=kind)]
        if shown.bar is not None:
            self._images.append(tk.PhotoImage(master=self, data=shown.bar.image, format="ppm"))
        self._draw()

    def show_text(self, text: str) -> None:
        """Show a text instead of a map."""
        self._shown, self._message, self._images = None, text, []
        self._draw()

    def _resized(self, _event: tk.Event[Any]) -> None:
        self._draw()
        self._on_resize()

    def _moved(self, event: tk.Event[Any]) -> None:
        layout = self._shown.layout if self._shown else None
        x, y = event.x - self._corner[0], event.y - self._corner[1]
        if layout is None or not (0 <= x < layout.width and 0 <= y < layout.height):
            self._on_point(None)
            return
        longitude, latitude = layout.place(x + 0.5, y + 0.5)
        self._on_point((latitude, longitude))

    def _draw(self) -> None:
        batch, palette, px = self._batch, self._theme.palette, self._theme.px
        batch.delete("all")
        batch.configure(background=palette.card)
        middle = self.winfo_width() // 2
        if self._shown is None:
            batch.create(
                "text",
                middle,
                self.winfo_height() // 2,
                text=self._message,
                fill=palette.muted,
                font=scaling.TEXT,
                width=max(100, self.winfo_width() - px(80)),
                justify="center",
            )
        elif self._shown.layout is None:
            batch.create("image", middle, self.winfo_height() // 2, image=str(self._images[0]))
        else:
            self._draw_map(self._shown.layout)
            if self._shown.bar is not None:
                self._draw_bar(self._shown.layout, self._shown.bar)
        batch.send()

    def _draw_map(self, layout: MapLayout) -> None:
        batch, palette, px = self._batch, self._theme.palette, self._theme.px
        room = self.room
        left = px(_LEFT) + max(0, room[0] - layout.width) // 2
        top = px(_TOP) + max(0, room[1] - layout.height) // 2
        self._corner = left, top
        batch.create("image", left, top, image=str(self._images[0]), anchor="nw")
        frame = (left - 1, top - 1, left + layout.width, top + layout.height)
        batch.create("rectangle", *frame, outline=palette.border, width=1, fill="")
        style = {"fill": palette.muted, "font": scaling.SMALL}
        for longitude, text in layout.meridians():
            x = left + layout.pixel(longitude, 0)[0]
            batch.create("text", x, top + layout.height + px(6), text=text, anchor="n", **style)
        for latitude, text in layout.parallels():
            y = top + layout.pixel(0, latitude)[1]
            at_edge = {layout.south: "se", layout.north: "ne"}  # those of the longitudes are near the corners
            batch.create("text", left - px(6), y, text=text, anchor=at_edge.get(latitude, "e"), **style)

    def _draw_bar(self, layout: MapLayout, bar: ColourBar) -> None:
        batch, palette, px = self._batch, self._theme.palette, self._theme.px
        image = self._images[1]
        left = self._corner[0] + (layout.width - image.width()) // 2
        top = self._corner[1] + layout.height + px(28)
        width, height = image.width(), image.height()
        batch.create("image", left, top, image=str(image), anchor="nw")
        batch.create("rectangle", left - 1, top - 1, left + width, top + height, outline=palette.border, fill="")
        for colour, base, tip in ((bar.below, left, left - height), (bar.above, left + width, left + width + height)):
            if colour:
                corners = (base, top, tip, top + height / 2, base, top + height)
                batch.create("polygon", *corners, fill=colour, outline=palette.border)
        for share, text in bar.ticks:
            x = left + share * width
            batch.create("line", x, top + height, x, top + height + px(4), fill=palette.border)
            place = (x, top + height + px(5))
            batch.create("text", *place, text=text, anchor="n", fill=palette.text, font=scaling.SMALL)
        place = (left + width / 2, top + height + px(21))
        batch.create("text", *place, text=self._units, anchor="n", fill=palette.muted, font=scaling.SMALL)
