"""Tests of the fault lab: a raw client sees each fault as its name says."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.faultlab import KINDS, Burst, Fault, FaultServer, Link, Mix, Names, etag_of, pseudo_random
from tests.faultlab.http import Request
from tests.servers.raw import Heard, RawClient

KEY = "e5.oper.an.pl/202401/a.nc"
DATA = pseudo_random("faultlab", 4000)
START, STOP, AT = 100, 2000, 500
WANT = DATA[START:STOP]
RANGE = {"Range": f"bytes={START}-{STOP - 1}"}
SOON = 0.2  # duration of stalls and similar faults in these tests, in seconds


@pytest.fixture(
    params=[
        "fault_server",
        pytest.param("fault_server_tls", marks=pytest.mark.slow),
        pytest.param("fault_proxy", marks=pytest.mark.slow),
        pytest.param("fault_proxy_tls", marks=pytest.mark.slow),
    ]
)
def server(request: pytest.FixtureRequest) -> FaultServer:
    """A fault server with one object, over http and https, in memory and in front of SeaweedFS."""
    server: FaultServer = request.getfixturevalue(request.param)
    (request.getfixturevalue("seaweed") if "proxy" in request.param else server).put(KEY, DATA)
    return server


def client(server: FaultServer, patience: float = 5.0) -> RawClient:
    return RawClient(server.endpoint_url, server.ca_file, patience=patience)


def path(server: FaultServer, key: str = KEY) -> str:
    return f"/{server.bucket}/{key}"


def ask(
    server: FaultServer, *, linger: float = 0.0, key: str = KEY, if_match: str = "*", patience: float = 5.0
) -> Heard:
    """Request the range of the object over a new connection."""
    with client(server, patience) as connection:
        return connection.ask(path(server, key), linger=linger, headers=RANGE | {"If-Match": if_match})


def is_right(heard: Heard) -> bool:
    return (heard.status, heard.body, heard.headers.get("content-range")) == (206, WANT, "bytes 100-1999/4000")


def breaks_after(sent: bytes | None, *ends: str) -> Callable[[FaultServer, Heard], bool]:
    """Return a check: correct headers, only this body (None: no headers either), and this end of the connection."""

    def check(server: FaultServer, heard: Heard) -> bool:
        if sent is None:
            return heard.raw == b"" and heard.ended in ends
        promised = heard.headers["content-length"] == str(len(WANT))
        return heard.status == 206 and promised and heard.body == sent and heard.ended in ends

    return check


def says(status: int, code: str = "", **headers: str) -> Callable[[FaultServer, Heard], bool]:
    """Return a check: a complete response with this status, this text in its body, and these headers."""

    def check(server: FaultServer, heard: Heard) -> bool:
        told = all(heard.headers.get(name.replace("_", "-")) == value for name, value in headers.items())
        return heard.status == status and code.encode() in heard.body and told

    return check


def right_and(*more: Callable[[Heard], bool]) -> Callable[[FaultServer, Heard], bool]:
    """Return a check: the correct response, and an additional condition."""
    return lambda server, heard: is_right(heard) and all(check(heard) for check in more)


def one_bit_wrong(server: FaultServer, heard: Heard) -> bool:
    wrong = [(i, a ^ b) for i, (a, b) in enumerate(zip(heard.body, WANT, strict=True)) if a != b]
    return heard.status == 206 and wrong == [(AT, 1)]


def range_is(span: str, body: bytes) -> Callable[[FaultServer, Heard], bool]:
    """Return a check: 206 with this Content-Range, this body, and a correct Content-Length."""
    return lambda server, heard: (
        (heard.status, heard.headers["content-range"], heard.body) == (206, f"bytes {span}/4000", body)
        and heard.headers["content-length"] == str(len(body))
    )


def is_new_version(server: FaultServer, heard: Heard) -> bool:
    old_is_gone = ask(server, if_match=etag_of(DATA)).status == 412
    again = ask(server, if_match=heard.headers["etag"])
    return old_is_gone and heard.status == 206 and heard.body == again.body != WANT


def goes_away(server: FaultServer, heard: Heard) -> bool:
    with pytest.raises(ConnectionRefusedError):
        client(server)
    return heard.raw == b""


def chunks(heard: Heard) -> bytes:
    return heard.body.partition(b"\r\n")[2]


def closes(heard: Heard) -> bool:
    return heard.ended == "fin"


EXPECTED: dict[str, Callable[[FaultServer, Heard], bool]] = {
    "reset-at-once": breaks_after(None, "reset", "ragged"),
    "empty-reply": breaks_after(None, "fin"),
    "stall-before-headers": lambda s, h: breaks_after(None, "fin")(s, h) and h.took >= SOON,
    "late-first-byte": right_and(lambda h: h.took >= SOON),
    "half-header": lambda s, h: h.raw.startswith(b"HTTP/1.1 206") and h.status == 0 and closes(h),
    "header-drip": lambda s, h: h.raw == b"HTT" and h.took >= SOON and closes(h),
    "endless-interim": lambda s, h: h.raw.count(b"100 Continue") == len(h.raw) // 25 > 4 and closes(h),
    "garbage": lambda s, h: not h.raw.startswith(b"HTTP") and len(h.raw) > 20 and closes(h),
    "outage": goes_away,
    "name-lost": lambda s, h: h.raw == b"" and not s.has_name,
    "interim": lambda s, h: h.raw.startswith(b"HTTP/1.1 100 ") and b"\r\n\r\nHTTP/1.1 206 " in h.raw and WANT in h.raw,
    "early-hints": lambda s, h: (
        h.raw.startswith(b"HTTP/1.1 103 ") and b"\r\n\r\nHTTP/1.1 206 " in h.raw and WANT in h.raw
    ),
    "zeroed-block": lambda s, h: h.status == 206 and h.body == WANT[:AT] + bytes(len(WANT) - AT),
    "gzipped": lambda s, h: h.headers["content-encoding"] == "gzip" and gzip.decompress(h.body) == WANT,
    "range-empty": range_is("100-1999", b""),
    "range-of-another-size": lambda s, h: h.headers["content-range"] == "bytes 100-1999/4001" and h.body == WANT,
    "temporary-redirect": lambda s, h: h.status == 307 and h.headers["location"] == path(s),
    "blocked-page": says(403, "<html>"),
    "wrong-date": right_and(lambda h: 3600 < parsedate_to_datetime(h.headers["date"]).timestamp() - time.time() < 7210),
    "body-reset": breaks_after(WANT[:AT], "reset", "ragged"),  # over TLS it depends on the version of Python
    "body-fin": breaks_after(WANT[:AT], "fin"),
    "ragged-end": lambda s, h: breaks_after(WANT[:AT], "ragged" if s.ca_file else "fin")(s, h),
    "broken-tls": lambda s, h: breaks_after(WANT[:AT], "broken" if s.ca_file else "fin")(s, h),
    "body-stall": lambda s, h: breaks_after(WANT[:AT], "fin")(s, h) and h.took >= SOON,
    "drip": lambda s, h: breaks_after(WANT[: AT + 1], "fin")(s, h) and h.took >= SOON,
    "slow": right_and(lambda h: h.took >= 0.9 * len(WANT) / 10_000),
    "flipped-bit": one_bit_wrong,
    "flipped-at-offset": lambda s, h: [i for i, b in enumerate(h.body) if b != WANT[i]] == [AT - 100],
    "weak-etag": right_and(lambda h: h.headers["etag"] == f"W/{etag_of(DATA)}"),
    "no-etag": right_and(lambda h: "etag" not in h.headers and "last-modified" in h.headers),
    "no-version": right_and(lambda h: not {"etag", "last-modified"} & set(h.headers)),
    "says-empty": lambda s, h: (h.status, h.body, h.headers["etag"]) == (200, b"", f"W/{etag_of(DATA)}"),
    "sizes-zero": right_and(),
    "extra-bytes": lambda s, h: h.body.startswith(WANT) and len(h.body) > len(WANT) == int(h.headers["content-length"]),
    "no-length": right_and(lambda h: "content-length" not in h.headers, closes),
    "no-length-cut": lambda s, h: h.body == WANT[:AT] and "content-length" not in h.headers and closes(h),
    "connection-close": right_and(lambda h: h.headers["connection"] == "close", closes),
    "chunked": lambda s, h: chunks(h) == WANT + b"\r\n0\r\n\r\n" and "content-length" not in h.headers,
    "chunked-cut": lambda s, h: chunks(h) == WANT[:AT] and closes(h),
    "range-ignored": lambda s, h: (h.status, h.body) == (200, DATA) and "content-range" not in h.headers,
    "range-ignored-cut": lambda s, h: (h.status, h.body) == (200, DATA[:AT]) and h.ended in ("reset", "ragged"),
    "range-ignored-gzipped": lambda s, h: (
        (h.status, h.headers["etag"]) == (200, f"W/{etag_of(DATA)}") and gzip.decompress(h.body) == DATA
    ),
    "range-whole": range_is("0-3999", DATA),
    "range-wrong": range_is("0-1899", DATA[:1900]),
    "range-short": range_is("100-1049", WANT[:950]),
    "range-cut": range_is("100-1999", WANT[:950]),
    "slow-down": says(503, "<Code>SlowDown</Code>", retry_after="7"),
    "slow-down-retry-after": says(503, "<Code>SlowDown</Code>", retry_after="7"),
    "busy-html": says(503, "<html>", retry_after="7"),
    "too-many-requests": says(429, retry_after="7"),
    "internal-error": says(500, "<Code>InternalError</Code>"),
    "bad-gateway": says(502, "<html>"),
    "gateway-timeout": says(504),
    "request-timeout": says(408),
    "s3-request-timeout": says(400, "<Code>RequestTimeout</Code>", connection="close"),
    "access-denied": says(403, "<Code>AccessDenied</Code>"),
    "archived": says(403, "<Code>InvalidObjectState</Code>"),
    "no-such-key": says(404, "<Code>NoSuchKey</Code>"),
    "no-such-bucket": says(404, "<Code>NoSuchBucket</Code>"),
    "permanent-redirect": says(301, "<Code>PermanentRedirect</Code>", x_amz_bucket_region="eu-west-1"),
    "precondition-failed": says(412, "<Code>PreconditionFailed</Code>"),
    "range-not-satisfiable": says(416, "<Code>InvalidRange</Code>", content_range="bytes */4000"),
    "login-page": says(200, "<html>", content_type="text/html"),
    "login-redirect": lambda s, h: h.status == 302 and h.headers["location"].endswith("/login"),
    "error-in-200": says(200, "<Code>InternalError</Code>"),
    "replaced": is_new_version,
    "other-etag": right_and(lambda h: h.headers["etag"] != etag_of(DATA)),
    "closed-after": right_and(closes),
    "reset-after": right_and(lambda h: h.ended in ("reset", "ragged")),
    "dead-after": right_and(),
}


def test_every_kind_of_fault_is_tested_and_explained() -> None:
    assert set(EXPECTED) == set(KINDS)
    assert all(kind.what.endswith(".") and len(kind.what) <= 120 for kind in KINDS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_does_what_its_description_states(server: FaultServer, kind: str) -> None:
    seconds = 7 if KINDS[kind].cure == "slower" else 0.3
    server.script(Fault(kind, at=AT, seconds=seconds, rate=10_000))

    linger = 0.2 if kind in ("extra-bytes", "connection-close", "closed-after", "reset-after") else 0
    patience = 1 if kind in ("interim", "early-hints") else 5  # after the interim response, until nothing more comes
    heard = ask(server, linger=linger, patience=patience)

    assert EXPECTED[kind](server, heard), heard
    assert server.stats().faults == {kind: 1}


@pytest.mark.parametrize("kind", ["slow-down", "busy-html", "too-many-requests"])
def test_busy_without_seconds_has_no_retry_after(fault_server: FaultServer, kind: str) -> None:
    fault_server.put(KEY, DATA)
    fault_server.script(kind)
    assert "retry-after" not in ask(fault_server).headers


def test_requests_after_a_fault_succeed(server: FaultServer) -> None:
    server.script("body-reset", "flipped-bit")
    assert [is_right(ask(server)) for _ in range(3)] == [False, False, True]


def test_a_dead_connection_answers_once_and_then_never(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    fault_server.script("dead-after")
    with client(fault_server, patience=0.3) as connection:
        assert is_right(connection.ask(path(fault_server), headers=RANGE))
        assert connection.ask(path(fault_server), headers=RANGE).ended == "silent"
    assert is_right(ask(fault_server))


def test_an_outage_breaks_and_refuses_connections_until_it_ends(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    with client(fault_server) as connection:
        assert is_right(connection.ask(path(fault_server), headers=RANGE))
        fault_server.outage(0.2)
        assert connection.ask(path(fault_server)).ended in ("fin", "reset")
    with pytest.raises(ConnectionRefusedError):
        client(fault_server)
    deadline = time.monotonic() + 5
    while not listens(fault_server) and time.monotonic() < deadline:
        time.sleep(0.01)  # there is nothing to wait on but the port itself
    assert is_right(ask(fault_server))


def listens(server: FaultServer) -> bool:
    try:
        client(server).__exit__()
    except ConnectionError:
        return False
    return True


def test_scripted_faults_apply_per_key_operation_and_count(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    fault_server.put("other", DATA)
    fault_server.script("none", Fault("bad-gateway", times=2), Fault("access-denied", times=None), key=KEY)
    fault_server.script(Fault("internal-error", on=("head",)))
    assert ask(fault_server, key="other").status == 206
    assert [ask(fault_server).status for _ in range(6)] == [206, 502, 502, 403, 403, 403]
    with client(fault_server) as connection:
        assert [connection.ask(path(fault_server), method="HEAD").status for _ in range(2)] == [500, 200]
    fault_server.calm()
    assert ask(fault_server).status == 206


def test_a_fault_with_a_wrong_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no fault is called 'tea-break'"):
        Fault("tea-break")


def picks(mix: Mix, keys: list[str]) -> list[Any]:
    return [mix.pick(Request("GET", "", {}, "b", key, {})) for key in keys]


def test_a_mix_depends_on_the_seed_and_not_on_the_order_of_keys() -> None:
    forth = picks(Mix(7, share=0.5), ["a", "b"] * 50)
    back = picks(Mix(7, share=0.5), ["b"] * 50 + ["a"] * 50)
    assert (forth[::2], forth[1::2]) == (back[50:], back[:50])
    assert forth != picks(Mix(8, share=0.5), ["a", "b"] * 50)


def test_a_mix_is_limited_in_total_and_in_a_row() -> None:
    assert sum(fault is not None for fault in picks(Mix(1, share=1.0, at_most=10), ["a"] * 100)) == 10
    hit = [fault is not None for fault in picks(Mix(1, share=1.0, in_a_row=3), ["a"] * 8)]
    assert hit == [True, True, True, False, True, True, True, False]


def test_bursts_follow_the_clock(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    fault_server.add(Burst(Fault("slow-down"), period=3600, length=3600))
    assert ask(fault_server).status == 503
    fault_server.calm()
    fault_server.add(Burst(Fault("slow-down"), period=3600, length=0))
    assert ask(fault_server).status == 206


def test_a_link_limits_the_speed_and_slows_one_connection_in_n(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    fault_server.link = Link(speed=10_000, latency=0.1)
    assert ask(fault_server).took >= 0.1 + 0.9 * len(WANT) / 10_000
    fault_server.link = Link(slow_every=2, slow_speed=10_000)  # of the next three connections, the first and the third
    assert [ask(fault_server).took >= 0.15 for _ in range(3)] == [True, False, True]


def test_a_link_limits_connections_and_drops_idle_ones(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    fault_server.link = Link(most_connections=1)
    with client(fault_server) as first:
        assert is_right(first.ask(path(fault_server), headers=RANGE))
        with client(fault_server) as second:
            assert second.ask(path(fault_server)).ended == "reset"
        assert fault_server.stats().connections_peak == 1
    for link, ended in ((Link(idle_swallow=0.05), "silent"), (Link(idle_close=0.05), "fin")):
        fault_server.link = link
        with client(fault_server, patience=1.0) as connection:
            assert is_right(connection.ask(path(fault_server), headers=RANGE))
            time.sleep(0.1)
            assert connection.ask(path(fault_server), headers=RANGE).ended == ended


def test_one_connection_in_n_never_answers(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    fault_server.link = Link(deaf_every=2)
    with client(fault_server) as first, client(fault_server, patience=0.2) as second:
        assert is_right(first.ask(path(fault_server), headers=RANGE))
        assert second.ask(path(fault_server), headers=RANGE).ended == "silent"


def test_a_host_name_resolves_until_it_is_removed(server: FaultServer) -> None:
    real = socket.getaddrinfo
    with Names(server) as names:
        with RawClient(names.endpoint_url, names.ca_file) as connection:
            assert is_right(connection.ask(path(server), headers=RANGE))
            server.lose_name(3600)
            assert connection.ask(path(server), headers=RANGE).ended != "open", "connections are broken, too"
        with pytest.raises(socket.gaierror):
            RawClient(names.endpoint_url, names.ca_file)
        assert names.failures == 1
        server.lose_name(0)
        with RawClient(names.endpoint_url, names.ca_file) as connection:
            assert is_right(connection.ask(path(server), headers=RANGE))
    assert socket.getaddrinfo is real


def test_requests_and_faults_are_counted_and_logged(fault_server: FaultServer) -> None:
    fault_server.put(KEY, DATA)
    fault_server.script(Fault("body-fin", at=AT))
    ask(fault_server)
    ask(fault_server, if_match=etag_of(DATA))
    stats = fault_server.stats()
    assert stats.requests == {"GET": 2}
    assert (stats.payload, stats.payload_by_fault) == (AT + len(WANT), {"body-fin": AT, "": len(WANT)})
    assert [(seen.method, seen.key, seen.fault, seen.payload) for seen in fault_server.log] == [
        ("GET", KEY, "body-fin", AT),
        ("GET", KEY, "", len(WANT)),
    ]
    assert (fault_server.log[1].range, fault_server.log[1].if_match) == (RANGE["Range"], etag_of(DATA))
    fault_server.reset_stats()
    assert (fault_server.stats().payload, fault_server.log) == (0, [])


def test_closing_the_server_ends_all_threads() -> None:
    before = threading.active_count()
    with FaultServer() as server:
        server.put(KEY, DATA)
        server.put("big", bytes(20_000_000))
        server.script(Fault("stall-before-headers", seconds=600), key=KEY)
        with client(server, patience=0.05) as stalled, client(server, patience=0.05) as idle, client(server) as lazy:
            assert stalled.ask(path(server)).ended == "silent"
            assert is_right(idle.ask(path(server), headers=RANGE))
            lazy._sock.sendall(b"GET /nsf-ncar-era5/big HTTP/1.1\r\n\r\n")  # and never reads
            lazy._sock.recv(1)
            server.close()
            assert threading.active_count() == before
