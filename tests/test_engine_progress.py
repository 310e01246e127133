"""Tests of counters: files, bytes, speed and remaining time, with a clock controlled by the test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.engine.events import Outcome
from era5dl.engine.progress import MIN_TRANSFER_TIME, OUTCOMES, SAMPLE_EVERY, SPEED_WINDOW, Counters, FileState

START = 1000.0
MB = 1_000_000


def fetch(counters: Counters, now: float, seconds: float, speed: float, every: float = 0.1) -> float:
    """Count bytes at a constant speed for some seconds, sampled as often as in a run; return the time afterwards."""
    for _ in range(round(seconds / every)):
        now += every
        count = round(speed * every)
        counters.fetched_bytes += count
        counters.done_bytes += count
        counters.sample(now)
    return now


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(FileState)), max_size=50))
def test_counts_match_the_states(changes: list[tuple[int, FileState]]) -> None:
    counters = Counters([10] * 5, START)
    for index, state in changes:
        counters.set_state(index, state)
    assert counters.counts == {state: list(counters.states).count(state) for state in FileState}


def test_all_files_wait_at_the_start() -> None:
    counters = Counters([10, 20, 0], START)
    assert (counters.total_bytes, counters.done_bytes, counters.counts[FileState.WAITING]) == (30, 0, 3)
    assert (counters.speed(START), counters.time_left(START)) == (0.0, None)


def test_an_object_of_another_size_changes_the_total() -> None:
    counters = Counters([10, 20], START)
    counters.resized(20, 5)
    assert counters.total_bytes == 15


def test_each_outcome_has_a_state() -> None:
    assert OUTCOMES == {
        Outcome.VERIFIED: FileState.VERIFIED,
        Outcome.CHECKED: FileState.CHECKED,
        Outcome.CHECKED_PART: FileState.CHECKED_PART,
    }
    assert set(Outcome) == {*OUTCOMES, Outcome.FAILED}


def test_a_constant_speed_is_reported_exactly() -> None:
    counters = Counters([1000 * MB], START)
    now = fetch(counters, START, 60, 5 * MB)
    assert counters.speed(now) == pytest.approx(5 * MB, rel=0.01)
    assert counters.time_left(now) == pytest.approx((1000 - 300) / 5, rel=0.01)


def test_the_speed_covers_only_the_last_seconds() -> None:
    counters = Counters([10_000 * MB], START)
    now = fetch(counters, START, 60, 50 * MB)
    now = fetch(counters, now, SPEED_WINDOW + 1, 1 * MB)
    assert counters.speed(now) == pytest.approx(1 * MB, rel=0.05)


def test_without_bytes_the_speed_falls_to_0_and_the_remaining_time_is_unknown() -> None:
    counters = Counters([1000 * MB], START)
    now = fetch(counters, START, 20, 5 * MB)
    falling = []
    for _ in range(5):
        now = fetch(counters, now, 2, 0)
        falling.append(counters.speed(now))
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == 0.0
    assert counters.time_left(now) is None


def test_the_remaining_time_is_unknown_in_the_first_seconds() -> None:
    counters = Counters([1000 * MB], START)
    now = fetch(counters, START, MIN_TRANSFER_TIME - 0.5, 5 * MB)
    assert counters.speed(now) > 0
    assert counters.time_left(now) is None
    assert counters.time_left(fetch(counters, now, 1.0, 5 * MB)) is not None


def test_a_pause_does_not_lower_the_speed() -> None:
    counters = Counters([1000 * MB], START)
    now = fetch(counters, START, 20, 5 * MB)
    counters.pause(now)
    assert counters.speed(now) == 0.0
    now += 3600
    counters.pause(now)  # the run continues
    now = fetch(counters, now, 4, 5 * MB)
    assert counters.speed(now) == pytest.approx(5 * MB, rel=0.01)
    assert counters.time_left(now) is not None


def test_bytes_fetched_twice_count_for_the_speed_but_not_as_progress() -> None:
    counters = Counters([100 * MB], START)
    now = fetch(counters, START, 10, 5 * MB)
    counters.done_bytes -= 50 * MB
    assert counters.speed(now) == pytest.approx(5 * MB, rel=0.01)
    assert counters.time_left(now) == pytest.approx(100 / 5, rel=0.01)


def test_frequent_sampling_keeps_few_samples() -> None:
    counters = Counters([100 * MB], START)
    fetch(counters, START, 60, MB, every=0.01)
    assert len(counters._samples) <= SPEED_WINDOW / SAMPLE_EVERY + 2
