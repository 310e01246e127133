"""Tests of the queue: files that go first, and files that are retried."""

from __future__ import annotations

from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.events import FileDone, FileFailed, FileStarted
from era5dl.engine.job_queue import PrepareJob
from era5dl.engine.scheduler import Scheduler
from era5dl.engine.transfer import Transfer
from tests.faultlab import Fault, FaultServer, pseudo_random
from tests.runs import running, wrong_files


def test_promoted_objects_are_first_and_keep_their_order() -> None:
    scheduler = Scheduler(range(6), [1] * 6, max_transfers=99)
    scheduler.promote({4, 2, 99})

    order = []

    def make(index: int) -> Transfer:
        return Transfer(index, ObjectInfo("k", 1, '"e"'))

    while (job := scheduler.next_job(0.0, 1, None, make)) is not None:
        assert isinstance(job, PrepareJob)
        order.append(job.transfer.index)

    assert order == [2, 4, 0, 1, 3, 5]
    assert scheduler.unassigned_bytes == 6


def test_a_promoted_file_is_fetched_next(fault_server: FaultServer, tmp_path: Path) -> None:
    for number in range(8):
        fault_server.put(f"{number}.bin", pseudo_random(number, 1000))
    fault_server.script(Fault("late-first-byte", seconds=0.3), key="0.bin")

    with running(fault_server, tmp_path, workers=1) as ran:
        ran.wait_until(lambda: bool(ran.events_of(FileStarted)))
        ran.engine.promote([7])
        ran.wait_for_end()

    begun = [event.index for event in ran.events_of(FileStarted)]
    assert begun[:2] == [0, 7]
    assert sorted(begun) == list(range(8))


def test_retry_failed_can_be_limited_to_some_objects(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = {f"{number}.bin": pseudo_random(number, 1000) for number in range(4)}
    for key, data in objects.items():
        fault_server.put(key, data)
    fault_server.script(Fault("no-such-key", times=1), key="0.bin")
    fault_server.script(Fault("no-such-key", times=1), key="1.bin")
    fault_server.script(Fault("stall-before-headers", seconds=30), key="3.bin")

    with running(fault_server, tmp_path, workers=4, read_timeout=30.0) as ran:
        ran.wait_until(lambda: len(ran.events_of(FileFailed)) == 2)
        assert {event.kind for event in ran.events_of(FileFailed)} == {"NotFound"}
        ran.engine.retry_failed([1])
        ran.wait_until(lambda: 1 in {event.index for event in ran.events_of(FileDone)})
        assert ran.engine.snapshot().failed_files == 1
        ran.engine.retry_failed()
        ran.wait_until(lambda: 0 in {event.index for event in ran.events_of(FileDone)})

    assert wrong_files(tmp_path, objects) == ["3.bin"]


def test_a_bug_in_the_scheduler_ends_the_run_with_an_error(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault_server.put("a.bin", b"abc")

    def next_job(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Scheduler, "next_job", next_job)
    with running(fault_server, tmp_path) as ran:
        assert "ZeroDivisionError: a bug" in ran.wait_for_end(timeout=10).error
