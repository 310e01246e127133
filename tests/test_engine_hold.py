"""Tests of holding single files: their bytes are kept, nobody waits for them, and they resume on release."""

from __future__ import annotations

from pathlib import Path

import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.engine.events import ONLY_HELD, FileDone, FileStarted, State, StateChanged
from era5dl.engine.progress import FileState
from tests.faultlab import Fault, FaultServer, Link, pseudo_random
from tests.runs import EngineRun, fetch_all, leftovers, running, wrong_files

MB = 1_000_000


def stored(server: FaultServer, count: int, size: int) -> dict[str, bytes]:
    data = {f"{i:02}.bin": pseudo_random(i, size) for i in range(count)}
    for key, body in data.items():
        server.put(key, body)
    return data


def here(ran: EngineRun, index: int) -> int:
    """Bytes of an object that is under way."""
    return sum(one.done for one in ran.engine.snapshot().active if one.index == index)


def only_held_are_left(ran: EngineRun) -> bool:
    snapshot = ran.engine.snapshot()
    return (snapshot.state, snapshot.reason) == (State.PAUSED, ONLY_HELD)


def test_a_held_file_is_let_go_and_the_others_go_on(fault_server: FaultServer, tmp_path: Path) -> None:
    data = stored(fault_server, 3, 4 * MB)
    fault_server.link = Link(speed=2 * MB)
    with running(fault_server, tmp_path, workers=3) as ran:
        ran.wait_until(lambda: here(ran, 0) > MB)
        ran.engine.hold([0])
        assert ran.engine.states()[0] == FileState.HELD
        fault_server.link = Link()
        ran.wait_until(lambda: only_held_are_left(ran))
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


def test_what_waits_is_not_asked_for_while_it_is_held(fault_server: FaultServer, tmp_path: Path) -> None:
    data = stored(fault_server, 40, 10_000)
    fault_server.link = Link(speed=100_000)
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 1)
        ran.engine.hold(range(20, 40))
        ran.engine.hold([25, 39])  # again: no matter
        fault_server.link = Link()
        ran.wait_until(lambda: only_held_are_left(ran))
        asked = {request.key for request in fault_server.log if request.method == "GET" and request.key in data}
        assert asked == {f"{i:02}.bin" for i in range(20)}
        assert ran.engine.snapshot().time_left is None
        ran.engine.release([30, 31])
        ran.wait_until(lambda: ran.engine.snapshot().done_files == 22)
        ran.wait_until(lambda: only_held_are_left(ran))
        ran.engine.resume()  # nothing else is left that could go on
        assert ran.wait_for_end().verified == 40
    assert wrong_files(tmp_path, data) == []
    assert sorted(done.index for done in ran.events_of(FileDone)) == list(range(40))


@pytest.mark.parametrize("kind", ["body-stall", "stall-before-headers"])
def test_a_hold_does_not_wait_for_the_network(fault_server: FaultServer, tmp_path: Path, kind: str) -> None:
    data = stored(fault_server, 2, 500_000)
    fault_server.script(Fault(kind, seconds=100, at=200_000), key="00.bin")
    with running(fault_server, tmp_path, workers=1, read_timeout=100) as ran:
        ran.wait_until(lambda: any(request.key == "00.bin" for request in fault_server.log))
        ran.engine.hold([0])
        ran.wait_until(lambda: only_held_are_left(ran))  # the one worker was free for the other file
        ran.engine.release([0])
        assert ran.wait_for_end().verified == 2
    assert wrong_files(tmp_path, data) == []


def test_held_and_released_again_and_again(fault_server: FaultServer, tmp_path: Path) -> None:
    data = stored(fault_server, 6, 2 * MB)
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
    data = stored(fault_server, 3, 300_000)
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.engine.hold([1, 2])
        ran.wait_until(lambda: only_held_are_left(ran))
        ran.engine.stop()
        ended = ran.wait_for_end()
    assert (ended.verified, ended.unfinished, ended.stopped) == (1, 2, True)
    assert ran.engine.states() == bytes([FileState.VERIFIED, FileState.WAITING, FileState.WAITING])
    assert not ran.session.checkpoint.ended
    assert fetch_all(fault_server, tmp_path).engine.result.verified == 3
    assert wrong_files(tmp_path, data) == []


def test_a_paused_run_stays_paused_whatever_is_released(fault_server: FaultServer, tmp_path: Path) -> None:
    stored(fault_server, 2, 300_000)
    with running(fault_server, tmp_path) as ran:
        ran.engine.pause()
        ran.engine.hold([0, 1])
        ran.engine.release([0])
        assert (ran.engine.snapshot().state, ran.engine.snapshot().reason) == (State.PAUSED, "")
        ran.engine.resume()
        ran.wait_until(lambda: only_held_are_left(ran))
        ran.engine.release([1])
        assert ran.wait_for_end().verified == 2


def test_what_is_finished_or_failed_cannot_be_held(fault_server: FaultServer, tmp_path: Path) -> None:
    stored(fault_server, 3, 20_000)
    fault_server.script(Fault("no-such-key", times=None), key="01.bin")
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.engine.hold([2])
        ran.wait_until(lambda: only_held_are_left(ran))
        ran.engine.hold([0, 1, 2])
        assert ran.engine.states() == bytes([FileState.VERIFIED, FileState.FAILED, FileState.HELD])
        ran.engine.release([0, 1, 2])
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (2, 1)


def test_an_attempt_that_was_quicker_than_its_abort(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = stored(fault_server, 1, 500_000)
    fault_server.link = Link(speed=1_000_000)
    real = Abort.trip
    monkeypatch.setattr(Abort, "trip", lambda abort, why: None if why == "held" else real(abort, why))
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 0)
        ran.engine.hold([0])
        ran.wait_until(lambda: only_held_are_left(ran))
        assert ran.engine.snapshot().done_bytes == 500_000, "all of it has come; it is let go before it is proven"
        ran.engine.release([0])
        assert ran.wait_for_end().verified == 1
    assert ran.engine.snapshot().fetched_bytes == 500_000
    assert wrong_files(tmp_path, data) == []
