"""Tests of retry rounds: temporary failures are retried at the end of a run until a round brings nothing new."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from era5dl.cli.plain_display import event_line
from era5dl.engine import retry
from era5dl.engine.events import FileDone, FileFailed, RetryRoundScheduled, State, StateChanged
from era5dl.engine.retry import LONGEST_WAIT, WAIT_FACTOR, RetryRounds
from tests.faultlab import Fault, FaultServer, pseudo_random
from tests.faultlab.http import Request
from tests.runs import EngineRun, fetch_all, running, wrong_files

KEY = "a.bin"
DATA = pseudo_random(1, 100_000)
LONG = 3600.0  # seconds; longer than any test


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE", 0.02)


@pytest.fixture
def server(fault_server: FaultServer) -> FaultServer:
    fault_server.put(KEY, DATA)
    return fault_server


# RetryRounds alone


def test_each_round_waits_longer_than_the_previous_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 5.0)
    rounds, now, delays = RetryRounds(enabled=True), 1000.0, []
    for number in range(8):
        rounds.add(1)
        event = rounds.schedule(now, number, 0)
        assert event is not None
        assert (event.round, event.files) == (number + 1, 1)
        assert rounds.schedule(now, number, 0) is None, "already scheduled"
        delays.append(event.delay)
        assert rounds.start() == [1]
    expected = [min(LONGEST_WAIT, 5.0 * WAIT_FACTOR**number) for number in range(8)]
    assert all(0.8 * wait <= delay <= 1.2 * wait for wait, delay in zip(expected, delays, strict=True))


@pytest.mark.parametrize(
    ("files", "missing", "another"),
    [(3, 1000, False), (4, 1000, True), (3, 900, True), (3, 995, False), (3, 1200, False)],
    ids=["nothing", "a file", "bytes", "a drip", "it has grown"],
)
def test_there_is_no_round_after_one_without_progress(files: int, missing: int, another: bool) -> None:
    rounds = RetryRounds(enabled=True)
    rounds.add(1)
    assert rounds.schedule(0.0, 3, 1000)
    rounds.start()
    rounds.add(1)
    assert rounds.pending
    assert (rounds.schedule(0.0, files, missing) is not None) == another
    assert rounds.pending == another


def test_a_complete_file_without_its_final_name_is_no_progress() -> None:
    """A complete file that cannot be given its final name."""
    rounds = RetryRounds(enabled=True)
    rounds.add(1)
    assert rounds.schedule(0.0, 3, 0)
    rounds.start()
    rounds.add(1)
    assert rounds.schedule(0.0, 3, 0) is None
    assert not rounds.pending


# Whole runs


class EverySecond:
    """A source of faults for every second range request of the bucket."""

    def __init__(self, kind: str) -> None:
        self._kind, self._count, self._lock = kind, 0, threading.Lock()

    def pick(self, request: Request) -> Fault | None:
        with self._lock:
            self._count += request.operation == "get"
            return Fault(self._kind) if request.operation == "get" and self._count % 2 else None


@pytest.mark.parametrize("kind", ["range-wrong", "range-cut", "internal-error", "access-denied", "body-reset"])
def test_all_files_succeed_although_every_second_range_is_answered_wrongly(
    fault_server: FaultServer, tmp_path: Path, kind: str
) -> None:
    objects = {f"{n:02}.bin": pseudo_random(n, 50_000) for n in range(12)}
    for key, data in objects.items():
        fault_server.put(key, data)
    fault_server.add(EverySecond(kind))
    ran = fetch_all(fault_server, tmp_path, retries=1)
    result = ran.engine.result
    assert (result.verified, result.failed, result.error) == (12, 0, "")
    assert wrong_files(tmp_path, objects) == []


def test_a_file_that_succeeds_in_the_second_round_has_not_failed(server: FaultServer, tmp_path: Path) -> None:
    """Two denials, an interruption after some bytes, another denial, then success."""
    server.script(*["internal-error"] * 2, Fault("body-fin", at=50_000), *["internal-error"] * 2, key=KEY)
    ran = fetch_all(server, tmp_path, retries=1)
    assert wrong_files(tmp_path, {KEY: DATA}) == []
    assert (ran.engine.result.verified, ran.engine.result.failed) == (1, 0)
    assert [event.round for event in ran.events_of(RetryRoundScheduled)] == [1, 2]
    assert len(ran.events_of(FileFailed)) == 2
    assert ran.session.checkpoint.failures == ()
    assert ran.engine.snapshot().fetched_bytes == len(DATA), "bytes of the first round were kept"
    states = [event.state for event in ran.events_of(StateChanged)]
    assert states == [State.RUNNING, State.WAITING_TO_RETRY, State.RUNNING, State.WAITING_TO_RETRY, State.RUNNING]
    assert event_line(ran.events_of(RetryRoundScheduled)[0]) == "retrying 1 failed file in 0 s (round 1)"


def test_a_permanent_failure_delays_the_end_by_one_round(server: FaultServer, tmp_path: Path) -> None:
    server.put("b.bin", DATA)
    server.script(Fault("internal-error", times=None), key=KEY)
    ran = fetch_all(server, tmp_path, retries=6)
    assert (ran.engine.result.verified, ran.engine.result.failed) == (1, 1)
    assert len(ran.events_of(RetryRoundScheduled)) == 1
    assert server.stats().faults["internal-error"] == 7 + 1 + retry.ROUND_RETRIES
    assert [failure.key for failure in ran.session.checkpoint.failures] == [KEY]


@pytest.mark.parametrize("kind", ["no-such-key", "access-denied", "flipped-bit", "replaced"])
def test_a_failure_specific_to_the_file_is_not_retried(server: FaultServer, tmp_path: Path, kind: str) -> None:
    server.script(Fault(kind, times=None), key=KEY)
    ran = fetch_all(server, tmp_path)
    assert (ran.engine.result.failed, ran.events_of(RetryRoundScheduled)) == (1, [])


def test_without_retries_there_are_no_rounds(server: FaultServer, tmp_path: Path) -> None:
    server.script(Fault("internal-error"), key=KEY)
    ran = fetch_all(server, tmp_path, retries=0)
    assert (ran.engine.result.failed, ran.events_of(RetryRoundScheduled)) == (1, [])


def waits(ran: EngineRun) -> None:
    ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_TO_RETRY)


def test_a_stop_ends_the_wait_at_once(server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", LONG)
    server.script(Fault("internal-error", times=None), key=KEY)
    with running(server, tmp_path, retries=1) as ran:
        waits(ran)
        ran.engine.stop()
        ended = ran.wait_for_end(5.0)
    assert (ended.failed, ended.unfinished, ended.stopped) == (1, 0, True)


def test_the_user_can_retry_failed_files_before_the_round(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", LONG)
    server.script(Fault("internal-error", times=2), key=KEY)
    with running(server, tmp_path, retries=1) as ran:
        waits(ran)
        ran.engine.retry_failed()
        assert ran.engine.snapshot().state is State.RUNNING
        assert ran.wait_for_end(10.0).verified == 1


def test_no_round_starts_while_paused(server: FaultServer, tmp_path: Path) -> None:
    server.script(Fault("internal-error", times=2), key=KEY)
    with running(server, tmp_path, retries=1, on_event=lambda event: pause(event)) as ran:

        def pause(event: object) -> None:
            if isinstance(event, RetryRoundScheduled):
                ran.engine.pause()

        ran.wait_until(lambda: ran.engine.snapshot().state is State.PAUSED)
        asked = len(server.log)
        ran.wait_until(lambda: ran.engine._run.retry_rounds.due is not None)
        with ran.engine._run.lock:
            ran.engine._run.retry_rounds.due = 0.0  # start it now
        assert not ran.engine.wait(0.6)
        assert len(server.log) == asked
        ran.engine.resume()
        assert ran.wait_for_end().verified == 1


def test_held_files_do_not_prevent_a_round(server: FaultServer, tmp_path: Path) -> None:
    server.put("b.bin", DATA)
    server.script(Fault("internal-error", times=2), key=KEY)
    with running(server, tmp_path, retries=1, workers=1) as ran:
        ran.engine.hold([1])
        ran.wait_until(lambda: any(event.key == KEY for event in ran.events_of(FileDone)))
        ran.wait_until(lambda: ran.engine.snapshot().state is State.PAUSED)
        ran.engine.release([1])
        assert ran.wait_for_end().verified == 2
