"""Automatic concurrency: searches for the smallest number of connections that gives the highest throughput.

A hill climber over the number of connections n. It is fed a `Sample` several times a second and answers with n; it
reads no clock and starts no thread, so that it can be tested against simulated links.

Ramp. From `START`, n doubles after each measurement as long as that brings `WORTHWHILE` of what it would bring if
connections did not share anything, that is n2/n1 - 1; after a step that brought nearly all of it, n is multiplied by
four. This finds a limit per connection (loss on a long link, a server's shaper) in a few measurements, and stops after
one where the line, the disk or the CPU is full. A measurement begins when connections made for it can have passed TCP's
handshake and most of slow start, and goes on while throughput still grows within it. The last interval is then halved
until the smallest n with `AS_GOOD` of the best throughput is known.

Hold. n is compared with a neighbour now and then: A, B, A, so that a link whose speed drifts does not decide. More
connections are kept if they bring `WORTHWHILE` of their share, fewer if they lose less than 1 - `AS_GOOD`: at equal
speed fewer connections win, as a good neighbour on a shared line should have it. The wait between two comparisons
doubles up to `LONGEST_WAIT` while they change nothing. When throughput leaves its usual band for `CHANGED_FOR` seconds,
the link has changed, and the ramp starts again from where it stands.

Refusals (503, 429) are the throttle's business; the number at which they began is a ceiling here until `REFUSED_FOR`
seconds have passed. While something else limits (the user's rate limit, the disk, this machine's CPU, the end of the
plan), samples say nothing about the link, and n neither grows nor shrinks.

Sources: additive increase and multiplicative decrease (Chiu & Jain 1989, doi 10.1016/0169-7552(89)90019-6); comparing
the utility of two rates by experiment instead of reading congestion signals (PCC, Dong et al., NSDI 2015; Vivace, Dong
et al., NSDI 2018); throughput of n TCP connections under loss (Mathis et al. 1997, doi 10.1145/263932.264023); parallel
streams and their optimum (Hacker et al., IPDPS 2002; Yildirim et al. 2011, doi 10.1016/j.future.2010.06.004).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum

START = 8  # connections; the number that is good for fast links, and was the fixed default
LEAST = 4  # connections; one that is lost or slow does not stop the run
WORTHWHILE = 0.3  # of what more connections bring where they share nothing
AS_GOOD = 0.96  # of a throughput that counts as the same
NEARLY_ALL = 0.7  # of the same: the next step may be twice as long
STEP = 1.4  # between a number and its neighbour, while holding
SETTLE = 0.4  # seconds, and SETTLE_TRIPS round trips, from a change of n to the start of a measurement
SETTLE_TRIPS = 4
MEASURE = 0.8  # seconds, and MEASURE_TRIPS round trips, that a measurement takes
MEASURE_TRIPS = 3
MOST_EXTENDED = 3  # times that a measurement is made longer while throughput still grows
STILL_GROWING = 1.15  # second half of a measurement beside the first
FIRST_WAIT = 8.0  # seconds between two comparisons
LONGEST_WAIT = 60.0
BAND = (0.65, 1.5)  # of the usual throughput: outside, the link has changed
CHANGED_FOR = 3.0  # seconds
REFUSED_FOR = 120.0  # seconds
REFUSALS = 2  # within one measurement that count
ENOUGH_BUSY = 0.7  # of the number; with fewer requests in flight, work is scarce, and the link is not measured


class Reason(Enum):
    """Why the number of connections is what it is. The values are texts of `Snapshot.workers_reason`."""

    MEASURING = "measuring"
    NO_GAIN = "more connections bring no more speed"
    CEILING = "the highest number allowed"
    REFUSED = "the server refuses more"
    RATE_LIMIT = "the rate limit is reached"
    CPU = "the processor is busy"
    NOT_RUNNING = "nothing is being downloaded now"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the run has seen up to one moment.

    now: seconds, monotonic. received: bytes from the network since the start of the run. busy: requests in flight.
    round_trip: seconds to the first byte of an answer, the shortest of late; 0 where unknown. refused: refusals (503,
    429) since the start. limited_by: what limits the speed at this moment, if it is not the number of connections.
    """

    now: float
    received: int
    busy: int
    round_trip: float = 0.0
    refused: int = 0
    limited_by: Reason | None = None


class AutoConcurrency:
    """The number of connections for one run, from `LEAST` to `ceiling`."""

    def __init__(self, ceiling: int = 64, start: int = START) -> None:
        self.ceiling = ceiling
        self.reason = Reason.MEASURING
        self._refused = (ceiling + 1, -REFUSED_FOR)  # the smallest number that was refused lately, and when
        self._search = self._climb(min(start, ceiling))
        self._measurement = next(self._search)

    @property
    def number(self) -> int:
        """How many connections there should be now."""
        return self._measurement.number

    def observe(self, sample: Sample) -> int:
        """Take in what was seen; return how many connections there should be."""
        measured = self._measurement.add(sample)
        if sample.limited_by is not None:
            self.reason = sample.limited_by
        elif measured is not None:
            if self._measurement.refused:
                self._refused = (min(self._measurement.number, self._refused[0]), sample.now)
            elif sample.now - self._refused[1] > REFUSED_FOR:
                self._refused = (self.ceiling + 1, -REFUSED_FOR)
            self._measurement = self._search.send(measured)
        elif self._measurement.left_band(sample):
            self._search = self._climb(self.number)
            self._measurement = next(self._search)
        return self.number

    @property
    def _most(self) -> int:
        return max(1, min(self.ceiling, self._refused[0] - 1))

    def _climb(self, number: int) -> _Search:
        """Double while that is worthwhile, then halve the last interval; then hold."""
        self.reason = Reason.MEASURING
        rates = {number: (yield _Measurement(number))}
        high = 0  # the smallest number found to be no better than what is below it
        factor, part = 2, 0.0
        while not high or high - number > max(1, number // 5):
            other = min(factor * number, self._most) if not high else (number + high) // 2
            if other <= number:
                break
            rates[other] = yield _Measurement(other)
            part = _part_gained(number, rates[number], other, rates[other])
            if part >= WORTHWHILE:
                number, factor = other, 4 if part >= NEARLY_ALL else 2
            else:
                high = other
        best = max(rates.values())
        number = min(tried for tried, rate in rates.items() if rate >= AS_GOOD * best)
        yield from self._hold(number, best, LONGEST_WAIT if part >= NEARLY_ALL else FIRST_WAIT)

    def _hold(self, number: int, best: float, wait: float) -> _Search:
        """Compare with a neighbour now and then. best: throughput that fewer connections must not fall short of."""
        upwards = False
        while True:
            self.reason = self._reason(number)
            before = yield _Measurement(number, lasting=wait, usual=best)
            best = min(best, max(before, AS_GOOD * best))  # follows a link that becomes slower by and by
            other = min(self._most, max(number + 1, round(number * STEP)))
            if not upwards or other <= number:
                upwards, other = False, max(min(LEAST, self.ceiling), int(number / STEP))
            if other == number:
                upwards = True
                continue
            there = yield _Measurement(other)
            after = yield _Measurement(number)
            here = (before + after) / 2
            if upwards:
                better = _part_gained(number, here, other, there) >= WORTHWHILE
            else:
                better = there >= AS_GOOD * max(here, best)
            if better:
                number, best, wait = other, max(best, there), FIRST_WAIT
            else:
                wait, upwards = min(2 * wait, LONGEST_WAIT), not upwards

    def _reason(self, number: int) -> Reason:
        if number >= self._most:
            return Reason.CEILING if self._most == self.ceiling else Reason.REFUSED
        return Reason.NO_GAIN


_Search = Generator["_Measurement", float, None]


class _Measurement:
    """The throughput with so many connections.

    lasting: seconds, at least. usual: bytes per second outside of whose band the link has changed; 0 where unknown.
    """

    def __init__(self, number: int, lasting: float = 0.0, usual: float = 0.0) -> None:
        self.number = number
        self.refused = False
        self._lasting, self._usual = lasting, usual
        self._settled: float | None = None  # when it begins
        self._refusals = 0
        self._seen: list[Sample] = []
        self._odd_since: float | None = None

    def add(self, sample: Sample) -> float | None:
        """The bytes per second, once they are known; 0 where the server refused so many connections."""
        if sample.limited_by is not None or (sample.busy < self.number * ENOUGH_BUSY and self._seen):
            self._settled, self._seen = None, []
        if self._settled is None:
            self._settled = sample.now + max(SETTLE, SETTLE_TRIPS * sample.round_trip)
            self._refusals = sample.refused
            return None
        if sample.refused - self._refusals >= REFUSALS:
            self.refused = True
            return 0.0
        if sample.now < self._settled:
            return None
        self._seen.append(sample)
        first, last = self._seen[0], sample
        needed = max(MEASURE, MEASURE_TRIPS * sample.round_trip, self._lasting)
        if last.now - first.now < needed or len(self._seen) < 3:
            return None
        half = self._seen[len(self._seen) // 2]
        growing = _rate(half, last) > STILL_GROWING * _rate(first, half)
        if growing and not self._lasting and last.now - first.now < MOST_EXTENDED * needed:
            return None
        return _rate(half if growing else first, last)

    def left_band(self, sample: Sample) -> bool:
        """Whether the throughput has not been the usual one for a while."""
        if not self._usual or len(self._seen) < 2:
            return False
        lately = next((s for s in reversed(self._seen) if sample.now - s.now >= 1.0), None)
        if lately is None:
            return False
        low, high = BAND
        if low * self._usual <= _rate(lately, sample) <= high * self._usual:
            self._odd_since = None
            return False
        self._odd_since = self._odd_since or sample.now
        return sample.now - self._odd_since >= CHANGED_FOR


def _rate(first: Sample, last: Sample) -> float:
    return (last.received - first.received) / max(last.now - first.now, 1e-6)


def _part_gained(number: int, rate: float, more: int, rate_of_more: float) -> float:
    """Of the throughput that more connections would add if they shared nothing, the part that they did add."""
    return (rate_of_more / max(rate, 1.0) - 1) / (more / number - 1)
