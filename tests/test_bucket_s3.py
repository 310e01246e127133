"""Tests of the S3 bucket: listings, HEAD requests, parts, the user's settings, trust and proxies."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pytest
from botocore.loaders import Loader

from era5dl.bucket import client
from era5dl.bucket.client import bucket_url, create_client
from era5dl.bucket.interface import ObjectInfo, Parts
from era5dl.bucket.s3 import MAX_IDLE_PAGES, S3Bucket
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
from tests.bucket_setup import DATA, DATED, KEY, OBJ, OPAQUE, START, STOP, CannedBucket, opened, read_all
from tests.faultlab import Fault, FaultServer, etag_of, pseudo_random
from tests.faultlab.http import Answer
from tests.runs import settings_for
from tests.servers.canned import Canned
from tests.servers.seaweed import Seaweed

AT_AMAZON = "https://nsf-ncar-era5.s3.us-west-2.amazonaws.com/"

pytestmark = pytest.mark.usefixtures("no_user_settings")


def test_a_call_sends_one_request(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    """Only the engine retries, not botocore or urllib3."""
    fault_server.script(Fault("internal-error", times=None, on=("get", "head", "list")))
    for call in (
        lambda: read_all(http_bucket),
        lambda: http_bucket.head(KEY),
        lambda: list(http_bucket.list("")),
        lambda: http_bucket.parts(OBJ),
    ):
        fault_server.reset_stats()
        with pytest.raises(ServerFault):
            call()
        assert sum(fault_server.stats().requests.values()) == 1


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


def test_a_listing_returns_all_pages(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    keys = [f"many/{number:05}.nc" for number in range(2500)]
    for key in keys:
        fault_server.put(key, b"x")
    fault_server.put("manyother", b"x")
    assert [obj.key for obj in http_bucket.list("many/")] == keys
    assert fault_server.stats().requests == {"GET": 3}


def test_a_listing_is_read_page_by_page(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    for number in range(2500):
        fault_server.put(f"many/{number:05}.nc", b"x")
    first = next(iter(http_bucket.list("many/")))
    assert first.key == "many/00000.nc"
    assert fault_server.stats().requests == {"GET": 1}


def test_unusual_keys_are_listed_and_read_unchanged(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    for key in ODD:
        fault_server.put(key, key.encode())
    listed = list(http_bucket.list("odd/"))
    assert [obj.key for obj in listed] == sorted(ODD, key=str.encode)
    for obj in listed:
        if "/../" not in obj.key:  # HTTP clients normalize such paths; it could not be a file anyway
            assert http_bucket.head(obj.key) == obj
            assert read_all(http_bucket, obj, 0, obj.size) == obj.key.encode()


def test_a_listing_has_size_etag_and_date(http_bucket: S3Bucket) -> None:
    assert list(http_bucket.list("e5.")) == [OBJ]


def test_an_empty_prefix_gives_an_empty_listing(http_bucket: S3Bucket) -> None:
    assert list(http_bucket.list("nowhere/")) == []


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
def test_a_failing_listing_is_an_error_and_never_shorter(
    http_bucket: S3Bucket, fault_server: FaultServer, kind: str, expected: Any, page: int
) -> None:
    for number in range(1500):
        fault_server.put(f"many/{number:05}.nc", b"x")
    good = ["none"] * (page - 1)
    fault_server.script(*(Fault(name, on=("list",)) for name in good), Fault(kind, times=None, on=("list", "head")))
    listing = http_bucket.list("many/")
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
def test_an_incomplete_listing_is_an_error(canned: CannedBucket, body: str) -> None:
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
def test_a_listing_that_contradicts_itself_is_refused(canned: CannedBucket, parts: list[str]) -> None:
    canned.server.answers = [Answer.of(200, "OK", {}, LISTING.format(*parts).encode())]
    with pytest.raises(BadResponse):
        list(canned.bucket.list(""))


def test_keys_are_decoded_if_the_listing_declares_url_encoding(canned: CannedBucket) -> None:
    encoded = "<IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"
    entry = "<Contents><Key>a+b%2Bc/%C3%9C.nc</Key><Size>1</Size></Contents>"
    for parts in ([encoded, entry], [entry, encoded]):
        canned.server.answers = [Answer.of(200, "OK", {}, LISTING.format(*parts).encode())]
        assert [obj.key for obj in canned.bucket.list("")] == ["a b+c/Ü.nc"]
    canned.server.answers = [Answer.of(200, "OK", {}, LISTING.format("", entry).encode())]
    assert [obj.key for obj in canned.bucket.list("")] == ["a+b%2Bc/%C3%9C.nc"]


def test_a_listing_with_namespace_prefixes_is_parsed(canned: CannedBucket) -> None:
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


def test_an_endless_listing_without_new_keys_is_an_error(canned: CannedBucket) -> None:
    """Each page has another token, as if the listing progressed."""
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
    assert len(canned.server.asked) <= MAX_IDLE_PAGES + 2


def test_etag_and_date_of_an_entry_are_optional(canned: CannedBucket) -> None:
    body = LISTING.format("<IsTruncated>false</IsTruncated>", ENTRY.format(7)).encode()
    canned.server.answers = [Answer.of(200, "OK", {}, body)]
    assert list(canned.bucket.list("")) == [ObjectInfo("a.nc", 7, "", 0)]


@pytest.mark.slow
def test_a_real_server_lists_and_returns_objects(seaweed: Seaweed) -> None:
    objects = {f"s3test/{name}": pseudo_random(name, 3000) for name in ("a.nc", "b c+d.nc", "Übersicht.nc")}
    for key, data in objects.items():
        seaweed.put(key, data)
    for bucket in opened(seaweed, read_timeout=10):
        listed = {obj.key: obj for obj in bucket.list("s3test/")}
        assert listed.keys() == objects.keys()
        for key, data in objects.items():
            assert bucket.head(key).etag == listed[key].etag == etag_of(data)
            assert read_all(bucket, listed[key], 100, 2000) == data[100:2000]


# -- head and parts --------------------------------------------------------------------------------------------------


def test_head_describes_the_current_object(bucket: S3Bucket) -> None:
    assert bucket.head(KEY) == OBJ
    with pytest.raises(NotFound):
        bucket.head("nowhere.nc")


@pytest.mark.parametrize("kind", ["login-page", "error-in-200"])
def test_a_response_that_describes_no_object_is_an_error(
    http_bucket: S3Bucket, fault_server: FaultServer, kind: str
) -> None:
    fault_server.script(Fault(kind, on=("head",)))
    with pytest.raises((BadResponse, Contradiction)):
        http_bucket.head(KEY)


@pytest.mark.parametrize("kind", ["says-empty", "no-length", "weak-etag", "no-etag"])
def test_a_doubtful_head_is_confirmed_by_a_get_of_one_byte(bucket: S3Bucket, server: FaultServer, kind: str) -> None:
    server.script(Fault(kind, times=None, on=("head",)))
    assert bucket.head(KEY) == OBJ
    assert [(seen.method, seen.range) for seen in server.log] == [("HEAD", ""), ("GET", "bytes=0-0")]
    assert read_all(bucket) == DATA[START:STOP]


def test_an_empty_object_without_md5_is_confirmed_by_two_responses(
    http_bucket: S3Bucket, fault_server: FaultServer
) -> None:
    fault_server.put("strong", b"")
    fault_server.put("opaque", b"", etag='"65920080-0"')
    assert (http_bucket.head("strong").size, len(fault_server.log)) == (0, 1)
    assert (http_bucket.head("opaque").size, len(fault_server.log)) == (0, 3)


def test_a_head_that_cannot_be_parsed_is_confirmed_by_a_get(canned: CannedBucket) -> None:
    """Some proxies send Content-Length twice."""
    first_byte = {"Content-Range": f"bytes 0-0/{len(DATA)}", "ETag": OBJ.etag, **DATED}
    canned.server.answers = [
        Answer(200, "OK", {"Content-Length": f"{len(DATA)}, {len(DATA)}", "ETag": OBJ.etag}, length=None),
        Answer.of(206, "Partial Content", first_byte, DATA[:1]),
    ]
    assert canned.bucket.head(KEY) == OBJ


def test_a_refused_head_is_replaced_by_a_get(canned: CannedBucket) -> None:
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
        ({}, {"Content-Range": "bytes 0-0/*"}, ["states the size"], BadResponse),
        ({}, {}, ["does not describe"], BadResponse),
    ],
    ids=str,
)
def test_contradictory_descriptions_are_reported(
    canned: CannedBucket, head: dict[str, str], sample: dict[str, str], said: list[str], kind: type[Exception]
) -> None:
    sample = {"Content-Range": f"bytes 0-0/{len(DATA)}"} | sample
    canned.server.answers = [
        Answer(200, "OK", {"Content-Length": str(len(DATA))} | head, length=None),
        Answer.of(206, "Partial Content", sample, b"x"),
    ]
    with pytest.raises(kind) as refused:
        canned.bucket.head(KEY)
    assert all(words in str(refused.value) for words in said), str(refused.value)


def test_a_login_page_is_a_bad_response(canned: CannedBucket) -> None:
    page = {"Content-Type": "text/html; charset=utf-8", **DATED}
    canned.server.answers = [Answer.of(200, "OK", page, b"<html>log in</html>")]
    with pytest.raises(BadResponse):
        canned.bucket.head(KEY)


def test_number_and_size_of_upload_parts(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    etag = fault_server.put("parts.nc", DATA, part_size=150_000)
    assert http_bucket.parts(ObjectInfo("parts.nc", len(DATA), etag)) == Parts(3, 150_000)
    assert http_bucket.parts(OBJ) is None


def test_parts_of_another_version_are_refused(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA, part_size=150_000)
    with pytest.raises(ObjectChanged):
        http_bucket.parts(OBJ)


def test_a_server_that_does_not_report_parts(http_bucket: S3Bucket, fault_server: FaultServer) -> None:
    fault_server.script(Fault("login-page", on=("head",)))
    assert http_bucket.parts(OBJ) is None


# -- AWS settings of the user ----------------------------------------------------------------------------------------

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
    """Check that requests go to this server, without a signature."""
    bucket = S3Bucket(settings)
    with pytest.raises(ServerFault):
        read_all(bucket)
    bucket.drop_idle_connections()
    (head,) = server.asked
    assert head.startswith(f"GET /nsf-ncar-era5/{quote(KEY)} HTTP/1.1")
    assert "\naccept-encoding: identity" in head.lower()  # bytes as they are stored
    for name in ("authorization", "x-amz-security-token", "x-amz-checksum-mode"):
        assert f"\n{name}:" not in head.lower()


@pytest.mark.slow
@pytest.mark.parametrize("name", USERS)
def test_aws_environment_variables_have_no_effect(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable, value in USERS[name].items():
        monkeypatch.setenv(variable, value)
    with Canned(Answer.of(500, "Error", {}, b"")) as server:
        well_and_anonymous(settings_for(server), server)
    if name in ("endpoint", "endpoint of S3", "FIPS", "dual stack", "region"):
        assert url_of(Settings()) == AT_AMAZON


@pytest.mark.parametrize("profile", ["", "work"])
def test_aws_configuration_files_have_no_effect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str) -> None:
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
def test_aws_files_in_the_home_folder_have_no_effect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / ".aws").mkdir()
    for name in ("config", "credentials"):
        (tmp_path / ".aws" / name).write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with Canned(Answer.of(500, "Error", {}, b"")) as server:
        well_and_anonymous(settings_for(server), server)


# -- trust and proxies -----------------------------------------------------------------------------------------------


def test_an_untrusted_certificate_is_refused(fault_server_tls: FaultServer) -> None:
    settings = Settings(endpoint_url=fault_server_tls.endpoint_url, bucket=fault_server_tls.bucket)
    with pytest.raises(Untrusted):
        S3Bucket(settings).head(KEY)


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_usual_variables_set_the_ca_file(
    fault_server_tls: FaultServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fault_server_tls.put(KEY, DATA)
    monkeypatch.setenv(name, str(fault_server_tls.ca_file))
    bucket = S3Bucket(Settings(endpoint_url=fault_server_tls.endpoint_url, bucket=fault_server_tls.bucket))
    assert bucket.head(KEY) == OBJ
    bucket.drop_idle_connections()


def test_the_ca_setting_takes_precedence_over_variables(
    fault_server_tls: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fault_server_tls.put(KEY, DATA)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    for bucket in opened(fault_server_tls):
        assert bucket.head(KEY) == OBJ


def test_proxies_from_environment_and_settings(
    http_bucket: S3Bucket, fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch
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


def test_a_server_that_is_down_is_unreachable() -> None:
    with FaultServer() as server:
        server.outage(30)
        for bucket in opened(server):
            for call in (lambda b=bucket: read_all(b), lambda b=bucket: b.head(KEY), lambda b=bucket: list(b.list(""))):
                with pytest.raises(Unreachable):
                    call()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({}, AT_AMAZON),
        ({"region": "eu-west-1"}, "https://nsf-ncar-era5.s3.eu-west-1.amazonaws.com/"),
        ({"region": "us-east-1"}, "https://nsf-ncar-era5.s3.us-east-1.amazonaws.com/"),
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
def test_the_url_is_the_one_of_botocore(options: dict[str, Any], address: str) -> None:
    """All requests use the same host; others would need other connections, or redirects."""
    settings = Settings(**options)
    assert url_of(settings) == S3Bucket(settings)._url == address


@pytest.mark.slow
@pytest.mark.parametrize(
    "region",
    [
        "us-west-2",
        "us-east-1",
        "eu-west-1",
        "cn-north-1",
        "us-gov-west-1",
        "us-iso-east-1",
        "us-west-2-fips",
        "nowhere-1",
    ],
)
def test_urls_are_the_same_as_with_all_data_files_of_botocore(monkeypatch: pytest.MonkeyPatch, region: str) -> None:
    """The client is created from a part of these files, which takes half the time."""
    ours = url_of(Settings(region=region))
    monkeypatch.setattr(client, "_s3_loader", Loader)
    assert url_of(Settings(region=region)) == ours


def test_an_invalid_bucket_name_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="wrong--x-s3"):
        S3Bucket(Settings(bucket="wrong--x-s3"))


# -- responses of other servers than S3 ------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["list", "head"])
def test_a_redirect_to_another_region_is_followed(
    http_bucket: S3Bucket, fault_server: FaultServer, operation: Literal["list", "head"]
) -> None:
    fault_server.script(Fault("permanent-redirect", on=(operation,)))
    assert (list(http_bucket.list("e5.")) if operation == "list" else [http_bucket.head(KEY)]) == [OBJ]
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
def test_an_object_is_described_by_its_headers(canned: CannedBucket, headers: dict[str, str], etag: str) -> None:
    canned.server.answers = [Answer(200, "OK", DESCRIBED | headers, length=None)]
    assert canned.bucket.head(KEY) == ObjectInfo(KEY, 12, etag, 1_577_874_030)


@pytest.mark.parametrize("date", ["", "2020-01-01T10:20:30Z", "1577874030", "some day GMT"])
def test_an_invalid_date_is_unknown(canned: CannedBucket, date: str) -> None:
    canned.server.answers = [Answer(200, "OK", DESCRIBED | {"Last-Modified": date}, length=None)]
    assert canned.bucket.head(KEY) == ObjectInfo(KEY, 12, '"abc"', 0)
