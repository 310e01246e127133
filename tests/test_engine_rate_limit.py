"""Tests of rate limit and throttle, with a clock controlled by the test."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.engine import rate_limit
from era5dl.engine.rate_limit import BURST, CLOCK_EVERY, RateLimiter, Throttle
from era5dl.errors import UsageError

START = 1_000_000.0  # seconds; an arbitrary start of a monotonic clock
MB = 1_000_000


def bytes_read(limit: RateLimiter, seconds: float, spenders: int, sizes: list[int], begin: float = START) -> int:
    """Return how many bytes these workers read in some simulated seconds, each as often as allowed."""
    dice, total = random.Random(1), 0
    ready = [(begin, number) for number in range(spenders)]
    while ready[0][0] < begin + seconds:
        now, number = heapq.heappop(ready)
        count = dice.choice(sizes)
        total += count
        wait = limit.consume(count, now)
        heapq.heappush(ready, (now + max(wait, 1e-4), number))  # the network needs some time, too
    return total


@pytest.mark.parametrize("spenders", [1, 8, 32])
@pytest.mark.parametrize("sizes", [[16_384], [1, 4_096, 65_536, 262_144]], ids=["TLS records", "all sizes"])
def test_the_average_rate_is_exact(spenders: int, sizes: list[int]) -> None:
    total = bytes_read(RateLimiter(5 * MB), 10.0, spenders, sizes)
    extra = spenders * max(sizes)  # each may have one more read in progress at the end
    assert 0.99 * 50 * MB <= total <= 1.01 * 50 * MB + extra


@given(st.integers(1, 10**9), st.lists(st.tuples(st.integers(0, 10**7), st.floats(0, 5)), min_size=1, max_size=50))
def test_never_more_bytes_than_the_rate_and_one_burst(rate: int, reads: list[tuple[int, float]]) -> None:
    """A caller that observes the waits never receives more than the rate allows since the start, plus one burst."""
    limit, now, total = RateLimiter(rate), START, 0
    for count, silence in reads:
        now += silence
        now += limit.consume(count, now)
        total += count
        assert total <= rate * (now - START + BURST) * (1 + 1e-9) + 1e-3 * rate


def test_a_silence_saves_at_most_one_burst() -> None:
    limit = RateLimiter(1000)
    assert limit.consume(100, START) == pytest.approx(0.1 - BURST)
    assert limit.consume(1000, START + 3600) == pytest.approx(1.0 - BURST)


def test_all_workers_share_one_limit() -> None:
    limit = RateLimiter(1000)
    waits = [limit.consume(1000, START) for _ in range(3)]
    assert waits == pytest.approx([1 - BURST, 2 - BURST, 3 - BURST])


@pytest.mark.parametrize("rate", [None, 0])
def test_without_a_limit_there_is_no_wait(rate: int | None) -> None:
    assert RateLimiter(rate).consume(10**12, START) == 0.0


def test_a_new_limit_applies_from_the_next_byte_on() -> None:
    limit = RateLimiter(10)
    limit.consume(1_000_000, START)  # would wait 28 hours
    limit.set(5 * MB)
    assert limit.rate == 5 * MB
    assert limit.consume(1000, START + 1) == 0.0
    assert bytes_read(limit, 10.0, 8, [16_384], begin=START + 1) == pytest.approx(50 * MB, rel=0.02)
    limit.set(None)
    assert limit.consume(10**12, START + 2) == 0.0


# -- throttling -----------------------------------------------------------------------------------------------------


def without_credit(workers: int = 8) -> Throttle:
    """A throttle without credit: the next throttled request reduces the number of requests."""
    throttle = Throttle(workers)
    assert not throttle.record_throttled(START, 0.0)
    return throttle


def with_full_credit(workers: int = 8) -> Throttle:
    """A throttle with the maximum credit."""
    throttle = Throttle(workers)
    for _ in range(10_000):
        throttle.record_answer()
    return throttle


def calm(throttle: Throttle, now: float, seconds: float) -> float:
    """Let some seconds pass without throttling; return the time afterwards."""
    end = now + seconds
    while now < end:
        now += 0.25
        throttle.recover(now)
    return now


REQUEST_TIME = 0.1  # duration of a request in seconds
RETRY_AFTER = 5.0  # Retry-After in seconds
IsThrottled = Callable[[int, float], bool]
"""(n, seconds) -> whether the server throttles the n-th request, from 0, at this time after the first one."""


def simulate(throttle: Throttle, is_throttled: IsThrottled, seconds: float) -> tuple[int, int]:
    """Return how many requests all workers send in some simulated seconds, and how many of them are answered.

    There are always other objects to request: a throttled one that waits stops no worker.
    """
    sent = answered = 0
    in_flight: list[float] = []  # end times of requests in flight
    now = START
    while now < START + seconds:
        throttle.recover(now)
        while now >= throttle.paused_until and len(in_flight) < throttle.allowed:
            heapq.heappush(in_flight, now + REQUEST_TIME)
        if not in_flight:
            now = throttle.paused_until
            continue
        now = heapq.heappop(in_flight)
        if is_throttled(sent, now - START):
            throttle.record_throttled(now, RETRY_AFTER)
        else:
            throttle.record_answer()
            answered += 1
        sent += 1
    return sent, answered


@pytest.mark.parametrize("workers", [1, 8, 64])
@pytest.mark.parametrize("first", [0, 7])
def test_one_throttled_request_in_twenty_reduces_nothing(workers: int, first: int) -> None:
    """The first request of all may be throttled."""
    throttle = Throttle(workers)
    sent, _ = simulate(throttle, lambda number, _: number % 20 == first, 100.0)
    assert sent == pytest.approx(simulate(Throttle(workers), lambda *_: False, 100.0)[0], abs=workers)
    assert (throttle.allowed, throttle.paused_until) == (workers, 0.0)
    assert throttle.count == pytest.approx(sent / 20, abs=1)


@pytest.mark.parametrize("seed", range(5))
def test_random_throttling_of_one_request_in_twenty_reduces_nothing(seed: int) -> None:
    """After a hundred answers, since chance could throttle several of the very first requests."""
    throttle, dice = Throttle(16), random.Random(seed)
    simulate(throttle, lambda number, _: number > 100 and dice.random() < 0.05, 200.0)
    assert (throttle.allowed, throttle.paused_until) == (16, 0.0)


@pytest.mark.parametrize("workers", [1, 8, 64])
def test_a_server_that_throttles_everything_gets_few_requests(workers: int) -> None:
    """All wait for Retry-After, and half as many requests follow: soon there is one request per wait."""
    for throttle in (Throttle(workers), with_full_credit(workers)):
        sent, _ = simulate(throttle, lambda *_: True, 100.0)
        assert sent <= 10 + 2 * workers + 100 / RETRY_AFTER
        assert throttle.allowed == 1


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_many_throttled_requests_reduce_the_number_of_requests(share: float) -> None:
    throttle, dice = with_full_credit(), random.Random(1)
    simulate(throttle, lambda *_: dice.random() < share, 100.0)
    assert throttle.paused_until > 0.0
    assert throttle.allowed < 8


def test_the_credit_covers_ten_throttled_requests() -> None:
    """The number of earlier answers does not matter: a server may become overloaded after hours."""
    throttle = with_full_credit()
    assert [throttle.record_throttled(START, RETRY_AFTER) for _ in range(12)] == [False] * 10 + [True] * 2
    assert (throttle.allowed, throttle.paused_until) == (4, START + RETRY_AFTER)


def test_the_first_throttled_request_concerns_its_object_and_the_second_all() -> None:
    throttle = Throttle(8)
    assert not throttle.record_throttled(START, RETRY_AFTER)
    assert (throttle.allowed, throttle.paused_until) == (8, 0.0)
    assert throttle.record_throttled(START, RETRY_AFTER)
    assert (throttle.allowed, throttle.paused_until) == (4, START + RETRY_AFTER)


def test_the_credit_is_earned_again_after_a_reduction() -> None:
    throttle = without_credit()
    for answers in (0, 1, Throttle.PRICE - 1):  # the rest of the credit is lost each time
        for _ in range(answers):
            throttle.record_answer()
        assert throttle.record_throttled(START, 0.0)
    for _ in range(Throttle.PRICE):
        throttle.record_answer()
    assert not throttle.record_throttled(START, 0.0)


def test_a_throttled_request_covered_by_credit_does_not_delay_growth() -> None:
    throttle = without_credit()
    throttle.record_throttled(START, 0.0)
    _, _ = simulate(throttle, lambda number, _: number % 20 == 19, 4 * Throttle.GROW_EVERY + 1)
    assert throttle.allowed == 8


def test_the_full_number_of_requests_returns_after_throttling() -> None:
    throttle = with_full_credit()
    simulate(throttle, lambda _, seconds: seconds < 20.0, 20.0 + RETRY_AFTER + 8 * Throttle.GROW_EVERY)
    assert throttle.allowed == 8


def test_throttled_requests_of_too_many_workers_are_forgiven_when_there_are_fewer() -> None:
    throttle = Throttle(64)
    for second in range(4):
        throttle.record_throttled(START + 2 * second, 60.0)
    assert throttle.allowed < 19
    throttle.set_workers(19)
    throttle.forgive()
    assert throttle.allowed == 19
    assert throttle.paused_until <= START
    throttle.record_throttled(START + 10, 1.0)
    assert throttle.allowed == 19, "as at the start, the first one means nothing"
    throttle.record_throttled(START + 10, 1.0)
    assert throttle.allowed == 9


def test_throttling_halves_the_requests_and_pauses_all() -> None:
    throttle = without_credit()
    throttle.record_throttled(START, 3.0)
    assert (throttle.allowed, throttle.paused_until, throttle.count) == (4, START + 3.0, 2)
    for later, allowed in ((10, 2), (20, 1), (30, 1)):
        throttle.record_throttled(START + later, 0.0)
        assert throttle.allowed == allowed


def test_simultaneous_throttled_requests_count_once() -> None:
    """Eight workers are throttled at the same moment, which must halve once and not eight times."""
    throttle = without_credit()
    for number in range(8):
        throttle.record_throttled(START + number * 0.1, delay=float(number))
    assert throttle.allowed == 4
    assert throttle.count == 1 + 8
    assert throttle.paused_until == pytest.approx(START + 7.7)  # the longest delay counts


def test_the_pause_is_never_shortened() -> None:
    throttle = without_credit()
    throttle.record_throttled(START, 60.0)
    throttle.record_throttled(START + 10, 1.0)
    assert throttle.paused_until == START + 60.0


def test_one_more_request_is_allowed_after_each_interval_without_throttling() -> None:
    throttle = without_credit()
    throttle.record_throttled(START, 0.0)
    now, seen = START, []
    for _ in range(6):
        now = calm(throttle, now, Throttle.GROW_EVERY)
        seen.append(throttle.allowed)
    assert seen == [5, 6, 7, 8, 8, 8]


def test_the_number_of_requests_does_not_grow_at_once() -> None:
    throttle = without_credit()
    throttle.record_throttled(START, 0.0)
    calm(throttle, START, Throttle.GROW_EVERY - 1.0)
    assert throttle.allowed == 4


def test_the_pause_does_not_count_as_time_without_throttling() -> None:
    throttle = without_credit()
    throttle.record_throttled(START, 60.0)
    now = calm(throttle, START, 60.0)
    assert throttle.allowed == 4
    calm(throttle, now, Throttle.GROW_EVERY)
    assert throttle.allowed == 5


def test_throttling_right_after_growth_halves_again() -> None:
    """Right after growth, throttling is most likely a consequence of it and must not be ignored as simultaneous."""
    throttle = without_credit()
    throttle.record_throttled(START, 0.0)
    now = calm(throttle, START, Throttle.GROW_EVERY)
    assert throttle.allowed == 5
    throttle.record_throttled(now + 0.2, 0.0)
    assert throttle.allowed == 2


def test_more_and_fewer_workers() -> None:
    throttle = Throttle(8)
    throttle.set_workers(16)
    assert throttle.allowed == 16
    throttle.set_workers(2)
    assert throttle.allowed == 2


@pytest.mark.parametrize("detour", [[16], [6], [2, 8], [1, 32]], ids=str)
def test_a_reduction_survives_changes_of_the_worker_count(detour: list[int]) -> None:
    """A user who changes the number of workers does not end the throttling by the server."""
    throttle = without_credit()
    throttle.record_throttled(START, 0.0)
    for workers in detour:
        throttle.set_workers(workers)
    assert throttle.allowed == 4


@given(st.lists(st.tuples(st.sampled_from(["refuse", "answer", "calm", "workers"]), st.integers(1, 64)), max_size=40))
def test_the_allowed_number_is_between_one_and_the_worker_count(story: list[tuple[str, int]]) -> None:
    throttle, now = Throttle(8), START
    for what, number in story:
        now += number / 4
        if what == "refuse":
            throttle.record_throttled(now, number / 8)
        elif what == "answer":
            throttle.record_answer()
        elif what == "workers":
            throttle.set_workers(number)
        else:
            throttle.recover(now)
        assert 1 <= throttle.allowed <= throttle.workers
    calm(throttle, max(now, throttle.paused_until), 64 * Throttle.GROW_EVERY + 1)
    assert throttle.allowed == throttle.workers


def test_a_connection_limit_reduces_requests_without_a_pause() -> None:
    throttle = Throttle(8)
    throttle.limit_connections(10.0, 3)
    assert (throttle.allowed, throttle.paused_until, throttle.count) == (3, 0.0, 0)
    throttle.limit_connections(10.5, 5)
    assert throttle.allowed == 3, "it never allows more requests"
    throttle.set_workers(16)
    assert throttle.allowed == 3, "nor after the user has set more workers"
    throttle.recover(10.5 + Throttle.GROW_EVERY)
    assert throttle.allowed == 4
    throttle.limit_connections(20.0, 0)
    assert throttle.allowed == 1


def test_the_rate_follows_a_timetable_while_workers_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    now, clock = [START], [datetime(2024, 1, 1, 19, 59, 59)]
    monkeypatch.setattr(rate_limit.time, "monotonic", lambda: now[0])
    limit = RateLimiter("08:00,1000 20:00,off", local_time=lambda: clock[0])
    assert limit.rate == 1000
    assert limit.consume(5000, START) > 4
    clock[0] += timedelta(seconds=1)
    now[0] += CLOCK_EVERY
    assert limit.rate is None
    assert limit.consume(10**9, now[0]) == 0
    clock[0] += timedelta(hours=12)
    now[0] += CLOCK_EVERY
    assert limit.rate == 1000
    assert limit.consume(1000, now[0]) == pytest.approx(1 - BURST), "bytes of the time without a limit cost nothing"


def test_a_timetable_looks_at_the_clock_twice_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = [START], []
    monkeypatch.setattr(rate_limit.time, "monotonic", lambda: now[0])
    limit = RateLimiter("08:00,1000", local_time=lambda: looks.append(now[0]) or datetime(2024, 1, 1))
    for _ in range(1000):
        now[0] += 0.01
        assert limit.rate == 1000
    assert 10 < len(looks) <= 22


def test_a_fixed_limit_replaces_a_timetable_and_the_reverse() -> None:
    limit = RateLimiter("00:00,1000")
    limit.set(2000)
    assert limit.rate == 2000
    limit.set("00:00,3K")
    assert limit.rate == 3000
    limit.set(None)
    assert limit.rate is None
    limit.set("5K")
    assert limit.rate == 5000
    with pytest.raises(UsageError):
        limit.set("8h,1M")
    assert limit.rate == 5000
