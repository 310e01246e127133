"""Cells that show a state by colour and by a letter or line, so that it can be seen without colours, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from era5dl.gui.theme.palette import Palette
from era5dl.gui.widgets.canvas_batch import CanvasBatch

_EACH = 4  # in a long run, one of so many cells has the letter


@dataclass(frozen=True, slots=True)
class CellStyle:
    """fill, outline, ink: names of colours of the palette; "" for none. letter: in the cell; "-" draws a line."""

    fill: str
    letter: str = ""
    ink: str = "on_accent"
    outline: str = ""


Styles = Mapping[str, CellStyle]
"""The style of each state, by its name."""


def runs(states: Sequence[str | None], first: int, stop: int) -> Iterator[tuple[int, int, str]]:
    """Yield the runs of the same state as (first, stop, state). None is left out."""
    start = first
    while start < stop:
        end = start + 1
        while end < stop and states[end] == states[start]:
            end += 1
        state = states[start]
        if state is not None:
            yield start, end, state
        start = end


def draw_run(
    batch: CanvasBatch,
    palette: Palette,
    style: CellStyle,
    box: tuple[int, int, int, int],
    *,
    cells: int,
    font: str,
    letters: bool = True,
) -> None:
    """Draw a run of cells of one state in a box (left, top, right, bottom)."""
    left, top, right, bottom = box
    outline = getattr(palette, style.outline) if style.outline else ""
    fill = getattr(palette, style.fill) if style.fill else ""
    batch.create("rectangle", left, top, right, bottom, fill=fill, outline=outline)
    ink = getattr(palette, style.ink)
    middle = (top + bottom) // 2
    if style.letter == "-":
        batch.create("line", left + 2, middle, right - 1, middle, fill=ink)
    elif style.letter and letters:
        width = (right - left) / cells
        for number in range(0, cells, 1 if cells <= _EACH else _EACH):
            centre = round(left + (number + 0.5) * width)
            batch.create("text", centre, middle, text=style.letter, fill=ink, font=font)
