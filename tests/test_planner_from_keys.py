"""Tests of plans from a list of keys."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era5dl.errors import Denied, Refused, ServerFault, Stopped, UsageError
from era5dl.planner import ABSENT, concurrent_requests, no_files, plan_keys
from era5dl.planner.from_keys import EXTRA_OBJECTS
from tests.memory_bucket import MemoryBucket


def test_found_and_absent_in_the_order_of_the_list():
    bucket = MemoryBucket(["a/1", "a/2", "a/3", "b/1", "root"])
    plan = plan_keys(["b/1", "a/3", "root", "a/9", "a/1", "c/1", "b/1"], bucket)
    assert [obj.key for obj in plan.objects] == ["b/1", "a/3", "root", "a/1"]
    assert [(m.key, m.reason) for m in plan.missing] == [("a/9", ABSENT), ("c/1", ABSENT)]
    assert plan.objects[0] == MemoryBucket.info("b/1")
    assert plan.request["count"] == 6


def test_the_request_is_the_list():
    bucket = MemoryBucket(["a/1", "a/2"])
    assert plan_keys(["a/1", "a/2"], bucket).request == plan_keys(["a/1", "a/", "a/2", "a/1"], bucket).request
    assert plan_keys(["a/1", "a/2"], bucket).request != plan_keys(["a/2", "a/1"], bucket).request


def test_one_key_costs_one_head_and_more_of_a_folder_one_listing():
    bucket = MemoryBucket([f"{folder}/{n}" for folder in "abc" for n in range(20)])
    plan_keys(["a/1", "b/11", "b/12", "c/3", "c/4", "c/5"], bucket)
    assert sorted(bucket.requests) == [("head", "a/1"), ("list", "b/1"), ("list", "c/")]


def test_markers_and_the_web_page_are_passed_over():
    bucket = MemoryBucket(["index.html", "a/", "a/1", "docs/index.html"])
    plan = plan_keys(["index.html", "a/", "a/1", "docs/index.html"], bucket)
    assert [obj.key for obj in plan.objects] == ["a/1", "docs/index.html"]
    assert plan.missing == ()
    assert plan.passed_over == ("index.html", "a/")
    assert no_files(plan.passed_over) == (
        "2 keys that name a folder, or the bucket's web page, and no file of data (index.html, a/)"
    )
    assert no_files(["a/"]) == "1 key that names a folder and no file (a/)"


@pytest.mark.parametrize("keys", [[], ["index.html", "a/"]])
def test_no_key_at_all(keys):
    with pytest.raises(UsageError, match="no key"):
        plan_keys(keys, MemoryBucket([]))


def test_a_folder_of_very_many_objects_is_not_listed_to_its_end():
    bucket = MemoryBucket(f"a/{n:06}" for n in range(50_000))
    plan = plan_keys(["a/000001", "a/049999", "a/050001"], bucket)
    assert [obj.key for obj in plan.objects] == ["a/000001", "a/049999"]
    assert [m.key for m in plan.missing] == ["a/050001"]
    assert bucket.shown == 3 + EXTRA_OBJECTS
    assert sorted(bucket.verbs("head")) == ["a/049999", "a/050001"]


def test_a_listing_ends_when_all_is_found():
    bucket = MemoryBucket(f"a/{n:06}" for n in range(50_000))
    plan_keys(["a/000001", "a/000101"], bucket)
    assert bucket.shown == 102 - 0


def test_a_prefix_of_another_key_is_a_key():
    bucket = MemoryBucket(["a/x", "a/x.nc", "a/x/y"])
    assert [obj.key for obj in plan_keys(["a/x", "a/x.nc", "a/x/y"], bucket).objects] == ["a/x", "a/x.nc", "a/x/y"]


@pytest.mark.parametrize("error", [Denied("403"), Refused("400: the key is too long")], ids=repr)
def test_a_key_the_server_refuses_is_missing_and_says_why(monkeypatch, error):
    monkeypatch.setattr(concurrent_requests, "BASE", 0.001)

    def refuse(verb, key, page):
        if key == "a/1":
            raise error

    plan = plan_keys(["a/1", "b/1"], MemoryBucket(["b/1"], refuse))
    assert [(m.key, m.reason) for m in plan.missing] == [("a/1", str(error))]


def test_a_key_refused_once_is_asked_for_again(monkeypatch):
    """Firewalls and servers under load say 403 and do not mean it."""
    monkeypatch.setattr(concurrent_requests, "BASE", 0.001)
    asked = []

    def refuse_the_first(verb, key, page):
        asked.append(key)
        if asked.count(key) <= 2:
            raise Denied("403")

    plan = plan_keys(["a/1", "b/1"], MemoryBucket(["a/1", "b/1"], refuse_the_first))
    assert ([obj.key for obj in plan.objects], plan.missing) == (["a/1", "b/1"], ())


def test_a_server_that_fails_is_an_error(monkeypatch):
    monkeypatch.setattr(concurrent_requests, "BASE", 0.001)

    def fail(verb, key, page):
        raise ServerFault("500")

    for keys in (["a/1"], ["a/1", "a/2"]):
        with pytest.raises(ServerFault):
            plan_keys(keys, MemoryBucket(["a/1", "a/2"], fail))


def test_a_listing_that_is_denied_is_an_error(monkeypatch):
    monkeypatch.setattr(concurrent_requests, "BASE", 0.001)

    def deny(verb, key, page):
        raise Denied("403")

    with pytest.raises(Denied):
        plan_keys(["a/1", "a/2"], MemoryBucket(["a/1", "a/2"], deny))


def test_stop():
    with pytest.raises(Stopped):
        plan_keys(["a/1"], MemoryBucket(["a/1"]), cancelled=lambda: True)


names = st.text(alphabet="ab/é ", min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.sets(names, max_size=12), st.lists(names, min_size=1, max_size=12))
def test_every_key_is_found_or_missing(there, asked):
    bucket = MemoryBucket(there)
    asked = [key for key in asked if not key.endswith("/")] or ["x"]
    plan = plan_keys(asked, bucket, parallel=2)
    assert [obj.key for obj in plan.objects] == [key for key in dict.fromkeys(asked) if key in there]
    assert [m.key for m in plan.missing] == [key for key in dict.fromkeys(asked) if key not in there]
