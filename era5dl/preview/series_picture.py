"""Time series of a field at points: lines over time, one for each point, drawn with Pillow."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from PIL import Image, ImageDraw

from era5dl.preview.colormap import VIRIDIS
from era5dl.preview.colour_scale import ColourScale, make_scale
from era5dl.preview.field_file import Field
from era5dl.preview.pen import Pen

_STEPS = [timedelta(hours=hours) for hours in (1, 2, 3, 6, 12)] + [
    timedelta(days=days) for days in (1, 2, 5, 7, 14, 30, 61, 91, 182, 365, 730, 1826, 3652)
]
_MOST_LABELS = 9


def draw_series(image: Image.Image, field: Field, pen: Pen, top: int) -> None:
    """Draw below `top` the axes, a line for each of the first points, and which line is which."""
    draw = ImageDraw.Draw(image)
    made = make_scale(field)
    scale = ColourScale(VIRIDIS, min(made.low, field.minimum or made.low), max(made.high, field.maximum or made.high))
    left = pen.px(150)
    right, bottom = image.width - pen.px(60), image.height - pen.px(110)
    for share, text in scale.ticks():
        y = bottom - share * (bottom - top)
        draw.line((left, y, right, y), fill=pen.style.grid, width=pen.px(1.5))
        pen.text(draw, (left - pen.px(14), y), text, 22, pen.style.muted, "rm")
    times = field.variable.times
    for moment, text in _time_ticks(times):
        x = left + (right - left) * _share(moment, times)
        draw.line((x, bottom, x, bottom + pen.px(8)), fill=pen.style.line, width=pen.px(1.5))
        pen.text(draw, (x, bottom + pen.px(16)), text, 20, pen.style.muted, "ma")
    pen.text(draw, (left, top - pen.px(44)), field.variable.units, 22, pen.style.muted, "la")
    draw.line((left, bottom, right, bottom), fill=pen.style.line, width=pen.px(1.5))
    x = float(left)
    for number, colour in zip(range(field.values.shape[1]), pen.style.series, strict=False):
        _draw_line(draw, field, number, scale, (left, top, right, bottom), colour, pen)
        draw.line((x, image.height - pen.px(38), x + pen.px(30), image.height - pen.px(38)), colour, pen.px(4))
        x += pen.px(40)
        label = _place(field.variable.places.latitudes[number], field.variable.places.longitudes[number])
        x += pen.text(draw, (x, image.height - pen.px(38)), label, 20, pen.style.text, "lm") + pen.px(36)
    rest = field.values.shape[1] - len(pen.style.series)
    if rest > 0:
        pen.text(draw, (x, image.height - pen.px(38)), f"and {rest:,} more", 20, pen.style.muted, "lm")


def _draw_line(
    draw: ImageDraw.ImageDraw,
    field: Field,
    number: int,
    scale: ColourScale,
    area: tuple[int, int, int, int],
    colour: str,
    pen: Pen,
) -> None:
    """Draw the line of one point, interrupted where there is no value."""
    left, top, right, bottom = area
    times, values = field.variable.times, field.values[:, number]
    line: list[tuple[float, float]] = []
    step = max(1, len(times) // (4 * (right - left)))
    for at in [*range(0, len(times), step), None]:
        if at is not None and math.isfinite(values[at]):
            share = (float(values[at]) - scale.low) / (scale.high - scale.low)
            line.append((left + (right - left) * _share(times[at], times), bottom - share * (bottom - top)))
            continue
        if len(line) > 1:
            draw.line(line, colour, pen.px(3), "curve")
        elif line:
            x, y = line[0]
            draw.ellipse((x - pen.px(4), y - pen.px(4), x + pen.px(4), y + pen.px(4)), fill=colour)
        line = []


def _share(moment: datetime, times: tuple[datetime, ...]) -> float:
    whole = (times[-1] - times[0]).total_seconds()
    return (moment - times[0]).total_seconds() / whole if whole else 0.5


def _time_ticks(times: tuple[datetime, ...]) -> list[tuple[datetime, str]]:
    """Return about `_MOST_LABELS` times at equal distances, with their texts."""
    step = next((one for one in _STEPS if (times[-1] - times[0]) / one <= _MOST_LABELS), _STEPS[-1])
    midnight = datetime(times[0].year, times[0].month, times[0].day)
    first = midnight + math.ceil((times[0] - midnight) / step - 1e-9) * step
    form = "%d %b %H:%M" if step < timedelta(days=1) else "%d %b %Y" if step < timedelta(days=60) else "%b %Y"
    count = int((times[-1] - first) / step) + 1
    return [(first + number * step, f"{first + number * step:{form}}") for number in range(max(0, count))]


def _place(latitude: float, longitude: float) -> str:
    return f"{abs(latitude):g}°{'N' if latitude >= 0 else 'S'} {abs(longitude):g}°{'E' if longitude >= 0 else 'W'}"
