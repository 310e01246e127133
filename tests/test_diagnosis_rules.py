"""Diagnosis rules: each row of the module's table on plain measurements, and on measurements of real faults."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.diagnosis import rules
from era5dl.diagnosis.measured_bucket import MeasuredBucket, RequestMetrics, Traffic
from era5dl.diagnosis.metrics import Metrics, Process, Sample
from era5dl.diagnosis.network_test import NetworkTest, run_network_test
from era5dl.diagnosis.rules import Diagnosis, Measurements, add_network_test, diagnose, measurements_from
from era5dl.engine.concurrency import Reason
from era5dl.engine.engine import Engine
from era5dl.engine.events import State
from era5dl.planner import Plan
from era5dl.session import Session
from tests.faultlab import Fault, FaultServer, Link, make_certificates, pseudo_random
from tests.runs import plan_of, settings_for

WAITS: dict[str, Any] = {"answers": 50, "waited": 90.0, "busy": 10.0, "speed": 20e6, "in_flight": 8}
CASES: list[tuple[Diagnosis, dict[str, Any]]] = [
    (Diagnosis.CLOCK_WRONG, {"status": 200, "clock_ahead": -301.0}),
    (Diagnosis.CERTIFICATE_REPLACED, {"failed_step": "certificate"}),
    (Diagnosis.CERTIFICATE_REPLACED, {"faults": {"Untrusted": 1}}),
    (Diagnosis.PROXY_ANSWERS, {"status": 302}),
    (Diagnosis.PROXY_ANSWERS, {"status": 511}),
    (Diagnosis.PROXY_ANSWERS, {"answers": 10, "faults": {"BadResponse": 2}}),
    (Diagnosis.RANGES_IGNORED, {"answers": 20, "whole": 2}),
    (Diagnosis.REFUSES, {"status": 404}),
    (Diagnosis.REFUSES, {"status": 301}),  # sent by S3 itself for a wrong region
    (Diagnosis.OFFLINE, {"failed_step": "dns"}),
    (Diagnosis.OFFLINE, {"failed_step": "connect"}),
    (Diagnosis.OFFLINE, {"faults": {"Unreachable": 1}}),
    (Diagnosis.NO_ANSWER, {"failed_step": "tls"}),
    (Diagnosis.NO_ANSWER, {"failed_step": "answer"}),
    (Diagnosis.DNS_SLOW, {"status": 200, "dns_seconds": 1.2}),
    (Diagnosis.THROTTLED, {"answers": 60, "faults": {"ServerBusy": 3}}),
    (Diagnosis.IDLE_DROPPED, {"answers": 60, "faults": {"StaleConnection": 3}}),
    (Diagnosis.UNSTEADY, {"status": 200, "loss": 0.1}),
    (Diagnosis.UNSTEADY, {"answers": 20, "faults": {"Interrupted": 5}}),
    (Diagnosis.ONE_BAD_CONNECTION, {"answers": 9, "speeds": (5e6, 5e6, 5e6, 1e5)}),
    (Diagnosis.RATE_LIMITED, WAITS | {"speed": 9.5e6, "rate_limit": 10_000_000}),
    (Diagnosis.DISK_BOUND, {"answers": 9, "waited": 4.0, "busy": 16.0}),
    (Diagnosis.NETWORK_BOUND, WAITS),  # the speed of one connection alone was not measured
    (Diagnosis.NETWORK_BOUND, WAITS | {"one_connection": 9e6}),  # eight are faster than one, but not eight times
    (Diagnosis.NETWORK_BOUND, WAITS | {"one_connection": 20e6, "in_flight": 1}),
    (Diagnosis.LINK_BOUND, WAITS | {"one_connection": 18e6}),
    (Diagnosis.MORE_WORKERS, WAITS | {"one_connection": 2.5e6}),
    (Diagnosis.LINK_BOUND, WAITS | {"workers_reason": Reason.NO_GAIN.value}),
    (Diagnosis.LINK_BOUND, WAITS | {"workers_reason": Reason.NO_GAIN.value, "one_connection": 2.5e6}),
    (Diagnosis.MORE_WORKERS, WAITS | {"workers_reason": Reason.CEILING.value}),
    (Diagnosis.MORE_WORKERS, WAITS | {"workers_reason": Reason.CEILING.value, "one_connection": 18e6}),
    (Diagnosis.NETWORK_BOUND, WAITS | {"workers_reason": Reason.MEASURING.value, "one_connection": 2.5e6}),
    (Diagnosis.NETWORK_BOUND, WAITS | {"workers_reason": Reason.REFUSED.value, "one_connection": 18e6}),
    (Diagnosis.FAR_AWAY, {"status": 200, "first_byte": 0.2}),
    (Diagnosis.FINE, {"status": 200, "first_byte": 0.05}),
    (Diagnosis.UNKNOWN, {}),
]


@pytest.mark.parametrize(("diagnosis", "measurements"), CASES)
def test_each_rule_of_the_table(diagnosis: Diagnosis, measurements: dict[str, Any]) -> None:
    assert diagnose(Measurements(**measurements)) == (diagnosis,)


@pytest.mark.parametrize(
    "measurements",
    [
        {"status": 200, "clock_ahead": 299.0, "dns_seconds": 0.9, "loss": 0.05},
        {"answers": 100, "faults": {"BadResponse": 1, "ServerBusy": 1, "StaleConnection": 2, "Interrupted": 4}},
        {"answers": 1000, "faults": {"Interrupted": 6, "ServerBusy": 3, "StaleConnection": 4, "Unreachable": 20}},
        {"answers": 60, "whole": 2},
        {"answers": 9, "speeds": (5e6, 5e6, 5e6, 2e6)},
        {"answers": 9, "speeds": (5e6, 1e5)},  # too few to tell which one is bad
        {"answers": 9, "speeds": (5e6, 5e6, 5e6, 1e5, 1e5, 1e5)},  # half of them: the line is slow
        {"answers": 9, "waited": 1.0, "busy": 2.0},  # too short
    ],
)
def test_values_below_the_thresholds_give_no_diagnosis(measurements: dict[str, Any]) -> None:
    assert diagnose(Measurements(**measurements)) == (Diagnosis.FINE,)


def test_all_diagnoses_are_returned_the_most_important_first() -> None:
    found = diagnose(
        Measurements(failed_step="certificate", clock_ahead=9e5, dns_seconds=3.0, faults={"ServerBusy": 9})
    )
    assert found == (Diagnosis.CLOCK_WRONG, Diagnosis.CERTIFICATE_REPLACED, Diagnosis.DNS_SLOW, Diagnosis.THROTTLED)


def test_the_docstring_lists_the_rules_in_order() -> None:
    drawn = re.findall(r"^([A-Z_]+) +\|", rules.__doc__ or "", re.MULTILINE)
    assert drawn == [diagnosis.name for diagnosis in Diagnosis]
    assert {diagnosis for diagnosis, _ in CASES} == set(Diagnosis)


def sample(at: float, traffic: Traffic | None, *, running: bool = True, speed: float = 0.0) -> Sample:
    return Sample(at, Process(4, 0, 10, 10, 3), running, speed=speed, in_flight=4, traffic=traffic)


def test_only_the_last_minutes_are_taken_into_account() -> None:
    old = [sample(2.0 * n, Traffic(100, {"ServerBusy": 50}, 10.0, 1.0, ())) for n in range(10)]
    new = [
        sample(1000 + 2.0 * n, Traffic(100 + n, {"ServerBusy": 50, "Interrupted": n}, 10.0 + n, 1.0, ()))
        for n in range(5)
    ]
    found = measurements_from([*old, *new])
    assert (found.answers, found.faults, found.waited, found.busy) == (4, {"Interrupted": 4}, 4.0, 0.0)
    assert measurements_from(old).faults == {"ServerBusy": 50}  # faults before the first sample belong to this run


def test_without_a_run_there_are_no_measurements() -> None:
    assert measurements_from([]) == Measurements()
    assert measurements_from([sample(1.0, None)]) == Measurements()
    assert measurements_from([sample(1.0, Traffic(9, {}, 1.0, 1.0, ()), running=False)]) == Measurements()


def diagnoses_of_run(
    server: Any,
    folder: Path,
    *,
    seconds: float = 30.0,
    plan: Plan | None = None,
    test: NetworkTest | None = None,
    until: Callable[[Engine], bool] | None = None,
    **options: Any,
) -> tuple[Diagnosis, ...]:
    """Download what is on the server through a measured bucket, for `seconds` or until `until` returns True; return the
    diagnoses, `test` included."""
    settings = settings_for(server, **options)
    request_metrics = RequestMetrics()
    bucket = S3Bucket(settings)
    with Session.begin(folder, plan or plan_of(bucket), settings) as session:
        engine = Engine(MeasuredBucket(bucket, request_metrics), session, settings)
        metrics = Metrics(engine.snapshot, request_metrics)
        engine.start()
        engine.wait(0.3)
        metrics.sample()
        give_up = time.monotonic() + seconds
        while not engine.wait(0.1) and time.monotonic() < give_up and not (until and until(engine)):
            metrics.sample()
        metrics.sample()
        engine.stop()
        engine.wait(10)
        bucket.drop_idle_connections()
    return diagnose(add_network_test(measurements_from(metrics.history()), test))


def network_test_of(server: Any) -> NetworkTest:
    """Run the network test with few probes."""
    return run_network_test(settings_for(server), probes=2)


def fill(server: FaultServer, count: int, size: int) -> None:
    for number in range(count):
        server.put(f"{number}.nc", pseudo_random(number, size))


# Diagnoses of a run


def test_a_server_that_throttles(fault_server: FaultServer, tmp_path: Path) -> None:
    fill(fault_server, 6, 50_000)
    fault_server.script(*[Fault("slow-down")] * 3)
    assert diagnoses_of_run(fault_server, tmp_path)[0] is Diagnosis.THROTTLED


def test_a_captive_portal_that_answers(fault_server: FaultServer, tmp_path: Path) -> None:
    fill(fault_server, 6, 50_000)
    fault_server.script(*[Fault("login-page")] * 3)
    assert diagnoses_of_run(fault_server, tmp_path, seconds=8.0)[0] is Diagnosis.PROXY_ANSWERS


def test_a_proxy_that_ignores_ranges(fault_server: FaultServer, tmp_path: Path) -> None:
    fill(fault_server, 6, 50_000)
    fault_server.script(Fault("range-ignored", times=None))
    assert diagnoses_of_run(fault_server, tmp_path)[0] is Diagnosis.RANGES_IGNORED


def test_a_line_that_interrupts_responses(fault_server: FaultServer, tmp_path: Path) -> None:
    fill(fault_server, 6, 200_000)
    fault_server.script(*[Fault("body-reset", at=30_000)] * 6)
    assert diagnoses_of_run(fault_server, tmp_path)[0] is Diagnosis.UNSTEADY


@pytest.mark.slow
def test_a_saturated_line(fault_server: FaultServer, tmp_path: Path) -> None:
    fill(fault_server, 8, 300_000)
    fault_server.link = Link(speed=300_000)
    alone = network_test_of(fault_server)
    fault_server.link = Link(speed=75_000)  # as fast as each of the four
    assert diagnoses_of_run(fault_server, tmp_path, seconds=2.0, test=alone, workers=4) == (Diagnosis.LINK_BOUND,)


@pytest.mark.slow
def test_without_a_network_test_the_limit_is_not_named(fault_server: FaultServer, tmp_path: Path) -> None:
    """Each connection is slow because the way is long: without a test, or with one that ran beside a download and got
    its share of the line only, nobody can say that the line is full, nor that it is not."""
    fill(fault_server, 8, 300_000)
    fault_server.link = Link(speed=75_000)
    assert diagnoses_of_run(fault_server, tmp_path, seconds=2.0, workers=4) == (Diagnosis.NETWORK_BOUND,)
    measurements, beside = Measurements(**WAITS), network_test_of(fault_server)
    assert diagnose(add_network_test(measurements, beside, alone=False)) == (Diagnosis.NETWORK_BOUND,)


@pytest.mark.slow
def test_a_line_with_capacity_for_more_workers(fault_server: FaultServer, tmp_path: Path) -> None:
    """Each connection is slow, as with a long round trip, and other connections do not slow it down."""
    fill(fault_server, 8, 300_000)
    fault_server.link = Link(speed=150_000)
    alone = network_test_of(fault_server)
    assert diagnoses_of_run(fault_server, tmp_path, seconds=2.5, test=alone, workers=4) == (Diagnosis.MORE_WORKERS,)


@pytest.mark.slow
def test_automatic_workers_at_their_ceiling(fault_server: FaultServer, tmp_path: Path) -> None:
    """Each connection is slow by itself, so that the controller wants more than it may have: no test is needed."""
    fill(fault_server, 64, 2_000_000)
    fault_server.link = Link(speed=100_000)

    def reached(engine: Engine) -> bool:
        return engine.snapshot().workers_reason == Reason.CEILING.value

    assert diagnoses_of_run(fault_server, tmp_path, workers="auto", until=reached) == (Diagnosis.MORE_WORKERS,)


def test_the_rate_limit_of_the_user(fault_server: FaultServer, tmp_path: Path) -> None:
    fill(fault_server, 4, 1_000_000)
    found = diagnoses_of_run(fault_server, tmp_path, seconds=1.8, workers=4, rate_limit=500_000)
    assert Diagnosis.RATE_LIMITED in found


@pytest.mark.slow
def test_a_slow_disk(fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(fault_server, 4, 12_000_000)
    real = os.pwrite

    def pwrite(fd: int, data: memoryview, offset: int) -> int:
        time.sleep(len(data) / 5_000_000)
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    assert diagnoses_of_run(fault_server, tmp_path, seconds=2.0, workers=4) == (Diagnosis.DISK_BOUND,)


@pytest.mark.slow
def test_one_slow_connection_among_fast_ones(fault_server: FaultServer, tmp_path: Path) -> None:
    fill(fault_server, 5, 4_000_000)
    fault_server.link = Link(speed=600_000, slow_every=5, slow_speed=20_000)
    assert Diagnosis.ONE_BAD_CONNECTION in diagnoses_of_run(fault_server, tmp_path, seconds=3.6, workers=5)


def test_a_router_that_drops_idle_connections(fault_server: FaultServer, tmp_path: Path) -> None:
    fill(fault_server, 12, 20_000)
    fault_server.script(*[Fault("empty-reply")] * 4)
    assert Diagnosis.IDLE_DROPPED in diagnoses_of_run(fault_server, tmp_path, workers=6)


def test_a_certificate_that_is_replaced_during_the_run(
    fault_server_tls: FaultServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A man in the middle, such as a login page or an inspecting proxy."""
    fill(fault_server_tls, 6, 300_000)
    fault_server_tls.link = Link(speed=300_000)

    class Trusting:
        endpoint_url, bucket, ca_file = fault_server_tls.endpoint_url, fault_server_tls.bucket, fault_server_tls.ca_file

    def replaced(engine: Engine) -> bool:
        if engine.snapshot().done_bytes and fault_server_tls.certificates is not impostor:
            fault_server_tls.certificates = impostor
            fault_server_tls.cut_connections()
        return engine.snapshot().state is State.WAITING_FOR_TRUST

    impostor = make_certificates(tmp_path_factory.mktemp("impostor"))
    found = diagnoses_of_run(Trusting(), tmp_path, until=replaced, workers=2)
    assert found[0] is Diagnosis.CERTIFICATE_REPLACED
    assert diagnose(add_network_test(Measurements(), network_test_of(Trusting()))) == (Diagnosis.CERTIFICATE_REPLACED,)


# Diagnoses of a network test


def diagnoses_of_test(server: Any) -> tuple[Diagnosis, ...]:
    return diagnose(add_network_test(Measurements(), network_test_of(server)))


def test_a_wrong_clock(fault_server: FaultServer) -> None:
    fill(fault_server, 1, 1000)
    fault_server.script(Fault("wrong-date", times=None, on=("list", "get")))
    assert diagnoses_of_test(fault_server) == (Diagnosis.CLOCK_WRONG,)


def test_slow_name_resolution(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(fault_server, 1, 1000)
    real, asked = socket.getaddrinfo, [0]

    def slow(host: Any, *args: Any, **more: Any) -> Any:
        if host != "bucket.era5dl.test":
            return real(host, *args, **more)
        asked[0] += 1
        time.sleep(1.1 if asked[0] == 1 else 0.0)  # then the resolver has it cached
        return real("127.0.0.1", *args, **more)

    class Named:
        endpoint_url, bucket = f"http://bucket.era5dl.test:{fault_server.port}", fault_server.bucket

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert diagnoses_of_test(Named()) == (Diagnosis.DNS_SLOW,)


def test_a_proxy_that_answers_instead_of_the_bucket(fault_server: FaultServer) -> None:
    fault_server.script(Fault("login-redirect", times=None, on=("list",)))
    assert diagnoses_of_test(fault_server) == (Diagnosis.PROXY_ANSWERS,)


def test_a_bucket_that_does_not_exist(fault_server: FaultServer) -> None:
    fault_server.script(Fault("no-such-bucket", times=None, on=("list",)))
    assert diagnoses_of_test(fault_server) == (Diagnosis.REFUSES,)


def test_a_server_that_is_down(fault_server: FaultServer) -> None:
    fault_server.outage(30)
    assert diagnoses_of_test(fault_server) == (Diagnosis.OFFLINE,)


def test_a_good_connection_is_fine(fault_server: FaultServer) -> None:
    fill(fault_server, 1, 1000)
    assert diagnoses_of_test(fault_server) == (Diagnosis.FINE,)
