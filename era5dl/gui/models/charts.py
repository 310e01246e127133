"""The last hour as lines of charts: points from the samples of the metrics, with gaps where there are none. Tk-free."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from era5dl.diagnosis.metrics import EVERY, Sample

Points = tuple[tuple[float, float | None], ...]
GAP = 5 * EVERY  # seconds without a sample: the computer slept
MINUTE = 60.0
SPANS = (240.0, 960.0, 3600.0)  # seconds shown: as few as hold all there is, so that a young line is not a dot
POINTS = 150  # of one line: more would not be seen, and drawing costs


@dataclass(frozen=True, slots=True)
class ChartData:
    """Points (instant, value) of each line; all instants, and `now`, of one clock. Bytes and seconds."""

    now: float
    span: float = SPANS[-1]  # seconds to show
    speed: Points = ()
    established: Points = ()
    in_flight: Points = ()
    memory: Points = ()
    open_files: Points = ()
    retries: Points = ()  # a minute
    throttles: Points = ()  # a minute
    first_byte_p50: Points = ()
    first_byte_p95: Points = ()


def chart_data(samples: Sequence[Sample], now: float) -> ChartData:
    """All lines of these samples, oldest first."""
    age = now - samples[0].at if samples else 0.0
    span = next((span for span in SPANS if span >= age), SPANS[-1])
    bucket = span / POINTS
    retries = _a_minute(samples, [sample.retries for sample in samples])
    throttles = _a_minute(samples, [sample.throttles for sample in samples])
    return ChartData(
        now=now,
        span=span,
        speed=_line(samples, bucket, [s.speed if s.running else 0.0 for s in samples]),
        established=_line(samples, bucket, [s.process.established for s in samples], max),
        in_flight=_line(samples, bucket, [s.in_flight for s in samples], max),
        memory=_line(samples, bucket, [s.process.rss or None for s in samples], max),
        open_files=_line(samples, bucket, [s.process.open_files for s in samples], max),
        retries=_line(samples, bucket, retries, max),
        throttles=_line(samples, bucket, throttles, max),
        first_byte_p50=_line(samples, bucket, [s.first_byte_p50 for s in samples]),
        first_byte_p95=_line(samples, bucket, [s.first_byte_p95 for s in samples], max),
    )


def _line(
    samples: Sequence[Sample],
    bucket: float,
    values: Sequence[float | None],
    together: Callable[[list[float]], float] = fmean,
) -> Points:
    """One point for each `bucket` seconds, made of what was measured in it; a gap where nobody sampled."""
    points: list[tuple[float, float | None]] = []
    number, first, found = -1, 0.0, list[float]()
    before = None
    for sample, value in zip(samples, values, strict=True):
        if number != int(sample.at // bucket):
            if found:
                points.append((first, together(found)))
            if before is not None and sample.at - before > GAP:
                points.append((before + EVERY, None))
            number, first, found = int(sample.at // bucket), sample.at, []
        before = sample.at
        if value is not None:
            found.append(value)
    if found and before is not None:
        points.append((before, together(found)))
    return tuple(points)


def _a_minute(samples: Sequence[Sample], counts: Sequence[int]) -> list[float]:
    """How many there were in the minute before each sample."""
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
