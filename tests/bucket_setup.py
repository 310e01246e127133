"""Servers and buckets that the tests of `era5dl.bucket` share: fixtures, and the object that they hold."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.get_object import PLAIN_GET
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from tests.faultlab import FaultServer, etag_of, pseudo_random
from tests.faultlab.objects import LAST_MODIFIED
from tests.runs import read_some, settings_for
from tests.servers.canned import Canned

KEY = "e5.oper.an.pl/202401/a.nc"
DATA = pseudo_random("s3", 400_000)
START, STOP = 1000, 301_000
OBJ = ObjectInfo(KEY, len(DATA), etag_of(DATA), LAST_MODIFIED)
OPAQUE = ObjectInfo(KEY, len(DATA), '"65920080-61a80"', LAST_MODIFIED)  # its ETag is not an MD5
DATED = {"Last-Modified": formatdate(LAST_MODIFIED, usegmt=True)}


class CannedBucket:
    """A server with responses set by the test, and a bucket for it."""

    def __init__(self, server: Canned) -> None:
        self.server = server
        self.bucket = S3Bucket(settings_for(server, read_timeout=0.5))


@pytest.fixture
def no_user_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove proxies and certificates of the person who runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["fast", "plain"])
def get_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send GETs in both ways, see `era5dl.bucket.get_object`. To be requested before the bucket is created."""
    monkeypatch.setenv(PLAIN_GET, "1" if request.param == "plain" else "")


@pytest.fixture(name="server", params=["http", "tls"])
def server_fixture(request: pytest.FixtureRequest) -> FaultServer:
    """A fault server with one object; over http and over https."""
    found: FaultServer = request.getfixturevalue("fault_server" if request.param == "http" else "fault_server_tls")
    found.put(KEY, DATA)
    return found


@pytest.fixture(name="bucket")
def bucket_fixture(server: FaultServer) -> Iterator[S3Bucket]:
    """The bucket of `server`."""
    yield from opened(server)


@pytest.fixture
def http_bucket(fault_server: FaultServer) -> Iterator[S3Bucket]:
    """The bucket of `fault_server`, with one object, for tests that are the same over http and https."""
    fault_server.put(KEY, DATA)
    yield from opened(fault_server)


@pytest.fixture(name="canned")
def canned_fixture() -> Iterator[CannedBucket]:
    with Canned(b"") as server:
        found = CannedBucket(server)
        yield found
        found.bucket.drop_idle_connections()


def opened(server: Any, **options: Any) -> Iterator[S3Bucket]:
    """Yield a bucket for this server with these settings."""
    found = S3Bucket(settings_for(server, **{"read_timeout": 0.5, **options}))
    yield found
    found.drop_idle_connections()


def read_all(bucket: S3Bucket, obj: ObjectInfo = OBJ, start: int = START, stop: int = STOP) -> bytes:
    """Return all bytes of one response."""
    received = bytearray()
    with bucket.open(obj, start, stop, Abort()) as body:
        while data := read_some(body, 1 << 20):
            received += data
    return bytes(received)
