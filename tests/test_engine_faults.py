"""Tests of the engine when network, server or proxies fail or lie.

That files come out right through every kind of fault is in `test_engine_fault_kinds`.
"""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine import connection_monitor, failures, fetch, retry
from era5dl.engine.events import (
    FileDone,
    FileFailed,
    FileRestarted,
    FileRetrying,
    Outcome,
    State,
    StateChanged,
    Throttled,
)
from era5dl.engine.rate_limit import Throttle
from tests.faultlab import Fault, FaultServer, Link, make_certificates, pseudo_random
from tests.runs import fetch_all, plan_of, running, settings_for, wrong_files

MB = 1_000_000
KEY = "a.bin"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the delays: these tests check that they are taken, `test_engine_retry` how long they are."""
    monkeypatch.setattr(retry, "BASE", 0.1)
    monkeypatch.setattr(retry, "THROTTLE_BASE", 0.2)


@pytest.mark.slow
@pytest.mark.usefixtures("get_way")
@pytest.mark.parametrize("kind", ["body-reset", "body-fin", "ragged-end", "body-stall"])
def test_bytes_received_before_a_fault_are_not_fetched_again(
    fault_server: FaultServer, tmp_path: Path, kind: str
) -> None:
    data = pseudo_random(1, MB)
    fault_server.put(KEY, data)
    fault_server.script(Fault(kind, at=777_777, seconds=10), key=KEY)
    ran = fetch_all(fault_server, tmp_path, read_timeout=2.0, workers=1)
    assert wrong_files(tmp_path, {KEY: data}) == []
    # A reset may discard the last bytes sent before it; no other byte may be lost.
    assert ran.engine.snapshot().fetched_bytes <= MB
    assert fault_server.stats().payload <= MB + (777_777 if kind == "body-reset" else 0)


@pytest.mark.usefixtures("get_way")
@pytest.mark.parametrize("part_size", [None, 250_000])
def test_a_flipped_bit_never_gets_the_final_name(
    fault_server: FaultServer, tmp_path: Path, part_size: int | None
) -> None:
    data = pseudo_random(1, 600_000)
    fault_server.put(KEY, data, part_size=part_size)
    fault_server.script(Fault("flipped-bit", at=123_456), key=KEY)
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, {KEY: data}) == []
    assert ran.engine.result.verified == 1


@pytest.mark.parametrize("etag", ['"65920080-20000000"', 'W/"abc"', '"whatever"'])
def test_an_opaque_etag_never_fails_a_file(fault_server: FaultServer, tmp_path: Path, etag: str) -> None:
    data = pseudo_random(1, 600_000)
    fault_server.put(KEY, data, etag=etag)
    ran = fetch_all(fault_server, tmp_path)
    (done,) = ran.events_of(FileDone)
    assert wrong_files(tmp_path, {KEY: data}) == []
    assert (done.outcome, done.reason) == (Outcome.CHECKED, "the server's ETag is not an MD5")
    assert ran.engine.snapshot().fetched_bytes == len(data), "it was fetched only once"


@pytest.mark.usefixtures("get_way")
def test_an_object_replaced_during_the_download_is_fetched_again(fault_server: FaultServer, tmp_path: Path) -> None:
    old, new = pseudo_random("old", 4 * MB), pseudo_random("new", 5 * MB)
    fault_server.put(KEY, old)
    fault_server.link = Link(speed=2 * MB)
    with running(fault_server, tmp_path, workers=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > MB)
        fault_server.put(KEY, new)
        fault_server.cut_connections()
        fault_server.link = Link()
        ran.wait_for_end()
    assert wrong_files(tmp_path, {KEY: new}) == []
    assert len(ran.events_of(FileRestarted)) == 1
    snapshot = ran.engine.snapshot()
    assert snapshot.done_bytes == snapshot.total_bytes == len(new)


def test_a_replaced_object_is_still_known_after_a_restart(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put(KEY, pseudo_random("old", MB))
    fault_server.link = Link(speed=400_000)
    with running(fault_server, tmp_path) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 100_000)
        plan = ran.session.plan
        new = pseudo_random("new", 2 * MB)
        fault_server.put(KEY, new)
        fault_server.cut_connections()
        ran.wait_until(lambda: ran.engine.snapshot().total_bytes == len(new))
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 100_000)
        ran.engine.stop()
        ran.wait_for_end()
    fault_server.link = Link()
    again = fetch_all(fault_server, tmp_path, plan=plan)
    assert wrong_files(tmp_path, {KEY: new}) == []
    assert again.engine.snapshot().fetched_bytes < len(new), "bytes of the new version were kept"
    assert again.events_of(FileRestarted) == []


def test_an_object_that_changes_constantly_fails(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put(KEY, pseudo_random(1, 100_000))
    fault_server.script(Fault("replaced", times=None), key=KEY)
    ran = fetch_all(fault_server, tmp_path)
    assert ran.engine.result.failed == 1
    assert ran.events_of(FileFailed)[0].kind == "ObjectChanged"
    assert len(ran.events_of(FileRestarted)) == failures.MAX_RESTARTS


CONTRADICTIONS = ["precondition-failed", "range-not-satisfiable", "other-etag", "range-of-another-size"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_a_new_version_that_the_server_denies_is_ignored(fault_server: FaultServer, tmp_path: Path, kind: str) -> None:
    """Servers or caches behind one name disagree: a HEAD request returns the planned version."""
    data = pseudo_random(1, 600_000)
    fault_server.put(KEY, data)
    fault_server.script(Fault("body-fin", at=400_000), Fault(kind, times=5), key=KEY)
    ran = fetch_all(fault_server, tmp_path, workers=1)
    assert wrong_files(tmp_path, {KEY: data}) == []
    assert ran.events_of(FileRestarted) == []
    assert [event.kind for event in ran.events_of(FileRetrying)][-5:] == ["Contradiction"] * 5
    assert ran.engine.snapshot().fetched_bytes == len(data), "no byte was discarded"


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_a_permanent_contradiction_is_reported(fault_server: FaultServer, tmp_path: Path, kind: str) -> None:
    fault_server.put(KEY, pseudo_random(1, 100_000))
    fault_server.script(Fault(kind, times=None), key=KEY)
    ran = fetch_all(fault_server, tmp_path, retries=3)
    failed = ran.events_of(FileFailed)[-1]
    assert (failed.kind, ran.events_of(FileRestarted)) == ("Contradiction", [])
    assert "the server names the one that was planned" in failed.reason
    assert fault_server.stats().faults[kind] == 4 + 1 + retry.ROUND_RETRIES


def test_replicas_that_disagree_about_the_version_end_with_a_failure(fault_server: FaultServer, tmp_path: Path) -> None:
    """GET returns a new version, HEAD confirms it, and the next HEAD does not."""
    fault_server.put(KEY, pseudo_random(1, 100_000))
    fault_server.script(Fault("precondition-failed", times=None), key=KEY)
    fault_server.script(*[Fault("other-etag", on=("head",)), Fault("none", on=("head",))] * 20, key=KEY)
    ran = fetch_all(fault_server, tmp_path, retries=3)
    failed = ran.events_of(FileFailed)[-1]
    assert (failed.kind, ran.events_of(FileRestarted)) == ("Contradiction", [])


def test_a_deleted_object_fails_and_the_others_continue(fault_server: FaultServer, tmp_path: Path) -> None:
    data = {f"{i}.bin": pseudo_random(i, 10_000) for i in range(4)}
    for key, body in data.items():
        fault_server.put(key, body)
    with running(fault_server, tmp_path, workers=1, rate_limit=20_000) as ran:
        fault_server.delete("3.bin")
        ran.engine.set_rate_limit(None)
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (3, 1)
    assert "no such object" in ran.events_of(FileFailed)[0].reason


# Budgets


def test_the_budget_counts_attempts_without_a_byte(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put(KEY, pseudo_random(1, 10_000))
    fault_server.script(Fault("internal-error", times=None), key=KEY)
    ran = fetch_all(fault_server, tmp_path, retries=3)
    assert ran.engine.result.failed == 1
    retries = [event.attempt for event in ran.events_of(FileRetrying)]
    assert retries == [1, 2, 3, *range(1, retry.ROUND_RETRIES + 1)], "and fewer in a retry round"
    assert fault_server.stats().faults["internal-error"] == len(retries) + 2  # the first attempts


def test_attempts_that_receive_bytes_are_unlimited(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 600_000)
    fault_server.put(KEY, data)
    fault_server.script(Fault("body-fin", at=30_000, times=15), key=KEY)
    ran = fetch_all(fault_server, tmp_path, retries=1, workers=1)
    assert wrong_files(tmp_path, {KEY: data}) == []
    assert ran.engine.snapshot().barren_attempts == 0


def test_a_waiting_piece_blocks_no_worker(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BASE", 4.0)
    data = {f"{i}.bin": pseudo_random(i, 10_000) for i in range(30)}
    for key, body in data.items():
        fault_server.put(key, body)
    fault_server.script(Fault("internal-error", times=None), key="0.bin")  # however soon it is requested again
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().verified_files == 29, timeout=20)
        ran.engine.stop()


def test_no_such_bucket_ends_the_run(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put(KEY, b"data")
    fault_server.script(Fault("no-such-bucket", times=None))
    ended = fetch_all(fault_server, tmp_path).engine.result
    assert "NoSuchBucket" in ended.error
    assert "bucket name" in ended.remedy


# Throttling


@pytest.mark.slow
def test_a_busy_server_slows_all_workers_together(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Throttle, "CALM", 60.0)  # however late the eighth request is throttled
    monkeypatch.setattr(Throttle, "GROW_EVERY", 60.0)
    objects = {f"{i}.bin": pseudo_random(i, 200_000) for i in range(40)}
    for key, data in objects.items():
        fault_server.put(key, data)
    fault_server.link = Link(speed=MB)
    fault_server.script(Fault("slow-down-retry-after", seconds=1, times=8))
    with running(fault_server, tmp_path, workers=8) as ran:
        ran.wait_until(lambda: bool(ran.events_of(Throttled)))
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 0)
        while not ran.engine.wait(0.01):
            snapshot = ran.engine.snapshot()
            assert snapshot.in_flight <= snapshot.allowed < 8
    assert wrong_files(tmp_path, objects) == []
    assert {(said.workers, said.delay >= 1.0) for said in ran.events_of(Throttled)} == {(4, True)}
    moments = [seen.when for seen in fault_server.log]
    assert max(later - earlier for earlier, later in pairwise(moments)) > 0.7, "no request was sent for a second"


@pytest.mark.parametrize("workers", [1, 4])
def test_a_throttled_request_among_many_answers_delays_only_its_object(
    fault_server: FaultServer, tmp_path: Path, workers: int
) -> None:
    """One request in twenty is throttled, the first one included: all others succeed while these wait."""
    data = {f"{i:02}.bin": pseudo_random(i, 10_000) for i in range(60)}
    for key, body in data.items():
        fault_server.put(key, body)
    refused = ["00.bin", "20.bin", "40.bin"]
    for key in refused:
        fault_server.script(Fault("slow-down-retry-after", seconds=60), key=key)
    with running(fault_server, tmp_path, workers=workers) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().verified_files == 57, timeout=20.0)
        snapshot = ran.engine.snapshot()
        ran.engine.stop()
        ran.wait_for_end()
    assert wrong_files(tmp_path, data) == refused
    assert (snapshot.allowed, snapshot.throttles, ran.events_of(Throttled)) == (workers, 3, [])
    assert [event.key for event in ran.events_of(FileRetrying)] == refused
    assert len([seen for seen in fault_server.log if seen.key in data]) == 60, (
        "none of them was asked for before its time"
    )


# Outages


@pytest.mark.slow
def test_an_outage_is_not_a_failure(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = {f"{i}.bin": pseudo_random(i, MB) for i in range(6)}
    for key, data in objects.items():
        fault_server.put(key, data)
    fault_server.link = Link(speed=MB)
    # Two retries, since the outage may begin before the first byte of an attempt.
    with running(fault_server, tmp_path, workers=4, retries=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > MB)
        fault_server.outage(3.0)
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_NETWORK)
        assert "cannot connect" in ran.engine.snapshot().reason
        time.sleep(1.0)  # more workers notice the outage
        assert [thread.name for thread in threading.enumerate()].count("era5dl-prober") == 1, "one prober for all"
        fault_server.link = Link()
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (6, 0)
    assert wrong_files(tmp_path, objects) == []
    kinds = {event.state: event.kind for event in ran.events_of(StateChanged)}
    assert kinds == {State.RUNNING: "", State.WAITING_FOR_NETWORK: "Unreachable"}


def test_stop_during_an_outage(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put(KEY, pseudo_random(1, MB))
    fault_server.link = Link(speed=200_000)
    with running(fault_server, tmp_path) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 0)
        fault_server.outage(60.0)
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_NETWORK)
        asked = time.monotonic()
        ran.engine.stop()
        assert ran.wait_for_end(20.0).unfinished == 1
        assert time.monotonic() - asked < 20.0


def test_the_run_waits_while_a_login_page_answers(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = {f"{i}.bin": pseudo_random(i, 50_000) for i in range(8)}
    for key, data in objects.items():
        fault_server.put(key, data)
    portal = Fault("login-page", times=None, on=("get", "head"))
    with running(fault_server, tmp_path, workers=4, retries=2, rate_limit=100_000) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().fetched_bytes > 0)
        fault_server.script(portal)
        ran.engine.set_rate_limit(None)
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_NETWORK)
        assert "login page" in ran.engine.snapshot().reason
        fault_server.calm()
        ended = ran.wait_for_end()
    assert ended.failed == 0
    assert wrong_files(tmp_path, objects) == []


def test_the_run_waits_while_a_server_never_answers(fault_server: FaultServer, tmp_path: Path) -> None:
    """A server or proxy that accepts connections and never answers is an outage."""
    objects = {f"{i}.bin": pseudo_random(i, 50_000) for i in range(8)}
    for key, data in objects.items():
        fault_server.put(key, data)
    with running(fault_server, tmp_path, workers=4, retries=2, read_timeout=0.5, rate_limit=100_000) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().fetched_bytes > 0)
        fault_server.script(Fault("stall-before-headers", times=None, seconds=60, on=("get", "head")))
        ran.engine.set_rate_limit(None)
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_NETWORK)
        fault_server.calm()
        ended = ran.wait_for_end()
    assert ended.failed == 0
    assert wrong_files(tmp_path, objects) == []


@pytest.mark.slow
def test_one_object_with_an_invalid_response_is_not_a_login_page(fault_server: FaultServer, tmp_path: Path) -> None:
    """Otherwise its attempts would never cost budget."""
    fault_server.put(KEY, pseudo_random(1, 50_000))
    fault_server.script(Fault("range-cut", times=None), key=KEY)
    assert fetch_all(fault_server, tmp_path).engine.result.failed == 1


def test_a_wrong_certificate_from_the_start_ends_the_run(
    fault_server_tls: FaultServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fault_server_tls.put(KEY, b"data")
    plan = plan_of(S3Bucket(settings_for(fault_server_tls)))
    other = make_certificates(tmp_path_factory.mktemp("other")).ca_file

    class Impostor:
        endpoint_url, bucket, ca_file = fault_server_tls.endpoint_url, fault_server_tls.bucket, other

    ended = fetch_all(Impostor(), tmp_path, plan=plan).engine.result
    assert "certificate" in ended.error
    assert "--ca-bundle" in ended.remedy
    assert not (tmp_path / KEY).exists()


# Slow lines


@pytest.mark.usefixtures("get_way")
def test_a_connection_that_drips_is_aborted(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MIN_SPEED_WINDOW", 1.0)
    data = pseudo_random(1, 300_000)
    fault_server.put(KEY, data)
    fault_server.script(Fault("drip", at=1000, seconds=30), key=KEY)
    began = time.monotonic()
    ran = fetch_all(fault_server, tmp_path, read_timeout=20)
    assert wrong_files(tmp_path, {KEY: data}) == []
    assert time.monotonic() - began < 25
    assert "stalled" in ran.events_of(FileRetrying)[0].reason


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["drip", "header-drip", "endless-interim"])
@pytest.mark.parametrize("workers", [1, 4])
def test_an_object_that_only_drips_fails_and_says_why(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, kind: str
) -> None:
    """Each drop brings a new byte, but that does not count as progress."""
    monkeypatch.setattr(fetch, "MIN_SPEED_WINDOW", 0.6)
    data = pseudo_random(1, 2 * MB)
    fault_server.put(KEY, data)
    fault_server.script(Fault(kind, at=10, seconds=60, times=None), key=KEY)
    ran = fetch_all(fault_server, tmp_path, read_timeout=1.0, retries=1, workers=workers)
    failed = ran.events_of(FileFailed)[-1]
    assert "stalled" in failed.reason
    assert not (tmp_path / KEY).exists()


def test_a_rate_limit_is_not_a_stall(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MIN_SPEED_WINDOW", 0.2)
    monkeypatch.setattr(fetch, "MIN_SPEED", 10 * MB)
    fault_server.put(KEY, pseudo_random(1, 300_000))
    ran = fetch_all(fault_server, tmp_path, rate_limit=200_000)
    assert ran.events_of(FileRetrying) == []


@pytest.mark.slow
def test_a_connection_far_slower_than_the_others_is_replaced(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_monitor, "SLOW_AFTER", 1.0)
    monkeypatch.setattr(connection_monitor, "REPLACE_EVERY", 0.5)
    objects = {f"{i}.bin": pseudo_random(i, 4 * MB) for i in range(4)}
    for key, data in objects.items():
        fault_server.put(key, data)
    fault_server.link = Link(speed=MB, slow_every=4, slow_speed=50_000)
    ran = fetch_all(fault_server, tmp_path, workers=4)
    assert wrong_files(tmp_path, objects) == []
    assert fault_server.stats().connections > 4, "another connection was opened"
    assert ran.engine.snapshot().elapsed < 40, "4 MB at 50 kB/s would take 80 s"


def test_all_connections_are_renewed_after_a_suspend(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 2 * MB)
    fault_server.put(KEY, data)
    fault_server.script(Fault("body-stall", at=100_000, seconds=30), key=KEY)
    with running(fault_server, tmp_path, read_timeout=30) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 0)
        detector = ran.engine._maintenance._connections._suspend_detector
        awake, always = detector._clocks
        detector._clocks = (awake, always - 3600)  # as after a suspend of an hour
        ran.wait_for_end(25)
    assert wrong_files(tmp_path, {KEY: data}) == []
    assert ran.events_of(FileRetrying) == [], "a suspend is not a failure"
