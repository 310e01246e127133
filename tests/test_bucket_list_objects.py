"""Tests of listing pages: parsed as botocore parses them, with a fraction of the memory."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest

from era5dl.bucket import list_objects
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.list_objects import before_parse, read_page
from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import BadResponse
from tests.faultlab.http import Answer
from tests.runs import settings_for
from tests.servers.canned import Canned

ENTRY = (
    "<Contents><Key>{}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified>"
    "<ETag>&quot;{}&quot;</ETag><Size>7</Size></Contents>"
)
NEW_YEAR = 1_735_689_600


def page_of(*parts: str) -> bytes:
    inner = "".join(parts)
    return f"<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>{inner}</ListBucketResult>".encode()


def test_keys_are_coded_where_the_page_says_so_wherever_it_says_it() -> None:
    coded = "<EncodingType>url</EncodingType>"
    entry = ENTRY.format("a+b%2Bc/%C3%9C.nc", "e")
    for data in (page_of(coded, entry), page_of(entry, coded)):
        assert read_page(data) == {
            "Name": "b",
            "IsTruncated": False,
            "Contents": [ObjectInfo("a b+c/Ü.nc", 7, '"e"', NEW_YEAR)],
        }
    (as_it_is,) = (read_page(page_of(entry)) or {})["Contents"]
    assert as_it_is.key == "a+b%2Bc/%C3%9C.nc"


def test_prefixes_of_names_and_what_is_of_no_concern_are_passed_over() -> None:
    body = (
        '<s3:ListBucketResult xmlns:s3="x"><s3:Name>b</s3:Name><s3:IsTruncated>true</s3:IsTruncated>'
        "<s3:NextContinuationToken>t</s3:NextContinuationToken>"
        "<s3:CommonPrefixes><s3:Prefix>p/</s3:Prefix><s3:Key>none</s3:Key></s3:CommonPrefixes>"
        "<s3:Contents>\n <s3:Owner><s3:Key>none</s3:Key></s3:Owner><s3:Key>a&amp;<!-- -->b</s3:Key>\n"
        "<s3:ChecksumAlgorithm>1</s3:ChecksumAlgorithm><s3:ChecksumAlgorithm>2</s3:ChecksumAlgorithm>"
        "<s3:Size>7</s3:Size></s3:Contents></s3:ListBucketResult>"
    )
    assert read_page(body.encode()) == {
        "Name": "b",
        "IsTruncated": True,
        "NextContinuationToken": "t",
        "Contents": [ObjectInfo("a&b", 7, "", 0)],
    }


@pytest.mark.parametrize(
    "inner",
    [
        "<IsTruncated>false</IsTruncated>",
        "<Contents><Key>a</Key><Key>b</Key><Size>1</Size></Contents>",
        "<Contents><Key>a</Key></Contents>",
        "<Contents><Key>a</Key><Size>many</Size></Contents>",
        "<Contents/>",
    ],
)
def test_a_page_that_contradicts_itself_is_none(inner: str) -> None:
    with pytest.raises((BadResponse, ValueError, LookupError)):
        read_page(page_of(inner))


@pytest.mark.parametrize("body", [b"", b"<Error><Code>InternalError</Code></Error>", page_of(ENTRY)[:-5], b"\xff"])
def test_what_is_no_page_or_torn_is_left_to_botocore(body: bytes) -> None:
    answer, found = {"status_code": 200, "body": body}, {}
    before_parse(answer, found)
    assert (answer["body"], found) == (body, {})


def test_a_page_takes_little_more_memory_than_its_objects() -> None:
    """Here, and on its way through botocore, whose own trees and dicts of one take more than a megabyte."""
    digests = [hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest() for number in range(1000)]
    body = page_of(*(ENTRY.format(f"e5.oper.an.sfc/{'x' * 50}{n:03}", digest) for n, digest in enumerate(digests)))
    with Canned(b"") as server:
        server.answers = [Answer.of(200, "OK", {}, body.replace(b"<Name>b<", b"<Name>nsf-ncar-era5<"))]
        bucket = S3Bucket(settings_for(server))
        next(bucket.list("e5"))  # what is imported and kept from the first time on
        tracemalloc.start()
        try:
            shown = bucket.list("e5")
            next(shown)
            kept, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            bucket.drop_idle_connections()
    assert len([*shown]) == 999
    assert most - kept < 600_000, (kept, most)


def test_one_page_is_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's lock goes round: with sixteen threads that compute, a window gets it every 80 ms."""
    held: list[bool] = []
    monkeypatch.setattr(list_objects, "read_page", lambda _: held.append(list_objects._one_at_a_time.locked()))
    before_parse({"status_code": 200, "body": b""}, {})
    assert held == [True]
