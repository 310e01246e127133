"""The window driven as a person would: pick, plan, start, pause, resume, stop, close, reopen, go on, finish."""

from __future__ import annotations

import gc
import hashlib
import time
import tkinter as tk
import traceback
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from era5dl.catalog import find_variable, key_of, periods
from era5dl.engine.events import State
from era5dl.gui import i18n, preferences
from era5dl.gui.app import App, Options
from era5dl.gui.preferences import Preferences
from tests.faultlab import Fault, FaultServer, Link, pseudo_random

pytest_plugins = ["tests.gui_screen"]

LONG = 30.0
DAYS = (date(2021, 2, 1), date(2021, 2, 2))
NAMES = ("an.pl/t", "an.pl/u", "an.pl/v")


class Window:
    """An App in a window of its own, and the moves of a person. failures: what a handler of Tk raised."""

    def __init__(self, failures: list[str], **options: Any) -> None:
        self.root = tk.Tk()
        self.app = App(self.root, Options(scale=1.0, **options))

        def failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            failures.append("".join(traceback.format_exception(kind, error, trace)))

        self.root.report_callback_exception = failed
        self.page = self.app.download

    def until(self, reached: Callable[[], object], timeout: float = LONG) -> None:
        end = time.monotonic() + timeout
        while not reached():
            assert time.monotonic() < end, "waited in vain"
            self.root.update()
            time.sleep(0.003)

    @property
    def can_start(self) -> bool:
        return not self.page.request.start.instate(["disabled"])

    def pick(self, *names: str) -> None:
        """Search for each, and check it with the keyboard."""
        request = self.page.request
        for name in names:
            product, short = name.split("/")
            request.search.set(name)
            tree = request.tree.tree
            item = next(i for i, leaf in request.tree._leaves.items() if leaf.id == name)
            tree.focus_force()
            tree.focus(item)
            tree.selection_set(item)
            self.root.update()
            tree.event_generate("<space>")
            self.root.update()
            assert name in request.fields.variables, (product, short)
        request.search.set("")

    def choose_days(self, first: str, last: str) -> None:
        for field, text in ((self.page.request.first, first), (self.page.request.last, last)):
            field.entry.delete(0, "end")
            field.entry.insert(0, text)

    def running(self) -> bool:
        return self.app.conductor.snapshot() is not None

    def close(self) -> None:
        """By the cross, answering yes if asked; until the window is gone."""
        self.app.close()
        if self.app.question is not None:
            self.app.question.yes.invoke()
        end = time.monotonic() + 5
        while self.exists():
            assert time.monotonic() < end, "the window does not go"
            self.root.update()
            time.sleep(0.003)

    def exists(self) -> bool:
        try:
            return bool(self.root.winfo_exists())
        except tk.TclError:
            return False


@pytest.fixture
def open_window(screen: object) -> Iterator[Callable[..., Window]]:
    """Opens windows; those still open are closed at the end, and no handler may have failed."""
    failures: list[str] = []
    opened: list[Window] = []

    def open_one(**options: Any) -> Window:
        opened.append(Window(failures, **options))
        return opened[-1]

    yield open_one
    for window in opened:
        if window.exists():
            window.close()
    opened.clear()
    gc.collect()  # a Tk variable found by the collector in another thread would end Python
    assert not failures, "in a callback of Tk:\n" + "\n".join(failures)


@pytest.fixture
def objects(fault_server: FaultServer) -> dict[str, bytes]:
    """Two days of three variables, 400 kB a file."""
    stored = {}
    for number, name in enumerate(NAMES):
        variable = find_variable(name)
        for period in periods(variable.product, *DAYS):
            data = pseudo_random(number * 10 + period.start.day, 400_000)
            stored[key_of(variable, period)] = data
            fault_server.put(key_of(variable, period), data)
    return stored


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No desktop of whoever runs this hears of it; short waits."""
    monkeypatch.setattr("era5dl.gui.desktop._spawn", lambda *_args, **_more: None)
    preferences.save(Preferences(language="en", disk_reserve=0, connect_timeout=2.0, read_timeout=3.0, workers=3))
    yield
    i18n.switch("en")


def wrong(folder: Path, objects: dict[str, bytes]) -> list[str]:
    return [
        key
        for key, data in objects.items()
        if not (folder / key).is_file()
        or hashlib.sha256((folder / key).read_bytes()).digest() != hashlib.sha256(data).digest()
    ]


def options(server: FaultServer, out: Path) -> dict[str, Any]:
    return {"endpoint_url": server.endpoint_url, "bucket": server.bucket, "out": out}


def test_the_whole_journey(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    fault_server.link = Link(speed=150_000)
    out = tmp_path / "era5"
    window = open_window(**options(fault_server, out))
    assert not window.can_start
    window.pick(*NAMES)
    window.choose_days("2021-02-01", "2021-02-02")
    window.until(lambda: window.can_start)
    assert "6 files · 2.40 MB" in str(window.page.request._figures["text"])
    assert window.page.queue.table.texts_shown()[0][4] == "Planned"

    window.page.request.start.invoke()
    window.until(window.running)
    assert not window.can_start
    window.until(lambda: (s := window.app.conductor.snapshot()) is not None and s.done_bytes > 300_000)
    window.page.totals.pause.invoke()
    window.until(lambda: window.page.totals.can_resume)
    assert str(window.page.totals.pause["text"]) == "Resume"
    window.page.totals.pause.invoke()
    window.until(lambda: window.app.conductor.snapshot().state is State.RUNNING)  # type: ignore[union-attr]
    window.page.totals.stop.invoke()
    window.until(lambda: not window.app.conductor.occupied and "Stopped" in window.page.banner.text)
    assert wrong(out, objects)
    window.close()

    fault_server.link = Link()
    second = open_window(**options(fault_server, out))
    second.until(lambda: "was interrupted at" in second.page.banner.text)
    second.page.banner._button.invoke()
    second.until(lambda: "6 files are here and verified" in second.page.banner.text)
    assert wrong(out, objects) == []
    assert second.page.queue._files.counts()[second.page.queue._files.show] == 6
    second.close()


def test_closing_while_it_downloads_asks_once_and_is_quick(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    fault_server.link = Link(speed=50_000)
    window = open_window(**options(fault_server, tmp_path / "era5"))
    window.pick("an.pl/t")
    window.choose_days("2021-02-01", "2021-02-02")
    window.until(lambda: window.can_start)
    window.app.start()
    window.until(window.running)
    window.app.close()
    question = window.app.question
    assert question is not None
    window.app.close()
    assert window.app.question is question
    question.no.invoke()
    assert window.app.conductor.occupied
    began = time.monotonic()
    window.close()
    assert time.monotonic() - began < 2.0
    assert list((tmp_path / "era5" / ".era5dl").glob("*.json"))


def test_an_outage_is_told_and_the_banner_goes_when_it_is_over(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    fault_server.link = Link(speed=200_000)
    window = open_window(**options(fault_server, tmp_path / "era5"))
    window.pick("an.pl/t", "an.pl/u")
    window.choose_days("2021-02-01", "2021-02-02")
    window.until(lambda: window.can_start)
    window.app.start()
    window.until(lambda: (s := window.app.conductor.snapshot()) is not None and s.done_bytes > 100_000)
    fault_server.outage(1.5)
    window.until(lambda: "Waiting for the network" in window.page.banner.text)
    window.until(lambda: "are here and verified" in window.page.banner.text)
    window.close()


def test_failed_files_are_red_named_and_tried_again(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    bad = next(key for key in objects if "_u." in key)
    fault_server.script(Fault("no-such-key", times=1), key=bad)
    out = tmp_path / "era5"
    window = open_window(**options(fault_server, out))
    window.pick(*NAMES)
    window.choose_days("2021-02-01", "2021-02-02")
    window.until(lambda: window.can_start)
    window.app.start()
    window.until(lambda: "1 file failed" in window.page.banner.text)
    model = window.app.model
    (index,) = model.failed()
    assert model.objects[index].key == bad
    window.page.queue.table.select([index])
    window.page.queue.refresh()
    assert "The server does not have this file" in str(window.page.queue._detail["text"])
    window.page.banner._button.invoke()
    window.until(lambda: not window.app.model.failed() and not window.app.conductor.occupied)
    window.until(lambda: "verified" in window.page.banner.text)
    assert wrong(out, objects) == []
    window.close()


def test_the_newest_choice_wins_and_wrong_dates_are_named(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    window = open_window(**options(fault_server, tmp_path / "era5"))
    window.pick("an.pl/t")
    window.choose_days("2021-02-01", "2021-02-30")
    window.until(lambda: "no such day" in str(window.page.request._wrong["text"]))
    assert not window.can_start
    window.choose_days("2021-02-01", "2021-02-02")
    window.root.update()
    window.pick("an.pl/u")
    window.until(lambda: window.can_start)
    assert "4 files" in str(window.page.request._figures["text"])
    window.choose_days("2021-02-02", "2021-02-01")
    window.until(lambda: not window.can_start)
    assert "before the start" in str(window.page.request._wrong["text"])
    window.close()


def test_chinese_and_dark_while_it_runs(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    fault_server.link = Link(speed=100_000)
    window = open_window(**options(fault_server, tmp_path / "era5"))
    window.pick("an.pl/t")
    window.choose_days("2021-02-01", "2021-02-02")
    window.until(lambda: window.can_start)
    window.app.start()
    window.until(window.running)
    window.app._speak("zh_CN")
    window.app.switch_theme()
    window.root.update()
    assert str(window.page.totals.stop["text"]) == "停止"
    assert window.app.look.palette.dark
    window.close()


def test_a_folder_on_the_command_line_goes_on_with_its_session(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    from tests.runs import running

    out = tmp_path / "era5"
    fault_server.link = Link(speed=100_000)
    with running(fault_server, out, workers=2) as ran:
        ran.until(lambda: ran.engine.snapshot().done_bytes > 100_000)
        ran.engine.stop()
        ran.end()
    fault_server.link = Link()
    window = open_window(endpoint_url=fault_server.endpoint_url, bucket=fault_server.bucket, folder=out)
    window.until(lambda: "are here and verified" in window.page.banner.text)
    assert wrong(out, objects) == []
    window.close()
