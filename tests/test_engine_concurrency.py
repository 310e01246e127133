"""Automatic concurrency on simulated links: deterministic, and without a network."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from era5dl.engine.concurrency import LEAST, LONG_START, AutoConcurrency, Reason, Sample
from tests.simulated_link import Link, Simulation, throughput

MB = 1e6
LOSSY = Link(25 * MB, 0.2, loss=0.005)
LOSSIER = Link(25 * MB, 0.3, loss=0.01)
LONG = Link(25 * MB, 0.2)
HOME = Link(2.5 * MB, 0.04, queue=0.5 * MB)
FAST = Link(125 * MB, 0.005)
SHAPED = Link(1000 * MB, 0.02, per_connection=2 * MB)
REFUSING = replace(SHAPED, refuses_above=20)
FIXED = (4, 8, 16, 32, 64)
EVERY = 0.25  # seconds between two samples


@dataclass
class Course:
    """What became of a run: numbers and bytes received over time."""

    control: AutoConcurrency
    simulation: Simulation
    numbers: list[tuple[float, int]]
    received: list[tuple[float, float]]
    refusals: list[tuple[float, int]]

    def speed(self, since: float, until: float) -> float:
        """Bytes per second between two moments."""
        inside = [bytes_ for now, bytes_ in self.received if since <= now <= until]
        return (inside[-1] - inside[0]) / (until - since)

    def refused(self, since: float, until: float) -> int:
        """Requests that were refused between two moments."""
        inside = [count for now, count in self.refusals if since <= now <= until]
        return inside[-1] - inside[0]


def run(
    link: Link,
    seconds: float,
    *,
    changes: Sequence[tuple[float, Link]] = (),
    seed: int = 1,
    change_sample: Callable[[Sample], Sample] = lambda sample: sample,
    control: AutoConcurrency | None = None,
    size: float = 1e15,
) -> Course:
    """A run over this link, which becomes another one at the moments given."""
    control = control or AutoConcurrency()
    simulation, due, coming = Simulation(link, seed), 0.0, list(changes)
    course = Course(control, simulation, [(0.0, control.number)], [], [])
    while simulation.now < seconds:
        if coming and simulation.now >= coming[0][0]:
            simulation.link = coming.pop(0)[1]
        if simulation.now >= due:
            due += EVERY
            sample = Sample(
                simulation.now,
                int(simulation.received),
                control.number,
                remaining=int(size - simulation.received),
                round_trip=simulation.shortest_trip,
                refused=simulation.refused,
                answered=simulation.answered,
            )
            course.numbers.append((simulation.now, control.observe(change_sample(sample))))
            course.received.append((simulation.now, simulation.received))
            course.refusals.append((simulation.now, simulation.refused))
        simulation.step(control.number)
    return course


def best_fixed(link: Link, seconds: float) -> float:
    """Bytes per second of the best of the fixed numbers."""
    return max(throughput(link, number, seconds) for number in FIXED)


def settled(link: Link, number: int, since: float, until: float) -> float:
    """Bytes per second of a fixed number between two moments. A lossy link is faster in its first seconds."""
    return (until * throughput(link, number, until) - since * throughput(link, number, since)) / (until - since)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("link", "part"),
    [(LOSSY, 0.95), (LOSSIER, 0.9), (LONG, 0.93), (HOME, 0.98), (FAST, 0.98), (SHAPED, 0.9)],
    ids=["lossy", "lossier", "long", "home", "fast", "shaped"],
)
def test_half_a_minute_gives_nearly_the_speed_of_the_best_fixed_number(link: Link, part: float, seed: int) -> None:
    course = run(link, 30.0, seed=seed)
    assert course.simulation.received / 30.0 >= part * best_fixed(link, 30.0)


@pytest.mark.parametrize("link", [LOSSY, LOSSIER, SHAPED], ids=["lossy", "lossier", "shaped"])
def test_where_each_connection_is_limited_the_ceiling_is_reached_in_seconds(link: Link) -> None:
    course = run(link, 60.0)
    assert next(now for now, number in course.numbers if number == 64) < 10.0
    assert course.control.number > 40
    assert course.speed(30.0, 60.0) >= 0.93 * settled(link, 64, 30.0, 60.0)


@pytest.mark.parametrize("link", [HOME, FAST], ids=["home", "fast"])
def test_where_the_line_is_full_fewer_connections_win(link: Link) -> None:
    course = run(link, 120.0)
    assert course.control.number <= 8
    assert course.control.reason is Reason.NO_GAIN
    assert max(number for _, number in course.numbers) <= 16
    assert course.speed(60.0, 120.0) >= 0.97 * link.rate


def test_on_a_long_link_many_connections_are_used_at_first_and_fewer_later() -> None:
    course = run(LONG, 150.0)
    assert next(now for now, number in course.numbers if number == LONG_START) < 1.0
    assert course.control.number <= 16
    assert course.speed(0.0, 150.0) >= 0.95 * LONG.rate


def test_a_loss_that_shows_only_after_a_fast_beginning_is_noticed() -> None:
    """Before their first loss, 32 connections fill this line for some seconds; later they have a quarter of it."""
    link = replace(LOSSY, rate=18 * MB)
    course = run(link, 40.0)
    assert course.control.number > 40
    assert course.simulation.received / 40.0 >= 0.9 * best_fixed(link, 40.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_download_of_seconds_is_not_spent_on_comparisons(seed: int) -> None:
    course = run(LONG, 10.0, seed=seed, size=10 * LONG.rate)
    assert min(number for now, number in course.numbers if now > 1.0) == LONG_START


def test_a_server_that_refuses_is_asked_for_what_it_gives() -> None:
    course = run(REFUSING, 120.0)
    assert 18 <= course.control.number <= 20
    assert course.refused(30.0, 120.0) == 0
    assert course.speed(30.0, 120.0) >= 0.9 * 20 * 2 * MB
    assert course.control.reason is Reason.REFUSED, "each connection still brought its full share"


def test_a_server_that_refuses_everything_is_not_forgiven() -> None:
    """The throttle waits as long as the server asks; only an attempt to use more connections may be taken back."""
    control, refused = AutoConcurrency(), 0
    for step in range(100):
        refused += 3
        control.observe(Sample(step * EVERY, 0, control.number, 10**12, refused=refused))
        assert not control.backed_off
    assert control.number == 1


def test_a_refusing_server_is_tried_again_later() -> None:
    course = run(REFUSING, 400.0, changes=[(60.0, SHAPED)])
    assert course.control.number > 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [(LONG, LOSSY), (LOSSY, LONG), (LONG, replace(LONG, rate=2.5 * MB)), (HOME, FAST), (SHAPED, HOME)],
    ids=["loss comes", "loss goes", "slower", "faster", "another network"],
)
def test_a_link_that_changes_is_followed_within_20_s(before: Link, after: Link) -> None:
    course = run(before, 100.0, changes=[(40.0, after)])
    assert course.speed(60.0, 100.0) >= 0.9 * max(settled(after, number, 20.0, 60.0) for number in FIXED)


@pytest.mark.parametrize("rate", [1 * MB, 5 * MB])
def test_where_the_line_becomes_slower_nobody_is_advised_to_use_more_connections(rate: float) -> None:
    course = run(LOSSY, 48.0, changes=[(40.0, replace(LONG, rate=rate))])
    assert next(number for now, number in course.numbers if now >= 40.0) == 64
    assert course.control.reason is not Reason.CEILING


def test_on_a_link_whose_throughput_varies_the_number_does_not_stay_at_the_highest() -> None:
    """Each change of throughput looks like a changed link; between them there must be time for comparisons."""
    control, dice, received, numbers = AutoConcurrency(), random.Random(1), 0.0, []
    speed = 2.4 * MB
    for step in range(2400):
        speed = 2.4 * MB * dice.choice([0.4, 0.8, 1.2, 1.6]) if step % 4 == 0 else speed
        received += speed * EVERY
        sample = Sample(step * EVERY, int(received), control.number, 10**12, round_trip=0.2, answered=step)
        numbers.append(control.observe(sample))
    assert min(numbers[1200:]) < 64


def test_while_something_else_limits_the_number_stays() -> None:
    course = run(LOSSY, 60.0, change_sample=lambda sample: replace(sample, limited_by=Reason.CPU))
    assert {number for _, number in course.numbers} == {8}
    assert course.control.reason is Reason.CPU


def test_a_limit_that_has_ended_is_no_longer_the_reason() -> None:
    """A measurement while holding may take two minutes; the window must not name the limit so much longer."""
    limited = run(
        LOSSY, 60.0, change_sample=lambda one: replace(one, limited_by=Reason.RATE_LIMIT if one.now > 40 else None)
    )
    assert limited.control.reason is Reason.RATE_LIMIT
    lifted = run(
        LOSSY,
        51.0,
        change_sample=lambda one: replace(one, limited_by=Reason.RATE_LIMIT if 40 < one.now < 50 else None),
    )
    assert lifted.control.reason is Reason.CEILING


def test_at_the_end_of_a_plan_few_requests_say_nothing_about_the_link() -> None:
    course = run(LOSSY, 60.0, change_sample=lambda sample: replace(sample, busy=2) if sample.now > 30 else sample)
    assert course.control.number == 64


def test_the_ceiling_holds() -> None:
    course = run(LOSSY, 60.0, control=AutoConcurrency(ceiling=12))
    assert max(number for _, number in course.numbers) == 12
    assert course.control.reason is Reason.CEILING


def test_a_ceiling_below_the_least_is_the_number() -> None:
    course = run(LONG, 30.0, control=AutoConcurrency(ceiling=2))
    assert {number for _, number in course.numbers} == {2}


def test_it_never_goes_below_the_least() -> None:
    course = run(FAST, 300.0)
    assert min(number for _, number in course.numbers) >= LEAST


def test_once_settled_it_rarely_changes() -> None:
    course = run(LONG, 500.0)
    late = [number for now, number in course.numbers if now > 300.0]
    assert sum(one != other for one, other in pairwise(late)) <= 2 * 2 * 200 / 60 + 2
