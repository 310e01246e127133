"""Fuzz tests of server responses: the right value or one of our errors, in bounded time and memory."""

from __future__ import annotations

import contextlib
import string
import tracemalloc
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any
from xml.sax.saxutils import escape

import pytest
from botocore.exceptions import ClientError
from hypothesis import example, given
from hypothesis import strategies as st

from era5dl.bucket import responses, s3
from era5dl.bucket.cancellation import Abort
from era5dl.bucket.error_mapping import map_error
from era5dl.bucket.get_object import PLAIN_GET
from era5dl.bucket.interface import ObjectInfo, Parts
from era5dl.bucket.s3 import S3Bucket
from era5dl.diagnosis.connection_probe import _clock_ahead
from era5dl.errors import BadResponse, BucketError, Era5Error, ServerBusy, ServerFault
from era5dl.planner.plan import Plan
from era5dl.session import plan_file
from tests.faultlab import Fault, FaultServer, pseudo_random
from tests.faultlab.http import Answer
from tests.fuzzing import NASTY_TEXTS, bounded, harmed
from tests.runs import read_some, settings_for
from tests.servers.canned import Canned

pytestmark = pytest.mark.slow

MB = 1_000_000
PREFIX = "e5/"
DATA = pseudo_random("fuzz", 3000)
OBJ = ObjectInfo("e5/a.nc", len(DATA), '"0123456789abcdef0123456789abcdef"')
SPAN = (100, 2100)
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@pytest.fixture(scope="module")
def server() -> Iterator[Canned]:
    with Canned(b"") as canned:
        yield canned


@pytest.fixture(scope="module")
def bucket(server: Canned) -> Iterator[S3Bucket]:
    found = S3Bucket(settings_for(server, read_timeout=2.0))
    yield found
    found.drop_idle_connections()


@pytest.fixture(scope="module", params=["fast", "plain"])
def get_bucket(server: Canned, request: pytest.FixtureRequest) -> Iterator[S3Bucket]:
    """The same, with both kinds of GETs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLAIN_GET, "1" if request.param == "plain" else "")
        found = S3Bucket(settings_for(server, read_timeout=2.0))
    yield found
    found.drop_idle_connections()


def page(*entries: str, truncated: str = "false", token: str = "", head: str = "") -> Answer:
    """Return a page of a listing with any values."""
    following = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{head}<ListBucketResult xmlns="{NAMESPACE}">'
        f"<Name>nsf-ncar-era5</Name>"
        f"<Prefix>{PREFIX}</Prefix><KeyCount>{len(entries)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>{truncated}</IsTruncated>{following}{''.join(entries)}</ListBucketResult>"
    )
    return Answer.of(200, "OK", {"Content-Type": "application/xml"}, body.encode("utf-8", "surrogatepass"))


def entry(key: str = "e5/a.nc", size: str = "1", etag: str = '"e"', modified: str = "2025-01-01T00:00:00.000Z") -> str:
    fields = {"Key": key, "LastModified": modified, "ETag": etag, "Size": size, "StorageClass": "STANDARD"}
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items() if text != "(none)")
    return f"<Contents>{inner}</Contents>"


def listed(bucket: S3Bucket, server: Canned, *answers: Answer | bytes) -> list[ObjectInfo]:
    server.answers = list(answers)
    return list(bucket.list(PREFIX))


# --- listings


XML_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | NASTY_TEXTS
ENTRIES = st.builds(
    entry,
    key=st.one_of(
        st.sampled_from(
            ["e5/a.nc", "e5/b.nc", "e5/", "elsewhere", "(none)", "e5/../../x", "e5/%0A", "e5/" + "k" * 3000]
        ),
        XML_TEXT.map("e5/{}".format),
        XML_TEXT,
    ),
    size=st.one_of(st.integers(0, 9).map(str), st.integers().map(str), XML_TEXT, st.just("(none)")),
    etag=st.one_of(st.just('"e"'), XML_TEXT, st.just("(none)")),
    modified=st.one_of(
        st.sampled_from(["2025-01-01T00:00:00.000Z", "1901-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "-1", "1e30"]),
        XML_TEXT,
        st.just("(none)"),
    ),
)


@bounded(110)
@given(
    entries=st.lists(ENTRIES, max_size=4),
    truncated=st.sampled_from(["false", "true", "", "maybe"]),
    token=st.sampled_from(["", "t"]),
    data=st.data(),
)
@example(entries=[entry(size="-1")], truncated="false", token="", data=None)
@example(entries=[entry(size="many")], truncated="false", token="", data=None)
@example(entries=[entry(size=str(2**70))], truncated="false", token="", data=None)
@example(entries=[entry(size="(none)")], truncated="false", token="", data=None)
@example(entries=[entry(key="(none)")], truncated="false", token="", data=None)
@example(entries=[entry(key="elsewhere/a.nc")], truncated="false", token="", data=None)
@example(entries=[entry(key="e5/" + "k" * 5000)], truncated="false", token="", data=None)
@example(entries=[entry(etag="x" * 5000)], truncated="false", token="", data=None)
@example(entries=[entry(modified="1901-01-01T00:00:00Z")], truncated="false", token="", data=None)
@example(entries=[entry(modified="never")], truncated="false", token="", data=None)
@example(entries=[entry()] * 3, truncated="true", token="again and again", data=None)
def test_any_listing_is_parsed_or_refused(
    bucket: S3Bucket,
    server: Canned,
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[str],
    truncated: str,
    token: str,
    data: Any,
) -> None:
    answer = page(*entries, truncated=truncated, token=token)
    if data is not None and data.draw(st.integers(0, 3)) == 0:
        answer = Answer.of(200, "OK", {}, data.draw(harmed(bytes(answer.body))))
    try:
        found = listed(bucket, server, answer)
    except BucketError as error:
        assert type(error) is not BucketError, f"nobody foresaw this: {error}"
        return
    for obj in found:
        assert obj.key.startswith(PREFIX)
        assert 0 <= obj.size <= 2**53
        assert obj.last_modified >= 0
    plan = Plan({"keys": "0", "count": 1}, tuple(found))
    path = tmp_path_factory.getbasetemp() / "listed.plan.jsonl"
    plan_file.write(path, plan)
    assert plan_file.read(path, plan.digest) == plan


LAUGHS = "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' if n else '<!ENTITY l0 "ha">' for n in range(9)
)  # two gigabytes when expanded


@pytest.mark.parametrize("bomb", ["entities", "a file of ours", "a huge page", "nesting", "no end", "zipped"])
def test_xml_bombs_are_refused_with_little_memory(bucket: S3Bucket, server: Canned, bomb: str) -> None:
    match bomb:
        case "entities":
            answer = page(entry(key="e5/&l8;").replace("&amp;", "&"), head=f"<!DOCTYPE x [{LAUGHS}]>")
        case "a file of ours":
            head = '<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
            answer = page(entry(key="e5/&x;").replace("&amp;", "&"), head=head)
        case "a huge page":  # a page has at most 1,000 keys
            answer = page(*[entry(key=f"e5/{n:07}") for n in range(1_000_000 // 16)])
        case "nesting":
            answer = page("<a>" * 1_000_000)
        case "no end":  # until it closes
            answer = Answer(200, "OK", {}, b"<ListBucketResult>" + b"x" * (responses.MAX_BYTES + 1), None)
        case _:
            answer = Answer.of(200, "OK", {"Content-Encoding": "gzip"}, b"\x1f\x8b" + bytes(100))
    tracemalloc.start()
    try:
        with pytest.raises((BadResponse, ServerFault)):  # botocore may treat it as a server error
            listed(bucket, server, answer)
        assert tracemalloc.get_traced_memory()[1] < 6 * responses.MAX_BYTES
    finally:
        tracemalloc.stop()


def test_endless_listings_are_refused(bucket: S3Bucket, server: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with new tokens but without new keys, and pages with new keys forever."""
    empty = [page(truncated="true", token=f"t{n}") for n in range(40)]
    with pytest.raises(BadResponse, match="no end"):
        listed(bucket, server, *empty)
    assert len(server.answers) > 10
    again = [page(entry(), truncated="true", token=f"t{n}") for n in range(40)]
    with pytest.raises(BadResponse, match="no end"):
        listed(bucket, server, *again)
    monkeypatch.setattr(s3, "MAX_OBJECTS", 30)
    new = [page(entry(f"e5/{n}"), truncated="true", token=f"t{n}") for n in range(60)]
    with pytest.raises(BadResponse, match="no end"):
        listed(bucket, server, *new)


def test_empty_pages_within_a_listing_are_accepted(bucket: S3Bucket, server: Canned) -> None:
    gaps = [page(truncated="true", token=f"t{n}") for n in range(10)]
    assert [obj.key for obj in listed(bucket, server, *gaps, page(entry()))] == ["e5/a.nc"]


@pytest.mark.parametrize("kind", ["drip", "slow-down"])
def test_a_response_that_arrives_byte_by_byte_is_given_up(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte restarts the socket's timeout."""
    monkeypatch.setattr(responses, "MAX_SECONDS", 0.3)
    with FaultServer() as server:
        for n in range(50):
            server.put(f"e5/{n}.nc", b"x")
        server.script(Fault("drip", seconds=60, on=("list",)))
        bucket = S3Bucket(settings_for(server, read_timeout=5.0))
        with pytest.raises(BucketError):
            list(bucket.list(PREFIX))
        bucket.drop_idle_connections()


# --- responses to GET


LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20)
NUMBERS = st.sampled_from(
    ["0", "100", "2000", "2099", "2100", "3000", "-1", "9" * 30, "1e3", "²", "+100", "0100", " 100 "]
)


@bounded(150)
@given(
    status=st.sampled_from([200, 206, 206, 206, 204, 226, 304, 416]),
    content_range=st.one_of(
        st.just(f"bytes 100-2099/{len(DATA)}"),
        st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda n: f"bytes {n[0]}-{n[1]}/{n[2]}"),
        LATIN,
    ),
    length=st.one_of(st.just("2000"), NUMBERS, LATIN),
    etag=st.one_of(st.just(OBJ.etag), st.just(OBJ.etag.strip('"')), LATIN),
    body=st.one_of(st.just(DATA[100:2100]), st.binary(max_size=20), st.just(DATA)),
)
@example(206, f"bytes 100-2099/{len(DATA)}", "2000", OBJ.etag, DATA[100:2100])
@example(206, f"bytes 100-2099/{len(DATA)}", "-1", OBJ.etag, DATA[100:2100])
@example(200, "", str(len(DATA)), OBJ.etag, DATA)
def test_only_requested_bytes_are_returned(
    get_bucket: S3Bucket, server: Canned, status: int, content_range: str, length: str, etag: str, body: bytes
) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Range: {content_range}\r\nContent-Length: {length}\r\nETag: {etag}\r\n\r\n"
    server.answers = [head.encode("latin-1") + body]
    came = bytearray()
    try:
        with get_bucket.open(OBJ, *SPAN, Abort()) as stream:
            while piece := read_some(stream, 1 << 16):
                came += piece
    except Era5Error:
        pass
    assert (DATA[100:2100] if body == DATA[100:2100] else body).startswith(bytes(came))
    whole = status == 200 and length.strip() == str(len(DATA))  # Range was ignored: the whole object is read
    assert len(came) <= (len(DATA) if whole else 2000)
    if came and not whole:
        assert content_range == f"bytes 100-2099/{len(DATA)}"
        assert length.strip() in ("2000", "")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@bounded(80)
@given(status=st.sampled_from([400, 403, 404, 429, 500, 503]), body=st.binary(max_size=200) | XML_TEXT.map(_bytes))
@example(503, b"<Error>" * 9000)
@example(503, b"<Error><Code>" + b"A" * 60_000 + b"</Code></Error>")
@example(503, b"x" * 200_000)
@example(503, b'<!DOCTYPE x [<!ENTITY a "b">]><Error><Code>&a;</Code></Error>')
def test_any_error_body_gives_an_era5_error(get_bucket: S3Bucket, server: Canned, status: int, body: bytes) -> None:
    server.answers = [Answer.of(status, "No", {"Content-Type": "text/html"}, body)]
    for ask in (
        lambda: get_bucket.open(OBJ, *SPAN, Abort()).__enter__(),
        lambda: get_bucket.head("e5/a.nc"),
        lambda: list(get_bucket.list(PREFIX)),
    ):
        with pytest.raises(BucketError) as refused:
            ask()
        assert type(refused.value) is not BucketError, f"nobody foresaw this: {refused.value}"
        assert len(str(refused.value)) < 500
        if status == 503:
            assert isinstance(refused.value, ServerBusy)


# --- headers


HEADER = st.one_of(LATIN, NUMBERS, st.integers().map(str))


@bounded(100)
@given(length=HEADER, etag=HEADER, modified=HEADER | st.just("Wed, 01 Jan 2025 00:00:00 GMT"), parts=HEADER)
@example("-5", '"e"', "", "")
@example("5", '"e"', "Thu, 01 Jan 1903 00:00:00 GMT", "3")
@example("5", '"e"', "x", "")
@example("5", '"e"', "", "two")
@example("9" * 5000, '"e"', "", "")
def test_any_head_response_is_parsed_or_refused(
    bucket: S3Bucket, server: Canned, length: str, etag: str, modified: str, parts: str
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nETag: {etag}\r\nLast-Modified: {modified}\r\n"
    server.answers = [(head + f"x-amz-mp-parts-count: {parts}\r\n\r\n").encode("latin-1")]
    try:
        found = bucket.head("e5/a.nc")
    except BucketError as error:
        assert type(error) is not BucketError, f"nobody foresaw this: {error}"
    else:
        assert 0 <= found.size <= 2**53
        assert found.last_modified >= 0
    with contextlib.suppress(BucketError):
        assert isinstance(bucket.parts(OBJ), Parts | None)


@bounded(300)
@given(st.dictionaries(st.sampled_from(["retry-after", "x-amz-retry-after"]), HEADER | st.text(string.digits)))
@example({"retry-after": "9" * 5000})
@example({"retry-after": formatdate(usegmt=True)})
@example({"retry-after": "²"})
def test_any_retry_after_is_limited(headers: dict[str, str]) -> None:
    answer = {"ResponseMetadata": {"HTTPStatusCode": 503, "HTTPHeaders": headers}, "Error": {"Code": "SlowDown"}}
    busy = map_error(ClientError(answer, "GetObject"), "k")
    assert isinstance(busy, ServerBusy)
    assert busy.retry_after is None or 0 <= busy.retry_after <= 120


@bounded(300)
@given(st.one_of(st.none(), LATIN, st.datetimes().map(lambda d: f"{d:%a, %d %b} {d.year:04} 00:00:00 GMT"), st.text()))
@example("Wed, 01 Jan 2025 00:00:00 +99999999")
@example("Wed, 01 Jan 0001 00:00:00 +2359")
@example("Wed, 01 Jan 0001 00:00:00 -0000")
@example("Wed, 01 Jan 99999999999999999999 00:00:00 GMT")
@example("1 1 1 1:1:99999999999999999999")
def test_any_date_header_is_parsed_or_ignored(header: str | None) -> None:
    ahead = _clock_ahead(header)
    assert ahead is None or abs(ahead) < 1e12
