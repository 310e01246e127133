"""Tests of the S3 bucket: no byte before its headers are validated, no false listing, no leaked socket."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, Literal
from urllib.parse import quote

import psutil
import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.client import bucket_url, create_client
from era5dl.bucket.interface import ObjectInfo, Parts
from era5dl.bucket.response_headers import span_of_body
from era5dl.bucket.s3 import MOST_IDLE_PAGES, S3Bucket
from era5dl.errors import (
    BadResponse,
    BucketError,
    BucketRefused,
    Contradiction,
    Denied,
    Interrupted,
    NotFound,
    ObjectChanged,
    ServerBusy,
    ServerFault,
    StaleConnection,
    Unreachable,
    Untrusted,
    UsageError,
)
from era5dl.settings import Settings
from tests.faultlab import Certificates, Fault, FaultServer, Link, Objects, etag_of, pseudo_random
from tests.faultlab.http import Answer
from tests.faultlab.objects import LAST_MODIFIED
from tests.runs import read_some, settings_for
from tests.servers.canned import Canned
from tests.servers.seaweed import Seaweed

AT_AMAZON = "https://nsf-ncar-era5.s3.us-west-2.amazonaws.com/"
KEY = "e5.oper.an.pl/202401/a.nc"
DATA = pseudo_random("s3", 400_000)
START, STOP = 1000, 301_000
OBJ = ObjectInfo(KEY, len(DATA), etag_of(DATA), LAST_MODIFIED)


@pytest.fixture(autouse=True)
def no_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the account that runs the tests: neither proxies nor certificates nor AWS settings."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


class Pair:
    """A server and a bucket for it. A client takes 0.1 s to make, so tests share them, and find them clean."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.bucket = S3Bucket(settings_for(server, read_timeout=0.5))

    def clean(self) -> None:
        self.bucket.drop_idle_connections()
        self.server.objects = Objects()
        self.server.link = Link()
        self.server.calm()
        self.server.reset_stats()
        self.server.put(KEY, DATA)


@pytest.fixture(scope="module")
def over_http() -> Iterator[Pair]:
    with FaultServer() as server:
        yield Pair(server)


@pytest.fixture(scope="module")
def over_tls(certificates: Certificates) -> Iterator[Pair]:
    with FaultServer(certificates=certificates) as server:
        yield Pair(server)


@pytest.fixture(params=["http", "tls"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Once plain and once with TLS."""
    found: Pair = request.getfixturevalue(f"over_{request.param}")
    found.clean()
    yield found
    found.bucket.drop_idle_connections()


@pytest.fixture
def server(pair: Pair) -> FaultServer:
    """A fault server with one object."""
    return pair.server


@pytest.fixture
def bucket(pair: Pair) -> S3Bucket:
    return pair.bucket


@pytest.fixture
def fault_server(over_http: Pair) -> Iterator[FaultServer]:
    """The same over http only, where TLS makes no difference."""
    over_http.clean()
    yield over_http.server
    over_http.bucket.drop_idle_connections()


@pytest.fixture
def plain(fault_server: FaultServer, over_http: Pair) -> S3Bucket:
    return over_http.bucket


@pytest.fixture(scope="module")
def canned() -> Iterator[Pair]:
    """A server that says whatever a test makes it say."""
    with Canned(b"") as server:
        yield Pair(server)


def opened(server: Any, **options: Any) -> Iterator[S3Bucket]:
    """A bucket with options of its own."""
    found = S3Bucket(settings_for(server, **{"read_timeout": 0.5, **options}))
    yield found
    found.drop_idle_connections()


def fetched(bucket: S3Bucket, obj: ObjectInfo = OBJ, start: int = START, stop: int = STOP) -> bytes:
    """All bytes of one answer."""
    came = bytearray()
    with bucket.open(obj, start, stop, Abort()) as body:
        while data := read_some(body, 1 << 20):
            came += data
    return bytes(came)


# -- open: the headers must prove it ---------------------------------------------------------------------------------


def test_the_bytes_asked_for_and_no_others(bucket: S3Bucket, server: FaultServer) -> None:
    assert fetched(bucket) == DATA[START:STOP]
    assert fetched(bucket, start=0, stop=1) == DATA[:1]
    assert fetched(bucket, start=0, stop=len(DATA)) == DATA
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
def test_what_is_not_proven_is_refused_before_the_first_byte(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    server.script(Fault(kind, at=100_000, times=None, on=("get", "head")), key=KEY)
    with pytest.raises(LIES[kind]) as refused:
        bucket.open(OBJ, START, STOP, Abort()).__enter__()
    assert type(refused.value) is LIES[kind]
    server.calm()
    if kind != "replaced":
        assert fetched(bucket) == DATA[START:STOP]  # nothing of it is left in the pool


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
def test_headers_that_prove_nothing(canned: Pair, headers: dict[str, str]) -> None:
    right = {"Content-Range": f"bytes {START}-{STOP - 1}/{len(DATA)}", "ETag": OBJ.etag}
    canned.server.answers = [
        Answer.of(206, "Partial Content", right | headers, DATA[START:STOP]),
        Answer.of(206, "Partial Content", right, DATA[START:STOP]),
    ]
    with pytest.raises(BadResponse):
        fetched(canned.bucket)
    assert fetched(canned.bucket) == DATA[START:STOP]


@pytest.mark.parametrize("kind", ["chunked", "no-length"])
def test_a_part_whose_length_only_content_range_says(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    """Proxies that look into what passes send it on in chunks, or up to the end of the connection."""
    server.script(kind, key=KEY)
    assert fetched(bucket) == DATA[START:STOP]
    server.script(Fault(f"{kind}-cut", at=100_000), key=KEY)
    came = bytearray()
    with contextlib.suppress(Interrupted), bucket.open(OBJ, START, STOP, Abort()) as body:
        while data := read_some(body, 1 << 20):
            came += data
    assert came == DATA[START : START + 100_000]
    assert fetched(bucket) == DATA[START:STOP]


@pytest.mark.parametrize("framing", [{"transfer-encoding": "chunked"}, {"connection": "close"}], ids=str)
def test_a_whole_object_of_unsaid_length_is_taken_where_an_md5_will_decide(framing: dict[str, str]) -> None:
    headers = {"etag": OBJ.etag} | framing
    assert span_of_body(200, headers, OBJ, (START, STOP)) == (0, len(DATA))
    opaque = replace(OBJ, etag='"no-md5"')
    with pytest.raises(BadResponse):
        span_of_body(200, headers | {"etag": opaque.etag}, opaque, (START, STOP))


@pytest.mark.parametrize("kind", ["range-ignored", "range-whole"])
def test_the_whole_object_instead_of_a_part_is_told_from_it(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    server.script(kind, key=KEY)
    came = bytearray()
    with bucket.open(OBJ, START, STOP, Abort()) as body:
        assert (body.start, body.whole) == (0, True)
        while data := read_some(body, 1 << 20):
            came += data
    assert came == DATA
    with bucket.open(OBJ, START, STOP, Abort()) as body:
        assert (body.start, body.whole) == (START, False)


def test_a_part_under_200_is_the_part_that_its_content_range_names(canned: Pair) -> None:
    """So answers `rclone serve s3`, the server of the demo."""
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
        fetched(canned.bucket)


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
def test_a_whole_object_needs_proof_as_a_part_does(canned: Pair, headers: dict[str, str], expected: Any) -> None:
    told = {name: value for name, value in (WHOLE | headers).items() if value}
    canned.server.answers = [Answer(200, "OK", told, DATA, length=None)]
    with pytest.raises(expected):
        canned.bucket.open(OBJ, START, STOP, Abort()).__enter__()


PART = {"Content-Range": f"bytes {START}-{STOP - 1}/{len(DATA)}"}
DATED = {"Last-Modified": formatdate(LAST_MODIFIED, usegmt=True)}
OPAQUE = ObjectInfo(KEY, len(DATA), '"65920080-61a80"', LAST_MODIFIED)
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
def test_a_version_said_weakly_or_by_its_date(canned: Pair, obj: ObjectInfo, headers: dict[str, str]) -> None:
    canned.server.answers = [Answer.of(206, "Partial Content", PART | headers, DATA[START:STOP])]
    assert fetched(canned.bucket, obj) == DATA[START:STOP]


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
def test_another_version_or_none_that_is_said(
    canned: Pair, obj: ObjectInfo, headers: dict[str, str], expected: Any
) -> None:
    canned.server.answers = [Answer.of(206, "Partial Content", PART | headers, DATA[START:STOP])]
    with pytest.raises(expected):
        fetched(canned.bucket, obj)


def test_another_size_under_the_same_etag_is_another_version(plain: S3Bucket, fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA + b"more", etag=OBJ.etag)
    with pytest.raises(ObjectChanged):
        fetched(plain)


def test_an_etag_without_quotes_is_the_same_etag(plain: S3Bucket, fault_server: FaultServer, canned: Pair) -> None:
    fault_server.put(KEY, DATA, etag=OBJ.etag.strip('"'))
    (listed,) = plain.list("")
    assert listed == OBJ
    assert plain.head(KEY) == OBJ
    headers = {"Content-Range": f"bytes {START}-{STOP - 1}/{len(DATA)}", "ETag": OBJ.etag.strip('"')}
    canned.server.answers = [Answer.of(206, "Partial Content", headers, DATA[START:STOP])]
    assert fetched(canned.bucket) == DATA[START:STOP]


def test_a_weak_etag_is_no_condition_but_is_compared(plain: S3Bucket, fault_server: FaultServer) -> None:
    """A server must refuse If-Match with a weak ETag, always (RFC 9110, 13.1.1); so it is not asked."""
    weak = 'W/"65920080-61a80"'
    fault_server.put(KEY, DATA, etag=weak)
    obj = plain.head(KEY)
    assert fetched(plain, obj) == DATA[START:STOP]
    assert fault_server.log[-1].if_match == ""
    fault_server.put(KEY, DATA, etag='W/"65920081-61a80"')
    with pytest.raises(ObjectChanged):
        fetched(plain, obj)


def test_bytes_are_handed_over_as_soon_as_they_are_there(plain: S3Bucket, fault_server: FaultServer) -> None:
    """What came before a fault is never lost in a buffer, however little it was."""
    for at in (1, 299_999):
        fault_server.script(Fault("body-stall", at=at, seconds=5))
        came = bytearray()
        with pytest.raises(Interrupted), plain.open(OBJ, START, STOP, Abort()) as body:
            while True:
                came += read_some(body, 1 << 20)
        assert came == DATA[START : START + at]


@pytest.mark.parametrize("count", [1, 100, 9000])
def test_bytes_that_came_with_the_headers_are_not_lost(count: int) -> None:
    """They lie in a buffer of the client library, and are handed over before anybody waits for more."""
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
def test_a_body_that_ends_early_is_short_or_an_interruption(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    server.script(Fault(kind, at=100_000))
    came = bytearray()
    try:
        with bucket.open(OBJ, START, STOP, Abort()) as body:
            while data := read_some(body, 1 << 20):
                came += data
    except Interrupted:
        pass
    assert came == DATA[START : START + 100_000]


def test_one_request_for_one_call(plain: S3Bucket, fault_server: FaultServer) -> None:
    """Retries have one owner, and it is neither botocore nor urllib3."""
    fault_server.script(Fault("internal-error", times=None, on=("get", "head", "list")))
    for call in (
        lambda: fetched(plain),
        lambda: plain.head(KEY),
        lambda: list(plain.list("")),
        lambda: plain.parts(OBJ),
    ):
        fault_server.reset_stats()
        with pytest.raises(ServerFault):
            call()
        assert sum(fault_server.stats().requests.values()) == 1


# -- open: the body is always closed ---------------------------------------------------------------------------------


def sockets_to(server: FaultServer) -> int:
    """Connections that this process, as a client, holds open to a server of the tests."""
    return sum(c.raddr[1:] == (server.port,) for c in psutil.Process().net_connections("tcp") if c.raddr)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["range-ignored-gzipped", "range-cut", "login-page", "other-etag", "slow-down"])
def test_fifty_failing_opens_leave_no_socket(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    """Even when somebody keeps the errors, whose tracebacks keep the frames, and nobody collects garbage."""
    server.script(Fault(kind, times=None))
    gc.collect()  # what earlier tests left behind
    kept = []
    gc.disable()
    try:
        for _ in range(50):
            with pytest.raises(BucketError) as refused:
                bucket.open(OBJ, START, STOP, Abort()).__enter__()
            kept.append(refused.value)
        assert sockets_to(server) <= 1  # the one that may be used again
    finally:
        gc.enable()


def test_leaving_in_the_middle_closes_the_body(bucket: S3Bucket, server: FaultServer) -> None:
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


def test_connections_in_flight_are_not_idle(plain: S3Bucket, fault_server: FaultServer) -> None:
    fault_server.link = Link(speed=2_000_000)
    came = bytearray()
    with plain.open(OBJ, START, STOP, Abort()) as body:
        came += read_some(body, 1 << 20)
        plain.drop_idle_connections()
        while data := read_some(body, 1 << 20):
            came += data
    assert came == DATA[START:STOP]


def test_dropped_connections_are_not_used_again(plain: S3Bucket, fault_server: FaultServer) -> None:
    for _ in range(3):
        fetched(plain)
        plain.drop_idle_connections()
    assert fault_server.stats().connections == 3


# -- list ------------------------------------------------------------------------------------------------------------

ODD = [
    "odd/ leading and trailing ",
    "odd/a+b%20c%2B.nc",
    "odd/<&>\"'.nc",
    "odd/Übersicht 气温 🌡.nc",
    "odd/\x01\x1f\x7f",
    "odd/a//b/../c",
    "odd/?x=1#y;z",
]


def test_a_listing_follows_its_pages(plain: S3Bucket, fault_server: FaultServer) -> None:
    keys = [f"many/{number:05}.nc" for number in range(2500)]
    for key in keys:
        fault_server.put(key, b"x")
    fault_server.put("manyother", b"x")
    assert [obj.key for obj in plain.list("many/")] == keys
    assert fault_server.stats().requests == {"GET": 3}


def test_a_listing_is_read_page_by_page(plain: S3Bucket, fault_server: FaultServer) -> None:
    for number in range(2500):
        fault_server.put(f"many/{number:05}.nc", b"x")
    first = next(iter(plain.list("many/")))
    assert first.key == "many/00000.nc"
    assert fault_server.stats().requests == {"GET": 1}


def test_odd_keys_come_as_they_are_and_can_be_fetched(plain: S3Bucket, fault_server: FaultServer) -> None:
    for key in ODD:
        fault_server.put(key, key.encode())
    listed = list(plain.list("odd/"))
    assert [obj.key for obj in listed] == sorted(ODD, key=str.encode)
    for obj in listed:
        if "/../" not in obj.key:  # such a path is rewritten on its way; a file it cannot become anyway
            assert plain.head(obj.key) == obj
            assert fetched(plain, obj, 0, obj.size) == obj.key.encode()


def test_a_listing_tells_all_there_is_to_know(plain: S3Bucket) -> None:
    assert list(plain.list("e5.")) == [OBJ]


def test_nothing_there_is_an_empty_listing(plain: S3Bucket) -> None:
    assert list(plain.list("nowhere/")) == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("login-page", BadResponse),
        ("error-in-200", ServerFault),
        ("body-fin", (ServerFault, BadResponse, Interrupted, StaleConnection)),
        ("body-reset", (ServerFault, BadResponse, Interrupted, StaleConnection)),
        ("no-length-cut", (ServerFault, BadResponse)),
        ("chunked-cut", (Interrupted, BadResponse, StaleConnection)),
        ("half-header", BadResponse),
        ("no-such-bucket", BucketRefused),
        ("access-denied", Denied),
        ("slow-down", ServerBusy),
        ("login-redirect", BadResponse),
    ],
)
@pytest.mark.parametrize("page", [1, 2])
def test_a_listing_that_goes_wrong_is_an_error_and_never_just_shorter(
    plain: S3Bucket, fault_server: FaultServer, kind: str, expected: Any, page: int
) -> None:
    for number in range(1500):
        fault_server.put(f"many/{number:05}.nc", b"x")
    good = ["none"] * (page - 1)
    fault_server.script(*(Fault(name, on=("list",)) for name in good), Fault(kind, times=None, on=("list", "head")))
    listing = plain.list("many/")
    whole_pages = 1000 * (page - 1)
    assert len(list(islice(listing, whole_pages))) == whole_pages
    with pytest.raises(expected):
        next(listing)


LISTING = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>nsf-ncar-era5</Name>{}{}</ListBucketResult>'
ENTRY = "<Contents><Key>a.nc</Key><Size>{}</Size></Contents>"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html/>",
        '<html xmlns="http://www.w3.org/1999/xhtml"><body><p>Log in</p></body></html>',
        "<ListBucketResult/>",
        LISTING.format("<IsTruncated>false</IsTruncated>", ENTRY.format("large")),
        LISTING.format("<IsTruncated>false</IsTruncated>", "<Contents><Key>a.nc</Key></Contents>"),
        LISTING.format(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>", ENTRY.format(1)
        ),  # the same page for ever
        LISTING.format("<IsTruncated>true</IsTruncated>", ENTRY.format(1)),  # there is more, and no way to it
    ],
)
def test_what_is_no_whole_listing_is_an_error(canned: Pair, body: str) -> None:
    canned.server.answers = [Answer.of(200, "OK", {"Content-Type": "application/xml"}, body.encode())]
    with pytest.raises(BucketError):
        list(canned.bucket.list(""))


@pytest.mark.parametrize(
    "parts",
    [
        ["<IsTruncated>false</IsTruncated>", "<IsTruncated>false</IsTruncated>"],
        ["<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>", "<IsTruncated/>"],
        ["<IsTruncated>TRUE</IsTruncated>", "<NextContinuationToken>t</NextContinuationToken>"],
        ["<IsTruncated>maybe</IsTruncated>", ""],
        ["<IsTruncated>false</IsTruncated>", "<Contents><Key>a</Key><Key>b</Key><Size>1</Size></Contents>"],
        ["<IsTruncated>false</IsTruncated>", "<Contents><Key>a</Key><Size>1</Size><Size>2</Size></Contents>"],
        ["<IsTruncated>false</IsTruncated>", "<Contents/>"],
    ],
    ids=str,
)
def test_a_listing_that_contradicts_itself_is_refused(canned: Pair, parts: list[str]) -> None:
    canned.server.answers = [Answer.of(200, "OK", {}, LISTING.format(*parts).encode())]
    with pytest.raises(BadResponse):
        list(canned.bucket.list(""))


def test_keys_are_url_encoded_where_the_listing_says_so_wherever_it_says_it(canned: Pair) -> None:
    encoded = "<IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"
    entry = "<Contents><Key>a+b%2Bc/%C3%9C.nc</Key><Size>1</Size></Contents>"
    for parts in ([encoded, entry], [entry, encoded]):
        canned.server.answers = [Answer.of(200, "OK", {}, LISTING.format(*parts).encode())]
        assert [obj.key for obj in canned.bucket.list("")] == ["a b+c/Ü.nc"]
    canned.server.answers = [Answer.of(200, "OK", {}, LISTING.format("", entry).encode())]
    assert [obj.key for obj in canned.bucket.list("")] == ["a+b%2Bc/%C3%9C.nc"]


def test_names_in_a_listing_may_have_a_prefix_of_their_namespace(canned: Pair) -> None:
    body = (
        '<s3:ListBucketResult xmlns:s3="x"><s3:Name>nsf-ncar-era5</s3:Name><s3:IsTruncated>false</s3:IsTruncated>'
        "<s3:CommonPrefixes><s3:Prefix>p/</s3:Prefix><s3:Key>none</s3:Key></s3:CommonPrefixes>"
        "<s3:Contents>\n <s3:Owner><s3:Key>none</s3:Key></s3:Owner><s3:Key>a&amp;<!-- -->b</s3:Key>\n"
        "<s3:ChecksumAlgorithm>1</s3:ChecksumAlgorithm><s3:ChecksumAlgorithm>2</s3:ChecksumAlgorithm>"
        "<s3:LastModified>2025-01-01T00:00:00.000Z</s3:LastModified><s3:Size>7</s3:Size></s3:Contents>"
        "</s3:ListBucketResult>"
    )
    canned.server.answers = [Answer.of(200, "OK", {}, body.encode())]
    assert list(canned.bucket.list("")) == [ObjectInfo("a&b", 7, "", 1_735_689_600)]


def test_a_listing_that_brings_nothing_new_for_ever_is_an_error(canned: Pair) -> None:
    """Each page with another token, so that it looks like going on."""
    pages = [
        LISTING.format(
            f"<IsTruncated>{str(n < 99).lower()}</IsTruncated><NextContinuationToken>{n}</NextContinuationToken>",
            ENTRY.format(1),
        )
        for n in range(100)
    ]
    canned.server.answers = [Answer.of(200, "OK", {}, page.encode()) for page in pages]
    canned.server.asked.clear()
    with pytest.raises(BadResponse, match="no end"):
        list(canned.bucket.list(""))
    assert len(canned.server.asked) <= MOST_IDLE_PAGES + 2


def test_an_entry_needs_neither_etag_nor_date(canned: Pair) -> None:
    body = LISTING.format("<IsTruncated>false</IsTruncated>", ENTRY.format(7)).encode()
    canned.server.answers = [Answer.of(200, "OK", {}, body)]
    assert list(canned.bucket.list("")) == [ObjectInfo("a.nc", 7, "", 0)]


@pytest.mark.slow
def test_a_real_server_lists_and_gives_what_was_put(seaweed: Seaweed) -> None:
    objects = {f"s3test/{name}": pseudo_random(name, 3000) for name in ("a.nc", "b c+d.nc", "Übersicht.nc")}
    for key, data in objects.items():
        seaweed.put(key, data)
    for bucket in opened(seaweed, read_timeout=10):
        listed = {obj.key: obj for obj in bucket.list("s3test/")}
        assert listed.keys() == objects.keys()
        for key, data in objects.items():
            assert bucket.head(key).etag == listed[key].etag == etag_of(data)
            assert fetched(bucket, listed[key], 100, 2000) == data[100:2000]


# -- head and parts --------------------------------------------------------------------------------------------------


def test_head_tells_what_is_there_now(bucket: S3Bucket) -> None:
    assert bucket.head(KEY) == OBJ
    with pytest.raises(NotFound):
        bucket.head("nowhere.nc")


@pytest.mark.parametrize("kind", ["login-page", "error-in-200"])
def test_an_answer_that_describes_no_object(plain: S3Bucket, fault_server: FaultServer, kind: str) -> None:
    fault_server.script(Fault(kind, on=("head",)))
    with pytest.raises((BadResponse, Contradiction)):
        plain.head(KEY)


@pytest.mark.parametrize("kind", ["says-empty", "no-length", "weak-etag", "no-etag"])
def test_a_doubtful_description_is_confirmed_by_a_byte(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    server.script(Fault(kind, times=None, on=("head",)))
    assert bucket.head(KEY) == OBJ
    assert [(seen.method, seen.range) for seen in server.log] == [("HEAD", ""), ("GET", "bytes=0-0")]
    assert fetched(bucket) == DATA[START:STOP]


def test_an_empty_object_is_empty_by_two_answers(plain: S3Bucket, fault_server: FaultServer) -> None:
    fault_server.put("strong", b"")
    fault_server.put("opaque", b"", etag='"65920080-0"')
    assert (plain.head("strong").size, len(fault_server.log)) == (0, 1)
    assert (plain.head("opaque").size, len(fault_server.log)) == (0, 3)


def test_head_where_it_is_not_allowed(canned: Pair) -> None:
    sample = {"Content-Range": f"bytes 0-0/{len(DATA)}", "ETag": OBJ.etag, **DATED}
    canned.server.answers = [
        Answer.of(405, "Method Not Allowed", {}, b""),
        Answer.of(206, "Partial Content", sample, DATA[:1]),
    ]
    assert canned.bucket.head(KEY) == OBJ


@pytest.mark.parametrize(
    ("head", "sample", "said", "kind"),
    [
        (
            {"ETag": f"W/{OBJ.etag}"},
            {"Content-Range": "bytes 0-0/7", "ETag": OBJ.etag},
            ["400000 bytes", "7 bytes"],
            Contradiction,
        ),
        ({"ETag": f"W/{OBJ.etag}"}, {"ETag": OPAQUE.etag}, [OBJ.etag, OPAQUE.etag], Contradiction),
        ({}, {"Content-Range": "bytes 0-0/*"}, ["how large"], BadResponse),
        ({}, {}, ["does not describe"], BadResponse),
    ],
    ids=str,
)
def test_contradictions_are_named(
    canned: Pair, head: dict[str, str], sample: dict[str, str], said: list[str], kind: type[Exception]
) -> None:
    sample = {"Content-Range": f"bytes 0-0/{len(DATA)}"} | sample
    canned.server.answers = [
        Answer(200, "OK", {"Content-Length": str(len(DATA))} | head, length=None),
        Answer.of(206, "Partial Content", sample, b"x"),
    ]
    with pytest.raises(kind) as refused:
        canned.bucket.head(KEY)
    assert all(words in str(refused.value) for words in said), str(refused.value)


def test_a_login_page_describes_no_object_however_often_it_is_asked(canned: Pair) -> None:
    page = {"Content-Type": "text/html; charset=utf-8", **DATED}
    canned.server.answers = [Answer.of(200, "OK", page, b"<html>log in</html>")]
    with pytest.raises(BadResponse):
        canned.bucket.head(KEY)


def test_how_an_object_was_uploaded(plain: S3Bucket, fault_server: FaultServer) -> None:
    etag = fault_server.put("parts.nc", DATA, part_size=150_000)
    assert plain.parts(ObjectInfo("parts.nc", len(DATA), etag)) == Parts(3, 150_000)
    assert plain.parts(OBJ) is None


def test_parts_are_those_of_this_version(plain: S3Bucket, fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA, part_size=150_000)
    with pytest.raises(ObjectChanged):
        plain.parts(OBJ)


def test_a_server_that_does_not_tell_the_parts(plain: S3Bucket, fault_server: FaultServer) -> None:
    fault_server.script(Fault("login-page", on=("head",)))
    assert plain.parts(OBJ) is None


# -- whose settings --------------------------------------------------------------------------------------------------

USERS = {
    "profile": {"AWS_PROFILE": "work"},
    "default profile": {"AWS_DEFAULT_PROFILE": "work"},
    "endpoint": {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    "endpoint of S3": {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
    "keys": {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "EXAMPLEKEY"},
    "region": {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"},
    "retries": {"AWS_MAX_ATTEMPTS": "7", "AWS_RETRY_MODE": "adaptive"},
    "checksums": {"AWS_RESPONSE_CHECKSUM_VALIDATION": "when_supported"},
    "FIPS": {"AWS_USE_FIPS_ENDPOINT": "true"},
    "dual stack": {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    "nonsense": {"AWS_DEFAULTS_MODE": "no-such-mode"},
}
CONFIG = """
[default]
region = eu-west-1
endpoint_url = http://127.0.0.1:9
max_attempts = 7
defaults_mode = no-such-mode
s3 =
    addressing_style = no-such-style
[profile work]
region = ap-south-1
services = elsewhere
[services elsewhere]
s3 =
    endpoint_url = http://127.0.0.1:9
"""


def url_of(settings: Settings) -> str:
    return bucket_url(create_client(settings), settings.bucket)


def well_and_anonymous(settings: Settings, server: Canned) -> None:
    """One request, to this server, without a signature."""
    bucket = S3Bucket(settings)
    with pytest.raises(ServerFault):
        fetched(bucket)
    bucket.drop_idle_connections()
    (head,) = server.asked
    assert head.startswith(f"GET /nsf-ncar-era5/{quote(KEY)} HTTP/1.1")
    assert "\naccept-encoding: identity" in head.lower()  # bytes as they are stored
    for name in ("authorization", "x-amz-security-token", "x-amz-checksum-mode"):
        assert f"\n{name}:" not in head.lower()


@pytest.mark.slow
@pytest.mark.parametrize("name", USERS)
def test_the_users_aws_variables_do_not_disturb(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable, value in USERS[name].items():
        monkeypatch.setenv(variable, value)
    with Canned(Answer.of(500, "Error", {}, b"")) as server:
        well_and_anonymous(settings_for(server), server)
    if name in ("endpoint", "endpoint of S3", "FIPS", "dual stack", "region"):
        assert url_of(Settings()) == AT_AMAZON


@pytest.mark.parametrize("profile", ["", "work"])
def test_the_users_aws_files_do_not_disturb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str) -> None:
    file = tmp_path / "aws"
    file.write_text(CONFIG)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(file))
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    with Canned(Answer.of(500, "Error", {}, b"")) as server:
        well_and_anonymous(settings_for(server), server)
    assert url_of(Settings()) == AT_AMAZON


@pytest.mark.parametrize("text", [CONFIG, "[this is no configuration"], ids=["theirs", "broken"])
def test_files_in_the_home_folder_do_not_disturb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    (tmp_path / ".aws").mkdir()
    for name in ("config", "credentials"):
        (tmp_path / ".aws" / name).write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with Canned(Answer.of(500, "Error", {}, b"")) as server:
        well_and_anonymous(settings_for(server), server)


# -- trust and proxies -----------------------------------------------------------------------------------------------


def test_a_certificate_that_nobody_vouches_for_is_refused(fault_server_tls: FaultServer) -> None:
    settings = Settings(endpoint_url=fault_server_tls.endpoint_url, bucket=fault_server_tls.bucket)
    with pytest.raises(Untrusted):
        S3Bucket(settings).head(KEY)


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_usual_variables_name_a_ca_file(
    fault_server_tls: FaultServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fault_server_tls.put(KEY, DATA)
    monkeypatch.setenv(name, str(fault_server_tls.ca_file))
    bucket = S3Bucket(Settings(endpoint_url=fault_server_tls.endpoint_url, bucket=fault_server_tls.bucket))
    assert bucket.head(KEY) == OBJ
    bucket.drop_idle_connections()


def test_the_setting_goes_before_the_variables(
    fault_server_tls: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fault_server_tls.put(KEY, DATA)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    for bucket in opened(fault_server_tls):
        assert bucket.head(KEY) == OBJ


def test_proxies_of_the_environment_and_of_the_settings(
    plain: S3Bucket, fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Canned(Answer.of(500, "Error", {}, b"")) as proxy, Canned(Answer.of(500, "Error", {}, b"")) as other:
        monkeypatch.setenv("http_proxy", proxy.endpoint_url)
        for options, asked in (({}, proxy), ({"proxy": other.endpoint_url}, other)):
            for bucket in opened(fault_server, **options):
                with pytest.raises(ServerFault):
                    bucket.head(KEY)
            assert asked.asked.pop().startswith(f"HEAD {fault_server.endpoint_url}/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for bucket in opened(fault_server):
            assert bucket.head(KEY) == OBJ


def test_nobody_there_is_unreachable() -> None:
    with FaultServer() as server:
        server.outage(30)
        for bucket in opened(server):
            for call in (lambda b=bucket: fetched(b), lambda b=bucket: b.head(KEY), lambda b=bucket: list(b.list(""))):
                with pytest.raises(Unreachable):
                    call()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({}, AT_AMAZON),
        ({"region": "eu-west-1"}, "https://nsf-ncar-era5.s3.eu-west-1.amazonaws.com/"),
        ({"region": "us-east-1"}, "https://nsf-ncar-era5.s3.amazonaws.com/"),
        ({"region": "cn-north-1"}, "https://nsf-ncar-era5.s3.cn-north-1.amazonaws.com.cn/"),
        ({"region": "us-gov-west-1"}, "https://nsf-ncar-era5.s3.us-gov-west-1.amazonaws.com/"),
        ({"region": "mx-central-1", "bucket": "abc"}, "https://abc.s3.mx-central-1.amazonaws.com/"),
        ({"bucket": "with.dots"}, "https://s3.us-west-2.amazonaws.com/with.dots/"),
        ({"bucket": "x--usw2-az1--x-s3"}, "https://x--usw2-az1--x-s3.s3express-usw2-az1.us-west-2.amazonaws.com/"),
        ({"bucket": "some-s3alias"}, "https://some-s3alias.s3.us-west-2.amazonaws.com/"),
        ({"endpoint_url": "http://127.0.0.1:9000"}, "http://127.0.0.1:9000/nsf-ncar-era5/"),
        ({"endpoint_url": "http://[::1]:9000/"}, "http://[::1]:9000/nsf-ncar-era5/"),
        ({"endpoint_url": "http://localhost"}, "http://localhost/nsf-ncar-era5/"),
        ({"endpoint_url": "https://s3.us-west-2.amazonaws.com"}, "https://s3.us-west-2.amazonaws.com/nsf-ncar-era5/"),
        ({"endpoint_url": "https://s3.example.org/at/"}, "https://s3.example.org/at/nsf-ncar-era5/"),
    ],
)
def test_objects_are_asked_for_where_the_client_finds_them(options: dict[str, Any], address: str) -> None:
    """One host for everything: another one would mean other connections, and redirects."""
    settings = Settings(**options)
    assert url_of(settings) == S3Bucket(settings)._url == address


def test_a_name_that_no_bucket_can_have_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="wrong--x-s3"):
        S3Bucket(Settings(bucket="wrong--x-s3"))


# -- responses of other servers than S3 ------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["list", "head"])
def test_a_redirect_to_another_region_is_followed(
    plain: S3Bucket, fault_server: FaultServer, operation: Literal["list", "head"]
) -> None:
    fault_server.script(Fault("permanent-redirect", on=(operation,)))
    assert (list(plain.list("e5.")) if operation == "list" else [plain.head(KEY)]) == [OBJ]
    assert fault_server.stats().faults == {"permanent-redirect": 1}


DATE = "Wed, 01 Jan 2020 10:20:30 GMT"
DESCRIBED = {"ETag": '"abc"', "Content-Length": "12", "Last-Modified": DATE}


@pytest.mark.parametrize(
    ("headers", "etag"),
    [
        ({}, '"abc"'),
        ({"Last-Modified": "Wed, 01 Jan 2020 12:20:30 +0200"}, '"abc"'),
        ({"Content-Length": "012"}, '"abc"'),
        ({"ETag": "bare"}, '"bare"'),
    ],
    ids=str,
)
def test_an_object_is_described_by_its_headers(canned: Pair, headers: dict[str, str], etag: str) -> None:
    canned.server.answers = [Answer(200, "OK", DESCRIBED | headers, length=None)]
    assert canned.bucket.head(KEY) == ObjectInfo(KEY, 12, etag, 1_577_874_030)


@pytest.mark.parametrize("date", ["", "2020-01-01T10:20:30Z", "1577874030", "some day GMT"])
def test_a_date_that_is_none_is_unknown(canned: Pair, date: str) -> None:
    canned.server.answers = [Answer(200, "OK", DESCRIBED | {"Last-Modified": date}, length=None)]
    assert canned.bucket.head(KEY) == ObjectInfo(KEY, 12, '"abc"', 0)
