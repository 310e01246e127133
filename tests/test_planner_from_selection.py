"""Tests of plans from a selection."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.catalog import find_product, key_of, parse_key, periods, products, variables
from era5dl.errors import Denied, Interrupted, ServerBusy, ServerFault, Stopped, Unreachable, Untrusted
from era5dl.planner import ABSENT, NOT_YET_PUBLISHED, Missing, Plan, concurrent_requests, make_plan
from era5dl.selection import Selection, choose, days_of
from tests.memory_bucket import MemoryBucket

TODAY = date(2021, 6, 15)


def keys_of(first: date, last: date, *, product: str = "", without: str = " ") -> list[str]:
    """All keys the bucket should have for these days, of one product or of all."""
    return [
        key_of(v, p)
        for v in variables()
        if v.product.name.startswith(product) and without not in v.name
        for p in periods(v.product, first, last)
    ]


def wanted(*names: str, start: str = "2021-02-01", end: str = "2021-02-28", preset: str = "") -> Selection:
    return Selection(choose(names, presets=[preset] if preset else []), days_of(start=start, end=end))


@pytest.fixture(scope="module")
def winter() -> list[str]:
    """All of 2020-12 to 2021-03, and what else lies about in the bucket."""
    clutter = ["index.html", "e5.oper.an.sfc/", "e5.oper.an.sfc/202102/", "e5.oper.fc.sfc.instan/202102/"]
    return keys_of(date(2020, 12, 1), date(2021, 3, 31)) + clutter


def test_the_memory_bucket_is_a_bucket():
    bucket: Bucket = MemoryBucket([])
    assert list(bucket.list("")) == []


def test_wrf_for_a_month(winter):
    plan = make_plan(wanted(preset="wrf"), MemoryBucket(winter), today=TODAY)
    assert plan.missing == ()
    counts = Counter(parse_key(obj.key).product.name for obj in plan.objects)
    assert counts == {"an.pl": 5 * 28, "an.sfc": 19, "invariant": 2}
    assert len({obj.key for obj in plan.objects}) == len(plan.objects)
    assert plan.request == {"selection": wanted(preset="wrf").to_json()}
    assert plan.total_bytes == sum(obj.size for obj in plan.objects)


def test_sizes_etags_and_dates_come_from_the_listing(winter):
    for obj in make_plan(wanted("2t"), MemoryBucket(winter), today=TODAY).objects:
        assert obj == MemoryBucket.info(obj.key)
        assert obj.last_modified


def test_one_calendar_month_of_a_forecast(winter):
    plan = make_plan(wanted("lsp"), MemoryBucket(winter), today=TODAY)
    assert [obj.key.rsplit(".", 2)[1] for obj in plan.objects] == [
        "2021011606_2021020106",
        "2021020106_2021021606",
        "2021021606_2021030106",
    ]


def test_order_is_by_time_then_by_variable(winter):
    plan = make_plan(wanted("msl", "2t", "an.pl/t", "lsm", "cp", end="2021-03-31"), MemoryBucket(winter), today=TODAY)
    parsed = [parse_key(obj.key) for obj in plan.objects]
    starts = [key.start for key in parsed]
    assert starts == sorted(starts)
    assert [key.variable.name for key in parsed if key.start.isoformat() == "2021-03-01T00:00:00"] == [
        "an.pl/t",
        "an.sfc/msl",
        "an.sfc/2t",
    ]
    assert parsed[0].variable.name == "invariant/lsm"


def test_a_file_that_serves_two_ranges_is_planned_once(winter):
    days = days_of(years=[2021], months=[2], days=[1, 15, 28])
    plan = make_plan(Selection(choose(["2t", "lsp", "an.pl/t"]), days), MemoryBucket(winter), today=TODAY)
    keys = [obj.key for obj in plan.objects]
    assert len(keys) == len(set(keys)) == 1 + 3 + 3
    assert plan.missing == ()


def test_one_listing_for_each_product_and_month(winter):
    bucket = MemoryBucket(winter)
    make_plan(wanted("msl", "2t", "an.pl/t", "lsm", "cp", end="2021-03-31"), bucket, today=TODAY)
    folders = Counter("/".join(prefix.split("/")[:2]) for prefix in bucket.verbs("list"))
    assert bucket.verbs("head") == []
    assert folders == {
        "e5.oper.an.pl/202102": 1,
        "e5.oper.an.pl/202103": 1,
        "e5.oper.an.sfc/202102": 1,
        "e5.oper.an.sfc/202103": 1,
        "e5.oper.fc.sfc.accumu/202101": 1,
        "e5.oper.fc.sfc.accumu/202102": 1,
        "e5.oper.fc.sfc.accumu/202103": 1,
        "e5.oper.invariant/197901": 1,
    }


def test_a_few_variables_cost_a_few_rows(winter):
    bucket = MemoryBucket(winter)
    make_plan(wanted("an.pl/t"), bucket, today=TODAY)
    assert bucket.shown == 28, "not the 448 objects of the whole month"
    assert bucket.verbs("list") == ["e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.202102"]


def test_pages_are_followed():
    """No month of ERA5 has more than a page of objects, so strangers fill it up."""
    keys = keys_of(date(2021, 2, 1), date(2021, 2, 28), product="an.pl")
    strangers = [f"e5.oper.an.pl/202102/e5.oper.an.pl.128_1{n:04}.nc" for n in range(1500)]
    bucket = MemoryBucket(keys + strangers)
    plan = make_plan(wanted(*(v.name for v in variables() if v.product.name == "an.pl")), bucket, today=TODAY)
    assert len(plan.objects) == 16 * 28
    assert len(bucket.verbs("list")) == 2


@pytest.mark.parametrize("spelling", ["deg0l", "deg01"])
def test_the_listing_settles_how_the_zero_degree_level_is_spelled(winter, spelling):
    keys = [key.replace("deg0l", spelling) for key in winter]
    plan = make_plan(wanted("deg0l"), MemoryBucket(keys), today=TODAY)
    assert len(plan.objects) == 3
    assert all(f"228_024_{spelling}.ll025sc" in obj.key for obj in plan.objects)
    assert plan.missing == ()


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("ewss", "128_180_ewss.ll025sc", "128_180_ewss.ll025uv"),  # the grid is inferred
        ("vike", "162_059_vike.ll025sc", "162_159_vike.ll025sc"),  # the number is inferred
    ],
)
def test_the_listing_settles_what_the_catalogue_is_not_sure_of(winter, name, ours, theirs):
    plan = make_plan(wanted(name), MemoryBucket([key.replace(ours, theirs) for key in winter]), today=TODAY)
    assert plan.missing == ()
    assert all(theirs in obj.key for obj in plan.objects)


def test_a_sure_variable_is_never_replaced_by_its_like(winter):
    keys = [key.replace("128_167_2t.ll025sc", "128_167_2x.ll025sc") for key in winter]
    plan = make_plan(wanted("2t"), MemoryBucket(keys), today=TODAY)
    assert plan.objects == ()
    assert len(plan.missing) == 1


def test_a_sure_variable_is_not_replaced_beside_an_unsure_one_either(winter):
    keys = [key.replace("128_142_lsp", "128_142_lsx") for key in winter]
    plan = make_plan(wanted("lsp", "ewss"), MemoryBucket(keys), today=TODAY)
    assert {parse_key(obj.key).short for obj in plan.objects} == {"ewss"}
    assert len(plan.missing) == 3


def test_the_short_name_is_surer_than_the_numbers(winter):
    keys = [key.replace("162_059_vike", "162_159_vike") for key in winter]
    keys += [key.replace("162_159_vike", "162_059_abc") for key in keys if "162_159_vike" in key]
    plan = make_plan(wanted("vike"), MemoryBucket(keys), today=TODAY)
    assert ["162_159_vike" in obj.key for obj in plan.objects] == [True]


def test_an_unsure_variable_never_takes_the_file_of_another(winter):
    """Were two numbers the wrong way round in the catalogue, the short names would still tell them apart."""
    swap = {"162_067_vikee": "162_068_vikee", "162_068_viken": "162_067_viken"}
    keys = [key.replace(ours, theirs) for key in winter for ours, theirs in swap.items() if ours in key]
    plan = make_plan(wanted("vikee"), MemoryBucket(keys), today=TODAY)
    assert ["162_068_vikee" in obj.key for obj in plan.objects] == [True]
    plan = make_plan(wanted("vikee"), MemoryBucket(key for key in keys if "vikee" not in key), today=TODAY)
    assert plan.objects == ()


def test_invariants_alone():
    bucket = MemoryBucket(keys_of(date(1979, 1, 1), date(1979, 1, 1), product="invariant"))
    plan = make_plan(Selection(choose(["lsm", "invariant/z"])), bucket, today=TODAY)
    assert [parse_key(obj.key).variable.name for obj in plan.objects] == ["invariant/z", "invariant/lsm"]
    assert len(bucket.requests) == 1


class TestMissing:
    def test_one_variable_of_a_published_month_is_absent(self):
        bucket = MemoryBucket(keys_of(date(1990, 1, 1), date(1990, 3, 31), without="an.sfc/sp"))
        plan = make_plan(wanted("2t", "sp", start="1990-01-01", end="1990-02-28"), bucket, today=TODAY)
        assert [m.key.split("/")[1] for m in plan.missing] == ["199001", "199002"]
        assert {m.reason for m in plan.missing} == {ABSENT}
        assert len(plan.objects) == 2

    def test_months_after_the_newest_are_not_yet_published(self, winter):
        plan = make_plan(wanted("2t", end="2021-06-30"), MemoryBucket(winter), today=TODAY)
        assert [(m.key[-24:-3], m.reason) for m in plan.missing] == [
            ("2021040100_2021043023", NOT_YET_PUBLISHED),
            ("2021050100_2021053123", NOT_YET_PUBLISHED),
            ("2021060100_2021063023", NOT_YET_PUBLISHED),
        ]

    def test_a_recent_month_alone_is_not_yet_published(self, winter):
        plan = make_plan(wanted("2t", start="2021-05-01", end="2021-05-31"), MemoryBucket(winter), today=TODAY)
        assert [m.reason for m in plan.missing] == [NOT_YET_PUBLISHED]

    def test_an_old_month_alone_is_absent(self, winter):
        plan = make_plan(wanted("2t", start="2001-05-01", end="2001-05-31"), MemoryBucket(winter), today=TODAY)
        assert [m.reason for m in plan.missing] == [ABSENT]

    def test_a_hole_in_the_middle_is_absent(self, winter):
        keys = [key for key in winter if "/202102/" not in key]
        plan = make_plan(wanted("2t", start="2021-01-01", end="2021-03-31"), MemoryBucket(keys), today=TODAY)
        assert [m.reason for m in plan.missing] == [ABSENT]

    def test_the_newest_month_may_be_half_published(self, winter):
        keys = [key for key in winter if "_2021032" not in key]
        selection = wanted("an.pl/t", start="2021-03-01", end="2021-03-31")
        assert {m.reason for m in make_plan(selection, MemoryBucket(keys), today=TODAY).missing} == {NOT_YET_PUBLISHED}
        assert {m.reason for m in make_plan(selection, MemoryBucket(keys), today=date(2031, 1, 1)).missing} == {ABSENT}

    def test_products_end_at_different_months(self, winter):
        keys = [key for key in winter if not (key.startswith("e5.oper.fc") and "/202103/" in key)]
        plan = make_plan(wanted("2t", "lsp", end="2021-03-31"), MemoryBucket(keys), today=TODAY)
        assert {(parse_key(m.key).product.name, m.reason) for m in plan.missing} == {
            ("fc.sfc.accumu", NOT_YET_PUBLISHED)
        }

    def test_missing_files_stand_in_the_order_of_the_plan(self):
        plan = make_plan(wanted("2t", "an.pl/t", end="2021-03-02"), MemoryBucket([]), today=TODAY)
        starts = [parse_key(m.key).start for m in plan.missing]
        assert len(starts) == 28 + 2 + 2
        assert starts == sorted(starts)

    def test_an_invariant_is_never_on_its_way(self):
        plan = make_plan(Selection(choose(["lsm"])), MemoryBucket([]), today=date(1979, 2, 1))
        assert [m.reason for m in plan.missing] == [ABSENT]


class TestFailures:
    """A listing that fails is an error, never a shorter plan."""

    @pytest.fixture(autouse=True)
    def no_waiting(self, monkeypatch):
        monkeypatch.setattr(concurrent_requests, "BASE", 0.001)

    @pytest.mark.parametrize("error", [Untrusted("who is this"), KeyError("a bug")], ids=repr)
    def test_what_asking_again_does_not_cure_is_raised_at_once(self, winter, error):
        def fail(verb, prefix, page):
            if "202102" in prefix:
                raise error

        bucket = MemoryBucket(winter, fail)
        with pytest.raises(type(error)):
            make_plan(wanted("2t", end="2021-03-31"), bucket)
        assert sum("202102" in prefix for prefix in bucket.verbs("list")) == 1

    @pytest.mark.parametrize(
        "error",
        [Interrupted("cut"), ServerFault("500"), ServerBusy("503"), Denied("403"), Unreachable("gone")],
        ids=repr,
    )
    def test_what_goes_on_is_raised_after_a_few_attempts(self, winter, error):
        def fail(verb, prefix, page):
            raise error

        bucket = MemoryBucket(winter, fail)
        with pytest.raises(type(error)):
            make_plan(wanted("2t"), bucket)
        assert len(bucket.requests) == concurrent_requests.ATTEMPTS

    @pytest.mark.parametrize(
        "error",
        [Interrupted("cut"), ServerFault("500"), ServerBusy("503"), Denied("403"), Unreachable("gone")],
        ids=repr,
    )
    def test_what_passes_leaves_no_trace(self, winter, error):
        failures = Counter()

        def fail_twice(verb, prefix, page):
            failures[prefix] += 1
            if failures[prefix] <= 2:
                raise error

        plan = make_plan(wanted("2t", "lsp", end="2021-03-31"), MemoryBucket(winter, fail_twice), today=TODAY)
        assert plan == make_plan(wanted("2t", "lsp", end="2021-03-31"), MemoryBucket(winter), today=TODAY)
        assert set(failures.values()) == {3}

    def test_a_second_page_that_fails_starts_the_listing_afresh(self):
        keys = keys_of(date(2021, 2, 1), date(2021, 2, 28), product="an.pl")
        strangers = [f"e5.oper.an.pl/202102/e5.oper.an.pl.128_1{n:04}.nc" for n in range(1500)]
        pages = []

        def fail_on_the_second_page(verb, prefix, page):
            pages.append(page)
            if pages == [0, 1]:
                raise Interrupted("cut")

        bucket = MemoryBucket(keys + strangers, fail_on_the_second_page)
        plan = make_plan(wanted(*(v.name for v in variables() if v.product.name == "an.pl")), bucket, today=TODAY)
        assert pages == [0, 1, 0, 1]
        assert len(plan.objects) == 16 * 28
        assert plan.missing == ()

    def test_the_others_stop_at_the_first_error(self, winter):
        def fail(verb, prefix, page):
            raise Untrusted("who is this")

        bucket = MemoryBucket(winter, fail)
        with pytest.raises(Untrusted):
            make_plan(wanted("2t", start="1950-01-01", end="2020-12-31"), bucket, parallel=2)
        assert len(bucket.requests) <= 2

    def test_one_that_is_throttled_holds_all(self, winter):
        """After a 503 with Retry-After nobody asks before that time is over."""
        said = threading.Event()
        asked_too_early = []

        def busy_once(verb, prefix, page):
            if not said.is_set():
                said.set()
                raise ServerBusy("slow down", retry_after=0.2)
            asked_too_early.append(concurrent_requests.monotonic())

        start = concurrent_requests.monotonic()
        make_plan(wanted("2t", end="2021-03-31"), MemoryBucket(winter, busy_once), parallel=1, today=TODAY)
        assert min(asked_too_early) >= start + 0.2

    def test_a_wish_to_come_back_much_later_is_an_error(self, winter):
        def busy(verb, prefix, page):
            raise ServerBusy("come back tomorrow", retry_after=86400)

        bucket = MemoryBucket(winter, busy)
        with pytest.raises(ServerBusy):
            make_plan(wanted("2t"), bucket)
        assert len(bucket.requests) == 1


class TestStopping:
    def test_stop_is_heard_while_listings_hang(self, winter):
        hanging, release = threading.Event(), threading.Event()

        def hang(verb, prefix, page):
            hanging.set()
            assert release.wait(30)

        try:
            with pytest.raises(Stopped):
                make_plan(wanted("2t"), MemoryBucket(winter, hang), cancelled=hanging.is_set)
        finally:
            release.set()

    def test_stop_is_heard_while_waiting_to_try_again(self, winter, monkeypatch):
        monkeypatch.setattr(concurrent_requests.random, "uniform", lambda low, high: 3600.0)
        asked = threading.Event()

        def fail(verb, prefix, page):
            asked.set()
            raise ServerFault("500")

        with pytest.raises(Stopped):
            make_plan(wanted("2t"), MemoryBucket(winter, fail), cancelled=asked.is_set)
        for thread in threading.enumerate():
            if thread.name.startswith("planner-"):
                thread.join(10)
                assert not thread.is_alive()

    def test_nothing_is_asked_when_stopped_before(self, winter):
        with pytest.raises(Stopped):
            make_plan(wanted("2t"), MemoryBucket(winter), cancelled=lambda: True)


def test_progress_counts_listings(winter):
    seen = []
    make_plan(
        wanted("2t", end="2021-03-31"), MemoryBucket(winter), on_progress=lambda *now: seen.append(now), today=TODAY
    )
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_no_more_threads_than_allowed(winter):
    at_once, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=10)

    def count(verb, prefix, page):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        both.wait()
        with lock:
            at_once -= 1

    make_plan(wanted("2t", start="2020-12-01", end="2021-03-31"), MemoryBucket(winter, count), parallel=2, today=TODAY)
    assert most == 2


def test_the_digest_tells_versions_apart(winter):
    plan = make_plan(wanted("2t", "lsp"), MemoryBucket(winter), today=TODAY)
    first, *rest = plan.objects
    assert plan.digest == Plan({}, plan.objects, (Missing("x", ABSENT),)).digest
    for other in (
        ObjectInfo(first.key + "x", first.size, first.etag),
        ObjectInfo(first.key, first.size + 1, first.etag),
        ObjectInfo(first.key, first.size, '"other"'),
    ):
        assert Plan({}, (other, *rest)).digest != plan.digest
    assert Plan({}, (*rest, first)).digest != plan.digest


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(variables()), min_size=1, max_size=6, unique=True),
    st.dates(date(1940, 1, 1), date(1960, 12, 31)),
    st.integers(0, 90),
    st.randoms(use_true_random=False),
)
def test_every_predicted_key_is_found_or_missing_never_both(chosen, first, length, random):
    last = date.fromordinal(first.toordinal() + length)
    selection = Selection(tuple(chosen), ((first, last),))
    expected = {key_of(v, p) for v in chosen for p in periods(v.product, first, last)}
    there = {key for key in expected if random.random() < 0.7}
    plan = make_plan(selection, MemoryBucket(there), parallel=2, today=TODAY)
    assert {obj.key for obj in plan.objects} == there
    assert {m.key for m in plan.missing} == expected - there
    assert len(plan.objects) + len(plan.missing) == len(expected)


@pytest.mark.slow
def test_eighty_years_of_a_product_in_seconds():
    """1,000 listings of 1 ms each: generous, since this is no benchmark."""
    product = find_product("an.sfc")
    assert product in products()
    first, last = date(1945, 1, 1), date(2024, 12, 31)
    keys = keys_of(first, last, product="an.sfc")
    tick = threading.Event()
    bucket = MemoryBucket(keys, lambda *_: tick.wait(0.001) and None)
    everything = Selection(tuple(v for v in variables() if v.product == product), ((first, last),))
    start = concurrent_requests.monotonic()
    plan = make_plan(everything, bucket)
    assert len(plan.objects) == 62 * 960
    assert len(bucket.requests) == 960
    assert concurrent_requests.monotonic() - start < 20
