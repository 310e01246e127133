"""Picture of a field as a PNG file: title, map or time series, colour bar and statistics, drawn with Pillow."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from era5dl.folder.atomic_write import write_atomically
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.preview.captions import headline, statistics_text, subtitle, units_text
from era5dl.preview.colour_scale import ColourScale, make_scale
from era5dl.preview.coordinates import Grid
from era5dl.preview.field_file import Field
from era5dl.preview.map_layout import MapLayout, fit
from era5dl.preview.pen import DARK, LIGHT, Pen
from era5dl.preview.rendering import DARK_MISSING, MissingColours, render, render_bar
from era5dl.preview.series_picture import draw_series

_MARGIN = 48


def draw_picture(field: Field, scale: ColourScale, *, width: int = 1600, dark: bool = False) -> bytes:
    """Return the picture as a PNG file, `width` pixels wide."""
    style, unit = (DARK if dark else LIGHT), width / 1600
    pen = Pen(style, unit)
    places = field.variable.places
    if not isinstance(places, Grid):
        image = Image.new("RGB", (width, round(width * 0.56)), style.page)
        draw_series(image, field, pen, pen.px(210))
        _draw_titles(image, field, pen)
    else:
        margin, left = pen.px(_MARGIN), pen.px(_MARGIN + 52)
        top, below = pen.px(150), pen.px(190)
        layout = fit(places, width - left - margin, round(width * 0.85))
        image = Image.new("RGB", (width, top + layout.height + below), style.page)
        x = left + (width - left - margin - layout.width) // 2
        pixels = render(field, layout, scale, DARK_MISSING if dark else MissingColours(), max(1.0, 1.6 * unit))
        image.paste(Image.fromarray(pixels), (x, top))
        _draw_titles(image, field, pen)
        _draw_frame(image, layout, (x, top), pen)
        _draw_bar(image, field, scale, (left, top + layout.height + pen.px(72), width - left - margin), pen)
    found = io.BytesIO()
    image.save(found, "PNG")
    return found.getvalue()


def draw_chart(field: Field, width: int, height: int, *, dark: bool = False, line_width: float = 1.0) -> bytes:
    """Return the time series of a field at points without titles, as a PNG file of this size for the window."""
    style = replace(DARK, page="#1b2028") if dark else LIGHT  # the cards of the window
    image = Image.new("RGB", (2 * width, 2 * height), style.page)  # smaller afterwards: Pillow draws rough lines
    pen = Pen(style, 1.1 * line_width)
    draw_series(image, field, pen, pen.px(70))
    found = io.BytesIO()
    image.resize((width, height), Image.Resampling.LANCZOS).save(found, "PNG")
    return found.getvalue()


def save_picture(path: Path, field: Field, scale: ColourScale | None = None, *, dark: bool = False) -> None:
    """Write the picture to a file; an existing one is replaced. Raises DiskError."""
    data = draw_picture(field, scale or make_scale(field), dark=dark)
    with translate_disk_errors(path):
        write_atomically(path, [data])


def _draw_titles(image: Image.Image, field: Field, pen: Pen) -> None:
    draw = ImageDraw.Draw(image)
    pen.text(draw, (pen.px(_MARGIN), pen.px(40)), headline(field), 40, pen.style.text)
    pen.text(draw, (pen.px(_MARGIN), pen.px(96)), subtitle(field), 26, pen.style.muted)
    pen.text(draw, (image.width - pen.px(_MARGIN), pen.px(96)), statistics_text(field), 26, pen.style.muted, "ra")


def _draw_frame(image: Image.Image, layout: MapLayout, corner: tuple[int, int], pen: Pen) -> None:
    """Draw the frame of the map, and the texts of its graticule."""
    draw = ImageDraw.Draw(image)
    x, y = corner
    frame = (x - 1, y - 1, x + layout.width, y + layout.height)
    draw.rectangle(frame, outline=pen.style.line, width=pen.px(1.5))
    for longitude, text in layout.meridians():
        place = (x + layout.pixel(longitude, 0)[0], y + layout.height + pen.px(14))
        pen.text(draw, place, text, 20, pen.style.muted, "ma")
    for latitude, text in layout.parallels():
        pen.text(draw, (x - pen.px(12), y + layout.pixel(0, latitude)[1]), text, 20, pen.style.muted, "rm")


def _draw_bar(image: Image.Image, field: Field, scale: ColourScale, place: tuple[int, int, int], pen: Pen) -> None:
    """Draw the colour bar: numbers below it, the unit on the right, and arrows where values are beyond it."""
    draw = ImageDraw.Draw(image)
    left, top, room = place
    length, height, arrow = min(room, pen.px(1000)), pen.px(26), pen.px(26)
    left += (room - length) // 2
    image.paste(Image.fromarray(render_bar(scale, length, height)), (left, top))
    table = scale.colormap.table()
    for is_there, tip, base, colour in (
        (scale.below, left - arrow, left - 1, table[0]),
        (scale.above, left + length + arrow, left + length, table[-1]),
    ):
        if is_there:
            corners = [(base, top), (tip, top + height / 2), (base, top + height)]
            draw.polygon(corners, fill=tuple(int(part) for part in colour))
    draw.rectangle((left - 1, top - 1, left + length, top + height), outline=pen.style.line, width=1)
    for share, text in scale.ticks():
        x = left + share * length
        draw.line((x, top + height, x, top + height + pen.px(8)), fill=pen.style.line, width=pen.px(1.5))
        pen.text(draw, (x, top + height + pen.px(14)), text, 22, pen.style.text, "ma")
    caption = units_text(field, scale)
    pen.text(draw, (left + length / 2, top + height + pen.px(50)), caption, 22, pen.style.muted, "ma")
