"""Tests of plans from a list of keys."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era5dl.errors import Denied, Refused, ServerFault, Stopped, UsageError
from era5dl.planner import ABSENT, concurrent_requests, describe_passed_over, estimate_plan, plan_keys
from era5dl.planner.from_keys import EXTRA_OBJECTS
from era5dl.subset.selection import Subset
from tests.memory_bucket import MemoryBucket


def test_objects_and_missing_keys_are_in_the_order_of_the_list():
    bucket = MemoryBucket(["a/1", "a/2", "a/3", "b/1", "root"])
    plan = plan_keys(["b/1", "a/3", "root", "a/9", "a/1", "c/1", "b/1"], bucket)
    assert [obj.key for obj in plan.objects] == ["b/1", "a/3", "root", "a/1"]
    assert [(m.key, m.reason) for m in plan.missing] == [("a/9", ABSENT), ("c/1", ABSENT)]
    assert plan.objects[0] == MemoryBucket.info("b/1")
    assert plan.request["count"] == 6


def test_request_depends_on_keys_and_order_only():
    bucket = MemoryBucket(["a/1", "a/2"])
    assert plan_keys(["a/1", "a/2"], bucket).request == plan_keys(["a/1", "a/", "a/2", "a/1"], bucket).request
    assert plan_keys(["a/1", "a/2"], bucket).request != plan_keys(["a/2", "a/1"], bucket).request


def test_one_key_of_a_folder_costs_a_head_and_several_cost_one_listing():
    bucket = MemoryBucket([f"{folder}/{n}" for folder in "abc" for n in range(20)])
    plan_keys(["a/1", "b/11", "b/12", "c/3", "c/4", "c/5"], bucket)
    assert sorted(bucket.requests) == [("head", "a/1"), ("list", "b/1"), ("list", "c/")]


def test_folder_markers_and_the_web_page_are_passed_over():
    bucket = MemoryBucket(["index.html", "a/", "a/1", "docs/index.html"])
    plan = plan_keys(["index.html", "a/", "a/1", "docs/index.html"], bucket)
    assert [obj.key for obj in plan.objects] == ["a/1", "docs/index.html"]
    assert plan.missing == ()
    assert plan.passed_over == ("index.html", "a/")
    assert describe_passed_over(plan.passed_over) == (
        "2 keys that name a folder, or the bucket's web page, and no file of data (index.html, a/)"
    )
    assert describe_passed_over(["a/"]) == "1 key that names a folder and no file (a/)"


@pytest.mark.parametrize("keys", [[], ["index.html", "a/"]])
def test_list_without_keys_is_an_error(keys):
    with pytest.raises(UsageError, match="no key"):
        plan_keys(keys, MemoryBucket([]))


def test_huge_folder_is_not_listed_completely():
    bucket = MemoryBucket(f"a/{n:06}" for n in range(50_000))
    plan = plan_keys(["a/000001", "a/049999", "a/050001"], bucket)
    assert [obj.key for obj in plan.objects] == ["a/000001", "a/049999"]
    assert [m.key for m in plan.missing] == ["a/050001"]
    assert bucket.shown == 3 + EXTRA_OBJECTS
    assert sorted(bucket.verbs("head")) == ["a/049999", "a/050001"]


def test_listing_ends_when_all_keys_are_found():
    bucket = MemoryBucket(f"a/{n:06}" for n in range(50_000))
    plan_keys(["a/000001", "a/000101"], bucket)
    assert bucket.shown == 102


def test_key_that_is_a_prefix_of_another_key_is_found():
    bucket = MemoryBucket(["a/x", "a/x.nc", "a/x/y"])
    assert [obj.key for obj in plan_keys(["a/x", "a/x.nc", "a/x/y"], bucket).objects] == ["a/x", "a/x.nc", "a/x/y"]


@pytest.mark.parametrize("error", [Denied("403"), Refused("400: the key is too long")], ids=repr)
def test_key_that_the_server_refuses_is_missing_with_the_reason(monkeypatch, error):
    monkeypatch.setattr(concurrent_requests, "BACKOFF_BASE", 0.001)

    def refuse(verb, key, page):
        if key == "a/1":
            raise error

    plan = plan_keys(["a/1", "b/1"], MemoryBucket(["b/1"], refuse))
    assert [(m.key, m.reason) for m in plan.missing] == [("a/1", str(error))]


def test_refused_key_is_requested_again(monkeypatch):
    """Firewalls and overloaded servers send a 403 that is gone at the next attempt."""
    monkeypatch.setattr(concurrent_requests, "BACKOFF_BASE", 0.001)
    asked = []

    def refuse_the_first(verb, key, page):
        asked.append(key)
        if asked.count(key) <= 2:
            raise Denied("403")

    plan = plan_keys(["a/1", "b/1"], MemoryBucket(["a/1", "b/1"], refuse_the_first))
    assert ([obj.key for obj in plan.objects], plan.missing) == (["a/1", "b/1"], ())


def test_server_failure_is_an_error(monkeypatch):
    monkeypatch.setattr(concurrent_requests, "BACKOFF_BASE", 0.001)

    def fail(verb, key, page):
        raise ServerFault("500")

    for keys in (["a/1"], ["a/1", "a/2"]):
        with pytest.raises(ServerFault):
            plan_keys(keys, MemoryBucket(["a/1", "a/2"], fail))


def test_denied_listing_is_an_error(monkeypatch):
    monkeypatch.setattr(concurrent_requests, "BACKOFF_BASE", 0.001)

    def deny(verb, key, page):
        raise Denied("403")

    with pytest.raises(Denied):
        plan_keys(["a/1", "a/2"], MemoryBucket(["a/1", "a/2"], deny))


def test_cancellation_raises_stopped():
    with pytest.raises(Stopped):
        plan_keys(["a/1"], MemoryBucket(["a/1"]), cancelled=lambda: True)


names = st.text(alphabet="ab/é ", min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.sets(names, max_size=12), st.lists(names, min_size=1, max_size=12))
def test_every_key_is_either_found_or_missing(there, asked):
    bucket = MemoryBucket(there)
    asked = [key for key in asked if not key.endswith("/")] or ["x"]
    plan = plan_keys(asked, bucket, parallel=2)
    assert [obj.key for obj in plan.objects] == [key for key in dict.fromkeys(asked) if key in there]
    assert [m.key for m in plan.missing] == [key for key in dict.fromkeys(asked) if key not in there]


def test_a_subset_is_a_part_of_the_request():
    subset = Subset(hours=(0, 12))
    plan = plan_keys(["a/x.nc"], MemoryBucket(["a/x.nc"]), subset=subset)
    assert (plan.subset, plan.request["subset"]) == (subset, {"hours": [0, 12]})
    assert "subset" not in plan_keys(["a/x.nc"], MemoryBucket(["a/x.nc"])).request
    assert estimate_plan(plan).total.fetched == plan.total_bytes  # not an ERA5 file: it is fetched whole
