"""Tests of plans from a selection."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.catalog import find_product, key_of, parse_key, periods, products, variables
from era5dl.days import select_days
from era5dl.errors import BadSelection, Denied, Interrupted, ServerBusy, ServerFault, Stopped, Unreachable, Untrusted
from era5dl.planner import (
    ABSENT,
    NOT_YET_PUBLISHED,
    Missing,
    Plan,
    concurrent_requests,
    describe_passed_over,
    estimate_plan,
    make_plan,
    plan_keys,
)
from era5dl.planner.estimate import fetched_sizes
from era5dl.planner.latest import Published, ends_in_latest, newest_days
from era5dl.selection import Selection, select_variables
from era5dl.session.info import title_of
from era5dl.session.object_paths import subset_key
from era5dl.subset import estimate as subset_estimate
from era5dl.subset.estimate import estimate
from era5dl.subset.merge_plan import valid_times
from era5dl.subset.selection import Area, Point, Subset
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
    return Selection(select_variables(names, presets=[preset] if preset else []), select_days(start=start, end=end))


@pytest.fixture(scope="module")
def winter() -> list[str]:
    """All keys of 2020-12 to 2021-03, and some other objects."""
    clutter = ["index.html", "e5.oper.an.sfc/", "e5.oper.an.sfc/202102/", "e5.oper.fc.sfc.instan/202102/"]
    return keys_of(date(2020, 12, 1), date(2021, 3, 31)) + clutter


def test_memory_bucket_has_the_bucket_interface():
    bucket: Bucket = MemoryBucket([])
    assert list(bucket.list("")) == []


def test_wrf_preset_for_a_month(winter):
    plan = make_plan(wanted(preset="wrf"), MemoryBucket(winter), today=TODAY)
    assert plan.missing == ()
    counts = Counter(parse_key(obj.key).product.name for obj in plan.objects)
    assert counts == {"an.pl": 5 * 28, "an.sfc": 19, "invariant": 2}
    assert len({obj.key for obj in plan.objects}) == len(plan.objects)
    assert plan.request == {"selection": wanted(preset="wrf").to_json()}
    assert plan.total_bytes == sum(obj.size for obj in plan.objects)


def test_objects_have_size_etag_and_date_of_the_listing(winter):
    for obj in make_plan(wanted("2t"), MemoryBucket(winter), today=TODAY).objects:
        assert obj == MemoryBucket.info(obj.key)
        assert obj.last_modified


def test_forecast_files_that_overlap_the_month_are_planned(winter):
    plan = make_plan(wanted("lsp"), MemoryBucket(winter), today=TODAY)
    assert [obj.key.rsplit(".", 2)[1] for obj in plan.objects] == [
        "2021011606_2021020106",
        "2021020106_2021021606",
        "2021021606_2021030106",
    ]


def test_objects_are_sorted_by_time_then_variable(winter):
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


def test_file_with_days_of_two_ranges_is_planned_once(winter):
    days = select_days(years=[2021], months=[2], days=[1, 15, 28])
    plan = make_plan(Selection(select_variables(["2t", "lsp", "an.pl/t"]), days), MemoryBucket(winter), today=TODAY)
    keys = [obj.key for obj in plan.objects]
    assert len(keys) == len(set(keys)) == 1 + 3 + 3
    assert plan.missing == ()


def test_one_listing_per_product_and_month(winter):
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


def test_listing_prefix_is_as_long_as_possible(winter):
    bucket = MemoryBucket(winter)
    make_plan(wanted("an.pl/t"), bucket, today=TODAY)
    assert bucket.shown == 28, "not the 448 objects of the whole month"
    assert bucket.verbs("list") == ["e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.202102"]


def test_all_pages_of_a_listing_are_read():
    """No month of ERA5 has more than a page of objects, so unrelated ones are added."""
    keys = keys_of(date(2021, 2, 1), date(2021, 2, 28), product="an.pl")
    unrelated = [f"e5.oper.an.pl/202102/e5.oper.an.pl.128_1{n:04}.nc" for n in range(1500)]
    bucket = MemoryBucket(keys + unrelated)
    plan = make_plan(wanted(*(v.name for v in variables() if v.product.name == "an.pl")), bucket, today=TODAY)
    assert len(plan.objects) == 16 * 28
    assert len(bucket.verbs("list")) == 2


@pytest.mark.parametrize("spelling", ["deg0l", "deg01"])
def test_listing_decides_between_spellings_of_the_zero_degree_level(winter, spelling):
    keys = [key.replace("deg0l", spelling) for key in winter]
    plan = make_plan(wanted("deg0l"), MemoryBucket(keys), today=TODAY)
    assert len(plan.objects) == 3
    assert all(f"228_024_{spelling}.ll025sc" in obj.key for obj in plan.objects)
    assert plan.missing == ()


@pytest.mark.parametrize(
    ("name", "expected", "actual"),
    [
        ("ewss", "128_180_ewss.ll025sc", "128_180_ewss.ll025uv"),  # the catalogue only infers the grid
        ("vike", "162_059_vike.ll025sc", "162_159_vike.ll025sc"),  # the catalogue only infers the number
    ],
)
def test_listing_corrects_an_uncertain_grid_or_number(winter, name, expected, actual):
    plan = make_plan(wanted(name), MemoryBucket([key.replace(expected, actual) for key in winter]), today=TODAY)
    assert plan.missing == ()
    assert all(actual in obj.key for obj in plan.objects)


def test_certain_variable_is_not_replaced_by_a_similar_one(winter):
    keys = [key.replace("128_167_2t.ll025sc", "128_167_2x.ll025sc") for key in winter]
    plan = make_plan(wanted("2t"), MemoryBucket(keys), today=TODAY)
    assert plan.objects == ()
    assert len(plan.missing) == 1


def test_certain_variable_is_not_replaced_next_to_an_uncertain_one(winter):
    keys = [key.replace("128_142_lsp", "128_142_lsx") for key in winter]
    plan = make_plan(wanted("lsp", "ewss"), MemoryBucket(keys), today=TODAY)
    assert {parse_key(obj.key).short for obj in plan.objects} == {"ewss"}
    assert len(plan.missing) == 3


def test_short_name_takes_precedence_over_numbers(winter):
    keys = [key.replace("162_059_vike", "162_159_vike") for key in winter]
    keys += [key.replace("162_159_vike", "162_059_abc") for key in keys if "162_159_vike" in key]
    plan = make_plan(wanted("vike"), MemoryBucket(keys), today=TODAY)
    assert ["162_159_vike" in obj.key for obj in plan.objects] == [True]


def test_uncertain_variable_does_not_get_the_file_of_another(winter):
    """Even if two numbers were swapped in the catalogue, the short names would tell the variables apart."""
    swap = {"162_067_vikee": "162_068_vikee", "162_068_viken": "162_067_viken"}
    keys = [key.replace(expected, actual) for key in winter for expected, actual in swap.items() if expected in key]
    plan = make_plan(wanted("vikee"), MemoryBucket(keys), today=TODAY)
    assert ["162_068_vikee" in obj.key for obj in plan.objects] == [True]
    plan = make_plan(wanted("vikee"), MemoryBucket(key for key in keys if "vikee" not in key), today=TODAY)
    assert plan.objects == ()


def test_selection_of_invariants_only():
    bucket = MemoryBucket(keys_of(date(1979, 1, 1), date(1979, 1, 1), product="invariant"))
    plan = make_plan(Selection(select_variables(["lsm", "invariant/z"])), bucket, today=TODAY)
    assert [parse_key(obj.key).variable.name for obj in plan.objects] == ["invariant/z", "invariant/lsm"]
    assert len(bucket.requests) == 1


class TestMissing:
    def test_variable_missing_in_a_published_month_is_absent(self):
        bucket = MemoryBucket(keys_of(date(1990, 1, 1), date(1990, 3, 31), without="an.sfc/sp"))
        plan = make_plan(wanted("2t", "sp", start="1990-01-01", end="1990-02-28"), bucket, today=TODAY)
        assert [m.key.split("/")[1] for m in plan.missing] == ["199001", "199002"]
        assert {m.reason for m in plan.missing} == {ABSENT}
        assert len(plan.objects) == 2

    def test_months_after_the_newest_one_are_not_yet_published(self, winter):
        plan = make_plan(wanted("2t", end="2021-06-30"), MemoryBucket(winter), today=TODAY)
        assert [(m.key[-24:-3], m.reason) for m in plan.missing] == [
            ("2021040100_2021043023", NOT_YET_PUBLISHED),
            ("2021050100_2021053123", NOT_YET_PUBLISHED),
            ("2021060100_2021063023", NOT_YET_PUBLISHED),
        ]

    def test_single_recent_month_is_not_yet_published(self, winter):
        plan = make_plan(wanted("2t", start="2021-05-01", end="2021-05-31"), MemoryBucket(winter), today=TODAY)
        assert [m.reason for m in plan.missing] == [NOT_YET_PUBLISHED]

    def test_single_old_month_is_absent(self, winter):
        plan = make_plan(wanted("2t", start="2001-05-01", end="2001-05-31"), MemoryBucket(winter), today=TODAY)
        assert [m.reason for m in plan.missing] == [ABSENT]

    def test_missing_month_between_others_is_absent(self, winter):
        keys = [key for key in winter if "/202102/" not in key]
        plan = make_plan(wanted("2t", start="2021-01-01", end="2021-03-31"), MemoryBucket(keys), today=TODAY)
        assert [m.reason for m in plan.missing] == [ABSENT]

    def test_newest_month_may_be_partly_published(self, winter):
        keys = [key for key in winter if "_2021032" not in key]
        selection = wanted("an.pl/t", start="2021-03-01", end="2021-03-31")
        assert {m.reason for m in make_plan(selection, MemoryBucket(keys), today=TODAY).missing} == {NOT_YET_PUBLISHED}
        assert {m.reason for m in make_plan(selection, MemoryBucket(keys), today=date(2031, 1, 1)).missing} == {ABSENT}

    def test_newest_month_is_determined_per_product(self, winter):
        keys = [key for key in winter if not (key.startswith("e5.oper.fc") and "/202103/" in key)]
        plan = make_plan(wanted("2t", "lsp", end="2021-03-31"), MemoryBucket(keys), today=TODAY)
        assert {(parse_key(m.key).product.name, m.reason) for m in plan.missing} == {
            ("fc.sfc.accumu", NOT_YET_PUBLISHED)
        }

    def test_missing_files_are_in_the_order_of_the_plan(self):
        plan = make_plan(wanted("2t", "an.pl/t", end="2021-03-02"), MemoryBucket([]), today=TODAY)
        starts = [parse_key(m.key).start for m in plan.missing]
        assert len(starts) == 28 + 2 + 2
        assert starts == sorted(starts)

    def test_missing_invariant_is_absent(self):
        plan = make_plan(Selection(select_variables(["lsm"])), MemoryBucket([]), today=date(1979, 2, 1))
        assert [m.reason for m in plan.missing] == [ABSENT]


class TestFailures:
    """A listing that fails is an error, never a shorter plan."""

    @pytest.fixture(autouse=True)
    def no_waiting(self, monkeypatch):
        monkeypatch.setattr(concurrent_requests, "BACKOFF_BASE", 0.001)

    @pytest.mark.parametrize("error", [Untrusted("unknown certificate"), KeyError("a bug")], ids=repr)
    def test_permanent_error_is_raised_without_retry(self, winter, error):
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
    def test_persistent_error_is_raised_after_a_few_attempts(self, winter, error):
        def fail(verb, prefix, page):
            raise error

        bucket = MemoryBucket(winter, fail)
        with pytest.raises(type(error)):
            make_plan(wanted("2t"), bucket)
        assert len(bucket.requests) == concurrent_requests.MAX_ATTEMPTS

    @pytest.mark.parametrize(
        "error",
        [Interrupted("cut"), ServerFault("500"), ServerBusy("503"), Denied("403"), Unreachable("gone")],
        ids=repr,
    )
    def test_transient_error_does_not_change_the_plan(self, winter, error):
        failures = Counter()

        def fail_twice(verb, prefix, page):
            failures[prefix] += 1
            if failures[prefix] <= 2:
                raise error

        plan = make_plan(wanted("2t", "lsp", end="2021-03-31"), MemoryBucket(winter, fail_twice), today=TODAY)
        assert plan == make_plan(wanted("2t", "lsp", end="2021-03-31"), MemoryBucket(winter), today=TODAY)
        assert set(failures.values()) == {3}

    def test_failed_second_page_restarts_the_listing(self):
        keys = keys_of(date(2021, 2, 1), date(2021, 2, 28), product="an.pl")
        unrelated = [f"e5.oper.an.pl/202102/e5.oper.an.pl.128_1{n:04}.nc" for n in range(1500)]
        pages = []

        def fail_on_the_second_page(verb, prefix, page):
            pages.append(page)
            if pages == [0, 1]:
                raise Interrupted("cut")

        bucket = MemoryBucket(keys + unrelated, fail_on_the_second_page)
        plan = make_plan(wanted(*(v.name for v in variables() if v.product.name == "an.pl")), bucket, today=TODAY)
        assert pages == [0, 1, 0, 1]
        assert len(plan.objects) == 16 * 28
        assert plan.missing == ()

    def test_other_requests_stop_at_the_first_error(self, winter):
        def fail(verb, prefix, page):
            raise Untrusted("unknown certificate")

        bucket = MemoryBucket(winter, fail)
        with pytest.raises(Untrusted):
            make_plan(wanted("2t", start="1950-01-01", end="2020-12-31"), bucket, parallel=2)
        assert len(bucket.requests) <= 2

    def test_throttling_of_one_request_delays_all(self, winter):
        """After a 503 with Retry-After no thread sends a request before that time."""
        throttled = threading.Event()
        later_requests = []

        def busy_once(verb, prefix, page):
            if not throttled.is_set():
                throttled.set()
                raise ServerBusy("slow down", retry_after=0.2)
            later_requests.append(concurrent_requests.monotonic())

        start = concurrent_requests.monotonic()
        make_plan(wanted("2t", end="2021-03-31"), MemoryBucket(winter, busy_once), parallel=1, today=TODAY)
        assert min(later_requests) >= start + 0.2

    def test_long_retry_after_is_an_error(self, winter):
        def busy(verb, prefix, page):
            raise ServerBusy("come back tomorrow", retry_after=86400)

        bucket = MemoryBucket(winter, busy)
        with pytest.raises(ServerBusy):
            make_plan(wanted("2t"), bucket)
        assert len(bucket.requests) == 1


class TestCancellation:
    def test_cancellation_while_listings_hang(self, winter):
        hanging, release = threading.Event(), threading.Event()

        def hang(verb, prefix, page):
            hanging.set()
            assert release.wait(30)

        try:
            with pytest.raises(Stopped):
                make_plan(wanted("2t"), MemoryBucket(winter, hang), cancelled=hanging.is_set)
        finally:
            release.set()

    def test_cancellation_while_waiting_for_a_retry(self, winter, monkeypatch):
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

    def test_cancellation_before_the_first_request(self, winter):
        with pytest.raises(Stopped):
            make_plan(wanted("2t"), MemoryBucket(winter), cancelled=lambda: True)


def test_progress_counts_finished_listings(winter):
    seen = []
    make_plan(
        wanted("2t", end="2021-03-31"), MemoryBucket(winter), on_progress=lambda *now: seen.append(now), today=TODAY
    )
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_parallel_limits_concurrent_listings(winter):
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


def test_digest_depends_on_keys_sizes_etags_and_order(winter):
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
def test_every_predicted_key_is_either_found_or_missing(chosen, first, length, random):
    last = date.fromordinal(first.toordinal() + length)
    selection = Selection(tuple(chosen), ((first, last),))
    expected = {key_of(v, p) for v in chosen for p in periods(v.product, first, last)}
    there = {key for key in expected if random.random() < 0.7}
    plan = make_plan(selection, MemoryBucket(there), parallel=2, today=TODAY)
    assert {obj.key for obj in plan.objects} == there
    assert {m.key for m in plan.missing} == expected - there
    assert len(plan.objects) + len(plan.missing) == len(expected)


@pytest.mark.slow
def test_eighty_years_of_a_product_are_planned_in_seconds():
    """1,000 listings of 1 ms each; the limit is generous, since this is no benchmark."""
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


def test_files_without_a_selected_hour_are_left_out(winter):
    """The forecast file of the second half of January ends at 06 UTC on the first of February."""
    subset = Subset(hours=(12,), area=Area(54, 73, 18, 135))
    selection = Selection(select_variables(["lsp", "lsm"]), select_days(start="2021-02-01", end="2021-02-01"), subset)
    plan = make_plan(selection, MemoryBucket(winter), today=TODAY)
    assert plan.subset == selection.subset
    assert [obj.key.split(".")[-2] for obj in plan.objects] == ["1979010100_1979010100", "2021020106_2021021606"]
    assert [key.split(".")[-2] for key in plan.passed_over] == ["2021011606_2021020106"]
    assert plan.missing == ()
    assert describe_passed_over(plan.passed_over) == (
        "1 file in which no selected hour is (e5.oper.fc.sfc.accumu.128_142_lsp.ll025sc.2021011606_2021020106.nc)"
    )


def test_an_area_without_a_grid_point_is_refused_before_the_bucket_is_listed(winter):
    bucket = MemoryBucket(winter)
    days = select_days(start="2021-02-01", end="2021-02-01")
    nowhere = Subset(area=Area(30.6, 114.3, 30.55, 114.4))
    with pytest.raises(BadSelection, match="no grid point"):
        make_plan(Selection(select_variables(["2t"]), days, nowhere), bucket)
    with pytest.raises(BadSelection, match="no grid point"):
        plan_keys(winter[-1:], bucket, subset=nowhere)
    assert bucket.requests == []


def test_hours_before_the_first_forecast_are_in_no_file():
    first = select_days(start="1940-01-01", end="1940-01-01")
    with pytest.raises(BadSelection, match="No file has any of the selected hours"):
        make_plan(Selection(select_variables(["lsp"]), first, Subset(hours=(6,))), MemoryBucket([]))


def test_estimate_of_a_plan(winter):
    names = ("an.pl/t", "2t", "lsp")
    days = select_days(start="2021-02-01", end="2021-02-28")
    whole = estimate_plan(make_plan(Selection(select_variables(names), days), MemoryBucket(winter)))
    assert whole.is_exact
    assert whole.without_saving == ()
    plan = make_plan(Selection(select_variables(names), days, Subset(area=Area(54, 73, 18, 135))), MemoryBucket(winter))
    about = estimate_plan(plan)
    assert about.without_saving == ("e5.oper.an.pl",)  # of forecasts, the days save something
    assert not about.is_exact
    assert about.total.size == whole.total.written == plan.total_bytes
    assert about.total.written < about.total.fetched < about.total.size
    sizes = [obj.size for obj in plan.objects]
    for index, size in fetched_sizes(plan).items():
        sizes[index] = size
    assert sum(sizes) == about.total.fetched and fetched_sizes(replace(plan, request={})) == {}
    sums = [estimate(parse_key(obj.key), obj.size, plan.subset) for obj in plan.objects]
    assert (about.total.fetched, about.total.written) == (sum(s.fetched for s in sums), sum(s.written for s in sums))


def test_similar_files_are_estimated_once(monkeypatch):
    """The window shows the estimate while the user types, also for 80 years."""
    calls = []
    shares = subset_estimate._shares
    monkeypatch.setattr(subset_estimate, "_shares", lambda *given: calls.append(given) or shares(*given))
    days = select_days(years=["2019-2020"])
    chosen = select_variables(["an.pl/t", "2t"])
    keys = [key_of(v, p) for v in chosen for p in periods(v.product, days[0][0], days[0][1])]
    points = Subset(points=tuple(Point(n / 100, n / 100) for n in range(100)))
    plan = Plan({"selection": Selection(chosen, days, points).to_json()}, tuple(MemoryBucket.info(key) for key in keys))
    assert estimate_plan(plan).total.size == plan.total_bytes
    assert len(calls) == 1 + 4  # months have four lengths
    assert len({id(plan.subset.for_file(parse_key(key))) for key in keys}) == 1


def test_selection_until_latest_has_what_is_published_and_misses_only_gaps(winter):
    published = [key for key in winter if "2021032" not in key and "2021033" not in key]  # days until the 19th
    gap = next(key for key in published if "_t." in key and "2021010900" in key)
    selection = wanted("an.pl/t", "lsm", start="2020-12-30", end="latest")
    plan = make_plan(selection, MemoryBucket(set(published) - {gap}), today=TODAY)
    assert len(plan.objects) == 2 + 30 + 28 + 19 + 1
    assert plan.missing == (Missing(gap, ABSENT),)
    assert newest_days(plan.objects, TODAY) == (Published("an.pl", date(2021, 3, 19), 88),)
    later = make_plan(selection, MemoryBucket(winter), today=TODAY)
    assert later.request == plan.request, "it is the same session a month later"
    assert ends_in_latest(plan.request) and not ends_in_latest({"keys": "0", "count": 1})
    assert title_of(plan.request).endswith("2020-12-30 to latest")
    with pytest.raises(BadSelection, match="future"):
        make_plan(wanted("an.pl/t", start="2021-06-16", end="latest"), MemoryBucket(winter), today=TODAY)


def test_subset_until_latest_restricts_days_and_keeps_file_names(winter):
    subset = Subset(hours=(0,))
    selection = Selection(select_variables(["2t"]), select_days(start="2021-01-15", end="latest"), subset)
    plan = make_plan(selection, MemoryBucket(winter), today=TODAY)
    assert [parse_key(obj.key).folder for obj in plan.objects] == ["202101", "202102", "202103"]
    names = [subset_key(obj.key, plan.subset) for obj in plan.objects]
    whole_month = Subset(hours=(0,))
    assert names[1:] == [subset_key(obj.key, whole_month) for obj in plan.objects[1:]]
    assert names[0] != subset_key(plan.objects[0].key, whole_month)
    assert valid_times(parse_key(plan.objects[2].key), plan.subset)[-1] % 24 == 0
