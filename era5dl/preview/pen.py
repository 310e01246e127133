"""Texts and colours of pictures drawn with Pillow, in the font that comes with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import ImageDraw, ImageFont

_RAISED = re.compile(r"(\*\*-?\d+)")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Draw = ImageDraw.ImageDraw


@dataclass(frozen=True, slots=True)
class Style:
    """Colours of a picture. series: of its lines, in order."""

    page: str = "#ffffff"
    text: str = "#171c26"
    muted: str = "#586274"
    line: str = "#8792a5"
    grid: str = "#e3e7ee"
    series: tuple[str, ...] = ("#2460e0", "#d2600a", "#0d8a72", "#9a3bc4", "#b0892a", "#586274")


LIGHT = Style()
DARK = Style(
    "#12151b",
    "#e8ebf1",
    "#a0aabb",
    "#778296",
    "#2b323d",
    ("#5794ff", "#f39a4a", "#36c9a8", "#c98bf0", "#e0c060", "#a0aabb"),
)


class Pen:
    """Draws texts and lines in the colours of a style. unit: pixels per pixel of a picture 1600 pixels wide."""

    def __init__(self, style: Style, unit: float) -> None:
        self.style, self._unit = style, unit
        self._fonts: dict[int, Font] = {}

    def px(self, length: float) -> int:
        return max(1, round(length * self._unit))

    def font(self, size: float) -> Font:
        pixels = self.px(size)
        if pixels not in self._fonts:
            self._fonts[pixels] = ImageFont.load_default(pixels)
        return self._fonts[pixels]

    def text(
        self, draw: Draw, place: tuple[float, float], text: str, size: float, colour: str, anchor: str = "la"
    ) -> float:
        """Draw a text in which "**2" is raised. Return its width. anchor: as in Pillow."""
        runs = list(self._runs(text, size))
        total = sum(width for _, _, width, _ in runs)
        x = place[0] - {"l": 0.0, "m": total / 2, "r": total}[anchor[0]]
        for part, font, width, raised in runs:
            draw.text((x, place[1] - raised), part, font=font, fill=colour, anchor=f"l{anchor[1]}")
            x += width
        return total

    def _runs(self, text: str, size: float) -> Iterator[tuple[str, Font, float, float]]:
        text = text.replace("\N{MINUS SIGN}", "-")  # the font that Pillow has lacks it
        for part in filter(None, _RAISED.split(text)):
            is_raised = part.startswith("**")
            font = self.font(size * 0.66 if is_raised else size)
            part = part.removeprefix("**")
            yield part, font, font.getlength(part), self.px(size * 0.34) if is_raised else 0
