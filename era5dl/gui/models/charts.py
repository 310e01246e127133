"""View model of the charts on the Diagnostics page: reduces metrics to lines of at most 150 points. No Tk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from era5dl.diagnosis.metrics import EVERY, Sample

Points = tuple[tuple[float, float | None], ...]
GAP = 5 * EVERY  # seconds without a sample, after which a line is interrupted: the computer was suspended
MINUTE = 60.0
SPANS = (240.0, 960.0, 3600.0)  # seconds shown: the shortest span that contains all samples, to use the whole width
MAX_POINTS = 150  # per line: more could not be distinguished, and each takes time to draw


@dataclass(frozen=True, slots=True)
class ChartData:
    """Lines as points (time, value). `now` and all times are from the same clock. Units are bytes and seconds.

    span: seconds to show. retries and throttles: per minute.
    """

    now: float
    span: float = SPANS[-1]
    speed: Points = ()
    established: Points = ()
    in_flight: Points = ()
    workers: Points = ()
    memory: Points = ()
    open_files: Points = ()
    retries: Points = ()
    throttles: Points = ()
    first_byte_p50: Points = ()
    first_byte_p95: Points = ()


def chart_data(samples: Sequence[Sample], now: float) -> ChartData:
    """Return the lines for these samples, which are ordered by time."""
    age = now - samples[0].at if samples else 0.0
    span = next((span for span in SPANS if span >= age), SPANS[-1])
    interval = span / MAX_POINTS
    retries = _per_minute(samples, [sample.retries for sample in samples])
    throttles = _per_minute(samples, [sample.throttles for sample in samples])
    return ChartData(
        now=now,
        span=span,
        speed=_line(samples, interval, [s.speed if s.running else 0.0 for s in samples]),
        established=_line(samples, interval, [s.process.established for s in samples], max),
        in_flight=_line(samples, interval, [s.in_flight for s in samples], max),
        workers=_line(samples, interval, [s.workers if s.running else None for s in samples], max),
        memory=_line(samples, interval, [s.process.rss or None for s in samples], max),
        open_files=_line(samples, interval, [s.process.open_files for s in samples], max),
        retries=_line(samples, interval, retries, max),
        throttles=_line(samples, interval, throttles, max),
        first_byte_p50=_line(samples, interval, [s.first_byte_p50 for s in samples]),
        first_byte_p95=_line(samples, interval, [s.first_byte_p95 for s in samples], max),
    )


def _line(
    samples: Sequence[Sample],
    interval: float,
    values: Sequence[float | None],
    combine: Callable[[list[float]], float] = fmean,
) -> Points:
    """Return a point for each `interval` seconds, by combining the values in it; None marks an interruption."""
    points: list[tuple[float, float | None]] = []
    number, first, found = -1, 0.0, list[float]()
    before = None
    for sample, value in zip(samples, values, strict=True):
        if number != int(sample.at // interval):
            if found:
                points.append((first, combine(found)))
            if before is not None and sample.at - before > GAP:
                points.append((before + EVERY, None))
            number, first, found = int(sample.at // interval), sample.at, []
        before = sample.at
        if value is not None:
            found.append(value)
    if found and before is not None:
        points.append((before, combine(found)))
    return tuple(points)


def _per_minute(samples: Sequence[Sample], counts: Sequence[int]) -> list[float]:
    """Return the sum of the counts in the minute before each sample."""
    window: deque[tuple[float, int]] = deque()
    total = 0
    rates = []
    for sample, count in zip(samples, counts, strict=True):
        window.append((sample.at, count))
        total += count
        while sample.at - window[0][0] >= MINUTE:
            total -= window.popleft()[1]
        rates.append(float(total))
    return rates
