"""Tests of the planner against a real S3 server."""

from __future__ import annotations

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.catalog import key_of, parse_key, periods
from era5dl.days import select_days
from era5dl.planner import ABSENT, make_plan, plan_keys
from era5dl.selection import Selection, select_variables
from era5dl.settings import Settings
from tests.servers.seaweed import Seaweed

pytestmark = pytest.mark.slow

WRF = Selection(select_variables(presets=["wrf"]), select_days(start="1963-02-01", end="1963-02-28"))
ABSENT_KEY = "e5.oper.an.sfc/196302/e5.oper.an.sfc.128_134_sp.ll025sc.1963020100_1963022823.nc"


@pytest.fixture(scope="module")
def etags(seaweed: Seaweed) -> dict[str, str]:
    """The stored objects and their ETags: all but one of WRF's files for a month, others, and the web page."""
    first, last = WRF.days[0]
    keys = {key_of(v, p) for v in WRF.variables for p in periods(v.product, first, last)} - {ABSENT_KEY}
    others = {key.replace("128_133_q", "128_157_r") for key in keys} | {"index.html"}
    return {key: seaweed.put(key, key.encode()) for key in sorted(keys | others)}


@pytest.fixture(scope="module")
def bucket(seaweed: Seaweed) -> S3Bucket:
    return S3Bucket(Settings(endpoint_url=seaweed.endpoint_url))


def test_plan_of_a_preset_for_a_month(bucket: S3Bucket, etags: dict[str, str]) -> None:
    plan = make_plan(WRF, bucket)
    keys = [obj.key for obj in plan.objects]
    assert len(keys) == len(set(keys)) == 5 * 28 + 18 + 2
    assert {parse_key(key).variable for key in keys} == set(WRF.variables) - set(select_variables(["sp"]))
    assert [(m.key, m.reason) for m in plan.missing] == [(ABSENT_KEY, ABSENT)]
    for obj in plan.objects:
        assert (obj.size, obj.etag.strip('"')) == (len(obj.key), etags[obj.key].strip('"'))
        assert obj.last_modified > 1_600_000_000


def test_plan_of_a_list_of_keys(bucket: S3Bucket, etags: dict[str, str]) -> None:
    wanted = [key for key in etags if "/196302/" in key][:7]
    plan = plan_keys([*wanted, ABSENT_KEY, "no/such.nc", "index.html"], bucket)
    assert [obj.key for obj in plan.objects] == wanted
    assert [m.key for m in plan.missing] == [ABSENT_KEY, "no/such.nc"]
