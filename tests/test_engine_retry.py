"""Tests of the retry policy: the table in the docstring of `decide`, and the delays."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.engine.retry import BASE, CAP, FEW_RETRIES, NETWORK_CAP, THROTTLE_BASE, Decision, decide
from era5dl.errors import Era5Error, Reaction, ServerBusy

RETRIES = 6


class Recorded:
    """Replaces random.uniform: records its arguments and returns the upper limit."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []

    def __call__(self, low: float, high: float) -> float:
        self.asked.append((low, high))
        return high


def failing(reaction: Reaction) -> Era5Error:
    error = Era5Error("it broke")
    error.reaction = reaction
    return error


def decision(reaction: Reaction, *, progressed: bool, failures: int = 0, retries: int = RETRIES) -> Decision:
    return decide(failing(reaction), progressed=progressed, failures=failures, retries=retries, draw=Recorded())


FIRST = BASE  # upper limit of the first backoff, in seconds
BUSY = THROTTLE_BASE

TABLE = {  # reaction: (delay, failures) after an attempt with bytes; without bytes, the first time; the second time
    Reaction.RETRY: ((0, 0), (FIRST, 1), (2 * FIRST, 2)),
    Reaction.RETRY_ONCE: ((0, 0), (0, 1), (2 * FIRST, 2)),
    Reaction.BACKOFF: ((FIRST, 0), (FIRST, 1), (2 * FIRST, 2)),
    Reaction.FEW_RETRIES: ((FIRST, 0), (FIRST, 1), (2 * FIRST, 2)),
    Reaction.THROTTLE: ((BUSY, 0), (BUSY, 1), (2 * BUSY, 2)),
    Reaction.WAIT_FOR_NETWORK: ((BASE, 0), (BASE, 0), (NETWORK_CAP, 1)),
    Reaction.PAUSE: ((0, 0), (0, 0), (0, 1)),
    Reaction.RESTART: ((0, 0), (0, 0), (0, 1)),
    Reaction.YIELD: ((0, 0), (0, 0), (0, 1)),
    Reaction.REOPEN: ((0, 0), (0, 0), (0, 1)),
    Reaction.FAIL_OBJECT: "ends",
    Reaction.FAIL_SESSION: "ends",
    Reaction.STOP: "ends",
}


def test_the_table_of_the_docstring_is_complete() -> None:
    assert set(TABLE) == set(Reaction)


@pytest.mark.parametrize("reaction", [r for r, line in TABLE.items() if line != "ends"])
def test_each_row_of_the_docstring(reaction: Reaction) -> None:
    first_with, first_without, second_without = TABLE[reaction]
    assert decision(reaction, progressed=True) == Decision(reaction, *first_with)
    assert decision(reaction, progressed=False) == Decision(reaction, *first_without)
    second = decision(reaction, progressed=False, failures=1)
    assert second == Decision(reaction, *second_without)
    assert second.again


@pytest.mark.parametrize("reaction", [r for r, line in TABLE.items() if line == "ends"])
@pytest.mark.parametrize("progressed", [True, False])
def test_final_reactions_take_effect_at_once(reaction: Reaction, progressed: bool) -> None:
    found = decision(reaction, progressed=progressed, failures=3)
    assert found == Decision(reaction, 0.0, 3)
    assert not found.again


@pytest.mark.parametrize("reaction", [Reaction.RETRY, Reaction.RETRY_ONCE, Reaction.BACKOFF, Reaction.THROTTLE])
@pytest.mark.parametrize("retries", [0, 1, 6])
def test_the_budget_counts_attempts_without_a_byte(reaction: Reaction, retries: int) -> None:
    """The object has failed after one attempt and `retries` more."""
    attempts, failures = 0, 0
    while True:
        attempts += 1
        found = decision(reaction, progressed=False, failures=failures, retries=retries)
        if not found.again:
            break
        failures = found.failures
    assert attempts == retries + 1
    assert found.reaction is Reaction.FAIL_OBJECT


@pytest.mark.parametrize("reaction", [Reaction.RETRY, Reaction.RETRY_ONCE, Reaction.BACKOFF, Reaction.THROTTLE])
def test_new_bytes_restore_the_whole_budget(reaction: Reaction) -> None:
    assert decision(reaction, progressed=True, failures=RETRIES) == decision(reaction, progressed=True)
    assert decision(reaction, progressed=True, failures=RETRIES, retries=0).again


@pytest.mark.parametrize("retries", [0, 1, 6])
@pytest.mark.parametrize("few_retries", [FEW_RETRIES, 6, 99])
def test_few_retries_has_its_own_smaller_budget(retries: int, few_retries: int) -> None:
    def again(failures: int) -> bool:
        error = failing(Reaction.FEW_RETRIES)
        return decide(
            error, progressed=False, failures=failures, retries=retries, draw=Recorded(), few_retries=few_retries
        ).again

    assert [again(failures) for failures in range(8)] == [failures < min(few_retries, retries) for failures in range(8)]


@pytest.mark.parametrize("reaction", [Reaction.WAIT_FOR_NETWORK, Reaction.PAUSE, Reaction.RESTART, Reaction.YIELD])
def test_outages_cost_no_budget(reaction: Reaction) -> None:
    found = decision(reaction, progressed=False, failures=RETRIES)
    assert found.again
    assert found.failures == RETRIES


@given(st.sampled_from([Reaction.RETRY, Reaction.BACKOFF, Reaction.THROTTLE]), st.integers(0, 999))
def test_delays_use_full_jitter_up_to_the_backoff_and_the_cap(reaction: Reaction, failures: int) -> None:
    """The delay is drawn from 0 to the backoff. 1000 retries are the maximum of the settings."""
    draw = Recorded()
    found = decide(failing(reaction), progressed=False, failures=failures, retries=1000, draw=draw)
    base = BUSY if reaction is Reaction.THROTTLE else FIRST
    assert draw.asked == [(0.0, min(CAP, base * 2**failures))]
    assert found.delay == draw.asked[0][1] <= CAP


def test_the_delay_is_the_drawn_value() -> None:
    dice = random.Random(7)
    error = failing(Reaction.BACKOFF)
    delays = [decide(error, progressed=False, failures=3, retries=9, draw=dice.uniform).delay for _ in range(500)]
    assert 0 <= min(delays) < 0.5 and 7.5 < max(delays) <= 8.0


@given(st.floats(0.001, 120), st.integers(0, 5))
def test_retry_after_is_observed_in_full(seconds: float, failures: int) -> None:
    busy = ServerBusy("slow down", retry_after=seconds)
    for low in (lambda a, b: a, lambda a, b: b):
        assert decide(busy, progressed=False, failures=failures, retries=9, draw=low).delay >= seconds
    spread = decide(busy, progressed=False, failures=failures, retries=9, draw=Recorded()).delay
    assert spread == pytest.approx(seconds + min(CAP, BUSY * 2**failures))  # not all workers at the same moment


@pytest.mark.parametrize("wish", [None, 0.0])
def test_a_busy_server_without_retry_after_is_throttled(wish: float | None) -> None:
    busy = ServerBusy("busy", retry_after=wish)
    assert decide(busy, progressed=False, failures=0, retries=6, draw=Recorded()).delay == BUSY
