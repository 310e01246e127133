"""Tests of RangeSet against a Python set of integers."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from era5dl.ranges import RangeSet

END = 40  # small, so that ranges often overlap, touch and contain each other

bounds = st.tuples(st.integers(0, END), st.integers(0, END))  # including empty and reversed ones
steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), bounds), max_size=30)


def both(history: list[tuple[str, tuple[int, int]]]) -> tuple[RangeSet, set[int]]:
    """Apply the same changes to a RangeSet and to a set."""
    ranges, model = RangeSet(), set[int]()
    for verb, (start, stop) in history:
        getattr(ranges, verb)(start, stop)
        (model.update if verb == "add" else model.difference_update)(range(start, stop))
    return ranges, model


def runs(numbers: set[int]) -> list[tuple[int, int]]:
    """Return the contiguous ranges of a set of integers, in order."""
    starts = sorted(n for n in numbers if n - 1 not in numbers)
    stops = sorted(n + 1 for n in numbers if n + 1 not in numbers)
    return list(zip(starts, stops, strict=True))


@given(steps)
@example([("add", (0, 5)), ("add", (5, 9))])
@example([("add", (0, 9)), ("remove", (3, 5)), ("remove", (9, 12))])
def test_ranges_are_merged_and_contain_the_added_numbers(history):
    ranges, model = both(history)
    assert list(ranges) == runs(model)
    assert len(ranges) == len(runs(model))
    assert ranges.total() == len(model)
    assert {n for n in range(-1, END + 2) if n in ranges} == model
    assert bool(ranges) == bool(model)


@given(steps, bounds)
@example([("add", (0, 10))], (5, 5))
@example([("add", (0, 10))], (5, 3))
def test_missing_overlapping_and_covers_agree_with_the_set(history, span):
    ranges, model = both(history)
    start, stop = span
    inside = set(range(start, stop))
    assert ranges.missing(start, stop) == runs(inside - model)
    assert list(ranges.overlapping(start, stop)) == runs(inside & model)
    assert ranges.covers(start, stop) == (inside <= model)


@given(steps, st.integers(0, END))
def test_contiguous_end_is_the_first_gap(history, start):
    ranges, model = both(history)
    end = next(n for n in range(start, END + 2) if n not in model)
    assert ranges.contiguous_end(start) == end


@given(steps, steps)
def test_equality_does_not_depend_on_the_order_of_changes(one, other):
    first, first_model = both(one)
    second, second_model = both(other)
    assert (first == second) == (first_model == second_model)
    assert first == RangeSet(runs(first_model))
    assert first == RangeSet(reversed(list(first)))


@given(steps, bounds)
def test_a_copy_is_independent(history, span):
    ranges, model = both(history)
    twin = ranges.copy()
    assert twin == ranges
    twin.add(*span)
    twin.remove(0, END // 2)
    assert list(ranges) == runs(model)


def test_it_can_be_changed_during_iteration():
    ranges = RangeSet([(0, 1), (2, 3), (4, 5)])
    for start, stop in ranges:
        ranges.remove(start, stop)
    assert list(ranges) == []


def test_adjacent_ranges_are_merged():
    ranges = RangeSet()
    for start in range(0, 10_000, 10):
        ranges.add(start, start + 10)
    assert list(ranges) == [(0, 10_000)]


def test_it_is_unhashable_and_equals_only_range_sets():
    with pytest.raises(TypeError):
        hash(RangeSet())
    assert RangeSet([(1, 2)]) != [(1, 2)]
    assert repr(RangeSet([(1, 2), (4, 6)])) == "RangeSet([(1, 2), (4, 6)])"
