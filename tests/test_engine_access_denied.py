"""Tests of 403 responses: those of one object, those of the whole bucket, and temporary ones."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from era5dl.engine import retry
from era5dl.engine.events import FileFailed
from era5dl.engine.retry import MANY_OBJECTS, SILENCE, AccessDenials
from era5dl.engine.work_stealing import MIN_STEAL
from tests.faultlab import Fault, FaultServer, Link, Mix, pseudo_random
from tests.runs import fetch_all, running, wrong_files

START = 1000.0
STORM = ("access-denied", "blocked-page")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE", 0.1)


def objects(server: FaultServer, count: int, size: int = 20_000) -> dict[str, bytes]:
    """Put `count` objects into the bucket."""
    made = {f"{n:02}.bin": pseudo_random(n, size) for n in range(count)}
    for key, data in made.items():
        server.put(key, data)
    return made


# AccessDenials alone


def test_many_denied_objects_without_any_answer_mean_the_bucket() -> None:
    denials = AccessDenials()
    for index in range(MANY_OBJECTS):
        denials.record_denial(index, START)
        denials.record_denial(index, START + SILENCE)
        assert denials.bucket_denied(START + SILENCE, 0.0) == (index == MANY_OBJECTS - 1)
    assert not denials.bucket_denied(START + SILENCE - 0.1, 0.0), "too early"
    assert not denials.bucket_denied(START + SILENCE, START + 0.1), "bytes still arrived"
    assert not denials.are_temporary


def test_an_answer_resets_the_count_of_denials() -> None:
    denials = AccessDenials()
    for index in range(3 * MANY_OBJECTS):
        denials.record_denial(index, START)
    assert denials.many
    denials.record_answer(99)
    assert not denials.many
    assert not denials.bucket_denied(START + 99, 0.0)
    assert not denials.are_temporary, "that object was never denied"
    denials.record_answer(1)
    assert denials.are_temporary


def test_denials_of_one_object_never_mean_the_bucket() -> None:
    denials = AccessDenials()
    for n in range(100):
        denials.record_denial(7, START + n)
    assert not denials.bucket_denied(START + 100, 0.0)


# Whole runs


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", STORM)
def test_random_denials_of_half_of_the_requests_fail_no_file(
    fault_server: FaultServer, tmp_path: Path, kind: str, seed: int
) -> None:
    data = objects(fault_server, 24)
    fault_server.add(Mix(seed, [kind], share=0.5, in_a_row=6, at_most=10**9))
    ran = fetch_all(fault_server, tmp_path, workers=8)
    assert wrong_files(tmp_path, data) == []
    assert (ran.engine.result.verified, ran.engine.result.error) == (24, "")


def test_a_single_denied_object_fails_after_a_few_attempts(fault_server: FaultServer, tmp_path: Path) -> None:
    data = objects(fault_server, 12)
    fault_server.script(Fault("access-denied", times=None), key="05.bin")
    ran = fetch_all(fault_server, tmp_path, workers=2)
    (failed,) = ran.events_of(FileFailed)
    assert (failed.key, failed.kind) == ("05.bin", "Denied")
    assert fault_server.stats().faults["access-denied"] == 1 + retry.FEW_RETRIES
    assert wrong_files(tmp_path, data) == ["05.bin"]
    assert ran.engine.result.error == ""


@pytest.mark.slow
@pytest.mark.parametrize("retries", [0, 6])
@pytest.mark.parametrize("kind", STORM)
def test_a_bucket_that_denies_everything_ends_the_run_without_failed_files(
    fault_server: FaultServer, tmp_path: Path, kind: str, retries: int
) -> None:
    objects(fault_server, 40)
    fault_server.script(Fault(kind, times=None))
    began = time.monotonic()
    ended = fetch_all(fault_server, tmp_path, retries=retries).engine.result
    assert (ended.kind, ended.error.startswith("the bucket refuses")) == ("BucketRefused", True)
    assert ended.failed + ended.unfinished == 40
    assert ended.failed < retry.MANY_OBJECTS
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_no_object_fails_while_bytes_still_arrive_over_older_connections(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    """A ban that does not affect open connections: the file in progress is completed, then the run ends."""
    data = objects(fault_server, 20)
    data["00.bin"] = pseudo_random("slow", 2 * MIN_STEAL - 1000)  # too small for work stealing
    fault_server.put("00.bin", data["00.bin"])
    fault_server.link = Link(speed=30_000)
    with running(fault_server, tmp_path, workers=4) as ran:
        ran.wait_until(lambda: any(file.key == "00.bin" and file.done for file in ran.engine.snapshot().active))
        fault_server.script(Fault("access-denied", times=None))
        ended = ran.wait_for_end()
    assert (ended.kind, ended.failed) == ("BucketRefused", 0)
    assert "00.bin" not in wrong_files(tmp_path, data)


def test_a_few_objects_that_are_all_denied_fail_one_by_one(fault_server: FaultServer, tmp_path: Path) -> None:
    """Too few to mean the bucket, but the run ends and reports the reason."""
    objects(fault_server, retry.MANY_OBJECTS - 1)
    fault_server.script(Fault("access-denied", times=None))
    ended = fetch_all(fault_server, tmp_path).engine.result
    assert (ended.failed, ended.unfinished, ended.error) == (retry.MANY_OBJECTS - 1, 0, "")


def test_denials_between_other_faults_do_not_add_up(fault_server: FaultServer, tmp_path: Path) -> None:
    data = objects(fault_server, 1)
    mixed = ["access-denied", "internal-error"] * retry.FEW_RETRIES
    fault_server.script(*mixed, Fault("body-fin", at=9), *mixed, key="00.bin")
    assert fetch_all(fault_server, tmp_path, workers=1).engine.result.verified == 1
    assert wrong_files(tmp_path, data) == []
