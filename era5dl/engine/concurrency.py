"""Automatic concurrency: searches for the smallest number of connections that gives the highest throughput.

A hill climber over the number of connections n. It is fed a `Sample` several times a second and answers with n. It
reads no clock and starts no thread, so that it can be tested against simulated links.

Start. n is `START`, which fills a fast link. When the first response takes `LONG_TRIP` seconds or more, n becomes
`LONG_START`: over a long round trip each connection is slow at first, and after each loss, whatever the line can do.

Growth. n is doubled after each measurement as long as the larger number brings enough: `ENOUGH_GAIN` of what it would
bring if connections did not share anything, which is n2/n1 - 1. After a step that brought nearly all of that, n is
multiplied by four. This finds a limit per connection (loss on a long link, a server's limit) in a few measurements, and
ends after one where the line, the disk or the processor is the limit. A measurement begins when new connections have
passed the handshake and most of TCP's slow start; it is made longer while throughput still grows by itself. Where the
larger number did not raise throughput, or was refused (503, 429), n goes back to the number before; between a number
that was accepted and one that was refused, the interval is halved.

Hold. Now and then n is compared with a smaller or a larger number: A, B, A, so that a link whose speed drifts does not
decide. The larger one is kept if it brings enough, the smaller one if it loses less than 1 - `SAME_SPEED`: at equal
speed fewer connections are used, because others may share the link. The pause between comparisons doubles up to
`LONGEST_PAUSE` while they change nothing, and there are none when little remains to be downloaded. When throughput
leaves its usual range, the link has changed, and n grows again from where it is, at most once in `GROW_AGAIN` seconds.
This is also how a lossy link shows: connections are fast until their first loss, so that a few of them can fill the
line at the beginning, and not later.

While something else limits the speed (the user's rate limit, the processor, a pause, the end of the plan), samples say
nothing about the link, and n stays.

Sources: additive increase and multiplicative decrease (Chiu & Jain 1989, doi 10.1016/0169-7552(89)90019-6); comparing
the utility of two rates by experiment instead of reading congestion signals (PCC, Dong et al., NSDI 2015; Vivace, Dong
et al., NSDI 2018); throughput of n TCP connections under loss (Mathis et al. 1997, doi 10.1145/263932.264023); parallel
streams and their optimum (Hacker et al., IPDPS 2002; Yildirim et al. 2011, doi 10.1016/j.future.2010.06.004).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum

START = 8  # connections
LONG_START = 32  # connections, where a round trip takes LONG_TRIP
LONG_TRIP = 0.15  # seconds
LEAST = 4  # connections; one that is lost or slow does not stop the run
ENOUGH_GAIN = 0.15  # of what more connections bring where they share nothing
NEARLY_ALL = 0.7  # of the same: the next step may be twice as long
SAME_SPEED = 0.96  # of a throughput that counts as the same
NEIGHBOUR = 1.4  # the factor between two numbers that are compared while holding
SETTLE = 0.4  # seconds, and SETTLE_TRIPS round trips, from a change of n to the start of a measurement
SETTLE_TRIPS = 4
MEASURE = 0.8  # seconds, and MEASURE_TRIPS round trips, that a measurement takes
MEASURE_TRIPS = 4
MAX_EXTENSION = 3  # times that a measurement is made longer while throughput still grows
STILL_GROWING = 1.15  # second half of a measurement, as a multiple of the first
PAUSE = 8.0  # seconds, and PAUSE_TRIPS round trips, between two comparisons
PAUSE_TRIPS = 100
LONGEST_PAUSE = 120.0
TO_GROW = 5  # measurements for which there must be enough to download, or n does not grow
TO_COMPARE = 10  # the same for a comparison
USUAL = (0.75, 1.5)  # of the throughput that is expected: outside of this range, the link has changed
RECENT = 1.0  # seconds, and RECENT_TRIPS round trips, over which the present throughput is measured for that
RECENT_TRIPS = 8
GROW_AGAIN = 30.0  # seconds; on a link whose throughput varies all the time, comparisons need time, too
REFUSED_FOR = 120.0  # seconds for which a number that was refused is not tried again
MIN_REFUSALS = 2  # of requests, within one measurement, for a number to count as refused
REFUSED_SHARE = 0.05  # of the requests, at least
ENOUGH_BUSY = 0.7  # of n; with fewer requests in flight, work is scarce, and the link is not measured


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
    remaining: bytes that are still to be downloaded. round_trip: seconds to the first byte of a response, the shortest
    of late; 0 where unknown. refused, answered: requests since the start, with 503 or 429, and with data. limited_by:
    what limits the speed at this moment, if it is not the number of connections.
    """

    now: float
    received: int
    busy: int
    remaining: int
    round_trip: float = 0.0
    refused: int = 0
    answered: int = 0
    limited_by: Reason | None = None


class AutoConcurrency:
    """The number of connections for one run, from `LEAST` to `ceiling`."""

    def __init__(self, ceiling: int = 64, start: int = START) -> None:
        self.ceiling = ceiling
        self._found = Reason.MEASURING  # the reason according to the search
        self._refused = (ceiling + 1, -REFUSED_FOR)  # the smallest number that was refused recently, and when
        self.backed_off = False  # the last change went down from a number that was refused when it was tried
        self._accepted = 0  # the number that was measured last and not refused
        self._grew_again = -GROW_AGAIN  # when the link changed most recently
        self._last: Sample | None = None
        self._search = self._grow(min(start, ceiling))
        self._measurement = next(self._search)

    @property
    def number(self) -> int:
        """How many connections there should be now."""
        return self._measurement.number

    @property
    def reason(self) -> Reason:
        """Why it is that many. What limits the speed otherwise is the reason only while it does."""
        limited_by = self._last.limited_by if self._last is not None else None
        return limited_by or self._found

    def observe(self, sample: Sample) -> int:
        """Use what was seen; return how many connections there should be."""
        first_response = sample.round_trip > 0 and (self._last is None or not self._last.round_trip)
        self._last = sample
        long_start = min(LONG_START, self.ceiling)
        is_long = first_response and sample.round_trip >= LONG_TRIP and sample.limited_by is None
        if is_long and self.number < long_start:
            self._restart(self._grow(long_start), sample)
        throughput = self._measurement.add(sample)
        if throughput is not None:
            self._finish_measurement(throughput, sample)
        elif self._may_grow_again(sample) and self._measurement.is_unusual(sample):
            self._grew_again = sample.now
            self._restart(self._grow(self.number), sample)
        return self.number

    def _restart(self, search: _Search, sample: Sample) -> None:
        self._search = search
        self._measurement = next(search)
        self._measurement.begin(sample)

    def _may_grow_again(self, sample: Sample) -> bool:
        return sample.limited_by is None and sample.now - self._grew_again >= GROW_AGAIN

    def _finish_measurement(self, throughput: float, sample: Sample) -> None:
        done = self._measurement
        self.backed_off = done.refused and not done.holds and 0 < self._accepted < done.number
        if done.refused:
            self._refused = (min(done.number, self._refused[0]), sample.now)
        else:
            self._accepted = done.number
            if sample.now - self._refused[1] > REFUSED_FOR:
                self._refused = (self.ceiling + 1, -REFUSED_FOR)
        if done.refused and done.holds:
            self._restart(self._grow(max(1, done.number // 2)), sample)
        else:
            self._measurement = self._search.send(throughput)
            self._measurement.begin(sample)

    @property
    def _most(self) -> int:
        """The highest number that may be tried now."""
        return max(1, min(self.ceiling, self._refused[0] - 1))

    def _grow(self, number: int) -> _Search:
        """Increase the number while that brings enough; then hold."""
        self._found = Reason.MEASURING
        throughput = yield _Measurement(number)
        while not throughput and number > 1:  # refused
            number = max(1, number // 2)
            throughput = yield _Measurement(number)
        factor, proportional, refused = 2, False, 0
        while self._remaining(throughput) >= TO_GROW:
            more = (number + refused) // 2 if refused else min(factor * number, self._most)
            if more <= number or 0 < refused - number <= _tolerance(number):
                break
            there = yield _Measurement(more, before=throughput)
            if not there:
                refused = more
                continue
            part = _part_gained(number, throughput, more, there)
            proportional = part >= NEARLY_ALL
            if part >= ENOUGH_GAIN:
                number, throughput, factor = more, there, 4 if proportional else 2
            elif factor == 4:
                factor = 2
            else:
                break
        yield from self._hold(number, throughput, proportional=proportional)

    def _hold(self, number: int, expected: float, *, proportional: bool) -> _Search:
        """Compare with other numbers now and then. expected: the throughput that fewer connections must reach.
        proportional: the last step upwards brought nearly all that it could."""
        upwards, pause = False, LONGEST_PAUSE if proportional else self._first_pause
        while True:
            self._found = self._reason_for(number, proportional=proportional)
            recent = yield _Measurement(number, lasting=pause, expected=expected)
            expected = min(expected, max(recent, SAME_SPEED * expected))  # follows a link that slowly becomes slower
            other = min(self._most, max(number + 1, round(number * NEIGHBOUR)))
            if not upwards or other <= number:
                upwards, other = False, max(min(LEAST, self.ceiling), int(number / NEIGHBOUR))
            if other == number or self._remaining(expected) < TO_COMPARE:
                upwards = True
                continue
            before = yield _Measurement(number)
            there = yield _Measurement(other)
            after = yield _Measurement(number)
            here = (before + after) / 2
            if upwards:
                better = _part_gained(number, here, other, there) >= ENOUGH_GAIN
            else:
                better = there >= SAME_SPEED * max(here, expected)
                proportional = _part_gained(other, there, number, here) >= NEARLY_ALL
            if better:
                number, expected, pause = other, max(expected, there), self._first_pause
            else:
                pause, upwards = LONGEST_PAUSE if proportional else min(2 * pause, LONGEST_PAUSE), not upwards

    @property
    def _first_pause(self) -> float:
        assert self._last is not None
        return min(_seconds(PAUSE, PAUSE_TRIPS, self._last), LONGEST_PAUSE)

    def _remaining(self, throughput: float) -> float:
        """Return how many measurements the rest of the download will take: the search has to pay for its time."""
        assert self._last is not None
        measurement = _seconds(MEASURE, MEASURE_TRIPS, self._last) + _seconds(SETTLE, SETTLE_TRIPS, self._last)
        return self._last.remaining / (measurement * max(throughput, 1.0))

    def _reason_for(self, number: int, *, proportional: bool) -> Reason:
        if number >= self.ceiling and proportional:
            return Reason.CEILING
        is_below_refused = self._most < self.ceiling and self._most - number <= _tolerance(number)
        return Reason.REFUSED if is_below_refused else Reason.NO_GAIN


_Search = Generator["_Measurement", float, None]


class _Measurement:
    """Measures the throughput with `number` connections.

    lasting: seconds, at least. expected: bytes per second; when throughput is far from it, the link has changed. 0
    where unknown. before: bytes per second with fewer connections; a measurement is not made longer below that.
    """

    def __init__(self, number: int, lasting: float = 0.0, expected: float = 0.0, before: float = 0.0) -> None:
        self.number, self._before = number, before
        self.refused = False
        self.holds = lasting > 0
        self._lasting, self._expected = lasting, expected
        self._settled = 0.0  # when it begins
        self._first: Sample | None = None  # after the change of the number
        self._seen: list[Sample] = []

    def begin(self, sample: Sample) -> None:
        """The number of connections changes now."""
        self._first, self._seen = sample, []
        self._settled = sample.now + _seconds(SETTLE, SETTLE_TRIPS, sample)

    def add(self, sample: Sample) -> float | None:
        """Return the bytes per second once they are known, 0 where the server refused so many connections."""
        scarce = sample.busy < self.number * ENOUGH_BUSY and self._seen
        if self._first is None or sample.limited_by is not None or scarce:
            self.begin(sample)
            return None
        refused, answered = sample.refused - self._first.refused, sample.answered - self._first.answered
        if refused >= max(MIN_REFUSALS, REFUSED_SHARE * (answered + refused)):
            self.refused = True
            return 0.0
        if sample.now < self._settled:
            return None
        self._seen.append(sample)
        first, last = self._seen[0], sample
        needed = max(_seconds(MEASURE, MEASURE_TRIPS, sample), self._lasting)
        if last.now - first.now < needed or len(self._seen) < 3:
            return None
        half = self._seen[len(self._seen) // 2]
        growing = _throughput(half, last) > max(STILL_GROWING * _throughput(first, half), self._before)
        if growing and not self._lasting and last.now - first.now < MAX_EXTENSION * needed:
            return None
        return _throughput(half if growing else first, last)

    def is_unusual(self, sample: Sample) -> bool:
        """Whether the present throughput is far from the expected one."""
        recent = _seconds(RECENT, RECENT_TRIPS, sample)
        if not self._expected or not self._seen or sample.now - self._seen[0].now < recent:
            return False
        then = next(seen for seen in reversed(self._seen) if sample.now - seen.now >= recent)
        low, high = USUAL
        return not low * self._expected <= _throughput(then, sample) <= high * self._expected


def _seconds(least: float, trips: int, sample: Sample) -> float:
    return max(least, trips * sample.round_trip)


def _tolerance(number: int) -> int:
    """Return how close to a number that was refused the search comes."""
    return max(1, number // 5)


def _throughput(first: Sample, last: Sample) -> float:
    return (last.received - first.received) / max(last.now - first.now, 1e-6)


def _part_gained(number: int, throughput: float, more: int, throughput_of_more: float) -> float:
    """Of the throughput that more connections would add if they shared nothing, the part that they did add."""
    return (throughput_of_more / max(throughput, 1.0) - 1) / (more / number - 1)
