"""Tests of error mapping: exceptions of botocore and urllib3, provoked by real servers, and what they become."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from era5dl import errors
from era5dl.bucket.error_mapping import map_error, map_errors, root_cause
from tests.faultlab import BUCKET, Fault, FaultServer, etag_of, make_certificates, pseudo_random
from tests.faultlab.http import Answer, error_answer
from tests.servers.canned import Canned

KEY = "e5.oper.an.pl/202401/a.nc"
DATA = pseudo_random("faults", 400_000)
AT = 300_000  # bytes of the body before the fault: more than one read

SESSION = botocore.session.Session()


def make_client(url: str, verify: bool | str = True, **options: Any) -> Any:
    """A plain botocore client, without any code of era5dl."""
    config = Config(
        signature_version=UNSIGNED,
        retries={"mode": "standard", "total_max_attempts": 1},
        response_checksum_validation="when_required",
        **{"connect_timeout": 0.25, "read_timeout": 0.25, **options},
    )
    return SESSION.create_client("s3", region_name="us-west-2", endpoint_url=url, verify=verify, config=config)


def raised(action: Callable[[], object]) -> Exception:
    """Return the exception that `action` raises."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


def fault_of(url: str, verify: bool | str = True, verb: str = "get_object", **options: Any) -> errors.Era5Error:
    """Return the error of one request. The client is closed, and the original exception is not kept."""
    client = make_client(url, verify, **options)
    try:
        error = map_error(raised(lambda: getattr(client, verb)(Bucket=BUCKET, Key=KEY)), KEY)
        error.__cause__ = error.__context__ = None
        return error
    finally:
        client.close()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(params=["http", pytest.param("https", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> FaultServer:
    """A fault server with one object, over http and over https."""
    found: FaultServer = request.getfixturevalue("fault_server" if request.param == "http" else "fault_server_tls")
    found.put(KEY, DATA)
    return found


def ca_of(server: FaultServer) -> bool | str:
    return str(server.ca_file) if server.ca_file else True


# -- before the body -------------------------------------------------------------------------------------------------

ANSWERS = {
    "reset-at-once": errors.StaleConnection,
    "empty-reply": errors.StaleConnection,
    "stall-before-headers": errors.Interrupted,
    "garbage": errors.BadResponse,
    "slow-down": errors.ServerBusy,
    "slow-down-retry-after": errors.ServerBusy,
    "busy-html": errors.ServerBusy,
    "too-many-requests": errors.ServerBusy,
    "internal-error": errors.ServerFault,
    "bad-gateway": errors.ServerFault,
    "gateway-timeout": errors.ServerFault,
    "request-timeout": errors.ServerFault,
    "s3-request-timeout": errors.ServerFault,
    "access-denied": errors.Denied,
    "archived": errors.Refused,
    "no-such-key": errors.NotFound,
    "no-such-bucket": errors.BucketRefused,
    "permanent-redirect": errors.BucketRefused,
    "precondition-failed": errors.ObjectChanged,
    "range-not-satisfiable": errors.ObjectChanged,
    "login-redirect": errors.BadResponse,
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_each_fault_is_mapped_to_its_error(server: FaultServer, kind: str) -> None:
    server.script(Fault(kind, times=None, on=("get", "head")))
    error = fault_of(server.endpoint_url, ca_of(server))
    assert type(error) is ANSWERS[kind]
    assert str(error).startswith(f"{KEY}: ")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("no-such-key", errors.NotFound),  # a response to HEAD has no body, and therefore no code
        ("access-denied", errors.Denied),
        ("slow-down", errors.ServerBusy),
        ("internal-error", errors.ServerFault),
        ("precondition-failed", errors.ObjectChanged),
        ("permanent-redirect", errors.BadResponse),
        ("reset-at-once", errors.StaleConnection),
        ("stall-before-headers", errors.Interrupted),
    ],
)
def test_head_errors_are_mapped_by_status(fault_server: FaultServer, kind: str, expected: type) -> None:
    fault_server.put(KEY, DATA)
    fault_server.script(Fault(kind, times=None, on=("head",)))
    assert type(fault_of(fault_server.endpoint_url, verb="head_object")) is expected


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "BadDigest", errors.Refused),
        (405, "MethodNotAllowed", errors.Refused),
        (401, "", errors.Refused),
        (400, "InvalidBucketName", errors.BucketRefused),
        (403, "AllAccessDisabled", errors.BucketRefused),
        (403, "RequestTimeTooSkewed", errors.BucketRefused),
        (407, "", errors.BucketRefused),  # from a proxy for plain http
        (400, "Throttling", errors.ServerBusy),
        (400, "ThrottlingException", errors.ServerBusy),
        (400, "RequestLimitExceeded", errors.ServerBusy),
        (403, "RequestThrottled", errors.ServerBusy),
        (400, "TooManyRequestsException", errors.ServerBusy),
        (509, "BandwidthLimitExceeded", errors.ServerBusy),
        (509, "", errors.ServerBusy),
        (503, "ServiceUnavailable", errors.ServerBusy),
        (400, "RequestTimeoutException", errors.ServerFault),
        (308, "", errors.BadResponse),
        (303, "", errors.BadResponse),
    ],
)
def test_error_responses_are_mapped_by_status_and_code(status: int, code: str, expected: type) -> None:
    answer = error_answer(status, "So", code, "because") if code else Answer.of(status, "So", {}, b"")
    with Canned(answer) as server:
        error = fault_of(server.endpoint_url)
    assert type(error) is expected
    assert str(status) in str(error)
    assert code in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "121"}, 120.0),  # the maximum delay
        ({"Retry-After": "9" * 5000}, 120.0),
        ({"Retry-After": "  3 "}, 3.0),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "\xb2"}, None),  # a digit for str.isdigit, but not for int
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),  # a date would need synchronized clocks
        ({"Retry-After": ""}, None),
        ({}, None),
        ({"x-amz-retry-after": "1500"}, 1.5),
        ({"x-amz-retry-after": "250", "Retry-After": "9"}, 0.25),
        ({"x-amz-retry-after": "soon", "Retry-After": "9"}, 9.0),
    ],
    ids=lambda value: str(value)[:40],
)
def test_retry_after_is_parsed_and_limited(headers: dict[str, str], seconds: float | None) -> None:
    with Canned(error_answer(503, "Slow Down", "SlowDown", "Reduce your rate.", headers=headers)) as server:
        error = fault_of(server.endpoint_url)
    assert isinstance(error, errors.ServerBusy)
    assert error.retry_after == seconds


# -- within the body -------------------------------------------------------------------------------------------------


def by_raw(body: Any) -> Iterator[bytes]:
    """Read as era5dl does."""
    with body as raw:
        while data := raw.read1(1 << 16):
            yield data


def by_chunks(body: Any) -> Iterator[bytes]:
    yield from body.iter_chunks(1 << 16)


def by_one_read(body: Any) -> Iterator[bytes]:
    yield body.read()


@pytest.mark.parametrize("read", [by_raw, by_chunks, by_one_read])
@pytest.mark.parametrize("kind", ["body-reset", "body-stall", "body-fin", "ragged-end", "broken-tls", "chunked-cut"])
def test_a_body_that_breaks_off_is_interrupted(server: FaultServer, kind: str, read: Any) -> None:
    """Read as era5dl does, it may also end early without an error; the engine counts the bytes."""
    server.script(Fault(kind, at=AT, seconds=1))
    client = make_client(server.endpoint_url, ca_of(server))
    body = client.get_object(Bucket=BUCKET, Key=KEY)["Body"]
    came = bytearray()
    try:
        for data in read(body):
            came += data
    except Exception as error:  # noqa: BLE001 - whatever it is
        assert type(map_error(error, KEY)) is errors.Interrupted
        del error
    else:
        assert read is by_raw
        assert kind not in ("body-stall", "chunked-cut")
    finally:
        body.close()
        client.close()
    assert len(came) < len(DATA)
    assert came == DATA[: len(came)]


# -- no connection ---------------------------------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is reserved but not listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_closed_port_is_unreachable(closed_port: int, scheme: str) -> None:
    error = fault_of(f"{scheme}://127.0.0.1:{closed_port}")
    assert type(error) is errors.Unreachable
    assert "refused" in str(error)


def test_a_dns_failure_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    error = fault_of("https://s3.example.invalid")
    assert type(error) is errors.Unreachable
    assert "name resolution" in str(error)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops what its queue of connections cannot hold")
def test_a_port_that_drops_packets_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        queued = [socket.socket() for _ in range(3)]
        for sock in queued:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        try:
            error = fault_of(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            for sock in queued:
                sock.close()
    assert type(error) is errors.Unreachable


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_is_unreachable(closed_port: int, scheme: str) -> None:
    proxy = f"http://127.0.0.1:{closed_port}"
    assert type(fault_of(f"{scheme}://s3.example.org", proxies={scheme: proxy})) is errors.Unreachable


def test_a_proxy_that_requires_a_login_is_not_an_error_of_the_object() -> None:
    with Canned(Answer.of(407, "Proxy Authentication Required", {}, b"")) as proxy:
        over_tls = fault_of("https://s3.example.org", proxies={"https": proxy.endpoint_url})
        plain = fault_of("http://s3.example.org", proxies={"http": proxy.endpoint_url})
    assert (type(over_tls), type(plain)) == (errors.Unreachable, errors.BucketRefused)


def test_a_stalled_tls_handshake_is_not_a_certificate_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = fault_of(f"https://127.0.0.1:{listener.getsockname()[1]}")
    assert type(error) in (errors.Interrupted, errors.Unreachable)


# -- certificates ----------------------------------------------------------------------------------------------------


def test_a_certificate_of_an_unknown_authority(fault_server_tls: FaultServer, tmp_path: Path) -> None:
    stranger = make_certificates(tmp_path)
    for verify in (True, str(stranger.ca_file)):
        error = fault_of(fault_server_tls.endpoint_url, verify)
        assert type(error) is errors.Untrusted
        assert "certificate" in str(error).lower()


def test_a_certificate_for_another_host_name(tmp_path: Path) -> None:
    with FaultServer(certificates=make_certificates(tmp_path, "bucket.example.org")) as server:
        assert type(fault_of(server.endpoint_url, ca_of(server))) is errors.Untrusted


def test_a_missing_ca_file(fault_server_tls: FaultServer, tmp_path: Path) -> None:
    assert type(fault_of(fault_server_tls.endpoint_url, str(tmp_path / "gone.pem"))) is errors.Untrusted


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nZZ\n-----END CERTIFICATE-----\n"])
def test_a_ca_file_without_certificates(fault_server_tls: FaultServer, tmp_path: Path, text: str) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(text)
    assert type(fault_of(fault_server_tls.endpoint_url, str(ca_file))) is errors.Untrusted


# -- limits of this process ------------------------------------------------------------------------------------------

OUT_OF_FILES = """
    import os, resource, sys
    from botocore import UNSIGNED
    from era5dl import errors
    from era5dl.bucket.error_mapping import map_error
    from tests.test_bucket_error_mapping import KEY, make_client, raised

    clients = [make_client(url, ca or True) for url, ca in zip(sys.argv[1::2], sys.argv[2::2])]
    for client in clients:  # everything that is loaded on first use
        client.head_object(Bucket="nsf-ncar-era5", Key=KEY)
        client.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for client in clients:
        error = map_error(raised(lambda: client.get_object(Bucket="nsf-ncar-era5", Key=KEY)), KEY)
        print(type(error).__name__, "/", error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_running_out_of_file_descriptors_is_not_a_network_error(
    fault_server: FaultServer, fault_server_tls: FaultServer
) -> None:
    for server in (fault_server, fault_server_tls):
        server.put(KEY, DATA)
    targets = [fault_server.endpoint_url, "", fault_server_tls.endpoint_url, str(fault_server_tls.ca_file)]
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", textwrap.dedent(OUT_OF_FILES), *targets]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split(" / ")[0] for line in done.stdout.splitlines()] == ["OutOfSockets"] * 2
    assert done.stdout.count("Too many open files") == 2


# -- the mapping itself ----------------------------------------------------------------------------------------------


def test_a_response_that_is_not_xml_is_a_bad_response() -> None:
    with Canned(Answer.of(200, "OK", {"Content-Type": "text/html"}, b"<html><p>Welcome</html>")) as server:
        client = make_client(server.endpoint_url)
        error = map_error(raised(lambda: client.list_objects_v2(Bucket=BUCKET)), "a/")
        client.close()
    assert type(error) in (errors.BadResponse, errors.ServerFault)  # botocore may treat it as a 500


def test_era5_errors_are_unchanged_and_all_others_are_converted() -> None:
    ours = errors.Stopped("said the user")
    with pytest.raises(errors.Stopped) as stopped, map_errors(KEY):
        raise ours
    assert stopped.value is ours
    with pytest.raises(errors.BucketError, match="KeyError: 'Body'") as unforeseen, map_errors(KEY):
        raise KeyError("Body")
    assert unforeseen.value.reaction is errors.Reaction.FAIL_OBJECT
    with pytest.raises(KeyboardInterrupt), map_errors(KEY):
        raise KeyboardInterrupt


def test_an_invalid_request_is_not_retried() -> None:
    client = make_client("http://127.0.0.1:9")
    error = map_error(raised(lambda: client.get_object(Bucket=BUCKET, Key="")), KEY)
    client.close()
    assert type(error) is errors.BucketError
    assert error.reaction is errors.Reaction.FAIL_OBJECT


def test_the_root_cause_is_found_even_in_circular_chains() -> None:
    root = OSError(24, "Too many open files")
    middle = ValueError("pool", root)
    outer = botocore.exceptions.EndpointConnectionError(endpoint_url="http://x", error=middle)
    assert root_cause(outer) is root
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert root_cause(one) in (one, other)


def test_messages_are_one_short_line() -> None:
    error = map_error(OSError("first\nsecond\t" + "x" * 1000), KEY)
    assert type(error) is errors.Interrupted
    assert "\n" not in str(error)
    assert len(str(error)) < 300


def test_etags_are_compared_exactly(fault_server: FaultServer) -> None:
    """If-Match reaches the server unchanged, so that the server itself refuses another version."""
    fault_server.put(KEY, DATA)
    client = make_client(fault_server.endpoint_url)
    assert client.get_object(Bucket=BUCKET, Key=KEY, IfMatch=etag_of(DATA))["Body"].read() == DATA
    error = map_error(raised(lambda: client.get_object(Bucket=BUCKET, Key=KEY, IfMatch=etag_of(b""))), KEY)
    client.close()
    assert type(error) is errors.ObjectChanged
