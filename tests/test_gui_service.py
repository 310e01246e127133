"""Tests of the backend: its services against a real server, background tasks, and the bridge to Tk. No Tk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from era5dl.catalog import find_variable, key_of, periods
from era5dl.days import select_days
from era5dl.gui.backend import messages
from era5dl.gui.backend.background_task import BackgroundTask, IsCancelled
from era5dl.gui.backend.bucket_access import session_settings
from era5dl.gui.backend.messages import Message
from era5dl.gui.backend.service import BackendService
from era5dl.gui.backend.tk_bridge import TkBridge
from era5dl.selection import Selection, select_variables
from era5dl.session import Session
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.memory_bucket import MemoryBucket
from tests.runs import settings_for, wrong_files

F = TypeVar("F")
LONG = 20.0


class MessageCollector:
    """Polls a service, and keeps what it has posted."""

    def __init__(self, service: BackendService) -> None:
        self._service = service
        self.messages: list[Message] = []

    def wait_for(self, kind: type[F], timeout: float = LONG) -> F:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for message in self._service.poll():
                self.messages.append(message)
                if isinstance(message, kind):
                    return message
            time.sleep(0.002)
        raise AssertionError(f"no {kind.__name__}; got {self.messages[-5:]}")


SELECTION = Selection(select_variables(["an.pl/t"]), select_days(start="2021-02-01", end="2021-02-03"))


def stored(server: FaultServer, size: int = 100_000) -> dict[str, bytes]:
    variable = find_variable("an.pl/t")
    objects = {
        key_of(variable, period): pseudo_random(number, size)
        for number, (first, last) in enumerate(SELECTION.days)
        for period in periods(variable.product, first, last)
    }
    for key, data in objects.items():
        server.put(key, data)
    return objects


def test_a_download_is_planned_started_stopped_resumed_and_finished(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = stored(fault_server)
    fault_server.link = Link(speed=100_000)
    settings = settings_for(fault_server)
    service = BackendService()
    collector = MessageCollector(service)
    number = service.planning.plan(SELECTION, settings)
    planned = collector.wait_for(messages.PlanReady)
    assert (planned.number, len(planned.plan.objects)) == (number, 3)

    service.runs.start(planned.plan, tmp_path, settings)
    assert service.runs.busy
    opened = collector.wait_for(messages.SessionOpened)
    assert service.runs.snapshot() is not None
    service.runs.start(planned.plan, tmp_path / "other", settings)  # one run at a time
    service.runs.stop()
    finished = collector.wait_for(messages.RunFinished)
    assert finished.result.stopped
    assert not service.runs.busy
    assert service.runs.snapshot() is None
    assert not (tmp_path / "other").exists()

    fault_server.link = Link()
    service.runs.open_session(tmp_path, opened.session_id, settings)
    finished = collector.wait_for(messages.RunFinished)
    assert finished.result.verified == 3
    assert wrong_files(tmp_path, objects) == []
    service.close()


def test_a_newer_request_for_a_plan_cancels_the_older_one() -> None:
    waiting = threading.Event()
    asked = threading.Event()

    def hook(_verb: str, argument: str, _page: int) -> None:
        if "202101" in argument:
            asked.set()
            waiting.wait(LONG)

    january = Selection(select_variables(["an.pl/t"]), select_days(start="2021-01-01", end="2021-01-02"))
    keys = [key_of(find_variable("an.pl/t"), p) for p in periods(find_variable("an.pl/t").product, *SELECTION.days[0])]
    bucket = MemoryBucket(keys, hook)
    service = BackendService(lambda _settings: bucket)
    collector = MessageCollector(service)
    from era5dl.settings import Settings

    service.planning.plan(january, Settings())
    assert asked.wait(LONG)
    second = service.planning.plan(SELECTION, Settings())
    planned = collector.wait_for(messages.PlanReady)
    waiting.set()
    assert planned.number == second
    assert not [
        message
        for message in collector.messages
        if isinstance(message, (messages.PlanReady, messages.PlanFailed)) and message is not planned
    ]


def test_errors_of_network_disk_and_session_are_messages(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.close()
    settings = settings_for(fault_server, connect_timeout=0.2)
    service = BackendService()
    collector = MessageCollector(service)
    service.runs.open_session(tmp_path / "nothing", None, settings)
    assert collector.wait_for(messages.SessionNotOpened).error.kind == "SessionNotFound"
    (tmp_path / "file").write_text("")
    service.planning.inspect_folder(tmp_path / "file" / "below")
    seen = collector.wait_for(messages.FolderInspected)
    assert seen.folder == tmp_path / "file" / "below"
    service.sessions.verify(tmp_path, "0" * 12, settings)
    assert collector.wait_for(messages.VerifyFailed).error.kind == "SessionNotFound"
    service.sessions.forget(tmp_path, "0" * 12)
    assert collector.wait_for(messages.SessionForgotten).error is None
    assert service.safe_to_exit or not service.runs.busy
    service.runs.pause(), service.runs.resume(), service.runs.stop(), service.runs.promote([0]), service.runs.retry()


def test_close_returns_at_once_and_nothing_starts_afterwards(fault_server: FaultServer, tmp_path: Path) -> None:
    stored(fault_server)
    settings = settings_for(fault_server)
    service = BackendService()
    collector = MessageCollector(service)
    service.planning.plan(SELECTION, settings)
    plan = collector.wait_for(messages.PlanReady).plan
    fault_server.link = Link(speed=10_000)
    service.runs.start(plan, tmp_path, settings)
    collector.wait_for(messages.SessionOpened)
    began = time.monotonic()
    service.close()
    assert time.monotonic() - began < 0.2
    collector.wait_for(messages.RunFinished, 2.0)
    service.runs.start(plan, tmp_path / "again", settings)
    assert not service.runs.busy


def test_verification_finds_a_changed_file(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = stored(fault_server)
    settings = settings_for(fault_server)
    service = BackendService()
    collector = MessageCollector(service)
    service.planning.plan(SELECTION, settings)
    service.runs.start(collector.wait_for(messages.PlanReady).plan, tmp_path, settings)
    finished = collector.wait_for(messages.RunFinished)
    spoilt = tmp_path / next(iter(objects))
    spoilt.write_bytes(b"x" * 100_000)
    service.sessions.verify(tmp_path, finished.session_id, settings)
    verified = collector.wait_for(messages.VerifyFinished)
    assert sorted(v.condition.value for v in verified.examined) == ["verified", "verified", "wrong"]


def test_a_session_of_a_local_server_uses_the_configured_port(fault_server: FaultServer, tmp_path: Path) -> None:
    stored(fault_server)
    service = BackendService()
    collector = MessageCollector(service)
    settings = settings_for(fault_server)
    service.planning.plan(SELECTION, settings)
    plan = collector.wait_for(messages.PlanReady).plan
    with Session.begin(tmp_path, plan, replace(settings, endpoint_url="http://127.0.0.1:9")) as session:
        assert session_settings(session.info, settings).endpoint_url == settings.endpoint_url
        far = replace(settings, endpoint_url="https://example.org")
        assert session_settings(session.info, far).endpoint_url == "http://127.0.0.1:9"


# --- background tasks and the bridge to Tk


def test_a_task_runs_only_the_newest_job_and_survives_a_crash() -> None:
    crashes: list[str] = []
    task = BackgroundTask("test", lambda name, _error: crashes.append(name))
    go, started, done, ran = threading.Event(), threading.Event(), threading.Event(), []

    def slow(cancelled: IsCancelled) -> None:
        started.set()
        go.wait(LONG)
        ran.append(("slow", cancelled()))

    task.submit(slow)
    assert started.wait(LONG)
    task.submit(lambda _cancelled: ran.append(("replaced", False)))
    task.submit(lambda _cancelled: 1 // 0 and None)
    go.set()
    while task.busy:
        time.sleep(0.001)
    task.submit(lambda _cancelled: done.set())
    assert done.wait(LONG)
    assert ran == [("slow", True)]
    assert crashes == ["test"]


class ManualTimer:
    """A timer whose ticks a test triggers."""

    def __init__(self) -> None:
        self.scheduled: list[Callable[[], object]] = []

    def after(self, _ms: int, func: Callable[[], object], /) -> str:
        self.scheduled.append(func)
        return str(len(self.scheduled))

    def after_cancel(self, _id: str, /) -> None:
        self.scheduled.clear()

    def tick(self) -> None:
        self.scheduled.pop()()


def test_the_bridge_goes_on_after_a_handler_raised_and_loses_no_message() -> None:
    timer, done = ManualTimer(), []
    waiting = [["a", "bad", "b"], []]

    def poll(_limit: int) -> list[str]:
        return waiting.pop(0) if waiting else []

    def handle(message: str) -> None:
        done.append(message)
        if message == "bad":
            raise ValueError(message)

    bridge: TkBridge[str] = TkBridge(timer, poll, handle, lambda: done.append("refreshed"))
    bridge.start()
    with pytest.raises(ValueError, match="bad"):
        timer.tick()
    assert done == ["a", "bad", "b", "refreshed"]
    assert timer.scheduled
    bridge.stop()
    assert not timer.scheduled


def test_the_bridge_stops_handling_messages_when_its_time_is_used_up() -> None:
    timer, handled, now = ManualTimer(), [], [0.0]

    def handle(_message: str) -> None:
        handled.append(now[0])
        now[0] += 0.002

    bridge: TkBridge[str] = TkBridge(timer, lambda _limit: ["x"], handle, lambda: None, clock=lambda: now[0])
    bridge.start()
    timer.tick()
    assert len(handled) == 3
