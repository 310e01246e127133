"""Tests of settings, their environment variables, and sizes and speeds as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.errors import UsageError
from era5dl.formatting import parse_rate, parse_size
from era5dl.settings import MIB, Settings


def test_defaults_are_the_documented_ones():
    settings = Settings()
    assert (settings.bucket, settings.region, settings.endpoint_url) == ("nsf-ncar-era5", "us-west-2", None)
    assert (settings.workers, settings.pool_size, settings.retries, settings.rate_limit) == ("auto", 256, 6, None)
    assert (settings.connect_timeout, settings.read_timeout, settings.disk_reserve) == (5, 20, 512 * MIB)
    assert (settings.verify, settings.flat) == (True, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"workers": 257},
        {"workers": "8"},
        {"workers": True},
        {"workers": 2.0},
        {"retries": -1},
        {"rate_limit": -1},
        {"rate_limit": 1.5},
        {"rate_limit": "fast"},
        {"rate_limit": "08:00,fast"},
        {"connect_timeout": 0},
        {"read_timeout": float("nan")},
        {"read_timeout": float("inf")},
        {"disk_reserve": -1},
        {"verify": "yes"},
        {"flat": 1},
        {"bucket": ""},
        {"bucket": "s3://nsf-ncar-era5"},
        {"bucket": "a/b"},
        {"bucket": None},
        {"region": "us west"},
        {"endpoint_url": "127.0.0.1:9000"},
        {"endpoint_url": "ftp://host"},
        {"endpoint_url": "http://"},
        {"endpoint_url": "http://host:port"},
        {"endpoint_url": "http://host:99999"},
        {"endpoint_url": "http://[::1"},
        {"endpoint_url": "http://ho st"},
        {"endpoint_url": "http://host/\n"},
        {"ca_bundle": "/no/such/file.pem"},
    ],
    ids=str,
)
def test_invalid_value_is_refused_and_named(wrong):
    with pytest.raises(UsageError) as caught:
        Settings(**wrong)
    (value,) = wrong.values()
    assert str(value) in str(caught.value) or repr(value) in str(caught.value)


def test_equivalent_values_are_normalized(tmp_path):
    assert Settings(endpoint_url="http://host:9000/") == Settings(endpoint_url="http://host:9000")
    assert Settings(endpoint_url="") == Settings()
    assert Settings(rate_limit=0) == Settings(rate_limit="off") == Settings(rate_limit="0") == Settings()
    assert Settings(rate_limit="5M") == Settings(rate_limit=5_000_000)
    assert Settings(rate_limit=" monday-8:00,1MB/s  20:00,OFF").rate_limit == "Mon-08:00,1M 20:00,off"
    (tmp_path / "ca.pem").write_text("")
    assert Settings(ca_bundle=str(tmp_path / "ca.pem")).ca_bundle


def test_settings_from_environment_variables(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    environ = {
        "ERA5DL_ENDPOINT_URL": "http://host:1",
        "ERA5DL_BUCKET": "b",
        "ERA5DL_REGION": "r",
        "ERA5DL_CA_BUNDLE": str(bundle),
        "ERA5DL_PROXY": "http://p:1",
        "ERA5DL_WORKERS": " 3 ",
        "ERA5DL_LIMIT_RATE": "5M",
        "ERA5DL_RETRIES": "2",
        "ERA5DL_NO_VERIFY": "1",
        "ERA5DL_FLAT": "yes",
        "ERA5DL_CONNECT_TIMEOUT": "1.5",
        "ERA5DL_READ_TIMEOUT": "9",
        "ERA5DL_DISK_RESERVE": "1G",
        "PATH": "/bin",
    }
    assert Settings.from_environment(environ) == Settings(
        endpoint_url="http://host:1",
        bucket="b",
        region="r",
        ca_bundle=str(bundle),
        proxy="http://p:1",
        workers=3,
        rate_limit=5_000_000,
        retries=2,
        verify=False,
        flat=True,
        connect_timeout=1.5,
        read_timeout=9.0,
        disk_reserve=10**9,
    )


def test_overrides_win_over_environment_variables():
    environ = {"ERA5DL_WORKERS": "3", "ERA5DL_LIMIT_RATE": "5M", "ERA5DL_BUCKET": "b", "ERA5DL_FLAT": ""}
    found = Settings.from_environment(environ, workers=5, rate_limit=0, bucket=None)
    assert (found.workers, found.rate_limit, found.bucket, found.flat) == (5, None, "b", False)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ERA5DL_WORKERS", "many"),
        ("ERA5DL_WORKERS", "9" * 5000),
        ("ERA5DL_LIMIT_RATE", "fast"),
        ("ERA5DL_FLAT", "maybe"),
        ("ERA5DL_READ_TIMEOUT", "nan"),
    ],
)
def test_invalid_environment_variable_is_named(variable, text):
    with pytest.raises(UsageError, match=variable):
        Settings.from_environment({variable: text})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1024", 1024),
        ("5M", 5_000_000),
        ("5m", 5_000_000),
        ("500K", 500_000),
        ("5MB/s", 5_000_000),
        ("5 MB/s", 5_000_000),
        ("1.5 MiB/s", 1_572_864),
        ("2Gi", 2 * 1024**3),
        ("1T/sec", 10**12),
        (" 7000 bytes ", 7000),
        ("5 MByte/s", 5_000_000),
    ],
)
def test_parse_rate(text, value):
    assert parse_rate(text) == value


@pytest.mark.parametrize(
    "text", ["", "M", "-1", "+5M", "1e6", "nan", "5Mbit/s", "5Mbps", "5iB", "1,5M", "5 M B", "５M", "1" * 99]
)
def test_invalid_rate_is_refused(text):
    with pytest.raises(UsageError, match="is not a speed"):
        parse_rate(text)


@pytest.mark.parametrize(
    "text", ["5Mb", "5mb", "500kb", "5Mb/s", "5 Mb/s", "5Mbps", "5Mbit/s", "5 Mbits/sec", "5MBit/s", "5000b", "5Mib"]
)
def test_bits_per_second_are_refused_and_the_error_says_so(text):
    with pytest.raises(UsageError, match="not a speed in bytes per second") as caught:
        parse_rate(text)
    assert "B for bytes" in caught.value.remedy


@pytest.mark.parametrize("limit", [1, 999, "5", "0.5", 10**15 + 1, 10**30])
def test_a_limit_out_of_bounds_is_refused(limit):
    with pytest.raises(UsageError, match=r"rate_limit is .* bytes per second"):
        Settings(rate_limit=limit)
    assert Settings(rate_limit=1000).rate_limit == 1000


def test_a_limit_of_the_environment_that_is_almost_zero_is_refused():
    with pytest.raises(UsageError, match="ERA5DL_LIMIT_RATE"):
        Settings.from_environment({"ERA5DL_LIMIT_RATE": "0.5"})


@given(st.text())
def test_any_text_is_a_size_or_a_usage_error(text):
    try:
        assert parse_size(text) >= 0
    except UsageError as exc:
        assert exc.remedy
