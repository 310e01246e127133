"""Tests of the backend service, its background tasks, the Tk bridge and the queue model, without Tk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.catalog import find_variable, key_of, periods
from era5dl.engine.events import FileDone, FileFailed, FileRetrying, Outcome
from era5dl.engine.progress import ActiveFile, FileState
from era5dl.gui.backend import messages
from era5dl.gui.backend.background_task import BackgroundTask, Cancelled
from era5dl.gui.backend.messages import Message
from era5dl.gui.backend.service import BackendService, settings_of
from era5dl.gui.backend.tk_bridge import TkBridge
from era5dl.gui.menus import MENUS, QUEUE, accelerator
from era5dl.gui.models.queue import FileFilter, QueueModel, SortKey
from era5dl.gui.models.sort_filter import MaskedIndices, RowOrder
from era5dl.selection import Selection, choose, days_of
from era5dl.session import Session
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.memory_bucket import MemoryBucket
from tests.runs import settings_for, wrong_files
from tests.test_diagnosis_metrics import RUN

F = TypeVar("F")
LONG = 20.0


class MessageCollector:
    """Hears a conductor out until something is said."""

    def __init__(self, service: BackendService) -> None:
        self._service = service
        self.heard: list[Message] = []

    def until(self, kind: type[F], timeout: float = LONG) -> F:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for fact in self._service.poll():
                self.heard.append(fact)
                if isinstance(fact, kind):
                    return fact
            time.sleep(0.002)
        raise AssertionError(f"no {kind.__name__}; heard {self.heard[-5:]}")


SELECTION = Selection(choose(["an.pl/t"]), days_of(start="2021-02-01", end="2021-02-03"))


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


def test_plan_start_stop_open_and_finish(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = stored(fault_server)
    fault_server.link = Link(speed=100_000)
    settings = settings_for(fault_server)
    service = BackendService()
    ear = MessageCollector(service)
    number = service.plan(SELECTION, settings)
    planned = ear.until(messages.PlanReady)
    assert (planned.number, len(planned.plan.objects)) == (number, 3)

    service.start(planned.plan, tmp_path, settings)
    assert service.occupied
    opened = ear.until(messages.SessionOpened)
    assert service.snapshot() is not None
    service.start(planned.plan, tmp_path / "other", settings)  # one run at a time
    service.stop()
    over = ear.until(messages.RunFinished)
    assert over.ended.stopped
    assert not service.occupied
    assert service.snapshot() is None
    assert not (tmp_path / "other").exists()

    fault_server.link = Link()
    service.open_session(tmp_path, opened.session_id, settings)
    over = ear.until(messages.RunFinished)
    assert over.ended.verified == 3
    assert wrong_files(tmp_path, objects) == []
    service.close()


def test_the_newest_plan_wins_and_the_older_one_is_silent() -> None:
    waiting = threading.Event()
    asked = threading.Event()

    def hook(_verb: str, argument: str, _page: int) -> None:
        if "202101" in argument:
            asked.set()
            waiting.wait(LONG)

    january = Selection(choose(["an.pl/t"]), days_of(start="2021-01-01", end="2021-01-02"))
    keys = [key_of(find_variable("an.pl/t"), p) for p in periods(find_variable("an.pl/t").product, *SELECTION.days[0])]
    bucket = MemoryBucket(keys, hook)
    service = BackendService(lambda _settings: bucket)
    ear = MessageCollector(service)
    from era5dl.settings import Settings

    service.plan(january, Settings())
    assert asked.wait(LONG)
    second = service.plan(SELECTION, Settings())
    planned = ear.until(messages.PlanReady)
    waiting.set()
    assert planned.number == second
    assert not [
        fact
        for fact in ear.heard
        if isinstance(fact, (messages.PlanReady, messages.PlanFailed)) and fact is not planned
    ]


def test_no_error_of_network_disk_or_session_is_raised(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.close()
    settings = settings_for(fault_server, connect_timeout=0.2)
    service = BackendService()
    ear = MessageCollector(service)
    service.open_session(tmp_path / "nothing", None, settings)
    assert ear.until(messages.SessionNotOpened).error.kind == "SessionNotFound"
    (tmp_path / "file").write_text("")
    service.look_at(tmp_path / "file" / "below")
    seen = ear.until(messages.FolderInspected)
    assert seen.folder == tmp_path / "file" / "below"
    service.verify(tmp_path, "0" * 12, settings)
    assert ear.until(messages.VerifyFailed).error.kind == "SessionNotFound"
    service.forget(tmp_path, "0" * 12)
    assert ear.until(messages.SessionForgotten).error is None
    assert service.at_rest or not service.occupied
    service.pause(), service.resume(), service.stop(), service.promote([0]), service.retry()


def test_close_at_once_and_nothing_begins_afterwards(fault_server: FaultServer, tmp_path: Path) -> None:
    stored(fault_server)
    settings = settings_for(fault_server)
    service = BackendService()
    ear = MessageCollector(service)
    service.plan(SELECTION, settings)
    plan = ear.until(messages.PlanReady).plan
    fault_server.link = Link(speed=10_000)
    service.start(plan, tmp_path, settings)
    ear.until(messages.SessionOpened)
    began = time.monotonic()
    service.close()
    assert time.monotonic() - began < 0.2
    ear.until(messages.RunFinished, 2.0)
    service.start(plan, tmp_path / "again", settings)
    assert not service.occupied


def test_verifying_finds_what_was_spoilt(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = stored(fault_server)
    settings = settings_for(fault_server)
    service = BackendService()
    ear = MessageCollector(service)
    service.plan(SELECTION, settings)
    service.start(ear.until(messages.PlanReady).plan, tmp_path, settings)
    over = ear.until(messages.RunFinished)
    spoilt = tmp_path / next(iter(objects))
    spoilt.write_bytes(b"x" * 100_000)
    service.verify(tmp_path, over.session_id, settings)
    verified = ear.until(messages.VerifyFinished)
    assert sorted(v.condition.value for v in verified.examined) == ["verified", "verified", "wrong"]


def test_a_session_of_this_machines_server_is_found_at_its_port_of_now(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    stored(fault_server)
    service = BackendService()
    ear = MessageCollector(service)
    settings = settings_for(fault_server)
    service.plan(SELECTION, settings)
    plan = ear.until(messages.PlanReady).plan
    with Session.begin(tmp_path, plan, replace(settings, endpoint_url="http://127.0.0.1:9")) as session:
        assert settings_of(session, settings).endpoint_url == settings.endpoint_url
        far = replace(settings, endpoint_url="https://example.org")
        assert settings_of(session, far).endpoint_url == "http://127.0.0.1:9"


# --- desk and pump


def test_a_desk_does_the_newest_job_only_and_survives_a_bug() -> None:
    bugs: list[str] = []
    desk = BackgroundTask("test", lambda name, _bug: bugs.append(name))
    go, done, did = threading.Event(), threading.Event(), []

    def slow(cancelled: Cancelled) -> None:
        go.wait(LONG)
        did.append(("slow", cancelled()))

    desk.ask(slow)
    while not desk.busy:
        time.sleep(0.001)
    time.sleep(0.02)  # it has been taken from the tray
    desk.ask(lambda _cancelled: did.append(("never", False)))
    desk.ask(lambda _cancelled: 1 // 0 and None)
    go.set()
    while desk.busy:
        time.sleep(0.001)
    desk.ask(lambda _cancelled: done.set())
    assert done.wait(LONG)
    assert did == [("slow", True)]
    assert bugs == ["test"]


class Clock:
    """A timer whose turns a test takes by hand."""

    def __init__(self) -> None:
        self.armed: list[Callable[[], object]] = []

    def after(self, _ms: int, func: Callable[[], object], /) -> str:
        self.armed.append(func)
        return str(len(self.armed))

    def after_cancel(self, _id: str, /) -> None:
        self.armed.clear()

    def turn(self) -> None:
        self.armed.pop()()


def test_the_pump_goes_on_after_a_handler_failed_and_loses_no_fact() -> None:
    clock, heard = Clock(), []
    waiting = [["a", "bad", "b"], []]

    def hear(fact: str) -> None:
        heard.append(fact)
        if fact == "bad":
            raise ValueError(fact)

    bridge: TkBridge[str] = TkBridge(
        clock, lambda _most: waiting.pop(0) if waiting else [], hear, lambda: heard.append("drawn")
    )
    bridge.start()
    with pytest.raises(ValueError, match="bad"):
        clock.turn()
    assert heard == ["a", "bad", "b", "drawn"]
    assert clock.armed
    bridge.stop()
    assert not clock.armed


def test_the_pump_stops_hearing_when_its_time_is_used_up() -> None:
    clock, heard, now = Clock(), [], [0.0]

    def hear(_fact: str) -> None:
        heard.append(now[0])
        now[0] += 0.002

    bridge: TkBridge[str] = TkBridge(clock, lambda _most: ["x"], hear, lambda: None, clock=lambda: now[0])
    bridge.start()
    clock.turn()
    assert len(heard) == 3


# --- the queue


def model_of(count: int = 6) -> QueueModel:
    model = QueueModel()
    model.load(
        [
            ObjectInfo(f"p/e5.{count - i}.{'even' if i % 2 == 0 else 'odd'}.nc", 100 * (i + 1), '"e"')
            for i in range(count)
        ]
    )
    return model


def set_states(model: QueueModel, *states: FileState) -> None:
    model.update(None, bytes(states), time.monotonic() + 1e6)


def view(model: QueueModel) -> list[int]:
    return [model.index_at(position) for position in range(len(model))]


W, A, V, C, X, H = FileState


def test_activity_comes_first_and_filters_count() -> None:
    model = model_of()
    set_states(model, V, W, A, X, C, W)
    assert view(model) == [2, 3, 1, 5, 0, 4]
    assert list(model.counts().values()) == [6, 1, 2, 0, 2, 1]
    assert list(model.counts()) == list(FileFilter)
    done, failed, waiting, active = FileFilter.DONE, FileFilter.FAILED, FileFilter.WAITING, FileFilter.ACTIVE
    for show, expected in ((done, [0, 4]), (failed, [3]), (waiting, [1, 5]), (active, [2])):
        model.filter(show)
        assert view(model) == expected
        assert [model.position_of(index) for index in expected] == list(range(len(expected)))
        assert model.position_of(99) is None


def test_held_files_stand_after_those_that_wait() -> None:
    model = model_of()
    set_states(model, V, H, A, X, H, W)
    assert view(model) == [2, 3, 5, 1, 4, 0]
    assert model.counts()[FileFilter.HELD] == 2
    assert model.among(range(5), W, H) == [1, 4]
    model.filter(FileFilter.HELD)
    assert view(model) == [1, 4]


def test_search_sort_and_filter_work_together() -> None:
    model = model_of()
    set_states(model, V, W, A, X, C, W)
    model.search("EVEN p/")
    assert view(model) == [2, 0, 4]
    model.sort(SortKey.SIZE, descending=True)
    assert view(model) == [4, 2, 0]
    model.sort(SortKey.FILE)
    assert view(model) == [4, 2, 0]
    model.filter(FileFilter.DONE)
    assert view(model) == [4, 0]
    model.search("")
    model.filter(FileFilter.ALL)
    assert view(model) == [5, 4, 3, 2, 1, 0]
    model.sort(SortKey.STATUS)
    assert view(model) == [1, 5, 2, 0, 4, 3]


def test_values_sort_few_rows_and_leave_the_rest_in_the_order_of_the_plan() -> None:
    model = model_of()
    active = [ActiveFile(1, "k", 200, 20, 9.0, 1, False), ActiveFile(4, "k", 500, 400, 5.0, 1, False)]
    model.update(replace(RUN, active=tuple(active)), bytes([V, A, W, X, A, W]), time.monotonic() + 1e6)
    model.sort(SortKey.SPEED)
    assert view(model) == [0, 2, 3, 5, 4, 1]
    model.sort(SortKey.PROGRESS)
    assert view(model) == [2, 3, 5, 1, 4, 0]
    model.sort(SortKey.PROGRESS, descending=True)
    assert view(model) == [0, 4, 1, 5, 3, 2]
    assert [model.position_of(index) for index in view(model)] == list(range(6))
    assert sorted(model.indices()) == list(range(6))


def test_an_order_is_the_same_over_many_blocks() -> None:
    mask = bytes(place % 7 == 0 or 3000 < place < 3100 for place in range(5000))
    plain = [place for place in range(5000) if mask[place]]
    marked = MaskedIndices(mask)
    assert [marked[position] for position in range(len(marked))] == plain == list(marked)
    assert [marked.index(place) for place in plain] == list(range(len(plain)))
    turned = RowOrder([marked, [1, 2]], backwards=True)
    assert [turned[position] for position in range(len(turned))] == [2, 1, *reversed(plain)]
    assert (turned.position_of(2), turned.position_of(3)) == (0, None)


def test_a_row_knows_what_was_said_about_its_file() -> None:
    model = model_of()
    model.hear(FileRetrying(1, "k", "broke", 1, 0.0))
    model.hear(FileFailed(1, "k", "gone", "wait", "NotFound"))
    model.hear(FileDone(2, "k", 300, "/x", Outcome.CHECKED, "opaque", False))
    set_states(model, W, X, C, W, W, W)
    failed, checked = model.file(1), model.file(2)
    assert (failed.attempts, failed.reason, failed.kind) == (2, "gone", "NotFound")
    assert (checked.share, checked.checked_because, checked.reason) == (1.0, "opaque", "")
    model.sort(SortKey.ATTEMPTS, descending=True)
    assert view(model)[0] == 1
    assert model.failed() == [1]


def test_in_a_run_of_chosen_files_the_other_failures_stay_failures() -> None:
    model = model_of()
    for index in (1, 3):
        model.hear(FileFailed(index, "k", "gone", "", "NotFound"))
    model.only = frozenset({3})
    set_states(model, V, W, V, A, V, V)
    assert model.failed() == [1]


def test_what_was_only_tried_again_is_no_failure() -> None:
    model = model_of()
    model.hear(FileRetrying(1, "k", "broke", 1, 0.0, "Interrupted"))
    model.only = frozenset({3})
    set_states(model, V, W, V, A, V, V)
    assert model.failed() == []


def test_a_hundred_thousand_rows_are_arranged_between_two_blinks() -> None:
    model = QueueModel()
    model.load([ObjectInfo(f"e5.oper.an.pl/2021/{i:06}.nc", i, '"e"') for i in range(100_000)])
    states = bytes([V] * 30_000 + [A] * 8 + [W] * 69_992)
    began = time.perf_counter()
    model.update(None, states, time.monotonic() + 1e6)
    assert time.perf_counter() - began < 0.2  # 10 ms on an idle machine
    assert view(model)[:8] == list(range(30_000, 30_008))


# --- menus


def test_every_action_is_there_and_no_key_is_bound_twice() -> None:
    from era5dl.gui.app import App

    items = [item for menu in MENUS for item in menu.items if item is not None]
    assert {item.key for item in QUEUE if item is not None and item.key} <= {item.key for item in items}
    assert all(callable(getattr(App, item.action, None)) for item in items)
    keys = [item.key for item in items if item.key]
    assert len(keys) == len(set(keys))
    assert [accelerator(key) for key in ("Control-Return", "Control-p", "Control-Key-1", "F1", "Control-comma")] == [
        "Ctrl+Enter", "Ctrl+P", "Ctrl+1", "F1", "Ctrl+,"
    ]  # fmt: skip
