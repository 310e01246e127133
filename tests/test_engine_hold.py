"""Tests of holding single files: their bytes are kept, nothing waits for them, and they continue on release."""

from __future__ import annotations

from pathlib import Path

import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.engine.events import ONLY_HELD, FileDone, FileStarted, State, StateChanged
from era5dl.engine.progress import FileState
from tests.faultlab import Fault, FaultServer, Link, pseudo_random
from tests.runs import EngineRun, fetch_all, leftovers, running, wrong_files

MB = 1_000_000


def put_objects(server: FaultServer, count: int, size: int) -> dict[str, bytes]:
    data = {f"{i:02}.bin": pseudo_random(i, size) for i in range(count)}
    for key, body in data.items():
        server.put(key, body)
    return data


def done_bytes(ran: EngineRun, index: int) -> int:
    """Return the bytes on disk of an object that is being downloaded."""
    return sum(one.done for one in ran.engine.snapshot().active if one.index == index)


def only_held_files_remain(ran: EngineRun) -> bool:
    snapshot = ran.engine.snapshot()
    return (snapshot.state, snapshot.reason) == (State.PAUSED, ONLY_HELD)


def test_a_held_file_stops_and_the_others_continue(fault_server: FaultServer, tmp_path: Path) -> None:
    data = put_objects(fault_server, 3, 4 * MB)
    fault_server.link = Link(speed=2 * MB)
    with running(fault_server, tmp_path, workers=3) as ran:
        ran.wait_until(lambda: done_bytes(ran, 0) > MB)
        ran.engine.hold([0])
        assert ran.engine.states()[0] == FileState.HELD
        fault_server.link = Link()
        ran.wait_until(lambda: only_held_files_remain(ran))
        snapshot = ran.engine.snapshot()
        assert not ran.engine.wait(0), "a run with held files is paused, not ended"
        assert (snapshot.done_files, snapshot.held_files, snapshot.in_flight) == (2, 1, 0)
        kept = snapshot.done_bytes - 8 * MB
        assert kept > MB, "its bytes are kept"
        ran.engine.release([0])
        assert ran.wait_for_end().verified == 3
    assert wrong_files(tmp_path, data) == []
    assert [event.resumed_bytes for event in ran.events_of(FileStarted) if event.index == 0] == [0, kept]
    assert [(event.state, event.reason) for event in ran.events_of(StateChanged)] == [
        (State.RUNNING, ""),
        (State.PAUSED, ONLY_HELD),
        (State.RUNNING, ""),
    ]


def test_a_queued_file_is_not_requested_while_it_is_held(fault_server: FaultServer, tmp_path: Path) -> None:
    data = put_objects(fault_server, 40, 10_000)
    fault_server.link = Link(speed=100_000)
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 1)
        ran.engine.hold(range(20, 40))
        ran.engine.hold([25, 39])  # holding twice makes no difference
        fault_server.link = Link()
        ran.wait_until(lambda: only_held_files_remain(ran))
        asked = {request.key for request in fault_server.log if request.method == "GET" and request.key in data}
        assert asked == {f"{i:02}.bin" for i in range(20)}
        assert ran.engine.snapshot().time_left is None
        ran.engine.release([30, 31])
        ran.wait_until(lambda: ran.engine.snapshot().done_files == 22)
        ran.wait_until(lambda: only_held_files_remain(ran))
        ran.engine.resume()  # only held files remain: they are released
        assert ran.wait_for_end().verified == 40
    assert wrong_files(tmp_path, data) == []
    assert sorted(done.index for done in ran.events_of(FileDone)) == list(range(40))


@pytest.mark.parametrize("kind", ["body-stall", "stall-before-headers"])
def test_a_hold_takes_effect_while_the_server_does_not_answer(
    fault_server: FaultServer, tmp_path: Path, kind: str
) -> None:
    data = put_objects(fault_server, 2, 500_000)
    fault_server.script(Fault(kind, seconds=100, at=200_000), key="00.bin")
    with running(fault_server, tmp_path, workers=1, read_timeout=100) as ran:
        ran.wait_until(lambda: any(request.key == "00.bin" for request in fault_server.log))
        ran.engine.hold([0])
        ran.wait_until(lambda: only_held_files_remain(ran))  # the only worker was free for the other file
        ran.engine.release([0])
        assert ran.wait_for_end().verified == 2
    assert wrong_files(tmp_path, data) == []


def test_files_can_be_held_and_released_many_times(fault_server: FaultServer, tmp_path: Path) -> None:
    data = put_objects(fault_server, 6, 2 * MB)
    fault_server.link = Link(speed=4 * MB)
    with running(fault_server, tmp_path, workers=4) as ran:
        for turn in range(60):
            chosen = [index for index in range(6) if (index + turn) % 3]
            ran.engine.hold(chosen)
            if turn % 2:
                ran.engine.wait(0.005)
            ran.engine.release(chosen)
        assert ran.wait_for_end().verified == 6
        assert ran.engine._run.counters.held_bytes == 0
        assert ran.engine._run.scheduler.unassigned_bytes == 0
    assert wrong_files(tmp_path, data) == []
    assert ran.engine.snapshot().done_bytes == 12 * MB
    assert leftovers(tmp_path) == []


def test_a_hold_ends_with_its_run(fault_server: FaultServer, tmp_path: Path) -> None:
    data = put_objects(fault_server, 3, 300_000)
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.engine.hold([1, 2])
        ran.wait_until(lambda: only_held_files_remain(ran))
        ran.engine.stop()
        ended = ran.wait_for_end()
    assert (ended.verified, ended.unfinished, ended.stopped) == (1, 2, True)
    assert ran.engine.states() == bytes([FileState.VERIFIED, FileState.WAITING, FileState.WAITING])
    assert not ran.session.checkpoint.ended
    assert fetch_all(fault_server, tmp_path).engine.result.verified == 3
    assert wrong_files(tmp_path, data) == []


def test_a_paused_run_stays_paused_when_files_are_released(fault_server: FaultServer, tmp_path: Path) -> None:
    put_objects(fault_server, 2, 300_000)
    with running(fault_server, tmp_path) as ran:
        ran.engine.pause()
        ran.engine.hold([0, 1])
        ran.engine.release([0])
        assert (ran.engine.snapshot().state, ran.engine.snapshot().reason) == (State.PAUSED, "")
        ran.engine.resume()
        ran.wait_until(lambda: only_held_files_remain(ran))
        ran.engine.release([1])
        assert ran.wait_for_end().verified == 2


def test_finished_and_failed_files_cannot_be_held(fault_server: FaultServer, tmp_path: Path) -> None:
    put_objects(fault_server, 3, 20_000)
    fault_server.script(Fault("no-such-key", times=None), key="01.bin")
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.engine.hold([2])
        ran.wait_until(lambda: only_held_files_remain(ran))
        ran.engine.hold([0, 1, 2])
        assert ran.engine.states() == bytes([FileState.VERIFIED, FileState.FAILED, FileState.HELD])
        ran.engine.release([0, 1, 2])
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (2, 1)


def test_an_attempt_that_ends_before_its_abort_is_kept(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = put_objects(fault_server, 1, 500_000)
    fault_server.link = Link(speed=1_000_000)
    real = Abort.trigger
    monkeypatch.setattr(Abort, "trigger", lambda abort, why: None if why == "held" else real(abort, why))
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 0)
        ran.engine.hold([0])
        ran.wait_until(lambda: only_held_files_remain(ran))
        assert ran.engine.snapshot().done_bytes == 500_000, (
            "all of it was received; it is handed back before it is verified"
        )
        ran.engine.release([0])
        assert ran.wait_for_end().verified == 1
    assert ran.engine.snapshot().fetched_bytes == 500_000
    assert wrong_files(tmp_path, data) == []
