"""Tests of whole runs: download, pause, stop, resume, change of workers and rate limit."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from era5dl.bucket import get_object
from era5dl.bucket.cancellation import Abort
from era5dl.bucket.s3 import S3Bucket
from era5dl.engine import retry
from era5dl.engine.engine import Engine
from era5dl.engine.events import FileDone, FileFailed, FileStarted, Outcome, State, StateChanged
from era5dl.engine.progress import FileState
from era5dl.engine.rate_limit import RateLimiter
from era5dl.errors import SessionBusy
from era5dl.planner import Plan
from era5dl.session import Session
from tests.faultlab import Fault, FaultServer, Link, pseudo_random
from tests.runs import fetch_all, leftovers, plan_of, running, settings_for, wrong_files
from tests.servers.seaweed import Seaweed

MB = 1_000_000


def test_all_upload_forms_from_a_real_s3_server(seaweed: Seaweed, tmp_path: Path) -> None:
    objects = {
        "journey/multipart.nc": pseudo_random(1, 17 * MB),
        "journey/single.nc": pseudo_random(2, 3 * MB),
        "journey/empty.nc": b"",
        "journey/one byte.nc": b"x",
        "journey/Übersicht 气温 +&=?#%.nc": pseudo_random(3, 200_000),
        "journey/deep/er/and/deeper.nc": pseudo_random(4, 5000),
    }
    for key, data in objects.items():
        seaweed.put(key, data, part_size=5 << 20 if key.endswith("multipart.nc") else None)

    ran = fetch_all(seaweed, tmp_path, prefix="journey/")

    assert wrong_files(tmp_path, objects) == []
    assert (ran.engine.result.verified, ran.engine.result.failed) == (len(objects), 0)
    assert leftovers(tmp_path) == []
    snapshot = ran.engine.snapshot()
    assert snapshot.done_bytes == snapshot.total_bytes == sum(map(len, objects.values()))


def test_commands_given_before_the_start_are_obeyed(fault_server: FaultServer, tmp_path: Path) -> None:
    """The window may call `stop` between making the engine and starting it: that run must end, too."""
    data = pseudo_random(1, 1000)
    fault_server.put("a.bin", data)
    settings = settings_for(fault_server)
    bucket = S3Bucket(settings)
    with Session.begin(tmp_path, plan_of(bucket), settings) as session:
        stopped, paused = (Engine(bucket, session, settings) for _ in range(2))
        stopped.stop()
        stopped.start()
        assert stopped.wait(10.0)
        assert stopped.result is not None
        assert (stopped.result.stopped, stopped.result.unfinished) == (True, 1)
        paused.pause()
        paused.start()
        assert paused.snapshot().state is State.PAUSED
        paused.resume()
        assert paused.wait(10.0)
    bucket.drop_idle_connections()
    assert wrong_files(tmp_path, {"a.bin": data}) == []


def test_a_second_run_fetches_nothing(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put("a.bin", pseudo_random(1, MB))
    fetch_all(fault_server, tmp_path)
    fault_server.reset_stats()

    ran = fetch_all(fault_server, tmp_path)

    assert fault_server.stats().requests["GET"] == 1  # the listing
    assert ran.engine.result.verified == 1
    assert ran.events_of(FileDone) == []


def test_an_existing_file_is_verified_and_adopted(fault_server: FaultServer, tmp_path: Path) -> None:
    data = {f"{name}.bin": pseudo_random(name, 700_000) for name in ("right", "wrong", "parts")}
    for key, body in data.items():
        fault_server.put(key, body, part_size=300_000 if key == "parts.bin" else None)
        (tmp_path / key).write_bytes(body if key != "wrong.bin" else bytes(700_000))
    fault_server.reset_stats()

    ran = fetch_all(fault_server, tmp_path)

    adopted = {done.key: done.adopted for done in ran.events_of(FileDone)}
    assert adopted == {"right.bin": True, "parts.bin": True, "wrong.bin": False}
    assert wrong_files(tmp_path, data) == []
    assert [seen.key for seen in fault_server.log if seen.method == "GET" and seen.key] == ["wrong.bin"]


@pytest.mark.slow
def test_an_old_file_stays_until_the_new_one_is_complete(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put("a.bin", pseudo_random(1, MB))
    (tmp_path / "a.bin").write_bytes(b"older version")
    fault_server.script(Fault("access-denied", times=None), key="a.bin")

    ran = fetch_all(fault_server, tmp_path)

    assert ran.engine.result.failed == 1
    assert (tmp_path / "a.bin").read_bytes() == b"older version"


def test_a_finished_file_that_was_deleted_is_fetched_again(fault_server: FaultServer, tmp_path: Path) -> None:
    data = {f"{i}.bin": pseudo_random(i, 50_000) for i in range(5)}
    for key, body in data.items():
        fault_server.put(key, body)
    fetch_all(fault_server, tmp_path)
    (tmp_path / "3.bin").unlink()
    (tmp_path / "4.bin").write_bytes(b"cut")

    ran = fetch_all(fault_server, tmp_path)

    assert wrong_files(tmp_path, data) == []
    assert sorted(done.key for done in ran.events_of(FileDone)) == ["3.bin", "4.bin"]


@pytest.mark.parametrize("part_size", [None, 1 << 20])
def test_a_stopped_run_is_resumed_where_it_ended(
    fault_server: FaultServer, tmp_path: Path, part_size: int | None
) -> None:
    data = pseudo_random(1, 12 * MB)
    fault_server.put("a.bin", data, part_size=part_size)
    fault_server.link = Link(speed=2 * MB)
    with running(fault_server, tmp_path, workers=2) as first:
        first.wait_until(lambda: first.engine.snapshot().done_bytes > 3 * MB)
        first.engine.stop()
        ended = first.wait_for_end()
    assert (ended.stopped, ended.unfinished) == (True, 1)
    came = first.engine.snapshot().done_bytes
    assert not (tmp_path / "a.bin").exists()
    fault_server.link = Link()

    second = fetch_all(fault_server, tmp_path, workers=2)

    assert wrong_files(tmp_path, {"a.bin": data}) == []
    assert second.events_of(FileStarted)[0].resumed_bytes == came
    assert second.engine.snapshot().fetched_bytes == len(data) - came
    assert leftovers(tmp_path) == []


def test_pause_keeps_the_received_bytes_and_resume_continues(fault_server: FaultServer, tmp_path: Path) -> None:
    data = {f"{i}.bin": pseudo_random(i, 2 * MB) for i in range(4)}
    for key, body in data.items():
        fault_server.put(key, body)
    fault_server.link = Link(speed=2 * MB)
    with running(fault_server, tmp_path) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > MB)
        ran.engine.pause()
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 0)
        paused = ran.engine.snapshot()
        time.sleep(0.3)
        assert ran.engine.snapshot().fetched_bytes == paused.fetched_bytes
        assert paused.state is State.PAUSED
        ran.engine.resume()
        ran.wait_for_end()
    assert wrong_files(tmp_path, data) == []
    assert 8 * MB <= ran.engine.snapshot().fetched_bytes <= 8.2 * MB, "received bytes are not fetched again"
    assert [event.state for event in ran.events_of(StateChanged)] == [
        State.RUNNING,
        State.PAUSED,
        State.RUNNING,
    ]


@pytest.mark.parametrize("kind", ["body-stall", "stall-before-headers"])
def test_stop_does_not_wait_for_the_network(fault_server: FaultServer, tmp_path: Path, kind: str) -> None:
    for i in range(4):
        fault_server.put(f"{i}.bin", pseudo_random(i, MB))
    fault_server.script(Fault(kind, times=None, seconds=30))
    with running(fault_server, tmp_path, read_timeout=30) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 4 and len(fault_server.log) >= 5)
        time.sleep(0.1)  # let the readers block
        asked = time.monotonic()
        ran.engine.stop()
        answered = time.monotonic() - asked
        ran.wait_for_end()
        ended = time.monotonic() - asked
        assert ran.engine._no_workers.is_set(), "the blocked reads were interrupted, and all threads ended"
    assert answered < 0.2
    assert ended < 2.0  # the timeout is 30 s


def test_one_big_file_is_shared_by_all_workers(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 40 * MB)
    fault_server.put("big.bin", data, part_size=8 << 20)
    fault_server.link = Link(speed=20 * MB)
    ran = fetch_all(fault_server, tmp_path, workers=4)
    assert wrong_files(tmp_path, {"big.bin": data}) == []
    assert fault_server.stats().connections_peak >= 4
    assert ran.engine.snapshot().fetched_bytes == len(data)


@pytest.mark.slow
def test_an_idle_worker_takes_over_half_of_a_slow_piece(fault_server: FaultServer, tmp_path: Path) -> None:
    data = {"a.bin": pseudo_random(1, 6 * MB), "b.bin": pseudo_random(2, 100_000)}
    for key, body in data.items():
        fault_server.put(key, body)
    fault_server.link = Link(speed=MB)
    with running(fault_server, tmp_path, workers=2) as ran:
        ran.wait_for_end()
    assert wrong_files(tmp_path, data) == []
    ranges = [seen.range for seen in fault_server.log if seen.key == "a.bin" and seen.method == "GET"]
    assert len(ranges) >= 2, "the second worker took over a part"


def test_workers_can_be_changed_while_running(fault_server: FaultServer, tmp_path: Path) -> None:
    data = {f"{i}.bin": pseudo_random(i, 4 * MB) for i in range(8)}
    for key, body in data.items():
        fault_server.put(key, body)
    fault_server.link = Link(speed=MB)  # four seconds per file
    with running(fault_server, tmp_path, workers=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 2)
        ran.engine.set_workers(6)
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 6)
        ran.engine.set_workers(1)
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 1, timeout=2.0)
        ran.engine.set_workers(8)
        fault_server.link = Link()
        ran.wait_for_end()
    assert wrong_files(tmp_path, data) == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 8])
def test_the_rate_limit_holds(fault_server: FaultServer, tmp_path: Path, workers: int) -> None:
    for i in range(8):
        fault_server.put(f"{i}.bin", pseudo_random(i, MB))
    began = time.monotonic()
    ran = fetch_all(fault_server, tmp_path, workers=workers, rate_limit=4 * MB)
    seconds = time.monotonic() - began
    fetched = ran.engine.snapshot().fetched_bytes
    assert 8 * MB <= fetched <= 8.1 * MB, "only the bytes in a buffer at the takeover are fetched twice"
    assert seconds > 1.8, "8 MB at 4 MB/s take two seconds"


@pytest.mark.slow
def test_a_part_file_that_is_deleted_during_the_run_is_fetched_again(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 4 * MB)
    fault_server.put("a.bin", data, part_size=MB)
    fault_server.link = Link(speed=2 * MB)
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 2 * MB)
        ran.engine.pause()
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 0)
        time.sleep(0.2)  # the worker closes the part file
        for part in leftovers(tmp_path):
            part.unlink()
        ran.engine.resume()
        ran.wait_for_end()
    assert wrong_files(tmp_path, {"a.bin": data}) == []


def test_a_second_program_cannot_open_the_same_session(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put("a.bin", b"x")
    settings = settings_for(fault_server)
    with running(fault_server, tmp_path) as ran:
        ran.wait_for_end()
        with pytest.raises(SessionBusy, match=r"program|process"):
            Session.begin(tmp_path, ran.session.plan, settings)


def test_a_failed_file_can_be_retried(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put("bad.bin", pseudo_random(1, 1000))
    fault_server.put("slow.bin", pseudo_random(2, 3 * MB))
    fault_server.script(Fault("no-such-key"), key="bad.bin")
    fault_server.link = Link(speed=MB)
    with running(fault_server, tmp_path) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().failed_files == 1)
        ran.engine.retry_failed()
        assert ran.wait_for_end().failed == 0
    assert ran.events_of(FileFailed)[0].key == "bad.bin"
    assert ran.engine.states() == bytes([FileState.VERIFIED] * 2)


def test_keys_that_would_leave_the_folder_fail_and_the_rest_continues(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for key in ("../outside.bin", "/absolute.bin", "a/../../b.bin", ".era5dl/x.json", "good.bin", "tree", "tree/leaf"):
        fault_server.put(key, b"data")

    ran = fetch_all(fault_server, out)

    assert (out / "good.bin").read_bytes() == b"data"
    assert {event.key for event in ran.events_of(FileFailed)} == {
        "../outside.bin",
        "/absolute.bin",
        "a/../../b.bin",
        ".era5dl/x.json",
        "tree/leaf",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_listener_may_call_the_engine_and_may_raise(fault_server: FaultServer, tmp_path: Path) -> None:
    for i in range(3):
        fault_server.put(f"{i}.bin", pseudo_random(i, 1000))
    calls: list[str] = []

    def listener(event: object) -> None:
        calls.append(type(event).__name__)
        if isinstance(event, FileDone):
            ran.engine.set_workers(2)
            ran.engine.snapshot()
            raise RuntimeError("a bug in the window")

    with running(fault_server, tmp_path, on_event=listener) as ran:
        assert ran.wait_for_end().verified == 3
    assert calls.count("FileDone") == 3
    assert calls[-1] == "RunEnded"


def test_an_empty_plan_ends_at_once(fault_server: FaultServer, tmp_path: Path) -> None:
    assert fetch_all(fault_server, tmp_path, plan=Plan({"keys": "none"}, ())).engine.result.verified == 0


@pytest.mark.slow
def test_many_runs_leave_no_threads_connections_or_files_behind(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BASE", 0.05)
    me = psutil.Process()
    for i in range(20):
        fault_server.put(f"{i}.bin", pseudo_random(i, 100_000))
    fault_server.script(Fault("internal-error", times=None), key="3.bin")
    fetch_all(fault_server, tmp_path / "warm", retries=1)
    files, threads = me.num_fds(), threading.active_count()
    for n in range(5):
        fetch_all(fault_server, tmp_path / str(n), retries=1)
    give_up = time.monotonic() + 5  # the server's threads, in this process too, end a moment later
    while (me.num_fds() > files + 2 or threading.active_count() > threads + 2) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert me.num_fds() <= files + 2
    assert threading.active_count() <= threads + 2


def test_without_verification_files_are_only_checked(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put("a.bin", pseudo_random(1, 5000))
    ran = fetch_all(fault_server, tmp_path, verify=False)
    (done,) = ran.events_of(FileDone)
    assert (done.outcome, done.reason) == (Outcome.CHECKED, "verification was switched off")


@pytest.mark.parametrize("kind", ["body-stall", "none"])
def test_pause_and_stop_work_where_a_blocked_read_cannot_be_interrupted(
    fault_server_tls: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As on Windows: reads wait in slices, and an abort is noticed between two of them."""
    monkeypatch.setattr(get_object, "WAITS_IN_SLICES", True)
    monkeypatch.setattr(Abort, "_shut_down", lambda self: None)
    data = {f"{i}.bin": pseudo_random(i, 3 * MB) for i in range(3)}
    for key, body in data.items():
        fault_server_tls.put(key, body)
    fault_server_tls.script(Fault(kind, times=None, seconds=30, at=MB))
    with running(fault_server_tls, tmp_path, read_timeout=30) as ran:
        if kind == "none":
            ran.wait_for_end()
            assert wrong_files(tmp_path, data) == []
            return
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 1000)
        asked = time.monotonic()
        ran.engine.stop()
        ran.wait_for_end()
        assert time.monotonic() - asked < 0.9, "less than the time given to threads that cannot be interrupted"


def test_workers_that_wait_notice_within_a_second_that_the_timetable_lifts_the_limit(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    for number in range(4):
        fault_server.put(f"{number}.bin", pseudo_random(number, 2_000_000))
    clock = [datetime(2024, 1, 1, 19, 59)]
    with running(fault_server, tmp_path, workers=4, rate_limit=4096, verify=False) as ran:
        run = ran.engine._run
        run.rate_limit = RateLimiter("08:00,4096 20:00,off", local_time=lambda: clock[0])
        ran.wait_until(lambda: ran.engine.snapshot().fetched_bytes > 0)
        assert ran.engine.snapshot().rate_limit == 4096
        clock[0] += timedelta(minutes=1)
        began = time.monotonic()
        ran.wait_until(lambda: ran.engine.snapshot().fetched_bytes >= 8_000_000 or ran.engine.result is not None)
        assert time.monotonic() - began < 5.0, "at 4 KB/s it would take half an hour"
        assert ran.engine.snapshot().rate_limit is None
