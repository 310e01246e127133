"""Example data for session tests: small plans, and checkpoints with every kind of content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from era5dl.bucket.interface import ObjectInfo
from era5dl.planner.plan import Missing, Plan
from era5dl.ranges import RangeSet
from era5dl.session import Checkpoint, FailedObject, UnfinishedObject

REQUEST = {"selection": {"variables": ["e5.oper.an.pl/128_130_t"], "days": [["2021-02-01", "2021-02-28"]]}}


def objects(count: int, *, version: str = "a") -> tuple[ObjectInfo, ...]:
    return tuple(
        ObjectInfo(f"e5.oper.an.pl/202102/file {n} é.nc", 1000 + n, f'"{version}{n:031x}-3"', 1_600_000_000 + n)
        for n in range(count)
    )


def plan_of(found: Sequence[ObjectInfo]) -> Plan:
    return Plan(REQUEST, tuple(found), (Missing("e5.oper.an.pl/202102/none.nc", "absent"),))


def example_checkpoint(plan: Plan) -> Checkpoint:
    """Return a checkpoint with every kind of content, for a plan of ten objects or more."""
    changed = replace(plan.objects[5], etag='"ffff"', size=50_000)
    changed_too = replace(plan.objects[8], etag='"eeee"')
    return Checkpoint(
        verified=RangeSet([(0, 3)]),
        checked=RangeSet([(4, 5)]),
        unfinished=(
            UnfinishedObject(5, ((0, 20_000), (30_000, 50_000)), {0: "a" * 32, 1: "b" * 32, 7: "c" * 32}, 5000),
            UnfinishedObject(6, ((10, 900),), {}),
        ),
        failures=(FailedObject(7, plan.objects[7].key, "said “no”", "ask again", 1_700_000_000.5, "Denied"),),
        replaced={5: changed, 8: changed_too},
        done_bytes=44_906,
        ended=False,
    )


@st.composite
def checkpoints(draw: st.DrawFn, plan: Plan) -> Checkpoint:
    """Generate any checkpoint that an engine could save."""
    states = draw(st.lists(st.sampled_from("vcpu.f"), min_size=len(plan.objects), max_size=len(plan.objects)))
    replaced = {
        n: replace(plan.objects[n], etag=draw(st.text(max_size=40)), size=draw(st.integers(0, 2**40)))
        for n in draw(st.sets(st.integers(0, len(plan.objects) - 1), max_size=4))
    }
    unfinished = []
    for n in (n for n, state in enumerate(states) if state == "u"):
        size = replaced.get(n, plan.objects[n]).size
        done = RangeSet(draw(st.lists(st.tuples(st.integers(0, size), st.integers(0, size)), max_size=5)))
        digests = draw(st.dictionaries(st.integers(0, 9999), st.text("0123456789abcdef", min_size=32, max_size=32)))
        layout = draw(st.one_of(st.just(""), st.text("0123456789abcdef", min_size=32, max_size=32)))
        unfinished.append(UnfinishedObject(n, tuple(done), digests, draw(st.integers(0, 2**40)), layout))
    failures = tuple(
        FailedObject(n, plan.objects[n].key, draw(st.text(max_size=30)), "", draw(st.floats(0, 4e9)))
        for n, state in enumerate(states)
        if state == "f"
    )
    return Checkpoint(
        RangeSet((n, n + 1) for n, state in enumerate(states) if state == "v"),
        RangeSet((n, n + 1) for n, state in enumerate(states) if state == "c"),
        tuple(unfinished),
        failures,
        {n: obj for n, obj in sorted(replaced.items()) if obj != plan.objects[n]},
        draw(st.integers(0, 2**50)),
        draw(st.booleans()),
        RangeSet((n, n + 1) for n, state in enumerate(states) if state == "p"),
    )
