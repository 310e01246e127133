"""Tests of the test servers: SeaweedFS and the fault lab without faults answer as S3 does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.faultlab import FaultServer, etag_of, pseudo_random
from tests.servers.raw import Heard, RawClient
from tests.servers.seaweed import Seaweed

pytestmark = pytest.mark.slow

MIB = 1 << 20
PLAIN, PARTS, EMPTY = "servers/plain.nc", "servers/parts.nc", "servers/empty"
ODD = "servers/odd & <ends> + ü 中/a b.nc"
PLAIN_DATA = pseudo_random("plain", 1000)
PARTS_DATA = pseudo_random("parts", 5 * MIB + 123_456)


@pytest.fixture(params=["seaweed", "fault_server"])
def server(request: pytest.FixtureRequest) -> Iterator[Seaweed | FaultServer]:
    """Each of the two servers, with the same objects."""
    server: Seaweed | FaultServer = request.getfixturevalue(request.param)
    server.put(PLAIN, PLAIN_DATA)
    server.put(PARTS, PARTS_DATA, part_size=5 * MIB)
    server.put(EMPTY, b"")
    server.put(ODD, b"odd")
    yield server
    for key in (PLAIN, PARTS, EMPTY, ODD):
        server.delete(key)


def ask(server: Seaweed | FaultServer, key: str, *, method: str = "GET", query: str = "", **headers: str) -> Heard:
    with RawClient(server.endpoint_url) as connection:
        return connection.ask(f"/{server.bucket}/{quote(key)}{query}", method=method, headers=headers)


@pytest.fixture
def s3(server: Seaweed | FaultServer) -> Iterator[Any]:
    config = Config(signature_version=UNSIGNED, response_checksum_validation="when_required")
    client = boto3.client("s3", endpoint_url=server.endpoint_url, region_name="us-west-2", config=config)
    yield client
    client.close()


def test_etags_are_md5_of_the_content_or_of_the_parts(server: Seaweed | FaultServer) -> None:
    assert ask(server, PLAIN, method="HEAD").headers["etag"] == etag_of(PLAIN_DATA)
    etag = ask(server, PARTS, method="HEAD").headers["etag"]
    assert etag == etag_of(PARTS_DATA, 5 * MIB)
    assert etag.endswith('-2"')


def test_head_of_part_1_returns_its_length_and_the_number_of_parts(server: Seaweed | FaultServer) -> None:
    heard = ask(server, PARTS, method="HEAD", query="?partNumber=1")
    assert (heard.status, heard.headers["content-length"]) == (206, str(5 * MIB))
    assert heard.headers["x-amz-mp-parts-count"] == "2"
    assert heard.body == b""


@pytest.mark.parametrize(
    ("span", "start", "stop"), [("0-9", 0, 10), ("990-5000", 990, 1000), ("10-", 10, 1000), ("-5", 995, 1000)]
)
def test_ranges(server: Seaweed | FaultServer, span: str, start: int, stop: int) -> None:
    heard = ask(server, PLAIN, Range=f"bytes={span}")
    assert (heard.status, heard.body) == (206, PLAIN_DATA[start:stop])
    assert heard.headers["content-range"] == f"bytes {start}-{stop - 1}/1000"
    assert heard.headers["etag"] == etag_of(PLAIN_DATA)


def test_whole_object_without_a_range(server: Seaweed | FaultServer) -> None:
    heard = ask(server, PLAIN)
    assert (heard.status, heard.body) == (200, PLAIN_DATA)
    assert (ask(server, EMPTY).status, ask(server, EMPTY).body) == (200, b"")


@pytest.mark.parametrize(("key", "span"), [(PLAIN, "1000-1001"), (EMPTY, "0-")])
def test_range_beyond_the_end_is_416(server: Seaweed | FaultServer, key: str, span: str) -> None:
    heard = ask(server, key, Range=f"bytes={span}")
    assert heard.status == 416
    assert b"<Code>InvalidRange</Code>" in heard.body


def test_if_match(server: Seaweed | FaultServer) -> None:
    assert ask(server, PLAIN, **{"If-Match": etag_of(PLAIN_DATA), "Range": "bytes=0-0"}).status == 206
    heard = ask(server, PLAIN, **{"If-Match": etag_of(b"other"), "Range": "bytes=0-0"})
    assert heard.status == 412
    assert b"<Code>PreconditionFailed</Code>" in heard.body


def test_missing_objects(server: Seaweed | FaultServer) -> None:
    heard = ask(server, "servers/none")
    assert heard.status == 404
    assert b"<Code>NoSuchKey</Code>" in heard.body
    head = ask(server, "servers/none", method="HEAD")
    assert (head.status, head.body) == (404, b"")


def test_other_bucket(server: Seaweed | FaultServer, s3: Any) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects_v2(Bucket="no-such-bucket-here")


def test_unusual_keys(server: Seaweed | FaultServer, s3: Any) -> None:
    with s3.get_object(Bucket=server.bucket, Key=ODD)["Body"] as body:
        assert body.read() == b"odd"
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=server.bucket, Prefix="servers/o")["Contents"]] == [ODD]


def test_listing_in_pages(server: Seaweed | FaultServer, s3: Any) -> None:
    keys = [f"servers/pages/{number:02}" for number in range(7)]
    for key in keys:
        server.put(key, b"x")
    where = {"Bucket": server.bucket, "Prefix": "servers/pages/"}
    pages = list(s3.get_paginator("list_objects_v2").paginate(**where, PaginationConfig={"PageSize": 3}))
    assert [[entry["Key"] for entry in page["Contents"]] for page in pages] == [keys[:3], keys[3:6], keys[6:]]
    assert [page["IsTruncated"] for page in pages] == [True, True, False]
    entry = pages[0]["Contents"][0]
    assert (entry["Size"], entry["ETag"]) == (1, etag_of(b"x"))
    assert s3.list_objects_v2(**where, StartAfter=keys[4])["KeyCount"] == 2
    for key in keys:
        server.delete(key)
    assert s3.list_objects_v2(**where)["KeyCount"] == 0


def test_listing_by_folder(server: Seaweed | FaultServer, s3: Any) -> None:
    answer = s3.list_objects_v2(Bucket=server.bucket, Prefix="servers/", Delimiter="/")
    assert {entry["Key"] for entry in answer["Contents"]} == {PLAIN, PARTS, EMPTY}
    assert ODD.rpartition("/")[0] + "/" in [folder["Prefix"] for folder in answer["CommonPrefixes"]]


def test_a_folder_on_a_page_boundary_is_listed_once(fault_server: FaultServer) -> None:
    for key in ("a", "b/1", "b/2", "b/3", "c"):
        fault_server.put(key, b"")
    names, after = [], ""
    for _ in range(4):
        page = fault_server.objects.page("", "/", after, 1)
        names += [*(key for key, _ in page.entries), *page.common_prefixes]
        after = page.next_after or ""
        if not after:
            break
    assert names == ["a", "b/", "c"]


def test_a_page_has_at_most_a_thousand_keys(fault_server: FaultServer) -> None:
    for number in range(1001):
        fault_server.put(f"many/{number:04}", b"")
    first = ask(fault_server, "", query="?list-type=2&prefix=many/&max-keys=5000")
    assert first.body.count(b"<Contents>") == 1000
    assert b"<IsTruncated>true</IsTruncated>" in first.body
