"""Tables of an endurance test: the analysis' "before and after" as measured, and whether each curve is flat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.benchmarks.soak_disturbances import CYCLE, SCALE
from tests.benchmarks.soak_run import Record, Run
from tests.benchmarks.soak_slopes import Trend, trend

HOUR = 3600 / SCALE  # seconds of the test per hour
MB = 1e6

# (hours from, to) and what the analysis of the predecessor saw or expected then: the share of files that fail, the
# speed as a share of the first half hour's, minutes an hour spent waiting to try again, and MB of memory; then what it
# hoped for once mended.
WINDOWS: tuple[tuple[int, int], ...] = ((0, 1), (1, 2), (2, 4))
EXPECTED_ERRORS = {(0, 1): "15 %", (1, 2): "30 %", (2, 4): "50 %"}
HOPED_ERRORS = {(0, 1): "5 %", (1, 2): "8 %", (2, 4): "12 %"}

CURVES: dict[str, Callable[[Record], float]] = {
    "files failed": lambda r: r.failed,
    "attempts failed": lambda r: r.faults / max(r.requests, 1),
    "speed": lambda r: r.speed,
    "CPU per request": lambda r: r.cpu / max(r.requests, 1),
    "memory (RSS)": lambda r: r.rss,
    "open files": lambda r: r.open_files,
    "connections": lambda r: r.connections,
    "threads": lambda r: r.threads,
    "size of a checkpoint": lambda r: r.checkpoint_bytes,
    "time of a checkpoint": lambda r: r.checkpoint_seconds,
}


def at(run: Run, seconds: float) -> list[float]:
    """Return the state at this time: finished, failed and wrong files, bytes of complete files, seconds blocked."""
    point = max((p for p in run.line if p[0] <= seconds), default=run.line[0])
    wrong = sum(1 for moment in run.wrong_at if moment <= point[0])
    return [point[1], point[2], wrong, point[3], point[4]]


def errors(run: Run, start: float, stop: float) -> float | None:
    """Return the fraction of failed or wrong files among those finished between two times; None if there are none."""
    then, now = at(run, start), at(run, stop)
    ended = now[0] - then[0]
    return (now[1] + now[2] - then[1] - then[2]) / ended if ended else None


def speed(run: Run, start: float, stop: float) -> float:
    """Return bytes per second between two times."""
    return (at(run, stop)[3] - at(run, start)[3]) / (stop - start)


def blocked(run: Run, start: float, stop: float) -> float:
    """Return the minutes per hour in which a worker waited for a retry, between two times."""
    return 60 * (at(run, stop)[4] - at(run, start)[4]) / (stop - start) / run.workers


def busy_until(run: Run) -> float:
    """Return the time from which there was not enough work for all workers."""
    return next((p[0] for p in run.line if p[1] >= 0.985 * run.objects), run.line[-1][0])


def endurance(run: Run, cycle: float = CYCLE) -> float:
    """Return the speed in the last cycle of disturbances as a fraction of that in the first."""
    end = busy_until(run)
    return speed(run, end - cycle, end) / speed(run, 0, cycle)


def growth(run: Run) -> int:
    """Return the increase of memory from 20 % of the download to the last record with work for all workers."""
    counted = [record for record in run.records if record.rss and record.at <= busy_until(run)]
    return counted[-1].rss - counted[len(counted) // 5].rss


def before_and_after(ours: Run, theirs: Run) -> str:
    """Return the table of the analysis with the measured values."""
    lines = [
        "| | predecessor, expected | predecessor, measured | era5dl, goal | era5dl, measured |",
        "|---|--:|--:|--:|--:|",
    ]
    for window in WINDOWS:
        span = [hour * HOUR for hour in window]
        cells = [_percent(errors(run, *span)) for run in (theirs, ours)]
        name = f"files failed or wrong, hours {window[0]} to {window[1]}"
        lines.append(_row(name, EXPECTED_ERRORS[window], cells[0], HOPED_ERRORS[window], cells[1]))
    wrong = [f"{run.fates.get('wrong', 0):,}" for run in (theirs, ours)]
    lines.append(
        _row("of these, wrong bytes under the final name", "not mentioned", wrong[0], "not mentioned", wrong[1])
    )
    held = [f"{100 * endurance(run):.0f} %" for run in (theirs, ours)]
    lines.append(
        _row("speed in the last half hour, relative to the first", "20 to 40 %", held[0], "not mentioned", held[1])
    )
    mean = [f"{speed(run, 0, busy_until(run)) / MB:.1f} MB/s" for run in (theirs, ours)]
    gain = speed(ours, 0, busy_until(ours)) / speed(theirs, 0, busy_until(theirs)) - 1
    lines.append(_row("speed", "", mean[0], "+40 %", f"{mean[1]} ({100 * gain:+.0f} %)"))
    waits = [f"{blocked(run, 0, busy_until(run)):.1f} min/h" for run in (theirs, ours)]
    lines.append(_row("worker time blocked by retry delays", "30 min/h", waits[0], "5 min/h", waits[1]))
    memory = [f"{_rss(run, 0) / MB:.0f} to {_rss(run, -1) / MB:.0f} MB" for run in (theirs, ours)]
    lines.append(_row("memory", "100 MB to 1.2 GB", memory[0], "not mentioned", memory[1]))
    return "\n".join(lines) + "\n"


def trends(run: Run) -> dict[str, Trend]:
    """Return the trend of each curve, during the time with work for all workers."""
    records = [record for record in run.records if record.rss and record.at <= busy_until(run)]
    return {name: trend([value(record) for record in records]) for name, value in CURVES.items()}


def flatness(runs: Sequence[Run]) -> str:
    """Return the table of flat curves of each client."""
    found = [trends(run) for run in runs]
    lines = [f"| curve | {' | '.join(run.who for run in runs)} |", "|---" * (len(runs) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(str(trend_of[name]) for trend_of in found)} |" for name in CURVES]
    return "\n".join(lines) + "\n"


def summary(run: Run) -> str:
    """Return a summary of a run in a few lines."""
    fates = ", ".join(f"{count:,} {what}" for what, count in sorted(run.fates.items()))
    ended = f"ended after {run.seconds:.0f} s" if run.ended else f"stopped after {run.seconds:.0f} s"
    last = run.line[-1]
    end = busy_until(run)
    resting = sum(record.resting for record in run.records)
    delayed = sum(record.delayed for record in run.records)
    return (
        f"{run.who}: {run.objects:,} objects, {run.wanted / MB:,.0f} MB, {run.workers} workers, {ended}\n"
        f"  files: {fates}; {last[2]} given up, {run.left_over} part files left\n"
        f"  requests: {run.requests:,}, of them struck by a fault {run.struck:,}\n"
        f"  sent {run.sent / MB:,.0f} MB, destroyed by faults {run.destroyed / MB:,.0f} MB, "
        f"sent without need {100 * run.overhead:+.1f} % of what was got\n"
        f"  last half hour's speed {100 * endurance(run):.1f} % of the first's; memory {growth(run) / MB:+.1f} MB\n"
        f"  of each hour a worker was blocked by a retry for {blocked(run, 0, end):.2f} min, rested for the server or "
        f"an outage {60 * resting / end / run.workers:.1f} min; pieces waited in the queue {delayed:.0f} s in all\n"
    )


def _rss(run: Run, which: int) -> int:
    return [record.rss for record in run.records if record.rss and record.threads > 1][which]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
