"""The turn is a courtesy: at most one thread has it, and nobody waits long for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from era5dl import turns
from era5dl.turns import Turn, Waits


def elsewhere(action: Callable[[], object]) -> object:
    """What this gives in another thread."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(action()))
    thread.start()
    thread.join(10)
    return found[0]


def taken(turn: Turn) -> bool:
    turn.take()
    try:
        return turn.held
    finally:
        turn.give()


@pytest.fixture
def turn() -> Turn:
    return Turn(patience=0.02)


def test_one_thread_has_it_and_the_others_go_on_without(turn: Turn) -> None:
    turn.take()
    turn.take()
    assert turn.held
    assert elsewhere(lambda: taken(turn)) is False
    turn.give()
    turn.give()
    assert not turn.held
    assert elsewhere(lambda: taken(turn)) is True


def test_around_a_wait_others_have_it(turn: Turn) -> None:
    turn.take()
    with turn.away():
        assert elsewhere(lambda: taken(turn)) is True
    assert turn.held
    turn.give()
    with turn.away():
        assert not turn.held
    assert not turn.held


def test_there_may_be_places_for_more_than_one() -> None:
    two = Turn(2, patience=0.02)
    two.take()
    assert elsewhere(lambda: (two.take(), two.held, elsewhere(lambda: taken(two)), two.give())) == (
        None,
        True,
        False,
        None,
    )
    assert elsewhere(lambda: taken(two)) is True
    two.give()


def test_a_turn_is_spent_after_a_while(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    assert not turn.spent
    turn.take()
    assert not turn.spent
    now[0] += turns.SPELL + 0.001
    assert turn.spent
    turn.give()
    assert not turn.spent


def test_over_waits_that_are_usually_brief_it_is_kept(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    waits = Waits()

    def kept(seconds: float) -> bool:
        with turn.away(waits):
            found = turn.held
            now[0] += seconds
        assert turn.held
        return found

    turn.take()
    assert all(kept(turns.BRIEF / 2) for _ in range(100))
    for _ in range(10):
        kept(turns.BRIEF * 10)  # a disk that has filled its cache
    assert not kept(turns.BRIEF * 10)
    for _ in range(100):
        kept(turns.BRIEF / 10)
    assert kept(turns.BRIEF / 10)
    turn.give()


def test_waits_of_those_who_have_no_turn_tell_nothing(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    """They belong to objects so large that their bytes are always waited for."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    waits = Waits()
    for _ in range(100):
        with turn.away(waits):
            now[0] += 1.0
    assert waits.brief


def test_who_had_none_does_not_get_one_by_waiting(turn: Turn) -> None:
    with turn.away():
        pass
    assert not turn.held


def test_where_turns_are_long_nobody_takes_any_for_a_while(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for _ in range(100):
        turn.take()
        now[0] += turns.LONG / 2
        turn.give()
    assert taken(turn)
    turn.take()
    now[0] += 1.0  # on a share that hangs
    turn.give()
    assert not taken(turn)
    now[0] += turns.OFF
    assert taken(turn)
