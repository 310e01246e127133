"""Tests of the memory per object of a plan, counted by tracemalloc, independent of the machine's load.

The budgets are a fifth to a half above what was seen; what they keep away is a second copy of the plan, as one text,
one list or one dict, which costs 100 to 400 bytes an object.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from era5dl import select
from era5dl.engine.engine import Engine
from era5dl.planner import Plan, make_plan, plan_keys
from era5dl.session import Session
from era5dl.settings import Settings
from tests.memory_bucket import MemoryBucket

pytestmark = pytest.mark.slow

OBJECTS = 5_000
SETTINGS = Settings(disk_reserve=0)
T = TypeVar("T")


def keys(count: int) -> list[str]:
    return [f"e5.oper.an.sfc/{n // 500:06}/e5.oper.an.sfc.128_167_2t.ll025sc.{n:010}.nc" for n in range(count)]


def cost(step: Callable[[], T], objects: int = OBJECTS) -> tuple[T, float, float]:
    """Return the result of a call, and the remaining and the peak bytes per object."""
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    result = step()
    after, most = tracemalloc.get_traced_memory()
    return result, (after - before) / objects, (most - before) / objects


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    """Create a plan, after a smaller one, so that one-time costs do not count."""
    small = plan_keys(["a/1", "a/2"], MemoryBucket(["a/1"]))
    Session.begin(tmp_path / "first", small, SETTINGS).close()
    Session.open(tmp_path / "first").close()
    wanted = keys(OBJECTS)
    made = plan_keys(wanted, MemoryBucket(wanted))
    assert made.digest
    tracemalloc.start()
    yield made
    tracemalloc.stop()


def test_memory_per_object_of_planning_keys(plan: Plan) -> None:
    wanted = [obj.key for obj in plan.objects]
    bucket = MemoryBucket(wanted)
    made, kept, most = cost(lambda: plan_keys(wanted, bucket))
    assert made == plan
    assert kept < 230
    assert most < 300


def test_memory_per_object_of_planning_a_selection(plan: Plan) -> None:
    wanted = select(["t", "q"], product="an.pl", start="2010-01-01", end="2015-12-31")
    expected = [gap.key for gap in make_plan(wanted, MemoryBucket([])).missing]
    bucket = MemoryBucket(expected)
    made, kept, most = cost(lambda: make_plan(wanted, bucket), len(expected))
    assert len(made.objects) == len(expected) == 4382
    assert kept < 280
    assert most < 500


def test_memory_per_object_of_starting_and_resuming_a_session(plan: Plan, tmp_path: Path) -> None:
    for _ in range(2):  # the plan is written the first time, and compared the second time
        session, kept, most = cost(lambda: Session.begin(tmp_path / "out", plan, SETTINGS))
        assert kept < 10
        assert most < 90
        session.close()


def test_memory_per_object_of_the_engine(plan: Plan, tmp_path: Path) -> None:
    with Session.begin(tmp_path / "out", plan, SETTINGS) as session:
        _, kept, most = cost(lambda: Engine(MemoryBucket([]), session, SETTINGS))
    assert kept < 70
    assert most < 80


def test_memory_per_object_of_opening_a_session(plan: Plan, tmp_path: Path) -> None:
    Session.begin(tmp_path / "out", plan, SETTINGS).close()
    session, kept, most = cost(lambda: Session.open(tmp_path / "out"))
    assert session.plan == plan
    session.close()
    assert kept < 400
    assert most < 460
