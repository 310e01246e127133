"""Tests of GETs in both ways: no byte before its headers are validated, no byte lost, no socket leaked."""

from __future__ import annotations

import contextlib
import gc
from dataclasses import replace
from email.utils import formatdate
from threading import Event
from typing import Any

import psutil
import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.fast_get import FastGet
from era5dl.bucket.get_object import PlainGet
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.response_headers import validate_range
from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import (
    BadResponse,
    BucketError,
    BucketRefused,
    Denied,
    Interrupted,
    NotFound,
    ObjectChanged,
    ServerBusy,
    ServerFault,
    StaleConnection,
)
from tests.bucket_setup import DATA, DATED, KEY, OBJ, OPAQUE, START, STOP, CannedBucket, opened, read_all
from tests.faultlab import Fault, FaultServer, Link
from tests.faultlab.http import Answer
from tests.faultlab.objects import LAST_MODIFIED
from tests.runs import read_some
from tests.servers.canned import Canned

pytestmark = pytest.mark.usefixtures("no_user_settings", "get_way")


def test_an_environment_variable_selects_the_kind_of_get(request: pytest.FixtureRequest, http_bucket: S3Bucket) -> None:
    is_plain = request.node.callspec.params["get_way"] == "plain"
    assert isinstance(http_bucket._send_get, PlainGet if is_plain else FastGet)


# -- open: validation of the headers ---------------------------------------------------------------------------------


def test_exactly_the_requested_bytes_are_returned(bucket: S3Bucket, server: FaultServer) -> None:
    assert read_all(bucket) == DATA[START:STOP]
    assert read_all(bucket, start=0, stop=1) == DATA[:1]
    assert read_all(bucket, start=0, stop=len(DATA)) == DATA
    asked = server.log[0]
    assert (asked.range, asked.if_match) == (f"bytes={START}-{STOP - 1}", OBJ.etag)
    assert server.stats().connections == 1


LIES = {
    "range-ignored-gzipped": BadResponse,
    "range-wrong": BadResponse,
    "range-short": BadResponse,
    "range-cut": BadResponse,
    "login-page": BadResponse,
    "login-redirect": BadResponse,
    "error-in-200": BadResponse,
    "half-header": BadResponse,
    "garbage": BadResponse,
    "other-etag": ObjectChanged,
    "replaced": ObjectChanged,
    "precondition-failed": ObjectChanged,
    "range-not-satisfiable": ObjectChanged,
    "reset-at-once": StaleConnection,
    "empty-reply": StaleConnection,
    "stall-before-headers": Interrupted,
    "slow-down": ServerBusy,
    "internal-error": ServerFault,
    "access-denied": Denied,
    "no-such-key": NotFound,
    "no-such-bucket": BucketRefused,
}


@pytest.mark.parametrize("kind", LIES)
def test_responses_that_do_not_match_the_request_are_refused_before_the_first_byte(
    bucket: S3Bucket, server: FaultServer, kind: str
) -> None:
    server.script(Fault(kind, at=100_000, times=None, on=("get", "head")), key=KEY)
    with pytest.raises(LIES[kind]) as refused:
        bucket.open(OBJ, START, STOP, Abort()).__enter__()
    assert type(refused.value) is LIES[kind]
    server.calm()
    if kind != "replaced":
        assert read_all(bucket) == DATA[START:STOP]  # the refused response has no effect on the pool


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": f"bytes {START}-{STOP - 1}/*"},
        {"Content-Range": f"bytes {START}-{STOP - 1}/{len(DATA)}, bytes 0-1/2"},
        {"Content-Range": f"octets {START}-{STOP - 1}/{len(DATA)}"},
        {"Content-Range": f"bytes {START}-{STOP - 1}/{'9' * 30}"},
        {"Content-Range": f"bytes {START}-{STOP}/{len(DATA)}"},
        {"Content-Range": ""},
        {"Content-Encoding": "gzip", "ETag": f"W/{OBJ.etag}"},
    ],
    ids=str,
)
def test_invalid_or_ambiguous_headers_are_refused(canned: CannedBucket, headers: dict[str, str]) -> None:
    right = {"Content-Range": f"bytes {START}-{STOP - 1}/{len(DATA)}", "ETag": OBJ.etag}
    canned.server.answers = [
        Answer.of(206, "Partial Content", right | headers, DATA[START:STOP]),
        Answer.of(206, "Partial Content", right, DATA[START:STOP]),
    ]
    with pytest.raises(BadResponse):
        read_all(canned.bucket)
    assert read_all(canned.bucket) == DATA[START:STOP]


@pytest.mark.parametrize("kind", ["chunked", "no-length"])
def test_a_range_response_without_content_length_is_accepted(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    """Inspecting proxies send a response in chunks, or until the end of the connection."""
    server.script(kind, key=KEY)
    assert read_all(bucket) == DATA[START:STOP]
    server.script(Fault(f"{kind}-cut", at=100_000), key=KEY)
    came = bytearray()
    with contextlib.suppress(Interrupted), bucket.open(OBJ, START, STOP, Abort()) as body:
        while data := read_some(body, 1 << 20):
            came += data
    assert came == DATA[START : START + 100_000]
    assert read_all(bucket) == DATA[START:STOP]


@pytest.mark.parametrize("framing", [{"transfer-encoding": "chunked"}, {"connection": "close"}], ids=str)
def test_a_whole_object_of_unknown_length_needs_an_md5_etag(framing: dict[str, str]) -> None:
    headers = {"etag": OBJ.etag} | framing
    assert validate_range(200, headers, OBJ, (START, STOP)) == (0, len(DATA))
    opaque = replace(OBJ, etag='"no-md5"')
    with pytest.raises(BadResponse):
        validate_range(200, headers | {"etag": opaque.etag}, opaque, (START, STOP))


@pytest.mark.parametrize("kind", ["range-ignored", "range-whole"])
def test_a_whole_object_response_is_recognized(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    server.script(kind, key=KEY)
    came = bytearray()
    with bucket.open(OBJ, START, STOP, Abort()) as body:
        assert (body.start, body.whole) == (0, True)
        while data := read_some(body, 1 << 20):
            came += data
    assert came == DATA
    with bucket.open(OBJ, START, STOP, Abort()) as body:
        assert (body.start, body.whole) == (START, False)


def test_a_range_response_with_status_200_is_accepted(canned: CannedBucket) -> None:
    """`rclone serve s3`, the server of the demo, responds like this."""
    part = {"Content-Range": f"bytes {START}-{STOP - 1}/{len(DATA)}", "ETag": OBJ.etag}
    first = {"Content-Range": f"bytes 0-0/{len(DATA)}", "ETag": OBJ.etag}
    elsewhere = {"Content-Range": f"bytes {START + 1}-{STOP}/{len(DATA)}", "ETag": OBJ.etag}
    canned.server.answers = [
        Answer.of(200, "OK", part, DATA[START:STOP]),
        Answer.of(405, "Method Not Allowed", {}, b""),
        Answer.of(200, "OK", first | DATED, DATA[:1]),
        Answer.of(200, "OK", elsewhere, DATA[START + 1 : STOP + 1]),
    ]
    with canned.bucket.open(OBJ, START, STOP, Abort()) as body:
        assert (body.start, body.whole) == (START, False)
        assert b"".join(iter(lambda: read_some(body, 1 << 20), b"")) == DATA[START:STOP]
    assert canned.bucket.head(KEY) == OBJ
    with pytest.raises(BadResponse):
        read_all(canned.bucket)


WHOLE = {"Content-Length": str(len(DATA)), "ETag": OBJ.etag, "Last-Modified": formatdate(LAST_MODIFIED, usegmt=True)}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Content-Length": str(len(DATA) - 1)}, BadResponse),
        ({"Content-Length": "", "ETag": ""}, BadResponse),
        ({"Content-Length": "", "ETag": f"W/{OBJ.etag}"}, BadResponse),
        ({"Content-Length": "", "Content-Encoding": "gzip"}, BadResponse),
        ({"Content-Range": f"bytes {START}-{STOP - 1}/{len(DATA)}"}, BadResponse),
        ({"ETag": f'"{"0" * 32}"'}, ObjectChanged),
        ({"ETag": f'W/"{"0" * 32}"'}, ObjectChanged),
        ({"ETag": "", "Last-Modified": formatdate(LAST_MODIFIED + 9, usegmt=True)}, ObjectChanged),
        ({"Content-Encoding": "gzip", "ETag": f"W/{OBJ.etag}"}, BadResponse),
        ({"Content-Encoding": "br", "ETag": ""}, BadResponse),
        ({"Transfer-Encoding": "chunked", "Content-Length": "", "ETag": ""}, BadResponse),
    ],
    ids=str,
)
def test_a_whole_object_response_is_validated_like_a_range(
    canned: CannedBucket, headers: dict[str, str], expected: Any
) -> None:
    told = {name: value for name, value in (WHOLE | headers).items() if value}
    canned.server.answers = [Answer(200, "OK", told, DATA, length=None)]
    with pytest.raises(expected):
        canned.bucket.open(OBJ, START, STOP, Abort()).__enter__()


PART = {"Content-Range": f"bytes {START}-{STOP - 1}/{len(DATA)}"}
NAMELESS = ObjectInfo(KEY, len(DATA), "", LAST_MODIFIED)


@pytest.mark.parametrize(
    ("obj", "headers"),
    [
        (OBJ, {"ETag": f"W/{OBJ.etag}"}),
        (OBJ, {}),
        (OBJ, DATED),
        (OPAQUE, {"ETag": f"W/{OPAQUE.etag}"}),
        (OPAQUE, DATED),
        (NAMELESS, DATED),
        (NAMELESS, {"ETag": OBJ.etag, **DATED}),
        (NAMELESS, {}),
        (replace(OPAQUE, etag=f"W/{OPAQUE.etag}"), {"ETag": OPAQUE.etag}),
    ],
    ids=str,
)
def test_a_version_is_accepted_by_weak_etag_or_date(
    canned: CannedBucket, obj: ObjectInfo, headers: dict[str, str]
) -> None:
    canned.server.answers = [Answer.of(206, "Partial Content", PART | headers, DATA[START:STOP])]
    assert read_all(canned.bucket, obj) == DATA[START:STOP]


@pytest.mark.parametrize(
    ("obj", "headers", "expected"),
    [
        (OBJ, {"ETag": 'W/"65920080-61a80"'}, ObjectChanged),
        (OPAQUE, {"ETag": OBJ.etag}, ObjectChanged),
        (OPAQUE, {}, BadResponse),
        (OPAQUE, {"Last-Modified": formatdate(LAST_MODIFIED - 5, usegmt=True)}, ObjectChanged),
        (NAMELESS, {"Last-Modified": formatdate(LAST_MODIFIED + 5, usegmt=True)}, ObjectChanged),
        (replace(OPAQUE, last_modified=0), DATED, BadResponse),
    ],
    ids=str,
)
def test_another_or_an_unknown_version_is_refused(
    canned: CannedBucket, obj: ObjectInfo, headers: dict[str, str], expected: Any
) -> None:
    canned.server.answers = [Answer.of(206, "Partial Content", PART | headers, DATA[START:STOP])]
    with pytest.raises(expected):
        read_all(canned.bucket, obj)


def test_another_size_with_the_same_etag_is_another_version(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA + b"more", etag=OBJ.etag)
    with pytest.raises(ObjectChanged):
        read_all(http_bucket)


def test_an_etag_without_quotes_is_the_same_etag(
    http_bucket: S3Bucket, fault_server: FaultServer, canned: CannedBucket
) -> None:
    fault_server.put(KEY, DATA, etag=OBJ.etag.strip('"'))
    (listed,) = http_bucket.list("")
    assert listed == OBJ
    assert http_bucket.head(KEY) == OBJ
    headers = {"Content-Range": f"bytes {START}-{STOP - 1}/{len(DATA)}", "ETag": OBJ.etag.strip('"')}
    canned.server.answers = [Answer.of(206, "Partial Content", headers, DATA[START:STOP])]
    assert read_all(canned.bucket) == DATA[START:STOP]


def test_a_weak_etag_is_compared_but_not_sent_as_if_match(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    """A server must always refuse If-Match with a weak ETag (RFC 9110, 13.1.1)."""
    weak = 'W/"65920080-61a80"'
    fault_server.put(KEY, DATA, etag=weak)
    obj = http_bucket.head(KEY)
    assert read_all(http_bucket, obj) == DATA[START:STOP]
    assert fault_server.log[-1].if_match == ""
    fault_server.put(KEY, DATA, etag='W/"65920081-61a80"')
    with pytest.raises(ObjectChanged):
        read_all(http_bucket, obj)


def test_received_bytes_are_returned_at_once(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    """No byte received before a fault is lost in a buffer."""
    for at in (1, 299_999):
        fault_server.script(Fault("body-stall", at=at, seconds=5))
        came = bytearray()
        with pytest.raises(Interrupted), http_bucket.open(OBJ, START, STOP, Abort()) as body:
            while True:
                came += read_some(body, 1 << 20)
        assert came == DATA[START : START + at]


@pytest.mark.parametrize("count", [1, 100, 9000])
def test_bytes_received_with_the_headers_are_not_lost(count: int) -> None:
    """They are in a buffer of the client library, and are returned before waiting for more."""
    headers = {"Content-Range": f"bytes {START}-{STOP - 1}/{len(DATA)}", "ETag": OBJ.etag}
    head = Answer.of(206, "Partial Content", headers, DATA[START:STOP]).head()
    came, hold = bytearray(), Event()
    with Canned(head + DATA[START : START + count], hold=hold) as server:
        for bucket in opened(server):
            with pytest.raises(Interrupted), bucket.open(OBJ, START, STOP, Abort()) as body:
                while True:
                    came += read_some(body, 1 << 20)
            hold.set()
    assert came == DATA[START : START + count]


@pytest.mark.parametrize("kind", ["body-fin", "ragged-end", "body-reset", "broken-tls"])
def test_a_body_that_ends_early_is_short_or_interrupted(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    server.script(Fault(kind, at=100_000))
    came = bytearray()
    try:
        with bucket.open(OBJ, START, STOP, Abort()) as body:
            while data := read_some(body, 1 << 20):
                came += data
    except Interrupted:
        pass
    assert came == DATA[START : START + 100_000]


# -- open: the body is always closed ---------------------------------------------------------------------------------


def sockets_to(server: Any) -> int:
    """Return the number of open connections of this process to a test server."""
    return sum(c.raddr[1:] == (server.port,) for c in psutil.Process().net_connections("tcp") if c.raddr)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["range-ignored-gzipped", "range-cut", "login-page", "other-etag", "slow-down"])
def test_failed_gets_leak_no_sockets(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    """Even if the errors are kept, with the frames of their tracebacks, and garbage is not collected."""
    server.script(Fault(kind, times=None))
    gc.collect()  # what earlier tests left behind
    kept = []
    gc.disable()
    try:
        for _ in range(50):
            with pytest.raises(BucketError) as refused:
                bucket.open(OBJ, START, STOP, Abort()).__enter__()
            kept.append(refused.value)
        assert sockets_to(server) <= 1  # one that can be reused
    finally:
        gc.enable()


def test_a_response_that_botocore_cannot_parse_is_closed(canned: CannedBucket) -> None:
    """The fast GET ignores this header."""
    headers = PART | {"ETag": OBJ.etag, "x-amz-missing-meta": "many"}
    canned.server.answers = [Answer.of(206, "Partial Content", headers, DATA[START:STOP])]
    gc.collect()  # what earlier tests left behind
    kept = []
    gc.disable()
    try:
        try:
            assert read_all(canned.bucket) == DATA[START:STOP]
        except BadResponse as error:
            kept.append(error)
        assert sockets_to(canned.server) <= (0 if kept else 1)
    finally:
        gc.enable()
    assert bool(kept) == isinstance(canned.bucket._send_get, PlainGet)


def test_an_exception_while_reading_closes_the_body(bucket: S3Bucket, server: FaultServer) -> None:
    gc.collect()  # what earlier tests left behind
    kept = []
    gc.disable()
    try:
        for _ in range(20):
            with pytest.raises(ZeroDivisionError) as left, bucket.open(OBJ, START, STOP, Abort()) as body:
                assert read_some(body, 1 << 20)
                raise ZeroDivisionError
            kept.append((left.value, body))
        assert sockets_to(server) == 0
    finally:
        gc.enable()


def test_active_connections_are_not_dropped_as_idle(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    fault_server.link = Link(speed=2_000_000)
    came = bytearray()
    with http_bucket.open(OBJ, START, STOP, Abort()) as body:
        came += read_some(body, 1 << 20)
        http_bucket.drop_idle_connections()
        while data := read_some(body, 1 << 20):
            came += data
    assert came == DATA[START:STOP]


def test_dropped_connections_are_not_reused(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    for _ in range(3):
        read_all(http_bucket)
        http_bucket.drop_idle_connections()
    assert fault_server.stats().connections == 3
