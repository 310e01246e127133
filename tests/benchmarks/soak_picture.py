"""Chart of an endurance test as one SVG file: small, and readable on any page because it has its own background.

Six panels with the hours of the compressed day on the x axis; each client has the same colour in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.benchmarks.soak_run import Record, Run
from tests.benchmarks.soak_tables import HOUR, busy_until

WIDTH, HEIGHT = 960, 560
MARGIN, GAP, TOP = 28, 26, 62
COLUMNS, ROWS = 3, 2
LIGHT = {"ground": "#ffffff", "ink": "#24292f", "faint": "#6a737d", "grid": "#e3e7eb", "c0": "#1a6fd4", "c1": "#d9541e"}
DARK = {"ground": "#161b22", "ink": "#e6edf3", "faint": "#9aa5b1", "grid": "#2d343d", "c0": "#5aa2f5", "c1": "#f58a55"}


def _colours(of: dict[str, str]) -> str:
    """Return CSS with the colours written out, because some SVG viewers do not support CSS variables."""
    return f"""
text {{ fill: {of["faint"]} }} .title {{ fill: {of["ink"]} }} .head {{ fill: {of["ink"]} }}
.ground {{ fill: {of["ground"]}; stroke: {of["grid"]} }} .grid {{ stroke: {of["grid"]} }}
.s0 {{ stroke: {of["c0"]} }} .s1 {{ stroke: {of["c1"]} }} .k0 {{ fill: {of["c0"]} }} .k1 {{ fill: {of["c1"]} }}
"""


STYLE = f"""
text {{ font: 12px -apple-system, "Segoe UI", "DejaVu Sans", Arial, sans-serif }}
.title {{ font-weight: 600 }} .head {{ font-size: 15px; font-weight: 600 }}
{_colours(LIGHT)}@media (prefers-color-scheme: dark) {{{_colours(DARK)}}}
"""

Curve = Callable[[Run], list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph. least: minimum of the axis' end, so that noise around zero is not enlarged."""

    title: str
    curve: Curve
    least: float


def _of(value: Callable[[Record], float]) -> Curve:
    """Return the curve of one metric of the records."""
    return lambda run: [(record.at / HOUR, value(record)) for record in _working(run)]


def _working(run: Run) -> list[Record]:
    """Return the records of the time with work for all workers."""
    return [record for record in run.records if record.rss and record.at <= busy_until(run)]


def _errors(run: Run) -> list[tuple[float, float]]:
    points = []
    for record in _working(run):
        wrong = sum(1 for moment in run.wrong_at if moment <= record.at)
        points.append((record.at / HOUR, 100 * (record.failed + wrong) / max(record.files, 1)))
    return points


def _blocked(run: Run) -> list[tuple[float, float]]:
    points, total = [], 0.0
    for record in _working(run):
        total += record.blocked
        points.append((record.at / HOUR, 60 * total / record.at / run.workers))
    return points


PANELS = (
    Panel("files failed or wrong, % of those ended", _errors, 2.0),
    Panel("speed, MB/s", _of(lambda r: r.speed / 1e6), 1.0),
    Panel("a worker blocked by retries, min per hour", _blocked, 2.0),
    Panel("memory (RSS), MB", _of(lambda r: r.rss / 1e6), 150.0),
    Panel("open files, sockets included", _of(lambda r: r.open_files), 60.0),
    Panel("checkpoint, KB", _of(lambda r: r.checkpoint_bytes / 1e3), 20.0),
)


def picture(runs: Sequence[Run]) -> str:
    """Return the SVG."""
    hours = max(busy_until(run) for run in runs) / HOUR
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>',
        f'<text class="head" x="{MARGIN}" y="34">{runs[0].objects:,} files under faults and outages</text>',
        *_legend(runs),
    ]
    for number, panel in enumerate(PANELS):
        parts += _panel(panel, runs, number, hours)
    return "\n".join([*parts, "</svg>\n"])


def _legend(runs: Sequence[Run]) -> list[str]:
    x, parts = WIDTH - MARGIN - 112 * len(runs), []
    for number, run in enumerate(runs):
        parts.append(f'<rect class="k{number}" x="{x}" y="25" width="14" height="10" rx="2"/>')
        parts.append(f'<text x="{x + 20}" y="34">{escape(run.who)}</text>')
        x += 100
    return parts


def _panel(panel: Panel, runs: Sequence[Run], number: int, hours: float) -> list[str]:
    column, row = number % COLUMNS, number // COLUMNS
    wide = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
    high = (HEIGHT - TOP - MARGIN) / ROWS
    left, top = MARGIN + column * (wide + GAP) + 30, TOP + row * high + 22
    width, height = wide - 30, high - 58
    curves = [panel.curve(run) for run in runs]
    step, high_mark = _axis(max([panel.least, *(value for curve in curves for _, value in curve)]))
    parts = [f'<text class="title" x="{left - 30:.0f}" y="{top - 10:.0f}">{escape(panel.title)}</text>']
    for mark in range(round(high_mark / step) + 1):
        y = top + height * (1 - mark * step / high_mark)
        parts.append(f'<path class="grid" d="M{left:.1f} {y:.1f}h{width:.1f}"/>')
        parts.append(f'<text x="{left - 6:.0f}" y="{y + 4:.0f}" text-anchor="end">{mark * step:g}</text>')
    for hour in range(int(hours) + 1):
        x = left + width * hour / hours
        parts.append(f'<text x="{x:.0f}" y="{top + height + 18:.0f}" text-anchor="middle">{hour} h</text>')
    for index, curve in enumerate(curves):
        points = " ".join(
            f"{left + width * hour / hours:.1f},{top + height * (1 - value / high_mark):.1f}" for hour, value in curve
        )
        parts.append(
            f'<polyline class="s{index}" fill="none" stroke-width="2" stroke-linejoin="round" points="{points}"/>'
        )
    return parts


def _axis(highest: float) -> tuple[float, float]:
    """Return step and end of an axis from zero: three to six steps of 1, 2 or 5 times a power of ten."""
    rough = highest / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return step, step * math.ceil(highest / step)
