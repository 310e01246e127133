"""Chart of the number of connections and the speed over time, for some links, as one SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 860, 150, 56, 56, 52, 46
SPEED, NUMBER, INK, FAINT, GRID, GROUND = "#1a6fd4", "#d9541e", "#24292f", "#6a737d", "#e3e7eb", "#ffffff"


@dataclass(frozen=True, slots=True)
class Point:
    """One moment of a run. seconds: since its start. speed: bytes per second since the point before."""

    seconds: float
    workers: int
    speed: float


def points_from(records: Sequence[dict[str, object]]) -> list[Point]:
    """Return the points of a run from its `progress` records (`--json`)."""
    rows = [record for record in records if record.get("event") == "progress"]
    found, before, received = [], 0.0, 0
    for row in rows:
        elapsed, count, workers = (float(str(row[name])) for name in ("elapsed", "fetched_bytes", "workers"))
        if elapsed - before >= 0.5:
            found.append(Point(elapsed, int(workers), (count - received) / (elapsed - before)))
            before, received = elapsed, int(count)
    return found


def save_chart(path: Path, panels: Sequence[tuple[str, Sequence[Point]]]) -> None:
    """Write the chart: one panel below the other, each with its title."""
    height = TOP + len(panels) * (PANEL + GAP)
    body = [_panel(title, points, TOP + place * (PANEL + GAP)) for place, (title, points) in enumerate(panels)]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{height}" fill="{GROUND}"/>'
        f'<text x="{LEFT}" y="16" fill="{SPEED}">speed (MB/s, left)</text>'
        f'<text x="{WIDTH - RIGHT}" y="16" fill="{NUMBER}" text-anchor="end">connections (right)</text>'
        f"{''.join(body)}</svg>\n",
        "utf-8",
    )


def _panel(title: str, points: Sequence[Point], top: float) -> str:
    end = max((point.seconds for point in points), default=1.0)
    most_speed = max((point.speed for point in points), default=1.0) / 1e6 * 1.1
    most_number = 70

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / end

    def y(share: float) -> float:
        return top + PANEL * (1 - share)

    speed = " ".join(f"{x(point.seconds):.1f},{y(point.speed / 1e6 / most_speed):.1f}" for point in points)
    steps, number = [], 8
    for point in points:
        steps += [(x(point.seconds), y(number / most_number)), (x(point.seconds), y(point.workers / most_number))]
        number = point.workers
    stairs = " ".join(f"{across:.1f},{down:.1f}" for across, down in [(x(0.0), y(8 / most_number)), *steps])
    parts = [f'<text x="{LEFT}" y="{top - 5}" fill="{INK}">{escape(title)}</text>']
    for share in (0.0, 0.5, 1.0):
        parts.append(f'<path d="M{LEFT} {y(share):.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(_label(LEFT - 6, y(share) + 4, f"{share * most_speed:.0f}", "end"))
        parts.append(_label(WIDTH - RIGHT + 6, y(share) + 4, f"{share * most_number:.0f}", "start"))
    times = [end * part / 4 for part in range(5)]
    parts += [_label(x(seconds), top + PANEL + 15, f"{seconds:.0f} s", "middle") for seconds in times]
    parts.append(f'<polyline points="{speed}" fill="none" stroke="{SPEED}" stroke-width="1.6"/>')
    parts.append(f'<polyline points="{stairs}" fill="none" stroke="{NUMBER}" stroke-width="1.6"/>')
    return "".join(parts)


def _label(across: float, down: float, text: str, anchor: str) -> str:
    return f'<text x="{across:.1f}" y="{down:.1f}" fill="{FAINT}" text-anchor="{anchor}">{text}</text>'
